"""Where a domain's disks lie, how they are throttled, what its network interfaces are.

For tags and figures that somebody asks for; what everybody needs of the XML ``describe`` reads.
Pure: a parsed domain in, bounded texts and numbers out. The XML is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from xml.etree.ElementTree import Element

from ..model import DeviceDetails, FrozenDict, Nic
from .disk_paths import network_hosts

#: What may be wanted.
DISKS, THROTTLES, NICS = "disks", "throttles", "nics"

#: Characters of a text at most, as of a label.
TEXT_MOST = 256
#: Digits of a number at most: libvirt has 64 bits for it.
_DIGITS_MOST = 18

#: The words of a disk's place: how libvirt reaches it, what it is to the guest, the storage pool
#: and volume (of rbd: pool and image), protocol, hosts and name of a network disk, how many images
#: its chain has (1: no backing file).
PLACE_WORDS = ("type", "device", "bus", "pool", "volume", "protocol", "host", "source", "chain")
#: Where a disk of this host lies; the mount table says it, not the XML.
MOUNT_WORDS = ("mount", "fs")

#: The limits of ``iotune`` and of throttle groups.
LIMITS = tuple(
    f"{which}_{what}_sec{peak}"
    for what in ("bytes", "iops")
    for which in ("total", "read", "write")
    for peak in ("", "_max")
)


def read_details(domain: Element, wanted: Collection[str]) -> DeviceDetails:
    """What is wanted of a parsed domain's devices, of DISKS, THROTTLES, NICS."""
    return DeviceDetails(
        places=places(domain) if DISKS in wanted else {},
        throttles=throttles(domain) if THROTTLES in wanted else {},
        nics=nics(domain) if NICS in wanted else (),
    )


def places(domain: Element) -> dict[str, dict[str, str]]:
    """Where each disk lies, by its target."""
    return {target: FrozenDict(_place(disk)) for target, disk in _disks(domain)}


def throttles(domain: Element) -> dict[str, dict[str, int]]:
    """The limits of each disk that has some, by its target.

    A disk behind several throttle groups (libvirt 11 and later) has the lowest limit of them.
    """
    groups = {
        group.findtext("group_name", ""): group
        for group in domain.iterfind("throttlegroups/throttlegroup")
    }
    found = {}
    for target, disk in _disks(domain):
        limits: dict[str, int] = {}
        names = (each.get("group", "") for each in disk.iterfind("throttlefilters/throttlefilter"))
        holders = [*disk.iterfind("iotune"), *(groups[name] for name in names if name in groups)]
        for holder in holders:
            for word, number in _limits(holder):
                limits[word] = min(number, limits.get(word, number))
        if limits:
            found[target] = limits
    return found


def nics(domain: Element) -> tuple[Nic, ...]:
    """The network interfaces, in the XML's order."""
    return tuple(_nic(interface) for interface in domain.iterfind("devices/interface"))


def _disks(domain: Element) -> Iterator[tuple[str, Element]]:
    for disk in domain.iterfind("devices/disk"):
        target = _get(disk.find("target"), "dev")
        if target:
            yield target, disk


def _place(disk: Element) -> Iterator[tuple[str, str]]:
    source = disk.find("source")
    name, protocol = _get(source, "name"), _get(source, "protocol")
    pool, volume = _get(source, "pool"), _get(source, "volume")
    if protocol == "rbd":
        pool, _, volume = name.rpartition("/")
    said = {
        "type": _get(disk, "type"),
        "device": _get(disk, "device") or "disk",
        "bus": _get(disk.find("target"), "bus"),
        "pool": pool,
        "volume": volume,
        "protocol": protocol,
        "host": "" if source is None else ",".join(network_hosts(source))[:TEXT_MOST],
        "source": name,
        "chain": str(_images(disk)),
    }
    yield from ((word, text) for word, text in said.items() if text)


def _images(disk: Element) -> int:
    """How many images a disk's chain has; none of an empty drive."""
    count = 0
    holder: Element | None = disk
    while holder is not None and holder.find("source") is not None:
        count += 1
        holder = holder.find("backingStore")
    return count


def _limits(holder: Element) -> Iterator[tuple[str, int]]:
    for word in LIMITS:
        text = holder.findtext(word, "").strip()
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST and int(text):
            yield word, int(text)


def _nic(interface: Element) -> Nic:
    source, link = interface.find("source"), interface.find("link")
    pci = _pci(None if source is None else source.find("address[@type='pci']"))
    words = ("network", "bridge", "dev", "path", "name")
    texts = (_get(source, word) for word in words)
    return Nic(
        name=_get(interface.find("target"), "dev"),
        address=_get(interface.find("mac"), "address"),
        type=_get(interface, "type"),
        source=next(filter(None, texts), pci),
        model=_get(interface.find("model"), "type"),
        pci=pci,
        link=_get(link, "state") != "down",
    )


def _pci(address: Element | None) -> str:
    """A PCI address as the kernel writes it; empty if there is none, or none that is one."""
    numbers = []
    for word, most in (("domain", 0xFFFF), ("bus", 0xFF), ("slot", 0x1F), ("function", 7)):
        try:
            number = int(_get(address, word)[:8], 16)
        except ValueError:
            return ""
        if not 0 <= number <= most:
            return ""
        numbers.append(number)
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*numbers)


def _get(element: Element | None, attribute: str) -> str:
    return "" if element is None else element.get(attribute, "")[:TEXT_MOST]
