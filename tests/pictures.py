"""The pictures of the README, made anew: ``make pictures``.

``docs/pictures/top.svg`` is ``domstats top`` with a fixed set of domains, of which one hangs.
``docs/pictures/graph.png`` was rendered by graphite-web of what collectd sent of real guests, of
which one hung for a minute; that takes some minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from domstats.cli.top_app import Arrived, Top
from domstats.model import DomainSample, Round, Sample, Status, Value

from tests.documents import ROOT

FOLDER = ROOT / "docs" / "pictures"
URI = "qemu:///system"
NS = 10**9
COLUMNS, LINES = 120, 13

#: Of each domain: vCPUs, CPUs that it uses at least and at most, GiB, MiB/s read and written,
#: milliseconds that a request takes, MiB/s received and sent.
DOMAINS = {
    "web-1": (4, 1.2, 2.1, 8, 3.1, 1.4, 0.6, 4.2, 11.0),
    "web-2": (4, 1.0, 1.9, 8, 2.6, 1.1, 0.5, 3.9, 10.2),
    "db-1": (8, 2.4, 3.2, 32, 41.0, 28.0, 1.8, 2.0, 6.1),
    "cache-1": (2, 0.2, 0.5, 16, 0.0, 0.1, 0.4, 7.5, 7.4),
    "mail": (2, 0.1, 0.4, 4, 0.4, 0.9, 3.2, 0.2, 0.1),
    "build-7": (8, 3.1, 6.8, 16, 5.2, 19.0, 4.4, 0.4, 0.1),
    "monitor": (2, 0.1, 0.2, 4, 0.1, 1.2, 0.9, 0.8, 0.1),
    "jump": (1, 0.0, 0.1, 1, 0.0, 0.0, 0.3, 0.0, 0.0),
}
HUNG = "db-2"
ROUNDS, INTERVAL_S = 24, 2


# --- domstats top -------------------------------------------------------------------------------


def used(name: str, second: int) -> float:
    """CPU seconds that a domain has used: its load goes up and down."""
    _, least, most, *_ = DOMAINS[name]
    phase = sum(map(ord, name))
    steps = (0.5 + 0.5 * math.sin(each / 5 + phase) for each in range(second))
    return sum(least + (most - least) * step for step in steps)


def domain(name: str, second: int) -> DomainSample:
    vcpus, _, most, gib, read, written, latency_ms, received, sent = DOMAINS[name]
    cpu = int(used(name, second) * NS)
    requests = second * 100
    stats: dict[str, Value] = {
        "state.state": 1,
        "cpu.time": cpu,
        "vcpu.current": vcpus,
        "vcpu.maximum": vcpus,
        "vcpu.0.time": cpu,
        "vcpu.0.delay": int(second * most * 0.004 * NS),
        "balloon.current": gib << 20,
        "balloon.maximum": gib << 20,
        "balloon.available": gib << 20,
        "balloon.usable": (gib << 20) // 3,
        "balloon.last-update": 1000 + second - vcpus,
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.rd.bytes": int(second * read * 2**20),
        "block.0.rd.reqs": requests,
        "block.0.rd.times": int(requests * latency_ms * 10**6),
        "block.0.wr.bytes": int(second * written * 2**20),
        "block.0.wr.reqs": requests,
        "block.0.wr.times": int(requests * latency_ms * 10**6),
        "net.count": 1,
        "net.0.name": "vnet0",
        "net.0.rx.bytes": int(second * received * 2**20),
        "net.0.tx.bytes": int(second * sent * 2**20),
    }
    waits = {"pressure.io.some_avg10": latency_ms * 1.3}
    return DomainSample(name, name, Status.FRESH, stats, at_s=float(second), beside=waits)


def hung(second: int) -> DomainSample:
    """It has not answered for a while, and keeps what needs no monitor."""
    stats: dict[str, Value] = {
        "state.state": 1,
        "vcpu.current": 4,
        "balloon.current": 16 << 20,
        "cpu.time": 10**12,
        "net.count": 1,
        "net.0.name": "vnet9",
        "net.0.rx.bytes": second * 900,
    }
    return DomainSample(
        HUNG, HUNG, Status.UNRESPONSIVE, stats, missing=frozenset({"block", "balloon"}),
        since_ns=(1000 + INTERVAL_S) * NS, reason="its process is stopped", at_s=float(second),
    )  # fmt: skip


def sample(second: int) -> Sample:
    domains = (*(domain(name, second) for name in DOMAINS), hung(second))
    round_ = Round(duration_s=0.06, domains=len(domains), unresponsive=1)
    return Sample(URI, (1000 + second) * NS, domains, round_, node_cpus=16)


async def screen() -> str:
    app = Top([URI], lambda: None)
    async with app.run_test(size=(COLUMNS, LINES)) as pilot:
        for number in range(1, ROUNDS + 1):
            app.post_message(Arrived(0, sample(number * INTERVAL_S)))
        await pilot.pause()
        return app.export_screenshot(title="domstats top")


def top() -> bytes:
    """As SVG; the fonts, which it would load from another host, are left to the reader's own."""
    text = re.sub(r"@font-face \{.*?\}\s*", "", asyncio.run(screen()), flags=re.DOTALL)
    return ("\n".join(line.rstrip() for line in text.splitlines()) + "\n").encode()


