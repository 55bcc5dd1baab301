"""Questions to a hypervisor that the simulation is compared by: asked of a real libvirtd once (see
record.py), and of the simulation in every test run. Each is a procedure with arguments; beside
them stands how to read the answers, down to what must be the same on both sides."""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple

from . import about_host, keys, procedures, wire, xdr

NOWAIT, BACKING = 1 << 29, 1 << 30
ENFORCE = 1 << 31

# Domains the questions are about, by the part they play.
RICH, OFF, HUNG, NOBODY = "rich", "off", "hung", "nobody"

Domains = dict[str, wire.Identity]


class Question(NamedTuple):
    procedure: int
    arguments: Callable[[Domains], bytes]


def _of(name: str, arguments: bytes = b"") -> Question:
    return Question(procedures.NUMBERS[name], lambda domains: arguments)


def _about(part: str, name: str, arguments: bytes = b"") -> Question:
    return Question(
        procedures.NUMBERS[name], lambda domains: wire.identity(domains[part]) + arguments
    )


def _lookup(part: str, name: str, argument: Callable[[wire.Identity], bytes]) -> Question:
    return Question(procedures.NUMBERS[name], lambda domains: argument(domains[part]))


def _bulk(groups: int, flags: int, *parts: str) -> Question:
    def arguments(domains: Domains) -> bytes:
        chosen = xdr.array(wire.identity(domains[part]) for part in parts)
        return chosen + xdr.uint(groups) + xdr.uint(flags)

    return Question(procedures.BULK, arguments)


def _classic(part: str) -> dict[str, Question]:
    """The calls about one domain, with the arguments libvirt-python gives them."""
    u, i, text = xdr.uint, xdr.int32, xdr.string
    asked = {
        "info": ("DomainGetInfo", b""),
        "state": ("DomainGetState", u(0)),
        "controlInfo": ("DomainGetControlInfo", u(0)),
        "isActive": ("DomainIsActive", b""),
        "isPersistent": ("DomainIsPersistent", b""),
        "isUpdated": ("DomainIsUpdated", b""),
        "OSType": ("DomainGetOSType", b""),
        "maxMemory": ("DomainGetMaxMemory", b""),
        "maxVcpus": ("DomainGetMaxVcpus", b""),
        "vcpusFlags": ("DomainGetVcpusFlags", u(0)),
        "vcpus": ("DomainGetVcpus", i(2) + i(1)),
        "vcpuPinInfo": ("DomainGetVcpuPinInfo", i(2) + i(1) + u(0)),
        "getCPUStats, how many": ("DomainGetCPUStats", u(0) + i(-1) + u(1) + u(0)),
        "getCPUStats": ("DomainGetCPUStats", u(3) + i(-1) + u(1) + u(0)),
        "getCPUStats, per CPU": ("DomainGetCPUStats", u(0) + i(0) + u(1) + u(0)),
        "memoryStats": ("DomainMemoryStats", u(13) + u(0)),
        "blockStats": ("DomainBlockStats", text("vda")),
        "blockStats of all": ("DomainBlockStats", text("")),
        "blockStats of none": ("DomainBlockStats", text("vdq")),
        "blockStatsFlags, how many": ("DomainBlockStatsFlags", text("vda") + i(0) + u(0)),
        "blockStatsFlags": ("DomainBlockStatsFlags", text("vda") + i(8) + u(0)),
        "blockInfo": ("DomainGetBlockInfo", text("vda") + u(0)),
        "blockInfo of an empty drive": ("DomainGetBlockInfo", text("hda") + u(0)),
        "interfaceStats of none": ("DomainInterfaceStats", text("eth7")),
        "diskErrors, how many": ("DomainGetDiskErrors", u(0) + u(0)),
        "diskErrors": ("DomainGetDiskErrors", u(3) + u(0)),
        "jobStats": ("DomainGetJobStats", u(0)),
        "jobInfo": ("DomainGetJobInfo", b""),
        "ioThreadInfo": ("DomainGetIOThreadInfo", u(0)),
        "XMLDesc": ("DomainGetXMLDesc", u(0)),
        "title": ("DomainGetMetadata", i(1) + xdr.optional(None) + u(0)),
        "metadata": ("DomainGetMetadata", i(2) + xdr.optional(text("urn:none")) + u(0)),
    }
    return {
        f"{label}, {part}": _about(part, name, arguments)
        for label, (name, arguments) in asked.items()
    }


