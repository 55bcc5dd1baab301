"""The one table: what each of libvirt's keys is, and under which name each agent gets it.

``KEYS`` has a row for each key pattern, with Telegraf's measurement, tags and field;
``VALUE_LISTS`` has collectd's value lists and the keys that each is made of; ``ROUND_FIELDS``,
``DOMAIN_FIELDS`` and ``OWN_VALUE_LISTS`` are what we tell of our own work. docs/metrics.md is
generated from these tables and both writers go by them. A key that the table does not know is
placed by rule, so that a newer libvirt needs no release of ours.

This module must not know samples, agents' APIs or libvirt.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ..model import GROUP_OF_WORD
from .device_tables import DISK_TAGS, FIGURE_TABLES, INTERFACE_TAGS
from .job_tables import JOB_FIELDS, JOB_TAGS
from .rate_tables import RATE_TABLES

#: Where a key has an index. Indexes may have holes.
INDEX = "<n>"
#: Where a key has a name that the hypervisor chose (KVM statistics).
STATISTIC = "<statistic>"

#: Concrete keys whose place is remembered. A guest with 16 disks, 8 NICs and 64 vCPUs has 3,700
#: keys, and all domains share them; the bound is for a server that invents keys without end.
PLACES_REMEMBERED = 32768


class Kind(str, enum.Enum):
    """How a value moves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TEXT = "text"


class Wire(str, enum.Enum):
    """What libvirt sends on the wire, which is what decides a field's type for good.

    libvirt-python gives plain integers, so the table has to know.
    """

    #: uint and ullong: ``u`` fields. A negative value is left out.
    UNSIGNED = "unsigned"
    #: int and llong: ``i`` fields.
    SIGNED = "signed"
    #: int that means nothing when negative: ``i`` fields, a negative value is left out.
    NATURAL = "natural"
    #: boolean, or the text yes or no: ``i`` fields, 1 or 0, as inputs.libvirt makes of it.
    FLAG = "flag"
    #: double: float fields. Infinite values and NaN are left out.
    DOUBLE = "double"
    #: string.
    TEXT = "text"
    #: Not known beforehand: integers as UNSIGNED, and booleans, floats and texts as they are.
    ANY = "any"


class Key(msgspec.Struct, frozen=True):
    """One key pattern.

    :param pattern: libvirt's key, with ``<n>`` for each index.
    :param group: the stats group that it belongs to, of ``model.GROUPS``; empty for one of none.
    :param unit: the value's unit; ``1`` for a mere number, empty for text.
    :param measurement: Telegraf's measurement.
    :param tags: the tag that carries each index, in the key's order.
    :param field: Telegraf's field.
    :param telegraf: inputs.libvirt (1.39) sends it, too: it belongs to ``series = "telegraf"``.
    :param twins: more fields with the same value that inputs.libvirt sends.
    :param own_twins: more fields with the same value that only the full series has.
    :param kvm: one of the hypervisor's own statistics, which are sent on demand only.
    :param mapping: sent with ``additional_statistics = ["vcpu_mapping"]`` only.
    :param known: False for a key that was placed by rule.
    """

    pattern: str
    group: str
    unit: str
    kind: Kind
    wire: Wire
    measurement: str
    tags: tuple[str, ...]
    field: str
    description: str
    telegraf: bool = True
    twins: tuple[str, ...] = ()
    own_twins: tuple[str, ...] = ()
    kvm: bool = False
    mapping: bool = False
    known: bool = True


class Place(NamedTuple):
    """Where one concrete key belongs: its row, and the indexes in it as they were written."""

    row: Key
    indexes: tuple[str, ...]


_COUNTER, _GAUGE, _TEXT = Kind.COUNTER, Kind.GAUGE, Kind.TEXT
_U, _I, _D, _S = Wire.UNSIGNED, Wire.SIGNED, Wire.DOUBLE, Wire.TEXT

_Short = tuple[str, str, Wire, Kind, str, str]


def _section(
    group: str,
    measurement: str,
    tags: tuple[str, ...],
    *rows: _Short,
    telegraf: bool = True,
) -> tuple[Key, ...]:
    """Rows that share group, measurement and tags."""
    return tuple(
        Key(pattern, group, unit, kind, wire, measurement, tags, field, text, telegraf)
        for pattern, field, wire, kind, unit, text in rows
    )


def _operations(
    prefix: str, suffix: str, unit: str, text: str, *operations: tuple[str, str]
) -> tuple[_Short, ...]:
    """Gauges that exist once for each kind of disk operation."""
    return tuple(
        (f"{prefix}.{word}{suffix}", f"{word}{suffix}", _U, _GAUGE, unit, text.format(name))
        for word, name in operations
    )


