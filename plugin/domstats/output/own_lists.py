"""What goes to collectd of a domain under our own plugin's name: what follows of counters, what
virt does not have of disks, and what is found beside the rounds.

Only what somebody has asked for; without that there is no ``OwnLists``. It must not know names of
hosts, nor collectd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from ..model import DomainSample, Sample, memory_age
from .derived import Derived
from .device_tables import INTERFACES, THROTTLE, FigureRow, figures_of
from .disk_rows import MEMORY_AGE, OWN_EXTRA_STATS, found_in
from .identity import valid_part
from .virt_plans import Head, Values

if TYPE_CHECKING:
    from .host_tables import HostGroup

#: What a disk is called by its index in the keys; only of disks that are wanted.
DisksCalled = Callable[[DomainSample, Iterable[str]], Mapping[str, str]]
#: What a device is called by its name in the XML; None if it is not wanted.
DeviceCalled = Callable[[DomainSample, str], Optional[str]]


class Naming(NamedTuple):
    """What devices are called, by the options."""

    disks: DisksCalled
    disk: DeviceCalled
    interface: DeviceCalled


class OwnLists:
    """The value lists of domains under plugin domstats.

    :param selectors: of ExtraStats.
    :param every: as of ``CollectdOptions``.
    :param figures: of ``device_tables``: what is wanted beside the rounds.
    :param rates: whether what follows of counters is wanted.
    :param host: whether the host's figures are.
    """

    def __init__(
        self,
        selectors: Collection[str],
        figures: Collection[str],
        every: Mapping[str, float],
        naming: Naming,
        *,
        rates: bool,
        host: bool,
    ) -> None:
        self._selectors = OWN_EXTRA_STATS.intersection(selectors)
        self._figures = frozenset(figures)
        self._every = every
        self._naming = naming
        self._has_rates = rates
        self._derived = Derived(rates=rates, host=host) if rates or host else None

    def of_answer(self, domain: DomainSample, sample: Sample) -> list[tuple[Head, Values]]:
        """What follows from a domain's statistics."""
        found = [*self._of_rates(domain, sample)] if self._derived is not None else []
        if self._selectors:
            found += self._of_disks(domain)
            if MEMORY_AGE in self._selectors and not self._has_rates:
                found += self._of_memory(domain, sample)
        return found

    def beside(self, domain: DomainSample) -> Iterator[tuple[Head, Values]]:
        """What is known of a domain at a round's end, beside its statistics."""
        for figures in figures_of(domain, self._figures):
            name: Optional[str] = figures.device
            if figures.table.option == INTERFACES:
                name = self._naming.interface(domain, figures.device)
            elif figures.table.option == THROTTLE:
                name = self._naming.disk(domain, figures.device)
            for row in figures.table.rows if name else ():
                values = _values(row, figures.values)
                if values is not None:
                    instance = row.instance.format(device=valid_part(name or ""))
                    yield (row.type, valid_part(instance), 0.0), values

    def end(self, sample: Sample) -> Iterator[HostGroup]:
        """A round is over: the host's figures, if they are wanted.

        Exhaust it: whom the sample does not have is forgotten.
        """
        if self._derived is not None:
            yield from self._derived.end(sample)

    def _of_rates(self, domain: DomainSample, sample: Sample) -> Iterator[tuple[Head, Values]]:
        assert self._derived is not None
        for group in self._derived.of(domain, sample):
            device = valid_part(group.device)
            for row, value in group.values:
                if row.type:
                    values = (within(row.type, value),)
                    yield (row.type, row.instance.format(device=device), 0.0), values

    def _of_disks(self, domain: DomainSample) -> Iterator[tuple[Head, Values]]:
        stats, taken = domain.stats, set()
        entries = found_in(tuple(stats), self._selectors)
        names = self._naming.disks(domain, dict.fromkeys(entry.disk for entry in entries))
        interval_s = self._every.get("block", 0.0)
        for entry in entries:
            name, value = names.get(entry.disk), entry.value(stats)
            if name is None or value is None:
                continue
            instance = entry.instance(stats, valid_part(name))
            if instance is not None and (entry.row.type, instance) not in taken:
                taken.add((entry.row.type, instance))
                yield (entry.row.type, valid_part(instance), interval_s), (value,)

    def _of_memory(self, domain: DomainSample, sample: Sample) -> Iterator[tuple[Head, Values]]:
        age_s = memory_age(domain.stats, sample.time_ns)
        if age_s is not None:
            interval_s = self._every.get("balloon", 0.0)
            yield ("duration", "memory_age", interval_s), (age_s,)


def within(type_: str, value: float) -> float:
    """collectd takes no percent beyond 100.1, and no two clocks are the same."""
    return min(value, 100.0) if type_ == "percent" else value


def _values(row: FigureRow, values: Mapping[str, float]) -> Optional[Values]:
    """The values of a row's value list; None if one is missing."""
    if not row.type or row.field not in values or (row.pair and row.pair not in values):
        return None
    found = (values[row.field], values[row.pair]) if row.pair else (values[row.field],)
    return found if row.counter else tuple(map(float, found))
