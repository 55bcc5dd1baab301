"""What the package wants to know from a domain's XML, read once when the domain appears."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msgspec import UNSET

from ..model import Devices, FrozenDict
from .device_details import read_details
from .disk_paths import disk_paths, parse_domain
from .labels import Labels

_NO_LABELS = Labels(())


class Description(NamedTuple):
    """Where a domain's disks lie (see ``disk_paths.DiskSources``), its devices, its labels."""

    paths: tuple[str, ...]
    remote: tuple[str, ...]
    devices: Devices
    labels: dict[str, str]


class DiskTarget(NamedTuple):
    """A disk's target (``vda``) and the file or device behind it; empty for an empty drive.

    :param is_image: it is a qcow2 file, of which libvirt tells other sizes than of all others.
    """

    name: str
    source: str
    is_image: bool = False


def describe(
    xml: str, labels: Labels = _NO_LABELS, details: Collection[str] = ()
) -> Description:
    """All that is wanted of a domain's XML. Raises ValueError if it cannot be read.

    :param details: of ``device_details``: what somebody wants to know of its devices beyond what
        everybody does.
    """
    domain = parse_domain(xml)
    sources = disk_paths(domain)
    disks, interfaces = _devices(domain)
    devices = Devices(
        addresses=FrozenDict((name, address) for name, address in interfaces if address),
        sources=FrozenDict((disk.name, disk.source) for disk in disks if disk.source),
        targets=tuple(disk.name for disk in disks),
        images=frozenset(disk.name for disk in disks if disk.is_image),
        details=read_details(domain, details) if details else UNSET,
    )
    return Description(sources.paths, sources.remote, devices, labels.read(xml))


def device_names(xml: str) -> tuple[tuple[DiskTarget, ...], tuple[str, ...]]:
    """The disks, and the target devices of the NICs, in the XML's order. Raises ValueError."""
    disks, interfaces = _devices(parse_domain(xml))
    return disks, tuple(name for name, _ in interfaces)


def _devices(domain: Element) -> tuple[tuple[DiskTarget, ...], tuple[tuple[str, str], ...]]:
    disks = []
    for disk in domain.iterfind("devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None and target.get("dev"):
            path = "" if source is None else source.get("dev") or source.get("file") or ""
            driver = disk.find("driver[@type='qcow2']")
            is_image = disk.get("type") == "file" and bool(path) and driver is not None
            disks.append(DiskTarget(target.get("dev", ""), path, is_image))
    interfaces = []
    for interface in domain.iterfind("devices/interface"):
        target, mac = interface.find("target"), interface.find("mac")
        if target is not None and target.get("dev"):
            address = "" if mac is None else mac.get("address", "")
            interfaces.append((target.get("dev", ""), address))
    return tuple(disks), tuple(interfaces)