_FOUR_OPERATIONS = (
    ("rd", "reads"),
    ("wr", "writes"),
    ("zone_append", "zone appends"),
    ("flush", "flushes"),
)
_TIMED = f"block.{INDEX}.timed_group.{INDEX}"


def _histogram(operation: str) -> tuple[Key, ...]:
    prefix = f"block.{INDEX}.latency_histogram.{operation}.bin"
    field = f"latency_histogram_{operation}_bin"
    return _section(
        "block",
        "libvirt_block",
        ("block_id",),
        (f"{prefix}.count", f"{field}_count", _U, _GAUGE, "1",
         f"bins in the latency histogram of {operation} operations"),
        telegraf=False,
    ) + _section(
        "block",
        f"libvirt_block_{field}",
        ("block_id", f"{field}_id"),
        (f"{prefix}.{INDEX}.start", "start", _U, _GAUGE, "ns", "lower bound of the bin"),
        (f"{prefix}.{INDEX}.value", "value", _U, _COUNTER, "1",
         f"{operation} operations that took as long as the bin says"),
        telegraf=False,
    )  # fmt: skip


#: Every key that virConnectGetAllDomainStats documents up to libvirt 12, and our own two.
KEYS: tuple[Key, ...] = (
    *_section(
        "state", "libvirt_state", (),
        ("state.state", "state", _I, _GAUGE, "1", "state, of virDomainState: 1 is running"),
        ("state.reason", "reason", _I, _GAUGE, "1", "why it is in that state"),
    ),
    Key("cpu.time", "cpu_total", "ns", _COUNTER, _U, "libvirt_cpu", (), "time",
        "CPU time used; InfluxDB drops a field of this name, time_ns is the same",
        own_twins=("time_ns",)),
    *_section(
        "cpu_total", "libvirt_cpu", (),
        ("cpu.user", "user", _U, _COUNTER, "ns", "CPU time used in user mode"),
        ("cpu.system", "system", _U, _COUNTER, "ns", "CPU time used in the kernel"),
        ("cpu.haltpoll.success.time", "haltpoll_success_time", _U, _COUNTER, "ns",
         "time of halt polling that was worth it"),
        ("cpu.haltpoll.fail.time", "haltpoll_fail_time", _U, _COUNTER, "ns",
         "time of halt polling in vain"),
    ),
    *_section(
        "cpu_total", "libvirt_cpu_cache_monitor_total", (),
        ("cpu.cache.monitor.count", "count", _U, _GAUGE, "1", "cache monitors"),
    ),
    *_section(
        "cpu_total", "libvirt_cpu_cache_monitor", ("cache_monitor_id",),
        (f"cpu.cache.monitor.{INDEX}.name", "name", _S, _TEXT, "", "the monitor's name"),
        (f"cpu.cache.monitor.{INDEX}.vcpus", "vcpus", _S, _TEXT, "", "vCPUs that it watches"),
        (f"cpu.cache.monitor.{INDEX}.bank.count", "bank_count", _U, _GAUGE, "1", "cache banks"),
    ),
    *_section(
        "cpu_total", "libvirt_cpu_cache_monitor_bank", ("cache_monitor_id", "bank_index"),
        (f"cpu.cache.monitor.{INDEX}.bank.{INDEX}.id", "id", _U, _GAUGE, "1",
         "the host's number of the cache"),
        (f"cpu.cache.monitor.{INDEX}.bank.{INDEX}.bytes", "bytes", _U, _GAUGE, "bytes",
         "last level cache that the vCPUs occupy"),
    ),
    *_section(
        "cpu_total", "libvirt_cpu_energy_monitor_total", (),
        ("cpu.energy.monitor.count", "count", _U, _GAUGE, "1", "energy monitors"),
        telegraf=False,
    ),
    *_section(
        "cpu_total", "libvirt_cpu_energy_monitor", ("energy_monitor_id",),
        (f"cpu.energy.monitor.{INDEX}.name", "name", _S, _TEXT, "", "the monitor's name"),
        (f"cpu.energy.monitor.{INDEX}.vcpus", "vcpus", _S, _TEXT, "", "vCPUs that it watches"),
        (f"cpu.energy.monitor.{INDEX}.pkg.count", "pkg_count", _U, _GAUGE, "1", "packages"),
        telegraf=False,
    ),
    *_section(
        "cpu_total", "libvirt_cpu_energy_monitor_pkg", ("energy_monitor_id", "pkg_id"),
        (f"cpu.energy.monitor.{INDEX}.pkg.{INDEX}.id", "id", _U, _GAUGE, "1",
         "the host's number of the package"),
        telegraf=False,
    ),
    *_section(
        "balloon", "libvirt_balloon", (),
        ("balloon.current", "current", _U, _GAUGE, "KiB", "memory that the guest has now"),
        ("balloon.maximum", "maximum", _U, _GAUGE, "KiB", "memory that it may have"),
        ("balloon.swap_in", "swap_in", _U, _COUNTER, "KiB", "read from the guest's swap"),
        ("balloon.swap_out", "swap_out", _U, _COUNTER, "KiB", "written to the guest's swap"),
        ("balloon.major_fault", "major_fault", _U, _COUNTER, "1", "page faults that needed a disk"),
        ("balloon.minor_fault", "minor_fault", _U, _COUNTER, "1", "other page faults"),
        ("balloon.unused", "unused", _U, _GAUGE, "KiB", "memory that the guest leaves unused"),
        ("balloon.available", "available", _U, _GAUGE, "KiB", "memory that the guest sees"),
        ("balloon.usable", "usable", _U, _GAUGE, "KiB",
         "memory that the balloon can take without making the guest swap"),
        ("balloon.last-update", "last_update", _U, _GAUGE, "s",
         "when the guest last told, seconds since the epoch"),
        ("balloon.disk_caches", "disk_caches", _U, _GAUGE, "KiB",
         "memory that the guest can free without writing, mostly disk cache"),
        ("balloon.hugetlb_pgalloc", "hugetlb_pgalloc", _U, _COUNTER, "1",
         "huge pages that the guest allocated"),
        ("balloon.hugetlb_pgfail", "hugetlb_pgfail", _U, _COUNTER, "1",
         "huge pages that the guest could not allocate"),
        ("balloon.rss", "rss", _U, _GAUGE, "KiB", "host memory of the domain's process"),
    ),
    *_section(
        "balloon", "libvirt_balloon", (),
        ("balloon.used", "used", _U, _GAUGE, "KiB",
         "by virDomainGetInfo, memory that a container uses (collectd alone)"),
        telegraf=False,
    ),
    *_section(
        "vcpu", "libvirt_vcpu_total", (),
        ("vcpu.current", "current", _U, _GAUGE, "1", "vCPUs online"),
        ("vcpu.maximum", "maximum", _U, _GAUGE, "1", "vCPUs that may be online"),
    ),
    Key(f"vcpu.{INDEX}.time", "vcpu", "ns", _COUNTER, _U, "libvirt_vcpu", ("vcpu_id",), "time",
        "CPU time used; InfluxDB drops a field of this name, time_ns is the same",
        own_twins=("time_ns",)),
    *_section(
        "vcpu", "libvirt_vcpu", ("vcpu_id",),
        (f"vcpu.{INDEX}.state", "state", _I, _GAUGE, "1",
         "state, of virVcpuState: 0 offline, 1 running, 2 blocked"),
        (f"vcpu.{INDEX}.wait", "wait", _U, _COUNTER, "ns", "time in the host's run queue"),
        (f"vcpu.{INDEX}.delay", "delay", _U, _COUNTER, "ns",
         "time it wanted to run and did not: what the guest sees as steal time"),
    ),
    Key(f"vcpu.{INDEX}.halted", "vcpu", "1", _GAUGE, Wire.FLAG, "libvirt_vcpu", ("vcpu_id",),
        "halted", "1 when the vCPU is halted (s390x)", twins=("halted_i",)),
    Key(f"vcpu.{INDEX}.cpu", "vcpu", "1", _GAUGE, Wire.NATURAL, "libvirt_vcpu", ("vcpu_id",),
        "cpu_id", "physical CPU that the vCPU is on (vcpu_mapping)", mapping=True),
    Key(f"vcpu.{INDEX}.affinity", "", "", _TEXT, _S, "libvirt_cpu_affinity", ("vcpu_id",),
        "cpu_id", "physical CPUs that the vCPU may run on, as 0,1,5 (vcpu_mapping)", mapping=True),
    Key(f"vcpu.{INDEX}.{STATISTIC}.{{cur,sum,max}}", "vcpu", "", _GAUGE, Wire.ANY, "libvirt_vcpu",
        ("vcpu_id",), f"{STATISTIC}_{{cur,sum,max}}",
        "the hypervisor's own statistics of the vCPU (kvm_statistics)", telegraf=False, kvm=True),
    *_section(
        "interface", "libvirt_net_total", (),
        ("net.count", "count", _U, _GAUGE, "1", "network interfaces"),
    ),
    *_section(
        "interface", "libvirt_net", ("interface_id",),
        (f"net.{INDEX}.name", "name", _S, _TEXT, "", "the NIC's name on the host"),
        (f"net.{INDEX}.rx.bytes", "rx_bytes", _U, _COUNTER, "bytes", "received"),
        (f"net.{INDEX}.rx.pkts", "rx_pkts", _U, _COUNTER, "1", "packets received"),
        (f"net.{INDEX}.rx.errs", "rx_errs", _U, _COUNTER, "1", "errors of receiving"),
        (f"net.{INDEX}.rx.drop", "rx_drop", _U, _COUNTER, "1", "received packets dropped"),
        (f"net.{INDEX}.tx.bytes", "tx_bytes", _U, _COUNTER, "bytes", "sent"),
        (f"net.{INDEX}.tx.pkts", "tx_pkts", _U, _COUNTER, "1", "packets sent"),
        (f"net.{INDEX}.tx.errs", "tx_errs", _U, _COUNTER, "1", "errors of sending"),
        (f"net.{INDEX}.tx.drop", "tx_drop", _U, _COUNTER, "1", "sent packets dropped"),
    ),
    *_section(
        "block", "libvirt_block_total", (),
        ("block.count", "count", _U, _GAUGE, "1", "disks"),
    ),
    *_section(
        "block", "libvirt_block", ("block_id",),
        (f"block.{INDEX}.name", "name", _S, _TEXT, "", "the disk's target"),
        (f"block.{INDEX}.path", "path", _S, _TEXT, "", "its file or device, where it has one"),
        (f"block.{INDEX}.backingIndex", "backingIndex", _U, _GAUGE, "1",
         "which image of the disk's chain, as in the domain's XML"),
        (f"block.{INDEX}.rd.reqs", "rd_reqs", _U, _COUNTER, "1", "reads"),
        (f"block.{INDEX}.rd.bytes", "rd_bytes", _U, _COUNTER, "bytes", "read"),
        (f"block.{INDEX}.rd.times", "rd_times", _U, _COUNTER, "ns", "time spent on reads"),
        (f"block.{INDEX}.wr.reqs", "wr_reqs", _U, _COUNTER, "1", "writes"),
        (f"block.{INDEX}.wr.bytes", "wr_bytes", _U, _COUNTER, "bytes", "written"),
        (f"block.{INDEX}.wr.times", "wr_times", _U, _COUNTER, "ns", "time spent on writes"),
        (f"block.{INDEX}.fl.reqs", "fl_reqs", _U, _COUNTER, "1", "flushes"),
        (f"block.{INDEX}.fl.times", "fl_times", _U, _COUNTER, "ns", "time spent on flushes"),
        (f"block.{INDEX}.errors", "errors", _U, _COUNTER, "1", "requests out of order (Xen)"),
        (f"block.{INDEX}.allocation", "allocation", _U, _GAUGE, "bytes",
         "end of the highest sector written"),
        (f"block.{INDEX}.capacity", "capacity", _U, _GAUGE, "bytes", "size that the guest sees"),
        (f"block.{INDEX}.physical", "physical", _U, _GAUGE, "bytes", "size on the host"),
        (f"block.{INDEX}.threshold", "threshold", _U, _GAUGE, "bytes",
         "libvirt tells when a write goes beyond it"),
    ),
    Key(f"block.{INDEX}.error", "block", "1", _GAUGE, _U, "libvirt_block", ("block_id",), "error",
        "1 for an error, 2 for no space left (collectd's disk_err alone)", telegraf=False),
    *_section(
        "block", "libvirt_block", ("block_id",),
        (f"block.{INDEX}.info.allocation", "info_allocation", _U, _GAUGE, "bytes",
         "by virDomainGetBlockInfo, where allocation does not tell it (collectd alone)"),
        (f"block.{INDEX}.info.physical", "info_physical", _U, _GAUGE, "bytes",
         "by virDomainGetBlockInfo, where physical does not tell it (collectd alone)"),
        telegraf=False,
    ),
    *_section(
        "block", "libvirt_block", ("block_id",),
        *((f"block.{INDEX}.limits.{word}", f"limits_{word}", _U, _GAUGE, unit, text)
          for word, unit, text in (
              ("request_alignment", "bytes", "requests must be multiples of it"),
              ("discard_max", "bytes", "most that can be discarded at once"),
              ("discard_alignment", "bytes", "discards are best multiples of it"),
              ("write_zeroes_max", "bytes", "most that can be zeroed at once"),
              ("write_zeroes_alignment", "bytes", "zeroings are best multiples of it"),
              ("transfer_optimal", "bytes", "best length of a transfer"),
              ("transfer_max", "bytes", "longest transfer"),
              ("transfer_hw_max", "bytes", "longest transfer past the host's I/O scheduler"),
              ("iov_max", "1", "most pieces of a transfer"),
              ("iov_hw_max", "1", "most pieces of a transfer past the host's I/O scheduler"),
              ("memory_alignment_minimal", "bytes", "buffers so aligned need no copy"),
              ("memory_alignment_optimal", "bytes", "alignment of the copies that QEMU makes"),
          )),
        (f"block.{INDEX}.timed_group.count", "timed_group_count", _U, _GAUGE, "1",
         "intervals for which the disk's latency is known"),
        telegraf=False,
    ),
    *_section(
        "block", "libvirt_block_timed_group", ("block_id", "timed_group_id"),
        (f"{_TIMED}.interval", "interval", _U, _GAUGE, "s", "the interval's length"),
        *_operations(_TIMED, "_latency_min", "ns", "shortest of the {}", *_FOUR_OPERATIONS),
        *_operations(_TIMED, "_latency_max", "ns", "longest of the {}", *_FOUR_OPERATIONS),
        *_operations(_TIMED, "_latency_avg", "ns", "mean time of the {}", *_FOUR_OPERATIONS),
        *((f"{_TIMED}.{word}_queue_depth_avg", f"{word}_queue_depth_avg", _D, _GAUGE, "1",
           f"mean number of {name} under way") for word, name in _FOUR_OPERATIONS[:3]),
        telegraf=False,
    ),
    *_histogram("read"),
    *_histogram("write"),
    *_histogram("zone_append"),
    *_histogram("flush"),
    *_section(
        "perf", "libvirt_perf", (),
        ("perf.cmt", "cmt", _U, _GAUGE, "bytes", "cache that the domain occupies"),
        ("perf.mbmt", "mbmt", _U, _COUNTER, "bytes", "memory traffic of one cache level"),
        ("perf.mbml", "mbml", _U, _COUNTER, "bytes", "memory traffic of the own controller"),
        *((f"perf.{word}", word, _U, _COUNTER, unit, text) for word, unit, text in (
            ("cpu_cycles", "1", "CPU cycles"),
            ("instructions", "1", "instructions"),
            ("cache_references", "1", "cache hits"),
            ("cache_misses", "1", "cache misses"),
            ("branch_instructions", "1", "branches"),
            ("branch_misses", "1", "branches mispredicted"),
            ("bus_cycles", "1", "bus cycles"),
            ("stalled_cycles_frontend", "1", "cycles in which nothing could be fetched"),
            ("stalled_cycles_backend", "1", "cycles in which nothing could be retired"),
            ("ref_cpu_cycles", "1", "CPU cycles at the reference frequency"),
            ("cpu_clock", "ns", "time by the CPU's clock"),
            ("task_clock", "ns", "time by the task's clock"),
            ("page_faults", "1", "page faults of the process"),
            ("context_switches", "1", "context switches of the process"),
            ("cpu_migrations", "1", "moves to another CPU"),
            ("page_faults_min", "1", "page faults that needed no disk"),
            ("page_faults_maj", "1", "page faults that needed a disk"),
            ("alignment_faults", "1", "alignment faults"),
            ("emulation_faults", "1", "instructions emulated"),
        )),
    ),
    *_section(
        "iothread", "libvirt_iothread_total", (),
        ("iothread.count", "count", _U, _GAUGE, "1", "I/O threads"),
    ),
    *_section(
        "iothread", "libvirt_iothread", ("iothread_id",),
        (f"iothread.{INDEX}.poll-max-ns", "poll_max_ns", _U, _GAUGE, "ns",
         "longest polling; 0 is none"),
        (f"iothread.{INDEX}.poll-grow", "poll_grow", _U, _GAUGE, "1",
         "factor by which polling grows; 0 is the hypervisor's"),
        (f"iothread.{INDEX}.poll-shrink", "poll_shrink", _U, _GAUGE, "1",
         "divisor by which polling shrinks; 0 is the hypervisor's"),
    ),
    *_section(
        "iothread", "libvirt_iothread", ("iothread_id",),
        (f"iothread.{INDEX}.poll-weight", "poll_weight", _U, _GAUGE, "1",
         "weight of the newest interval in the polling time"),
        telegraf=False,
    ),
    *_section(
        "memory", "libvirt_memory_bandwidth_monitor_total", (),
        ("memory.bandwidth.monitor.count", "count", _U, _GAUGE, "1", "memory bandwidth monitors"),
    ),
    *_section(
        "memory", "libvirt_memory_bandwidth_monitor", ("memory_bandwidth_monitor_id",),
        (f"memory.bandwidth.monitor.{INDEX}.name", "name", _S, _TEXT, "", "the monitor's name"),
        (f"memory.bandwidth.monitor.{INDEX}.vcpus", "vcpus", _S, _TEXT, "",
         "vCPUs that it watches"),
        (f"memory.bandwidth.monitor.{INDEX}.node.count", "node_count", _U, _GAUGE, "1",
         "memory controllers"),
    ),
    *_section(
        "memory", "libvirt_memory_bandwidth_monitor_node",
        ("memory_bandwidth_monitor_id", "controller_index"),
        (f"memory.bandwidth.monitor.{INDEX}.node.{INDEX}.id", "id", _U, _GAUGE, "1",
         "the host's number of the controller"),
        (f"memory.bandwidth.monitor.{INDEX}.node.{INDEX}.bytes.local", "bytes_local", _U,
         _COUNTER, "bytes", "traffic through the controller of the CPU's own node"),
        (f"memory.bandwidth.monitor.{INDEX}.node.{INDEX}.bytes.total", "bytes_total", _U,
         _COUNTER, "bytes", "traffic through all controllers"),
    ),
    *_section(
        "dirtyrate", "libvirt_dirtyrate", (),
        ("dirtyrate.calc_status", "calc_status", _I, _GAUGE, "1",
         "state of the last measurement, of virDomainDirtyRateStatus"),
        ("dirtyrate.calc_start_time", "calc_start_time", _I, _GAUGE, "s",
         "when it began, by the host's uptime"),
        ("dirtyrate.calc_period", "calc_period", _I, _GAUGE, "s", "how long it lasted"),
        ("dirtyrate.calc_mode", "calc_mode", _S, _TEXT, "", "how it was measured"),
        ("dirtyrate.megabytes_per_second", "megabytes_per_second", _I, _GAUGE, "MiB/s",
         "memory that the guest dirties"),
    ),
    *_section(
        "dirtyrate", "libvirt_dirtyrate_vcpu", ("vcpu_id",),
        (f"dirtyrate.vcpu.{INDEX}.megabytes_per_second", "megabytes_per_second", _U, _GAUGE,
         "MiB/s", "memory that the vCPU dirties"),
    ),
    Key(f"vm.{STATISTIC}.{{cur,sum,max}}", "vm", "", _GAUGE, Wire.ANY, "libvirt_vm", (),
        f"{STATISTIC}_{{cur,sum,max}}", "the hypervisor's own statistics (kvm_statistics)",
        telegraf=False, kvm=True),
)  # fmt: skip

