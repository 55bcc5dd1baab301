"""Where a path lies: the mount table, and the network and FUSE mounts that one needs to get at a
file, found without ever touching anything behind a mount that may hang.
"""

from __future__ import annotations

import errno
import os
import re
import select
from typing import Callable, NamedTuple, Optional

# File systems (mountinfo's type, up to a dot) in which a look at a file may wait for another
# machine, or for a daemon of this one.
REMOTE_KINDS = frozenset(
    [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse",
        "fuseblk",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "mmfs",
        "moosefs",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "quobyte",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "wekafs",
    ]
)
# Not probed, but not touched either: a look at a name in there mounts something.
_TRIGGERS = frozenset({"autofs"})

_LINKS_MOST = 40  # as the kernel has it
_PATH_MOST = 4096


class Mount(NamedTuple):
    """A line of the mount table: a mount that was replaced by another one is not equal to it."""

    ident: int
    parent: int
    device: str
    point: str
    kind: str

    @property
    def remote(self) -> bool:
        """Whether it is one that may hang: a network or FUSE file system."""
        return self.kind.partition(".")[0] in REMOTE_KINDS

    @property
    def harmless(self) -> bool:
        """Whether a look at a name in it hangs on nothing and triggers nothing."""
        return not self.remote and self.kind not in _TRIGGERS


# In a chroot into a mere folder the table has no line for "/". Whoever was started in there needs
# it anyway, so links in it are followed; without it none would lead to the mounts that have lines.
_UNSHOWN_ROOT = Mount(0, 0, "", "/", "")


class MountTable:
    """The mounts of /proc/self/mountinfo (proc_pid_mountinfo(5)), walked as the kernel does.

    A mount is found from the one that its mount point lies in, so that what is mounted over is
    not seen. Lines that are not understood are passed over.
    """

    def __init__(self, text: str) -> None:
        mounts = [mount for mount in map(_mount, text.split("\n")) if mount is not None]
        idents = {mount.ident for mount in mounts}
        self._steps: dict[tuple[int, str], Mount] = {}
        for mount in mounts:
            # The root, and what is left of a table in a chroot, has a parent that isn't shown.
            shown = mount.parent in idents and mount.parent != mount.ident
            self._steps[mount.parent if shown else 0, mount.point] = mount
        if mounts and (0, "/") not in self._steps:
            self._steps[0, "/"] = _UNSHOWN_ROOT

    def step(self, mount: Optional[Mount], point: str) -> Optional[Mount]:
        """The mount that one is on at `point`, a path without links, coming from `mount`.

        None is where one comes from at "/", and where one is if nothing is known.
        """
        passed: set[int] = set()
        while True:
            above = self._steps.get((mount.ident, point)) if mount is not None else None
            above = above or self._steps.get((0, point))
            if above is None or above.ident in passed:
                return mount
            passed.add(above.ident)
            mount = above


def _mount(line: str) -> Optional[Mount]:
    fields = line.split(" ")
    try:
        kind = fields[fields.index("-", 6) + 1]
        return Mount(int(fields[0]), int(fields[1]), fields[2], _unescaped(fields[4]), kind)
    except (ValueError, IndexError):
        return None


def _unescaped(text: str) -> str:
    # The kernel writes blanks, tabs, newlines and backslashes so, all of them ASCII.
    return re.sub(r"\\([01][0-7]{2})", lambda code: chr(int(code[1], 8)), text)


class MountInfo:
    """This process's mount table. It is read again only after the kernel has told, to poll(2),
    that something was mounted or unmounted since (proc_pid_mounts(5)): to write the table down
    costs it much more than that. The file stays open until ``close``."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        self._path = path
        self._file: Optional[int] = None
        self._changes = select.poll()
        self._text = ""

    def read(self) -> str:
        """The table as it is now. Raises OSError where there is no /proc."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._changes.register(self._file, select.POLLPRI)
        elif not self._changes.poll(0):
            return self._text
        try:
            self._text = os.fsdecode(_content(self._file))
        except OSError:
            self.close()
            raise
        return self._text

    def close(self) -> None:
        """``read`` opens the file anew."""
        file, self._file = self._file, None
        if file is not None:
            self._changes.unregister(file)
            os.close(file)


def _content(file: int) -> bytes:
    """All of an open file."""
    os.lseek(file, 0, os.SEEK_SET)
    return b"".join(iter(lambda: os.read(file, 65536), b""))


class _Place(NamedTuple):
    """A folder on the way along a path: `touchable` if a look at a name in it cannot hang."""

    path: str
    mount: Optional[Mount]
    touchable: bool


def remote_mounts(
    path: str, table: MountTable, readlink: Callable[[str], str] = os.readlink
) -> frozenset[Mount]:
    """The network and FUSE mounts that one needs to get at `path`, an absolute one.

    Links are followed as the kernel would, but nothing is read on such a mount or behind it:
    there, and where the table tells nothing, the rest of the path is taken as it is written. A
    path that is relative, too long or has too many links has none.
    """
    met, _ = _way(path, table, readlink)
    return frozenset(mount for mount in met if mount is not None and mount.remote)


def mount_of(
    path: str, table: MountTable, readlink: Callable[[str], str] = os.readlink
) -> Optional[Mount]:
    """The mount that `path`, an absolute one, lies on; found as ``remote_mounts`` finds them."""
    return _way(path, table, readlink)[1]


def _way(
    path: str, table: MountTable, readlink: Callable[[str], str]
) -> tuple[set[Optional[Mount]], Optional[Mount]]:
    """The mounts on the way to a path, and the one at its end."""
    if not path.startswith("/") or "\0" in path or len(path) > _PATH_MOST:
        return set(), None
    root = table.step(None, "/")
    top = _Place("", root, root is not None and root.harmless)
    trail = [top]
    met = {root}
    names = path.split("/")[::-1]
    links = 0
    while names:
        name = names.pop()
        if name == ".." and len(trail) > 1:
            trail.pop()
        if name in ("", ".", ".."):
            continue
        folder = trail[-1]
        place = _entered(folder, name, table)
        if place.mount is folder.mount and folder.touchable:
            try:
                target = readlink(place.path)
            except OSError as error:
                if error.errno != errno.EINVAL:  # not merely "no link": nothing to see from here
                    place = _Place(place.path, place.mount, False)
            else:
                links += 1
                if links > _LINKS_MOST:
                    return set(), None
                if target.startswith("/"):
                    trail = [top]
                names.extend(target.split("/")[::-1])
                continue
        met.add(place.mount)
        trail.append(place)
    return met, trail[-1].mount


def _entered(folder: _Place, name: str, table: MountTable) -> _Place:
    point = f"{folder.path}/{name}"
    mount = table.step(folder.mount, point)
    return _Place(point, mount, folder.touchable and mount is not None and mount.harmless)
