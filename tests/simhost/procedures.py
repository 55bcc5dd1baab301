"""The procedures of libvirt's remote protocol that are simulated: number, name, priority, and
the function that turns arguments into an answer. The table is at the end; what is not in it is
answered with an error, as a driver does that lacks a function."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from . import faults, keys, wire, xdr
from .domain_xml import domain_xml
from .model import Domain
from .monitor import DomainVanished, Pace, ask_monitor, lock_timeout, take_job

if TYPE_CHECKING:
    from .server import Client, Server


class Call:
    """One call under way: who asked, and the arguments yet to be read."""

    def __init__(self, client: Client, message: wire.Message, pace: Pace) -> None:
        self.client, self.message, self.pace = client, message, pace
        self.arguments = xdr.Reader(message.body)
        self.distort_records = None  # what a test wants to become of a bulk answer

    @property
    def api(self) -> str:
        """Who holds the job, as libvirt words it."""
        known = PROCEDURES.get(self.message.procedure)
        return f"remoteDispatch{known.name}" if known else "remoteDispatch"


Answer = Union[bytes, Awaitable[bytes]]
_NO_ANSWER = b""
_PARAMETERS_MAX = 16  # of the classic calls with typed parameters


# --- the connection


def _auth_list(server: Server, call: Call) -> bytes:
    return xdr.array([xdr.int32(0)])


def _open(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    arguments.optional(arguments.string)
    call.client.read_only = bool(arguments.uint() & 1)
    return _NO_ANSWER


def _nothing(server: Server, call: Call) -> bytes:
    return _NO_ANSWER


KEEPALIVE, _FEATURES = 10, {3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}


def _supports_feature(server: Server, call: Call) -> bytes:
    feature = call.arguments.int32()
    if feature == KEEPALIVE:
        call.client.start_keepalive()
    return xdr.int32(feature in _FEATURES)


def _text(of: Callable[[Server], str]):
    return lambda server, call: xdr.string(of(server))


def _number(of: Callable[[Server], int]):
    return lambda server, call: xdr.uhyper(of(server))


def _node_info(server: Server, call: Call) -> bytes:
    model = b"x86_64".ljust(32, b"\0")
    cpus = server.hypervisor.cpus
    numbers = (cpus, 2400, 1, 1, cpus, 1)  # cpus, MHz, nodes, sockets, cores, threads
    return (
        b"".join(xdr.int32(byte) for byte in model)
        + xdr.uhyper(64 * 1024 * 1024)
        + b"".join(map(xdr.int32, numbers))
    )


def _cpu_map_bytes(cpus: int, size: int) -> bytes:
    return ((1 << cpus) - 1).to_bytes((cpus + 7) // 8, "little").ljust(size, b"\0")[:size]


def _node_cpu_map(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    need_map, need_online = arguments.int32(), arguments.int32()
    cpus = server.hypervisor.cpus
    content = _cpu_map_bytes(cpus, (cpus + 7) // 8) if need_map else b""
    return xdr.opaque(content) + xdr.uint(cpus if need_online else 0) + xdr.int32(cpus)


def _capabilities(server: Server) -> str:
    return (
        "<capabilities><host><uuid>5d0b8a52-6f0e-4c64-9a1c-0c6f0f6a7a11</uuid>"
        f"<cpu><arch>x86_64</arch><topology sockets='1' dies='1' "
        f"cores='{server.hypervisor.cpus}' threads='1'/></cpu></host>"
        "<guest><os_type>hvm</os_type><arch name='x86_64'><domain type='kvm'/></arch></guest>"
        "</capabilities>"
    )


# --- domains, without their monitor


def _list_domains(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    need_results, flags = arguments.int32(), arguments.uint()
    domains = server.hypervisor.select(flags)
    if len(domains) > wire.DOMAIN_LIST_MAX:
        detail = f"Too many domains '{len(domains)}' for limit '{wire.DOMAIN_LIST_MAX}'"
        raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
    identities = [wire.identity(domain.identity) for domain in domains] if need_results else []
    return xdr.array(identities) + xdr.uint(len(domains))


def _number_of_domains(server: Server, call: Call) -> bytes:
    return xdr.int32(sum(d.running for d in server.hypervisor.domains.values()))


def _list_ids(server: Server, call: Call) -> bytes:
    most = call.arguments.int32()
    ids = [d.id for d in server.hypervisor.domains.values() if d.running]
    return xdr.array([xdr.int32(id) for id in ids[:most]])


def _lookup(find: Callable[[Server, xdr.Reader], Domain]):
    return lambda server, call: wire.identity(find(server, call.arguments).identity)


def _domain(server: Server, call: Call) -> Domain:
    named = wire.read_identity(call.arguments)
    return server.hypervisor.by_uuid(named.uuid, named.name)


def _running(server: Server, call: Call) -> Domain:
    domain = _domain(server, call)
    if not domain.running:
        raise wire.Refusal(wire.OPERATION_INVALID, "domain is not running")
    return domain


def _values(server: Server, domain: Domain, groups: int) -> dict[str, Any]:
    return server.records.values(domain, groups, server.tick())


def _info(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    cpu_time = _values(server, domain, keys.CPU)["cpu.time"] if domain.running else 0
    return (
        xdr.uint(domain.state)
        + xdr.uhyper(domain.memory)
        + xdr.uhyper(domain.balloon)
        + xdr.uint(domain.vcpus_online)
        + xdr.uhyper(cpu_time)
    )


def _state(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    return xdr.int32(domain.state) + xdr.int32(domain.reason)


def _control_info(server: Server, call: Call) -> bytes:
    state, details, milliseconds = _running(server, call).control(time.monotonic())
    return xdr.uint(state) + xdr.uint(details) + xdr.uhyper(milliseconds)


def _is_active(server: Server, call: Call) -> bytes:
    return xdr.int32(_domain(server, call).running)


def _yes(server: Server, call: Call) -> bytes:
    _domain(server, call)
    return xdr.int32(1)


def _no(server: Server, call: Call) -> bytes:
    _domain(server, call)
    return xdr.int32(0)


def _os_type(server: Server, call: Call) -> bytes:
    _domain(server, call)
    return xdr.string("hvm")


def _max_memory(server: Server, call: Call) -> bytes:
    return xdr.uhyper(_domain(server, call).memory)


def _max_vcpus(server: Server, call: Call) -> bytes:
    return xdr.int32(_domain(server, call).vcpus_maximum)


_VCPU_MAXIMUM = 4


def _vcpus_flags(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    maximum = call.arguments.uint() & _VCPU_MAXIMUM
    return xdr.int32(domain.vcpus_maximum if maximum else domain.vcpus_online)


def _vcpus(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    most, size = call.arguments.int32(), call.arguments.int32()
    values = _values(server, domain, keys.VCPU)
    cpus = server.hypervisor.cpus
    vcpus = [
        xdr.uint(n) + xdr.int32(1) + xdr.uhyper(values[f"vcpu.{n}.time"]) + xdr.int32(n % cpus)
        for n in range(min(most, domain.vcpus_online))
    ]
    maps = (_cpu_map_bytes(cpus, size) * len(vcpus)).ljust(most * size, b"\0")
    return xdr.array(vcpus) + xdr.opaque(maps)


def _vcpu_pins(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    most, size = call.arguments.int32(), call.arguments.int32()
    count = min(most, domain.vcpus_online)
    maps = _cpu_map_bytes(server.hypervisor.cpus, size) * count
    return xdr.opaque(maps.ljust(most * size, b"\0")) + xdr.int32(count)


def _cpu_stats(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    arguments = call.arguments
    count, start, cpus = arguments.uint(), arguments.int32(), arguments.uint()
    values = _values(server, domain, keys.CPU)
    total = (
        ("cpu_time", values["cpu.time"]),
        ("user_time", values["cpu.user"]),
        ("system_time", values["cpu.system"]),
    )
    if start >= 0:
        return _cpu_stats_of_each(server, values["cpu.time"], count, start, cpus)
    if count == 0:
        return xdr.array([]) + xdr.int32(len(total))
    chosen = [wire.parameter(name, wire.ULLONG, value) for name, value in total[:count]]
    return xdr.array(chosen) + xdr.int32(len(chosen))


def _cpu_stats_of_each(server: Server, time_of_all: int, count: int, start: int, cpus: int):
    """The statistics per host CPU: how many CPUs, how many statistics, or these."""
    host_cpus = server.hypervisor.cpus
    if cpus == 0:
        return xdr.array([]) + xdr.int32(host_cpus)
    if count == 0:
        return xdr.array([]) + xdr.int32(2)
    each = time_of_all // host_cpus
    chosen = [
        wire.parameter(name, wire.ULLONG, value)
        for _ in range(start, min(start + cpus, host_cpus))
        for name, value in (("cpu_time", each), ("vcpu_time", each // 2))[:count]
    ]
    return xdr.array(chosen) + xdr.int32(min(count, 2))


_NET_STATS = ("rx.bytes", "rx.pkts", "rx.errs", "rx.drop")
_NET_STATS += ("tx.bytes", "tx.pkts", "tx.errs", "tx.drop")


def _interface_stats(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    n, _ = domain.interface(call.arguments.string())
    values = _values(server, domain, keys.INTERFACE)
    return b"".join(xdr.hyper(values[f"net.{n}.{stat}"]) for stat in _NET_STATS)


def _xml(server: Server, call: Call) -> bytes:
    return xdr.string(domain_xml(_domain(server, call)))


_DESCRIPTION, _TITLE, _ELEMENT = range(3)


def _metadata(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    arguments = call.arguments
    type, uri = arguments.int32(), arguments.optional(arguments.string)
    if type == _ELEMENT:
        text = domain.metadata.get(uri or "")
    else:
        text = {_DESCRIPTION: domain.description, _TITLE: domain.title}.get(type)
    if not text:
        raise wire.Refusal(wire.NO_METADATA, "Requested metadata element is not present")
    return xdr.string(text)


def _job_stats(server: Server, call: Call) -> bytes:
    _domain(server, call)
    return xdr.int32(0) + xdr.array([])


def _job_info(server: Server, call: Call) -> bytes:
    _domain(server, call)
    return xdr.int32(0) + xdr.uhyper(0) * 11


# --- domains, through their monitor


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


async def _memory_stats(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    most = call.arguments.uint()
    await _asked(server, call, domain)
    values = _values(server, domain, keys.BALLOON)
    stats = [(_ACTUAL_BALLOON, domain.balloon)]
    stats += [(tag, values[key]) for key, tag in _MEMORY_TAGS.items() if key in values]
    return xdr.array(xdr.int32(tag) + xdr.uhyper(value) for tag, value in stats[:most])


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
    await _asked(server, call, domain, disks=True)
    values = _values(server, domain, keys.BLOCK)
    numbers = [n for n, disk in enumerate(domain.disks) if disk in chosen]
    return {
        stat: sum(values[f"block.{n}.{stat}"] for n in numbers)
        for stat in _BLOCK_PARAMETERS.values()
    }


async def _block_stats(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    of = await _disk_values(server, call, domain, call.arguments.string())
    numbers = (of["rd.reqs"], of["rd.bytes"], of["wr.reqs"], of["wr.bytes"], -1)
    return b"".join(map(xdr.hyper, numbers))


async def _block_stats_flags(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
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


async def _block_info(server: Server, call: Call) -> bytes:
    domain = _domain(server, call)
    path = call.arguments.string()
    disk = domain.disk(path)
    if not disk.chain:
        detail = f"disk '{path}' does not currently have a source assigned"
        raise wire.Refusal(wire.INVALID_ARG, detail)
    if domain.running:
        await _asked(server, call, domain, disks=True)
    image = disk.chain[0]
    # of a qcow2 file, allocation is what it takes on the storage
    return xdr.uhyper(image.physical) + xdr.uhyper(image.capacity) + xdr.uhyper(image.physical)


async def _disk_errors(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    most = call.arguments.uint()
    if most == 0:
        if not await take_job(domain, call.api, server.job_wait):
            raise lock_timeout(domain)
        domain.end_job()
        return xdr.array([]) + xdr.int32(len(domain.disks))
    await _asked(server, call, domain, disks=True)
    errors = [xdr.string(target) + xdr.int32(why) for target, why in domain.errors.items()]
    return xdr.array(errors[:most]) + xdr.int32(len(errors[:most]))


async def _iothreads(server: Server, call: Call) -> bytes:
    domain = _running(server, call)
    await _asked(server, call, domain)
    cpus = server.hypervisor.cpus
    threads = [
        xdr.uint(n) + xdr.opaque(_cpu_map_bytes(cpus, (cpus + 7) // 8))
        for n in range(1, domain.iothread_count + 1)
    ]
    return xdr.array(threads) + xdr.uint(len(threads))


# --- bulk statistics

_NOWAIT, _BACKING, _ENFORCE = 1 << 29, 1 << 30, 1 << 31
_STATS_FLAGS = _NOWAIT | _BACKING | _ENFORCE | 0xFF  # the last: filters as of listing
_AT_ONCE = 100  # domains after which others get a turn


async def _all_domain_stats(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    asked = arguments.array(lambda: wire.read_identity(arguments), wire.DOMAIN_LIST_MAX)
    groups, flags = arguments.uint(), arguments.uint()
    if server.faults.bulk_refused:
        api = "virDomainListGetStats" if asked else "virConnectGetAllDomainStats"
        raise wire.Refusal(wire.NO_SUPPORT, api, wire.FROM_DOMAIN)
    if flags & ~_STATS_FLAGS:
        detail = f"unsupported flags (0x{flags & ~_STATS_FLAGS:x}) in function "
        raise wire.Refusal(wire.INVALID_ARG, detail + "qemuConnectGetAllDomainStats")
    groups = _supported(server, groups, flags)
    chosen = server.hypervisor.select(flags & 0xFF)
    if asked:
        matching = {domain.uuid_bytes: domain for domain in chosen}
        named = (matching.get(identity.uuid) for identity in asked)
        chosen = [domain for domain in named if domain is not None]
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
            level = keys.MONITOR if domain.running else keys.ALWAYS
            tick = server.tick()
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
    level = keys.RUNNING if domain.running else keys.ALWAYS
    if not group & keys.MONITOR_GROUPS:
        await call.pace.spend(keys.COSTS[group])
    elif has_job and domain.running:
        try:
            await ask_monitor(
                server.hypervisor, domain, keys.COSTS[group], call.pace, group == keys.BLOCK
            )
            level = keys.MONITOR
        except DomainVanished:
            level = keys.ALWAYS
    backing = bool(flags & _BACKING)
    return server.records.piece(domain, group, level, before, server.tick(), backing)


async def _distorted(
    server: Server, call: Call, domains: list[Domain], groups: int, flags: int
) -> bytes:
    """The same records, changed as a test wants it."""
    records = await _records(server, call, domains, groups, flags)
    answer: faults.Answer = [wire.read_record(xdr.Reader(record)) for record in records]
    return xdr.array(
        wire.identity(identity) + xdr.array(wire.parameter(*one) for one in parameters)
        for identity, parameters in call.distort_records(answer)
    )


# --- events

LIFECYCLE = 0


def _register_event(server: Server, call: Call) -> bytes:
    arguments = call.arguments
    event = arguments.int32()
    only = arguments.optional(lambda: wire.read_identity(arguments))
    return xdr.int32(call.client.register(event, only.uuid if only else None))


def _deregister_event(server: Server, call: Call) -> bytes:
    call.client.deregister(call.arguments.int32())
    return _NO_ANSWER


def _register_lifecycle(server: Server, call: Call) -> bytes:
    call.client.register(LIFECYCLE, None)
    return xdr.int32(1)


# --- the table


class Procedure(NamedTuple):
    name: str
    answer: Callable[[Any, Call], Answer]


_by_id = _lookup(lambda server, r: server.hypervisor.by_id(r.int32()))
_by_name = _lookup(lambda server, r: server.hypervisor.by_name(r.string()))
_by_uuid = _lookup(lambda server, r: server.hypervisor.by_uuid(r.fixed(16)))

BULK, LIST = 344, 273
LIFECYCLE_MESSAGE = 318

PROCEDURES: dict[int, Procedure] = {
    1: Procedure("ConnectOpen", _open),
    2: Procedure("ConnectClose", _nothing),
    3: Procedure("ConnectGetType", _text(lambda server: "QEMU")),
    4: Procedure("ConnectGetVersion", _number(lambda s: s.hypervisor.hypervisor_version)),
    5: Procedure("ConnectGetMaxVcpus", lambda server, call: xdr.int32(16)),
    6: Procedure("NodeGetInfo", _node_info),
    7: Procedure("ConnectGetCapabilities", _text(_capabilities)),
    14: Procedure("DomainGetXMLDesc", _xml),
    16: Procedure("DomainGetInfo", _info),
    17: Procedure("DomainGetMaxMemory", _max_memory),
    18: Procedure("DomainGetMaxVcpus", _max_vcpus),
    19: Procedure("DomainGetOSType", _os_type),
    20: Procedure("DomainGetVcpus", _vcpus),
    22: Procedure("DomainLookupByID", _by_id),
    23: Procedure("DomainLookupByName", _by_name),
    24: Procedure("DomainLookupByUUID", _by_uuid),
    37: Procedure("ConnectListDomains", _list_ids),
    51: Procedure("ConnectNumOfDomains", _number_of_domains),
    59: Procedure("ConnectGetHostname", _text(lambda server: server.hypervisor.hostname)),
    60: Procedure("ConnectSupportsFeature", _supports_feature),
    64: Procedure("DomainBlockStats", _block_stats),
    65: Procedure("DomainInterfaceStats", _interface_stats),
    66: Procedure("AuthList", _auth_list),
    110: Procedure("ConnectGetURI", _text(lambda server: "qemu:///system")),
    149: Procedure("ConnectIsSecure", lambda server, call: xdr.int32(1)),
    150: Procedure("DomainIsActive", _is_active),
    151: Procedure("DomainIsPersistent", _yes),
    157: Procedure("ConnectGetLibVersion", _number(lambda s: s.hypervisor.lib_version)),
    159: Procedure("DomainMemoryStats", _memory_stats),
    163: Procedure("DomainGetJobInfo", _job_info),
    194: Procedure("DomainGetBlockInfo", _block_info),
    200: Procedure("DomainGetVcpusFlags", _vcpus_flags),
    202: Procedure("DomainIsUpdated", _no),
    212: Procedure("DomainGetState", _state),
    229: Procedure("DomainGetControlInfo", _control_info),
    230: Procedure("DomainGetVcpuPinInfo", _vcpu_pins),
    243: Procedure("DomainBlockStatsFlags", _block_stats_flags),
    262: Procedure("DomainGetCPUStats", _cpu_stats),
    263: Procedure("DomainGetDiskErrors", _disk_errors),
    265: Procedure("DomainGetMetadata", _metadata),
    LIST: Procedure("ConnectListAllDomains", _list_domains),
    293: Procedure("NodeGetCPUMap", _node_cpu_map),
    298: Procedure("DomainGetJobStats", _job_stats),
    316: Procedure("ConnectDomainEventCallbackRegisterAny", _register_event),
    317: Procedure("ConnectDomainEventCallbackDeregisterAny", _deregister_event),
    BULK: Procedure("ConnectGetAllDomainStats", _all_domain_stats),
    351: Procedure("DomainGetIOThreadInfo", _iothreads),
    360: Procedure("ConnectRegisterCloseCallback", _nothing),
    361: Procedure("ConnectUnregisterCloseCallback", _nothing),
}

NUMBERS = {procedure.name: number for number, procedure in PROCEDURES.items()}

LAST_OF_LIBVIRT_9 = 443  # a higher number is unknown to it, a lower one merely lacks here

# The procedures that libvirt 9 marks with priority "high": those that never ask a monitor.
_PRIORITY_NUMBERS = """
    1 2 3 4 5 6 11 12 15 17 18 19 20 21 22 23 24 25 29 30 35 36 37 38 41 42 43 44 45 46 47 48 49
    50 51 52 59 60 65 66 67 68 69 70 71 72 73 74 77 80 82 84 85 86 87 88 89 90 91 92 95 96 97 98
    99 100 101 102 105 106 110 111 112 113 115 116 117 121 122 124 126 127 128 129 131 132 134
    137 138 139 140 141 142 143 144 145 146 147 149 150 151 152 153 154 155 156 157 158 167 168
    175 176 177 178 179 180 181 186 187 188 189 202 203 212 227 228 229 231 234 235 236 244 246
    247 273 274 275 278 281 282 283 284 285 286 287 291 297 313 314 316 317 340 350 360 361 368
    369 374 375 378 380 381 391 397 398 399 400 401 404 405 413 414 415 416 422 429 430 431 432
    433 434 435 436 437
    """
PRIORITY = frozenset(map(int, _PRIORITY_NUMBERS.split()))


def number_of(procedure: int | str) -> int | str:
    """A procedure's number from its number, its name in the table, or faults.EVERY.
    Raises KeyError."""
    if isinstance(procedure, int) or procedure == faults.EVERY:
        return procedure
    return NUMBERS[procedure]


def lacking(number: int) -> wire.Refusal:
    """The error for a procedure that is not in the table."""
    if number > LAST_OF_LIBVIRT_9 or number < 1:
        return wire.Refusal(wire.RPC, f"unknown procedure: {number}", wire.FROM_RPC)
    return wire.Refusal(wire.NO_SUPPORT, f"procedure {number}", wire.FROM_DOMAIN)
