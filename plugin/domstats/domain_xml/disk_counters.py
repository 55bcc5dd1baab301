"""Which disks are asked for their counters where nobody may look at their files.

The bulk answer gives a domain's counters and the sizes of its disks together, and for the sizes
QEMU looks at the files: on storage that hangs that freezes the guest. Classic calls tell the
counters alone, for each disk by its target. What they tell goes under the keys of the bulk answer,
so each disk has to stand under the index that it has there. Pure: no threads, clock or libvirt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..model import Devices

#: Stands for the group block among the groups to ask for where the files must not be looked at.
COUNTERS = "counters"


class Disk(NamedTuple):
    """A disk to be asked for.

    :param number: its number in the keys of the bulk answer.
    :param target: its target (``vda``).
    :param path: the file or device behind it; empty for an empty drive.
    """

    number: int
    target: str
    path: str


def counted_disks(seen: Sequence[tuple[object, object]], devices: Devices) -> tuple[Disk, ...]:
    """The disks of a domain, in the order of the bulk answer.

    :param seen: name and path of each index in the last bulk answer; empty if there was none.
    :param devices: what the domain's XML says, which is newer when disks were plugged in or out.
    """
    by_name: dict[str, Disk] = {}
    for index, (name, path) in enumerate(seen):
        # While a disk is copied, the copy stands after it under the same name, without counters.
        if isinstance(name, str) and name not in by_name:
            by_name[name] = Disk(index, name, path if isinstance(path, str) else "")
    if by_name and by_name.keys() == set(devices.targets):
        return tuple(by_name.values())
    return tuple(
        Disk(index, target, devices.sources.get(target, ""))
        for index, target in enumerate(devices.targets)
    )
