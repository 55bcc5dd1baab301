"""What one round found out: a Sample of one hypervisor, with a DomainSample for each domain.

Everything after sampling (writers, adapters, the command line) sees these structures and
nothing else. They must not know libvirt, threads, or any agent's vocabulary.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Callable, NoReturn, Optional, Union

import msgspec
from msgspec import UNSET, UnsetType

from .host_sample import HostSample, MountReport

#: A value as libvirt-python gives it. Integers may reach 2**64-1; bools are not integers here.
Value = Union[int, float, bool, str]

#: A domain's statistics: libvirt's bulk keys (``cpu.time``, ``block.0.rd.bytes``) and values.
#: Keys of our own, under which the extra values of classic calls travel:
#: ``vcpu.<n>.cpu`` (int, the physical CPU that the vCPU is on, from virDomainGetVcpus) and
#: ``vcpu.<n>.affinity`` (text, physical CPUs it may run on, as ``0,1,5``, from
#: virDomainGetVcpuPinInfo), ``block.<n>.error`` (int, virDomainDiskErrorCode, from
#: virDomainGetDiskErrors), ``block.<n>.info.allocation`` and ``block.<n>.info.physical`` (int,
#: bytes, from virDomainGetBlockInfo, of disks of which the bulk answer does not tell them),
#: ``job.<parameter>`` and ``job.completed.<parameter>`` (from virDomainGetJobStats, under its
#: names, and ``type``, a virDomainJobType: of the job that runs, and of the last one that has
#: ended).
Stats = dict[str, Value]


class FrozenDict(dict[str, str]):
    """Texts by name that samples share, so that no round copies them: it cannot be changed.

    Whoever wants another one changes a copy, ``dict(labels)``.
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("samples share this: change a copy of it, made by dict()")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


#: Stands where there is no answer yet, and where one has been written; nobody adds to it.
NO_STATS: Stats = {}


