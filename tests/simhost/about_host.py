"""Procedures about the host and the connection: opening, features, facts, lists of domains, and
the registration of events. None of them ever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from . import wire, xdr
from .calls import NO_ANSWER, Call, cpu_map
from .model import Domain

if TYPE_CHECKING:
    from .server import Server

KEEPALIVE, _FEATURES = 10, {3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
LIFECYCLE = 0  # the only kind of event there is


def auth_list(server: Server, call: Call) -> bytes:
    return xdr.array([xdr.int32(0)])


def open(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    arguments.optional(arguments.string)
    call.client.read_only = bool(arguments.uint() & 1)
    if not call.client.read_only:
        call.client.may_write = True
        server.tally.writers_calls["ConnectOpen"] += 1
        if server.faults.writers_refused:
            detail = "access denied by policy"
            raise wire.Refusal(wire.AUTH_FAILED, detail, wire.FROM_RPC)
    return NO_ANSWER


def nothing(server: Server, call: Call) -> bytes:
    return NO_ANSWER


def supports_feature(server: Server, call: Call) -> bytes:
    feature = call.arguments.int32()
    if feature == KEEPALIVE:
        call.client.start_keepalive()
    return xdr.int32(feature in _FEATURES)


def text(of: Callable[[Server], str]):
    return lambda server, call: xdr.string(of(server))


def number(of: Callable[[Server], int]):
    return lambda server, call: xdr.uhyper(of(server))


def node_info(server: Server, call: Call) -> bytes:
    model = b"x86_64".ljust(32, b"\0")
    cpus = server.hypervisor.cpus
    numbers = (cpus, 2400, 1, 1, cpus, 1)  # cpus, MHz, nodes, sockets, cores, threads
    return (
        b"".join(xdr.int32(byte) for byte in model)
        + xdr.uhyper(64 * 1024 * 1024)
        + b"".join(map(xdr.int32, numbers))
    )


def node_cpu_stats(server: Server, call: Call) -> bytes:
    """Counters that are a known function of time: see keys.tick."""
    tick = server.tick()
    of_all = {"kernel": 10 * tick, "user": 20 * tick, "idle": 60 * tick, "iowait": 10 * tick}
    _, room = call.arguments.int32(), call.arguments.int32()
    return _numbers({name: 1000 + value for name, value in of_all.items()}, room)


def node_memory_stats(server: Server, call: Call) -> bytes:
    mib = {"total": 65536, "free": 16384, "buffers": 512, "cached": 8192}
    room = call.arguments.int32()  # here it comes first
    return _numbers({name: value * 1024 for name, value in mib.items()}, room)


def _numbers(values: dict[str, int], room: int) -> bytes:
    """Names and numbers; only how many there are where the client has no room for them yet."""
    items = [xdr.string(name) + xdr.uhyper(value) for name, value in values.items()]
    return xdr.array(items if room else []) + xdr.int32(len(items))


def node_cpu_map(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    need_map, need_online = arguments.int32(), arguments.int32()
    cpus = server.hypervisor.cpus
    content = cpu_map(cpus, (cpus + 7) // 8) if need_map else b""
    return xdr.opaque(content) + xdr.uint(cpus if need_online else 0) + xdr.int32(cpus)


def capabilities(server: Server) -> str:
    return (
        "<capabilities><host><uuid>5d0b8a52-6f0e-4c64-9a1c-0c6f0f6a7a11</uuid>"
        f"<cpu><arch>x86_64</arch><topology sockets='1' dies='1' "
        f"cores='{server.hypervisor.cpus}' threads='1'/></cpu></host>"
        "<guest><os_type>hvm</os_type><arch name='x86_64'><domain type='kvm'/></arch></guest>"
        "</capabilities>"
    )


# --- lists and lookups


def list_domains(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    need_results, flags = arguments.int32(), arguments.uint()
    domains = server.hypervisor.select(flags)
    if len(domains) > wire.DOMAIN_LIST_MAX:
        detail = f"Too many domains '{len(domains)}' for limit '{wire.DOMAIN_LIST_MAX}'"
        raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
    identities = [wire.identity(domain.identity) for domain in domains] if need_results else []
    return xdr.array(identities) + xdr.uint(len(domains))


def number_of_domains(server: Server, call: Call) -> bytes:
    return xdr.int32(sum(d.running for d in server.hypervisor.domains.values()))


def list_ids(server: Server, call: Call) -> bytes:
    most = call.arguments.int32()
    ids = [d.id for d in server.hypervisor.domains.values() if d.running]
    return xdr.array([xdr.int32(id) for id in ids[:most]])


def lookup(find: Callable[[Server, xdr.Reader], Domain]):
    return lambda server, call: wire.identity(find(server, call.arguments).identity)


# --- events


def register_event(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    event = arguments.int32()
    only = arguments.optional(lambda: wire.read_identity(arguments))
    return xdr.int32(call.client.register(event, only.uuid if only else None))


def deregister_event(server: Server, call: Call) -> bytes:
    call.client.deregister(call.arguments.int32())
    return NO_ANSWER


def register_lifecycle(server: Server, call: Call) -> bytes:
    call.client.register(LIFECYCLE, None)
    return xdr.int32(1)