#: Of each group with devices: their index tag, and the key with the device's own name, which
#: survives unplugging of the devices before it: the tag ``device`` of the full series.
DEVICE_NAMES: dict[str, tuple[str, str]] = {
    "interface": ("interface_id", "net.{}.name"),
    "block": ("block_id", "block.{}.name"),
}
DEVICE_TAG = "device"


def _index_tags() -> dict[str, str]:
    """The tag of the index after each prefix that the table knows: ``net`` has interface_id."""
    tags: dict[str, str] = {}
    for row in KEYS:
        words = row.pattern.split(".")
        places = [at for at, word in enumerate(words) if word == INDEX]
        for at, tag in zip(places, row.tags):
            tags[".".join(words[:at])] = tag
    return tags


_KNOWN: dict[str, Key] = {row.pattern: row for row in KEYS if not row.kvm}
_KVM: dict[str, Key] = {row.group: row for row in KEYS if row.kvm}
_KVM_SHAPES = {("vcpu", 4): "vcpu", ("vm", 3): "vm"}
_KVM_KINDS = {"sum": Kind.COUNTER, "cur": Kind.GAUGE, "max": Kind.GAUGE}
_INDEX_TAGS = _index_tags()
_INDEXED_WORDS: frozenset[str] = frozenset(p for p in _INDEX_TAGS if "." not in p)

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]")