_HOST = {
    "auth list": _of("AuthList"),
    "open": _of("ConnectOpen", xdr.optional(xdr.string("qemu:///system")) + xdr.uint(1)),
    "type": _of("ConnectGetType"),
    "version": _of("ConnectGetVersion"),
    "libvirt's version": _of("ConnectGetLibVersion"),
    "hostname": _of("ConnectGetHostname"),
    "URI": _of("ConnectGetURI"),
    "secure": _of("ConnectIsSecure"),
    "node": _of("NodeGetInfo"),
    "CPU map": _of("NodeGetCPUMap", xdr.int32(1) + xdr.int32(1) + xdr.uint(0)),
    "CPU count": _of("NodeGetCPUMap", xdr.int32(0) + xdr.int32(0) + xdr.uint(0)),
    "most vCPUs": _of("ConnectGetMaxVcpus", xdr.optional(None)),
    "capabilities": _of("ConnectGetCapabilities"),
    **{
        f"feature {number}": _of("ConnectSupportsFeature", xdr.int32(number))
        for number in range(1, 17)
        if number != about_host.KEEPALIVE  # it would start to send pings
    },
    "domains": _of("ConnectListAllDomains", xdr.int32(1) + xdr.uint(0)),
    "domains, active": _of("ConnectListAllDomains", xdr.int32(1) + xdr.uint(1)),
    "domains, inactive": _of("ConnectListAllDomains", xdr.int32(1) + xdr.uint(2)),
    "domains, how many": _of("ConnectListAllDomains", xdr.int32(0) + xdr.uint(1)),
    "domains' ids": _of("ConnectListDomains", xdr.int32(100)),
    "number of domains": _of("ConnectNumOfDomains"),
    "unknown procedure": Question(9999, lambda domains: b""),
    "arguments cut off": Question(
        procedures.NUMBERS["DomainGetInfo"], lambda domains: wire.identity(domains[RICH])[:-4]
    ),
    "event": _of("ConnectDomainEventCallbackRegisterAny", xdr.int32(0) + xdr.optional(None)),
    "no such event": _of("ConnectDomainEventCallbackDeregisterAny", xdr.int32(77)),
}

_LOOKUPS = {
    **{
        f"lookup by name, {part}": _lookup(
            part, "DomainLookupByName", lambda domain: xdr.string(domain.name)
        )
        for part in (RICH, OFF, NOBODY)
    },
    **{
        f"lookup by uuid, {part}": _lookup(
            part, "DomainLookupByUUID", lambda domain: xdr.fixed(domain.uuid)
        )
        for part in (RICH, NOBODY)
    },
    **{
        f"lookup by id, {part}": _lookup(
            part, "DomainLookupByID", lambda domain: xdr.int32(domain.id)
        )
        for part in (RICH, NOBODY)
    },
}

_BULK = {
    **{
        f"bulk {group}, {part}": _bulk(bit, 0, part)
        for group, bit in keys.GROUPS.items()
        for part in (RICH, OFF)
    },
    "bulk, rich": _bulk(0, 0, RICH),
    "bulk, off": _bulk(0, 0, OFF),
    "bulk with backing images": _bulk(keys.BLOCK, BACKING, RICH),
    "bulk of all": _bulk(keys.STATE, 0),
    "bulk of all that run": _bulk(keys.STATE, 1),
    "bulk of nobody": _bulk(keys.STATE, 0, NOBODY),
    "bulk of the rich and nobody": _bulk(keys.STATE, 0, RICH, NOBODY),
    "bulk of one twice": _bulk(keys.STATE, 0, RICH, RICH),
    "bulk with an unknown group": _bulk(keys.STATE | 1 << 20, 0, RICH),
    "bulk with an unknown group, enforced": _bulk(keys.STATE | 1 << 20, ENFORCE, RICH),
    "bulk with an unknown flag": _bulk(keys.STATE, 1 << 20, RICH),
}

