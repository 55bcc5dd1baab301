"""Which groups of a domain are idle, by its answers."""

from __future__ import annotations

from typing import Any

from domstats.engine.idle import RSS, IdleGroups

from tests.unit.rows import each_row

NOTHING = {
    "iothread.count": 0,
    "dirtyrate.calc_status": 0,
    "dirtyrate.calc_period": 0,
    "balloon.current": 1024,
    "balloon.maximum": 1024,
    "balloon.last-update": 0,
    "balloon.rss": 500,
    "block.count": 1,
}
ALL = frozenset({"cpu_total", "iothread", "dirtyrate", "balloon", "block"})


def idle_after(has_info: bool = True, **changes: Any) -> set[str]:
    """The groups that are idle after an answer like ``NOTHING`` but for these keys."""
    idle = IdleGroups(60.0, has_info=has_info)
    stats = {**NOTHING, **{key.replace("__", "."): value for key, value in changes.items()}}
    idle.learn("u", {key: value for key, value in stats.items() if value is not None}, ALL, 0.0)
    found = idle.of("u")
    return set() if found is None else set(found.groups)


def test_a_domain_without_threads_dirty_rate_and_balloon_statistics_has_three_idle_groups() -> None:
    assert idle_after() == {"iothread", "dirtyrate", "balloon"}


@each_row(
    ("changes", "active"),
    [
        ({"iothread__count": 1}, "iothread"),
        ({"dirtyrate__calc_status": 1}, "dirtyrate"),
        ({"dirtyrate__calc_status": 2, "dirtyrate__megabytes_per_second": 0}, "dirtyrate"),
        ({"balloon__last-update": 1700000000}, "balloon"),
        ({"balloon__swap_in": 0}, "balloon"),
        ({"balloon__new_in_libvirt_99": 0}, "balloon"),
        ({"balloon__rss": None}, "balloon"),
    ],
)
def test_a_group_with_anything_to_tell_is_not_idle(changes: dict[str, Any], active: str) -> None:
    assert idle_after(**changes) == {"iothread", "dirtyrate", "balloon"} - {active}


def test_libvirt_says_nothing_of_a_domain_without_io_threads() -> None:
    assert "iothread" in idle_after(iothread__count=None)


def test_an_answer_that_may_be_without_the_monitor_shows_no_idle_group() -> None:
    idle = IdleGroups(60.0, has_info=False)
    idle.learn("u", {"state.state": 1}, frozenset({"state", "iothread"}), 0.0)
    assert idle.of("u") is None


def test_a_domain_without_a_balloon_is_one_whose_balloon_is_idle() -> None:
    changes: dict[str, Any] = {"balloon__last-update": None}
    assert "balloon" in idle_after(**changes)


def test_the_balloon_is_not_idle_where_nobody_else_tells_the_memory() -> None:
    assert "balloon" not in idle_after(has_info=False)
    idle = IdleGroups(60.0, has_info=True)
    idle.learn("u", dict(NOTHING), ALL, 0.0)
    found = idle.of("u")
    assert found is not None
    without = ALL - {"cpu_total", "iothread", "dirtyrate"}
    assert found.within(without) == (None, without)


def test_what_was_told_is_told_again_and_the_memory_of_the_process_as_it_is_now() -> None:
    idle = IdleGroups(60.0, has_info=True)
    idle.learn("u", dict(NOTHING), ALL, 0.0)
    found = idle.of("u")
    assert found is not None
    assert found.within(ALL) == (found, {"cpu_total", "block"})
    now = found.with_rss(700)
    assert now is not None
    assert now.stats == {
        "iothread.count": 0,
        "dirtyrate.calc_status": 0,
        "dirtyrate.calc_period": 0,
        "balloon.last-update": 0,
        RSS: 700,
    }
    assert found.with_rss(None) is None


def test_a_query_is_told_of_the_groups_that_it_asks_for_alone() -> None:
    idle = IdleGroups(60.0, has_info=False)
    idle.learn("u", dict(NOTHING), ALL, 0.0)
    found = idle.of("u")
    assert found is not None
    within, left = found.within(frozenset({"iothread", "block"}))
    assert within is not None
    assert left == {"block"}
    assert within.stats == {"iothread.count": 0}


def test_what_is_left_to_be_asked_shows_whether_the_monitor_was_asked() -> None:
    idle = IdleGroups(60.0, has_info=False)
    idle.learn("disks", dict(NOTHING), ALL, 0.0)
    idle.learn("none", {**NOTHING, "block.count": 0}, ALL, 0.0)
    disks, none = idle.of("disks"), idle.of("none")
    assert disks is not None
    assert none is not None
    assert disks.within(frozenset({"iothread", "vcpu"}))[0] is None
    assert disks.within(frozenset({"iothread", "block"}))[1] == {"block"}
    assert none.within(frozenset({"iothread", "block"}))[0] is None
    assert none.within(frozenset({"iothread", "balloon"}))[1] == {"balloon"}


@each_row("interval_s", [1.0, 10.0, 25.0, 60.0, 300.0])
def test_each_domain_is_asked_again_in_time_and_about_as_many_in_each_round(
    interval_s: float,
) -> None:
    idle, asked_at, asked = IdleGroups(60.0, has_info=False), dict.fromkeys(range(100), 0.0), []
    now = 0.0
    for _ in range(20 + int(180 / interval_s)):
        now += interval_s
        idle.begin(now)
        due = [number for number in range(100) if idle.of(str(number)) is None]
        asked.append(len(due))
        for number in due:
            assert not asked_at[number] or now - asked_at[number] < 60.0 + interval_s
            asked_at[number] = now
            idle.learn(str(number), dict(NOTHING), ALL, now)
    fair = min(100.0, 100 * interval_s / 60)
    assert fair - 1 <= min(asked[1:])
    assert max(asked[1:]) <= fair + 1


def test_those_who_are_asked_too_late_are_asked_at_once() -> None:
    idle = IdleGroups(60.0, has_info=False)
    for number in range(100):
        idle.learn(str(number), dict(NOTHING), ALL, 0.0)
    idle.begin(1.0)
    for second in range(2, 60):
        idle.begin(float(second))
    assert any(idle.of(str(number)) for number in range(100))
    idle.begin(60.0)
    assert not any(idle.of(str(number)) for number in range(100))


def test_an_answer_without_the_idle_groups_says_nothing_about_them() -> None:
    idle = IdleGroups(60.0, has_info=False)
    idle.learn("u", dict(NOTHING), ALL, 0.0)
    idle.learn("u", {"block.count": 1}, frozenset({"cpu_total", "block"}), 0.0)
    assert idle.of("u") is not None
    idle.learn("u", {**NOTHING, "iothread.count": 2, "dirtyrate.calc_status": 1}, ALL, 0.0)
    assert idle.of("u") is None


def test_nothing_is_idle_where_every_round_is_to_ask_for_everything() -> None:
    idle = IdleGroups(0.0, has_info=True)
    idle.learn("u", dict(NOTHING), ALL, 0.0)
    idle.begin(1.0)
    assert idle.of("u") is None


def test_ten_thousand_alike_share_what_they_told() -> None:
    idle = IdleGroups(60.0, has_info=False)
    for number in range(100):
        idle.learn(str(number), dict(NOTHING), ALL, 0.0)
    assert len({id(idle.of(str(number))) for number in range(100)}) == 1
