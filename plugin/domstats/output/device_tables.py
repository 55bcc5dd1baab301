"""What is sent of devices and control groups beyond libvirt's statistics: one set of tables for
line protocol, for collectd and for docs/metrics.md; and the tags of devices.

Data, and how a domain's sample is read by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Optional

import msgspec

from ..model import NO_DETAILS, Devices, DomainSample, Nic, Status

#: What may be wanted; the options have these names.
PRESSURE, INTERFACES, THROTTLE = "pressure", "interface_details", "disk_throttle"


class FigureRow(msgspec.Struct, frozen=True):
    """A field of a measurement, and the value list that is the same.

    :param field: its name in line protocol, and the last word of its key.
    :param counter: it only grows.
    :param whole: an integer field; else a float.
    :param type: collectd's, of the stock types.db; empty for what comes with another field.
    :param instance: the type instance; ``{device}`` is the resource, the disk or the interface.
    :param pair: the field that is the second data source of the type.
    """

    field: str
    unit: str
    description: str
    type: str
    instance: str
    counter: bool = False
    whole: bool = True
    pair: str = ""


class FigureTable(msgspec.Struct, frozen=True):
    """A measurement.

    :param option: asks for it: its key in the table of options, and its name in collectd.
    :param tag: tells what a domain has several of; its value is the resource, the disk or the
        interface.
    """

    option: str
    collectd_option: str
    measurement: str
    tag: str
    rows: tuple[FigureRow, ...]


def _pressure_rows() -> Iterator[FigureRow]:
    for which, who in (("some", "some of its tasks"), ("full", "all of them at once")):
        for seconds in (10, 60, 300):
            yield FigureRow(
                f"{which}_avg{seconds}", "%",
                f"share of the last {seconds} s in which {who} waited", "percent",
                f"pressure_{{device}}_{which}_avg{seconds}", whole=False,
            )  # fmt: skip
        yield FigureRow(
            f"{which}_total", "µs", f"time in which {who} waited", "derive",
            f"pressure_{{device}}_{which}_total", counter=True,
        )  # fmt: skip


def _counter_rows() -> Iterator[FigureRow]:
    for word, unit, type_, text in (
        ("bytes", "bytes", "if_octets", "{}"),
        ("pkts", "1", "if_packets", "packets {}"),
        ("drop", "1", "if_dropped", "packets {} and dropped"),
    ):
        yield FigureRow(
            f"rx_{word}", unit, text.format("received"), type_, "{device}", counter=True,
            pair=f"tx_{word}",
        )  # fmt: skip
        yield FigureRow(f"tx_{word}", unit, text.format("sent"), "", "", counter=True)


def _limit_rows() -> Iterator[FigureRow]:
    for what, unit in (("bytes", "bytes/s"), ("iops", "1/s")):
        for which, name in (("total", "reads and writes"), ("read", "reads"), ("write", "writes")):
            for peak, text in (("", "most"), ("_max", "most in a burst")):
                field = f"{which}_{what}_sec{peak}"
                yield FigureRow(
                    field, unit, f"{text}, of {name}", "gauge", f"throttle_{field}-{{device}}"
                )


FIGURE_TABLES: tuple[FigureTable, ...] = (
    FigureTable(PRESSURE, "Pressure", "domstats_pressure", "resource", tuple(_pressure_rows())),
    FigureTable(
        INTERFACES, "InterfaceDetails", "domstats_interface", "device",
        (
            FigureRow("link", "1", "0 if its link was taken down", "bool", "link-{device}"),
            FigureRow("speed", "Mbit/s", "speed of its device on the host, or of its card",
                      "gauge", "speed-{device}"),
            *_counter_rows(),
        ),
    ),
    FigureTable(THROTTLE, "DiskThrottle", "domstats_disk_throttle", "device",
                tuple(_limit_rows())),
)  # fmt: skip

#: What the tags of disks and interfaces begin with, by the stats group and by the word in
#: ``device_tags``.
TAGGED: Mapping[str, str] = {"block": "disk", "interface": "interface"}
#: The tags of disks, and what each is.
DISK_TAGS: Mapping[str, str] = {
    "disk_type": "file, block, network, volume, …",
    "disk_device": "disk, cdrom, floppy, lun",
    "disk_bus": "virtio, scsi, …",
    "disk_pool": "the storage pool; of rbd the pool",
    "disk_volume": "the volume; of rbd the image",
    "disk_protocol": "of a network disk: rbd, nbd, iscsi, …",
    "disk_host": "of a network disk: its hosts, with commas",
    "disk_source": "of a network disk: its name there",
    "disk_chain": "images in its chain; 1 is one without a backing file",
    "disk_mount": "the mount point on the host that a file lies on",
    "disk_fs": "the type of file system there",
}
#: The tags of interfaces.
INTERFACE_TAGS: Mapping[str, str] = {
    "interface_mac": "its MAC address",
    "interface_type": "bridge, network, direct, hostdev, vhostuser, …",
    "interface_source": "the network, bridge, device, socket or PCI device behind it",
    "interface_model": "virtio, e1000, …",
}


class Figures(NamedTuple):
    """What there is to send of one resource or device of a domain.

    :param device: the value of the table's tag.
    :param nic: the interface; None of anything else.
    :param values: by field.
    """

    table: FigureTable
    device: str
    nic: Optional[Nic]
    values: Mapping[str, float]


def figures_of(domain: DomainSample, wanted: Collection[str]) -> Iterator[Figures]:
    """What there is to send of a running domain, in the sample of a round's end.

    :param wanted: of PRESSURE, INTERFACES, THROTTLE.
    """
    if not domain.active or domain.status is Status.GONE:
        return
    pressure, interfaces, throttle = FIGURE_TABLES
    details = domain.devices.details or NO_DETAILS
    found: dict[tuple[str, str], dict[str, float]] = {}
    for key, value in domain.beside.items() if domain.beside else ():
        what, which, word = key.split(".")
        found.setdefault((what, which), {})[word] = value
    if PRESSURE in wanted:
        for (what, which), values in found.items():
            if what == "pressure":
                yield Figures(pressure, which, None, values)
    if INTERFACES in wanted:
        for number, nic in enumerate(details.nics):
            seen = found.get(("interface", str(number)), {})
            if name := nic.name or nic.address:
                yield Figures(interfaces, name, nic, {"link": int(nic.link), **seen})
    if THROTTLE in wanted:
        for target, limits in details.throttles.items():
            yield Figures(throttle, target, None, limits)


def device_tags(devices: Devices, group: str, name: str) -> dict[str, str]:
    """The tags of a disk or interface by its name; empty if its XML is not known yet."""
    details = devices.details or NO_DETAILS
    if group == "block":
        return {f"disk_{word}": text for word, text in details.places.get(name, {}).items()}
    for nic in details.nics:
        if nic.name == name:
            return interface_tags(nic)
    return {}


def interface_tags(nic: Nic) -> dict[str, str]:
    """The tags of an interface."""
    return {
        "interface_mac": nic.address,
        "interface_type": nic.type,
        "interface_source": nic.source,
        "interface_model": nic.model,
    }
