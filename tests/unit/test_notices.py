"""What the user hears of storage: once when it begins, and once when it ends."""

from __future__ import annotations

from domstats.engine.notices import StorageNotices

SILENT = (
    "warning",
    "storage /nfs does not answer: until it does, disks on it have no sizes (with libvirt 11.9 or"
    " newer no counters either)",
)
BACK = ("info", "storage /nfs answers again")


def test_silent_storage_is_told_once_and_its_end_once():
    told = StorageNotices()
    assert list(told.of_silent({"/nfs"}, {"/nfs"})) == [SILENT]
    assert list(told.of_silent({"/nfs"}, {"/nfs"})) == []
    assert list(told.of_silent((), {"/nfs"})) == []
    assert list(told.of_silent((), ())) == [BACK]
    assert list(told.of_silent((), ())) == []


def test_storage_that_is_back_at_the_end_of_its_only_round_is_told_with_its_end():
    assert list(StorageNotices().of_silent({"/nfs"}, ())) == [SILENT, BACK]


def test_a_mount_that_may_not_be_probed_is_told_with_what_it_means_and_what_to_do():
    told = StorageNotices()
    [(level, text)] = told.of_blind(["/fuse"])
    assert level == "warning"
    assert text == (
        "no permission to probe storage /fuse; if it hangs, disk queries can freeze a domain or"
        " two: run as root, or mount with allow_other"
    )
    assert list(told.of_blind(["/fuse"])) == []
    assert list(told.of_blind([])) == [
        ("info", "storage /fuse can be probed now, or holds no disks any more")
    ]
