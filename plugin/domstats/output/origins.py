"""Where a value comes from: what it costs to ask for it, and since which libvirt it is to be had.

Data, for docs/metrics.md and ``domstats metrics``. Only the patterns of keys are known here.
"""

from __future__ import annotations

import enum


class Cost(str, enum.Enum):
    """What a round pays for a value, and what it waits for."""

    FREE = "free"
    CALL = "call"
    MONITOR = "monitor"
    FILES = "files"


#: For people; in the order of their price.
COSTS: dict[Cost, str] = {
    Cost.FREE: "libvirtd knows it, or reads it from the host's kernel. No guest is asked, and a "
    "guest that hangs has it all the same",
    Cost.CALL: "a call for each domain, a tenth of a millisecond, which asks no guest either",
    Cost.MONITOR: "a command of the guest's monitor for each domain and group, some milliseconds. "
    "A guest that hangs does not answer it",
    Cost.FILES: "the same, and QEMU looks at the disks' files meanwhile. On storage that hangs the "
    "disks' counters are asked for alone, by a call for each disk that looks at no file (libvirt "
    "before 11.9), and sizes and limits are left out",
}

#: By group, as it is asked for in bulk.
_COST_OF_GROUP: dict[str, Cost] = {
    "state": Cost.FREE,
    "cpu_total": Cost.MONITOR,
    "balloon": Cost.MONITOR,
    "vcpu": Cost.MONITOR,
    "interface": Cost.FREE,
    "block": Cost.FILES,
    "perf": Cost.FREE,
    "iothread": Cost.MONITOR,
    "memory": Cost.FREE,
    "dirtyrate": Cost.MONITOR,
    "vm": Cost.MONITOR,
}

#: Of keys that no bulk call sends.
_COST_OF_KEY: dict[str, Cost] = {
    "vcpu.<n>.cpu": Cost.CALL,
    "vcpu.<n>.affinity": Cost.CALL,
    "block.<n>.error": Cost.MONITOR,
    "balloon.used": Cost.CALL,
}

#: What a local hypervisor tells of these by calls that need no monitor, where collectd's output
#: needs no more of their groups.
DIRECT: frozenset[str] = frozenset(
    {"cpu.time", "cpu.user", "cpu.system", "balloon.current", "balloon.used", "vcpu.<n>.time"}
)


def cost(pattern: str, group: str) -> Cost:
    """:param group: of ``model.GROUPS``; empty for a key of none."""
    found = _COST_OF_KEY.get(pattern)
    return found if found is not None else _COST_OF_GROUP[group]


#: By libvirt's version: the keys that came with it. One that ends in a dot stands for all keys that
#: begin so. What no bulk call sends has the version of its own call. A version says that this key
#: can be asked for; QEMU, the kernel or the guest may have to be newer.
SINCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("0.0.3", ("balloon.used",)),
    ("0.1.4", ("vcpu.<n>.cpu", "vcpu.<n>.affinity")),
    ("0.8.1", ("block.<n>.info.",)),
    ("0.9.10", ("block.<n>.error",)),
    ("1.2.8", ("state.",)),
    ("1.2.9", (
        "cpu.time", "cpu.user", "cpu.system",
        "balloon.current", "balloon.maximum",
        "vcpu.current", "vcpu.maximum", "vcpu.<n>.state", "vcpu.<n>.time",
        "net.",
        "block.count", "block.<n>.name", "block.<n>.rd.", "block.<n>.wr.", "block.<n>.fl.",
        "block.<n>.errors",
    )),
    ("1.2.10", ("block.<n>.allocation", "block.<n>.capacity", "block.<n>.physical")),
    ("1.2.11", ("block.<n>.path",)),
    ("1.2.12", ("block.<n>.backingIndex",)),
    ("1.3.2", ("vcpu.<n>.wait",)),
    ("1.3.3", ("perf.cmt",)),
    ("1.3.5", ("perf.mbmt", "perf.mbml")),
    ("2.1.0", (
        "balloon.swap_in", "balloon.swap_out", "balloon.major_fault", "balloon.minor_fault",
        "balloon.unused", "balloon.available", "balloon.usable", "balloon.last-update",
        "balloon.rss",
    )),
    ("2.3.0", (
        "perf.cpu_cycles", "perf.instructions", "perf.cache_references", "perf.cache_misses",
    )),
    ("2.4.0", ("vcpu.<n>.halted",)),
    ("3.0.0", (
        "perf.branch_instructions", "perf.branch_misses", "perf.bus_cycles",
        "perf.stalled_cycles_frontend", "perf.stalled_cycles_backend", "perf.ref_cpu_cycles",
    )),
    ("3.2.0", (
        "block.<n>.threshold",
        "perf.cpu_clock", "perf.task_clock", "perf.page_faults", "perf.page_faults_min",
        "perf.page_faults_maj", "perf.context_switches", "perf.cpu_migrations",
        "perf.alignment_faults", "perf.emulation_faults",
    )),
    ("4.6.0", ("balloon.disk_caches",)),
    ("4.10.0", (
        "cpu.cache.monitor.", "iothread.count", "iothread.<n>.poll-max-ns",
        "iothread.<n>.poll-grow", "iothread.<n>.poll-shrink",
    )),
    ("5.4.0", ("balloon.hugetlb_pgalloc", "balloon.hugetlb_pgfail")),
    ("6.0.0", ("memory.bandwidth.monitor.",)),
    ("7.2.0", (
        "vcpu.<n>.delay",
        "dirtyrate.calc_status", "dirtyrate.calc_start_time", "dirtyrate.calc_period",
        "dirtyrate.megabytes_per_second",
    )),
    ("7.6.0", ("cpu.haltpoll.",)),
    ("8.1.0", ("dirtyrate.calc_mode", "dirtyrate.vcpu.")),
    ("8.9.0", ("vcpu.<n>.<statistic>.", "vm.")),
    ("11.10.0", ("block.<n>.limits.", "block.<n>.timed_group.")),
    ("12.1.0", ("block.<n>.latency_histogram.",)),
    ("12.4.0", ("cpu.energy.monitor.",)),
    ("12.7.0", ("iothread.<n>.poll-weight",)),
)  # fmt: skip

#: Any perf event, of which collectd has one row.
_ANY_EVENT = {"perf.<event>": "1.3.3"}


def since(pattern: str) -> str:
    """The first libvirt that has a key of this pattern, as 1.2.9; raises LookupError if the table
    does not have it.
    """
    for version, keys in SINCE:
        if any(pattern == key or (key[-1] == "." and pattern.startswith(key)) for key in keys):
            return version
    return _ANY_EVENT[pattern]


def since_all(*patterns: str) -> str:
    """The first libvirt that has all of these keys."""
    return max(map(since, patterns), key=lambda version: tuple(map(int, version.split("."))))
