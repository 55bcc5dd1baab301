"""What ours costs by the number of domains, against a simulated host: ``python -m bench scale``.

Four clients take turns: a round as line protocol, a read in collectd, and for each of them the
bare libvirt-python calls that it consists of. What ours costs beyond these is our own. CPU time is
that of the cheapest round: what other processes add by taking caches and turns is no cost of ours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from bench import proc, report
from bench.client import COLLECTD_CALLS, Client, Cost, clients
from tests.simhost.host import SimHost

COUNTS = (100, 1000, 5000, 10_000)
#: Two vCPUs, a disk and two NICs: 70 keys in the groups of Telegraf.
SHAPE = {"vcpus": 2, "disks": 1, "interfaces": 2}
#: Rounds after which every domain's XML must have been read and everything be compiled.
MOST_WARM_UP = 60

KINDS = {
    "lines": ("lines",),
    "bare": ("bare",),
    "lists": ("lists",),
    "bare for lists": ("bare", *COLLECTD_CALLS),
}

Costs = dict[str, list[Cost]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench scale", description=__doc__)
    parser.add_argument("--domains", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=7, help="of each client, measured")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args(arguments)
    figures = []
    for count in given.domains:
        print(f"{count} domains", file=sys.stderr, flush=True)
        figures.append(measure(count, given.rounds))
    print(text(figures))
    report.write_json(given.json, {"machine": proc.machine(), "scale": figures})


def measure(domains: int, rounds: int) -> dict[str, Any]:
    """Rounds of all kinds on a host of so many domains."""
    with SimHost(domains=domains, **SHAPE) as host, clients(host.uri, KINDS) as running:
        for client in running.values():
            _warm_up(client)
        costs: Costs = {name: [] for name in running}
        for _ in range(rounds):
            for name, client in running.items():
                costs[name].append(client.round())
        return {
            "domains": domains,
            "lines": _compared(costs, running, "lines", "bare"),
            "lists": _compared(costs, running, "lists", "bare for lists"),
        }


def _compared(costs: Costs, running: dict[str, Client], ours: str, bare: str) -> dict[str, Any]:
    """Ours and the calls beneath; ``own_cpu_s`` is the difference."""
    usage = running[ours].usage()
    cpu, bare_cpu = (min(cost.cpu_s for cost in costs[name]) for name in (ours, bare))
    return {
        "wall_s": _median(costs[ours], "wall_s"),
        "bare_wall_s": _median(costs[bare], "wall_s"),
        "cpu_s": cpu,
        "bare_cpu_s": bare_cpu,
        "own_cpu_s": cpu - bare_cpu,
        "median_cpu_s": _median(costs[ours], "cpu_s"),
        "median_bare_cpu_s": _median(costs[bare], "cpu_s"),
        "peak_kib": usage.peak_kib,
        "bare_peak_kib": running[bare].usage().peak_kib,
        "threads": usage.threads,
        **costs[ours][-1].found,
    }


def _warm_up(client: Client) -> None:
    """Rounds until two in a row are complete: the first ones read XML and compile."""
    complete = 0
    for _ in range(MOST_WARM_UP):
        complete = complete + 1 if client.round().found.get("complete", True) else 0
        if complete == 2:
            return


def _median(costs: Sequence[Cost], field: str) -> float:
    return statistics.median(getattr(cost, field) for cost in costs)


def text(figures: Sequence[dict[str, Any]]) -> str:
    """Both tables."""
    rows = []
    for each in figures:
        lines, count = each["lines"], each["domains"]
        rows.append(
            [
                count,
                report.ms(lines["wall_s"]),
                report.ms(lines["bare_wall_s"]),
                f"{lines['cpu_s'] / count * 1e6:.1f}",
                f"{lines['bare_cpu_s'] / count * 1e6:.1f}",
                f"{lines['own_cpu_s'] / count * 1e6:.1f}",
                report.mib(lines["peak_kib"]),
                lines["threads"],
            ]
        )
    titles: tuple[str, ...] = (
        "line protocol: domains", "round ms", "bare ms", "CPU us/domain", "bare us/domain",
        "own us/domain", "peak MiB", "threads",
    )  # fmt: skip
    parts = [report.table(titles, rows)]
    rows = []
    for each in figures:
        lists = each["lists"]
        count = lists["value_lists"]
        rows.append(
            [
                each["domains"],
                count,
                report.ms(lists["wall_s"]),
                report.ms(lists["bare_wall_s"]),
                f"{lists['cpu_s'] / count * 1e6:.1f}",
                f"{lists['bare_cpu_s'] / count * 1e6:.1f}",
                f"{lists['own_cpu_s'] / count * 1e6:.1f}",
                report.mib(lists["peak_kib"]),
                lists["threads"],
            ]
        )
    titles = (
        "collectd: domains", "value lists", "read ms", "bare ms", "CPU us/list", "bare us/list",
        "own us/list", "peak MiB", "threads",
    )  # fmt: skip
    parts.append(report.table(titles, rows))
    return "\n\n".join(parts)