def valid_name(text: str) -> str:
    """A text as part of a measurement, tag or field."""
    return _NOT_A_NAME.sub("_", text)


def _name(words: list[str]) -> str:
    """Words of a key as part of a measurement, tag or field."""
    return valid_name("_".join(words))


@lru_cache(maxsize=PLACES_REMEMBERED)
def place(key: str) -> Place:
    """The row of a concrete key and its indexes: ``block.3.rd.bytes`` has ``("3",)``.

    Never fails: a key that the table does not know gets a row by :func:`row_by_rule`.
    """
    words = key.split(".")
    indexes = tuple(word for word in words if word.isdecimal() and word.isascii())
    group = _KVM_SHAPES.get((words[0], len(words)))
    if group is not None and words[-1] in _KVM_KINDS and not words[-2].isdecimal():
        row = msgspec.structs.replace(
            _KVM[group], field=_name(words[-2:]), kind=_KVM_KINDS[words[-1]]
        )
        return Place(row, indexes)
    pattern = ".".join(INDEX if word.isdecimal() and word.isascii() else word for word in words)
    return Place(_KNOWN.get(pattern) or row_by_rule(pattern), indexes)


def row_by_rule(pattern: str) -> Key:
    """The row of a pattern that the table does not have, made as the table's own rows are.

    The words before the last index name the measurement and those after it the field; each
    index becomes a tag, which the table names (``net.<n>`` is interface_id) or the words before
    it do (``block.<n>.job.<n>.speed`` is measurement libvirt_block_job, tags block_id and job_id,
    field speed). Without an index, the first word is the measurement, with ``_total`` where it
    otherwise has indexes; ``….count`` counts what the words before it say. Integers become
    unsigned fields, since that is what libvirt sends with few exceptions, and a negative one is
    left out: so the field's type never changes.
    """
    words = pattern.split(".")
    places = [at for at, word in enumerate(words) if word == INDEX]
    tags: list[str] = []
    begin = 1
    for at in places:
        between = words[begin:at] or (words[:1] if at == 1 else [])
        named = _name(between) + "_id" if between else f"index_{len(tags) + 1}"
        tag = _INDEX_TAGS.get(".".join(words[:at]), named)
        tags.append(tag if tag not in tags else f"index_{len(tags) + 1}")
        begin = at + 1
    if places:
        measured = [word for word in words[: places[-1]] if word != INDEX]
        measurement, field = _name(measured), _name(words[places[-1] + 1 :])
    elif words[-1] == "count" and len(words) > 1:
        measurement, field = _name(words[:-1]) + "_total", "count"
    else:
        measurement, field = _name(words[:1]), _name(words[1:])
        if words[0] in _INDEXED_WORDS:
            measurement += "_total"
    return Key(
        pattern=pattern,
        group=GROUP_OF_WORD.get(words[0], ""),
        unit="",
        kind=Kind.GAUGE,
        wire=Wire.ANY,
        measurement="libvirt_" + measurement,
        tags=tuple(tags),
        field=field or "value",
        description="not in the table",
        telegraf=False,
        known=False,
    )


