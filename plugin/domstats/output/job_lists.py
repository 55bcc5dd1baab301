"""Jobs of domains as collectd's value lists: those of virt's ExtraStats, and ours.

Like ``value_lists``, of which it is a part, it must not know collectd's Python module.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..model import STATE_RUNNING, DomainSample, Sample, Value
from . import virt_schema
from .identity import Identity, valid_part
from .job_tables import KNOWN, Job, JobField, Jobs
from .virt_plans import DERIVE_MAX, Head, Values

#: virt's type for them, and virt's plugin.
TYPE = "job_stats"
VIRT = "virt"
#: The type instance, for documents.
PARAMETER = "{parameter}"


class JobNotice(NamedTuple):
    """A text that a job has among its parameters: virt notifies of it.

    :param instance: the notification's type instance.
    """

    identity: Identity
    type: str
    instance: str
    text: str


class JobLists:
    """Of one hypervisor.

    :ivar notices: the texts of the jobs that the last sample told of.
    :param extra_stats: of ``virt_schema.JOB_STATS``, what is to be sent as virt sends it.
    :param sends_own: whether to send ours too, as plugin domstats.
    """

    def __init__(self, extra_stats: frozenset[str], sends_own: bool) -> None:
        self._extra_stats = extra_stats
        self._jobs = Jobs()
        self._sends_own = sends_own
        #: Of the sample that is being translated.
        self._notices: list[JobNotice] = []
        self.notices: list[JobNotice] = []

    def of(
        self, domain: DomainSample, identity: Identity
    ) -> Iterator[tuple[str, list[Head], list[Values]]]:
        """Plugin, names and values of the value lists of a domain."""
        for job in self._jobs.of(domain):
            selector = virt_schema.JOB_STATS[job.has_ended]
            runs = domain.active and domain.stats.get("state.state", STATE_RUNNING) == STATE_RUNNING
            if selector in self._extra_stats and runs:  # of an old one, too, when it starts
                yield self._as_virt(job, identity)
            if self._sends_own and not job.is_old:
                yield _as_ours(job)

    def end(self, sample: Sample) -> None:
        """A sample is over."""
        self._jobs.end(sample)
        self.notices, self._notices = self._notices, []

    def _as_virt(self, job: Job, identity: Identity) -> tuple[str, list[Head], list[Values]]:
        heads: list[Head] = []
        values: list[Values] = []
        for name, value in {"operation": job.number, **job.values}.items():
            if isinstance(value, str):
                self._notices.append(JobNotice(identity, TYPE, valid_part(name), value))
            elif -DERIVE_MAX <= value <= DERIVE_MAX:  # what is not a number is not
                heads.append((TYPE, valid_part(name), 0.0))
                values.append((int(value),))
        return VIRT, heads, values


def _as_ours(job: Job) -> tuple[str, list[Head], list[Values]]:
    heads: list[Head] = [("gauge", instance(job.has_ended, "operation"), 0.0)]
    values: list[Values] = [(float(job.number),)]
    for name, value in job.values.items():
        row = KNOWN.get(name)
        number = None if row is None else _number(row, value)
        if row is not None and number is not None:
            heads.append((type_of(row), instance(job.has_ended, name), 0.0))
            values.append((number,))
    return virt_schema.OWN_PLUGIN, heads, values


def type_of(row: JobField) -> str:
    """collectd's type for a parameter, of the stock types.db."""
    return {"bytes": "bytes", "ms": "duration"}.get(row.unit, "gauge")


def instance(has_ended: bool, name: str) -> str:
    """The type instance of our value list for a parameter."""
    return f"completed_job_{name}" if has_ended else f"job_{name}"


def _number(row: JobField, value: Value) -> Optional[float]:
    """A value as collectd takes it: what is below zero means that libvirt does not know."""
    if isinstance(value, str) or not value >= 0:
        return None
    return value / 1000 if row.unit == "ms" else float(value)
