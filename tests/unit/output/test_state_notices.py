"""A domain whose state is another than in the round before is notified of, in virt's words."""

from __future__ import annotations

from domstats.model import STATE_RUNNING, STATE_SHUTOFF, DomainSample, Round, Sample, Status
from domstats.output.identity import Identity
from domstats.output.state_notices import REASONS, STATES, DomainStates

from tests.unit.rows import each_row

PAUSED, BY_USER, UNPAUSED, BOOTED = 3, 1, 5, 1

Told = dict[str, tuple[object, object]]


def sample(*uuids: str, connected: bool = True) -> Sample:
    domains = tuple(DomainSample(uuid, uuid, Status.FRESH, {}) for uuid in uuids)
    return Sample("qemu:///system", 1, domains, Round(connected=connected))


def told(states: DomainStates, answers: Told, *listed: str) -> list[tuple[str, str, str]]:
    """Who is notified of in a round, how badly, and what.

    :param answers: by uuid: state and reason of those that answered.
    :param listed: those beside them that are listed.
    """
    states.now.update((uuid, (*said, Identity(uuid, ""))) for uuid, said in answers.items())
    notices = states.end(sample(*answers, *listed))
    return [(each.identity.host, each.severity, each.message) for each in notices]


RUNS: Told = {"web": (STATE_RUNNING, BOOTED)}


def test_nothing_is_said_of_what_was_so_at_the_beginning_or_stays_so() -> None:
    states = DomainStates(persistent=False)
    assert told(states, RUNS) == []
    assert told(states, RUNS) == []


def test_who_gave_no_state_in_the_first_round_is_no_news_in_the_next_one() -> None:
    states = DomainStates(persistent=False)
    assert told(states, {}, "web") == []
    assert told(states, RUNS) == []
    assert len(told(states, {"web": (PAUSED, BY_USER)})) == 1


def test_a_change_is_notified_of_once_in_virts_words() -> None:
    states = DomainStates(persistent=False)
    told(states, RUNS)
    assert told(states, {"web": (PAUSED, BY_USER)}) == [
        (
            "web",
            "warning",
            "Domain state: the domain is paused by user. Reason: paused on user request",
        )
    ]
    assert told(states, {"web": (PAUSED, BY_USER)}) == []
    assert told(states, {"web": (STATE_RUNNING, UNPAUSED)}) == [
        ("web", "okay", "Domain state: the domain is running. Reason: returned from paused state")
    ]


def test_a_domain_that_is_new_is_notified_of_and_one_that_is_listed_no_more_has_been_shut_off() -> (
    None
):
    states = DomainStates(persistent=False)
    told(states, {})
    booted = "Domain state: the domain is running. Reason: normal startup from boot"
    assert told(states, RUNS) == [("web", "okay", booted)]
    off = "Domain state: the domain is shut off. Reason: the reason is unknown"
    assert told(states, {}) == [("web", "okay", off)]
    assert told(states, {}) == []


def test_one_that_was_shut_off_when_it_was_undefined_is_not_shut_off_again() -> None:
    states = DomainStates(persistent=False)
    told(states, {"web": (STATE_SHUTOFF, 1)})
    assert told(states, {}) == []


def test_who_does_not_answer_has_not_changed() -> None:
    states = DomainStates(persistent=False)
    told(states, RUNS)
    assert told(states, {}, "web") == []
    assert told(states, {"web": (STATE_RUNNING, None)}) == []
    assert told(states, RUNS) == []


def test_while_the_hypervisor_is_away_nobody_has_ended() -> None:
    states = DomainStates(persistent=False)
    told(states, RUNS)
    assert list(states.end(sample(connected=False))) == []
    assert told(states, RUNS) == []


def test_with_persistent_notification_each_domain_is_notified_of_in_each_round() -> None:
    states = DomainStates(persistent=True)
    for _ in range(2):
        notices = told(states, {**RUNS, "off": (STATE_SHUTOFF, 2)})
        assert [who for who, _, _ in notices] == ["web", "off"]
    assert notices[1][2].endswith("Reason: forced poweroff")


@each_row("said", [(99, 0), (1, 99), (-1, 0), ("1", 0), (1.0, 1)])
def test_what_has_no_words_is_not_notified_of(said: tuple[object, object]) -> None:
    states = DomainStates(persistent=True)
    assert told(states, {"web": said}) == []


def test_each_state_has_reasons() -> None:
    assert len(STATES) == len(REASONS) == 8
