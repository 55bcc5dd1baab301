"""What a guest is made of, and its XML."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

from tests.system.bed import linux

MEMORY_MIB = 16
# Without KVM QEMU emulates: the same statistics but for those of KVM.
DOMAIN_TYPE = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "qemu"


@dataclass(frozen=True)
class Medium:
    """A disk of its own kind: an image of this format, with so many bytes for the guest.

    A raw one is made of ``size`` bytes that are not zero.
    """

    format: str
    size: int
    readonly: bool = False


@dataclass(frozen=True)
class Shape:
    """What to make a guest of. ``folder`` is where its disks lie, None for the bed's own.

    ``media`` come after its disks, under the next names; nothing is ever written to them unless
    a test does.
    ``unplugged`` is the number of a vCPU, neither the first nor the last, that is not plugged in;
    the last one is pinned to CPU 0 then.
    ``agent`` makes it boot Linux, with its first disk mounted: ``real`` runs QEMU's guest agent,
    ``relay`` lets a test be the agent (``Guest.relay``); see ``linux``.
    """

    name: str
    disks: int = 1
    nics: int = 1
    vcpus: int = 2
    unplugged: Optional[int] = None
    folder: Optional[Path] = None
    cdrom: bool = False
    iothread: bool = False
    balloon_period: int = 0
    paused: bool = False
    busy: bool = False
    dirty: bool = False
    media: tuple[Medium, ...] = ()
    agent: str = ""

    @property
    def kind(self) -> str:
        """What it runs; see ``firmware``."""
        return "dirty" if self.dirty else "busy" if self.busy else "idle"


def usual(number: int) -> Shape:
    """The shape of a bed's guest of that number: the first ones are special, the others alike."""
    special = {
        0: Shape("web-1", disks=2, nics=2, cdrom=True, iothread=True, balloon_period=5, busy=True),
        1: Shape("db-1", paused=True),
        2: Shape("shop, größe=7", disks=2, busy=True),
        3: Shape("no-net", nics=0),
        4: Shape("no-disk", disks=0, vcpus=1),
    }
    return special.get(number, Shape(f"guest-{number}"))


def disk_name(index: int) -> str:
    return "vd" + "abcdefghijklmnopqrstuvwxyz"[index]


def disk_xml(
    path: Path,
    target: str,
    bus: str = "virtio",
    iothread: bool = False,
    medium: Medium = Medium("qcow2", 0),
) -> str:
    """A disk of the image at ``path``, called ``target`` in the guest."""
    disk = ElementTree.Element("disk", type="file", device="disk")
    driver = ElementTree.SubElement(disk, "driver", name="qemu", type=medium.format)
    if iothread:
        driver.set("iothread", "1")
    if medium.readonly:
        ElementTree.SubElement(disk, "readonly")
    ElementTree.SubElement(disk, "source", file=str(path))
    ElementTree.SubElement(disk, "target", dev=target, bus=bus)
    ElementTree.SubElement(disk, "alias", name=f"ua-{target}")  # by which QEMU's monitor knows it
    return ElementTree.tostring(disk, encoding="unicode")


def nic_xml(target: str, model: str = "virtio") -> str:
    """A network card whose host side is the device ``target``."""
    nic = ElementTree.Element("interface", type="ethernet")
    ElementTree.SubElement(nic, "target", dev=target)
    ElementTree.SubElement(nic, "model", type=model)
    ElementTree.SubElement(nic, "alias", name=f"ua-{target}")
    return ElementTree.tostring(nic, encoding="unicode")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def domain_xml(
    shape: Shape,
    uuid: str,
    rom: Path,
    partition: str,
    disks: list[Path],
    media: list[Path],
    nics: list[str],
    system: Optional[linux.System] = None,
    relay: Optional[Path] = None,
) -> str:
    """The whole definition of a guest; ``partition`` is of cgroups, and may be empty.

    :param system: what it boots instead of ``rom``.
    :param relay: the socket at which a test finds its agent's channel.
    """
    kind, memory_mib = DOMAIN_TYPE, MEMORY_MIB
    if system is not None:
        kind, memory_mib = linux.DOMAIN_TYPE, linux.MEMORY_MIB
    domain = ElementTree.Element("domain", type=kind)

    def add(
        parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
    ) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, tag, attributes)
        element.text = text or None
        return element

    add(domain, "name", shape.name)
    add(domain, "uuid", uuid)
    add(domain, "memory", str(memory_mib), unit="MiB")
    vcpu = add(domain, "vcpu", str(shape.vcpus))
    if shape.unplugged is not None:
        vcpu.set("current", str(shape.vcpus - 1))
        each = add(domain, "vcpus")
        for number in range(shape.vcpus):
            is_in, can_go = number != shape.unplugged, number > 0
            add(each, "vcpu", id=str(number), enabled=_yes(is_in), hotpluggable=_yes(can_go))
        add(add(domain, "cputune"), "vcpupin", vcpu=str(shape.vcpus - 1), cpuset="0")
    if shape.iothread:
        add(domain, "iothreads", "1")
    if partition:
        add(add(domain, "resource"), "partition", partition)
    boot = add(domain, "os")
    add(boot, "type", "hvm", arch="x86_64", machine="pc")
    if system is None:
        add(boot, "loader", str(rom), type="rom")
    else:
        add(boot, "kernel", str(system.kernel))
        add(boot, "initrd", str(system.initial))
        add(boot, "cmdline", "panic=-1 quiet nokaslr")
    devices = add(domain, "devices")
    add(devices, "controller", type="usb", model="qemu-xhci")
    for index, path in enumerate(disks):
        image = Medium("raw" if system else "qcow2", 0)
        disk = disk_xml(path, disk_name(index), iothread=shape.iothread, medium=image)
        devices.append(ElementTree.fromstring(disk))
    for index, (path, medium) in enumerate(zip(media, shape.media), len(disks)):
        disk = disk_xml(path, disk_name(index), iothread=shape.iothread, medium=medium)
        devices.append(ElementTree.fromstring(disk))
    if shape.cdrom:
        cdrom = add(devices, "disk", type="file", device="cdrom")
        add(cdrom, "target", dev="hda", bus="ide")
        add(cdrom, "readonly")
    for nic in nics:
        devices.append(ElementTree.fromstring(nic_xml(nic)))
    if system is not None:
        add(add(devices, "channel", type="unix"), "target", type="virtio", name=linux.CHANNEL)
    if relay is not None:
        channel = add(devices, "channel", type="unix")
        add(channel, "source", mode="bind", path=str(relay))
        add(channel, "target", type="virtio", name=linux.RELAY)
    balloon = add(devices, "memballoon", model="virtio")
    if shape.balloon_period:
        add(balloon, "stats", period=str(shape.balloon_period))
    return ElementTree.tostring(domain, encoding="unicode")
