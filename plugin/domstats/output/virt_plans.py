"""A domain's plan of value lists: what domains with certain keys can send, worked out once for all
of them, and how its values are read then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Callable, NamedTuple, Optional, cast

from ..model import GROUP_OF_WORD, Stats, Value, picker
from . import schema
from .identity import valid_part
from .virt_schema import Per, Rule, ValueListRow

#: A DERIVE is a signed 64-bit integer in collectd.
DERIVE_MAX = 2**63 - 1


#: What a value list is called within its host: type, type instance, and the seconds to the next
#: one; 0 for the agent's interval.
Head = tuple[str, str, float]

#: A value for each data source of a type: integers for DERIVE, floats for GAUGE.
Values = tuple[float, ...]


class _Entry(NamedTuple):
    """A value list that a domain with certain keys can have.

    :param keys: the keys of its values, without indexes.
    :param fallback: the key for a value of 0, or an empty text.
    :param family: the keys of which one must be above zero.
    :param is_plain: its values are counters that are passed on as they are.
    :param interval_s: as of ``Head``.
    """

    row: ValueListRow
    keys: tuple[str, ...]
    fallback: str
    family: tuple[str, ...]
    is_plain: bool
    interval_s: float


class Device(NamedTuple):
    """A vCPU, disk, NIC or perf event among a domain's keys, and its value lists.

    :param id: its index in the keys; of a perf event its name.
    :param number: its place among those that there are, from 1.
    """

    id: str
    number: int
    entries: tuple[_Entry, ...]


class Plan(NamedTuple):
    """All that a domain with certain keys can send, worked out once for all domains with them.

    :param texts: the keys of the texts on which names depend.
    """

    devices: dict[Per, tuple[Device, ...]]
    texts: tuple[str, ...]


class Part(NamedTuple):
    """A value list of a domain but for its values.

    :param fixed: the values, where they do not change while the domain's texts do not.
    """

    head: Head
    entry: _Entry
    fixed: Optional[Values] = None


class Layout(NamedTuple):
    """How values are read from the stats of all domains that send the same value lists.

    :param plain: the entries that come first.
    :param counters: picks the values of all of them, one after the other.
    :param check: raises struct.error if one of these is none that collectd can hold.
    :param cut: cuts them into the values of each entry.
    :param others: the entries that come then, with their fixed values.
    """

    plain: tuple[_Entry, ...]
    counters: Callable[[Stats], tuple[Value, ...]]
    check: Callable[..., bytes]
    cut: Callable[[tuple[Value, ...]], tuple[Optional[Values], ...]]
    others: tuple[tuple[_Entry, Optional[Values]], ...]


#: Physical CPUs of which an affinity is told at most; a bound for a server's text.
MOST_CPUS = 8192
_EVENT_KEY = "perf."
_EVENT_PATTERN = "perf.<event>"


def text_in(stats: Stats, key: str) -> str:
    """A text among the stats; empty if it is not there."""
    value = stats.get(key)
    return value if isinstance(value, str) else ""


# -- values


def part_of(entry: _Entry, instance: str, fixed: Optional[Values] = None) -> Part:
    return Part((entry.row.type, valid_part(instance), entry.interval_s), entry, fixed)


def named_parts(device: Device, word: str, name: str) -> Iterator[Part]:
    """The value lists of a device, under its name."""
    for entry in device.entries:
        yield part_of(entry, entry.row.instance.format(**{word: name}))


def parts_of_vcpu(vcpu: Device, stats: Stats, node_cpus: int) -> Iterator[Part]:
    for entry in vcpu.entries:
        row = entry.row
        if row.rule is Rule.AFFINITY:
            for cpu, allowed in _affinity(stats[entry.keys[0]], node_cpus):
                yield part_of(entry, row.instance.format(index=vcpu.id, cpu=cpu), (allowed,))
        else:
            yield part_of(entry, vcpu.id)


def laid_out(parts: Iterable[Part]) -> tuple[tuple[Head, ...], Layout]:
    """What value lists are called, and the layout of their values: the plain ones come first."""
    plain = [part for part in parts if part.entry.is_plain]
    others = [part for part in parts if not part.entry.is_plain]
    layout = _layout(
        tuple([part.entry for part in plain]),
        tuple([(part.entry, part.fixed) for part in others]),
    )
    return tuple([part.head for part in (*plain, *others)]), layout


@lru_cache(maxsize=1024)
def _layout(
    plain: tuple[_Entry, ...], others: tuple[tuple[_Entry, Optional[Values]], ...]
) -> Layout:
    """The same object for all domains with the same entries."""
    keys: list[str] = []
    places: list[slice] = []
    for entry in plain:
        places.append(slice(len(keys), len(keys) + len(entry.keys)))
        keys += entry.keys
    check = struct.Struct(f"={len(keys)}q").pack
    return Layout(plain, picker(keys), check, picker(places), others)


def plain_values(layout: Layout, stats: Stats) -> tuple[Optional[Values], ...]:
    """The values of plain entries; None where one is none that collectd can hold."""
    counters = layout.counters(stats)
    try:
        layout.check(*counters)
    except struct.error:  # a text, or too large
        are_good = False
    else:
        are_good = bool not in map(type, counters)
        are_good = are_good and min(cast("tuple[int, ...]", counters), default=0) >= 0
    if are_good:
        return layout.cut(counters)
    return tuple([_values_as_they_are(entry, stats) for entry in layout.plain])


def _values_as_they_are(entry: _Entry, stats: Stats) -> Optional[Values]:
    """The values of a plain entry; None if one is missing, or is none that collectd can hold."""
    values = tuple(map(stats.get, entry.keys))
    for value in values:
        if type(value) is not int or not 0 <= value <= DERIVE_MAX:
            return None
    return cast("tuple[int, ...]", values)


def values_of(entry: _Entry, stats: Stats) -> Optional[Values]:
    """The values of a value list; None if one is missing, or is none that collectd can hold."""
    row = entry.row
    if entry.family and not any(_positive(stats.get(key)) for key in entry.family):
        return None
    values: list[float] = []
    for key in entry.keys:
        value = stats.get(key)
        if entry.fallback and not value:
            value = stats.get(entry.fallback)
        # libvirt's -1 says that it does not know. bool is an int; neither is a number here.
        if type(value) is not int or value < 0:
            return None
        if row.counter:
            value = value * row.multiply // row.divide
            if value > DERIVE_MAX:
                return None
            values.append(value)
        else:
            values.append(float(value * row.multiply))
    return tuple(values)


def _positive(value: Optional[Value]) -> bool:
    return isinstance(value, int) and value > 0


def _affinity(listed: Value, node_cpus: int) -> Iterator[tuple[int, float]]:
    """Each physical CPU, and whether the vCPU may run on it.

    :param listed: physical CPUs, as ``0,1,5``.
    :param node_cpus: how many the host has; 0 if that is not known.
    """
    words = listed.split(",") if isinstance(listed, str) else []
    allowed = {int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 6}
    for cpu in range(min(max(node_cpus, max(allowed, default=-1) + 1), MOST_CPUS)):
        yield cpu, float(cpu in allowed)


# -- plans


def group_of(row: ValueListRow) -> str:
    """The stats group of a row's keys."""
    return GROUP_OF_WORD[row.keys[0].split(".", 1)[0]]


