"""How long a call may take before it is suspect."""

from __future__ import annotations

import pytest
from domstats.engine.pace import LEAST_S, MOST_DELAY_S, Backoff, Cadence, Pace, Rota

from tests.unit.rows import each_row


def settled(per_domain_s):
    pace = Pace()
    for _ in range(200):
        pace.learn(16 * per_domain_s, 16)
    return pace


def test_the_first_calls_get_time_enough_for_a_busy_host():
    assert Pace().soft_deadline(16, 10.0) > 2.0


def test_on_a_quick_host_a_call_is_suspect_after_a_quarter_of_a_second():
    assert settled(0.001).soft_deadline(16, 10.0) == LEAST_S


def test_a_call_gets_several_times_what_calls_like_it_took():
    assert settled(0.02).soft_deadline(16, 10.0) == pytest.approx(4 * 0.02 * 16 + 0.1)


def test_no_call_gets_more_than_its_round_allows():
    assert settled(0.5).soft_deadline(16, 2.25) == 2.25


def test_a_host_that_gets_slow_is_believed_at_once_and_one_that_gets_quick_is_not():
    pace = settled(0.01)
    pace.learn(16 * 0.1, 16)
    slow = pace.per_domain_s
    assert slow > 0.05
    pace.learn(16 * 0.01, 16)
    assert pace.per_domain_s > 0.8 * slow


def test_one_call_that_waited_for_an_hour_does_not_spoil_the_deadlines_of_the_day():
    pace = settled(0.01)
    pace.learn(3600.0, 1)
    for _ in range(60):
        pace.learn(16 * 0.01, 16)
    assert pace.soft_deadline(16, 10.0) < 1.0


def test_a_call_for_nobody_teaches_without_an_error():
    Pace().learn(0.1, 0)


# --- how often groups are asked for

EVERY_MINUTE = {"block": 60.0}
GROUPS = frozenset({"state", "block"})


def asked(cadence, seconds, interval):
    """At which seconds rounds at this interval ask for the group."""
    count = int(seconds / interval) + 1
    moments = (number * interval for number in range(count))
    return [now for now in moments if "block" in cadence.due(GROUPS, now, 0.9 * interval)]


@each_row("interval", [1.0, 5.0, 10.0, 20.0, 60.0])
def test_a_group_is_asked_for_at_once_and_then_as_often_as_is_set(interval):
    assert asked(Cadence(EVERY_MINUTE), 180, interval) == [0.0, 60.0, 120.0, 180.0]


def test_an_interval_that_does_not_divide_the_period_takes_the_nearest_round():
    assert asked(Cadence(EVERY_MINUTE), 150, 25.0) == [0.0, 50.0, 100.0, 150.0]


def test_a_round_a_moment_early_or_late_makes_no_difference():
    cadence = Cadence(EVERY_MINUTE)
    moments = [0.02, 10.0, 19.98, 30.0, 40.01, 50.0, 59.97, 70.0]
    found = [now for now in moments if "block" in cadence.due(GROUPS, now, 9.0)]
    assert found == [0.02, 59.97]


def test_a_deadline_far_beyond_the_period_does_not_make_it_meaningless():
    cadence = Cadence(EVERY_MINUTE)
    found = [now for now in range(0, 130, 10) if "block" in cadence.due(GROUPS, now, 600.0)]
    assert found == [0, 30, 60, 90, 120]


def test_other_groups_are_asked_for_in_every_round():
    cadence = Cadence(EVERY_MINUTE)
    assert all("state" in cadence.due(GROUPS, float(now), 9.0) for now in range(0, 100, 10))


def test_a_group_that_was_asked_for_in_vain_is_due_again():
    cadence = Cadence(EVERY_MINUTE)
    cadence.in_vain(cadence.due(GROUPS, 0.0, 9.0))
    assert cadence.due(GROUPS, 10.0, 9.0) == GROUPS


def test_a_hypervisor_that_cannot_be_reached_is_tried_less_and_less_often() -> None:
    backoff = Backoff(15.0)
    waits = []
    for now in (0.0, 100.0, 200.0, 300.0):
        backoff.failed(now)
        waits.append(backoff.until - now)
    assert waits == [15.0, 30.0, MOST_DELAY_S, MOST_DELAY_S]


def test_one_that_answers_is_tried_at_once_the_next_time() -> None:
    backoff = Backoff(15.0)
    backoff.failed(10.0)
    backoff.succeeded()
    assert backoff.until == 0.0
    backoff.failed(20.0)
    assert backoff.until == 35.0


def test_a_hypervisor_of_this_host_is_tried_in_each_round() -> None:
    backoff = Backoff(0.0)
    backoff.failed(10.0)
    assert backoff.until == 10.0


def test_many_that_cannot_be_reached_are_not_tried_all_at_once() -> None:
    backoffs = [Backoff(16.0, f"qemu+ssh://node{number}/system") for number in range(200)]
    for backoff in backoffs:
        backoff.failed(0.0)
    waits = sorted(backoff.until for backoff in backoffs)
    assert (waits[0] >= 8.0, waits[-1] <= 16.0) == (True, True)
    assert max(second - first for first, second in zip(waits, waits[1:])) < 1.0


def test_turns_are_spread_over_the_rounds_so_that_each_has_its_own_once() -> None:
    rota = Rota(60.0, begun_at=0.0)
    assert [rota.turns(15, now) for now in range(10, 130, 10)] == [2, 3] * 6


def test_after_a_long_pause_all_have_their_turn_and_none_has_it_twice() -> None:
    rota = Rota(60.0, begun_at=0.0)
    assert rota.turns(15, 1000.0) == 15


def test_nobody_has_a_turn_where_there_is_nobody_or_the_time_begins_with_the_first_round() -> None:
    assert Rota(0.0).turns(0, 100.0) == 0
    rota = Rota(60.0, begun_at=float("inf"))
    assert rota.turns(15, 100.0) == 0
    assert rota.turns(15, 160.0) == 15
