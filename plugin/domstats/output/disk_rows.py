"""collectd's value lists of disks that virt does not have, from keys of the bulk answer.

They go under plugin domstats, where ExtraStats has the selector. The rows follow from ``schema``'s,
so that both agents have the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, Optional

import msgspec

from ..model import Stats, Value
from . import schema
from .schema import INDEX
from .virt_plans import DERIVE_MAX


class DiskRow(msgspec.Struct, frozen=True):
    """A value list of a disk, or one of several.

    :param selector: the word in ExtraStats that asks for it.
    :param instance: the type instance; ``{device}`` is the disk, ``{at}`` the value of ``told_by``.
    :param key: the pattern of the key that its value has.
    :param told_by: the pattern of the key that tells several of them apart, of the same indexes.
    :param divide: divisor of a gauge.
    """

    selector: str
    type: str
    instance: str
    key: str
    unit: str
    description: str
    counter: bool = False
    told_by: str = ""
    divide: int = 1


_DISK = f"block.{INDEX}."
_TIMED = f"{_DISK}timed_group.{INDEX}."
_BIN = f".bin.{INDEX}"


def _of_key(row: schema.Key) -> Optional[DiskRow]:
    """The value list of a key, if it is one of ours."""
    word = row.pattern[len(_DISK) :]
    if word == "errors":
        return DiskRow("disk_errors", "errors", "disk-{device}", row.pattern, row.unit,
                       row.description, counter=True)  # fmt: skip
    if word == "threshold":
        return DiskRow("disk_threshold", "bytes", "threshold-{device}", row.pattern, row.unit,
                       row.description)  # fmt: skip
    if word.startswith("limits."):
        type_ = "bytes" if row.unit == "bytes" else "count"
        return DiskRow("disk_limits", type_, f"{row.field}-{{device}}", row.pattern, row.unit,
                       row.description)  # fmt: skip
    if row.pattern.startswith(_TIMED) and row.field != "interval":
        is_time = row.unit == "ns"
        name = row.field.replace("_latency", "") if is_time else row.field.replace("_depth_avg", "")
        return DiskRow(
            "disk_timed", "latency" if is_time else "queue_length", f"{name}_{{at}}s-{{device}}",
            row.pattern, "s" if is_time else row.unit, row.description,
            told_by=f"{_TIMED}interval", divide=10**9 if is_time else 1,
        )  # fmt: skip
    if word.startswith("latency_histogram.") and word.endswith(f"{_BIN}.value"):
        operation = word.split(".")[1]
        return DiskRow(
            "disk_latency_histogram", "operations", f"{operation}_from_{{at}}ns-{{device}}",
            row.pattern, row.unit, row.description, counter=True,
            told_by=row.pattern.replace(".value", ".start"),
        )  # fmt: skip
    return None


DISK_ROWS: tuple[DiskRow, ...] = tuple(
    row for key in schema.KEYS if key.pattern.startswith(_DISK) and (row := _of_key(key))
)
_BY_KEY: Mapping[str, DiskRow] = {row.key: row for row in DISK_ROWS}

#: ExtraStats' selector for how old the guest's own figures of its memory are.
MEMORY_AGE = "memory_age"
#: The selectors that ask for something under plugin domstats.
OWN_EXTRA_STATS: frozenset[str] = frozenset({MEMORY_AGE, *(row.selector for row in DISK_ROWS)})


class Found(NamedTuple):
    """A value list that domains with certain keys have.

    :param disk: the disk's index in the keys.
    :param told_by: the key of the row's ``told_by``; empty if it has none.
    """

    row: DiskRow
    disk: str
    key: str
    told_by: str

    def instance(self, stats: Stats, device: str) -> Optional[str]:
        """The type instance; None if what tells it apart is not there."""
        at = stats.get(self.told_by) if self.told_by else 0
        return self.row.instance.format(device=device, at=at) if type(at) is int else None

    def value(self, stats: Stats) -> Optional[float]:
        """Its value; None if libvirt says that it does not know, or collectd cannot hold it."""
        value: Optional[Value] = stats.get(self.key)
        if isinstance(value, (bool, str)) or value is None or value < 0:
            return None
        if not self.row.counter:
            return value / self.row.divide
        return value if isinstance(value, int) and value <= DERIVE_MAX else None


@lru_cache(maxsize=1024)
def found_in(keys: tuple[str, ...], selectors: frozenset[str]) -> tuple[Found, ...]:
    """What domains with these keys have of what these selectors ask for."""
    return tuple(_found_in(keys, selectors))


def _found_in(keys: tuple[str, ...], selectors: frozenset[str]) -> Iterator[Found]:
    for key in keys:
        place = schema.place(key)
        row = _BY_KEY.get(place.row.pattern)
        if row is not None and row.selector in selectors:
            told_by = row.told_by
            for index in place.indexes:
                told_by = told_by.replace(INDEX, index, 1)
            yield Found(row, place.indexes[0], key, told_by)
