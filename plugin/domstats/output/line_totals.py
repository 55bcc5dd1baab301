"""One line for all disks, NICs or vCPUs of a domain, where the user wants no line for each.

The sums are fields of the measurements that count the devices already (``libvirt_block_total`` has
``count``), so that no query over devices finds them among them. It must not know line protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from ..model import DomainSample, Stats, Value, picker
from . import schema
from .running_sums import Columns, RunningSums

#: The groups with devices of which there can be totals.
TOTALS: tuple[str, ...] = ("vcpu", "interface", "block")
#: Gauges that add up, beside all counters.
SIZES = frozenset({"allocation", "capacity", "physical"})
#: The key that is there whenever the group was answered, with or without devices.
_ANSWERED: Mapping[str, str] = {
    "vcpu": "vcpu.current", "interface": "net.count", "block": "block.count"
}  # fmt: skip

Wanted = Callable[[str, str], bool]


class Total(NamedTuple):
    """A line: a measurement, and its fields with their values by name."""

    measurement: str
    fields: list[tuple[str, int]]


class _Group(NamedTuple):
    """The devices of a group among a domain's keys.

    :param numbers: the index of each, and its name if it has no other.
    :param names: picks the names of all of them.
    :param fields: by field that adds up: the key of each device that has it, by its number.
    """

    group: str
    numbers: tuple[str, ...]
    names: Callable[[Stats], tuple[Value, ...]]
    fields: dict[str, dict[str, str]]


class _Read(NamedTuple):
    """How the values of the devices that are wanted are read, while these have the same names."""

    group: _Group
    names: tuple[Value, ...]
    columns: Columns[str]
    counters: Callable[[Stats], tuple[Value, ...]]
    sizes: tuple[tuple[str, Callable[[Stats], tuple[Value, ...]]], ...]


class LineTotals:
    """Adds up the devices of one hypervisor's domains.

    :param groups: of ``TOTALS``, those that are to be added up.
    :param wants_row: whether a key is reported at all.
    :param wants_device: by group: called with a domain's name and a device's; none for all.
    """

    def __init__(
        self,
        groups: Collection[str],
        wants_row: Callable[[schema.Key], bool],
        wants_device: Mapping[str, Wanted],
    ) -> None:
        self._groups = frozenset(groups)
        self._wants_row = wants_row
        self._wants_device = wants_device
        # Both by the keys, of the last sample and of the present one.
        self._plans: dict[tuple[str, ...], tuple[_Group, ...]] = {}
        self._used: dict[tuple[str, ...], tuple[_Group, ...]] = {}
        self._reads: dict[tuple[str, str, str], _Read] = {}
        self._sums: RunningSums[str] = RunningSums()

    def replaces(self, row: schema.Key) -> bool:
        """Whether a line of one device is left out for the totals' sake.

        What an option of its own asks for (vcpu_mapping) is not.
        """
        return row.group in self._groups and bool(row.tags) and not row.mapping

    def of(self, domain: DomainSample) -> Iterator[Total]:
        """The totals of a domain in this sample; none of groups that were not answered."""
        stats = domain.stats
        sums = self._sums.begin(domain)
        for group in self._plan(tuple(stats)):
            read = self._read(domain, group)
            fields = [*sums[group.group].of(read.columns, read.counters(stats))]
            for name, pick in read.sizes:
                known = [size for size in pick(stats) if type(size) is int and size >= 0]
                if known:
                    fields.append((name, sum(known)))
            if fields:
                yield Total(TOTAL_MEASUREMENTS[group.group], fields)

    def names(self, keys: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        """Measurement, group and name of each field that domains with these keys have."""
        for group in self._plan(keys):
            for name in group.fields:
                yield TOTAL_MEASUREMENTS[group.group], group.group, name

    def end(self, domains: Collection[DomainSample]) -> None:
        """A sample of all domains is over."""
        self._sums.end(domains)
        self._plans, self._used = self._used, {}
        if len(self._reads) > len(domains) * len(self._groups):
            there = {(domain.uuid, domain.name) for domain in domains}
            self._reads = {key: read for key, read in self._reads.items() if key[:2] in there}

    def _plan(self, keys: tuple[str, ...]) -> tuple[_Group, ...]:
        """The devices among these keys."""
        plan = self._used.get(keys)
        if plan is None:
            plan = self._plans.get(keys)
            if plan is None:
                plan = tuple(self._grouped(keys))
            self._used[keys] = plan
        return plan

    def _grouped(self, keys: tuple[str, ...]) -> Iterator[_Group]:
        found: dict[str, dict[str, dict[str, str]]] = {
            group: {} for group in TOTALS if group in self._groups and _ANSWERED[group] in keys
        }
        for key in keys:
            row, indexes = schema.place(key)
            is_wanted = row.group in self._groups and adds_up(row) and self._wants_row(row)
            if is_wanted and len(indexes) == 1:
                name = total_field(row)
                found.setdefault(row.group, {}).setdefault(name, {})[indexes[0]] = key
        for group, fields in found.items():
            numbers = tuple(dict.fromkeys(number for by in fields.values() for number in by))
            fields = {name: fields[name] for name in sorted(fields)}
            yield _Group(group, numbers, _name_picker(group, numbers), fields)

    def _read(self, domain: DomainSample, group: _Group) -> _Read:
        key = domain.uuid, domain.name, group.group
        read = self._reads.get(key)
        names = group.names(domain.stats)
        if read is None or read.group is not group or read.names != names:
            read = self._reads[key] = self._reading(domain.name, group, names)
        return read

    def _reading(self, domain: str, group: _Group, names: tuple[Value, ...]) -> _Read:
        wants = self._wants_device.get(group.group)
        wanted: dict[str, str] = {}
        for number, name in zip(group.numbers, names):
            # A disk that is being copied is listed twice, under one name.
            if (
                isinstance(name, str)
                and name
                and name not in wanted.values()
                and (wants is None or wants(domain, name))
            ):
                wanted[number] = name
        values: list[tuple[str, str]] = []
        keys: list[str] = []
        sizes = []
        for field, by_number in group.fields.items():
            of_wanted = {number: key for number, key in by_number.items() if number in wanted}
            if field in SIZES:
                sizes.append((field, picker(tuple(of_wanted.values()))))
            else:
                values += [(field, wanted[number]) for number in of_wanted]
                keys += of_wanted.values()
        return _Read(group, names, Columns(values), picker(keys), tuple(sizes))


def _name_picker(group: str, numbers: tuple[str, ...]) -> Callable[[Stats], tuple[Value, ...]]:
    """Picks the names of a group's devices; a disk or NIC without one has an empty one."""
    if group not in schema.DEVICE_NAMES:
        return lambda stats: numbers
    keys = [schema.DEVICE_NAMES[group][1].format(number) for number in numbers]
    return lambda stats: tuple([stats.get(key, "") for key in keys])


def adds_up(row: schema.Key) -> bool:
    """Whether values of several devices make one together: counters do, and sizes of disks."""
    return row.group in TOTALS and (
        row.kind is schema.Kind.COUNTER or (row.group == "block" and row.field in SIZES)
    )


def has_total(row: schema.Key) -> bool:
    """Whether values of a row, of all devices together, are one field."""
    return adds_up(row) and len(row.tags) == 1


def total_field(row: schema.Key) -> str:
    """The field that has the total of a row.

    InfluxDB drops a field called time: of the two names that vCPUs' has it is the other one.
    """
    return row.own_twins[0] if row.own_twins else row.field


#: Where the totals of a group go: the measurement that counts its devices already.
TOTAL_MEASUREMENTS: Mapping[str, str] = {
    "vcpu": "libvirt_vcpu_total",
    "interface": "libvirt_net_total",
    "block": "libvirt_block_total",
}