def plan_of(
    keys: Sequence[str], rows: Sequence[ValueListRow], every: Mapping[str, float]
) -> Plan:
    """What a domain with these keys can send of these rows."""
    # The keys by pattern and index: {"block.<n>.rd.reqs": {"0": "block.0.rd.reqs"}}.
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        known, indexes = schema.place(key)
        if len(indexes) < 2:
            found.setdefault(known.pattern, {})["".join(indexes)] = key
        if key.startswith(_EVENT_KEY):
            found.setdefault(_EVENT_PATTERN, {})[key[len(_EVENT_KEY) :]] = key
    devices: dict[Per, tuple[Device, ...]] = {}
    texts: list[str] = []
    for per in Per:
        entries: dict[str, list[_Entry]] = {}
        for row in rows:
            if row.per is per:
                for index, entry in _row_entries(row, rows, found, every.get(group_of(row), 0.0)):
                    entries.setdefault(index, []).append(entry)
                    if row.rule is Rule.AFFINITY:
                        texts.append(entry.keys[0])
        indexes_by_number = sorted(entries, key=lambda index: (len(index), index))
        devices[per] = tuple(
            Device(index, number, tuple(entries[index]))
            for number, index in enumerate(indexes_by_number, start=1)
        )
        for pattern in _NAMED_BY.get(per, ()):
            texts += [pattern.format(index) for index in indexes_by_number]
    return Plan(devices, tuple(texts))


#: The keys of the texts by which devices are named.
_NAMED_BY: dict[Per, tuple[str, ...]] = {
    Per.DISK: ("block.{}.name", "block.{}.path"),
    Per.NIC: ("net.{}.name",),
}


def _row_entries(
    row: ValueListRow,
    rows: Sequence[ValueListRow],
    found: Mapping[str, Mapping[str, str]],
    interval_s: float,
) -> Iterator[tuple[str, _Entry]]:
    """A row's value lists, each with the index of its device."""
    alternatives = found.get(row.fallback, {}) if row.fallback else {}
    others = found.get(row.unless, {})
    for index in found.get(row.keys[0], alternatives):
        if index in others:
            continue
        concrete = [found.get(pattern, {}).get(index, "") for pattern in row.keys]
        fallback = alternatives.get(index, "")
        if not all(concrete) and not fallback:
            continue
        family: tuple[str, ...] = ()
        if row.rule is Rule.ANY_POSITIVE:
            family = tuple(concrete)
        elif row.rule is Rule.FAMILY_POSITIVE:
            members = [other.keys[0] for other in rows if other.type == row.type]
            family = tuple(found[member][index] for member in members if member in found)
        is_scaled = row.multiply != row.divide
        is_plain = row.counter and row.rule is Rule.PLAIN and not is_scaled and not fallback
        yield index, _Entry(row, tuple(concrete), fallback, family, is_plain, interval_s)
