"""How soon `domstats telegraf` has its first line out, and what it holds: `python -m bench start`.

The first line is of libvirt's test driver, which answers at once: what is measured is the start of
Python, the imports and the first round. Memory is measured with a simulated host. Both are with
the modules compiled before, as in a package that is installed: compiling takes 2 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from bench import proc, report
from bench.agents import DOMSTATS
from bench.scale import SHAPE
from tests.simhost.host import SimHost

#: Rounds after which memory does not grow any more.
SETTLED = 10
OWN_LINE = b"domstats_round"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--domains", type=int, default=100, help="of which memory is measured")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="domstats-bench-") as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        first_line_s(environment)  # compiles the modules
        starts = [first_line_s(environment) for _ in range(given.starts)]
        with SimHost(domains=given.domains, **SHAPE) as host:
            now_kib, peak_kib = memory_kib(host.uri, environment)
    print(
        report.table(
            ("domstats telegraf", "", "target"),
            [
                ("start to first line, ms, median", report.ms(statistics.median(starts)), "500"),
                ("the same, least", report.ms(min(starts)), ""),
                (f"resident, {given.domains} domains, MiB", report.mib(now_kib), "40"),
                ("the same, peak", report.mib(peak_kib), ""),
            ],
        )
    )
    figures = {
        "first_line_s": starts,
        "domains": given.domains,
        "resident_kib": now_kib,
        "peak_kib": peak_kib,
    }
    report.write_json(given.json, {"machine": proc.machine(), "start": figures})


def first_line_s(environment: Mapping[str, str]) -> float:
    """Seconds from the start of the process to its first line."""
    began = time.perf_counter()
    with child("test:///default", environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        _line(process.stdout)
        return time.perf_counter() - began


def memory_kib(uri: str, environment: Mapping[str, str]) -> tuple[int, int]:
    """What it holds after some rounds, and what it held at most."""
    with child(uri, environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(SETTLED):
            process.stdin.write(b"\n")
            process.stdin.flush()
            while not _line(process.stdout).startswith(OWN_LINE):
                pass
        return proc.resident_kib(process.pid), proc.usage([process.pid]).peak_kib


def _line(output: IO[bytes]) -> bytes:
    """The next line.

    :raises RuntimeError: the child has ended; its error is on stderr.
    """
    line = output.readline()
    if not line:
        raise RuntimeError("Telegraf's child has ended")
    return line


@contextlib.contextmanager
def child(uri: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Telegraf's child, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="domstats-bench-") as folder:
        settings = Path(folder) / "domstats.toml"
        settings.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\n')
        command = [DOMSTATS, "telegraf", "--config", str(settings)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:
            try:
                yield process
            finally:
                process.kill()
