"""The procedure that tells of domains' jobs. While one runs, it asks the domain's monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import keys, wire, xdr
from .calls import Call, domain_of, running
from .jobs import Job
from .monitor import DomainVanished, ask_monitor, lock_timeout, take_job

if TYPE_CHECKING:
    from .server import Server

_COMPLETED, _KEEP_COMPLETED = 1, 2
_NONE = 0  # virDomainJobType
MIGRATION_IN = 4  # virDomainJobOperation
#: The parameters that libvirt has as int; all other numbers are unsigned long long.
_INTS = ("operation", "auto_converge_throttle")


def _answer(job: Job | None) -> bytes:
    if job is None:
        return xdr.int32(_NONE) + xdr.array([])
    return xdr.int32(job.type) + xdr.array(
        wire.parameter(name, _type(name, value), value) for name, value in job.figures.items()
    )


def _type(name: str, value: Any) -> int:
    if isinstance(value, bool):
        return wire.BOOLEAN
    if isinstance(value, str):
        return wire.STRING
    return wire.INT if name in _INTS else wire.ULLONG


async def job_stats(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    flags = call.arguments.uint()
    if flags & ~(_COMPLETED | _KEEP_COMPLETED):
        detail = f"unsupported flags (0x{flags:x}) in function qemuDomainGetJobStats"
        raise wire.Refusal(wire.INVALID_ARG, detail, wire.FROM_QEMU)
    jobs = domain.jobs
    if flags & _COMPLETED:
        ended = jobs.ended if jobs.current is None else None
        if ended is not None and not flags & _KEEP_COMPLETED:
            jobs.ended = None
        return _answer(ended)
    if jobs.current is not None and jobs.current.figures.get("operation") == MIGRATION_IN:
        detail = "migration statistics are available only on the source host"
        raise wire.Refusal(wire.OPERATION_UNSUPPORTED, detail, wire.FROM_QEMU)
    if not await take_job(domain, call.api, server.job_wait):
        raise lock_timeout(domain)
    try:
        running(domain)
        if jobs.current is not None:
            await ask_monitor(server.hypervisor, domain, keys.CLASSIC_COST, call.pace)
        return _answer(jobs.current)
    except DomainVanished:
        detail = "qemu unexpectedly closed the monitor"
        raise wire.Refusal(wire.INTERNAL_ERROR, detail) from None
    finally:
        domain.end_job()
