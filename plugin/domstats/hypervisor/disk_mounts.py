"""On which mount of this host a domain's disks lie, by the mount table alone: no file is looked at
where a look may hang.
"""

from __future__ import annotations

import msgspec

from ..model import NO_DETAILS, Devices, FrozenDict
from .mounts import MountInfo, MountTable, mount_of


class DiskMounts:
    """Adds to the places of disks the mount point and type of the file system that they lie on."""

    def __init__(self) -> None:
        self._info = MountInfo()
        self._text = ""
        self._table = MountTable("")

    def add_to(self, devices: Devices) -> Devices:
        """The devices, with the words ``mount`` and ``fs`` for each disk that is a file.

        A disk whose mount is not known lacks them.
        """
        try:
            text = self._info.read()
        except OSError:
            return devices
        if text != self._text:
            self._text, self._table = text, MountTable(text)
        details = devices.details or NO_DETAILS
        places = dict(details.places)
        for target, place in places.items():
            path = devices.sources.get(target, "")
            mount = mount_of(path, self._table) if place.get("type") == "file" else None
            if mount is not None and mount.kind:
                places[target] = FrozenDict({**place, "mount": mount.point, "fs": mount.kind})
        details = msgspec.structs.replace(details, places=places)
        return msgspec.structs.replace(devices, details=details)

    def close(self) -> None:
        """Let go of the mount table."""
        self._info.close()