# --- the graph ----------------------------------------------------------------------------------

MINUTES = 3.0
#: Of the whole time, when the guest hangs.
FROM, TO = 0.4, 0.73
#: The interval is two seconds, and a point is one.
TARGETS = (
    "color(alpha(lineWidth(alias(drawAsInfinite(keepLastValue(db.domstats.duration-unresponsive,"
    " 2)), 'db hangs'), 6), 0.12), 'red')",
    "aliasByNode(*.domstats.percent-cpu_of_vcpus, 0)",
)
#: What the guests run, at the reset vector: clear interrupts, jump to itself. So their load is what
#: their quota leaves them.
COMPUTES = bytes.fromhex("faebfe") + 13 * b"\x90"
LOOK = {
    "format": "png",
    "width": "860",
    "height": "300",
    "title": "CPU of each guest, share of its vCPUs",
    "template": "plain",
    "bgcolor": "white",
    "fgcolor": "black",
    "majorGridLineColor": "#dddddd",
    "minorGridLineColor": "#eeeeee",
    "colorList": "#d62728,#1f77b4,#2ca02c",
    "lineWidth": "2",
    "yMin": "0",
    "yMax": "30",
    "hideLegend": "false",
    "fontName": "DejaVu Sans",
    "fontSize": "11",
    "margin": "14",
    "lineMode": "connected",
}


def graph() -> bytes:
    """Guests whose load goes up and down, one of which hangs for a minute."""
    from tests.system.agents import Collectd, Graphite  # they need what the system tests need
    from tests.system.bed import Bed, Shape
    from tests.system.configurations import python_plugin, write_graphite
    from tests.system.delivered import prefer

    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="domstats-graph-")))
        bed = running.enter_context(Bed())
        prefer(bed)
        rom = bed.rom("idle")
        rom.write_bytes(rom.read_bytes()[: -len(COMPUTES)] + COMPUTES)
        guests = bed.add(*(Shape(name, vcpus=1) for name in ("web", "db", "mail")))
        graphite = running.enter_context(Graphite(folder / "graphite"))
        plugins = python_plugin(f'Connection "{bed.uri}"\nRates true')
        running.enter_context(
            Collectd(folder / "collectd", plugins + write_graphite(graphite.port), 2.0)
        )
        since = time.monotonic()
        stopped = False
        while (passed := (time.monotonic() - since) / 60) < MINUTES:
            with bed.connection() as connection:
                for number, guest in enumerate(guests):
                    share = 0.08 + 0.06 * number + 0.05 * math.sin(passed * 6 + number * 2)
                    quota = {"vcpu_period": 100_000, "vcpu_quota": int(share * 100_000)}
                    connection.lookupByName(guest.name).setSchedulerParameters(quota)
            wanted = FROM < passed / MINUTES < TO
            if wanted != stopped:
                guests[1].hang() if wanted else guests[1].heal()
                stopped = wanted
            time.sleep(3)
        return graphite.picture(TARGETS, seconds=int(MINUTES * 60) - 15, **LOOK)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    made: dict[str, Callable[[], bytes]] = {"top.svg": top, "graph.png": graph}
    for name in sys.argv[1:] or made:
        (FOLDER / name).write_bytes(made[name]())


if __name__ == "__main__":
    main()
