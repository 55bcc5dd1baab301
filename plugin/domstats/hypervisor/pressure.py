"""The pressure (PSI) of each guest's control group: how long its processes waited for CPU, I/O and
memory.

It reads /proc and the control groups of version 2 alone, of this host. What it cannot see it leaves
out. It may wait: for a search of /proc, which another process can hold up. So it is nothing for a
thread that a round waits for. It must not know libvirt or rounds.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection
from typing import Optional

from .processes import ProcessWatch

RESOURCES = ("cpu", "io", "memory")
#: By which a guest's process is asked for its group again that had none of its own, in seconds.
_HOMELESS_S = 60.0
#: Bytes of a file at most; the kernel writes some hundred.
_MOST = 4096

#: A line of such a file, as the kernel has written it since Linux 4.20.
_LINE = re.compile(
    rb"^(some|full) avg10=(\d+\.\d+) avg60=(\d+\.\d+) avg300=(\d+\.\d+) total=(\d+)",
    re.MULTILINE,
)
_WORDS = ("avg10", "avg60", "avg300", "total")
_KEYS = {
    (resource, which.encode()): tuple(f"pressure.{resource}.{which}_{word}" for word in _WORDS)
    for resource in RESOURCES
    for which in ("some", "full")
}
#: The group of a guest's own, as systemd and libvirt without systemd call it. What libvirt has
#: below it (emulator, vCPUs, I/O threads) belongs to the guest.
_OWN_GROUP = re.compile(r"(?:/[^/]+)*?/(?:machine-qemu[^/]*\.scope|[^/]+\.libvirt-qemu)(?=/|\Z)")


class GuestPressure:
    """Finds the control groups of guests and reads their pressure. Used from one thread.

    :param proc: where procfs is.
    :param processes: finds the guests' processes.
    :ivar trouble: why there is no pressure of some guests or of all, for the log; empty if there
        is nothing to say.
    """

    def __init__(self, proc: str = "/proc", processes: Optional[ProcessWatch] = None) -> None:
        self.trouble = ""
        self._proc = proc
        self._processes = processes or ProcessWatch(proc)
        self._root = _root_of_groups(proc)
        #: The folder of each guest's group.
        self._folders: dict[str, str] = {}
        #: When the guests are looked for again that are in no group of their own.
        self._again: dict[str, float] = {}

    def look(self, uuids: Collection[str], now: float) -> dict[str, dict[str, float]]:
        """The pressure of each guest: figures by ``pressure.<resource>.<some|full>_<word>``.

        The words are avg10, avg60 and avg300, in percent, and total, in microseconds, which only
        grows. Raises nothing.

        :param uuids: the running guests; others are forgotten.
        :param now: seconds of a clock that only goes forward.
        """
        self.trouble = self._hindrance()
        if self.trouble:
            return {}
        for known in (self._folders, self._again):
            for uuid in known.keys() - uuids:
                del known[uuid]
        found: dict[str, dict[str, float]] = {}
        unknown = [uuid for uuid in uuids if not self._read(uuid, found)]
        due = [uuid for uuid in unknown if self._again.get(uuid, 0.0) <= now]
        self._find(due, now)
        for uuid in due:
            self._read(uuid, found)
        if uuids and len(self._again) == len(uuids) and not self.trouble:
            self.trouble = (
                "no guest is in a control group of its own, so there is no pressure of any: is"
                " cgroup_controllers in qemu.conf empty, or does libvirt run in a container?"
            )
        elif uuids and not self._folders and self._processes.is_hidden():
            self.trouble = (
                "there is no pressure of guests, as this user does not see their processes (the"
                " option hidepid of /proc)"
            )
        elif self._folders and not found and not self.trouble:
            self.trouble = (
                "the control groups of guests have no pressure files: is pressure turned off for"
                " groups (cgroup_disable=pressure on the kernel's command line)?"
            )
        return found

    def _hindrance(self) -> str:
        """Why nothing can be known of any guest."""
        if not os.path.exists(f"{self._proc}/pressure"):
            return "the kernel does not measure pressure (psi=1 on its command line turns it on)"
        if self._root is None:
            return (
                "there are no control groups of version 2 on this host, so there is no pressure of"
                " guests (systemd.unified_cgroup_hierarchy=1 on the kernel's command line)"
            )
        return ""

    def _find(self, uuids: Collection[str], now: float) -> None:
        """Find the groups of guests by their processes."""
        self._processes.look(uuids, now)
        for uuid in uuids:
            pid = self._processes.pid(uuid)
            if pid is None:
                continue
            group = own_group(_text(f"{self._proc}/{pid}/cgroup"))
            if group:
                self._folders[uuid] = f"{self._root}{group}"
                self._again.pop(uuid, None)
            else:
                self._again[uuid] = now + _HOMELESS_S

    def _read(self, uuid: str, found: dict[str, dict[str, float]]) -> bool:
        """Read a guest's figures. False if it is not known where they are."""
        folder = self._folders.get(uuid)
        if folder is None:
            return False
        figures: dict[str, float] = {}
        for resource in RESOURCES:
            try:
                text = _content(f"{folder}/{resource}.pressure")
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    self.trouble = (
                        f"this user may not read {folder}/{resource}.pressure: the files have to"
                        " be readable by everybody, as they are by default"
                    )
                    continue
                if not os.path.isdir(folder):  # the guest has ended, or has another group by now
                    del self._folders[uuid]
                    return False
                continue  # the resource is not measured, or not for groups
            figures.update(figures_of(resource, text))
        if figures:
            found[uuid] = figures
        return True


def own_group(text: str) -> str:
    """The path of a guest's own control group, from /proc/PID/cgroup of its process.

    Empty if it is in none of its own, or in one that is not to be seen from here.
    """
    for line in text.splitlines():
        if line.startswith("0::/"):
            matched = _OWN_GROUP.match(line[3:])
            return matched[0] if matched and "/../" not in matched[0] else ""
    return ""


def figures_of(resource: str, text: bytes) -> dict[str, float]:
    """The figures of a resource's file; none of a line that has another form."""
    figures: dict[str, float] = {}
    for which, *averages, total in _LINE.findall(text):
        keys = _KEYS[resource, which]
        figures.update(zip(keys, map(float, averages)))
        figures[keys[-1]] = int(total)
    return figures


def _root_of_groups(proc: str) -> Optional[str]:
    """Where the control groups of version 2 are mounted."""
    for line in _text(f"{proc}/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] == "cgroup2" and before.split(" ")[3:4] == ["/"]:
            return before.split(" ")[4]
    return None


def _text(path: str) -> str:
    """A file of /proc; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _content(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, _MOST)
    finally:
        os.close(file)
