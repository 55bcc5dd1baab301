"""A round of ours beside those of its peers, on real guests: ``python -m bench compare``.

All of them are measured in one run, by turns, since only figures of one run can be compared: the
ones that can be asked for a round each take turns round by round, the agents some rounds at a
time. It needs root, and what ``make machine`` installs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from bench import agents, proc, report
from bench.agents import Bench, Turn
from bench.client import COLLECTD_EXTRA_CALLS, Client, clients

#: What is measured, by the names in the tables.
OURS = "domstats, as a library"
CHILD = "domstats, child of Telegraf alone"
COMMAND = "domstats sample"
BARE = "the same calls, bare"
BARE_EXTRA = "those for collectd, ExtraStats, bare"
BULK = "one bulk call, bare"
VIRSH = "virsh domstats"
TELEGRAF, TELEGRAF_OWN = "Telegraf with domstats", "Telegraf with inputs.libvirt"
TELEGRAF_SAME = "Telegraf with domstats, same points"
COLLECTD, COLLECTD_OWN = "collectd with domstats", "collectd with virt"
EXTRA, EXTRA_OWN = "collectd with domstats, ExtraStats", "collectd with virt, ExtraStats"

#: Clients that are asked round by round.
CLIENTS = {
    OURS: ("sampler",),
    CHILD: ("lines",),
    BARE: ("bare",),
    BARE_EXTRA: ("bare", *COLLECTD_EXTRA_CALLS),
    BULK: ("bulk",),
}

#: They, and virsh, make so many times more rounds in a turn than the agents: it takes less time.
MORE = 3

AGENTS: dict[str, Callable[[Bench, str, int], Turn]] = {
    COMMAND: agents.domstats_sample,
    TELEGRAF: partial(agents.telegraf, plugin=agents.telegraf_ours),
    TELEGRAF_SAME: partial(
        agents.telegraf, plugin=partial(agents.telegraf_ours, series="telegraf")
    ),
    TELEGRAF_OWN: partial(agents.telegraf, plugin=agents.telegraf_own),
    COLLECTD: partial(agents.collectd, plugin=agents.collectd_ours, extra=False),
    COLLECTD_OWN: partial(agents.collectd, plugin=agents.collectd_own, extra=False),
    EXTRA: partial(agents.collectd, plugin=agents.collectd_ours, extra=True),
    EXTRA_OWN: partial(agents.collectd, plugin=agents.collectd_own, extra=True),
}


class Target(NamedTuple):
    """A promise: ours over theirs in one of the figures, at most so much."""

    figure: str
    ours: str
    theirs: str
    most: float


TARGETS = (
    Target("wall_s", OURS, BARE, 1.15),
    Target("wall_s", OURS, VIRSH, 0.6),
    Target("wall_s", TELEGRAF, TELEGRAF_OWN, 0.55),
    Target("wall_s", EXTRA, EXTRA_OWN, 0.25),
    Target("wall_s", EXTRA, BARE_EXTRA, 1.15),
    Target("cpu_s", TELEGRAF, TELEGRAF_OWN, 1.0),
    Target("cpu_s", TELEGRAF_SAME, TELEGRAF_OWN, 1.0),
    Target("cpu_s", COLLECTD, COLLECTD_OWN, 0.7),
    Target("cpu_s", EXTRA, EXTRA_OWN, 0.7),
    Target("libvirtd_s", OURS, VIRSH, 1.0),
    Target("libvirtd_s", TELEGRAF, TELEGRAF_OWN, 1.0),
    Target("libvirtd_s", COLLECTD, COLLECTD_OWN, 1.0),
    Target("libvirtd_s", EXTRA, EXTRA_OWN, 1.0),
)
FIGURES = {"wall_s": "round", "cpu_s": "client's CPU", "libvirtd_s": "libvirtd's CPU"}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=__doc__)
    parser.add_argument("--guests", type=int, default=40)
    parser.add_argument("--passes", type=int, default=3, help="turns that everybody gets")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in each turn, measured")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args(arguments)
    lacking = agents.missing()
    if lacking:
        sys.exit(f"bench compare: there is no {lacking} here; as root: tests/system/install test")
    from tests.system.bed import Bed, Shape  # needs libvirt

    with Bed() as bed, tempfile.TemporaryDirectory(prefix="domstats-bench-") as folder:
        bed.add(*(Shape(f"guest-{number}") for number in range(given.guests)))
        bench = Bench(bed.uri, bed.libvirtd.pid, Path(folder))
        tell(f"{given.guests} guests; waiting until they are idle")
        proc.wait_until_quiet(share=0.15, patience_s=90)
        turns, foreign = measure(bench, given.passes, given.rounds)
    figures = {name: summary(each) for name, each in turns.items()}
    print(text(figures))
    shares = ", ".join(f"{share:.0%}" for share in foreign)
    print(f"\nCPU that others used on this machine meanwhile, of all CPUs, by pass: {shares}")
    report.write_json(
        given.json,
        {
            "machine": proc.machine(),
            "guests": given.guests,
            "foreign_cpu": foreign,
            "figures": figures,
            "targets": [_target(figures, target) for target in TARGETS],
        },
    )


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(bench: Bench, passes: int, rounds: int) -> tuple[dict[str, list[Turn]], list[float]]:
    """Everybody's turns, and what share of all CPUs others used in each pass."""
    turns: dict[str, list[Turn]] = {name: [] for name in (*CLIENTS, VIRSH, *AGENTS)}
    foreign = []
    with clients(bench.uri, CLIENTS) as running:
        for client in running.values():
            for _ in range(agents.WARM_UP):
                client.round()
        for number in range(passes):
            tell(f"pass {number + 1} of {passes}")
            before = _others()
            for _ in range(rounds * MORE):
                for name, client in running.items():
                    turns[name].append(_client_turn(bench, client))
                turns[VIRSH].append(agents.command(bench, agents.virsh(bench)))
            for name, agent in AGENTS.items():
                tell(f"  {name}")
                turns[name].append(agent(bench, "agent", rounds))
            after = _others()
            foreign.append((after[0] - before[0]) / (after[1] - before[1]))
    return turns, foreign


