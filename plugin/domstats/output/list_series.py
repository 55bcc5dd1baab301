"""How many series the value lists of domains are, and what asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from .list_totals import ListTotals
from .rate_tables import most_of_lists
from .series_count import Amount, Made, MadeByDomain, Maker
from .virt_plans import Layout
from .virt_schema import Per, ValueListRow

#: What a domain's value lists are read with, and the keys that it has.
Shape = tuple[Layout, tuple[str, ...]]

_NOTHING = Amount(0, 0)
_ASKED_BY = {Per.DISK: "ReportBlockDevices", Per.NIC: "ReportNetworkInterfaces"}


def made_of(
    domains: Iterable[tuple[str, list[Shape]]], totals: Optional[ListTotals], rates: bool
) -> MadeByDomain:
    """What domains make, by uuid. Those of one shape share what is worked out."""
    shared: dict[tuple[int, int], Made] = {}
    for uuid, shapes in domains:
        several = []
        for layout, keys in shapes:
            key = id(layout), id(keys)
            if key not in shared:
                shared[key] = _made(layout, keys, totals, rates)
            several.append(shared[key])
        yield uuid, tuple(several)


def _made(
    layout: Layout, keys: tuple[str, ...], totals: Optional[ListTotals], rates: bool
) -> Made:
    found: dict[Maker, Amount] = {}
    for row in _rows(layout):
        group = totals.group_of(row.type) if totals is not None else ""
        maker = Maker(row.type, f"Totals {group}" if group else _asked_by(row))
        if not group or maker not in found:
            before = found.get(maker, _NOTHING)
            found[maker] = Amount(before.lists + 1, before.series + len(row.keys))
    for name, lists in most_of_lists(keys) if rates else ():
        maker = Maker(name, "Rates")
        before = found.get(maker, _NOTHING)
        found[maker] = Amount(before.lists + lists, before.series + lists)
    return found


def _rows(layout: Layout) -> Iterator[ValueListRow]:
    for entry in layout.plain:
        yield entry.row
    for entry, _ in layout.others:
        yield entry.row


def _asked_by(row: ValueListRow) -> str:
    """The option that asks for a value list, and its value."""
    if row.selector:
        return f"ExtraStats {row.selector}"
    return _ASKED_BY.get(row.per, "always")
