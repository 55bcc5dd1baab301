"""Procedures about storage pools. As in libvirt, a list waits for each pool that is being
refreshed, and a question about one pool waits for that one alone."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from . import wire, xdr
from .calls import Call
from .model import Pool

if TYPE_CHECKING:
    from .server import Server

_FROM_STORAGE, _NO_STORAGE_POOL = 18, 49


async def list_pools(server: Server, call: Call) -> bytes:
    need_results = call.arguments.int32()
    pools = list(server.hypervisor.pools.values())
    for pool in pools:
        await _not_refreshing(pool)
    named = [xdr.string(pool.name) + xdr.fixed(pool.uuid) for pool in pools]
    return xdr.array(named if need_results else []) + xdr.uint(len(pools))


async def info(server: Server, call: Call) -> bytes:
    pool = await _asked(server, call)
    sizes = (pool.capacity, pool.allocation, pool.capacity - pool.allocation)
    return xdr.uint(pool.state) + b"".join(map(xdr.uhyper, sizes))


async def xml(server: Server, call: Call) -> bytes:
    pool = await _asked(server, call)
    target = f"<target><path>{pool.path}</path></target>"
    return xdr.string(f"<pool type='dir'><name>{pool.name}</name>{target}</pool>")


async def _not_refreshing(pool: Pool) -> None:
    while pool.refreshing:
        rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pool.waiters.append(partial(rung.set_result, None))
        await rung


async def _asked(server: Server, call: Call) -> Pool:
    """The pool of a call, as soon as nobody refreshes it. Raises Refusal when it is gone."""
    name = call.arguments.string()
    pool = server.hypervisor.pools.get(name)
    if pool is None:
        detail = f"no storage pool with matching name '{name}'"
        raise wire.Refusal(_NO_STORAGE_POOL, detail, _FROM_STORAGE)
    await _not_refreshing(pool)
    return pool