def _client_turn(bench: Bench, client: Client) -> Turn:
    libvirtd = proc.cpu_s([bench.libvirtd])
    cost = client.round()
    libvirtd = proc.cpu_s([bench.libvirtd]) - libvirtd
    used = client.usage()
    return Turn((cost.wall_s,), cost.cpu_s, libvirtd, used.peak_kib, used.threads)


def _others() -> tuple[float, float]:
    """CPU seconds that are not of this process and its family, and those that there were."""
    own = os.times()
    ended = own.children_user + own.children_system
    ours = proc.cpu_s(proc.family(os.getpid())) + ended
    return proc.busy_s() - ours, own.elapsed * (os.cpu_count() or 1)


def summary(turns: Sequence[Turn]) -> dict[str, Any]:
    """The median round; CPU time is the mean of all turns."""
    walls = sorted(wall for turn in turns for wall in turn.walls_s)
    return {
        "wall_s": statistics.median(walls) if walls else None,
        "walls_s": walls,
        "cpu_s": statistics.mean(turn.cpu_s for turn in turns),
        "libvirtd_s": statistics.mean(turn.libvirtd_s for turn in turns),
        "peak_kib": max(turn.peak_kib for turn in turns),
        "threads": max(turn.threads for turn in turns) or None,
    }


def text(figures: dict[str, dict[str, Any]]) -> str:
    """Both tables: what everybody took, and what that is against the targets."""
    ours = figures[OURS]["wall_s"]
    rows = [
        [
            name,
            report.ms(each["wall_s"]),
            _range_ms(each["walls_s"]),
            report.ratio(each["wall_s"], ours),
            report.ms(each["cpu_s"], digits=1),
            report.ms(each["libvirtd_s"]),
            report.mib(each["peak_kib"]),
            each["threads"],
        ]
        for name, each in figures.items()
    ]
    titles: tuple[str, ...] = (
        "who", "round ms", "least-most", "times ours", "CPU ms", "libvirtd CPU ms", "peak MiB",
        "threads",
    )  # fmt: skip
    parts = [report.table(titles, rows)]
    rows = []
    for target in TARGETS:
        reached = _target(figures, target)
        least = reached["least_ratio"]
        rows.append(
            [
                f"{FIGURES[target.figure]}: {target.ours}",
                target.theirs,
                f"{reached['ratio']:.2f}",
                None if least is None else f"{least:.2f}",
                f"{target.most:.2f}",
            ]
        )
    titles = ("figure: ours", "over", "ratio", "of the least", "at most")
    parts.append(report.table(titles, rows))
    return "\n\n".join(parts)


def _range_ms(walls_s: Sequence[float]) -> Optional[str]:
    return f"{report.ms(walls_s[0])}-{report.ms(walls_s[-1])}" if walls_s else None


def _target(figures: dict[str, dict[str, Any]], target: Target) -> dict[str, Any]:
    """What is reached of a target: of the medians, and of both sides' shortest rounds.

    The latter is what a busy machine disturbs the least.
    """
    ours, theirs = figures[target.ours], figures[target.theirs]
    least = None
    if target.figure == "wall_s":
        least = ours["walls_s"][0] / theirs["walls_s"][0]
    ratio = ours[target.figure] / theirs[target.figure]
    return {**target._asdict(), "ratio": ratio, "least_ratio": least}
