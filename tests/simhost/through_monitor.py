"""Procedures about one domain that ask its monitor: they wait for its job and for its answer, and
those that look at the disks' files freeze a guest whose storage hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import keys, wire, xdr
from .calls import Call, cpu_map, domain_of, running_domain_of, values_of
from .model import Domain
from .monitor import DomainVanished, ask_monitor, lock_timeout, take_job

if TYPE_CHECKING:
    from .server import Server

_PARAMETERS_MAX = 16  # of the calls with typed parameters


async def _asked(server: Server, call: Call, domain: Domain, disks: bool = False) -> None:
    """Go through the domain's monitor once, with its job. Raises Refusal when the job is not to
    be had or the domain ends meanwhile."""
    if not await take_job(domain, call.api, server.job_wait):
        raise lock_timeout(domain)
    try:
        if disks:
            domain.asked[keys.BLOCK] += 1
        await ask_monitor(server.hypervisor, domain, keys.CLASSIC_COST, call.pace, disks)
    except DomainVanished:
        detail = "qemu unexpectedly closed the monitor"
        raise wire.Refusal(wire.INTERNAL_ERROR, detail) from None
    finally:
        domain.end_job()


# Tags of virDomainMemoryStats, in QEMU's order.
_ACTUAL_BALLOON = 6
_MEMORY_TAGS = {
    "balloon.swap_in": 0,
    "balloon.swap_out": 1,
    "balloon.major_fault": 2,
    "balloon.minor_fault": 3,
    "balloon.unused": 4,
    "balloon.available": 5,
    "balloon.usable": 8,
    "balloon.last-update": 9,
    "balloon.disk_caches": 10,
    "balloon.hugetlb_pgalloc": 11,
    "balloon.hugetlb_pgfail": 12,
    "balloon.rss": 7,
}


async def memory_stats(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    most = call.arguments.uint()
    await _asked(server, call, domain)
    values = values_of(server, domain, keys.BALLOON)
    stats = [(_ACTUAL_BALLOON, domain.balloon)]
    stats += [(tag, values[key]) for key, tag in _MEMORY_TAGS.items() if key in values]
    return xdr.array(xdr.int32(tag) + xdr.uhyper(value) for tag, value in stats[:most])


#: The libvirt from which on the counters of a disk are asked for along with its sizes.
_SIZES_WITH_COUNTERS = 11_010_000

_BLOCK_PARAMETERS = {
    "wr_bytes": "wr.bytes",
    "wr_operations": "wr.reqs",
    "rd_bytes": "rd.bytes",
    "rd_operations": "rd.reqs",
    "flush_operations": "fl.reqs",
    "wr_total_times": "wr.times",
    "rd_total_times": "rd.times",
    "flush_total_times": "fl.times",
}


async def _disk_values(server: Server, call: Call, domain: Domain, path: str) -> dict[str, int]:
    """The numbers of one disk, or of all together for an empty path."""
    chosen = [domain.disk(path)] if path else domain.disks
    looks_at_files = server.hypervisor.lib_version >= _SIZES_WITH_COUNTERS
    await _asked(server, call, domain, disks=looks_at_files)
    values = values_of(server, domain, keys.BLOCK)
    numbers = [n for n, disk in enumerate(domain.disks) if disk in chosen]
    return {
        stat: sum(values[f"block.{n}.{stat}"] for n in numbers)
        for stat in _BLOCK_PARAMETERS.values()
    }


async def block_stats(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    of = await _disk_values(server, call, domain, call.arguments.string())
    numbers = (of["rd.reqs"], of["rd.bytes"], of["wr.reqs"], of["wr.bytes"], -1)
    return b"".join(map(xdr.hyper, numbers))


async def block_stats_flags(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    path, count = call.arguments.string(), call.arguments.int32()
    if count > _PARAMETERS_MAX:
        raise wire.Refusal(wire.INTERNAL_ERROR, "nparams too large", wire.FROM_RPC)
    of = await _disk_values(server, call, domain, path)
    if count == 0:
        return xdr.array([]) + xdr.int32(len(_BLOCK_PARAMETERS))
    return xdr.array(
        wire.parameter(name, wire.LLONG, of[stat])
        for name, stat in list(_BLOCK_PARAMETERS.items())[:count]
    ) + xdr.int32(0)


async def block_info(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    path = call.arguments.string()
    disk = domain.disk(path)
    if not disk.chain:
        detail = f"disk '{path}' does not currently have a source assigned"
        raise wire.Refusal(wire.INVALID_ARG, detail)
    if domain.running:
        await _asked(server, call, domain, disks=True)
    image = disk.chain[0]
    # of a qcow2 file, allocation is what it takes on the storage, and its length the physical size
    return xdr.uhyper(image.physical) + xdr.uhyper(image.capacity) + xdr.uhyper(image.length)


async def disk_errors(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    most = call.arguments.uint()
    if most == 0:
        if not await take_job(domain, call.api, server.job_wait):
            raise lock_timeout(domain)
        domain.end_job()
        return xdr.array([]) + xdr.int32(len(domain.disks))
    await _asked(server, call, domain, disks=True)
    errors = [xdr.string(target) + xdr.int32(why) for target, why in domain.errors.items()]
    return xdr.array(errors[:most]) + xdr.int32(len(errors[:most]))


async def iothreads(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    if domain.running:  # else the definition tells
        await _asked(server, call, domain)
    cpus = server.hypervisor.cpus
    threads = [
        xdr.uint(n) + xdr.opaque(cpu_map(cpus, (cpus + 7) // 8))
        for n in range(1, domain.iothread_count + 1)
    ]
    return xdr.array(threads) + xdr.uint(len(threads))
