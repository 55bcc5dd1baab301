"""The storage watch: which domains must not be asked for their disks now, as a network or FUSE
mount that holds one of them does not answer. A block query of such a domain would freeze it.

StorageBook decides, without threads, clock or files: which mounts to probe in a round, which of
them have answered in it, which domains are withheld. StorageWatch is the shell around it: one
thread for each mount, that calls statvfs(). Where a path lies, ``mounts`` tells. None of them
knows libvirt, XML or how a round goes.

It gives hints, and where it sees nothing it withholds nobody: local file systems, also those on
loop devices, device mapper or iSCSI disks; block devices (/dev is local); relative paths; storage
that only QEMU reaches (rbd, iscsi). Of mounts that this process may not probe it tells who lies
there, for the engine to be careful. A mount is taken to be well if its statvfs() answers: that of
Ceph asks the monitors, not each OSD, and a server may answer it and still hang on one file. Paths
are looked up in this process's own mount namespace.
"""

from __future__ import annotations

import contextlib
import enum
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Callable, Optional

import msgspec

from ..host_sample import MountReport
from .mounts import Mount, MountInfo, MountTable, remote_mounts

_LATE = 1.0  # seconds: an error that took longer is a hang that gave up, and will hang again
_ASTRAY_MOST = 32  # threads stuck on mounts that hold no disk any more, unmounted lazily


# --- which mounts to probe, which domains to withhold ----------------------------------------


class Outcome(enum.Enum):
    """What a probe's return tells."""

    # Also with an error at once, as a FUSE mount without its daemon gives one (ENOTCONN), or a
    # server that has lost the export (ESTALE): a question about a disk there fails as quickly.
    ANSWERED = "answered"
    # With an error after a long wait, as a soft NFS mount does: it would wait as long again.
    GAVE_UP = "gave up"
    # The mount was not asked, so nothing is known of it.
    NOT_ALLOWED = "not allowed"


class Space(msgspec.Struct, frozen=True):
    """What a probe said of a mount's room, in bytes; `available` is left for ordinary users."""

    capacity: int
    free: int
    available: int


class _Probing(msgspec.Struct):
    """What is known of a mount: `asked` and `answered` are the rounds of the last probe begun
    and of the last one that answered in its own round."""

    domains: set[str] = set()
    asked: int = 0
    answered: int = 0
    under_way: bool = False
    blind: bool = False


class _Seen(msgspec.Struct):
    """What probes of a mount found, for people: seconds are those of a clock that only goes
    forward. `unanswered_s` is when the first probe began that did not answer since one did."""

    unanswered_s: Optional[float] = None
    answered_ns: int = 0
    probe_s: Optional[float] = None
    space: Optional[Space] = None