class OwnField(msgspec.Struct, frozen=True):
    """A field of a measurement of our own.

    :param field: its name; in ``domstats_round`` also the attribute of ``model.Round``.
    """

    field: str
    wire: Wire
    kind: Kind
    unit: str
    description: str


ROUND_MEASUREMENT = "domstats_round"
#: The tags of ``domstats_round``: the connection URI, and the version of this package. It is a tag
#: as of Telegraf's own ``internal_…``: outputs of numbers alone, as Prometheus, have it then too.
ROUND_TAG = "hypervisor"
VERSION_TAG = "version"
#: One line for each round, however it went.
ROUND_FIELDS: tuple[OwnField, ...] = (
    OwnField("duration_s", _D, _GAUGE, "s", "from the beginning of the round to its end"),
    OwnField("lanes", _I, _GAUGE, "1", "calls that may be under way at once"),
    OwnField("calls", _I, _GAUGE, "1", "bulk calls made"),
    OwnField("domains", _I, _GAUGE, "1", "domains asked for"),
    OwnField("fresh", _I, _GAUGE, "1", "domains that answered everything"),
    OwnField("partial", _I, _GAUGE, "1", "domains that lack some groups this time"),
    OwnField("unresponsive", _I, _GAUGE, "1", "domains whose monitor does not answer"),
    OwnField("gone", _I, _GAUGE, "1", "domains that ended before they were asked"),
    OwnField("stuck_calls", _I, _GAUGE, "1", "calls that have not come back at the end"),
    OwnField("silent_storage", _I, _GAUGE, "1",
             "storages that did not answer: disks on them have no sizes in this round"),
    OwnField("unwatched_storage", _I, _GAUGE, "1",
             "mounts with disks on them that this user may not probe: see the log"),
    OwnField("late_results", _I, _COUNTER, "1", "answers that came too late and were dropped"),
    OwnField("errors", _I, _COUNTER, "1", "failed calls and failed attempts to connect"),
    OwnField("reconnects", _I, _COUNTER, "1", "connections opened anew after a loss"),
    OwnField("connected", Wire.FLAG, _GAUGE, "1", "0 when the hypervisor cannot be asked at all"),
    OwnField("error", _S, _TEXT, "", "what is wrong with the hypervisor; empty if nothing"),
)  # fmt: skip

