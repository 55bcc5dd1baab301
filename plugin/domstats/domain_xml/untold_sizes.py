"""Of which disks an answer does not tell the sizes that ``virt`` tells."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

from ..model import Stats

#: Disks of a domain that are looked at: the server says how many there are, so within reason.
_MOST_DISKS = 4096


class _Keys(NamedTuple):
    """The keys of a disk by its number: libvirt's, and the two of our own.

    :param needed: those without which nothing can be asked, or need be.
    """

    name: str
    path: str
    reads: str
    allocation: str
    capacity: str
    physical: str
    info_allocation: str
    info_physical: str
    needed: frozenset[str]


@lru_cache(maxsize=_MOST_DISKS)
def _keys(number: int) -> _Keys:
    def key(word: str) -> str:
        return f"block.{number}.{word}"

    return _Keys(
        name=key("name"),
        path=key("path"),
        reads=key("rd.reqs"),
        allocation=key("allocation"),
        capacity=key("capacity"),
        physical=key("physical"),
        info_allocation=key("info.allocation"),
        info_physical=key("info.physical"),
        needed=frozenset((key("path"), key("rd.reqs"), key("capacity"))),
    )


def untold_disks(stats: Stats, images: Collection[str]) -> Iterator[tuple[str, _Keys]]:
    """The disks of a complete answer whose sizes it does not tell: the target, and the keys.

    :param images: the targets of the disks that are qcow2 files.
    """
    count = stats.get("block.count")
    names: set[str] = set()
    for number in range(min(count, _MOST_DISKS) if isinstance(count, int) else 0):
        keys = _keys(number)
        name = stats.get(keys.name)
        if not isinstance(name, str) or name in names:
            continue  # indexes may have holes, and a copy under way is no disk of its own
        names.add(name)
        allocation = stats.get(keys.allocation, 0)
        is_told = allocation != 0 and allocation != stats.get(keys.physical, 0)
        # An empty drive has no capacity, a disk on a network no path, a busy monitor told no reads.
        if (name in images or not is_told) and stats.keys() >= keys.needed:
            yield name, keys
