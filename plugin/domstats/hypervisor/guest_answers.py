"""What a guest agent's answer says, from the plain values that libvirt's calls give.

Pure. Everything in an answer is a tenant's, and a guest can have anything sent as its agent: so the
number of file systems and the length of each text are bounded here, before anything is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import msgspec

from ..model import FileSystem

#: File systems of a domain that are kept, and disks of one of them.
FILE_SYSTEMS_MOST = 256
DISKS_MOST = 16
#: Characters of each text.
TEXT_MOST = 255
#: What is no number of bytes: an int64 would be negative.
_BYTES_MOST = 2**63 - 1


class Told(msgspec.Struct, frozen=True):
    """What an agent told; see ``model.GuestAgent``."""

    os_id: str = ""
    os_version: str = ""
    hostname: str = ""
    users: Optional[int] = None
    filesystems: tuple[FileSystem, ...] = ()
    left_out: int = 0


def of_guest_info(said: Mapping[str, Any]) -> Told:
    """An answer of virDomainGetGuestInfo: ``fs.0.mountpoint``, ``os.id``, ``hostname``, …"""
    count = _count(said.get("fs.count")) or 0
    kept = min(count, FILE_SYSTEMS_MOST)
    return Told(
        os_id=_text(said.get("os.id")),
        os_version=_text(said.get("os.version-id")) or _text(said.get("os.version")),
        hostname=_text(said.get("hostname")),
        users=_count(said.get("user.count")),
        filesystems=tuple(_file_system(said, f"fs.{number}.") for number in range(kept)),
        left_out=count - kept,
    )


def of_fs_info(said: Sequence[Sequence[Any]]) -> Told:
    """An answer of virDomainGetFSInfo: mount point, name, type and disks of each, without sizes."""
    return Told(
        filesystems=tuple(
            FileSystem(_text(name), _text(mountpoint), _text(fstype), _disks(disks or ()))
            for mountpoint, name, fstype, disks in said[:FILE_SYSTEMS_MOST]
        ),
        left_out=max(0, len(said) - FILE_SYSTEMS_MOST),
    )


def _file_system(said: Mapping[str, Any], prefix: str) -> FileSystem:
    disks = min(_count(said.get(f"{prefix}disk.count")) or 0, DISKS_MOST)
    total = _count(said.get(f"{prefix}total-bytes"))
    used = _count(said.get(f"{prefix}used-bytes"))
    is_sound = total is not None and used is not None and used <= total
    return FileSystem(
        name=_text(said.get(f"{prefix}name")),
        mountpoint=_text(said.get(f"{prefix}mountpoint")),
        fstype=_text(said.get(f"{prefix}fstype")),
        disks=_disks([said.get(f"{prefix}disk.{number}.alias") for number in range(disks)]),
        total_bytes=total if is_sound else None,
        used_bytes=used if is_sound else None,
    )


def _disks(names: Sequence[Any]) -> tuple[str, ...]:
    """The disks that have a name."""
    return tuple(text for name in names[:DISKS_MOST] if (text := _text(name)))


def _text(value: Any) -> str:
    """A text, cut; empty for anything else. (libvirt's client does not hold types to names.)"""
    return value[:TEXT_MOST] if isinstance(value, str) else ""


def _count(value: Any) -> Optional[int]:
    """A number that is not negative; None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _BYTES_MOST else None
