"""Jobs of domains as they are sent: one table for line protocol, for collectd and for
docs/metrics.md, and which jobs of a domain are still to be sent.

What libvirt says of a job it says until the next one begins, so who has ended is known by its
figures: they are remembered, and sent once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ..model import COMPLETED_JOB, RUNNING_JOB, DomainSample, Sample, Stats, Value

JOB_MEASUREMENT = "domstats_job"
JOB_TAGS = ("operation", "status")

#: The names of virDomainJobOperation, by number.
OPERATIONS: tuple[str, ...] = (
    "unknown",
    "start",
    "save",
    "restore",
    "migration_in",
    "migration_out",
    "snapshot",
    "snapshot_revert",
    "dump",
    "backup",
    "snapshot_delete",
)
#: The status, by virDomainJobType: whether its end can be foreseen is of no use here.
STATUS: dict[int, str] = {
    1: "running",
    2: "running",
    3: "completed",
    4: "failed",
    5: "cancelled",
}


class JobField(msgspec.Struct, frozen=True):
    """A parameter of virDomainGetJobStats, under its own name.

    :param unit: ``ms`` becomes seconds in collectd.
    :param wire: the name of a ``schema.Wire``.
    """

    name: str
    unit: str
    description: str
    wire: str = "UNSIGNED"


def _part(what: str, text: str) -> Iterator[JobField]:
    yield JobField(f"{what}_total", "bytes", f"{text} to transfer, as far as it is known")
    yield JobField(f"{what}_processed", "bytes", f"{text} transferred so far")
    yield JobField(f"{what}_remaining", "bytes", f"{text} still to transfer")


JOB_FIELDS: tuple[JobField, ...] = (
    JobField("time_elapsed", "ms", "since the job began"),
    JobField("time_elapsed_net", "ms", "the same without the difference of the two hosts' clocks"),
    JobField("time_remaining", "ms", "what is left, where the hypervisor knows"),
    JobField("downtime", "ms", "of a migration: for how long the guest stands still at its end;"
             " while it runs, what is expected"),
    JobField("downtime_net", "ms", "the same without the difference of the two hosts' clocks"),
    JobField("setup_time", "ms", "what it took to set the migration up"),
    *_part("data", "memory and disks"),
    *_part("memory", "memory"),
    JobField("memory_constant", "pages", "that are of one byte's value and were sent as that"),
    JobField("memory_normal", "pages", "that were sent whole"),
    JobField("memory_normal_bytes", "bytes", "the same in bytes"),
    JobField("memory_bps", "bytes/s", "how fast memory is sent"),
    JobField("memory_dirty_rate", "pages/s", "how fast the guest writes to its memory"),
    JobField("memory_page_size", "bytes", "of a page"),
    JobField("memory_iteration", "1", "how often memory was gone through"),
    JobField("memory_postcopy_requests", "1", "pages that the destination asked for (post-copy)"),
    *_part("disk", "disks"),
    JobField("disk_bps", "bytes/s", "how fast disks are sent"),
    JobField("disk_temp_used", "bytes", "of a backup that is pulled: taken of its temporary space"),
    JobField("disk_temp_total", "bytes", "of a backup that is pulled: its temporary space"),
    JobField("compression_cache", "bytes", "XBZRLE: the cache"),
    JobField("compression_bytes", "bytes", "XBZRLE: sent compressed"),
    JobField("compression_pages", "pages", "XBZRLE: sent compressed"),
    JobField("compression_cache_misses", "1", "XBZRLE: pages that were not in the cache"),
    JobField("compression_overflow", "1", "XBZRLE: pages that were larger compressed"),
    JobField("auto_converge_throttle", "%", "by how much the guest's CPUs are slowed down"),
    JobField("vfio_data_transferred", "bytes", "state of devices that are passed through"),
    JobField("success", "1", "of a backup that has ended: 1 if it succeeded", "FLAG"),
    JobField("errmsg", "", "of a backup that has failed: why", "TEXT"),
)  # fmt: skip

KNOWN: dict[str, JobField] = {row.name: row for row in JOB_FIELDS}


class Job(NamedTuple):
    """A job of a domain.

    :param has_ended: it is told of once.
    :param is_old: it had ended before the first sample, who knows when.
    :param number: of its operation, a virDomainJobOperation.
    :param values: its other parameters, as libvirt has them.
    """

    has_ended: bool
    is_old: bool
    status: str
    number: int
    values: dict[str, Value]

    @property
    def operation(self) -> str:
        is_known = 0 <= self.number < len(OPERATIONS)
        return OPERATIONS[self.number] if is_known else f"operation_{self.number}"

    @property
    def tags(self) -> dict[str, str]:
        """In line protocol."""
        return dict(zip(JOB_TAGS, (self.operation, self.status)))


class Jobs:
    """What is to be sent of the jobs of one hypervisor's domains."""

    def __init__(self) -> None:
        self._is_first = True
        #: By uuid: the last completed job of which this sample, or one before, has told.
        self._ended: dict[str, dict[str, Value]] = {}

    def of(self, domain: DomainSample) -> Iterator[Job]:
        """The job that runs, or the one that has ended since the domain's last sample."""
        stats = domain.stats
        if f"{RUNNING_JOB}type" in stats:
            yield _job(_values(stats, RUNNING_JOB), has_ended=False, is_old=False)
        elif f"{COMPLETED_JOB}type" in stats:
            values = _values(stats, COMPLETED_JOB)
            if self._ended.get(domain.uuid) != values:
                self._ended[domain.uuid] = values
                yield _job(dict(values), has_ended=True, is_old=self._is_first)

    def end(self, sample: Sample) -> None:
        """A sample is over: forget the domains that there are no more."""
        if sample.round.connected:
            self._is_first = False
            if self._ended:
                uuids = {domain.uuid for domain in sample.domains}
                self._ended = {uuid: job for uuid, job in self._ended.items() if uuid in uuids}


def _job(values: dict[str, Value], *, has_ended: bool, is_old: bool) -> Job:
    kind, number = values.pop("type", 0), values.pop("operation", 0)
    status = STATUS.get(kind, "unknown") if isinstance(kind, int) else "unknown"
    return Job(has_ended, is_old, status, number if isinstance(number, int) else 0, values)


def _values(stats: Stats, prefix: str) -> dict[str, Value]:
    """Parameters by libvirt's names, which have no dot: so those of the job that runs are not
    those of the one that is completed."""
    begin = len(prefix)
    return {
        key[begin:]: value
        for key, value in stats.items()
        if key.startswith(prefix) and "." not in key[begin:]
    }
