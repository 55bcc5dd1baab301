"""The line that begins the sampling of a hypervisor: who samples what, and what is not seen.

Pure: facts in, words out. It must not know libvirt, rounds or how anything is watched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

from .. import __version__
from ..shown import first_of, one_line

#: Storages that are named.
_NAMED = 3


class View(NamedTuple):
    """What the watches of this host see of a hypervisor's domains.

    :param processes: whether the process watch is on.
    :param unseen: running domains whose process it does not see; None while that is not known.
    :param hidden: whether /proc hides the processes of other users.
    :param storage: whether the storage watch is on.
    :param blind: mounts that it may not look at.
    """

    processes: bool
    unseen: Optional[int]
    hidden: bool
    storage: bool
    blind: tuple[str, ...]


class Introduction:
    """When a hypervisor is to be introduced: at the start, and when its version has changed."""

    def __init__(self) -> None:
        self._connection = -1
        self._version = ""

    def is_due(self, connection: int) -> bool:
        """Whether the hypervisor's version is to be asked for: once for each connection.

        :param connection: a number that another one has.
        """
        if connection == self._connection:
            return False
        self._connection = connection
        return True

    def is_news(self, version: str) -> bool:
        """Whether that is another version than was told last.

        :param version: what the hypervisor calls itself; empty if it did not say.
        """
        if self._version and version in ("", self._version):
            return False
        self._version = version or "a hypervisor that does not tell its version"
        return True

    def line(
        self,
        domains: int,
        running: int,
        view: Optional[View],
        remote: Iterable[str],
        occupancy: bool,
    ) -> str:
        """The line, without the URI.

        :param domains: how many there are, ``running`` of them active.
        :param view: None for a hypervisor whose domains are no processes of this host.
        :param remote: storages that only QEMU reaches, by an opaque name each.
        :param occupancy: whether a monitor that is busy for long counts as hanging.
        """
        watches = [*_watches(view, running, remote)]
        watches.append("occupancy watch on" if occupancy else "occupancy watch off")
        counted = "1 domain" if domains == 1 else f"{domains} domains"
        return (
            f"domstats {__version__} samples {self._version}, {counted} ({running} running);"
            f" {', '.join(watches)}"
        )


def _watches(view: Optional[View], running: int, remote: Iterable[str]) -> Iterable[str]:
    if view is None:
        yield "no process watch and no storage watch, as its domains are no processes of this host"
        return
    if not view.processes:
        yield "process watch off"
    elif view.unseen:
        why = " (/proc hides other users' processes: hidepid)" if view.hidden else ""
        yield f"process watch on, but sees {running - view.unseen} of {running} processes{why}"
    else:
        yield "process watch on"
    unseen = sorted({*view.blind, *remote})
    if not view.storage:
        yield "storage watch off"
    elif unseen:
        named = first_of([one_line(name, 100) for name in unseen], _NAMED)
        yield f"storage watch on, but cannot see {named}"
    else:
        yield "storage watch on"
