"""Whose guest agent is asked when, in virtual time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domstats.engine.agent_book import (
    CALLS,
    CALLS_MOST,
    LESS_OFTEN_MOST,
    LINES_MOST,
    PAUSE_S,
    STUCK_S,
    AgentBook,
)
from domstats.model import DomainSample, GuestAgent, Round, Sample, Status

INTERVAL_S, ROUND_S = 60.0, 10.0
HOURS = 6


def sample(
    domains: Iterable[str], of: Mapping[str, DomainSample] = {}, *, connected: bool = True
) -> Sample:
    samples = [of.get(name) or DomainSample(name, name, Status.FRESH, {}) for name in domains]
    return Sample("qemu:///system", 7, tuple(samples), Round(connected=connected))


class World:
    """Rounds, and agents that answer at once unless they are named otherwise."""

    def __init__(self, *domains: str) -> None:
        self.book = AgentBook("qemu:///system", INTERVAL_S)
        self.now = 0.0
        self.domains = list(domains)
        self.stuck: set[str] = set()
        self.bad: set[str] = set()
        self.absent: set[str] = set()
        self.asked: list[tuple[float, str]] = []
        self.found: list[GuestAgent] = []
        self.log: list[str] = []
        self.end()

    def end(self, **of: DomainSample) -> None:
        found, lines = self.book.end(sample(self.domains, of), self.now)
        self.found += found
        self.log += [text for _, text in lines]

    def round(self) -> None:
        self.book.begin(self.now)
        while (uuid := self.book.next(self.now)) is not None:
            self.asked.append((self.now, uuid))
            if uuid in self.bad:
                self.book.failed(uuid, self.now)
            elif uuid not in self.stuck:
                answer = None if uuid in self.absent else GuestAgent(uuid, "", 1)
                self.book.answered(uuid, answer, self.now)
        self.now += ROUND_S
        self.end()

    def rounds(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.round()

    def times_of(self, name: str) -> list[float]:
        return [at for at, uuid in self.asked if uuid == name]


def test_each_is_asked_at_once_and_then_spread_over_the_interval() -> None:
    world = World(*(f"guest-{number}" for number in range(60)))
    world.rounds(10 * INTERVAL_S)
    by_round: dict[float, int] = {}
    for at, _ in world.asked:
        by_round[at] = by_round.get(at, 0) + 1
    assert by_round[0.0] == 60
    later = [count for at, count in by_round.items() if at > 2 * INTERVAL_S]
    assert max(later) < 20
    for name in world.domains:
        times = world.times_of(name)
        assert all(after - before == INTERVAL_S for before, after in zip(times[2:], times[3:]))
    assert not world.log


def test_no_more_calls_are_under_way_than_a_few_and_a_stuck_one_makes_room_for_another() -> None:
    world = World(*"abcdefgh")
    world.stuck = set("abcdefgh")
    under_way = []
    for _ in range(10):
        world.round()
        under_way.append(world.book.under_way)
        assert world.book.threads(world.now) <= CALLS_MOST
    assert under_way[0] == CALLS
    assert under_way[-1] == CALLS_MOST
    assert sum("no other agent is asked" in text for text in world.log) == 1
    assert {agent.uuid for agent in world.found} == {uuid for _, uuid in world.asked}
    assert not any(agent.responsive for agent in world.found)


def test_a_stuck_agent_keeps_nobody_else_from_being_asked() -> None:
    world = World(*"abcde")
    world.stuck = {"a"}
    world.rounds(3 * INTERVAL_S)
    assert len(world.times_of("a")) == 1
    assert all(len(world.times_of(name)) >= 3 for name in "bcde")
    assert ROUND_S > STUCK_S
    silent = [agent for agent in world.found if agent.uuid == "a"]
    assert len(silent) == 3, "once each interval it is reported"
    world.book.answered("a", GuestAgent("a", "", 1), world.now)
    world.stuck = set()
    world.rounds(ROUND_S)
    assert any("answer again: a" in text for text in world.log)


def test_an_agent_that_fails_is_asked_less_and_less_often_and_like_all_others_when_it_answers() -> (
    None
):
    world = World("a", "b")
    world.bad = {"a"}
    world.rounds(40 * INTERVAL_S)
    times = world.times_of("a")
    assert max(b - a for a, b in zip(times, times[1:])) == LESS_OFTEN_MOST * INTERVAL_S
    assert len([agent for agent in world.found if agent.uuid == "a"]) >= 39, "reported all the same"
    assert len(world.log) == 1
    world.bad = set()
    world.rounds(12 * INTERVAL_S)
    times = world.times_of("a")
    assert times[-1] - times[-2] == INTERVAL_S
    assert len(world.log) == 2


def test_agents_that_come_and_go_for_hours_do_not_flood_the_log() -> None:
    world = World(*"abcdefgh")
    for number in range(HOURS * 60):
        world.bad = set("abcdefgh") if number % 2 else set()
        world.rounds(INTERVAL_S)
    assert len(world.log) <= HOURS * LINES_MOST * 2


def test_who_has_no_agent_is_nothing_to_speak_of() -> None:
    world = World("a")
    world.absent = {"a"}
    world.rounds(10 * INTERVAL_S)
    assert not world.found
    assert not world.log


def test_a_domain_that_hangs_or_does_not_run_is_not_asked() -> None:
    world = World("a", "b", "c")
    world.domains = ["a", "b", "c"]
    hung = DomainSample("a", "a", Status.UNRESPONSIVE, {})
    stopped = DomainSample("b", "b", Status.FRESH, {}, active=False)
    world.end(a=hung, b=stopped)
    world.book.begin(world.now)
    assert world.book.next(world.now) == "c"
    assert world.book.next(world.now) is None


def test_a_domain_that_ends_while_it_is_asked_is_forgotten_and_its_call_still_counts() -> None:
    world = World("a", "b")
    world.stuck = {"a"}
    world.round()
    world.domains = ["b"]
    world.round()
    assert world.book.under_way == 1
    world.book.answered("a", GuestAgent("a", "", 1), world.now)
    assert world.book.under_way == 0
    world.found.clear()
    world.round()
    assert "a" not in {agent.uuid for agent in world.found}


def test_a_refusal_is_said_once_and_tried_again_seldom() -> None:
    world = World("a", "b")
    tries = 0
    for _ in range(200):
        world.book.begin(world.now)
        uuid = world.book.next(world.now)
        if uuid is not None:
            tries += 1
            world.book.refused(uuid, "no right", world.now)
            assert world.book.next(world.now) is None
        world.now += ROUND_S
        world.end()
    assert world.log == ["no right"]
    assert tries <= 200 * ROUND_S / PAUSE_S + 2
    world.rounds(2 * PAUSE_S)
    assert world.log == ["no right", "qemu:///system: guest agents are asked again"]


def test_a_refusal_is_said_also_beside_domains_that_have_no_agent() -> None:
    world = World("a", "b", "c")
    for _ in range(20):
        world.book.begin(world.now)
        while (uuid := world.book.next(world.now)) is not None:
            if uuid == "a":
                world.book.refused(uuid, "no right", world.now)
            else:
                world.book.answered(uuid, None, world.now)
        world.now += ROUND_S
        world.end()
    assert world.log == ["no right"]


def test_without_the_hypervisor_nothing_is_said_or_forgotten() -> None:
    world = World("a")
    world.rounds(INTERVAL_S + ROUND_S)
    assert world.book.end(sample([], connected=False), world.now) == ((), [])
    asked = len(world.asked)
    world.round()
    assert len(world.asked) == asked, "it is not due yet"


def test_names_in_the_log_are_bounded_and_on_one_line() -> None:
    name = "evil\n" * 100
    world = World("a")
    world.bad = {"a"}
    world.end(a=DomainSample("a", name, Status.FRESH, {}))
    world.book.begin(0.0)
    assert world.book.next(0.0) == "a"
    world.book.failed("a", 0.0)
    world.end(a=DomainSample("a", name, Status.FRESH, {}))
    (line,) = world.log
    assert "\n" not in line
    assert len(line) < 300
