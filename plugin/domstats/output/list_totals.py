"""One value list for all disks, NICs or vCPUs of a domain, where the user wants none for each.

It goes over the value lists of a domain, when their values are known: what is selected, and what a
disk's size is made of, has been decided then. It must not know keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Optional

from ..model import DomainSample, Sample, Stats
from .running_sums import Columns, RunningSums
from .virt_plans import DERIVE_MAX, Head, Layout, Values, text_in
from .virt_schema import Per, Rule, ValueListRow

#: The groups of which there can be totals, and what their value lists are there for.
_PER: Mapping[str, Per] = {"vcpu": Per.VCPU, "interface": Per.NIC, "block": Per.DISK}
#: Gauges that add up, beside all counters.
_SIZES = frozenset({"disk_allocation", "disk_capacity", "disk_physical"})
_TOTAL = "total"
#: A counter of a device: its type, and which of the type's values it is.
_Counter = tuple[str, int]


class _Sum(NamedTuple):
    """The counters of a group's devices.

    :param columns: which counter of which device each value is.
    :param places: of each value: the place of its value list, and which of its values it is.
    :param heads: what the totals are called, with the number of values of each.
    """

    columns: Columns[_Counter]
    places: tuple[tuple[int, int], ...]
    heads: tuple[tuple[Head, int], ...]


class _Folded(NamedTuple):
    """How a domain's value lists are added up.

    :param heads: what the value lists are called that it is for.
    :param kept: the places of those that stay, and what they are called.
    :param sums: by group.
    :param sizes: what the totals of sizes are called, and the places of the devices'.
    """

    heads: Sequence[Head]
    kept: tuple[int, ...]
    kept_heads: tuple[Head, ...]
    sums: tuple[tuple[str, _Sum], ...]
    sizes: tuple[tuple[Head, tuple[int, ...]], ...]


class ListTotals:
    """Adds up the devices of one hypervisor's domains.

    :param groups: those that are to be added up: of ``vcpu``, ``interface``, ``block``.
    :param rows: the table of value lists.
    """

    def __init__(self, groups: Collection[str], rows: Iterable[ValueListRow]) -> None:
        per = {_PER[group]: group for group in groups}
        #: By type: the group, and what stands before the device's name in its instances.
        self._counters: dict[str, tuple[str, str]] = {}
        self._sizes: dict[str, str] = {}
        for row in rows:
            if row.per in per and row.counter and row.rule is Rule.PLAIN:
                self._counters[row.type] = per[row.per], row.instance.partition("{")[0]
            elif row.per in per and row.type in _SIZES:
                self._sizes[row.type] = per[row.per]
        self._folded: dict[str, _Folded] = {}
        self._sums: RunningSums[_Counter] = RunningSums()

    def group_of(self, type_: str) -> str:
        """The group in whose total value lists of this type are; empty for none."""
        return self._sizes.get(type_) or self._counters.get(type_, ("", ""))[0]

    def of(
        self,
        domain: DomainSample,
        heads: Sequence[Head],
        layout: Layout,
        values: Sequence[Optional[Values]],
    ) -> tuple[Sequence[Head], Sequence[Optional[Values]]]:
        """A domain's value lists with totals in the place of its devices'."""
        folded = self._folded.get(domain.uuid)
        if folded is None or folded.heads is not heads:
            folded = self._folded[domain.uuid] = self._fold(heads, layout, domain.stats)
        sums = self._sums.begin(domain)
        found_heads = [*folded.kept_heads]
        found = [values[place] for place in folded.kept]
        for group, each in folded.sums:
            now = tuple([(own := values[place]) and own[index] for place, index in each.places])
            numbers = dict(sums[group].of(each.columns, now))
            for head, count in each.heads:
                total = tuple([numbers.get((head[0], index), 0) for index in range(count)])
                if max(total) <= DERIVE_MAX:
                    found_heads.append(head)
                    found.append(total)
        for head, places in folded.sizes:
            known = [size[0] for place in places if (size := values[place]) is not None]
            if known:
                found_heads.append(head)
                found.append((sum(known),))
        return found_heads, found

    def end(self, sample: Sample) -> None:
        """A sample of all domains is over."""
        self._sums.end(sample.domains)
        there = {domain.uuid for domain in sample.domains}
        for uuid in self._folded.keys() - there:
            del self._folded[uuid]

    def _fold(self, heads: Sequence[Head], layout: Layout, stats: Stats) -> _Folded:
        entries = (*layout.plain, *(entry for entry, _ in layout.others))
        kept: list[int] = []
        #: By group and type: each device's value list, by its place.
        counted: dict[str, dict[Head, list[tuple[str, int, int]]]] = {}
        sizes: dict[Head, tuple[int, ...]] = {}
        for place, ((type_, _, interval_s), entry) in enumerate(zip(heads, entries)):
            if type_ in self._counters:
                group, before = self._counters[type_]
                total = type_, before + _TOTAL, interval_s
                lists = counted.setdefault(group, {}).setdefault(total, [])
                lists.append((_device(entry.keys[0], stats), place, len(entry.keys)))
            elif type_ in self._sizes:
                total = type_, _TOTAL, interval_s
                sizes[total] = (*sizes.get(total, ()), place)
            else:
                kept.append(place)
        return _Folded(
            heads,
            tuple(kept),
            tuple([heads[place] for place in kept]),
            tuple((group, _sum(lists)) for group, lists in counted.items()),
            tuple(sizes.items()),
        )


def _sum(lists: Mapping[Head, Sequence[tuple[str, int, int]]]) -> _Sum:
    """A group's sum of value lists: by type the device, the place, and how many values it has."""
    values: list[tuple[_Counter, str]] = []
    places: list[tuple[int, int]] = []
    heads: list[tuple[Head, int]] = []
    for head, devices in lists.items():
        size = devices[0][2]
        heads.append((head, size))
        for index in range(size):
            for device, place, _ in devices:
                values.append(((head[0], index), device))
                places.append((place, index))
    return _Sum(Columns(values), tuple(places), tuple(heads))


def _device(key: str, stats: Stats) -> str:
    """Which device a key is of: by its own name, since a disk may get another file."""
    word, index = key.split(".")[:2]
    return text_in(stats, f"{word}.{index}.name") or index
