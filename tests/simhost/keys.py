"""Which keys each stats group has, with their wire types, in the order of the real libvirt 9,
what each group costs, and how each number moves with time. Data first; the functions below it
only look things up. Knows nothing about the wire or about who asks.

A counter is a known function of time, so that a test can tell whether a sample is true:

    value = base + rate * tick // 10,    tick = floor(10 * seconds since the server's epoch)

where base and rate (per second) follow from seed, uuid and key alone; see `expected`. A domain
that is off has counted nothing."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from . import wire

# Stats groups as the bits of libvirt.VIR_DOMAIN_STATS_*.
STATE, CPU, BALLOON, VCPU, INTERFACE, BLOCK, PERF, IOTHREAD, MEMORY, DIRTYRATE, VM = (
    1 << n for n in range(11)
)
GROUPS = {
    "state": STATE,
    "cpu": CPU,
    "balloon": BALLOON,
    "vcpu": VCPU,
    "interface": INTERFACE,
    "block": BLOCK,
    "perf": PERF,
    "iothread": IOTHREAD,
    "memory": MEMORY,
    "dirtyrate": DIRTYRATE,
    "vm": VM,
}
ALL_GROUPS = sum(GROUPS.values())
#: The first word of a group's keys, where it is not the group's name.
_WORDS = {"net": INTERFACE}


def group_of(key: str) -> int:
    """The group that a key belongs to."""
    word = key.partition(".")[0]
    return _WORDS.get(word) or GROUPS[word]


MONITOR_GROUPS = CPU | BALLOON | VCPU | BLOCK | IOTHREAD | DIRTYRATE | VM

# Seconds per domain and group in the real one (FACTS.md: 40 guests, one bulk call).
COSTS = {
    STATE: 0.00005,
    CPU: 0.00205,
    BALLOON: 0.00238,
    VCPU: 0.00253,
    INTERFACE: 0.0001,
    BLOCK: 0.0032,
    PERF: 0.000025,
    IOTHREAD: 0.0008,
    MEMORY: 0.000025,
    DIRTYRATE: 0.00095,
    VM: 0.0012,
}
CLASSIC_COST = 0.002  # of one monitor round trip of a classic call

# What a key needs to be in an answer: nothing, the domain's process, its monitor, or its disks'
# files, which the monitor tells of while the domain runs.
NOTHING, PROCESS, MONITOR, FILES = range(4)

# How much an answer can tell: of a domain that is off, without its monitor, everything.
OFF, PARTIAL, FULL = "off", "partial", "full"
TOLD = {
    OFF: {NOTHING, FILES},
    PARTIAL: {NOTHING, PROCESS},
    FULL: {NOTHING, PROCESS, MONITOR, FILES},
}


class Moves(NamedTuple):
    """A number that grows by about `rate` a second, from somewhere around `start`."""

    start: int
    rate: int


class Key(NamedTuple):
    """`source` is how the number moves, or the attribute that holds it. Patterns with {n}
    repeat for each vCPU, interface, disk or I/O thread."""

    pattern: str
    type: int
    needs: int
    source: Moves | str


class Curve(NamedTuple):
    base: int
    rate: int

    def at(self, tick: int) -> int:
        return self.base + self.rate * tick // 10


_NS = 1_000_000_000

_KVM_VCPU = (
    "nested_run halt_wait_ns io_exits irq_injections invlpg pf_fixed blocking nmi_window_exits "
    "req_event pf_taken preemption_other preemption_reported halt_poll_invalid "
    "request_irq_exits halt_attempted_poll pf_guest pf_fast fpu_reload nmi_injections "
    "notify_window_exits hypercalls irq_exits guest_mode mmio_exits host_state_reload "
    "directed_yield_successful insn_emulation signal_exits pf_mmio_spte_created "
    "halt_poll_fail_ns exits irq_window_exits tlb_flush halt_wakeup halt_exits l1d_flush "
    "directed_yield_attempted pf_spurious halt_successful_poll insn_emulation_fail "
    "pf_emulate halt_poll_success_ns"
)
_KVM_FLAGS = ("blocking", "guest_mode")
_KVM_VM = (
    "mmu_pde_zapped.sum mmu_unsync.cur pages_2m.cur max_mmu_page_hash_collisions.max "
    "mmu_pte_write.sum mmu_cache_miss.sum max_mmu_rmap_size.max mmu_recycled.sum pages_1g.cur "
    "nx_lpage_splits.cur mmu_flooded.sum mmu_shadow_zapped.sum pages_4k.cur "
    "remote_tlb_flush.sum remote_tlb_flush_requests.sum"
)

# The keys of a domain, then those of each vCPU and so on. The names of the tables are those of
# the lists a domain has; "kvm" and "balloon_driver" are switches of a domain.
KEYS: dict[int, dict[str, tuple[Key, ...]]] = {
    STATE: {
        "": (
            Key("state.state", wire.INT, NOTHING, "state"),
            Key("state.reason", wire.INT, NOTHING, "reason"),
        )
    },
    CPU: {
        "": (
            Key("cpu.time", wire.ULLONG, NOTHING, Moves(50 * _NS, 400_000_000)),
            Key("cpu.user", wire.ULLONG, NOTHING, Moves(10 * _NS, 80_000_000)),
            Key("cpu.system", wire.ULLONG, NOTHING, Moves(20 * _NS, 150_000_000)),
            Key("cpu.cache.monitor.count", wire.UINT, PROCESS, Moves(0, 0)),
            Key("cpu.haltpoll.success.time", wire.ULLONG, MONITOR, Moves(_NS, 1_000_000)),
            Key("cpu.haltpoll.fail.time", wire.ULLONG, MONITOR, Moves(_NS, 2_000_000)),
        )
    },
    BALLOON: {
        "": (
            Key("balloon.current", wire.ULLONG, NOTHING, "balloon"),
            Key("balloon.maximum", wire.ULLONG, NOTHING, "memory"),
        ),
        "balloon_driver": (
            Key("balloon.swap_in", wire.ULLONG, MONITOR, Moves(0, 3)),
            Key("balloon.swap_out", wire.ULLONG, MONITOR, Moves(0, 2)),
            Key("balloon.major_fault", wire.ULLONG, MONITOR, Moves(1000, 5)),
            Key("balloon.minor_fault", wire.ULLONG, MONITOR, Moves(1_000_000, 900)),
            Key("balloon.unused", wire.ULLONG, MONITOR, Moves(200_000, 0)),
            Key("balloon.available", wire.ULLONG, MONITOR, Moves(900_000, 0)),
            Key("balloon.usable", wire.ULLONG, MONITOR, Moves(400_000, 0)),
            Key("balloon.last-update", wire.ULLONG, MONITOR, Moves(1_700_000_000, 1)),
            Key("balloon.disk_caches", wire.ULLONG, MONITOR, Moves(100_000, 0)),
            Key("balloon.hugetlb_pgalloc", wire.ULLONG, MONITOR, Moves(0, 0)),
            Key("balloon.hugetlb_pgfail", wire.ULLONG, MONITOR, Moves(0, 0)),
        ),
        "no_balloon_driver": (Key("balloon.last-update", wire.ULLONG, MONITOR, Moves(0, 0)),),
        "process": (Key("balloon.rss", wire.ULLONG, MONITOR, Moves(300_000, 0)),),
    },
    VCPU: {
        "": (
            Key("vcpu.current", wire.UINT, NOTHING, "vcpus_online"),
            Key("vcpu.maximum", wire.UINT, NOTHING, "vcpus_maximum"),
        ),
        "vcpus": (
            Key("vcpu.{n}.state", wire.INT, PROCESS, "state"),
            Key("vcpu.{n}.time", wire.ULLONG, PROCESS, Moves(20 * _NS, 180_000_000)),
            Key("vcpu.{n}.wait", wire.ULLONG, PROCESS, Moves(0, 0)),
            Key("vcpu.{n}.delay", wire.ULLONG, PROCESS, Moves(_NS, 3_000_000)),
        ),
        "kvm": tuple(
            Key(f"vcpu.{{n}}.{name}.cur", wire.BOOLEAN, MONITOR, "no")
            if name in _KVM_FLAGS
            else Key(f"vcpu.{{n}}.{name}.sum", wire.ULLONG, MONITOR, Moves(1000, 40))
            for name in _KVM_VCPU.split()
        ),
    },
    INTERFACE: {
        "": (Key("net.count", wire.UINT, PROCESS, "interface_count"),),
        "interfaces": (
            Key("net.{n}.name", wire.STRING, PROCESS, "name"),
            Key("net.{n}.rx.bytes", wire.ULLONG, PROCESS, Moves(5_000_000_000, 120_000)),
            Key("net.{n}.rx.pkts", wire.ULLONG, PROCESS, Moves(8_000_000, 150)),
            Key("net.{n}.rx.errs", wire.ULLONG, PROCESS, Moves(0, 0)),
            Key("net.{n}.rx.drop", wire.ULLONG, PROCESS, Moves(10, 1)),
            Key("net.{n}.tx.bytes", wire.ULLONG, PROCESS, Moves(3_000_000_000, 90_000)),
            Key("net.{n}.tx.pkts", wire.ULLONG, PROCESS, Moves(6_000_000, 130)),
            Key("net.{n}.tx.errs", wire.ULLONG, PROCESS, Moves(0, 0)),
            Key("net.{n}.tx.drop", wire.ULLONG, PROCESS, Moves(0, 0)),
        ),
    },
    BLOCK: {
        "": (Key("block.count", wire.UINT, NOTHING, "image_count"),),
        "disks": (
            Key("block.{n}.name", wire.STRING, NOTHING, "target"),
            Key("block.{n}.path", wire.STRING, NOTHING, "path"),
            Key("block.{n}.backingIndex", wire.UINT, PROCESS, "index"),
        ),
        "frontend": (
            Key("block.{n}.rd.reqs", wire.ULLONG, MONITOR, Moves(500_000, 25)),
            Key("block.{n}.rd.bytes", wire.ULLONG, MONITOR, Moves(9_000_000_000, 500_000)),
            Key("block.{n}.rd.times", wire.ULLONG, MONITOR, Moves(60 * _NS, 7_000_000)),
            Key("block.{n}.wr.reqs", wire.ULLONG, MONITOR, Moves(900_000, 60)),
            Key("block.{n}.wr.bytes", wire.ULLONG, MONITOR, Moves(20_000_000_000, 800_000)),
            Key("block.{n}.wr.times", wire.ULLONG, MONITOR, Moves(90 * _NS, 12_000_000)),
            Key("block.{n}.fl.reqs", wire.ULLONG, MONITOR, Moves(40_000, 4)),
            Key("block.{n}.fl.times", wire.ULLONG, MONITOR, Moves(9 * _NS, 900_000)),
        ),
        "image": (
            Key("block.{n}.allocation", wire.ULLONG, FILES, "allocation"),
            Key("block.{n}.capacity", wire.ULLONG, FILES, "capacity"),
            Key("block.{n}.physical", wire.ULLONG, FILES, "physical"),
        ),
    },
    PERF: {"perf_events": (Key("perf.{n}", wire.ULLONG, PROCESS, Moves(1_000_000, 2000)),)},
    IOTHREAD: {
        "iothread_count": (Key("iothread.count", wire.UINT, MONITOR, "iothread_count"),),
        "iothreads": (
            Key("iothread.{n}.poll-max-ns", wire.ULLONG, MONITOR, "poll_max_ns"),
            Key("iothread.{n}.poll-grow", wire.UINT, MONITOR, Moves(0, 0)),
            Key("iothread.{n}.poll-shrink", wire.UINT, MONITOR, Moves(0, 0)),
        ),
    },
    MEMORY: {},
    DIRTYRATE: {
        "": (
            Key("dirtyrate.calc_status", wire.INT, MONITOR, Moves(0, 0)),
            Key("dirtyrate.calc_start_time", wire.LLONG, MONITOR, Moves(0, 0)),
            Key("dirtyrate.calc_period", wire.INT, MONITOR, Moves(0, 0)),
            Key("dirtyrate.calc_mode", wire.STRING, MONITOR, "calc_mode"),
        )
    },
    VM: {
        "kvm": tuple(
            Key(f"vm.{name}", wire.ULLONG, MONITOR, Moves(50, 2 if name.endswith("sum") else 0))
            for name in _KVM_VM.split()
        )
    },
}


def fingerprint(seed: int, uuid: str) -> int:
    """What makes a domain's numbers its own."""
    return zlib.crc32(f"{seed}/{uuid}/".encode())


