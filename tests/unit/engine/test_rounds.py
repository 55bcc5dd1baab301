"""What is known of each domain in a round, and how answers are merged."""

from __future__ import annotations

from domstats.drivers import BLOCK, shows_monitor
from domstats.engine.rounds import (
    Entry,
    Query,
    RoundBook,
    SeenDevices,
    device_names,
)
from domstats.model import GROUPS, MONITOR_FREE_GROUPS, Stats

from tests.unit.rows import each_row

ALL = frozenset(GROUPS)


def entry(*groups):
    return Entry("u1", "vm1", True, frozenset(groups) or ALL)


def test_an_answer_for_all_groups_leaves_nothing_missing():
    domain = entry()
    domain.take({"cpu.time": 1}, ALL)
    assert domain.missing == frozenset()


def test_an_answer_without_disks_misses_the_disks_alone_until_they_come():
    domain = entry()
    domain.take({"cpu.time": 1}, ALL - {BLOCK})
    assert domain.missing == {BLOCK}
    domain.take({"block.count": 0}, frozenset({BLOCK}))
    assert domain.missing == frozenset()
    assert domain.stats == {"cpu.time": 1, "block.count": 0}


def test_an_answer_without_the_monitor_gives_what_needs_none_and_no_more():
    domain = entry()
    domain.take_partial({"state.state": 1, "cpu.time": 5}, MONITOR_FREE_GROUPS)
    assert domain.got == MONITOR_FREE_GROUPS
    assert domain.stats == {"state.state": 1, "cpu.time": 5}


@each_row("order", ["whole first", "partial first"])
def test_a_whole_answer_goes_before_a_partial_one_whichever_comes_first(order):
    domain = entry()
    if order == "whole first":
        domain.take({"cpu.time": 2}, ALL)
    domain.take_partial({"cpu.time": 1, "vcpu.current": 4}, MONITOR_FREE_GROUPS)
    if order == "partial first":
        domain.take({"cpu.time": 2}, ALL)
    assert domain.stats == {"cpu.time": 2, "vcpu.current": 4}


@each_row(
    ("listed", "answer"),
    [
        (False, {}),  # by the list
        (False, {"state.state": 5}),  # by both
        (True, {"state.state": 5}),  # stopped since it was listed
    ],
)
@each_row("taken", [Entry.take, Entry.take_partial])
def test_a_domain_that_does_not_run_has_no_cpu_time_of_libvirtds_own(listed, answer, taken):
    domain = Entry("u1", "vm1", listed, ALL)
    taken(domain, {**answer, "cpu.time": 5, "cpu.user": 3, "vcpu.current": 2}, ALL)
    assert domain.stats == {**answer, "vcpu.current": 2}


def test_a_partial_answer_brings_no_group_that_nobody_asked_for():
    domain = entry("cpu_total", "block")
    domain.take_partial({"state.state": 1, "cpu.time": 5, "vcpu.current": 2}, frozenset())
    assert domain.stats == {"cpu.time": 5}


def test_the_state_that_libvirt_adds_unasked_is_left_out():
    domain = entry("cpu_total")
    domain.take({"state.state": 1, "state.reason": 1, "cpu.time": 5}, frozenset({"cpu_total"}))
    assert domain.stats == {"cpu.time": 5}


def test_an_answer_ends_a_failure():
    domain = entry()
    domain.failure = "internal error"
    domain.take({}, ALL)
    assert not domain.failure


@each_row(
    ("groups", "stats", "shown"),
    [
        (ALL, {"balloon.rss": 1}, True),
        (ALL, {"dirtyrate.calc_status": 0}, True),
        ({"iothread"}, {}, True),  # as of a domain without any
        (ALL, {"balloon.current": 1, "cpu.time": 1, "block.count": 2}, False),
        ({"balloon"}, {}, False),
        ({"block"}, {"block.count": 1, "block.0.rd.reqs": 1}, True),
        ({"block"}, {"block.count": 1, "block.0.path": "/a"}, False),
        ({"block"}, {"block.count": 0}, True),
        ({"cpu_total"}, {"cpu.time": 1}, True),
        (MONITOR_FREE_GROUPS, {"state.state": 1}, True),
    ],
)
def test_an_answer_shows_whether_the_monitor_was_asked(groups, stats, shown):
    assert shows_monitor(stats, frozenset(groups)) is shown


