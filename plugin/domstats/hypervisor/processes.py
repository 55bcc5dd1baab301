"""The process watch: which QEMU processes of this host cannot answer a monitor call now.

It reads /proc alone, so it works for local hypervisors only, asks nobody anything, and gives
nothing but hints, and the processes' memory: whatever it cannot see or is not sure of (no
permission, another host, two processes that claim one domain) it keeps silent about, and the round
itself finds out. It must not know libvirt, rounds or quarantine. Only the main thread's state
counts, as it is QEMU's main loop that answers the monitor; /proc/PID/stat shows exactly that one's.

Two files of a process are read, and they differ in what they may cost. `stat` (and `schedstat`)
never blocks. `cmdline` takes the process's memory lock, which a process wedged on hung storage
may hold for as long as the storage hangs (the reason why `ps` hangs on such hosts): it is read
in a thread of its own, which nobody waits for longer than a moment.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Iterable
from typing import NamedTuple, Optional

import msgspec

__all__ = ["GONE", "STOPPED", "WAITING", "ProcessWatch"]

STOPPED = "stopped"
WAITING = "waiting"
GONE = "gone"

# The states of /proc/PID/stat in which a main loop answers nobody, whatever it did before.
# A zombie's monitor socket stays open while another thread of it still waits for storage.
_REASONS = {b"T": STOPPED, b"t": STOPPED, b"Z": GONE, b"X": GONE, b"x": GONE}
_UNINTERRUPTIBLE = b"D"

_APART = 0.05  # seconds between two looks that tell a wait that lasts from a short one
_GAP = 1.0  # seconds between two searches of /proc, whoever is missing
_BACKOFF = (5.0, 60.0)  # seconds before a missing domain is searched for again: first, longest
_WEDGED_AFTER = 1.0  # seconds after which a search is taken to be stuck in its process
_WEDGED_MOST = 3  # searches stuck at the same time; then no new one is begun
_CMDLINE_MOST = 65536  # bytes; -uuid comes before the devices, the first kilobytes hold it
_STAT_MOST = 1024
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ProcessWatch:
    """Looks at the QEMU processes of domains.

    Used from one thread. `proc` is where procfs is; `patience` is how many seconds a look waits
    for a search of /proc at most, a search that takes longer serves the next look. No thread
    exists but while a search lasts, and none before the first look.
    """

    def __init__(self, proc: str = "/proc", patience: float = 0.25) -> None:
        self._proc = proc
        self._patience = patience
        self._processes: dict[str, _Process] = {}
        self._again: dict[str, tuple[float, float]] = {}  # uuid: (not before, delay)
        self._search: Optional[_Search] = None
        self._wedged: list[_Search] = []
        self._searched_at = float("-inf")

    def look(self, uuids: Collection[str], now: float) -> dict[str, str]:
        """Why domains must not be asked for monitor groups now: uuid to STOPPED, WAITING, GONE.

        `uuids` are all domains of the round (lower case, as libvirt has them): others are
        forgotten. `now` is in seconds of any clock that never goes back. A domain without a
        reason may be asked, as far as its process tells. Raises nothing.
        """
        wanted = set(uuids)
        for known in (self._processes, self._again):
            for uuid in known.keys() - wanted:
                del known[uuid]
        reasons = self.relook(wanted, now)
        found = self._search_for(wanted, now)
        for uuid in found:
            reasons.pop(uuid, None)  # of a dead process, which another one took the place of
        reasons.update(self.relook(found, now))
        return reasons

    def relook(self, uuids: Iterable[str], now: float) -> dict[str, str]:
        """The same for some domains in the middle of a round: searches and forgets nothing."""
        reasons = {}
        for uuid in uuids:
            process = self._processes.get(uuid)
            if process is None:
                continue
            seen = _read_stat(self._proc, process.pid)
            if seen is None or seen.start != process.start:
                del self._processes[uuid]  # ended, and its pid may be another process's by now
                continue
            process.rss_kib = seen.rss_kib
            reason = self._judge(process, seen.state, now)
            if reason is not None:
                reasons[uuid] = reason
        return reasons

    def rss_kib(self, uuid: str) -> Optional[int]:
        """Host memory of the domain's process in the last look; None if it was not seen."""
        process = self._processes.get(uuid)
        return None if process is None or process.gone else process.rss_kib

    def pid(self, uuid: str) -> Optional[int]:
        """The domain's process in the last look; None if it was not seen, or is gone."""
        process = self._processes.get(uuid)
        return None if process is None or process.gone else process.pid

    def unseen(self, uuids: Iterable[str]) -> Optional[int]:
        """How many of these domains' processes were not found; None while a search goes on."""
        if self._search is not None:
            return None
        return sum(1 for uuid in uuids if uuid not in self._processes)

    def is_hidden(self) -> bool:
        """Whether /proc shows no processes of other users (its mount option hidepid)."""
        return _read_stat(self._proc, 1) is None

    def _judge(self, process: _Process, state: bytes, now: float) -> Optional[str]:
        process.gone = _REASONS.get(state) == GONE
        if state != _UNINTERRUPTIBLE:
            process.wait = None
            return _REASONS.get(state)
        # Being in D in both looks may be chance. A thread that got no turn on a processor in
        # between has not left its wait; where the kernel doesn't count turns, D twice must do.
        turns = _read_turns(self._proc, process.pid)
        wait = process.wait
        if wait is None or wait.turns != turns:
            process.wait = _Wait(now, turns)
            return None
        wait.lasts = wait.lasts or now - wait.since >= _APART
        return WAITING if wait.lasts else None

    def _search_for(self, wanted: set[str], now: float) -> list[str]:
        """Begin, await or take in a search; returns the domains whose process was found."""
        # A process that is gone keeps its reason, but a domain started anew has another one.
        missing = wanted - self._processes.keys()
        missing.update([uuid for uuid, process in self._processes.items() if process.gone])
        self._put_wedged_aside(now)
        if self._search is None and self._is_search_due(missing, now):
            self._begin_search(now)
        search = self._search
        if search is None or not search.awaited(self._patience):
            return []
        self._search = None
        found = self._take_in(search.claims, wanted)
        for uuid in missing.difference(found):
            due, delay = self._again.get(uuid, (now, _BACKOFF[0]))
            if due <= now:
                self._again[uuid] = (now + delay, min(2 * delay, _BACKOFF[1]))
        return found

    def _is_search_due(self, missing: set[str], now: float) -> bool:
        if now - self._searched_at < _GAP or len(self._wedged) >= _WEDGED_MOST:
            return False
        return any(uuid not in self._again or self._again[uuid][0] <= now for uuid in missing)

    def _begin_search(self, now: float) -> None:
        known = {process.pid for process in self._processes.values()}
        search = _Search(self._proc, known.union(stuck.at for stuck in self._wedged), now)
        self._searched_at = now
        try:
            threading.Thread(target=search.run, name="domstats-proc", daemon=True).start()
        except RuntimeError:  # no thread to be had: no hints about new domains
            return
        self._search = search

    def _put_wedged_aside(self, now: float) -> None:
        """Leave a search that is stuck to its process, so that the next passes by that one."""
        self._wedged = [search for search in self._wedged if not search.done.is_set()]
        search = self._search
        if search is not None and not search.done.is_set() and now - search.begun > _WEDGED_AFTER:
            self._wedged.append(search)
            self._search = None

    def _take_in(self, claims: dict[str, list[_Claim]], wanted: set[str]) -> list[str]:
        # Any user of the host can start a process with somebody's uuid in its command line. The
        # owner doesn't tell the real one (each guest may run as a user of its own), nor does the
        # program (its path is the domain's setting). So of two that claim one domain neither is
        # trusted: the domain has no hint, and nobody can have one hidden from us as stopped.
        found = []
        for uuid in wanted.intersection(claims):
            claimants = claims[uuid]
            process = self._processes.get(uuid)
            if len(claimants) > 1 or (process is not None and not process.gone):
                self._processes.pop(uuid, None)
                continue
            self._processes[uuid] = _Process(*claimants[0])
            self._again.pop(uuid, None)
            found.append(uuid)
        return found


