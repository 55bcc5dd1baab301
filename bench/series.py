"""How many series a host makes, by its guests, agent and options: ``python -m bench series``.

Counted by the package's own writers, which are given guests all alike: two vCPUs, a disk and
a NIC, with the statistics that libvirt 9.0 gave of a real one. No clock is looked at. The tables of
docs/fleet.md are what this prints: tests/project/test_fleet.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from domstats.agents.telegraf_execd import writer
from domstats.cli.count_command import counter
from domstats.config.collectd import parse_collectd
from domstats.config.settings import Settings
from domstats.config.telegraf import from_table
from domstats.model import Devices, DomainSample, Round, Sample, Status
from domstats.output.schema import RESERVED_TAGS
from domstats.output.series_count import added, total

from bench import report

COUNTS = (20, 200, 2000)
#: CPUs of the host: ExtraStats vcpupin says of each vCPU on which of them it may run.
HOST_CPUS = 64
#: What a real libvirt 9.0 answered of a guest with more devices, and those that ours has not.
ANSWER = Path(__file__).parents[1] / "tests" / "cases" / "qemu-9.0" / "answer.json"
SURPLUS = ("block.1.", "block.2.", "block.3.", "net.1.")

_DASHBOARDS = ("disk", "memory", "disk_capacity", "disk_physical")
_ALL = (
    *_DASHBOARDS, "vcpu", "domain_state", "pcpu", "cpu_util", "disk_err", "disk_allocation", "perf",
)  # fmt: skip
_GROUPS = ("state", "cpu_total", "balloon", "interface", "block")


class Choice(NamedTuple):
    """A row of a table: options of ``[[inputs.libvirt]]``, or of collectd's ``<Module>`` block."""

    name: str
    options: Mapping[str, Any]


CHOICES: Mapping[str, Sequence[Choice]] = {
    "telegraf": (
        Choice("as it is", {}),
        Choice('`series = "telegraf"`', {"series": "telegraf"}),
        Choice("`totals` of all three", {"totals": ("vcpu", "interface", "block")}),
        Choice(
            "only groups `state`, `cpu_total`, `balloon`, `interface`, `block`; their `totals`",
            {"statistics_groups": _GROUPS, "totals": ("interface", "block")},
        ),
        Choice("`rates = true`", {"rates": True}),
        Choice("`kvm_statistics = true`", {"kvm_statistics": True}),
    ),
    "collectd": (
        Choice("as it is", {}),
        Choice("`DropTypes` `if_errors` `if_dropped`", {"DropTypes": ("if_errors", "if_dropped")}),
        Choice(
            "for the dashboards: `Rates true`, `ExtraStats` `disk` `memory` `disk_capacity`"
            " `disk_physical`",
            {"ExtraStats": _DASHBOARDS, "Rates": (True,)},
        ),
        Choice("`ExtraStats`, all but `vcpupin`, jobs and file systems", {"ExtraStats": _ALL}),
        Choice("the same and `vcpupin`", {"ExtraStats": (*_ALL, "vcpupin")}),
    ),
}


class Made(NamedTuple):
    """What the guests of a host make in a round.

    :param lists: lines of Telegraf's, value lists of collectd's.
    :param series: fields of lines, values of value lists.
    :param size: bytes of Telegraf's lines, that about the round itself among them; 0 in collectd.
    """

    lists: int
    series: int
    size: int


def settings_of(agent: str, choice: Choice) -> Settings:
    if agent == "telegraf":
        return from_table(dict(choice.options), RESERVED_TAGS, {})
    children = [
        SimpleNamespace(key=key, values=values, children=())
        for key, values in choice.options.items()
    ]
    block = SimpleNamespace(key="Module", values=("domstats.collectd_plugin",), children=children)
    (settings,) = parse_collectd(block, "bench").settings
    return settings


def sample(domains: int, *, before: bool = False) -> Sample:
    """A round of a host with so many guests.

    :param before: the round before that, which rates need.
    """
    (answer,) = json.loads(ANSWER.read_text()).values()
    stats = {key: value for key, value in answer.items() if not key.startswith(SURPLUS)}
    stats.update({"block.count": 1, "net.count": 1})
    known = tuple(
        DomainSample(
            name=f"guest-{number:05d}",
            uuid=f"11111111-2222-4333-8444-{number:012d}",
            status=Status.FRESH,
            stats={**stats},
            devices=Devices(targets=("vda",)),
        )
        for number in range(domains)
    )
    return Sample(
        uri="qemu:///system",
        time_ns=1_795_374_959_000_000_000 - before * 10_000_000_000,
        domains=known,
        round=Round(domains=domains, fresh=domains),
        node_cpus=HOST_CPUS,
    )


def made(agent: str, choice: Choice, domains: int) -> Made:
    """What the writers themselves make of such a host."""
    settings = settings_of(agent, choice)
    counts = counter(agent, settings)
    rounds = sample(domains, before=True), sample(domains)
    for each in rounds:
        counts.take(each)
    amount = total(added(counts.made()))
    size = 0
    if agent == "telegraf":
        lines = writer(settings)
        size = [len(lines.encode(each)) for each in rounds][-1]
    return Made(amount.lists, amount.series, size)


def rows(agent: str, counts: Sequence[int]) -> list[list[str]]:
    """A row for each choice: of a guest lists, series and bytes, then series of so many guests."""
    found = []
    for choice in CHOICES[agent]:
        one, two = made(agent, choice, 1), made(agent, choice, 2)
        row = [choice.name, f"{one.lists}", f"{one.series}"]
        if agent == "telegraf":
            row.append(f"{two.size - one.size:,}")
        found.append(row + [f"{made(agent, choice, count).series:,}" for count in counts])
    return found


def table(agent: str, counts: Sequence[int] = COUNTS) -> str:
    """One of the page's tables."""
    titles = ["options", "lines", "fields", "bytes"]
    if agent == "collectd":
        titles = ["options", "value lists", "values"]
    titles += [f"{count:,} guests" for count in counts]
    return report.table(titles, rows(agent, counts))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench series", description=__doc__)
    parser.add_argument("--guests", type=int, nargs="+", default=COUNTS)
    given = parser.parse_args(arguments)
    print("\n\n".join(table(agent, given.guests) for agent in CHOICES))
