"""Procedures about one domain that never ask its monitor, and so never wait however it hangs."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from . import keys, wire, xdr
from .calls import Call, cpu_map, domain_of, running_domain_of, values_of
from .domain_xml import domain_xml

if TYPE_CHECKING:
    from .server import Server


def info(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    cpu_time = values_of(server, domain, keys.CPU)["cpu.time"] if domain.running else 0
    return (
        xdr.uint(domain.state)
        + xdr.uhyper(domain.memory)
        + xdr.uhyper(domain.balloon)
        + xdr.uint(domain.vcpus_online)
        + xdr.uhyper(cpu_time)
    )


def state(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    return xdr.int32(domain.state) + xdr.int32(domain.reason)


def control_info(server: Server, call: Call) -> bytes:
    state, details, milliseconds = running_domain_of(server, call).control(time.monotonic())
    return xdr.uint(state) + xdr.uint(details) + xdr.uhyper(milliseconds)


def is_active(server: Server, call: Call) -> bytes:
    return xdr.int32(domain_of(server, call).running)


def yes(server: Server, call: Call) -> bytes:
    domain_of(server, call)
    return xdr.int32(1)


def no(server: Server, call: Call) -> bytes:
    domain_of(server, call)
    return xdr.int32(0)


def os_type(server: Server, call: Call) -> bytes:
    domain_of(server, call)
    return xdr.string("hvm")


def max_memory(server: Server, call: Call) -> bytes:
    return xdr.uhyper(domain_of(server, call).memory)


def max_vcpus(server: Server, call: Call) -> bytes:
    return xdr.int32(running_domain_of(server, call).vcpus_maximum)


_VCPU_MAXIMUM = 4
_VCPU_TIME = re.compile(r"vcpu\.\d+\.time")


def vcpus_flags(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    maximum = call.arguments.uint() & _VCPU_MAXIMUM
    return xdr.int32(domain.vcpus_maximum if maximum else domain.vcpus_online)


def vcpus(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    if not domain.running:
        detail = "cannot retrieve vcpu information for inactive domain"
        raise wire.Refusal(wire.OPERATION_INVALID, detail)
    most, size = call.arguments.int32(), call.arguments.int32()
    values = values_of(server, domain, keys.VCPU)
    cpus = server.hypervisor.cpus
    numbers = sorted(int(key.split(".")[1]) for key in values if _VCPU_TIME.fullmatch(key))
    vcpus = [
        xdr.uint(n) + xdr.int32(1) + xdr.uhyper(values[f"vcpu.{n}.time"]) + xdr.int32(n % cpus)
        for n in numbers[:most]
    ]
    maps = (cpu_map(cpus, size) * len(vcpus)).ljust(most * size, b"\0")
    return xdr.array(vcpus) + xdr.opaque(maps)


def vcpu_pins(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    most, size = call.arguments.int32(), call.arguments.int32()
    count = min(most, domain.vcpus_online)
    maps = cpu_map(server.hypervisor.cpus, size) * count
    return xdr.opaque(maps.ljust(most * size, b"\0")) + xdr.int32(count)


def cpu_stats(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    arguments = call.arguments
    count, start, cpus = arguments.uint(), arguments.int32(), arguments.uint()
    values = values_of(server, domain, keys.CPU)
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


_NET_STATS: tuple[str, ...] = ("rx.bytes", "rx.pkts", "rx.errs", "rx.drop")
_NET_STATS += ("tx.bytes", "tx.pkts", "tx.errs", "tx.drop")


def interface_stats(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    n, _ = domain.interface(call.arguments.string())
    values = values_of(server, domain, keys.INTERFACE)
    return b"".join(xdr.hyper(values[f"net.{n}.{stat}"]) for stat in _NET_STATS)


def xml(server: Server, call: Call) -> bytes:
    return xdr.string(domain_xml(domain_of(server, call)))


_DESCRIPTION, _TITLE, _ELEMENT = range(3)


def metadata(server: Server, call: Call) -> bytes:
    domain = domain_of(server, call)
    arguments = call.arguments
    type, uri = arguments.int32(), arguments.optional(arguments.string)
    if type == _ELEMENT:
        text = domain.metadata.get(uri or "")
    else:
        text = {_DESCRIPTION: domain.description, _TITLE: domain.title}.get(type)
    if not text:
        detail = "Requested metadata element is not present"
        raise wire.Refusal(wire.NO_METADATA, detail, wire.FROM_DOMAIN)
    return xdr.string(text)


def job_info(server: Server, call: Call) -> bytes:
    running_domain_of(server, call)
    return xdr.int32(0) + xdr.uhyper(0) * 11
