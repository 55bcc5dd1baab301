"""What guest agents' answers say, and how little of what they could say is kept."""

from __future__ import annotations

from typing import Any

from domstats.hypervisor.guest_answers import (
    DISKS_MOST,
    FILE_SYSTEMS_MOST,
    TEXT_MOST,
    Told,
    of_fs_info,
    of_guest_info,
)
from domstats.model import FileSystem

from tests.unit.rows import each_row

ROOT: dict[str, Any] = {
    "fs.count": 1,
    "fs.0.name": "dm-0",
    "fs.0.mountpoint": "/",
    "fs.0.fstype": "xfs",
    "fs.0.total-bytes": 100,
    "fs.0.used-bytes": 40,
    "fs.0.disk.count": 3,
    "fs.0.disk.0.alias": "vda",
    "fs.0.disk.1.serial": "libvirt did not find this one in the XML",
    "fs.0.disk.2.alias": "vdc",
}


def test_an_answer_of_the_newer_call() -> None:
    said = {"user.count": 2, "os.id": "debian", "os.version-id": "12", "hostname": "web", **ROOT}
    assert of_guest_info(said) == Told(
        "debian", "12", "web", 2, (FileSystem("dm-0", "/", "xfs", ("vda", "vdc"), 100, 40),)
    )


def test_an_answer_of_the_older_call_has_no_sizes() -> None:
    said = [["/", "vda1", "ext4", ["vda"]], ["/mnt", "sr0", "iso9660", []]]
    assert of_fs_info(said).filesystems == (
        FileSystem("vda1", "/", "ext4", ("vda",)),
        FileSystem("sr0", "/mnt", "iso9660", ()),
    )


@each_row(
    "change",
    [
        {"fs.0.total-bytes": None, "fs.0.used-bytes": None},
        {"fs.0.total-bytes": 100, "fs.0.used-bytes": 101},
        {"fs.0.total-bytes": 2**64 - 1, "fs.0.used-bytes": 1},
        {"fs.0.total-bytes": "100", "fs.0.used-bytes": 40},
        {"fs.0.total-bytes": -1, "fs.0.used-bytes": -1},
        {"fs.0.total-bytes": True, "fs.0.used-bytes": True},
    ],
)
def test_sizes_that_make_no_sense_are_left_out(change: dict[str, Any]) -> None:
    (found,) = of_guest_info({**ROOT, **change}).filesystems
    assert (found.total_bytes, found.used_bytes) == (None, None)


def test_what_a_guest_sends_is_bounded_in_number_and_length() -> None:
    many = {**ROOT, "fs.count": 10_000, "fs.0.disk.count": 10**9, "fs.0.mountpoint": "x" * 100_000}
    many.update({f"fs.0.disk.{number}.alias": "v" * 1000 for number in range(1000)})
    told = of_guest_info({**many, "hostname": "h" * 100_000, "os.id": 7, "user.count": -1})
    assert len(told.filesystems) == FILE_SYSTEMS_MOST
    assert told.left_out == 10_000 - FILE_SYSTEMS_MOST
    assert len(told.filesystems[0].mountpoint) == TEXT_MOST
    assert len(told.filesystems[0].disks) == DISKS_MOST
    assert {len(disk) for disk in told.filesystems[0].disks} == {TEXT_MOST}
    assert (len(told.hostname), told.os_id, told.users) == (TEXT_MOST, "", None)
    old = of_fs_info([["/", "a", "b", ["c"] * 1000]] * 10_000)
    assert (len(old.filesystems), old.left_out) == (FILE_SYSTEMS_MOST, 10_000 - FILE_SYSTEMS_MOST)
    assert len(old.filesystems[0].disks) == DISKS_MOST
