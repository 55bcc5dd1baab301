"""What makes a call wait: a domain's job lock, its monitor, the time the monitor takes. The only
part of the simulation of the hypervisor that knows asyncio."""

from __future__ import annotations

import asyncio
import time
from typing import Callable

from . import wire
from .model import Domain, Hypervisor

JOB_WAIT = 30.0  # seconds a call waits for somebody else's job
_SHORTEST_SLEEP = 0.004  # a sleep is never shorter, or its own inaccuracy would prevail


class Pace:
    """Simulated monitor time of one call: small amounts add up until they are worth a sleep."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._owed = 0.0

    async def spend(self, seconds: float) -> None:
        if not self._scale:
            return
        self._owed += seconds * self._scale
        if self._owed >= _SHORTEST_SLEEP:
            begun = time.monotonic()
            await asyncio.sleep(self._owed)
            self._owed -= time.monotonic() - begun


class DomainVanished(Exception):
    """The domain ended while a call was waiting for its monitor."""


def _bell() -> tuple[asyncio.Future, Callable[[], None]]:
    """Something to wait for, and the function that ends the wait."""
    future = asyncio.get_running_loop().create_future()
    return future, lambda: None if future.done() else future.set_result(None)


async def take_job(domain: Domain, api: str, wait: float) -> bool:
    """Take the domain's job lock; False when somebody else held it for all of `wait`."""
    deadline = time.monotonic() + wait
    while not domain.take_job(api):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        rung, ring = _bell()
        domain.job_waiters.append(ring)
        await asyncio.wait([rung], timeout=left)
        if not rung.done():
            domain.job_waiters.remove(ring)
    return True


async def ask_monitor(
    hypervisor: Hypervisor, domain: Domain, seconds: float, pace: Pace, disks: bool = False
) -> None:
    """One round through the monitor, with the job held. Returns when the guest has answered,
    however long it hangs. With `disks`, QEMU looks at the images, which freezes a guest on hung
    storage. Raises DomainVanished."""
    domain.monitor_since = time.monotonic()
    if disks:
        hypervisor.look_at_disks(domain)
    await pace.spend(seconds)
    while not domain.answers and domain.running:
        rung, ring = _bell()
        domain.answer_waiters.append(ring)
        await rung
    domain.monitor_since = None
    if not domain.running:
        raise DomainVanished(domain.name)


def lock_timeout(domain: Domain) -> wire.Refusal:
    """What a classic call answers when it did not get the job in time."""
    detail = f"cannot acquire state change lock (held by monitor={domain.job})"
    return wire.Refusal(wire.OPERATION_TIMEOUT, detail, wire.FROM_NONE)