def picker(items: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """As operator.itemgetter, and what it picks is always a tuple, however few items there are."""
    if len(items) > 1:
        return itemgetter(*items)
    return lambda whole: tuple(whole[item] for item in items)


#: The stats groups under the names that both agents' users know, in libvirt's order.
GROUPS: tuple[str, ...] = (
    "state",
    "cpu_total",
    "balloon",
    "vcpu",
    "interface",
    "block",
    "perf",
    "iothread",
    "memory",
    "dirtyrate",
    "vm",
)

#: The group of a key, by the key's first word.
GROUP_OF_WORD: dict[str, str] = {
    {"cpu_total": "cpu", "interface": "net"}.get(group, group): group for group in GROUPS
}

#: The groups for which libvirt never asks the domain's monitor: they answer of a hung domain too.
MONITOR_FREE_GROUPS: frozenset[str] = frozenset({"state", "interface", "perf", "memory"})

#: The kinds of events that can be told; ``events`` says what each is.
EVENT_KINDS: tuple[str, ...] = (
    "lifecycle",
    "io_error",
    "watchdog",
    "block_threshold",
    "balloon",
    "agent",
    "device",
    "metadata",
)

#: The groups that a round of the fast lane asks for: those, and CPU time by a call of its own.
FAST_GROUPS: frozenset[str] = MONITOR_FREE_GROUPS | {"cpu_total"}

#: What can be known of a domain, beyond the groups above, by calls of its own that need no monitor:
#: ``info`` (CPU time of its process in clock ticks, memory that it has and may have, number of
#: vCPUs), ``cpu`` (CPU time of its control group: the bulk answer's, with the time in user mode
#: and in the kernel), ``modes`` (of that, the latter two only), ``usage`` (as ``info``, of a driver
#: whose memory there is that in use), ``vcpus`` (their states and times), ``placement`` (on which
#: physical CPU each is), ``affinity`` (on which it may be). And ``errors``, of the disks of a
#: domain that stands still for one: of such a domain alone it needs the monitor.
#: ``completed_job`` (figures of the last job that is completed) and ``running_job`` (those of the
#: one that runs, which need the domain's job lock and, if there is one, its monitor).
CLASSIC: frozenset[str] = frozenset(
    {
        "info",
        "usage",
        "cpu",
        "modes",
        "vcpus",
        "placement",
        "affinity",
        "errors",
        "running_job",
        "completed_job",
    }
)

#: How the keys of the job that runs begin, and those of the last one that is completed.
RUNNING_JOB = "job."
COMPLETED_JOB = "job.completed."

#: By group: the values that stand for it where the monitor must not be asked.
CLASSIC_OF_GROUP: dict[str, frozenset[str]] = {
    "cpu_total": frozenset({"info", "cpu"}),
    "balloon": frozenset({"info"}),
    "vcpu": frozenset({"vcpus"}),
}

#: virDomainState, as ``state.state`` carries it.
STATE_RUNNING = 1
STATE_PAUSED = 3
STATE_SHUTOFF = 5
#: virDomainPausedReason, as ``state.reason`` carries it: the guest stands still for an I/O error.
PAUSED_IOERROR = 5


class Status(str, enum.Enum):
    """How a domain answered in a round."""

    #: Every group that was asked for is in ``stats``.
    FRESH = "fresh"
    #: Some groups are missing this time, because the monitor was busy or storage is silent.
    PARTIAL = "partial"
    #: The monitor does not answer; ``stats`` has what can be known without it.
    UNRESPONSIVE = "unresponsive"
    #: It was listed when the round began, and had ended when it was asked.
    GONE = "gone"


class Nic(msgspec.Struct, frozen=True):
    """A network interface as the domain's XML has it; a text that it does not have is empty.

    :param name: its device on the host (``vnet0``). SR-IOV and vhost-user interfaces often have
        none, and then the bulk answer does not have them either.
    :param address: its MAC address.
    :param type: bridge, network, direct, hostdev, vhostuser, …
    :param source: the network, bridge, device, socket or PCI device behind it.
    :param pci: the PCI address of the host's device that the guest has (``0000:03:10.1``).
    :param link: False if its link was taken down.
    """

    name: str = ""
    address: str = ""
    type: str = ""
    source: str = ""
    model: str = ""
    pci: str = ""
    link: bool = True


class DeviceDetails(msgspec.Struct, frozen=True):
    """What a domain's XML says of its devices for those who ask for it.

    :param places: where each disk lies, by its target: texts under the words of
        ``domain_xml.device_details``.
    :param throttles: the limits of each disk that has some (``iotune``), by its target: numbers
        under libvirt's names (``total_iops_sec``).
    :param nics: the network interfaces, in the XML's order.
    """

    places: dict[str, dict[str, str]] = {}
    throttles: dict[str, dict[str, int]] = {}
    nics: tuple[Nic, ...] = ()


NO_DETAILS = DeviceDetails()


class Devices(msgspec.Struct, frozen=True):
    """What a domain's XML says of its devices and the bulk answer does not.

    :param addresses: MAC address of each NIC by its target device (``vnet0``).
    :param sources: file or device behind each disk by its target (``vda``), without empty drives.
    :param targets: the target of each disk, empty drives included.
    :param images: the targets of disks that are qcow2 files: what a guest writes, and how large
        the file is, are two things there.
    :param details: more of them, if somebody wants it.
    """

    addresses: dict[str, str] = msgspec.field(default_factory=FrozenDict)
    sources: dict[str, str] = msgspec.field(default_factory=FrozenDict)
    targets: tuple[str, ...] = ()
    images: frozenset[str] = frozenset()
    details: Union[DeviceDetails, UnsetType] = UNSET


NO_DEVICES = Devices()


class DomainSample(msgspec.Struct, gc=False):
    """One domain in one round.

    :param uuid: the domain's identity, in libvirt's text form (names change, ids are reused).
    :param name: its name when the round began; a tenant's text.
    :param status: how it answered.
    :param stats: bulk keys and values; empty for a domain that is gone, and for one that was
        written while its round went on.
    :param active: False for a domain that is defined and not started.
    :param missing: the groups that were asked for and did not answer.
    :param since_ns: since when it does not answer, nanoseconds since the epoch.
    :param reason: why groups are missing, for people ("process stopped", "storage /mnt silent").
    :param devices: what its XML says of them; empty until that is known.
    :param labels: metadata labels by name, those that were asked for: an empty text for one that
        the domain does not have; none at all while its XML is not known. Samples share them, as
        they do the devices: they cannot be changed.
    :param at_s: when its statistics were asked for, in seconds of a clock that only goes forward,
        for the time between two samples of it; 0 if that is not known.
    :param beside: what the host says of it, found beside the rounds: ``pressure.<resource>.<word>``
        and ``interface.<n>.<word>``, ``<n>`` being a place in ``devices.details.nics``. Only for
        agents that ask for it, in the sample of a round's end: what was found since the last one.
    """

    uuid: str
    name: str
    status: Status
    stats: Stats
    active: bool = True
    missing: frozenset[str] = frozenset()
    since_ns: Optional[int] = None
    reason: str = ""
    devices: Devices = NO_DEVICES
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    at_s: float = 0.0
    beside: Union[dict[str, float], UnsetType] = UNSET


def memory_age(stats: Stats, time_ns: int) -> Optional[float]:
    """Seconds since the guest reported its memory (``balloon.last-update``); None if it never did.

    :param time_ns: when the statistics were asked for, nanoseconds since the epoch.
    """
    reported = stats.get("balloon.last-update")
    return max(0.0, time_ns / 1e9 - reported) if isinstance(reported, int) and reported else None


class Change(msgspec.Struct, frozen=True):
    """A domain began to hang, or is back; told in the sample of the round that noticed it.

    :param responsive: False when it began to hang, True when it is back.
    :param since_ns: when the hang began, nanoseconds since the epoch.
    """

    uuid: str
    name: str
    responsive: bool
    since_ns: int
    reason: str = ""


class DomainEvent(msgspec.Struct, frozen=True):
    """Something happened to a domain; told in the sample of the round in which it came.

    :param time_ns: when we heard of it, nanoseconds since the epoch.
    :param uuid: empty for what is told of all events (kind ``stream``), as is ``name``.
    :param name: the domain's name when it happened; a tenant's text.
    :param kind: of ``EVENT_KINDS``; ``stream`` for what may be missing among all of them.
    :param event: what happened: ``started``, ``stopped``, ``error``, ``gap``, …
    :param detail: why or how: ``booted``, ``enospc``, …; empty if there is nothing to say.
    :param severity: ``okay``, ``warning`` or ``failure``.
    :param device: the disk or device that it is about, by its alias or target.
    :param path: the file or device behind that disk.
    :param numbers: what was counted or measured, under the names of ``schema.EVENT_FIELDS``.
    :param inferred: libvirt did not tell; the lists before and after a gap say so.
    :param id: the domain's number while it runs; -1 if it does not.
    """

    time_ns: int
    uuid: str
    name: str
    kind: str
    event: str
    detail: str = ""
    severity: str = "okay"
    device: str = ""
    path: str = ""
    numbers: dict[str, int] = msgspec.field(default_factory=dict)
    inferred: bool = False
    id: int = -1


class FileSystem(msgspec.Struct, frozen=True):
    """A file system that is mounted in a guest, as its guest agent says; all texts are a tenant's.

    :param name: what the guest calls the device that it is on (``vda1``, ``dm-0``).
    :param disks: the targets of the domain's disks that it lies on (``vda``), as far as libvirt
        finds them in the domain's XML.
    :param total_bytes: its size; None if the agent, or libvirt's call, does not tell sizes.
    :param used_bytes: how much of that is used; None likewise.
    """

    name: str
    mountpoint: str
    fstype: str
    disks: tuple[str, ...] = ()
    total_bytes: Optional[int] = None
    used_bytes: Optional[int] = None


class GuestAgent(msgspec.Struct, frozen=True):
    """What the guest agent of a domain answered, or that it did not; all texts are a tenant's.

    :param time_ns: when its answer came, nanoseconds since the epoch; of one that has not answered
        the time of the round that says so.
    :param responsive: False if it has not answered; then nothing else is known.
    :param os_id: which operating system runs in the guest (``debian``); empty if not known.
    :param os_version: its version (``12``); empty if not known.
    :param hostname: the guest's own name for itself; empty if not known.
    :param users: how many users are logged in; None if not known.
    :param filesystems: in the order in which they were mounted.
    :param left_out: how many file systems there are beyond those.
    """

    uuid: str
    name: str
    time_ns: int
    responsive: bool = True
    os_id: str = ""
    os_version: str = ""
    hostname: str = ""
    users: Optional[int] = None
    filesystems: tuple[FileSystem, ...] = ()
    left_out: int = 0


class Round(msgspec.Struct):
    """What a round cost and how it went; a metric itself.

    Counts are of this round, but for ``late_results``, ``errors``, ``reconnects``, which only
    grow while the sampler lives.

    :param duration_s: seconds from the query to its answer.
    :param lanes: lanes at work.
    :param calls: bulk calls made.
    :param stuck_calls: calls that have not come back at the end of the round.
    :param silent_storage: storages that did not answer, so that disks on them have no sizes.
    :param unwatched_storage: mounts with disks on them that this process may not probe.
    :param late_results: calls whose answer came too late and was dropped, so far.
    :param errors: failed calls and failed attempts to connect, so far.
    :param reconnects: connections that were opened anew after a loss, so far.
    :param connected: False when the hypervisor could not be asked at all.
    :param error: what is wrong with the hypervisor as a whole now, for people; empty if nothing.
    """

    duration_s: float = 0.0
    lanes: int = 0
    calls: int = 0
    domains: int = 0
    fresh: int = 0
    partial: int = 0
    unresponsive: int = 0
    gone: int = 0
    stuck_calls: int = 0
    silent_storage: int = 0
    unwatched_storage: int = 0
    late_results: int = 0
    errors: int = 0
    reconnects: int = 0
    connected: bool = True
    error: str = ""


class Sample(msgspec.Struct):
    """All of one round of one hypervisor.

    :param uri: libvirt's connection URI, as configured.
    :param time_ns: taken before the first call; no value in the sample is older.
    :param domains: in the order in which libvirt lists them.
    :param node_cpus: physical CPUs of the host (virNodeInfo.cpus), 0 while unknown.
    :param groups: the stats groups that were asked for.
    :param changes: domains that began to hang or came back.
    :param events: what happened to domains since the last sample of all domains, in order.
    :param host: what was found of the host since the last one; None where that is not asked for.
    :param mounts: the network and FUSE mounts with disks on them, likewise.
    :param agents: what guest agents answered since then, and which did not.
    """

    uri: str
    time_ns: int
    domains: tuple[DomainSample, ...]
    round: Round
    node_cpus: int = 0
    changes: tuple[Change, ...] = ()
    events: tuple[DomainEvent, ...] = ()
    groups: frozenset[str] = frozenset()
    host: Optional[HostSample] = None
    mounts: tuple[MountReport, ...] = ()
    agents: tuple[GuestAgent, ...] = ()
