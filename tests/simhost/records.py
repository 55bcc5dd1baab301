"""Statistics of a domain as bytes. A record is a fixed text with numbers in it, so each is built
once per domain and set of groups as a template; an answer then costs one `struct.pack` per
domain. Knows the keys and the model, not who asks nor what makes an answer late."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Union

from . import keys, wire, xdr
from .model import Disk, Domain

Source = Union[keys.Curve, int, str]


class Described(NamedTuple):
    """A parameter before it has a value: what it needs tells when it is read."""

    field: str
    type: int
    source: Source
    needs: int


@dataclass
class _Vcpu:
    state: int = 1  # running
    no: bool = False


@dataclass
class _EmptyDrive:
    target: str


@dataclass
class _Count:
    image_count: int


class Device(NamedTuple):
    """A part of a domain with keys of its own: `number` goes into the key's pattern,
    `place` into the curve (they differ where backing images are counted in between)."""

    number: int | str | None
    place: int | str | None
    holder: Any
    parts: tuple[str, ...]


def _whole(domain: Domain, backing: bool) -> Iterator[Device]:
    yield Device(None, None, domain, ("",))


def _balloon(domain: Domain, backing: bool) -> Iterator[Device]:
    driver = "balloon_driver" if domain.shape.balloon_driver else "no_balloon_driver"
    yield Device(None, None, domain, ("", driver, "process"))


def _vcpus(domain: Domain, backing: bool) -> Iterator[Device]:
    yield Device(None, None, domain, ("",))
    parts = ("vcpus", "kvm") if domain.shape.kvm else ("vcpus",)
    for n in range(domain.vcpus_online):
        yield Device(n, n, _Vcpu(), parts)


def _nets(domain: Domain, backing: bool) -> Iterator[Device]:
    yield Device(None, None, domain, ("",))
    for n, interface in enumerate(domain.interfaces):
        yield Device(n, n, interface, ("interfaces",))


def _images(domain: Domain, backing: bool) -> Iterator[Device]:
    chains = [_visited(disk, backing) for disk in domain.disks]
    yield Device(None, None, _Count(sum(map(len, chains))), ("",))
    index = 0
    for n, chain in enumerate(chains):
        for depth, image in enumerate(chain):
            parts = ("disks", "frontend", "image") if depth == 0 else ("disks", "image")
            yield Device(index, n, image, parts)
            index += 1


def _visited(disk: Disk, backing: bool) -> list:
    if not disk.chain:
        return [_EmptyDrive(disk.target)]
    return disk.chain if backing else disk.chain[:1]


def _perf_events(domain: Domain, backing: bool) -> Iterator[Device]:
    for event in domain.shape.perf_events:
        yield Device(event, event, domain, ("perf_events",))


def _iothreads(domain: Domain, backing: bool) -> Iterator[Device]:
    if domain.shape.iothreads:
        yield Device(None, None, domain, ("iothread_count",))
    for n in range(1, domain.shape.iothreads + 1):
        yield Device(n, n, domain, ("iothreads",))


def _kvm(domain: Domain, backing: bool) -> Iterator[Device]:
    if domain.shape.kvm:
        yield Device(None, None, domain, ("kvm",))


_DEVICES = {
    keys.STATE: _whole,
    keys.CPU: _whole,
    keys.BALLOON: _balloon,
    keys.VCPU: _vcpus,
    keys.INTERFACE: _nets,
    keys.BLOCK: _images,
    keys.PERF: _perf_events,
    keys.IOTHREAD: _iothreads,
    keys.MEMORY: lambda domain, backing: iter(()),
    keys.DIRTYRATE: _whole,
    keys.VM: _kvm,
}


_form = lru_cache(maxsize=None)(struct.Struct)


@lru_cache(maxsize=20_000)
def _label(field: str, type: int) -> bytes:
    """The constant bytes before a parameter's value."""
    return xdr.string(field) + xdr.int32(type)


@lru_cache(maxsize=20_000)
def _field(pattern: str, index: int | str | None) -> str:
    return pattern.replace("{n}", str(index))


