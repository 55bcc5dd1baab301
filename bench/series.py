"""How many series a host makes, by its guests, agent and options: ``python -m bench series``.

Counted by the package's own writers, which are given guests that are all alike: two vCPUs, a disk and
a NIC, with the statistics that libvirt 9.0 gave of a real one. No clock is looked at. The table of
docs/fleet.md is what this prints: tests/unit/docs/test_fleet.py.
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
#: What a real libvirt 9.0 answered of a guest with more devices.
ANSWER = Path(__file__).parents[1] / "tests" / "cases" / "qemu-9.0" / "answer.json"
_DISKS, _NICS = 4, 2
#: Devices of ours: the first of each.
_SURPLUS = tuple(f"block.{n}." for n in range(1, _DISKS)) + tuple(
    f"net.{n}." for n in range(1, _NICS)
)
_WHOLE = (
    "disk", "vcpu", "memory", "domain_state", "pcpu", "cpu_util", "disk_err", "disk_physical",
    "disk_allocation", "disk_capacity", "perf", "vcpupin",
)  # fmt: skip


class Choice(NamedTuple):
    """A row of the table.

    :param options: of ``[[inputs.libvirt]]``, or of collectd's ``<Module>`` block.
    """

    name: str
    agent: str
    options: Mapping[str, Any]


CHOICES = (
    Choice("Telegraf, as it is", "telegraf", {}),
    Choice("`series = \"telegraf\"`", "telegraf", {"series": "telegraf"}),
    Choice("`totals` of all three", "telegraf", {"totals": ["vcpu", "interface", "block"]}),
    Choice(
        "groups `state`, `cpu_total`, `balloon`, `interface`, `block`, and `totals`",
        "telegraf",
        {
            "statistics_groups": ["state", "cpu_total", "balloon", "interface", "block"],
            "totals": ["interface", "block"],
        },
    ),
    Choice("`rates = true`", "telegraf", {"rates": True}),
    Choice("`kvm_statistics = true`", "telegraf", {"kvm_statistics": True}),
    Choice("collectd, as it is", "collectd", {}),
    Choice("`Totals` of all three", "collectd", {"Totals": ("vcpu", "interface", "block")}),
    Choice("the same, without `if_errors` and `if_dropped`", "collectd", {
        "Totals": ("vcpu", "interface", "block"), "DropTypes": ("if_errors", "if_dropped"),
    }),
    Choice("ExtraStats, all of `virt`'s but jobs and file systems", "collectd", {
        "ExtraStats": _WHOLE,
    }),
    Choice("the same, `Rates true`", "collectd", {"ExtraStats": _WHOLE, "Rates": (True,)}),
)  # fmt: skip


class Made(NamedTuple):
    """What a host makes in a round.

    :param lists: lines of Telegraf's, value lists of collectd's; of domains.
    :param series: fields of these, data sources of those: a series each in the database.
    :param files: collectd only: series are files of whisper.
    :param bytes: Telegraf only: of all lines.
    """

    lists: int
    series: int
    bytes: int


def settings_of(choice: Choice) -> Settings:
    if choice.agent == "telegraf":
        return from_table(choice.options, RESERVED_TAGS, {})
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
    stats = {key: value for key, value in answer.items() if not key.startswith(_SURPLUS)}
    stats.update({"block.count": 1, "net.count": 1})
    if before:
        stats["cpu.time"] -= 1_000_000_000
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
        node_cpus=64,
    )


def made(choice: Choice, domains: int) -> Made:
    """What the writers make of such a host, by themselves."""
    settings = settings_of(choice)
    counts = counter(choice.agent, settings)
    rounds = sample(domains, before=True), sample(domains)
    for each in rounds:
        counts.take(each)
    amount = total(added(counts.made()))
    written = 0
    if choice.agent == "telegraf":
        lines = writer(settings)
        written = [len(lines.encode(each)) for each in rounds][-1]
    return Made(amount.lists, amount.series, written)


def table(counts: Sequence[int] = COUNTS) -> str:
    """The page's table."""
    titles = ["options", "series a guest", *(f"{count:,} guests" for count in counts)]
    titles += ["lines or value lists a guest", "bytes a guest and round"]
    rows = []
    for choice in CHOICES:
        hosts = [made(choice, count) for count in counts]
        one = made(choice, 1)
        # A line of the round's own is among the bytes.
        size = (made(choice, 3).bytes - one.bytes) // 2
        rows.append(
            [choice.name, one.series, *(f"{host.series:,}" for host in hosts), one.lists]
            + [f"{size:,}" if size else None]
        )
    return report.table(titles, rows)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench series", description=__doc__)
    parser.add_argument("--guests", type=int, nargs="+", default=COUNTS)
    print(table(parser.parse_args(arguments).guests))
