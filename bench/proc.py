"""What /proc says of processes and of the machine: CPU time, memory, threads.

It must not know what is measured.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Of some processes together: CPU seconds since their start, peak memory in KiB, threads."""

    cpu_s: float
    peak_kib: int
    threads: int


def usage(pids: Iterable[int]) -> Usage:
    """What processes have used; those that have ended count nothing."""
    cpu, peak, threads = 0.0, 0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            cpu += _cpu_s(pid)
            status = _status(pid)
            peak += int(status["VmHWM"].split()[0])
            threads += int(status["Threads"])
    return Usage(cpu, peak, threads)


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of processes, in all of their threads."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += _cpu_s(pid)
    return total


def resident_kib(pid: int) -> int:
    """Memory that a process holds now."""
    return int(_status(pid)["VmRSS"].split()[0])


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(each for child in _children(pid) for each in family(child))]


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, task.read_text().split())


def _cpu_s(pid: int) -> float:
    # As clock_getcpuclockid(3) makes it. /proc/PID/stat counts in 10 ms, as long as a round.
    return time.clock_gettime(~pid << 3 | 2)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def busy_s() -> float:
    """CPU seconds that the machine has spent on anything, since its start."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / _TICKS


def wait_until_quiet(share: float = 0.1, patience_s: float = 20.0) -> float:
    """Wait until the machine spends less than ``share`` of one CPU, for half a second.

    :returns: the share that it spends now, be it more when the patience was over.
    """
    until = time.monotonic() + patience_s
    while True:
        before = busy_s()
        time.sleep(0.5)
        now = (busy_s() - before) / 0.5
        if now < share or time.monotonic() > until:
            return now


def machine() -> dict[str, object]:
    """What to know of the machine beside its figures."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