DOMAIN_MEASUREMENT = "domstats_domain"
#: A line for each domain that is not fresh, and for one that has just come back.
DOMAIN_FIELDS: tuple[OwnField, ...] = (
    OwnField("status", _S, _TEXT, "", "fresh (it has just come back), partial, unresponsive, gone"),
    OwnField("responsive", Wire.FLAG, _GAUGE, "1", "0 while its monitor does not answer"),
    OwnField("unresponsive_s", _D, _GAUGE, "s", "for how long it has not answered; 0 if it does"),
    OwnField("missing", _S, _TEXT, "", "groups that it lacks, with commas"),
    OwnField("reason", _S, _TEXT, "", "why, for people"),
)

EVENT_MEASUREMENT = "domstats_event"
#: Tags of ``domstats_event``, beside the domain's own.
EVENT_TAGS: tuple[str, ...] = ("kind", "event")
#: A line for each event that the setting ``events`` asks for; fields that say nothing are left
#: out, but for ``severity``, ``detail`` and ``inferred``.
EVENT_FIELDS: tuple[OwnField, ...] = (
    OwnField("severity", _S, _TEXT, "", "okay, warning or failure"),
    OwnField("detail", _S, _TEXT, "", "why or how, in a word; empty if there is nothing to say"),
    OwnField("inferred", Wire.FLAG, _GAUGE, "1",
             "1 when libvirt did not tell: what was listed before and after a gap says so"),
    OwnField("device", _S, _TEXT, "", "the device that it is about, by its alias or target"),
    OwnField("path", _S, _TEXT, "", "the file or device behind that disk"),
    OwnField("actual", _U, _GAUGE, "KiB", "balloon: memory that the guest has now"),
    OwnField("threshold", _U, _GAUGE, "bytes", "block_threshold: what was exceeded"),
    OwnField("excess", _U, _GAUGE, "bytes", "block_threshold: by how much"),
    OwnField("dropped", _U, _GAUGE, "1", "dropped: events that were not told, beyond the limit"),
    OwnField("gap_ms", _U, _GAUGE, "ms", "gap: for how long events may have been missed"),
)  # fmt: skip

