"""Disks that are asked for their counters alone stand where the bulk answer has them."""

from __future__ import annotations

from domstats.domain_xml.disk_counters import Disk, counted_disks
from domstats.engine.rounds import SeenDevices
from domstats.model import NO_DEVICES, Devices

XML = Devices(targets=("vda", "hda", "vdb"), sources={"vda": "/a", "vdb": "/b"})


def seen(**stats):
    devices = SeenDevices()
    devices.differ({key.replace("_", "."): value for key, value in stats.items()})
    return devices.disks


def test_before_the_first_answer_disks_are_counted_as_the_xml_has_them_empty_drives_included():
    disks = (Disk(0, "vda", "/a"), Disk(1, "hda", ""), Disk(2, "vdb", "/b"))
    assert counted_disks([], XML) == disks
    assert counted_disks([], NO_DEVICES) == ()


def test_a_disk_keeps_the_index_and_the_path_that_it_had_in_the_last_answer():
    last = seen(
        block_count=4,
        block_0_name="vda",
        block_0_path="/pool/a",
        block_2_name="hda",
        block_3_name="vdb",
        block_3_path="/b",
    )
    assert counted_disks(last, XML) == (
        Disk(0, "vda", "/pool/a"),
        Disk(2, "hda", ""),
        Disk(3, "vdb", "/b"),
    )


def test_a_copy_under_way_is_no_disk_of_its_own_and_moves_those_behind_it():
    last = [("vda", "/a"), ("vda", "/copy"), ("hda", None), ("vdb", "/b")]
    assert [disk.number for disk in counted_disks(last, XML)] == [0, 2, 3]


def test_after_a_disk_was_plugged_in_or_out_the_xml_counts():
    last = [("vda", "/a"), ("hda", None)]
    assert [disk.target for disk in counted_disks(last, XML)] == ["vda", "hda", "vdb"]
    assert [disk.number for disk in counted_disks([*last, ("sda", "/s")], XML)] == [0, 1, 2]


def test_the_last_answer_is_remembered_while_answers_without_disks_come():
    devices = SeenDevices()
    devices.differ({"net.count": 0, "block.count": 1, "block.0.name": "vda", "block.0.path": "/a"})
    devices.differ({"net.count": 0})
    assert devices.disks == [("vda", "/a")]