def curve(of: int, key: str, moves: Moves) -> Curve:
    """What a key of the domain with that fingerprint starts at and how fast it grows."""
    spread = zlib.crc32(key.encode("utf-8", "surrogateescape"), of)
    base = moves.start * (50 + spread % 100) // 100
    rate = moves.rate * (50 + (spread >> 8) % 100) // 100
    return Curve(base, max(rate, 1) if moves.rate else 0)


def tick(elapsed: float) -> int:
    """The step a moment lies in, from seconds since the server's epoch."""
    return int(elapsed * 10)


def _pattern(key: str) -> str:
    parts = key.split(".")
    if len(parts) > 2 and parts[1].isdigit():
        parts[1] = "{n}"
    elif parts[0] == "perf":
        return "perf.{n}"
    return ".".join(parts)


_MOVING = {
    key.pattern: key.source
    for parts in KEYS.values()
    for keys in parts.values()
    for key in keys
    if isinstance(key.source, Moves) and key.source.rate
}


def moves(key: str) -> bool:
    """Whether a key is a counter that `expected` knows."""
    return _pattern(key) in _MOVING


def expected(seed: int, uuid: str, key: str, elapsed: float) -> int:
    """The value of a moving key (`cpu.time`, `block.0.rd.bytes`) `elapsed` seconds after the
    server's epoch (SimHost.epoch, on time.monotonic()). A true sample lies between this at the
    moment before the call and this at the moment after. Raises KeyError for keys that rest."""
    return curve(fingerprint(seed, uuid), key, _MOVING[_pattern(key)]).at(tick(elapsed))
