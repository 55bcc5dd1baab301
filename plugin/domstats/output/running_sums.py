"""Sums of the counters of a domain's devices, which come and go while it runs.

A counter that goes back looks like one that began anew, and a database makes a huge rate of it or
a hole. So a sum does not go back when a device is unplugged: what the device had counted stays in
it. It begins anew when the domain does. It must not know keys, series or agents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from operator import le
from typing import Any, Generic, Optional, TypeVar

from ..model import DomainSample

#: Devices that are gone and remembered by name, at most; older ones are only in the sum. A disk
#: that comes back goes on where it was; a NIC that is plugged again has a new name on the host.
REMEMBERED_GONE = 16
#: A domain's CPU time that fell to less than this share is that of a new start. Smaller steps back
#: come from counting it in two ways (clock ticks, the control group).
_ANEW = 0.5

C = TypeVar("C", bound=Hashable)


class RunningSum(Generic[C]):
    """The sums of what is counted of some devices, which never go back.

    Of a device the last counters are kept, by its name, when it is gone too. If one of them is
    less than it was, another device has the name, or the device began anew: what it had counted
    before stays in the sum as well.
    """

    __slots__ = ("_before", "_last")

    def __init__(self) -> None:
        #: Counted by devices whose counters began anew, and by those that are forgotten.
        self._before: dict[C, int] = {}
        self._last: dict[str, dict[C, int]] = {}

    def of(self, present: Mapping[str, Mapping[C, int]]) -> dict[C, int]:
        """The sums now.

        :param present: the counters of each device that there is, by its name. One that lacks a
            counter this time has it where it was.
        """
        for name, now in present.items():
            before = self._last.pop(name, None)  # who is present stands at the end
            if before is None:
                self._last[name] = dict(now)
            elif any(now.get(counter, number) < number for counter, number in before.items()):
                self._keep(before)
                self._last[name] = dict(now)
            else:
                before.update(now)
                self._last[name] = before
        while len(self._last) > len(present) + REMEMBERED_GONE:
            self._keep(self._last.pop(next(iter(self._last))))
        sums = dict(self._before)
        for counters in self._last.values():
            for counter, number in counters.items():
                sums[counter] = sums.get(counter, 0) + number
        return sums

    def _keep(self, counters: Mapping[C, int]) -> None:
        for counter, number in counters.items():
            self._before[counter] = self._before.get(counter, 0) + number


class Columns(Generic[C]):
    """How the counters of a group's devices stand in a tuple of values: alike ones together.

    :param values: the counter and the device of each value, in the order of the counters.
    """

    __slots__ = ("counters", "parts", "values")

    def __init__(self, values: Sequence[tuple[C, str]]) -> None:
        self.values = tuple(values)
        self.counters = tuple(dict.fromkeys(counter for counter, _ in values))
        counts = Counter(counter for counter, _ in values)
        ends = tuple(accumulate(counts[counter] for counter in self.counters))
        self.parts = tuple(map(slice, (0, *ends), ends))


class GroupSum(Generic[C]):
    """The same as ``RunningSum``, quicker while the same devices count on."""

    __slots__ = ("_columns", "_gone", "_last", "_running")

    def __init__(self) -> None:
        self._running: RunningSum[C] = RunningSum()
        self._columns: Optional[Columns[C]] = None
        self._last: tuple[Any, ...] = ()
        #: What is in each sum of devices that are gone.
        self._gone: tuple[int, ...] = ()

    def of(self, columns: Columns[C], now: tuple[Any, ...]) -> Iterable[tuple[C, int]]:
        """The sums now, by counter. What is no whole number counts as missing.

        :param columns: the same object while the same devices are there.
        :param now: the values.
        """
        if columns is self._columns and _count_on(self._last, now):
            self._last = now
            sums = [sum(now[part]) + gone for part, gone in zip(columns.parts, self._gone)]
            return zip(columns.counters, sums)
        if self._columns is not None:
            self._running.of(_by_device(self._columns, self._last))
        found = self._running.of(_by_device(columns, now))
        are_whole = all(type(value) is int and value >= 0 for value in now)
        self._columns = columns if are_whole and len(found) == len(columns.counters) else None
        if self._columns is not None:
            self._last = now
            self._gone = tuple(
                found[counter] - sum(now[part])
                for counter, part in zip(columns.counters, columns.parts)
            )
        return found.items()


def _count_on(last: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether no counter went back, and all are whole numbers."""
    try:
        return all(map(le, last, now)) and type(sum(now)) is int
    except TypeError:  # a text
        return False


def _by_device(columns: Columns[C], values: tuple[Any, ...]) -> dict[str, dict[C, int]]:
    found: dict[str, dict[C, int]] = {}
    for (counter, device), value in zip(columns.values, values):
        counters = found.setdefault(device, {})
        if type(value) is int and value >= 0:
            counters[counter] = value
    return found


class RunningSums(Generic[C]):
    """The sums of each domain, by group of devices."""

    def __init__(self) -> None:
        self._of: dict[str, defaultdict[str, GroupSum[C]]] = {}
        #: By uuid: the CPU time of the last sample that had it.
        self._cpu: dict[str, int] = {}

    def begin(self, domain: DomainSample) -> defaultdict[str, GroupSum[C]]:
        """A domain's sums so far, by group; none if it began anew."""
        uuid = domain.uuid
        spent: Optional[object] = domain.stats.get("cpu.time")
        if not domain.active or (
            isinstance(spent, int) and spent < _ANEW * self._cpu.get(uuid, 0)
        ):
            self._of.pop(uuid, None)
            self._cpu.pop(uuid, None)
        if domain.active and isinstance(spent, int):
            self._cpu[uuid] = spent
        found = self._of.get(uuid)
        if found is None:
            found = self._of[uuid] = defaultdict(GroupSum)
        return found

    def end(self, domains: Iterable[DomainSample]) -> None:
        """A sample of all domains is over: forget those that are not in it."""
        there = {domain.uuid for domain in domains}
        for kept in (self._of, self._cpu):
            if not kept.keys() <= there:
                for uuid in kept.keys() - there:
                    del kept[uuid]
