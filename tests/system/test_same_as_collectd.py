"""In one collectd, domstats and the C plugin virt tell the same of the same guests.

Both call themselves ``virt``, so ours gets a plugin instance here: our Hostname, ``ours``.
With other options each plugin has a collectd of its own, with literally the same options.
"""

import math
from collections import defaultdict
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd
from tests.system.agreement import At, differences
from tests.system.bed import Shape
from tests.system.configurations import EXTRA_STATS, python_plugin, virt_plugin
from tests.system.waiting import wait_for

TICKS_NS = 2 * 10_000_000
OURS = 'PluginInstanceFormat "hostname"\nHostname "ours"'

#: By the beginning of the type and type instance: how far ours may lie beyond the neighbours.
SLACK = {
    "virt_cpu_total": TICKS_NS,  # virt has the process's clock ticks
    "ps_cputime": TICKS_NS,
    "percent-virt_cpu_total": 100.0,  # of a CPU that is used by fits and starts
    "memory-rss": 4096 * 1024,
}


def series(collectd: Collectd) -> tuple[dict[str, list[At]], dict[str, list[At]]]:
    """Theirs and ours, by identifier and the number of the data source."""
    theirs: dict[str, list[At]] = defaultdict(list)
    ours: dict[str, list[At]] = defaultdict(list)
    for identifier, rows in collectd.series().items():
        host, plugin, rest = identifier.split("/", 2)
        found = ours if plugin == "virt-ours" else theirs
        for row in rows:
            for number, value in enumerate(row.values):
                if not math.isnan(value):
                    found[f"{host}/virt/{rest} {number}"].append(At(row.time, value))
    return theirs, ours


def slack_of(name: str) -> float:
    rest = name.split("/", 2)[2]
    return next((slack for begin, slack in SLACK.items() if rest.startswith(begin)), 0)


def test_identifiers_and_values_are_those_of_the_plugin_virt(
    bed: Any, start: Callable[..., Any]
) -> None:
    options = f'Connection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    ours = python_plugin(options + OURS + "\nReportRound false")
    collectd = start(Collectd, virt_plugin(options) + ours)

    def last(identifier: str) -> float:
        rows = collectd.series("web-1").get(identifier)
        return rows[-1].time if rows else 0.0

    def rounds(count: int) -> Callable[[], bool]:
        return lambda: all(
            len(collectd.series("web-1").get(f"web-1/{plugin}/virt_cpu_total", ())) >= count
            for plugin in ("virt", "virt-ours")
        )

    wait_for("five rounds of both", rounds(5))
    bed.guests[0].move_counters()
    wait_for("nine rounds of both", rounds(9))
    theirs, ours_found = series(collectd)

    slack = {name: slack_of(name) for name in ours_found}
    assert differences(ours_found, theirs, slack) == []
    assert "Traceback" not in collectd.log
