"""Batches of value lists one by one, as collectd gets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from domstats.output.value_lists import Batch


class ValueList(NamedTuple):
    """What collectd dispatches at once."""

    host: str
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    values: tuple[float, ...]
    time_s: float
    interval_s: float


def one_by_one(batches: Iterable[Batch]) -> Iterator[ValueList]:
    for host, plugin, plugin_instance, time_s, heads, values_of in batches:
        assert len(heads) == len(values_of)
        for (type_, instance, interval_s), values in zip(heads, values_of):
            if values is not None:
                yield ValueList(
                    host, plugin, plugin_instance, type_, instance, values, time_s, interval_s
                )
