"""Which groups a call asks in bulk, and what else by calls for each domain."""

from __future__ import annotations

from typing import Any

from domstats.domain_xml.disk_counters import COUNTERS
from domstats.drivers import BLOCK
from domstats.engine.actions import EngineSettings, Hints
from domstats.engine.disk_sizes import DiskSizes
from domstats.engine.questions import Questions
from domstats.engine.rounds import Call, Kind, Query
from domstats.engine.xml_book import XmlBook
from domstats.model import Devices

from tests.unit.rows import each_row

#: As for collectd's vcpupin and cpu_util: not in bulk, by cheaper calls for each domain.
DIRECT = {"cpu_total": frozenset({"cpu"})}


def questions(xml: XmlBook | None = None, **settings: Any) -> Questions:
    made = EngineSettings(uri="qemu:///system", **settings)
    return Questions(made, Hints(), xml or XmlBook(is_wanted=True), DiskSizes(0))


def call(*groups: str, uuids: tuple[str, ...] = ("a",)) -> Call:
    return Call(1, Kind.MONITOR, uuids, frozenset(groups), 0.0, 1)


def query(*groups: str, fast: bool = False) -> Query:
    return Query(1, 1.0, frozenset(groups), fast=fast)


def test_groups_are_asked_in_bulk_but_for_those_that_other_calls_tell() -> None:
    asked = call("state", "cpu_total", BLOCK)
    questions(by_classic_calls=DIRECT).of_monitors(asked)
    assert asked.bulk == {"state", BLOCK}
    assert asked.classic == {"cpu"}


def test_counters_of_disks_are_asked_disk_by_disk_where_it_is_known_which_there_are() -> None:
    xml = XmlBook(is_wanted=True)
    xml.learned("a", Devices(targets=("vda",), sources={"vda": "/a"}), {}, 0.0)
    asked = call("state", COUNTERS, uuids=("a", "b"))
    questions(xml).of_monitors(asked)
    assert asked.bulk == {"state"}
    assert set(asked.counted) == {"a"}


@each_row(
    ("groups", "classic"),
    [
        (("vcpu", "state"), {"placement", "affinity"}),
        (("state",), set()),  # a query for that alone
        ((BLOCK,), set()),
    ],
)
def test_the_mapping_of_vcpus_comes_with_their_group(
    groups: tuple[str, ...], classic: set[str]
) -> None:
    asked = call(*groups)
    questions(vcpu_mapping=True).of_monitors(asked)
    assert asked.classic == classic


def test_the_mapping_comes_with_any_group_if_nobody_wants_that_of_vcpus() -> None:
    asked = call("state")
    questions(vcpu_mapping=True, groups=frozenset({"state"})).of_monitors(asked)
    assert asked.classic == {"affinity"}


def test_errors_of_disks_are_asked_with_the_disks_only() -> None:
    made = questions(disk_errors=True)
    with_disks, without = call(BLOCK), call("state")
    made.of_monitors(with_disks)
    made.of_monitors(without)
    assert (with_disks.classic, without.classic) == ({"errors"}, set())


def test_without_the_monitor_groups_of_quarantine_are_asked_and_what_other_calls_tell() -> None:
    made = questions(by_classic_calls=DIRECT, quarantine_groups=frozenset({"state", "interface"}))
    asked, wanted = call(), query("state", "cpu_total", "balloon", BLOCK)
    assert made.answered_without_monitor(wanted) == {"state", "cpu_total"}
    made.without_monitor(asked, wanted)
    assert asked.bulk == {"state"}
    assert "cpu" in asked.classic


def test_the_fast_lane_asks_all_its_groups_without_the_monitor() -> None:
    asked, wanted = call(), query("cpu_total", "interface", fast=True)
    made = questions()
    assert made.answered_without_monitor(wanted) == {"cpu_total", "interface"}
    made.without_monitor(asked, wanted)
    assert asked.bulk == {"interface"}
    assert asked.classic == {"cpu"}


def test_jobs_are_asked_for_where_a_monitor_may_be_asked_and_once_in_a_round() -> None:
    wanted = frozenset({"running_job", "completed_job"})
    asker = questions(job_values=wanted)
    whole, disks_only, none = call("state", BLOCK), call(BLOCK), call("state", "balloon")
    asker.of_monitors(whole)
    asker.of_monitors(disks_only)
    asker.without_monitor(none, query("state", "balloon"))
    assert whole.classic == wanted
    assert not disks_only.classic & wanted
    assert not none.classic & wanted
    unasked = call("state", BLOCK)
    questions().of_monitors(unasked)
    assert unasked.classic == frozenset()