CALM: dict[str, Question] = {
    **_HOST,
    **_LOOKUPS,
    **_BULK,
    **_classic(RICH),
    **_classic(OFF),
    "info, nobody": _about(NOBODY, "DomainGetInfo"),
}

# Asked while another client's bulk call is stuck in the monitor of the hung domain.
WHILE_STUCK: dict[str, Question] = {
    "bulk, nowait, hung": _bulk(0, NOWAIT, HUNG),
    **{
        f"bulk {group}, nowait, hung": _bulk(bit, NOWAIT, HUNG)
        for group, bit in keys.GROUPS.items()
    },
    **{
        label: question
        for label, question in _classic(HUNG).items()
        if label.split(",")[0]
        in ("info", "state", "controlInfo", "isActive", "vcpus", "vcpuPinInfo", "getCPUStats")
    },
    # These wait for the job, 30 s in the real one.
    "memoryStats, hung": _about(HUNG, "DomainMemoryStats", xdr.uint(13) + xdr.uint(0)),
    "bulk, hung": _bulk(0, 0, HUNG),
}


# --- reading the answers: what is equal on both sides is a value, what varies is its type


class Varies(NamedTuple):
    """A value that two hypervisors need not have in common."""

    type: str


INT, TEXT, BYTES, NUMBER = Varies("int"), Varies("text"), Varies("bytes"), Varies("number")

Read = Callable[[xdr.Reader], Any]


def _varies(read: Callable[[xdr.Reader], Any], of: Varies) -> Read:
    def reading(reader: xdr.Reader) -> Varies:
        read(reader)
        return of

    return reading


_int, _uint = _varies(xdr.Reader.int32, INT), _varies(xdr.Reader.uint, INT)
_hyper, _uhyper = _varies(xdr.Reader.hyper, INT), _varies(xdr.Reader.uhyper, INT)
_text, _bytes = _varies(xdr.Reader.string, TEXT), _varies(xdr.Reader.opaque, BYTES)
_same_int, _same_uint = xdr.Reader.int32, xdr.Reader.uint
_same_text = xdr.Reader.string


def _fields(*reads: Read) -> Read:
    return lambda reader: tuple(read(reader) for read in reads)


def _array(read: Read) -> Read:
    return lambda reader: reader.array(lambda: read(reader), wire.PARAMETERS_MAX)


def _set(read: Read) -> Read:
    """An array in the order of a hash table."""
    return lambda reader: sorted(_array(read)(reader))


def _optional(read: Read) -> Read:
    return lambda reader: reader.optional(lambda: read(reader))


def _domain(reader: xdr.Reader) -> str:
    identity = wire.read_identity(reader)
    return f"{identity.name} {identity.uuid.hex()} {'on' if identity.id >= 0 else 'off'}"


def _parameter(reader: xdr.Reader) -> tuple[str, int]:
    """A typed parameter: its name and wire type."""
    parameter = wire.read_parameter(reader)
    return parameter.field, parameter.type


_KVM = re.compile(r"(vm|vcpu\.\d+)\.[a-z0-9_]+\.(sum|cur|max)")


def _record(reader: xdr.Reader) -> tuple[str, list, set]:
    """A bulk record: keys in order. Which statistics KVM has depends on the host's kernel, and
    their order is that of a hash table: of those, what kinds there are."""
    domain, parameters = _domain(reader), _array(_parameter)(reader)
    kinds = {(_KVM.sub(r"\1.….\2", key), type) for key, type in parameters if _KVM.match(key)}
    return domain, [p for p in parameters if not _KVM.match(p[0])], kinds


