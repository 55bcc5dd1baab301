"""In one Telegraf, domstats and Telegraf's own inputs.libvirt tell the same of the same guests."""

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents import Telegraf
from tests.system.agents.lines import Point
from tests.system.agreement import At, differences
from tests.system.bed import Shape
from tests.system.configurations import GROUPS, execd, libvirt_table
from tests.system.waiting import wait_for

ALL = (f"statistics_groups = {GROUPS}", 'additional_statistics = ["vcpu_mapping"]')
ROUNDS = 6
#: A guest that does not run.
OFF = "off"

#: What is reported of a guest whose monitor another holds, and when that is over.
HELD = {
    "its monitor is busy",
    "a call to its monitor is stuck",
    "no answer before the deadline",
    "",
}
#: Fields that come with newer libvirts, and inputs.libvirt does not know.
NEWER = ("limits_", "timed_group_", "latency_histogram_", "poll_weight")

#: What goes up and down from one moment to the next, and how far.
WANDERS = {
    ("libvirt_balloon", "rss"): 4096,  # KiB
    ("libvirt_vcpu", "cpu_id"): os.cpu_count() or 1,
}


@pytest.fixture
def told(bed: Any, start: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """``told(option, …)``: what inputs.libvirt told, and domstats with those options."""

    def run(*options: str) -> tuple[list[Point], list[Point]]:
        bed.add(Shape(OFF))[0].destroy()
        settings = tmp_path / "domstats.toml"
        settings.write_text(libvirt_table(bed.uri, *ALL, *options))
        theirs = libvirt_table(bed.uri, *ALL, "[inputs.libvirt.tags]", '  source = "theirs"')
        ours = execd(settings, "[inputs.execd.tags]", '  source = "ours"')
        telegraf = start(Telegraf, theirs + ours)

        def by_source() -> dict[str, list[Point]]:
            found: dict[str, list[Point]] = {"ours": [], "theirs": []}
            for point in telegraf.points():
                tags = dict(point.tags)
                found[tags.pop("source")].append(point._replace(tags=tags))
            return found

        def enough() -> bool:
            return all(len(times(points)) >= ROUNDS for points in by_source().values())

        wait_for(f"{ROUNDS} rounds of both", enough)
        bed.guests[0].move_counters()
        since = time.time_ns()
        wait_for(
            "three more rounds of both",
            lambda: all(
                len({each for each in times(points) if each > since}) >= 3
                for points in by_source().values()
            ),
        )
        errors = [line for line in telegraf.log.splitlines() if " E! " in line]
        assert [line for line in errors if "did not answer within" not in line] == []
        found = by_source()
        return found["theirs"], found["ours"]

    return run


def times(points: Iterable[Point]) -> set[int]:
    return {point.time for point in points if point.measurement == "libvirt_state"}


def fields(points: Iterable[Point]) -> dict[Any, list[At]]:
    """Every field's values, by everything that names it: measurement, tags, field, type."""
    found: dict[Any, list[At]] = defaultdict(list)
    for point in points:
        for name, field in point.fields.items():
            series = (point.measurement, tuple(sorted(point.tags.items())), name, field.kind)
            found[series].append(At(point.time / 1e9, field.value))
    return found


def is_libvirtds_own(point: Point) -> bool:
    """Whether it is the CPU time that libvirt 9.0 answers of a guest that does not run."""
    return point.measurement == "libvirt_cpu" and point.tags["domain_name"] == OFF


def disagreements(theirs: Iterable[Point], ours: Iterable[Point]) -> list[str]:
    our_fields = fields(ours)
    their_fields = fields(point for point in theirs if not is_libvirtds_own(point))
    slack = {name: WANDERS.get((name[0], name[2]), 0) for name in our_fields}
    return differences(our_fields, their_fields, slack)


def test_the_series_telegraf_tells_exactly_what_inputs_libvirt_tells(
    told: Callable[..., Any], bed: Any
) -> None:
    theirs, ours = told('series = "telegraf"')

    assert disagreements(theirs, ours) == []
    assert {point.tags["domain_name"] for point in ours} == {guest.name for guest in bed.guests}
    assert {point.measurement for point in ours} >= {
        "libvirt_block",
        "libvirt_cpu_affinity",
        "libvirt_net",
        "libvirt_vcpu",
    }


def test_the_full_series_adds_uuid_device_time_ns_and_rounds_and_nothing_else(
    told: Callable[..., Any], bed: Any
) -> None:
    theirs, ours = told()
    uuids = {guest.name: guest.uuid for guest in bed.guests}

    added, same = [], []
    for point in ours:
        if point.measurement.startswith("domstats_"):
            added.append(point)
            continue
        tags = dict(point.tags)
        assert tags.pop("uuid") == uuids[tags["domain_name"]]
        device = tags.pop("device", None)
        has_device = point.measurement in ("libvirt_block", "libvirt_net")
        assert (device is not None) == has_device, point
        if device is not None:
            assert device == point.fields["name"].value
        kept = {
            name: field
            for name, field in point.fields.items()
            if name != "time_ns" and not name.startswith(NEWER)
        }
        if "time_ns" in point.fields:
            assert point.fields["time_ns"] == point.fields["time"]
        same.append(point._replace(tags=tags, fields=kept))

    assert disagreements(theirs, same) == []
    rounds = [point for point in added if point.measurement == "domstats_round"]
    # On a busy machine a round may be without an answer; the other plugin's then took too long too.
    assert any(point.fields["connected"].value for point in rounds)
    # The other plugin asks in the same moments, and may hold a monitor through a whole round.
    others = [point for point in added if point not in rounds]
    assert {point.measurement for point in others} <= {"domstats_domain"}
    assert {point.fields["reason"].value for point in others} <= HELD


def test_a_guest_that_does_not_run_has_no_cpu_time_of_libvirtds_own(
    told: Callable[..., Any], missing: Callable[[str, str], NoReturn]
) -> None:
    theirs, ours = told()
    assert not any(is_libvirtds_own(point) for point in ours)
    if not any(is_libvirtds_own(point) for point in theirs):
        missing("a libvirtd that gives them its own", "libvirt 9.0 does")


def test_where_a_vcpu_is_unplugged_the_others_keep_their_own_numbers(
    told: Callable[..., Any], bed: Any
) -> None:
    bed.add(Shape("gap", vcpus=3, unplugged=1))
    theirs, ours = told('series = "telegraf"')

    def affinities(points: Iterable[Point]) -> dict[str, Any]:
        return {
            point.tags["vcpu_id"]: point.fields["cpu_id"].value
            for point in points
            if point.measurement == "libvirt_cpu_affinity" and point.tags["domain_name"] == "gap"
        }

    their_affinities, our_affinities = affinities(theirs), affinities(ours)
    assert sorted(their_affinities) == ["0", "1"], "they count those that are plugged in"
    assert sorted(our_affinities) == ["0", "2"]
    assert our_affinities["2"] == "0", "to which it is pinned"
    vcpus = [
        point
        for point in ours
        if point.measurement == "libvirt_vcpu" and point.tags["domain_name"] == "gap"
    ]
    assert {point.tags["vcpu_id"] for point in vcpus} == {"0", "2"}
    assert all("cpu_id" in point.fields for point in vcpus)
