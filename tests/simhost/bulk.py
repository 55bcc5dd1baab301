"""The bulk procedure: statistics of many domains in one answer, made one domain after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import faults, keys, wire, xdr
from .calls import Call
from .model import Domain
from .monitor import DomainVanished, ask_monitor, take_job

if TYPE_CHECKING:
    from .server import Server

_NOWAIT, _BACKING, _ENFORCE = 1 << 29, 1 << 30, 1 << 31
_STATS_FLAGS = _NOWAIT | _BACKING | _ENFORCE | 0xFF  # the last: filters as of listing
_AT_ONCE = 100  # domains after which others get a turn


async def all_domain_stats(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    asked = arguments.array(lambda: wire.read_identity(arguments), wire.DOMAIN_LIST_MAX)
    groups, flags = arguments.uint(), arguments.uint()
    if server.faults.bulk_refused:
        api = "virDomainListGetStats" if asked else "virConnectGetAllDomainStats"
        raise wire.Refusal(wire.NO_SUPPORT, api, wire.FROM_DOMAIN)
    if flags & ~_STATS_FLAGS:
        raise wire.UnknownFlags(flags & ~_STATS_FLAGS, "qemuConnectGetAllDomainStats")
    groups = _supported(server, groups, flags)
    uuids = [identity.uuid for identity in asked] if asked else None
    chosen = server.hypervisor.select(flags & 0xFF, uuids)
    if call.distort_records:
        return await _distorted(server, call, chosen, groups, flags)
    return xdr.array(await _records(server, call, chosen, groups, flags))


def _supported(server: Server, groups: int, flags: int) -> int:
    supported = server.hypervisor.supported_groups
    if groups == 0:
        return supported
    if flags & _ENFORCE and groups & ~supported:
        detail = f"Stats types bits 0x{groups & ~supported:x} are not supported by this daemon"
        raise wire.Refusal(wire.ARGUMENT_UNSUPPORTED, detail + " or QEMU")
    return groups & supported


async def _records(
    server: Server, call: Call, domains: list[Domain], groups: int, flags: int
) -> list[bytes]:
    """The records, one domain after the other: one that hangs keeps all behind it waiting."""
    records, backing = [], bool(flags & _BACKING)
    for n, domain in enumerate(domains):
        if n % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        if domain.gone:
            continue
        domain.asked[groups] += 1
        if server.all_calm and domain.job is None and domain.answers:
            tick, level = server.tick(), domain.most_told
            records.append(server.records.record(domain, groups, level, tick, backing))
        else:
            records.append(await _record(server, call, domain, groups, flags))
    return records


async def _record(server: Server, call: Call, domain: Domain, groups: int, flags: int) -> bytes:
    """A record in which anything may make it wait, so each group has its own moment."""
    has_job = False
    if groups & keys.MONITOR_GROUPS:
        wait = 0 if flags & _NOWAIT else server.job_wait
        has_job = await take_job(domain, call.api, wait)
    count, pieces = 0, []
    try:
        for group in keys.GROUPS.values():
            if groups & group:
                number, piece = await _piece(server, call, domain, group, has_job, flags)
                count += number
                pieces.append(piece)
    finally:
        if has_job:
            domain.end_job()
    return wire.identity(domain.identity) + xdr.uint(count) + b"".join(pieces)


async def _piece(
    server: Server, call: Call, domain: Domain, group: int, has_job: bool, flags: int
) -> tuple[int, bytes]:
    """One group of it. What needs no monitor is read before the monitor is asked."""
    before = server.tick()
    level = keys.PARTIAL if domain.running else keys.OFF
    if not group & keys.MONITOR_GROUPS:
        await call.pace.spend(keys.COSTS[group])
    elif has_job and domain.running:
        try:
            await ask_monitor(
                server.hypervisor, domain, keys.COSTS[group], call.pace, group == keys.BLOCK
            )
            level = keys.FULL
        except DomainVanished:
            level = keys.OFF
    backing = bool(flags & _BACKING)
    return server.records.piece(domain, group, level, before, server.tick(), backing)


async def _distorted(
    server: Server, call: Call, domains: list[Domain], groups: int, flags: int
) -> bytes:
    """The same records, changed as a test wants it."""
    assert call.distort_records is not None
    records = await _records(server, call, domains, groups, flags)
    answer: faults.Answer = [wire.read_record(xdr.Reader(record)) for record in records]
    return xdr.array(
        wire.identity(identity) + xdr.array(wire.parameter(*one) for one in parameters)
        for identity, parameters in call.distort_records(answer)
    )