class Template:
    """Bytes with numbers in them that grow: fixed pieces and curves take turns."""

    __slots__ = ("_curves", "_early", "_pack", "_pieces", "count")

    def __init__(self, head: bytes, described: list[Described]) -> None:
        pieces: list[bytes | int] = []
        fixed = [head]
        self.count = len(described)
        self._curves: list[tuple[int, int]] = []
        self._early: list[bool] = []
        for field, type, source, needs in described:
            if isinstance(source, keys.Curve):
                fixed.append(_label(field, type))
                pieces += (b"".join(fixed), 0)
                fixed = []
                self._curves.append((source.base, source.rate))
                self._early.append(needs in keys.TOLD[keys.PARTIAL])
            else:
                fixed.append(_label(field, type) + wire.TYPED[type](source))
        pieces.append(b"".join(fixed))
        self._pieces = pieces
        texts = [f"{len(piece)}s" if isinstance(piece, bytes) else "Q" for piece in pieces]
        self._pack = _form(">" + "".join(texts)).pack

    def encode(self, tick: int) -> bytes:
        """All of one moment."""
        pieces = self._pieces
        pieces[1::2] = [base + rate * tick // 10 for base, rate in self._curves]
        return self._pack(*pieces)

    def encode_in_turn(self, before: int, tick: int) -> bytes:
        """What needs no monitor as it was `before` the monitor was asked."""
        pieces = self._pieces
        pieces[1::2] = [
            base + rate * (before if early else tick) // 10
            for (base, rate), early in zip(self._curves, self._early)
        ]
        return self._pack(*pieces)


def _source(of: int | None, key: keys.Key, device: Device) -> Source | None:
    if not isinstance(key.source, keys.Moves):
        return getattr(device.holder, key.source, None)
    if of is None:
        return 0
    curve = keys.curve(of, _field(key.pattern, device.place), key.source)
    return curve if curve.rate else curve.base


class Records:
    """Answers about the domains of one hypervisor, for one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def describe(
        self, domain: Domain, groups: int, level: str, backing: bool = False
    ) -> list[Described]:
        """Each parameter with its value or curve, in libvirt's order. `level` is how much can be
        told: keys.OFF, PARTIAL or FULL."""
        if domain.said:
            return [
                Described(field, type, value, keys.NOTHING)
                for field, (type, value) in domain.said.items()
                if groups & keys.group_of(field)
            ]
        described: list[Described] = []
        of = None if level == keys.OFF else keys.fingerprint(self._seed, domain.uuid)
        told = keys.TOLD[level]
        for group, devices in _DEVICES.items():
            if not groups & group:
                continue
            tables = keys.KEYS[group]
            for device in devices(domain, backing):
                for part in device.parts:
                    for key in tables[part]:
                        if key.needs not in told:
                            continue
                        source = _source(of, key, device)
                        if source is not None:
                            field = _field(key.pattern, device.number)
                            described.append(Described(field, key.type, source, key.needs))
        return described

    def record(
        self, domain: Domain, groups: int, level: str, tick: int, backing: bool = False
    ) -> bytes:
        """A whole remote_domain_stats_record, all of it of one moment."""
        wanted = (groups, level, backing)
        template = domain.kept.get(wanted)
        if template is None:
            described = self.describe(domain, groups, level, backing)
            head = wire.identity(domain.identity) + xdr.uint(len(described))
            template = domain.kept[wanted] = Template(head, described)
        return template.encode(tick)

    def piece(
        self, domain: Domain, group: int, level: str, before: int, tick: int, backing: bool
    ) -> tuple[int, bytes]:
        """One group's parameters, how many and their bytes; as of `before` and `tick`, the
        moments before and after the monitor was asked."""
        wanted = (group, level, backing, "piece")
        template = domain.kept.get(wanted)
        if template is None:
            described = self.describe(domain, group, level, backing)
            template = domain.kept[wanted] = Template(b"", described)
        return template.count, template.encode_in_turn(before, tick)

    def values(self, domain: Domain, groups: int, tick: int) -> dict[str, Any]:
        """Key to value, everything the monitor would tell: what classic calls answer from."""
        wanted = (groups, "described")
        described = domain.kept.get(wanted)
        if described is None:
            described = domain.kept[wanted] = self.describe(domain, groups, keys.FULL)
        return {
            field: source.at(tick) if isinstance(source, keys.Curve) else source
            for field, _, source, _ in described
        }
