"""The procedures of libvirt's remote protocol that are simulated: number, name, the function that
answers, and whether libvirt gives it priority. What is not in the table is answered with an
error, as by a driver that lacks the function."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from . import (
    about_agent,
    about_domains,
    about_host,
    about_storage,
    bulk,
    domain_jobs,
    faults,
    through_monitor,
    wire,
    xdr,
)
from .calls import Answering, Call


class Procedure(NamedTuple):
    name: str
    answer: Callable[[Any, Call], Answering]


_by_id = about_host.lookup(lambda server, r: server.hypervisor.by_id(r.int32()))
_by_name = about_host.lookup(lambda server, r: server.hypervisor.by_name(r.string()))
_by_uuid = about_host.lookup(lambda server, r: server.hypervisor.by_uuid(r.fixed(16)))

BULK, LIST = 344, 273

PROCEDURES: dict[int, Procedure] = {
    1: Procedure("ConnectOpen", about_host.open),
    2: Procedure("ConnectClose", about_host.nothing),
    3: Procedure("ConnectGetType", about_host.text(lambda server: "QEMU")),
    4: Procedure("ConnectGetVersion", about_host.number(lambda s: s.hypervisor.hypervisor_version)),
    5: Procedure("ConnectGetMaxVcpus", lambda server, call: xdr.int32(16)),
    6: Procedure("NodeGetInfo", about_host.node_info),
    7: Procedure("ConnectGetCapabilities", about_host.text(about_host.capabilities)),
    14: Procedure("DomainGetXMLDesc", about_domains.xml),
    16: Procedure("DomainGetInfo", about_domains.info),
    17: Procedure("DomainGetMaxMemory", about_domains.max_memory),
    18: Procedure("DomainGetMaxVcpus", about_domains.max_vcpus),
    19: Procedure("DomainGetOSType", about_domains.os_type),
    20: Procedure("DomainGetVcpus", about_domains.vcpus),
    22: Procedure("DomainLookupByID", _by_id),
    23: Procedure("DomainLookupByName", _by_name),
    24: Procedure("DomainLookupByUUID", _by_uuid),
    37: Procedure("ConnectListDomains", about_host.list_ids),
    51: Procedure("ConnectNumOfDomains", about_host.number_of_domains),
    59: Procedure("ConnectGetHostname", about_host.text(lambda server: server.hypervisor.hostname)),
    60: Procedure("ConnectSupportsFeature", about_host.supports_feature),
    64: Procedure("DomainBlockStats", through_monitor.block_stats),
    65: Procedure("DomainInterfaceStats", about_domains.interface_stats),
    66: Procedure("AuthList", about_host.auth_list),
    87: Procedure("StoragePoolGetInfo", about_storage.info),
    88: Procedure("StoragePoolGetXMLDesc", about_storage.xml),
    110: Procedure("ConnectGetURI", about_host.text(lambda server: "qemu:///system")),
    149: Procedure("ConnectIsSecure", lambda server, call: xdr.int32(1)),
    150: Procedure("DomainIsActive", about_domains.is_active),
    151: Procedure("DomainIsPersistent", about_domains.yes),
    157: Procedure("ConnectGetLibVersion", about_host.number(lambda s: s.hypervisor.lib_version)),
    159: Procedure("DomainMemoryStats", through_monitor.memory_stats),
    163: Procedure("DomainGetJobInfo", about_domains.job_info),
    194: Procedure("DomainGetBlockInfo", through_monitor.block_info),
    200: Procedure("DomainGetVcpusFlags", about_domains.vcpus_flags),
    202: Procedure("DomainIsUpdated", about_domains.no),
    212: Procedure("DomainGetState", about_domains.state),
    227: Procedure("NodeGetCPUStats", about_host.node_cpu_stats),
    228: Procedure("NodeGetMemoryStats", about_host.node_memory_stats),
    229: Procedure("DomainGetControlInfo", about_domains.control_info),
    230: Procedure("DomainGetVcpuPinInfo", about_domains.vcpu_pins),
    243: Procedure("DomainBlockStatsFlags", through_monitor.block_stats_flags),
    262: Procedure("DomainGetCPUStats", about_domains.cpu_stats),
    263: Procedure("DomainGetDiskErrors", through_monitor.disk_errors),
    265: Procedure("DomainGetMetadata", about_domains.metadata),
    LIST: Procedure("ConnectListAllDomains", about_host.list_domains),
    281: Procedure("ConnectListAllStoragePools", about_storage.list_pools),
    293: Procedure("NodeGetCPUMap", about_host.node_cpu_map),
    298: Procedure("DomainGetJobStats", domain_jobs.job_stats),
    316: Procedure("ConnectDomainEventCallbackRegisterAny", about_host.register_event),
    317: Procedure("ConnectDomainEventCallbackDeregisterAny", about_host.deregister_event),
    BULK: Procedure("ConnectGetAllDomainStats", bulk.all_domain_stats),
    349: Procedure("DomainGetFSInfo", about_agent.fs_info),
    351: Procedure("DomainGetIOThreadInfo", through_monitor.iothreads),
    360: Procedure("ConnectRegisterCloseCallback", about_host.nothing),
    361: Procedure("ConnectUnregisterCloseCallback", about_host.nothing),
    418: Procedure("DomainGetGuestInfo", about_agent.guest_info),
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