AGENT_MEASUREMENT = "domstats_agent"
#: What the guest agent of a domain says of the guest; what it does not say is left out.
AGENT_FIELDS: tuple[OwnField, ...] = (
    OwnField("responsive", Wire.FLAG, _GAUGE, "1",
             "0 while its agent does not answer, and then alone"),
    OwnField("guest_os", _S, _TEXT, "", "the guest's operating system, as debian"),
    OwnField("guest_os_version", _S, _TEXT, "", "its version, as 12"),
    OwnField("guest_hostname", _S, _TEXT, "", "what the guest calls itself"),
    OwnField("users", _I, _GAUGE, "1", "users who are logged in"),
    OwnField("filesystems", _I, _GAUGE, "1",
             "file systems of which there are lines, and those beyond the limit of 256"),
)  # fmt: skip

FILE_SYSTEM_MEASUREMENT = "domstats_filesystem"
#: Tags beside the domain's own; one without a value is left out.
FILE_SYSTEM_TAGS: tuple[str, ...] = ("mountpoint", "fstype", "device", "guest_device")
FILE_SYSTEM_FIELDS: tuple[OwnField, ...] = (
    OwnField("mounted", Wire.FLAG, _GAUGE, "1", "1: it is mounted, also where no size is known"),
    OwnField("total_bytes", _U, _GAUGE, "bytes", "its size"),
    OwnField("used_bytes", _U, _GAUGE, "bytes", "how much of that is used"),
    OwnField("used_percent", _D, _GAUGE, "%", "the same as a share of the size"),
)

#: Tags that the full series sets itself, or fields beside which a tag of the same name would be
#: ambiguous in InfluxDB: a metadata label must have another name.
RESERVED_TAGS: frozenset[str] = frozenset(
    {"domain_name", "uuid", DEVICE_TAG, ROUND_TAG, "time"}
    | {tag for row in KEYS for tag in row.tags}
    | {field for row in KEYS if not row.kvm for field in (row.field, *row.twins, *row.own_twins)}
    | {row.field for row in (*DOMAIN_FIELDS, *EVENT_FIELDS)}
    | {row.field for row in (*AGENT_FIELDS, *FILE_SYSTEM_FIELDS)}
    | {row.field for table in RATE_TABLES for row in table.rows}
    | {row.field for figures in FIGURE_TABLES for row in figures.rows}
    | {figures.tag for figures in FIGURE_TABLES}
    | {*DISK_TAGS, *INTERFACE_TAGS}
    | {row.name for row in JOB_FIELDS}
    | {*EVENT_TAGS, *JOB_TAGS, *FILE_SYSTEM_TAGS}
)
