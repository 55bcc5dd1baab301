"""What this host's kernel knows of guests' network interfaces: speed, and the counters of SR-IOV
ones (virtual functions), which have no device on the host.

It reads sysfs and asks rtnetlink for links, which everybody may and which changes nothing. Both may
wait for the kernel's network lock or a card's firmware, so it is nothing for a thread that a round
waits for.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Callable, NamedTuple, Optional

from ..model import Nic

#: Seconds for which a speed, or that there is none, holds.
LASTS_S = 60.0

_DEVICE = re.compile(r"[^/\s]{1,15}")
_NO_DEVICE = frozenset({".", ".."})

# rtnetlink(7), linux/if_link.h
_RTM_NEWLINK, _RTM_GETLINK, _NLM_F_REQUEST = 16, 18, 1
_IFLA_VFINFO_LIST, _IFLA_EXT_MASK, _RTEXT_FILTER_VF = 22, 29, 1
_IFLA_VF_INFO, _IFLA_VF_MAC, _IFLA_VF_STATS = 1, 1, 8
_TYPE = 0x3FFF  # without the flags of an attribute's type
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_ANSWER_MOST = 1 << 19  # bytes; a card with 256 virtual functions has 64 KiB
_ANSWER_S = 2.0

#: The counters of a virtual function, by IFLA_VF_STATS_*, as seen by the guest.
VF_COUNTERS = {0: "rx_pkts", 1: "tx_pkts", 2: "rx_bytes", 3: "tx_bytes", 7: "rx_drop", 8: "tx_drop"}

#: The counters of each virtual function of a card, by its number.
Functions = dict[int, dict[str, int]]


class _Place(NamedTuple):
    """Which virtual function of which card; the card's device on the host."""

    card: str
    number: int


class HostInterfaces:
    """Looks at guests' interfaces. Used from one thread.

    :param sysfs: where sysfs is.
    :param ask: asks the kernel for the virtual functions of the card with this number.
    """

    def __init__(
        self, sysfs: str = "/sys", ask: Optional[Callable[[int], Functions]] = None
    ) -> None:
        self._sysfs = sysfs
        self._ask = ask or ask_functions
        #: By device: when its speed was read, and what it was.
        self._speeds: dict[str, tuple[float, Optional[int]]] = {}
        self._places: dict[str, tuple[float, Optional[_Place]]] = {}

    def look(
        self, domains: Collection[tuple[str, Sequence[Nic]]], now: float
    ) -> dict[str, dict[str, float]]:
        """By domain: what is known of each of its interfaces, ``interface.<n>.<word>``.

        The words are ``speed``, in Mbit/s, and those of ``VF_COUNTERS``. Raises nothing.

        :param domains: those that run, each with its interfaces.
        :param now: seconds of a clock that only goes forward.
        """
        nics = [nic for _, theirs in domains for nic in theirs]
        names, addresses = {nic.name for nic in nics}, {nic.pci for nic in nics}
        self._speeds = {name: read for name, read in self._speeds.items() if name in names}
        self._places = {pci: place for pci, place in self._places.items() if pci in addresses}
        cards: dict[str, Functions] = {}
        found: dict[str, dict[str, float]] = {}
        for uuid, theirs in domains:
            figures: dict[str, float] = {}
            for number, nic in enumerate(theirs):
                for word, value in self._of(nic, cards, now):
                    figures[f"interface.{number}.{word}"] = value
            if figures:
                found[uuid] = figures
        return found

    def _of(
        self, nic: Nic, cards: dict[str, Functions], now: float
    ) -> Iterator[tuple[str, int]]:
        place = self._place(nic.pci, now) if nic.pci else None
        device = nic.name or (place.card if place else "")
        speed = self._speed(device, now) if device else None
        if speed is not None:
            yield "speed", speed
        if place is not None:
            if place.card not in cards:
                index = self._number(f"class/net/{place.card}/ifindex")
                cards[place.card] = {} if index is None else self._ask(index)
            yield from cards[place.card].get(place.number, {}).items()

    def _speed(self, device: str, now: float) -> Optional[int]:
        read_at, speed = self._speeds.get(device, (float("-inf"), None))
        if now - read_at >= LASTS_S:
            is_device = _DEVICE.fullmatch(device) and device not in _NO_DEVICE
            speed = self._number(f"class/net/{device}/speed") if is_device else None
            # -1, or 2**32 - 1 in old kernels: it is not known.
            speed = speed if speed is not None and 0 < speed < 2**32 - 1 else None
            self._speeds[device] = now, speed
        return speed

    def _place(self, pci: str, now: float) -> Optional[_Place]:
        looked_at, place = self._places.get(pci, (float("-inf"), None))
        if now - looked_at >= LASTS_S:
            place = self._find(pci)
            self._places[pci] = now, place
        return place

    def _find(self, pci: str) -> Optional[_Place]:
        """Where a virtual function belongs; None if it is none, or its card has no device here."""
        card = f"{self._sysfs}/bus/pci/devices/{pci}/physfn"
        with suppress(OSError):
            device = min(os.listdir(f"{card}/net"), default="")
            for name in os.listdir(card) if device else ():
                is_function = name.startswith("virtfn") and name[6:].isdecimal()
                if is_function and os.path.basename(os.readlink(f"{card}/{name}")) == pci:
                    return _Place(device, int(name[6:]))
        return None

    def _number(self, path: str) -> Optional[int]:
        try:
            with open(f"{self._sysfs}/{path}", "rb") as file:
                return int(file.read(32))
        except (OSError, ValueError):  # EINVAL: the device is down, or has no speed
            return None


def ask_functions(index: int) -> Functions:
    """The counters of a card's virtual functions, by RTM_GETLINK; of those that have counted
    something.

    :param index: the card's number (ifindex).
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(_ANSWER_S)
            netlink.send(request(index))
            return functions_of(netlink.recv(_ANSWER_MOST))
    except OSError:
        return {}


def request(index: int) -> bytes:
    """The question for a link and its virtual functions."""
    link = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    mask = _ATTRIBUTE.pack(8, _IFLA_EXT_MASK) + struct.pack("=I", _RTEXT_FILTER_VF)
    length = _HEADER.size + len(link) + len(mask)
    return _HEADER.pack(length, _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + link + mask


def functions_of(answer: bytes) -> Functions:
    """The virtual functions in the kernel's answer about one link."""
    if len(answer) < _HEADER.size + _LINK.size:
        return {}
    length, kind, *_ = _HEADER.unpack_from(answer)
    found: Functions = {}
    if kind == _RTM_NEWLINK:
        for type_, listed in _attributes(answer[_HEADER.size + _LINK.size : length]):
            if type_ == _IFLA_VFINFO_LIST:
                for each, function in _attributes(listed):
                    if each == _IFLA_VF_INFO:
                        _add_function(dict(_attributes(function)), found)
    return found


def _add_function(said: dict[int, bytes], found: Functions) -> None:
    # Each attribute of a function begins with its number; that of the address always comes.
    number = said.get(_IFLA_VF_MAC, b"")[:4]
    counters = {
        VF_COUNTERS[type_]: int.from_bytes(value, sys.byteorder)
        for type_, value in _attributes(said.get(_IFLA_VF_STATS, b""))
        if type_ in VF_COUNTERS and len(value) == 8
    }
    # Where a driver does not count, the kernel answers zeros.
    if len(number) == 4 and any(counters.values()):
        found[int.from_bytes(number, sys.byteorder)] = counters


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a netlink message, by type; ends at one that is none."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, type_ = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            return
        yield type_ & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
