"""The library beside a thread for each domain: ``python -m bench library``.

Both are the programs of docs/library.md, as they stand there, against a simulated host. They take
turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench import proc, report
from tests.examples import ROOT, load
from tests.simhost.host import SimHost

PROGRAMS = {"thread per domain": "threads.py", "domstats": "daemon.py"}
SHAPE = {"vcpus": 2, "disks": 1, "interfaces": 2}
#: Rounds that are not measured: the first ones read XML, open connections and start threads.
UNMEASURED = 2


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench library", description=__doc__)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7, help="of each, measured")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--run", nargs=2, metavar=("PROGRAM", "URI"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run:
        program, uri = given.run
        print(json.dumps(run(program, uri, given.rounds)))
        return
    with SimHost(domains=given.domains, **SHAPE) as host:
        figures = {
            name: measured(program, host, given.rounds) for name, program in PROGRAMS.items()
        }
    print(text(figures))
    report.write_json(given.json, {"machine": proc.machine(), "library": figures})


def measured(program: str, host: SimHost, rounds: int) -> dict[str, Any]:
    """One of the programs in a process of its own; calls are those that the host counted."""
    host.control.reset_statistics()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugin'}"}
    command = [sys.executable, "-m", "bench", "library", "--rounds", str(rounds)]
    finished = subprocess.run(
        [*command, "--run", program, host.uri],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    figures: dict[str, Any] = json.loads(finished.stdout)
    calls = host.control.statistics()["calls"]
    return {**figures, "calls": sum(calls.values()) / (rounds + UNMEASURED)}


def run(program: str, uri: str, rounds: int) -> dict[str, Any]:
    """Run one of the programs here, and look at each of its rounds."""
    walls: list[float] = []
    cpus: list[float] = []
    threads: list[int] = []
    found: dict[str, dict[str, Any]] = {}
    began = [time.perf_counter(), time.process_time()]

    def done() -> None:
        walls.append(time.perf_counter() - began[0])
        cpus.append(time.process_time() - began[1])
        threads.append(proc.usage([os.getpid()]).threads)
        began[:] = time.perf_counter(), time.process_time()

    load(program).run(uri, found.__setitem__, rounds + UNMEASURED, done)
    return {
        "domains": len(found),
        "threads": max(threads),
        "peak_kib": proc.usage([os.getpid()]).peak_kib,
        "wall_s": statistics.median(walls[UNMEASURED:]),
        "cpu_s": statistics.median(cpus[UNMEASURED:]),
    }


def text(figures: dict[str, Any]) -> str:
    rows = [
        [
            name,
            one["domains"],
            one["threads"],
            report.mib(one["peak_kib"]),
            report.ms(one["wall_s"]),
            report.ms(one["cpu_s"]),
            f"{one['calls']:.0f}",
        ]
        for name, one in figures.items()
    ]
    titles = ["", "domains", "threads", "peak MiB", "round ms", "CPU ms", "calls"]
    return report.table(titles, rows)