class _Claim(NamedTuple):
    pid: int
    start: bytes


class _Wait(msgspec.Struct):
    """An uninterruptible wait: seen since when, and how many turns the thread had had then."""

    since: float
    turns: bytes
    lasts: bool = False


class _Process(msgspec.Struct):
    """A domain's process. The start time tells it from a later process with the same pid."""

    pid: int
    start: bytes
    rss_kib: Optional[int] = None
    wait: Optional[_Wait] = None
    gone: bool = False


class _Search(msgspec.Struct):
    """One pass through /proc for processes that claim a domain, run in a thread."""

    proc: str
    skip: set[int]
    begun: float
    at: int = 0  # the pid being read, and so the one that a stuck search is stuck in
    late: bool = False
    claims: dict[str, list[_Claim]] = {}
    done: threading.Event = msgspec.field(default_factory=threading.Event)

    def awaited(self, patience: float) -> bool:
        """Whether it is done, or gets done in `patience` seconds; only waited for once."""
        done = self.done.wait(0 if self.late else patience)
        self.late = not done
        return done

    def run(self) -> None:
        try:
            for pid in _pids(self.proc):
                if pid not in self.skip:
                    self._read(pid)
        finally:
            self.done.set()

    def _read(self, pid: int) -> None:
        self.at = pid
        uuid = _claimed_uuid(_read_file(f"{self.proc}/{pid}/cmdline", _CMDLINE_MOST))
        if uuid is None:
            return
        seen = _read_stat(self.proc, pid)
        if seen is not None:
            self.claims.setdefault(uuid, []).append(_Claim(pid, seen.start))


