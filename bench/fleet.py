"""Many hypervisors polled by one child of Telegraf, while some freeze: ``python -m bench fleet``.

The hypervisors are simulated, on TCP ports: those that freeze in one process, which is stopped for
a while, the others in another one. A round is late if it is not there, with all domains, when the
next tick comes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import proc, report
from bench.agents import DOMSTATS
from bench.scale import SHAPE
from tests.simhost.host import SimHost

#: A round's own line: the hypervisor, how many domains it has and how many are fresh.
_ROUND = re.compile(
    r"domstats_round,hypervisor=(\S+),version=\S+ .*,domains=(\d+)i,.*,fresh=(\d+)i"
)
#: How often threads and descriptors are counted, in seconds.
_LOOK_S = 0.02


class Stage(NamedTuple):
    """Some rounds of all hypervisors.

    :param late: rounds of hypervisors that are not frozen which were not there in time, or not
        complete.
    :param threads: at most, as are descriptors and the hypervisors' connections.
    :param cpu_s: for all hypervisors' rounds at one tick.
    """

    name: str
    rounds: int
    late: int
    threads: int
    descriptors: int
    connections: int
    resident_kib: int
    cpu_s: float


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--frozen", type=int, default=20, help="of them, in the second stage")
    parser.add_argument("--domains", type=int, default=25, help="on each")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between ticks")
    parser.add_argument("--rounds", type=int, default=6, help="in each stage")
    parser.add_argument("--cost", type=float, default=1.0, help="1: as long as real guests take")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args(arguments)
    stages = measure(given)
    titles = (
        f"{given.hosts} hypervisors of {given.domains} domains", "rounds", "late", "threads",
        "descriptors", "connections", "resident MiB", "CPU ms of a tick",
    )  # fmt: skip
    rows = [
        (*each[:6], report.mib(each.resident_kib), report.ms(each.cpu_s)) for each in stages
    ]
    print(report.table(titles, rows))
    figures = [each._asdict() for each in stages]
    report.write_json(given.json, {"machine": proc.machine(), "fleet": figures})


def measure(given: argparse.Namespace) -> list[Stage]:
    shape = {"domains": given.domains, "cost": given.cost, **SHAPE}
    well = SimHost(hosts=given.hosts - given.frozen, **shape)
    frozen = SimHost(hosts=given.frozen, seed=100_000, **shape)
    with well, frozen, _polled([*well.uris, *frozen.uris], given.interval) as child:
        everybody = [*well.uris, *frozen.uris]
        stages = [child.stage("the first round", 1, everybody)]
        child.stage("", 2, everybody)
        stages.append(child.stage("all are well", given.rounds, everybody))
        frozen.pause()
        stages.append(child.stage(f"{given.frozen} are frozen", given.rounds, well.uris))
        frozen.proceed()
        stages.append(child.stage("two rounds after that", 2, well.uris))
        stages.append(child.stage("all are well again", given.rounds, everybody))
    return stages


class _Child:
    """Telegraf's child, and what it has sent."""

    def __init__(self, process: subprocess.Popen[bytes], interval_s: float) -> None:
        self._process = process
        self._interval_s = interval_s
        self._complete: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = _ROUND.match(line.decode())
            if found and found[2] == found[3] != "0":
                self._complete.add(found[1].replace("\\", ""))

    def stage(self, name: str, rounds: int, uris: Sequence[str]) -> Stage:
        """Some ticks, of which each is to have rounds of these hypervisors."""
        assert self._process.stdin is not None
        pid, late, looks = self._process.pid, 0, []
        before = proc.cpu_s([pid])
        for _ in range(rounds):
            self._complete.clear()
            until = time.monotonic() + self._interval_s
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            while time.monotonic() < until:
                looks.append((proc.usage([pid]).threads, *_descriptors(pid)))
                time.sleep(_LOOK_S)
            late += len(set(uris) - self._complete)
        threads, descriptors, sockets = (max(counts) for counts in zip(*looks))
        cpu_s = (proc.cpu_s([pid]) - before) / rounds
        memory = proc.resident_kib(pid)
        wanted = rounds * len(uris)
        return Stage(name, wanted, late, threads, descriptors, sockets, memory, cpu_s)


def _descriptors(pid: int) -> tuple[int, int]:
    """Of a process: all, and those that are sockets."""
    kinds = []
    for each in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            kinds.append(os.readlink(each.path).startswith("socket:"))
    return len(kinds), sum(kinds)


@contextlib.contextmanager
def _polled(uris: Sequence[str], interval_s: float) -> Iterator[_Child]:
    """Telegraf's child with these hypervisors, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="domstats-bench-") as folder:
        settings = Path(folder) / "domstats.toml"
        tables = (f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\n' for uri in uris)
        settings.write_text("\n".join(tables))
        command = [DOMSTATS, "telegraf", "--config", str(settings)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield _Child(process, interval_s)
            finally:
                process.kill()
