"""What is sent of the host beside its guests: one table for line protocol, for collectd and for
docs/metrics.md.

Data. What each number is ``host_sample`` and ``host_totals`` say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import msgspec

from .schema import Kind, Wire

if TYPE_CHECKING:
    from ..host_totals import CpuShares, GuestTotals
    from ..model import Sample

_I, _D, _T = Wire.NATURAL, Wire.DOUBLE, Wire.TEXT
_COUNTER, _GAUGE, _TEXT = Kind.COUNTER, Kind.GAUGE, Kind.TEXT


class HostRow(msgspec.Struct, frozen=True):
    """A field, and the value list that is the same.

    :param source: the attribute of the table's struct.
    :param type: collectd's, of the stock types.db; empty for what collectd does not get.
    :param instance: the type instance; ``{name}`` is the pool's name or the mount point.
    :param divide: of what collectd gets, where its type has another unit.
    """

    source: str
    field: str
    wire: Wire
    kind: Kind
    unit: str
    description: str
    type: str = ""
    instance: str = ""
    divide: int = 1


class HostTable(msgspec.Struct, frozen=True):
    """A line of a measurement.

    :param what: what it is of, for the page.
    :param tags: by tag, beside ``hypervisor``: the attribute that is its value.
    :param source: what it comes from, for people.
    :param name: the attribute that type instances have as ``{name}``.
    """

    measurement: str
    what: str
    rows: tuple[HostRow, ...]
    source: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    name: str = ""


HOST, STORAGE = "domstats_host", "domstats_storage"


def _cpu_rows() -> Iterator[HostRow]:
    for word in ("user", "system", "idle", "iowait"):
        yield HostRow(f"{word}_ns", f"cpu_{word}_ns", _I, _COUNTER, "ns",
                      f"CPU time of all physical CPUs: {word}", "total_time_in_ms", f"cpu_{word}",
                      divide=1_000_000)  # fmt: skip


def _share_rows() -> Iterator[HostRow]:
    for word in ("user", "system", "idle", "iowait"):
        yield HostRow(word, f"cpu_{word}_percent", _D, _GAUGE, "%",
                      f"of all physical CPUs since the reading before: {word}", "percent",
                      f"cpu_{word}")  # fmt: skip


def _memory_rows() -> Iterator[HostRow]:
    for word, what in (
        ("total", "memory of the host"),
        ("free", "of it, free"),
        ("buffers", "of it, buffers"),
        ("cached", "of it, page cache"),
    ):
        yield HostRow(word, f"memory_{word}", _I, _GAUGE, "bytes", what, "memory", f"host_{word}")


def _state_rows() -> Iterator[HostRow]:
    for state in ("running", "paused", "shut_off", "crashed", "blocked", "shutting_down",
                  "pmsuspended", "no_state", "unknown"):  # fmt: skip
        what = "in a state that is not known yet" if state == "unknown" else state.replace("_", " ")
        yield HostRow(state, f"domains_{state}", _I, _GAUGE, "1", f"domains {what}",
                      "count", f"domains_{state}")  # fmt: skip


_GUEST_ROWS: tuple[HostRow, ...] = (
    *_state_rows(),
    HostRow("cpus", "cpus", _I, _GAUGE, "1", "physical CPUs that are online", "count", "cpus"),
    HostRow("vcpus", "vcpus", _I, _GAUGE, "1", "vCPUs of the domains that are active",
            "count", "vcpus"),
    HostRow("vcpu_overcommit", "vcpu_overcommit", _D, _GAUGE, "1",
            "vCPUs for each physical CPU", "gauge", "vcpu_overcommit"),
    HostRow("memory", "memory_allotted", _I, _GAUGE, "bytes",
            "memory that the active domains have now, by their balloons", "memory",
            "guests_allotted"),
    HostRow("memory_overcommit", "memory_overcommit", _D, _GAUGE, "1",
            "the same as a share of the host's memory: above 1 is more than there is", "gauge",
            "memory_overcommit"),
    HostRow("measured", "guests_measured", _I, _GAUGE, "1",
            "domains whose rates are in the sums that follow", "count", "guests_measured"),
    HostRow("cpu_percent", "guests_cpu_percent", _D, _GAUGE, "%",
            "CPU time of all domains, of one physical CPU", "gauge", "guests_cpu_percent"),
    HostRow("cpu_percent_of_host", "guests_cpu_percent_of_host", _D, _GAUGE, "%",
            "the same, of all physical CPUs", "percent", "guests_cpu_of_host"),
    HostRow("read_bytes", "guests_read_bytes_per_s", _D, _GAUGE, "bytes/s",
            "read by all domains", "gauge", "guests_read_bytes_per_s"),
    HostRow("written_bytes", "guests_written_bytes_per_s", _D, _GAUGE, "bytes/s",
            "written by all domains", "gauge", "guests_written_bytes_per_s"),
    HostRow("reads", "guests_reads_per_s", _D, _GAUGE, "1/s", "reads of all domains",
            "gauge", "guests_reads_per_s"),
    HostRow("writes", "guests_writes_per_s", _D, _GAUGE, "1/s", "writes of all domains",
            "gauge", "guests_writes_per_s"),
    HostRow("received_bytes", "guests_received_bytes_per_s", _D, _GAUGE, "bytes/s",
            "received by all domains", "gauge", "guests_received_bytes_per_s"),
    HostRow("sent_bytes", "guests_sent_bytes_per_s", _D, _GAUGE, "bytes/s",
            "sent by all domains", "gauge", "guests_sent_bytes_per_s"),
)  # fmt: skip

_DAEMON_ROWS: tuple[HostRow, ...] = (
    HostRow("busy", "daemon_workers_busy", _I, _GAUGE, "1",
            "workers of libvirt's daemon that have a call; those that are stuck stay among them",
            "count", "daemon_workers_busy"),
    HostRow("free", "daemon_workers_free", _I, _GAUGE, "1", "workers that wait for a call",
            "count", "daemon_workers_free"),
    HostRow("workers", "daemon_workers", _I, _GAUGE, "1",
            "workers that there are; more are made when they are needed", "count",
            "daemon_workers"),
    HostRow("least", "daemon_workers_min", _I, _GAUGE, "1", "workers that there are at least",
            "count", "daemon_workers_min"),
    HostRow("most", "daemon_workers_max", _I, _GAUGE, "1",
            "workers that there may be: when as many are stuck, nobody is answered", "count",
            "daemon_workers_max"),
    HostRow("priority", "daemon_workers_priority", _I, _GAUGE, "1",
            "workers beside them for calls that never wait for a guest", "count",
            "daemon_workers_priority"),
    HostRow("jobs", "daemon_jobs_waiting", _I, _GAUGE, "1", "calls that wait for a worker",
            "queue_length", "daemon_jobs"),
    HostRow("clients", "daemon_clients", _I, _GAUGE, "1", "clients that are connected", "count",
            "daemon_clients"),
    HostRow("clients_most", "daemon_clients_max", _I, _GAUGE, "1", "clients that there may be",
            "count", "daemon_clients_max"),
    HostRow("unauthenticated", "daemon_clients_unauthenticated", _I, _GAUGE, "1",
            "clients that have not said yet who they are", "count",
            "daemon_clients_unauthenticated"),
)  # fmt: skip

_POOL_ROWS: tuple[HostRow, ...] = (
    HostRow("state_name", "state", _T, _TEXT, "",
            "inactive, building, running, degraded or inaccessible"),
    HostRow("state", "state_number", _I, _GAUGE, "1", "virStoragePoolState: 2 is running",
            "gauge", "pool_state-{name}"),
    HostRow("capacity", "capacity", _I, _GAUGE, "bytes", "size of the pool, at its last refresh",
            "bytes", "pool_capacity-{name}"),
    HostRow("allocation", "allocation", _I, _GAUGE, "bytes", "of it, used", "bytes",
            "pool_allocation-{name}"),
    HostRow("available", "available", _I, _GAUGE, "bytes", "of it, free", "bytes",
            "pool_available-{name}"),
)  # fmt: skip

_MOUNT_ROWS: tuple[HostRow, ...] = (
    HostRow("state", "state", _T, _TEXT, "",
            "answers; silent; not_probed where this user may not probe it"),
    HostRow("answers", "answers", _I, _GAUGE, "1",
            "1 if it answers, 0 if not; left out where it may not be probed", "bool",
            "mount_answers-{name}"),
    HostRow("silent_s", "silent_s", _D, _GAUGE, "s", "for how long it has not answered",
            "duration", "mount_silent-{name}"),
    HostRow("probe_s", "probe_s", _D, _GAUGE, "s", "what its last complete probe took", "duration",
            "mount_probe-{name}"),
    HostRow("domains", "domains", _I, _GAUGE, "1", "domains with a disk on it", "count",
            "mount_domains-{name}"),
    HostRow("capacity", "capacity", _I, _GAUGE, "bytes", "size of the file system", "bytes",
            "mount_capacity-{name}"),
    HostRow("free", "free", _I, _GAUGE, "bytes", "of it, free", "bytes", "mount_free-{name}"),
    HostRow("available", "available", _I, _GAUGE, "bytes", "of it, free for ordinary users",
            "bytes", "mount_available-{name}"),
)  # fmt: skip

CPU = HostTable(HOST, "the host's CPU time", tuple(_cpu_rows()), "virNodeGetCPUStats")
SHARES = HostTable(HOST, "the same in percent", tuple(_share_rows()), "virNodeGetCPUStats")
MEMORY = HostTable(HOST, "the host's memory", tuple(_memory_rows()), "virNodeGetMemoryStats")
GUESTS = HostTable(HOST, "all sampled domains together", _GUEST_ROWS)
DAEMON = HostTable(
    HOST,
    "libvirt's daemon, with `admin_uri` (collectd: `AdminConnection`)",
    _DAEMON_ROWS,
    "its admin interface",
)
POOLS = HostTable(
    STORAGE,
    "each storage pool",
    _POOL_ROWS,
    "virStoragePoolGetInfo",
    tags=(("pool", "name"), ("pool_type", "type"), ("path", "path")),
    name="name",
)
MOUNTS = HostTable(
    STORAGE,
    "each network or FUSE mount with disks of domains on it",
    _MOUNT_ROWS,
    "the storage watch",
    tags=(("mount", "point"), ("fs_type", "kind")),
    name="point",
)
HOST_TABLES: tuple[HostTable, ...] = (CPU, SHARES, MEMORY, GUESTS, DAEMON, POOLS, MOUNTS)


class HostGroup(NamedTuple):
    """Values that belong together.

    :param time_ns: when they were found, nanoseconds since the epoch.
    :param tags: those of the table that are not empty; ``name`` is its own, for collectd.
    :param values: by row; those that are not known are left out.
    """

    table: HostTable
    time_ns: int
    tags: dict[str, str]
    name: str
    values: tuple[tuple[HostRow, Any], ...]


def groups_of(
    sample: Sample, totals: Optional[GuestTotals], shares: Optional[CpuShares]
) -> Iterator[HostGroup]:
    """What there is to send of a host."""
    host = sample.host
    if totals is not None:
        yield from _groups(GUESTS, sample.time_ns, totals)
    if host is not None:
        for table, found in ((CPU, host.cpu), (MEMORY, host.memory), (DAEMON, host.daemon)):
            if found is not None:
                yield from _groups(table, found.time_ns, found)
        if shares is not None:
            yield from _groups(SHARES, shares.time_ns, shares)
        for pool in host.pools:
            yield from _groups(POOLS, pool.time_ns, pool)
    for mount in sample.mounts:
        yield from _groups(MOUNTS, mount.time_ns, mount)


def _groups(table: HostTable, time_ns: int, found: Any) -> Iterator[HostGroup]:
    values = tuple(
        (row, value) for row in table.rows if (value := getattr(found, row.source)) is not None
    )
    tags = {tag: getattr(found, attribute) for tag, attribute in table.tags}
    name = getattr(found, table.name) if table.name else ""
    if values:
        yield HostGroup(table, time_ns, tags, name, values)
