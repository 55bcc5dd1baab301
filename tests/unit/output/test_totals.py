"""Totals in the place of devices, in both agents, round after round: series worked by hand."""

from __future__ import annotations

from typing import Any, Optional

from domstats.agents.telegraf_execd import line_filter
from domstats.config.telegraf import from_table
from domstats.model import Devices, DomainSample, Round, Sample, Stats, Status
from domstats.output.line_protocol import LineProtocol
from domstats.output.value_lists import CollectdOptions, ValueLists

from tests.line_parsers import parse_line
from tests.unit.output.value_lists_told import one_by_one

#: A disk: its name, what it has read and its capacity, where that is known.
Disk = tuple[str, Any, Optional[int]]


def sample(*disks: Disk, spent: int = 100, answered: bool = True, path: str = "/a") -> Sample:
    stats: Stats = {"state.state": 1, "cpu.time": spent}
    if answered:
        stats["block.count"] = len(disks)
    for number, (name, read, capacity) in enumerate(disks):
        stats[f"block.{number}.name"], stats[f"block.{number}.path"] = name, path
        stats[f"block.{number}.rd.bytes"] = stats[f"block.{number}.wr.bytes"] = read
        if capacity is not None:
            stats[f"block.{number}.capacity"] = capacity
    sources = {name: path for name, _, _ in disks}
    domain = DomainSample("u", "vm", Status.FRESH, stats, devices=Devices(sources=sources))
    return Sample("qemu:///system", 1, (domain,), Round())


def telegraf(*rounds: Sample, **table: Any) -> list[tuple[Any, Any]]:
    """What was read and the capacity of all disks, in each round."""
    writer = LineProtocol(wanted=line_filter(from_table({"totals": ["block"], **table})))
    found = []
    for each in rounds:
        fields: dict[str, Any] = {}
        for point in map(parse_line, writer.encode(each).decode().splitlines()):
            assert point["measurement"] != "libvirt_block"
            if point["measurement"] == "libvirt_block_total":
                fields |= point["fields"]
        found.append((fields.get("rd_bytes"), fields.get("capacity")))
    return found


def collectd(*rounds: Sample, **options: Any) -> list[tuple[Any, Any]]:
    """The same."""
    writer = ValueLists(
        CollectdOptions(
            totals=frozenset({"block"}), extra_stats=frozenset({"disk_capacity"}), **options
        )
    )
    found = []
    for each in rounds:
        values = {}
        for part in one_by_one(writer.translate(each, 10.0)):
            assert not part.type.startswith("disk_") or part.type_instance == "total"
            values[part.type] = part.values
        octets, capacity = values.get("disk_octets"), values.get("disk_capacity")
        found.append((octets and octets[0], capacity and capacity[0]))
    return found


VDA, VDB = ("vda", 100, 1000), ("vdb", 10, 500)


def test_a_disk_that_is_unplugged_leaves_what_it_had_counted_and_takes_its_size() -> None:
    rounds = sample(VDA, VDB), sample(("vda", 120, 1000)), sample(("vda", 125, 1000))
    expected = [(110, 1500), (130, 1000), (135, 1000)]
    assert telegraf(*rounds) == collectd(*rounds) == expected


def test_a_disk_that_moves_to_another_number_is_the_same_disk() -> None:
    rounds = sample(VDA, VDB), sample(("vdb", 11, 500)), sample(("vdb", 12, 500), ("vda", 0, 7))
    assert telegraf(*rounds) == collectd(*rounds) == [(110, 1500), (111, 500), (112, 507)]


def test_another_file_of_a_disk_as_after_a_snapshot_counts_nothing_twice() -> None:
    rounds = sample(VDA), sample(("vda", 105, 1000), path="/snapshot")
    expected = [(100, 1000), (105, 1000)]
    assert telegraf(*rounds) == collectd(*rounds) == expected
    assert collectd(*rounds, block_device_format="source") == expected


def test_a_round_that_lacks_the_group_has_no_total_and_the_next_one_goes_on() -> None:
    rounds = sample(VDA, VDB), sample(answered=False), sample(VDA, ("vdb", 12, 500))
    expected = [(110, 1500), (None, None), (112, 1500)]
    assert telegraf(*rounds) == collectd(*rounds) == expected


def test_while_storage_hangs_the_counters_go_on_without_sizes() -> None:
    rounds = sample(VDA, VDB), sample(("vda", 101, None), ("vdb", 10, None))
    assert telegraf(*rounds) == collectd(*rounds) == [(110, 1500), (111, None)]


def test_an_empty_drive_has_no_size_and_the_sum_goes_without_it() -> None:
    rounds = (sample(VDA, ("sda", 0, None)),)
    assert telegraf(*rounds) == collectd(*rounds) == [(100, 1000)]


def test_a_domain_that_was_started_again_begins_at_what_its_disks_have_counted() -> None:
    rounds = sample(VDA, VDB, spent=9000), sample(("vda", 3, 1000), spent=1)
    assert telegraf(*rounds) == collectd(*rounds) == [(110, 1500), (3, 1000)]


def test_only_disks_that_are_selected_are_in_the_total() -> None:
    rounds = sample(VDA, VDB), sample(("vda", 101, 1000), ("vdb", 20, 500))
    expected = [(100, 1000), (101, 1000)]
    assert telegraf(*rounds, block_devices_exclude=["vm:vdb"]) == expected
    assert collectd(*rounds, wants_block=lambda domain, disk: disk != "vdb") == expected


def test_what_is_no_number_is_not_in_the_total() -> None:
    rounds = sample(VDA, ("vdb", "many", 500)), sample(VDA, ("vdb", -1, 500)), sample(VDA, VDB)
    assert telegraf(*rounds) == [(100, 1500), (100, 1500), (110, 1500)]
    assert collectd(*rounds) == [(100, 1500), (100, 1500), (110, 1500)]


def test_a_sum_beyond_what_an_agent_holds_is_cut_or_left_out() -> None:
    huge = sample(("vda", 2**63 - 1, 1), ("vdb", 2**63 - 1, 1), ("vdc", 2**63 - 1, 1))
    assert collectd(huge) == [(None, 3)]
    assert telegraf(huge)[0][0] >= 2**63 - 1


def test_fields_that_are_left_out_leave_no_lines_behind() -> None:
    writer = LineProtocol(wanted=line_filter(from_table({"fields_include": ["nothing"]})))
    for _ in range(2):
        lines = writer.encode(sample(VDA)).decode().splitlines()
        assert [line.split(",")[0] for line in lines] == ["domstats_round"]


def test_a_disk_of_another_name_under_the_same_keys_is_judged_anew() -> None:
    writer = LineProtocol(wanted=line_filter(from_table({"block_devices": ["*:vda"]})))
    assert b"libvirt_block," in writer.encode(sample(VDA))
    assert b"libvirt_block," not in writer.encode(sample(VDB))
    assert b"libvirt_block," in writer.encode(sample(VDA))
