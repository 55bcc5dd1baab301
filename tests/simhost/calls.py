"""A call on its way through the simulation, and what the procedures share about it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Callable, Union

from . import wire, xdr
from .faults import Answer
from .model import Domain
from .monitor import Pace

if TYPE_CHECKING:
    from .server import Client, Server

NO_ANSWER = b""
Answering = Union[bytes, Awaitable[bytes]]


class Call:
    """One call under way: who asked, for which procedure, and the arguments yet to be read."""

    def __init__(self, client: Client, message: wire.Message, procedure: str, pace: Pace) -> None:
        self.client, self.message, self.pace = client, message, pace
        self.api = f"remoteDispatch{procedure}"  # who holds a job, as libvirt words it
        self.arguments = xdr.Reader(message.body)
        # What a test wants to become of a bulk answer.
        self.distort_records: Callable[[Answer], Answer] | None = None


def domain_of(server: Server, call: Call) -> Domain:
    """The domain a call is about. Raises Refusal when it is gone."""
    named = wire.read_identity(call.arguments)
    return server.hypervisor.by_uuid(named.uuid, named.name)


def running_domain_of(server: Server, call: Call) -> Domain:
    """The same for calls that need it to run."""
    return running(domain_of(server, call))


def running(domain: Domain) -> Domain:
    """Raises Refusal when it is off."""
    if not domain.running:
        raise wire.Refusal(wire.OPERATION_INVALID, "domain is not running", wire.FROM_DOMAIN)
    return domain


def values_of(server: Server, domain: Domain, groups: int) -> dict[str, Any]:
    """Key to value at this moment, everything the monitor would tell."""
    return server.records.values(domain, groups, server.tick())


def cpu_map(cpus: int, size: int) -> bytes:
    """A bitmap of `size` bytes in which the host's CPUs are set."""
    return ((1 << cpus) - 1).to_bytes((cpus + 7) // 8, "little").ljust(size, b"\0")[:size]