def _pids(proc: str) -> list[int]:
    try:
        names = os.listdir(proc)
    except OSError:
        return []
    return [int(name) for name in names if name.isascii() and name.isdecimal()]


def _claimed_uuid(cmdline: bytes) -> Optional[str]:
    """The uuid of the domain that a command line runs, if it looks like libvirt's: what follows
    the first `-uuid` after a `-name`.

    A tenant may choose the name, so what follows `-name` is never taken for an option; what else
    a tenant can influence is part of a longer argument, or comes after libvirt's own options.
    """
    arguments = iter(cmdline.split(b"\0")[1:])
    named = False
    for argument in arguments:
        if argument == b"-name":
            named = True
            next(arguments, None)
        elif argument == b"-uuid":
            value = next(arguments, b"")
            return value.decode().lower() if named and _UUID.fullmatch(value) else None
    return None


class _Stat(NamedTuple):
    state: bytes
    start: bytes  # clock ticks since boot, as the kernel writes them: only compared
    rss_kib: int


def _read_stat(proc: str, pid: int) -> Optional[_Stat]:
    # A program's name is in parentheses and may hold blanks and parentheses itself.
    fields = _read_file(f"{proc}/{pid}/stat", _STAT_MOST).rpartition(b")")[2].split(None, 22)
    if len(fields) < 22 or not fields[21].isdigit():
        return None
    return _Stat(fields[0], fields[19], int(fields[21]) * _PAGE_KIB)


def _read_turns(proc: str, pid: int) -> bytes:
    """How often the main thread was given a processor, as a text; empty where nobody counts."""
    fields = _read_file(f"{proc}/{pid}/schedstat", _STAT_MOST).split()
    return fields[2] if len(fields) == 3 else b""


def _read_file(path: str, most: int) -> bytes:
    """Up to `most` bytes of a file of /proc; nothing if it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, most)
    except OSError:
        return b""
    finally:
        os.close(file)