def _records(reader: xdr.Reader) -> list[tuple]:
    return sorted(_array(_record)(reader), key=lambda record: record[0])


def _error(reader: xdr.Reader) -> Any:
    """A remote_error; the ids of threads and the like are not in it."""
    text = _optional(_same_text)
    return _fields(
        *(_same_int, _same_int, text, _same_int, _optional(_domain)),
        *(text, text, text, _same_int, _same_int, _optional(_bytes)),
    )(reader)


_state = _fields(_same_int, _same_int)
_parameters = _fields(_array(_parameter), _same_int)

ANSWERS: dict[str, Read] = {
    "AuthList": _array(_same_int),
    "ConnectOpen": _fields(),
    "ConnectGetType": _same_text,
    "ConnectGetVersion": _uhyper,
    "ConnectGetLibVersion": _uhyper,
    "ConnectGetHostname": _text,
    "ConnectGetURI": _same_text,
    "ConnectIsSecure": _same_int,
    "ConnectGetMaxVcpus": _int,
    "ConnectGetCapabilities": _text,
    "ConnectSupportsFeature": _same_int,
    "NodeGetInfo": _fields(*[_int] * 32, _uhyper, *[_int] * 6),
    "NodeGetCPUMap": _fields(_bytes, _uint, _int),
    "ConnectListAllDomains": _fields(_set(_domain), _same_uint),
    "ConnectListDomains": _array(_int),
    "ConnectNumOfDomains": _same_int,
    "ConnectDomainEventCallbackRegisterAny": _int,
    "ConnectDomainEventCallbackDeregisterAny": _fields(),
    "DomainLookupByName": _domain,
    "DomainLookupByUUID": _domain,
    "DomainLookupByID": _domain,
    "ConnectGetAllDomainStats": _records,
    "DomainGetInfo": _fields(_same_uint, _uhyper, _uhyper, _same_uint, _uhyper),
    "DomainGetState": _state,
    "DomainGetControlInfo": _fields(_same_uint, _same_uint, _uhyper),
    "DomainIsActive": _same_int,
    "DomainIsPersistent": _same_int,
    "DomainIsUpdated": _same_int,
    "DomainGetOSType": _same_text,
    "DomainGetMaxMemory": _uhyper,
    "DomainGetMaxVcpus": _same_int,
    "DomainGetVcpusFlags": _same_int,
    "DomainGetVcpus": _fields(_array(_fields(_same_uint, _same_int, _uhyper, _int)), _bytes),
    "DomainGetVcpuPinInfo": _fields(_bytes, _same_int),
    "DomainGetCPUStats": _fields(_array(_parameter), _int),
    "DomainMemoryStats": _array(_fields(_same_int, _uhyper)),
    "DomainBlockStats": _fields(*[_hyper] * 5),
    "DomainBlockStatsFlags": _parameters,
    "DomainGetBlockInfo": _fields(*[_uhyper] * 3),
    "DomainInterfaceStats": _fields(*[_hyper] * 8),
    "DomainGetDiskErrors": _fields(_array(_fields(_same_text, _same_int)), _same_int),
    "DomainGetJobStats": _fields(_same_int, _array(_parameter)),
    "DomainGetJobInfo": _fields(_same_int, *[_uhyper] * 11),
    "DomainGetIOThreadInfo": _fields(_array(_fields(_same_uint, _bytes)), _same_uint),
    "DomainGetXMLDesc": _text,
    "DomainGetMetadata": _text,
}


def essence(question: Question, status: int, body: bytes) -> Any:
    """What of an answer must be the same on both sides. Raises Malformed when the answer is not
    of the procedure's type, or longer."""
    reader = xdr.Reader(body)
    if status == wire.ERROR:
        read: Callable[[xdr.Reader], Any] = _error
    else:
        read = ANSWERS[procedures.PROCEDURES[question.procedure].name]
    found = read(reader)
    if reader.rest:
        raise xdr.Malformed(f"{reader.rest} bytes too many")
    return status, found
