"""Values of collectds that run plugin virt or domstats, as series that can be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tests.system.agents.collectd_agent import Row
from tests.system.agreement import At

#: Two of the process's clock ticks, in which virt has CPU time.
TICKS_NS = 2 * 10_000_000

#: By the beginning of the type and type instance: how far ours may lie beyond the neighbours.
SLACK = {
    "virt_cpu_total": TICKS_NS,
    "ps_cputime": TICKS_NS,
    "percent-virt_cpu_total": 100.0,  # of a CPU that is used by fits and starts
    "memory-rss": 4096 * 1024,
}


def by_data_source(series: Mapping[str, Iterable[Row]]) -> dict[str, list[At]]:
    """Each series by its identifier and the number of the data source."""
    found: dict[str, list[At]] = defaultdict(list)
    for identifier, rows in series.items():
        for row in rows:
            for number, value in enumerate(row.values):
                if not math.isnan(value):
                    found[f"{identifier} {number}"].append(At(row.time, value))
    return found


def slack_of(names: Iterable[str]) -> dict[str, float]:
    """How far ours may lie beyond the neighbours, of each ``host/plugin/type-instance``."""
    return {name: _slack(name.split("/", 2)[2]) for name in names}


def _slack(type_and_instance: str) -> float:
    return next((SLACK[each] for each in SLACK if type_and_instance.startswith(each)), 0)