class StorageBook:
    """What is decided about mounts and domains: events in, decisions out, nothing else.

    A mount has answered in a round only by a probe that was begun in that round: one that is
    still under way from an earlier round says nothing about now, and the mount is silent until
    that one is back and a fresh one is too. There is never a second probe under way at a mount.
    """

    def __init__(self) -> None:
        self._round = 0
        self._lies_on: dict[str, frozenset[Mount]] = {}
        self._mounts: dict[Mount, _Probing] = {}
        self._on_blind: Optional[Mapping[str, frozenset[str]]] = {}

    def begin(self) -> None:
        """A round begins: no mount has answered in it yet."""
        self._round += 1

    def place(self, uuid: str, mounts: frozenset[Mount]) -> None:
        """A domain's disks lie on these mounts, and on no others any more."""
        self._on_blind = None
        for mount in self._lies_on.pop(uuid, frozenset()) - mounts:
            probing = self._mounts[mount]
            probing.domains.discard(uuid)
            self._drop_unneeded(mount)
        if mounts:
            self._lies_on[uuid] = mounts
        for mount in mounts:
            probing = self._mounts.setdefault(mount, _Probing())
            probing.domains.add(uuid)

    def due(self) -> list[Mount]:
        """The mounts at which a probe is to be begun now."""
        return [mount for mount in self._mounts if self.is_due(mount)]

    def is_due(self, mount: Mount) -> bool:
        """Whether it holds a disk, was not asked in this round, and has no probe under way."""
        probing = self._mounts.get(mount)
        return (
            probing is not None
            and bool(probing.domains)
            and not probing.under_way
            and probing.asked < self._round
        )

    def is_needed(self, mount: Mount) -> bool:
        """Whether it holds a domain's disk."""
        probing = self._mounts.get(mount)
        return probing is not None and bool(probing.domains)

    def started(self, mount: Mount) -> None:
        """A probe of a mount that was due begins now."""
        probing = self._mounts[mount]
        probing.asked = self._round
        probing.under_way = True

    def returned(self, mount: Mount, outcome: Outcome) -> bool:
        """The probe under way is back. Whether the mount has answered in this round by it."""
        probing = self._mounts[mount]
        probing.under_way = False
        is_blind = outcome is Outcome.NOT_ALLOWED
        if is_blind is not probing.blind:
            probing.blind, self._on_blind = is_blind, None
        self._drop_unneeded(mount)
        if outcome is Outcome.GAVE_UP or probing.asked != self._round or not probing.domains:
            return False
        probing.answered = self._round
        return True

    def withheld(self) -> frozenset[str]:
        """The domains with a disk on a mount that has not answered in this round."""
        return frozenset().union(*(probing.domains for probing in self._silent().values()))

    def silent(self) -> tuple[str, ...]:
        """The mount points, sorted, that hold a disk and have not answered in this round."""
        return tuple(sorted(mount.point for mount in self._silent()))

    def blind(self) -> tuple[str, ...]:
        """The mount points, sorted, that we are not allowed to probe: nobody is withheld there."""
        return tuple(sorted(frozenset().union(*self.on_blind().values())))

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        """By domain: the mount points that hold a disk of it and that we are not allowed to probe;
        the same object until that changes."""
        if self._on_blind is None:
            found: dict[str, frozenset[str]] = {}
            for mount, probing in self._mounts.items():
                for uuid in probing.domains if probing.blind else ():
                    found[uuid] = found.get(uuid, frozenset()) | {mount.point}
            self._on_blind = found
        return self._on_blind

    def mounts(self) -> Iterator[tuple[Mount, str, int]]:
        """The mounts that hold a disk, each with its state, as MountReport has it, and the number
        of its domains."""
        silent = self._silent()
        for mount, probing in self._mounts.items():
            if probing.domains:
                state = "silent" if mount in silent else "not_probed"
                if mount not in silent and not probing.blind:
                    state = "answers"
                yield mount, state, len(probing.domains)

    def _silent(self) -> dict[Mount, _Probing]:
        return {
            mount: probing
            for mount, probing in self._mounts.items()
            if probing.domains and probing.answered != self._round
        }

    def _drop_unneeded(self, mount: Mount) -> None:
        # One with a probe under way is kept, so that the probe isn't doubled if a disk comes back.
        probing = self._mounts[mount]
        if not probing.domains and not probing.under_way:
            del self._mounts[mount]


# --- the threads ------------------------------------------------------------------------------


def look(point: str) -> Space:
    """Have whoever serves a mount answer, by statvfs(). Raises OSError.

    Where a FUSE mount is another user's and has no `allow_other`, the kernel answers that call by
    itself, with zeros, also while the mount hangs. stat() tells this from a server that has zeros
    to say: there the kernel refuses it, again by itself.
    """
    found = os.statvfs(point)
    if not found.f_bsize and not found.f_blocks:
        os.stat(point)
    unit = found.f_frsize
    return Space(found.f_blocks * unit, found.f_bfree * unit, found.f_bavail * unit)


