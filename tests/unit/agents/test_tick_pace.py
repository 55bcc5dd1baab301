"""Which of Telegraf's ticks are for a table that has an interval of its own."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from domstats.agents.tick_pace import TickPace

from tests.unit.rows import each_row

#: A moment at which Telegraf's own plugins are sampled, whatever their interval.
EPOCH = 1_800_000_000.0


def due(interval: float, ticks: Iterable[float]) -> list[float]:
    pace = TickPace(interval)
    return [now for now in ticks if pace.tick(EPOCH + now)]


def every(distance: float, count: int = 40, first: float = 0.0) -> list[float]:
    return [first + number * distance for number in range(count)]


def test_of_ticks_that_come_more_often_only_those_of_the_interval_are_due() -> None:
    assert due(6, every(2, 10)) == [0, 6, 12, 18]


def test_the_first_tick_is_due_and_then_those_at_which_telegrafs_own_plugin_is_sampled() -> None:
    assert due(6, every(2, 12, first=2)) == [2, 6, 12, 18, 24]
    assert due(6, every(2, 12, first=4)) == [4, 12, 18, 24]  # so close to 6 that it counts for it


def test_an_interval_between_two_ticks_is_due_at_the_later_one() -> None:
    assert due(5, every(2, 16)) == [0, 6, 10, 16, 20, 26, 30]


@each_row("interval", [0.5, 1, 2, 2.1])
def test_ticks_that_come_less_often_than_the_interval_are_all_due(interval: float) -> None:
    assert due(interval, every(2)) == every(2)
    assert due(interval, every(2, first=0.99)) == every(2, first=0.99)


@each_row("phase", [number / 10 for number in range(20)])
def test_ticks_that_do_not_fall_together_with_the_clock_keep_the_pace(phase: float) -> None:
    noise = random.Random(int(phase * 10))
    ticks = [tick + noise.uniform(-0.02, 0.02) for tick in every(2, 300, first=phase)]
    found = due(6, ticks)
    distances = [after - before for before, after in zip(found[1:], found[2:])]
    irregular = [each for each in distances if abs(each - 6) > 0.1]
    assert len(irregular) <= 1  # one may be, before it is known on which side ticks fall
    assert len(found) in (99, 100, 101)


def test_ticks_that_telegraf_spreads_keep_the_pace() -> None:
    noise = random.Random(1)
    ticks = [tick + noise.uniform(0, 1.0) for tick in every(2, 300)]  # collection_jitter
    assert [int(each / 2) * 2 for each in due(6, ticks)] == every(6, 100)
    assert due(2, ticks) == ticks


def test_a_tick_that_is_lost_costs_its_own_round_alone() -> None:
    ticks = [tick for tick in every(2, 20) if tick != 12]
    assert due(6, ticks) == [0, 6, 14, 18, 24, 30, 36]


@each_row("set_back", [1.0, 7.0, 3600.0])
def test_a_clock_that_is_set_costs_no_more_than_an_interval(set_back: float) -> None:
    pace = TickPace(6)
    for now in every(2, 20):
        pace.tick(EPOCH + now)
    found = [now for now in every(2, 20, first=40) if pace.tick(EPOCH + now - set_back)]
    assert found[0] <= 40 + 2 * 6
    assert all(after - before <= 8 for before, after in zip(found, found[1:]))
    assert len(found) >= 5


def test_how_far_the_next_round_is_follows_the_ticks_that_are_due() -> None:
    def ahead(interval: float, ticks: Iterable[float]) -> list[float]:
        pace = TickPace(interval)
        return [pace.ahead_s for now in ticks if pace.tick(EPOCH + now)]

    assert ahead(6, every(2, 8)) == [6, 6, 6]
    assert ahead(5, every(2, 8)) == pytest.approx([5, 4, 6])
    assert ahead(1, every(2, 3)) == [1, 2, 2]  # of the first it is not known yet
    assert ahead(30, every(2, 17, first=8)) == [22, 30]
