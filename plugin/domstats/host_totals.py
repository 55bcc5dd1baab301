"""The host beside its guests: what all of them use together, and what of the host that is.

Pure: samples in, numbers out. A domain's statistics go by while its round goes on and are let go,
so that all is summed as they come; what is kept of a domain are the few numbers of ``_Guest``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import msgspec

from .host_sample import NodeCpu
from .model import STATE_SHUTOFF, DomainSample, Sample
from .rates import DomainRates, number, sum_of_known

_KIB = 1024

#: virDomainState by its number: the fields of ``GuestTotals`` that count them.
STATES: tuple[str, ...] = (
    "no_state", "running", "blocked", "paused", "shutting_down", "shut_off", "crashed",
    "pmsuspended",
)  # fmt: skip


class CpuShares(msgspec.Struct, frozen=True):
    """Where the time of the host's CPUs went since the reading before; percent of all of them."""

    time_ns: int
    user: float
    system: float
    idle: float
    iowait: float


class GuestTotals(msgspec.Struct, frozen=True):
    """All sampled domains of a round together; None for what is not known.

    :param no_state: how many domains are in that state, as all that follow it up to
        ``pmsuspended``; ``unknown`` is how many have not said yet in which they are.
    :param cpus: physical CPUs of the host that are online.
    :param vcpus: of the domains that are active, as is ``memory``, in bytes: what they have now.
    :param vcpu_overcommit: vCPUs for each physical CPU; ``memory_overcommit`` of the host's memory.
    :param measured: domains whose rates are in the following sums.
    :param cpu_percent: of one physical CPU.
    :param cpu_percent_of_host: of all of them.
    :param read_bytes: by the second, as all that follow.
    """

    no_state: int = 0
    running: int = 0
    blocked: int = 0
    paused: int = 0
    shutting_down: int = 0
    shut_off: int = 0
    crashed: int = 0
    pmsuspended: int = 0
    unknown: int = 0
    cpus: Optional[int] = None
    vcpus: Optional[int] = None
    vcpu_overcommit: Optional[float] = None
    memory: Optional[int] = None
    memory_overcommit: Optional[float] = None
    measured: int = 0
    cpu_percent: Optional[float] = None
    cpu_percent_of_host: Optional[float] = None
    read_bytes: Optional[float] = None
    written_bytes: Optional[float] = None
    reads: Optional[float] = None
    writes: Optional[float] = None
    received_bytes: Optional[float] = None
    sent_bytes: Optional[float] = None


class _Guest(NamedTuple):
    """What a domain has, as it said last."""

    state: Optional[int] = None
    vcpus: Optional[int] = None
    memory_kib: Optional[int] = None


_NOBODY = _Guest()

#: What is summed of each domain's devices: the field, and the attributes of its rates.
_SUMS: tuple[tuple[str, str, str], ...] = (
    ("read_bytes", "disks", "read_bytes"),
    ("written_bytes", "disks", "written_bytes"),
    ("reads", "disks", "reads"),
    ("writes", "disks", "writes"),
    ("received_bytes", "nics", "received_bytes"),
    ("sent_bytes", "nics", "sent_bytes"),
)


class HostTotals:
    """Sums one hypervisor's domains round by round."""

    def __init__(self) -> None:
        #: By uuid. A domain that misses a round counts with what it had.
        self._guests: dict[str, _Guest] = {}
        self._sums: dict[str, float] = {}
        self._measured = 0
        self._memory_total: Optional[int] = None
        self._cpu: Optional[NodeCpu] = None

    def add(self, domain: DomainSample, rates: DomainRates) -> None:
        """A domain of the round goes by, with its statistics."""
        stats, before = domain.stats, self._guests.get(domain.uuid, _NOBODY)
        state = number(stats, "state.state")
        vcpus = number(stats, "vcpu.current")
        memory = number(stats, "balloon.current")
        self._guests[domain.uuid] = _Guest(
            before.state if state is None else state,
            before.vcpus if vcpus is None else vcpus,
            before.memory_kib if memory is None else memory,
        )
        found = {"cpu_percent": rates.cpu_percent}
        for field, devices, attribute in _SUMS:
            each = (getattr(device, attribute) for device in getattr(rates, devices))
            found[field] = sum_of_known(each)
        known = {field: value for field, value in found.items() if value is not None}
        self._measured += bool(known)
        for field, value in known.items():
            self._sums[field] = self._sums.get(field, 0.0) + value

    def end(self, sample: Sample) -> Optional[GuestTotals]:
        """The round is over; None if the hypervisor could not be asked."""
        sums, self._sums = self._sums, {}
        measured, self._measured = self._measured, 0
        memory = sample.host.memory if sample.host is not None else None
        if memory is not None and memory.total:
            self._memory_total = memory.total
        if not sample.round.connected:
            return None
        # One that has ended before it was asked is not there any more either.
        self._guests = {
            domain.uuid: self._guests.get(domain.uuid, _NOBODY) for domain in sample.domains
        }
        by_state, unknown = dict.fromkeys(STATES, 0), 0
        active: list[_Guest] = []
        for domain in sample.domains:
            guest = self._guests[domain.uuid]
            # The list of domains is newer than what one has said.
            state = guest.state if domain.active else STATE_SHUTOFF
            if domain.active and guest.state != STATE_SHUTOFF:
                active.append(guest)
            if state is not None and 0 <= state < len(STATES):
                by_state[STATES[state]] += 1
            else:
                unknown += 1
        cpus, total = sample.node_cpus, self._memory_total
        vcpus = _whole_sum([guest.vcpus for guest in active])
        kib = _whole_sum([guest.memory_kib for guest in active])
        allotted = None if kib is None else kib * _KIB
        cpu = sums.get("cpu_percent")
        found: dict[str, Any] = {**by_state, **sums}
        return GuestTotals(
            unknown=unknown,
            cpus=cpus or None,
            vcpus=vcpus,
            vcpu_overcommit=vcpus / cpus if vcpus is not None and cpus else None,
            memory=allotted,
            memory_overcommit=allotted / total if allotted is not None and total else None,
            measured=measured,
            cpu_percent_of_host=cpu / cpus if cpu is not None and cpus else None,
            **found,
        )

    def shares(self, sample: Sample) -> Optional[CpuShares]:
        """Where the host's CPU time went; None if there are not two readings to tell it by."""
        now = sample.host.cpu if sample.host is not None else None
        if now is None:
            return None
        before, self._cpu = self._cpu, now
        return None if before is None else _shares(before, now)


def _shares(before: NodeCpu, now: NodeCpu) -> Optional[CpuShares]:
    grown: list[int] = []
    for field in ("user_ns", "system_ns", "idle_ns", "iowait_ns"):
        later, earlier = getattr(now, field), getattr(before, field)
        # Linux takes back a little of its iowait now and then; a driver may not have it at all.
        grown.append(max(0, (later or 0) - (earlier or 0)))
    is_another_boot = (now.idle_ns or 0) < (before.idle_ns or 0)
    if is_another_boot or not sum(grown):
        return None
    return CpuShares(now.time_ns, *(100 * each / sum(grown) for each in grown))


def _whole_sum(values: list[Optional[int]]) -> Optional[int]:
    """None if one of them is not known: a part of a sum looks like a sum."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
