"""The storage watch: who is kept from being asked for disks, while which mount is silent.

Mount tables are texts, links a dict, probes functions that wait for an event.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest
from domstats.hypervisor.mounts import Mount, MountInfo, MountTable, remote_mounts
from domstats.hypervisor.storage import Outcome, Space, StorageBook, StorageWatch, look

from tests.unit.rows import each_row

WEB, DB, LOCAL = "uuid-of-web", "uuid-of-db", "uuid-of-local"

#: A root with an NFS mount and a FUSE mount, and the usual company.
TABLE = """\
22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
24 27 0:6 / /dev rw,relatime shared:2 master:1 - devtmpfs devtmpfs rw,mode=755
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:50 / /nfs rw,relatime shared:9 - nfs4 filer:/export rw,hard,vers=4.2
41 27 0:51 / /fuse rw,nosuid - fuse.glusterfs gl1:/vol rw,allow_other
42 27 254:1 / /local rw - xfs /dev/vdb rw
"""
NFS = Mount(40, 27, "0:50", "/nfs", "nfs4")


# --- where a path lies


def points(
    path: str,
    table: str = TABLE,
    links: Optional[dict[str, str]] = None,
    untouchable: tuple[str, ...] = ("/nfs/", "/fuse/", "/auto/"),
) -> tuple[str, ...]:
    """The mount points that a path needs."""

    def readlink(path: str) -> str:
        assert not path.startswith(untouchable), f"{path} was touched, which may hang"
        if links is not None and path in links:
            return links[path]
        raise OSError(errno.EINVAL, "no link", path)

    mounts = remote_mounts(path, MountTable(table), readlink)
    return tuple(sorted(mount.point for mount in mounts))


@each_row(
    ("path", "expected"),
    [
        ("/nfs/web.qcow2", ("/nfs",)),
        ("/nfs/deep/er/web.qcow2", ("/nfs",)),
        ("/nfs", ("/nfs",)),
        ("/nfs/", ("/nfs",)),
        ("//nfs/./x", ("/nfs",)),
        ("/local/../nfs/x", ("/nfs",)),
        ("/fuse/x", ("/fuse",)),
        ("/nfs2/x", ()),
        ("/nf", ()),
        ("/local/x", ()),
        ("/var/lib/libvirt/images/x", ()),
        ("/dev/vg/x", ()),
        ("/../../nfs/x", ("/nfs",)),
        ("/", ()),
    ],
)
def test_a_path_lies_on_the_mount_that_the_kernel_would_find(
    path: str, expected: tuple[str, ...]
) -> None:
    assert points(path) == expected


@each_row(
    "path", ["", "nfs/x", "../nfs/x", "/nfs/\0", "/nfs/" + "x" * 5000, " /nfs/x"]
)
def test_an_odd_path_has_no_mount(path: str) -> None:
    assert points(path) == ()


def test_a_path_through_one_mount_to_another_needs_both() -> None:
    table = (
        f"{TABLE}50 40 0:60 / /nfs/inner rw - cifs //srv/x rw\n"
        "51 40 254:3 / /nfs/disk rw - ext4 /dev/vde rw\n"
    )
    assert points("/nfs/inner/x", table) == ("/nfs", "/nfs/inner")
    assert points("/nfs/disk/x", table) == ("/nfs",)


def test_a_mount_point_with_blanks_and_backslashes_is_found() -> None:
    table = TABLE + "50 27 0:60 / /my\\040shares\\134\\011\\0127 rw - nfs filer:/b rw\n"
    assert points("/my shares\\\t\n7/x", table) == ("/my shares\\\t\n7",)


def test_a_bind_mount_of_network_storage_is_network_storage() -> None:
    table = TABLE + "50 27 0:50 /images /var/images rw - nfs4 filer:/export rw\n"
    assert points("/var/images/x", table) == ("/var/images",)


def test_what_is_mounted_over_counts_no_more() -> None:
    local_over_nfs = TABLE + "50 40 254:9 / /nfs rw - ext4 /dev/vdc rw\n"
    assert points("/nfs/x", local_over_nfs, untouchable=()) == ()
    nfs_over_local = TABLE + "50 42 0:60 / /local rw - nfs filer:/b rw\n"
    assert points("/local/x", nfs_over_local, untouchable=("/local/",)) == ("/local",)


def test_a_mount_inside_of_what_is_mounted_over_is_hidden_with_it() -> None:
    inner = "50 42 0:60 / /local/inner rw - nfs filer:/i rw\n"
    assert points("/local/inner/x", TABLE + inner) == ("/local/inner",)
    over = "51 42 254:7 / /local rw - ext4 /dev/vdd rw\n"
    assert points("/local/inner/x", TABLE + inner + over) == ()


def test_of_two_mounts_at_one_place_the_later_one_counts() -> None:
    table = TABLE + "50 27 0:60 / /data rw - nfs f:/a rw\n51 27 254:7 / /data rw - ext4 d rw\n"
    assert points("/data/x", table) == ()


def test_a_root_on_network_storage_holds_everything_on_it() -> None:
    table = "30 1 0:30 / / rw - nfs4 filer:/root rw\n31 30 254:1 / /local rw - xfs d rw\n"
    mounts = remote_mounts("/var/x", MountTable(table), pytest.fail)
    assert [mount.point for mount in mounts] == ["/"]


def test_links_are_followed_to_where_the_disk_really_lies() -> None:
    links = {
        "/var/lib/libvirt/images": "/srv/images",
        "/srv/images": "../nfs/kvm",
        "/local/a": "b/../c",
        "/local/c": "/fuse",
    }
    assert points("/var/lib/libvirt/images/x", links=links) == ("/nfs",)
    assert points("/local/a/x", links=links) == ("/fuse",)
    assert points("/local/a/../nfs/x", links=links) == ("/fuse", "/nfs")


def test_links_without_end_are_given_up() -> None:
    assert points("/a/x", links={"/a": "b", "/b": "a"}) == ()
    assert points("/a/x", links={"/a": "a/a/a"}) == ()
    chain = {f"/l{number}": f"l{number + 1}" for number in range(39)} | {"/l39": "/nfs"}
    assert points("/l0/x", links=chain) == ("/nfs",)


def test_behind_a_folder_that_cannot_be_read_the_path_is_taken_as_it_is_written() -> None:
    touched = []

    def readlink(path: str) -> str:
        touched.append(path)
        raise PermissionError(errno.EACCES, "closed")

    table = TABLE + "50 27 0:60 / /var/lib/nova/mnt rw - nfs f:/a rw\n"
    mounts = remote_mounts("/var/lib/nova/mnt/x", MountTable(table), readlink)
    assert [mount.point for mount in mounts] == ["/var/lib/nova/mnt"]
    assert touched == ["/var"]


def test_a_folder_that_mounts_on_touch_is_not_touched() -> None:
    table = TABLE + "50 27 0:60 / /auto rw - autofs /etc/auto.misc rw,fd=6\n"
    assert points("/auto/x/y", table) == ()
    mounted = table + "51 50 0:61 / /auto/x rw - nfs f:/a rw\n"
    assert points("/auto/x/y", mounted) == ("/auto/x",)


@each_row(
    "kind",
    [
        *["nfs", "nfs4", "cifs", "smb3", "ceph", "fuse", "fuse.sshfs", "fuseblk", "9p"],
        *["virtiofs", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "afs"],
    ],
)
def test_every_file_system_that_waits_for_somebody_is_watched(kind: str) -> None:
    assert points("/m/x", f"27 1 8:1 / / rw - ext4 d rw\n50 27 0:60 / /m rw - {kind} s rw\n")


@each_row("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fusectl"])
def test_a_file_system_of_this_machine_is_not_watched(kind: str) -> None:
    assert not points("/m/x", f"27 1 8:1 / / rw - ext4 d rw\n50 27 0:60 / /m rw - {kind} s rw\n")


@each_row(
    "junk",
    [
        "\n\n",
        "50\n50 27\n",
        "x 27 0:1 / /nfs rw - nfs s rw\n",
        "50 27 0:1 / /nfs rw - \n",
        "50 27 0:1 / /nfs rw -\n",
        "50 27 0:1 / /nfs rw shared:1 nfs s rw\n",
        "50 51 0:1 / /a rw - nfs s rw\n51 50 0:1 / /a rw - nfs s rw\n",
        "1 1 0:1 / / rw - rootfs rootfs rw\n",
        "\udcff \\999 \\0\n",
    ],
)
def test_a_mount_table_with_junk_in_it_is_still_of_use(junk: str) -> None:
    assert points("/fuse/x", TABLE + junk) == ("/fuse",)
    assert points("/fuse/x", junk + TABLE) == ("/fuse",)


def test_in_a_chroot_without_a_line_for_its_root_links_are_followed() -> None:
    table = TABLE.replace("27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n", "")
    assert points("/nfs/x", table) == ("/nfs",)
    assert points("/images/x", table, {"/images": "/nfs/images"}) == ("/nfs",)
    assert points("/local/x", table) == ()


def test_without_a_mount_table_nothing_is_known_and_nothing_withheld() -> None:
    assert remote_mounts("/nfs/x", MountTable(""), lambda path: pytest.fail(path)) == frozenset()


# --- what is decided


@pytest.fixture
def book() -> StorageBook:
    book = StorageBook()
    book.place(WEB, frozenset({NFS}))
    return book


def test_a_mount_has_answered_only_by_a_probe_of_this_round(book: StorageBook) -> None:
    book.begin()
    assert book.due() == [NFS]
    book.started(NFS)
    assert (book.due(), book.withheld(), book.silent()) == ([], frozenset({WEB}), ("/nfs",))
    assert book.returned(NFS, Outcome.ANSWERED)
    assert (book.due(), book.withheld(), book.silent()) == ([], frozenset(), ())
    book.begin()
    assert (book.due(), book.withheld()) == ([NFS], frozenset({WEB}))


def test_an_answer_from_an_earlier_round_is_not_one_and_a_fresh_probe_follows(
    book: StorageBook,
) -> None:
    book.begin()
    book.started(NFS)
    book.begin()
    book.begin()
    assert book.due() == []  # never a second one
    assert not book.returned(NFS, Outcome.ANSWERED)
    assert (book.withheld(), book.due()) == (frozenset({WEB}), [NFS])
    book.started(NFS)
    assert book.returned(NFS, Outcome.ANSWERED)
    assert book.withheld() == frozenset()


def test_a_mount_that_gives_up_after_long_has_not_answered_and_is_asked_in_the_next_round(
    book: StorageBook,
) -> None:
    book.begin()
    book.started(NFS)
    assert not book.returned(NFS, Outcome.GAVE_UP)
    assert (book.due(), book.withheld()) == ([], frozenset({WEB}))
    book.begin()
    assert book.due() == [NFS]


def test_a_mount_that_we_may_not_probe_withholds_nobody_and_is_told(book: StorageBook) -> None:
    book.begin()
    book.started(NFS)
    assert book.returned(NFS, Outcome.NOT_ALLOWED)
    assert (book.withheld(), book.blind()) == (frozenset(), ("/nfs",))
    assert book.on_blind() == {WEB: {"/nfs"}}
    book.begin()
    assert book.on_blind() is book.on_blind(), "the same object until it changes"
    book.started(NFS)
    book.returned(NFS, Outcome.ANSWERED)
    assert (book.blind(), book.on_blind()) == ((), {})


def test_who_lies_on_mounts_that_we_may_not_probe_follows_the_disks(book: StorageBook) -> None:
    book.begin()
    book.started(NFS)
    book.returned(NFS, Outcome.NOT_ALLOWED)
    book.place("another", frozenset({NFS}))
    assert book.on_blind() == {WEB: {"/nfs"}, "another": {"/nfs"}}
    book.place(WEB, frozenset())
    assert book.on_blind() == {"another": {"/nfs"}}


def test_a_mount_without_disks_is_asked_nothing_and_doubled_never(book: StorageBook) -> None:
    book.begin()
    book.started(NFS)
    book.place(WEB, frozenset())
    assert (book.silent(), book.withheld(), book.is_needed(NFS)) == ((), frozenset(), False)
    book.begin()
    assert book.due() == []
    book.place(DB, frozenset({NFS}))  # a disk is back while the first probe is still under way
    assert (book.due(), book.withheld()) == ([], frozenset({DB}))
    assert not book.returned(NFS, Outcome.ANSWERED)
    assert book.due() == [NFS]


# --- the threads


class Storage:
    """Mounts that answer or hang as a test says, and the watch that looks at them."""

    def __init__(self) -> None:
        self.table = TABLE
        self.links: dict[str, str] = {}
        self.touched: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.clock = 0.0
        self.takes = 0.0  # seconds, for a probe
        self.room: object = None  # what probes say of space
        self.probed: list[str] = []
        self.answered: list[str] = []
        self._begun = threading.Semaphore(0)
        self._news = threading.Semaphore(0)
        self._open: dict[str, threading.Event] = {}
        self.watch = StorageWatch(
            mounts=lambda: self.table,
            probe=self._probe,
            readlink=self._readlink,
            clock=lambda: self.clock,
            on_answer=self._on_answer,
        )

    def hang(self, point: str) -> None:
        self._open[point] = threading.Event()

    def heal(self, point: str) -> None:
        self._open.pop(point).set()

    def heal_all(self) -> None:
        for point in list(self._open):
            self.heal(point)

    def await_probe(self) -> None:
        """Until one more probe has begun."""
        assert self._begun.acquire(timeout=60)

    def await_answer(self) -> None:
        """Until the watch has said once more that a mount answers."""
        assert self._news.acquire(timeout=60)

    def await_all(self) -> None:
        """Until all mounts have answered in this round."""
        deadline = time.monotonic() + 60
        while self.watch.silent():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def threads(self) -> int:
        return sum(thread.name == "domstats-storage" for thread in threading.enumerate())

    def await_threads(self, number: int) -> None:
        for thread in threading.enumerate():
            if self.threads() > number and thread.name == "domstats-storage":
                thread.join(0.2)
        assert self.threads() == number

    def _probe(self, point: str) -> object:
        self.probed.append(point)
        gate = self._open.get(point)
        self._begun.release()
        if gate is not None:
            assert gate.wait(100)
        self.clock += self.takes
        if point in self.errors:
            raise self.errors[point]
        return self.room

    def _readlink(self, path: str) -> str:
        self.touched.append(path)
        if path in self.links:
            return self.links[path]
        raise OSError(errno.EINVAL, "no link")

    def _on_answer(self, point: str) -> None:
        self.answered.append(point)
        self._news.release()


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage()
    yield storage
    storage.watch.close()
    storage.heal_all()
    storage.await_threads(0)


def test_no_thread_exists_before_the_first_round_and_one_for_each_mount_after(
    storage: Storage,
) -> None:
    watch = storage.watch
    for number in range(50):
        watch.learn(f"nfs-{number}", [f"/nfs/{number}"])
        watch.learn(f"fuse-{number}", [f"/fuse/{number}", "/nfs/base"])
        watch.learn(f"local-{number}", [f"/local/{number}"])
    assert storage.threads() == 0
    for _ in range(5):
        watch.begin()
        storage.await_all()
    assert storage.threads() == 2
    assert sorted(storage.probed) == ["/fuse"] * 5 + ["/nfs"] * 5


def test_storage_that_answers_withholds_nobody(storage: Storage) -> None:
    watch = storage.watch
    watch.learn(WEB, ["/nfs/web", "/local/web"])
    watch.begin()
    storage.await_all()
    assert (watch.withheld(), watch.silent()) == (frozenset(), ())


def test_a_mount_is_reported_with_its_room_and_who_lies_on_it(storage: Storage) -> None:
    watch, storage.takes, storage.room = storage.watch, 0.25, Space(100, 30, 20)
    watch.learn(WEB, ["/nfs/web", "/local/web"])
    watch.learn(DB, ["/nfs/db"])
    assert watch.report() == (), "nothing is known before the first round"
    watch.begin()
    storage.await_all()
    (report,) = watch.report()
    assert (report.point, report.kind) == ("/nfs", "nfs4")
    assert (report.state, report.answers) == ("answers", 1)
    assert (report.domains, report.silent_s, report.probe_s) == (2, 0.0, 0.25)
    assert (report.capacity, report.free, report.available) == (100, 30, 20)


def test_a_mount_is_reported_silent_since_the_first_probe_without_an_answer(
    storage: Storage,
) -> None:
    watch = storage.watch
    watch.learn(WEB, ["/nfs/web"])
    storage.hang("/nfs")
    watch.begin()
    storage.await_probe()
    assert watch.report() == (), "it may merely not have had the time"
    for storage.clock in (40.0, 41.5):
        watch.begin()
        (report,) = watch.report()
        assert (report.state, report.answers) == ("silent", 0)
        assert (report.silent_s, report.capacity, report.probe_s) == (storage.clock, None, None)
    storage.heal("/nfs")
    watch.begin()
    storage.await_all()
    (report,) = watch.report()
    assert (report.state, report.silent_s) == ("answers", 0.0)


def test_a_mount_that_may_not_be_probed_is_reported_as_such(storage: Storage) -> None:
    watch = storage.watch
    storage.errors["/fuse"] = PermissionError()
    watch.learn(WEB, ["/fuse/web"])
    watch.begin()
    storage.await_all()
    (report,) = watch.report()
    assert (report.state, report.answers, report.capacity) == ("not_probed", None, None)
    assert report.kind == "fuse.glusterfs"


def test_only_the_domains_on_hung_storage_are_withheld_and_asked_when_it_is_back(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    watch.learn(WEB, ["/local/top", "/nfs/base"])
    watch.learn(DB, ["/fuse/db"])
    watch.learn(LOCAL, ["/local/x"])
    watch.begin()
    storage.await_answer()
    assert storage.answered == ["/fuse"]
    assert (watch.withheld(), watch.silent()) == (frozenset({WEB}), ("/nfs",))
    storage.heal("/nfs")
    storage.await_answer()
    assert storage.answered == ["/fuse", "/nfs"]  # late, and in the same round
    assert (watch.withheld(), watch.silent()) == (frozenset(), ())
    assert not watch.silent()


def test_a_probe_stuck_over_rounds_is_not_doubled_and_its_return_is_not_an_answer(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    watch.learn(WEB, ["/nfs/web"])
    for now in range(0, 100, 10):
        watch.begin()
        if now == 0:
            storage.await_probe()
        assert watch.withheld() == {WEB}
    assert (storage.probed, storage.threads()) == (["/nfs"], 1)
    old_gate = storage._open["/nfs"]
    storage.hang("/nfs")  # hangs again for the next one
    old_gate.set()
    storage.await_probe()
    assert storage.probed == ["/nfs", "/nfs"]
    assert (watch.withheld(), storage.answered) == (frozenset({WEB}), [])
    storage.heal("/nfs")
    storage.await_answer()
    assert watch.withheld() == frozenset()


def test_a_domain_that_appears_on_hung_storage_is_withheld_from_the_start(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    watch.begin()
    assert watch.unknown([WEB]) == {WEB}
    watch.learn(WEB, ["/nfs/web"])
    assert watch.unknown([WEB]) == set()
    assert watch.withheld() == {WEB}
    storage.heal("/nfs")
    storage.await_answer()  # probed at once, not in the next round
    assert watch.withheld() == frozenset()
    watch.learn(DB, ["/nfs/db"])  # the mount has answered in this round
    assert watch.withheld() == frozenset()


def test_a_dead_fuse_daemon_withholds_nobody_as_it_holds_up_nobody(storage: Storage) -> None:
    watch = storage.watch
    for number in (errno.ENOTCONN, errno.ESTALE, errno.EIO):
        storage.errors["/fuse"] = OSError(number, "no")
        watch.learn(WEB, ["/fuse/web"])
        watch.begin()
        storage.await_all()
        assert watch.withheld() == frozenset()


def test_a_soft_mount_that_gives_up_after_a_minute_is_not_taken_for_well(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.errors["/nfs"] = OSError(errno.ETIMEDOUT, "timed out")
    storage.takes = 60
    watch.learn(WEB, ["/nfs/web"])
    watch.begin()
    storage.await_probe()
    assert watch.withheld() == {WEB}
    del storage.errors["/nfs"]
    watch.begin()
    storage.await_answer()
    assert watch.withheld() == frozenset()


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), ValueError("odd name")])
def test_a_mount_that_cannot_be_probed_withholds_nobody_and_can_be_reported(
    storage: Storage, error: Exception
) -> None:
    watch = storage.watch
    storage.errors["/fuse"] = error
    watch.learn(WEB, ["/fuse/web"])
    watch.begin()
    storage.await_all()
    assert (watch.withheld(), watch.blind()) == (frozenset(), ("/fuse",))
    del storage.errors["/fuse"]
    watch.begin()
    storage.await_all()
    assert watch.blind() == ()


def statvfs_with(size: int, blocks: int) -> Callable[[str], object]:
    return lambda point: os.statvfs_result((size, size, blocks, 7, 5, 0, 0, 0, 0, 255))


def refused(point: str) -> object:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_zeros_that_the_kernel_made_up_are_no_answer_of_the_mount(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "statvfs", statvfs_with(0, 0))
    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(PermissionError):
        look("/fuse")


def test_zeros_of_a_server_that_lets_us_in_are_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", statvfs_with(0, 0))
    monkeypatch.setattr(os, "stat", lambda point: None)
    look("/fuse")


def test_an_answer_with_sizes_needs_no_second_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", statvfs_with(4096, 0))
    monkeypatch.setattr(os, "stat", refused)
    look("/fuse")


def test_a_domain_that_goes_or_moves_away_is_not_withheld_and_the_thread_ends(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    for uuid in (WEB, DB, LOCAL):
        watch.learn(uuid, ["/nfs/x"])
    watch.begin()
    storage.await_probe()
    watch.learn(WEB, ["/local/x"])  # its disk was moved
    assert watch.withheld() == {DB, LOCAL}
    watch.forget(DB)
    watch.forget(DB)
    assert watch.withheld() == {LOCAL}
    watch.retain([WEB, "another"])
    assert (watch.withheld(), watch.silent()) == (frozenset(), ())
    assert watch.unknown((WEB, DB, LOCAL)) == {DB, LOCAL}
    storage.heal("/nfs")
    storage.await_threads(0)


def test_a_mount_that_was_replaced_is_probed_though_the_old_one_still_hangs(
    storage: Storage,
) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    watch.learn(WEB, ["/nfs/web"])
    watch.begin()
    storage.await_probe()
    old_gate = storage._open.pop("/nfs")
    # umount -l, then the same place from another server
    storage.table = TABLE.replace("40 27 0:50", "60 27 0:70")
    watch.begin()
    storage.await_all()
    assert (watch.withheld(), storage.threads()) == (frozenset(), 2)
    old_gate.set()
    storage.await_threads(1)
    assert storage.answered == ["/nfs"]


def test_threads_left_behind_on_replaced_mounts_do_not_grow_without_end(storage: Storage) -> None:
    watch = storage.watch
    watch.learn(WEB, ["/nfs/web"])
    gates = []
    for number in range(60):
        storage.hang("/nfs")
        gates.append(storage._open["/nfs"])
        storage.table = TABLE.replace("40 27 0:50", f"{100 + number} 27 0:{100 + number}")
        watch.begin()
        if storage.threads() == number + 1:
            storage.await_probe()
    try:
        assert 2 < storage.threads() <= 33
        assert watch.withheld() == {WEB}
    finally:
        for gate in gates:
            gate.set()


def test_unmounted_storage_withholds_nobody(storage: Storage) -> None:
    watch = storage.watch
    watch.learn(WEB, ["/nfs/web"])
    watch.begin()
    storage.await_all()
    storage.table = "".join(line for line in TABLE.splitlines(True) if "nfs" not in line)
    watch.begin()
    assert (watch.withheld(), watch.silent()) == (frozenset(), ())
    storage.await_threads(0)


def test_links_are_looked_up_once_until_the_mount_table_changes(storage: Storage) -> None:
    watch = storage.watch
    storage.links["/var/images"] = "/nfs"
    watch.learn(WEB, ["/var/images/web"])
    for _ in range(3):
        watch.begin()
        watch.learn(WEB, ["/var/images/web"])
    assert storage.touched == ["/var", "/var/images"]
    storage.links["/var/images"] = "/fuse"
    storage.table += "70 27 0:80 / /new rw - tmpfs t rw\n"
    watch.begin()
    storage.await_all()
    assert storage.touched == ["/var", "/var/images"] * 2
    assert storage.probed[-1] == "/fuse"
    storage.await_threads(1)


def test_a_mount_table_that_cannot_be_read_withholds_nobody() -> None:
    def no_table() -> str:
        raise FileNotFoundError(errno.ENOENT, "no /proc")

    watch = StorageWatch(mounts=no_table, probe=lambda point: pytest.fail(point))
    watch.learn(WEB, ["/nfs/web"])
    watch.begin()
    assert watch.withheld() == frozenset()
    watch.close()


def test_a_mistake_in_the_callback_does_not_blind_the_watch(storage: Storage) -> None:
    def mistake(point: str) -> None:
        raise RuntimeError(point)

    watch = storage.watch
    watch.on_answer = mistake
    watch.learn(WEB, ["/nfs/web"])
    for _ in range(3):
        watch.begin()
        storage.await_all()


def test_where_no_thread_is_to_be_had_the_domains_are_withheld_until_there_is_one(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watch = storage.watch
    watch.learn(WEB, ["/nfs/web"])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        watch.begin()
        assert watch.withheld() == {WEB}
    watch.begin()
    storage.await_all()


def test_closing_does_not_wait_for_hung_storage(storage: Storage) -> None:
    watch = storage.watch
    storage.hang("/nfs")
    watch.learn(WEB, ["/nfs/web"])
    watch.begin()
    storage.await_probe()
    watch.close()
    watch.begin()
    watch.learn(DB, ["/fuse/db"])
    assert storage.threads() == 1
    storage.heal("/nfs")
    storage.await_threads(0)


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="no /proc")
def test_the_mount_table_of_this_machine_is_understood() -> None:
    info = MountInfo()
    root = MountTable(info.read()).step(None, "/")
    assert root is not None
    assert root.point == "/"
    assert info.read() is info.read(), "without news it is not read again"
    info.close()


def test_a_mount_table_is_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    with pytest.raises(FileNotFoundError):
        (info := MountInfo(str(table))).read()
    for text in (TABLE, TABLE * 2000):
        table.write_text(text)
        assert info.read() == text
        info.close()
        info.close()