def test_devices_are_known_by_their_names_and_paths():
    stats: Stats = {
        "net.count": 1,
        "net.0.name": "vnet0",
        "block.count": 2,
        "block.0.name": "vda",
        "block.0.path": "/a",
        "block.1.name": "sda",
    }
    assert device_names(stats) == {"net": ("vnet0",), "block": ("vda", "/a", "sda", None)}


def test_an_answer_without_disks_says_nothing_about_disks():
    assert device_names({"net.count": 0, "cpu.time": 1}) == {"net": ()}


@each_row("count", [-1, "many", 2**64 - 1, None, 1.5])
def test_a_count_that_makes_no_sense_does_no_harm(count):
    assert len(device_names({"block.count": count}).get("block", ())) <= 2 * 4096


@each_row(
    ("then", "differ"),
    [
        ({}, False),
        ({"cpu.time": 7}, False),
        ({"net.0.name": "vnet1"}, True),
        ({"net.count": 2, "net.1.name": "vnet1"}, True),
        ({"block.0.path": "/b"}, True),
        ({"block.1.path": "/cd.iso"}, True),
        ({"block.count": 1}, True),
        ({"net.count": None, "net.0.name": None}, False),
        ({"block.count": None, "block.0.path": "/b"}, False),
    ],
)
@each_row("has_cdrom", [True, False])
def test_other_devices_are_noticed_once(then, differ, has_cdrom):
    first: Stats = {
        "net.count": 1,
        "net.0.name": "vnet0",
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.path": "/a",
    }
    if has_cdrom:
        first.update({"block.count": 2, "block.1.name": "sda"})
    elif "block.1.path" in then or then == {"block.count": 1}:
        then, differ = {}, False
    seen = SeenDevices()
    assert not seen.differ(first), "there was nothing before"
    assert not seen.differ(first)
    second = {key: value for key, value in {**first, **then}.items() if value is not None}
    assert seen.differ(second) is differ
    assert not seen.differ(second)


def test_devices_that_were_not_in_every_answer_are_noticed_all_the_same():
    seen = SeenDevices()
    assert not seen.differ({"net.count": 1, "net.0.name": "vnet0"})
    disk: Stats = {"block.count": 1, "block.0.name": "vda", "block.0.path": "/a"}
    both: Stats = {"net.count": 1, "net.0.name": "vnet0", **disk}
    assert not seen.differ(both)
    assert not seen.differ({"net.count": 1, "net.0.name": "vnet0"})
    assert seen.differ({**both, "block.0.path": "/b"})


def test_those_who_are_asked_alone_come_in_the_order_of_hope_then_of_asking():
    book = RoundBook(Query(1, 9.0, ALL), 0.0, 0)
    book.queue_single("doubtful", ALL, (True, -9.0))
    book.queue_single("first", ALL, (False, -5.0))
    book.queue_single("second", ALL, (False, -5.0))
    book.queue_single("best", ALL, (False, -8.0))
    order = []
    while book.has_singles:
        order.append(book.pop_single()[0])
    assert order == ["best", "first", "second", "doubtful"]


def test_whoever_waits_and_has_nothing_yet_is_spared():
    book = RoundBook(Query(1, 9.0, ALL), 0.0, 0)
    for uuid in ("u1", "u2"):
        book.entries[uuid] = Entry(uuid, uuid, True, ALL)
        book.queue(uuid, ALL)
    book.entries["u1"].take_partial({}, MONITOR_FREE_GROUPS)
    book.spare()
    assert list(book.free) == ["u2"]


def test_what_was_handed_out_of_an_entry_is_not_altered_by_a_later_answer():
    entry = Entry("u1", "one", True, frozenset({"state", "cpu_total", "interface"}))
    for take, key in (
        (entry.take_partial, "net.count"),
        (entry.take, "cpu.time"),
        (entry.take_partial, "cpu.user"),
    ):
        before = entry.stats
        kept = dict(before)
        take({"state.state": 1, key: 1}, frozenset({"state"}))
        assert before == kept
        assert key in entry.stats
