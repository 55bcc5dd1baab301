"""Finding the processes of the bed from outside of its process namespace.

Process ids that libvirtd writes down are those inside of the namespace; these functions give the
ones that everybody else sees.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Optional


def children(pid: int) -> list[int]:
    """The processes that ``pid``'s main thread started or adopted."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def in_namespace_of(pid: int) -> Iterator[tuple[int, list[str]]]:
    """Every process that shares the process namespace of ``pid``, with its command line."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{entry}/ns/pid") != namespace:
                continue
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        yield int(entry), command.decode(errors="replace").split("\0")


def state(pid: int) -> Optional[str]:
    """The state letter of ``/proc/PID/stat`` (R, S, D, T, Z …), None if there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def has_ended(pid: int) -> bool:
    """Whether no thread of it is left: until then what it has open stays so, its sockets too."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    return state(pid) in (None, "Z") and threads == [str(pid)]
