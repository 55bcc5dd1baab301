"""The jobs of a domain (migration, backup, save, dump, snapshot), by virDomainGetJobStats.

Only ``classic`` uses it. libvirtError passes through, but for what only means that there is nothing
to be had this time.

What libvirt's QEMU driver does (9.0 and 11.3): of a *completed* job it gives what it has kept,
without the domain's job lock and without its monitor. For a *running* one it takes the job lock,
also where there is none, which waits for whoever holds it, 30 s at most; and where one runs, the
monitor is asked, for as long as that takes. virDomainGetControlInfo does not tell whether a job
runs: it says JOB only in the moment in which somebody also asks the monitor of such a domain.
"""

from __future__ import annotations

from typing import Any

from ..drivers import has_answered
from ..model import COMPLETED_JOB, RUNNING_JOB, Stats
from .binding import libvirt

#: virDomainGetJobStatsFlags: of the last completed job, and leave that to others. Without the
#: second, whoever asks first is the only one who gets them.
_COMPLETED, _KEEP_COMPLETED = 1, 2

#: virDomainJobType: there is none.
_NO_JOB = 0
#: What virDomainGetControlInfo says of a domain in whose monitor nobody is.
_FREE = 0

#: Errors that say that it cannot be told this time, besides those of a call that a driver lacks:
#: another client held the job lock, or too many wait for it; QEMU has ended a job just now.
_NOT_NOW: frozenset[int] = (
    frozenset()
    if libvirt is None
    else frozenset({libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_FAILED})
)


def add_jobs(domain: Any, stats: Stats, wanted: frozenset[str]) -> None:
    """Add the figures of the job that runs, else those of the last completed one, as wanted.

    ``job.type`` and ``job.<parameter>``, ``job.completed.type`` and ``job.completed.<parameter>``,
    with libvirt's names of parameters. Nothing of a domain that has none, or in whose monitor
    somebody else is.
    """
    if "running_job" in wanted and _may_be_asked(domain, stats):
        _add(domain, stats, 0, RUNNING_JOB)
    if "completed_job" in wanted and f"{RUNNING_JOB}type" not in stats:
        _add(domain, stats, _COMPLETED | _KEEP_COMPLETED, COMPLETED_JOB)


def _may_be_asked(domain: Any, stats: Stats) -> bool:
    """Whether nobody is in the domain's monitor: its answer shows that, or libvirt says so."""
    return has_answered(stats) or domain.controlInfo()[0] == _FREE


def _add(domain: Any, stats: Stats, flags: int, prefix: str) -> None:
    try:
        told = domain.jobStats(flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _NOT_NOW:
            raise
        return
    if told.get("type", _NO_JOB) != _NO_JOB:
        for name, value in told.items():
            stats[prefix + name] = value
