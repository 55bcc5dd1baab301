"""Sizes of disks that the bulk answer cannot tell, and when to ask for them as ``virt`` does.

The bulk answer has, of each disk, how far it was written since QEMU began (``allocation``), and how
much its file takes on the host (``physical``). virDomainGetBlockInfo, which collectd's virt calls
for each disk in each round, makes of these:

- of a qcow2 file: what it takes as allocation, and the file's length as physical size;
- of any other disk the same if it was not written to, or exactly as far as it takes on the host (of
  a block device that was not written to, an allocation of 0 and the device's size);
- of all others what the bulk answer says.

So it has to be asked only for the length of files, and for that once in a while: a qcow2 file grows
at its end, and how far it is written tells of that. Pure: no threads, clock or libvirt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Optional

from ..domain_xml.untold_sizes import untold_disks
from ..model import Devices, Stats, Value
from .pace import Rota

#: Seconds for which a length serves.
REFRESH_S = 300.0


class _Length(NamedTuple):
    """What was told of a disk.

    :param about: path and capacity of the disk that it was told of.
    :param physical: the length of the file in bytes; None if nothing can be told.
    :param is_allocated: whether a disk that was not written to takes something on the host.
    """

    about: tuple[Optional[Value], ...]
    physical: Optional[int]
    is_allocated: bool


class _Known(NamedTuple):
    lengths: Mapping[str, _Length]
    since: float


class DiskSizes:
    """The sizes that were asked for, of all domains.

    :param most: domains that are asked in one round at most; 0 if nobody wants to know.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        #: By uuid: what is known, the longest ago first.
        self._known: dict[str, _Known] = {}
        #: Domains of which it may be wrong, or is old.
        self._doubtful: set[str] = set()
        self._rota = Rota(REFRESH_S)

    @property
    def are_wanted(self) -> bool:
        return self._most > 0

    def begin(self, now: float) -> None:
        """A round begins: those who were asked longest ago are asked again, spread over as many
        rounds as a length serves. Who has not answered since is forgotten."""
        self._left = self._most
        turns = self._rota.turns(len(self._known), now)
        for at, (uuid, known) in enumerate(list(self._known.items())):
            if now - known.since >= 2 * REFRESH_S:
                self.forget(uuid)
            elif at < turns or now - known.since >= REFRESH_S:
                self._doubtful.add(uuid)
            else:
                break

    def due(
        self, uuids: Collection[str], devices: Mapping[str, Devices]
    ) -> dict[str, frozenset[str]]:
        """Of domains whose disks are asked for in bulk, those to be asked for sizes too, with the
        targets of their qcow2 files."""
        due = {}
        for uuid in uuids:
            if self._left > 0 and (uuid in self._doubtful or uuid not in self._known):
                self._left -= 1
                known = devices.get(uuid)
                due[uuid] = known.images if known is not None else frozenset()
        return due

    def complete(
        self, uuid: str, stats: Stats, images: frozenset[str], *, asked: bool, now: float
    ) -> None:
        """Learn from an answer if its domain was asked for sizes; add what was learned else.

        ``block.<n>.info.allocation`` and ``.info.physical`` are in the answer then, of each disk
        that the bulk answer does not tell of.
        """
        if asked:
            self.forget(uuid)
            self._known[uuid] = _Known(dict(_lengths(stats, images)), now)
            return
        known = self._known.get(uuid)
        if known is None:
            return
        for name, keys in untold_disks(stats, images):
            length = known.lengths.get(name)
            if length is None or length.about != (stats[keys.path], stats[keys.capacity]):
                self._doubtful.add(uuid)
            elif length.physical is not None:
                allocation, physical = stats.get(keys.allocation, 0), stats.get(keys.physical, 0)
                taken = physical if name in images or length.is_allocated else 0
                is_written = name not in images and allocation != 0
                stats[keys.info_allocation] = allocation if is_written else taken
                stats[keys.info_physical] = _longest(length.physical, allocation)

    def forget(self, uuid: str) -> None:
        """Nothing is known of it: it has been started anew."""
        self._known.pop(uuid, None)
        self._doubtful.discard(uuid)


def _lengths(stats: Stats, images: frozenset[str]) -> Iterator[tuple[str, _Length]]:
    for name, keys in untold_disks(stats, images):
        physical = stats.get(keys.info_physical)
        yield (
            name,
            _Length(
                (stats[keys.path], stats[keys.capacity]),
                physical if isinstance(physical, int) else None,
                bool(stats.get(keys.info_allocation)),
            ),
        )


def _longest(length: int, written: Value) -> int:
    """A file is at least as long as it was written."""
    return max(length, written) if isinstance(written, int) else length