class StorageWatch:
    """Probes the mounts that hold domains' disks, and says whom not to ask for theirs.

    `learn`, `forget`, `retain`, `begin`, `close` are for one thread (the engine's), the others for
    any.
    No thread exists before the first round; from then on there is one for each network or FUSE
    mount that holds a disk, and for each that still waits for a mount that held one.
    `on_answer`, if set, is called with the mount point in a probe's thread each time a mount has
    answered in the current round, so also when one comes back late in it; it must not block.
    """

    def __init__(
        self,
        mounts: Optional[Callable[[], str]] = None,
        probe: Callable[[str], object] = look,
        readlink: Callable[[str], str] = os.readlink,
        clock: Callable[[], float] = time.monotonic,
        on_answer: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.on_answer = on_answer
        self._info = MountInfo()
        self._read_mounts = mounts or self._info.read
        self._probe = probe
        self._readlink = readlink
        self._clock = clock
        self._paths: dict[str, tuple[str, ...]] = {}
        self._mounts_text = ""
        self._table: Optional[MountTable] = None  # none before the first round
        self._lock = threading.Lock()  # for all that follows
        self._book = StorageBook()
        self._threads: dict[Mount, threading.Thread] = {}
        self._seen: dict[Mount, _Seen] = {}
        self._closed = False
        self._work = threading.Condition(self._lock)

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        """A domain's disks have these paths, and no others: from its XML, and block answers.

        In the middle of a round too: a mount that no other disk lies on is then probed at once.
        Links are looked up when the paths change or the mount table does.
        """
        new = tuple(dict.fromkeys(paths))
        if self._paths.get(uuid) == new:
            return
        self._paths[uuid] = new
        if self._table is not None:
            mounts = self._lies_on(new, self._table)
            with self._lock:
                self._book.place(uuid, mounts)
                self._set_to_work()

    def forget(self, uuid: str) -> None:
        """A domain is no more. It need not be known."""
        if self._paths.pop(uuid, None) is not None:
            with self._lock:
                self._book.place(uuid, frozenset())
                self._work.notify_all()

    def retain(self, uuids: Collection[str]) -> None:
        """Forget all domains but these."""
        for uuid in self._paths.keys() - set(uuids):
            self.forget(uuid)

    def unknown(self, uuids: Iterable[str]) -> set[str]:
        """Those of whom it was not learned where their disks lie, or that there are none."""
        return {uuid for uuid in uuids if uuid not in self._paths}

    def begin(self) -> None:
        """A round begins: read the mount table and have each mount with a disk probed afresh.

        Returns at once; all domains on such mounts are withheld from here until their mounts have
        answered.
        """
        try:
            text = self._read_mounts()
        except OSError:
            text = ""  # no table, no hints
        moved: dict[str, frozenset[Mount]] = {}
        if self._table is None or text != self._mounts_text:
            self._mounts_text = text
            self._table = MountTable(text)
            moved = {uuid: self._lies_on(paths, self._table) for uuid, paths in self._paths.items()}
        with self._lock:
            self._book.begin()
            for uuid, mounts in moved.items():
                self._book.place(uuid, mounts)
            self._set_to_work()

    def withheld(self) -> frozenset[str]:
        """The domains that must not be asked for their disks at the moment.

        Those with a disk on a mount that has not answered in this round, by a probe begun in it.
        """
        with self._lock:
            return self._book.withheld()

    def silent(self) -> tuple[str, ...]:
        """The mount points, sorted, that hold a disk and have not answered in this round."""
        with self._lock:
            return self._book.silent()

    def blind(self) -> tuple[str, ...]:
        """The mount points, sorted, that this process is not allowed to probe: a FUSE mount of
        another user without `allow_other`, a folder above it that is closed to us. Nobody is
        withheld for them; worth telling the user."""
        with self._lock:
            return self._book.blind()

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        """By domain: those of them that hold a disk of it; the same object until that changes."""
        with self._lock:
            return self._book.on_blind()

    def report(self) -> tuple[MountReport, ...]:
        """The mounts that hold disks, by mount point, as they are now. One of which nothing is
        known yet, since its first probe has just begun, is left out."""
        with self._lock:
            now, now_ns = self._clock(), time.time_ns()
            found = [
                _report(mount, state, domains, self._seen.get(mount, _Seen()), now, now_ns)
                for mount, state, domains in self._book.mounts()
            ]
        known = (report for report in found if report is not None)
        return tuple(sorted(known, key=lambda report: report.point))

    def close(self) -> None:
        """End the threads, without waiting for any: one that is stuck ends when it is back."""
        self._info.close()
        with self._lock:
            self._closed = True
            self._work.notify_all()

    def _lies_on(self, paths: Iterable[str], table: MountTable) -> frozenset[Mount]:
        return frozenset().union(*(remote_mounts(path, table, self._readlink) for path in paths))

    def _set_to_work(self) -> None:
        """Have threads for all mounts that are due. With the lock held."""
        if self._closed:
            return
        astray = sum(1 for mount in self._threads if not self._book.is_needed(mount))
        for mount in self._book.due():
            if mount not in self._threads and astray < _ASTRAY_MOST:
                thread = threading.Thread(
                    target=self._serve, args=(mount,), name="domstats-storage", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had: silent, until a later round has one
                    break
                self._threads[mount] = thread
        self._work.notify_all()

    def _serve(self, mount: Mount) -> None:
        """A mount's thread: probe whenever that is due, end when it holds no disk any more."""
        while self._is_probe_wanted(mount):
            begun = self._clock()
            outcome, space = self._outcome_of_probe(mount.point)
            with self._lock:
                counts = self._book.returned(mount, outcome)
                seen = self._seen[mount]
                seen.probe_s = self._clock() - begun
                if counts:
                    seen.unanswered_s, seen.answered_ns = None, time.time_ns()
                    seen.space = space
            on_answer = self.on_answer
            if counts and on_answer is not None:
                # A mistake there must not cost the mount its thread, and its domains their disks.
                with contextlib.suppress(Exception):
                    on_answer(mount.point)

    def _is_probe_wanted(self, mount: Mount) -> bool:
        """Wait until a probe is due, and begin it; or until the thread is to end."""
        with self._lock:
            while self._book.is_needed(mount) and not self._closed:
                if self._book.is_due(mount):
                    self._book.started(mount)
                    seen = self._seen.setdefault(mount, _Seen())
                    if seen.unanswered_s is None:
                        seen.unanswered_s = self._clock()
                    return True
                self._work.wait()
            del self._threads[mount]
            self._seen.pop(mount, None)
            return False

    def _outcome_of_probe(self, point: str) -> tuple[Outcome, Optional[Space]]:
        begun = self._clock()
        try:
            found = self._probe(point)
        except OSError as error:
            if isinstance(error, PermissionError):
                return Outcome.NOT_ALLOWED, None
            late = self._clock() - begun >= _LATE
            return Outcome.GAVE_UP if late else Outcome.ANSWERED, None
        except Exception:  # a name that cannot be passed to the kernel: nothing was asked
            return Outcome.NOT_ALLOWED, None
        return Outcome.ANSWERED, found if isinstance(found, Space) else None


def _report(
    mount: Mount, state: str, domains: int, seen: _Seen, now: float, now_ns: int
) -> Optional[MountReport]:
    """A mount as it is now; None if it has not had the time to answer for once."""
    if state == "answers":
        room = seen.space
        return MountReport(
            seen.answered_ns or now_ns,
            mount.point,
            mount.kind,
            state,
            domains,
            silent_s=0.0,
            probe_s=seen.probe_s,
            capacity=None if room is None else room.capacity,
            free=None if room is None else room.free,
            available=None if room is None else room.available,
        )
    silent_s: Optional[float] = None
    if state == "silent":
        silent_s = 0.0 if seen.unanswered_s is None else now - seen.unanswered_s
        if not seen.answered_ns and silent_s < _LATE:
            return None
    return MountReport(
        now_ns, mount.point, mount.kind, state, domains, silent_s, probe_s=seen.probe_s
    )
