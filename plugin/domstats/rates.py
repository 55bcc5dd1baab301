"""What counters mean: a domain's use of CPU, disks and network by the second, and what follows.

Pure: samples in, numbers out. libvirt counts since a domain was started, so a rate needs two
samples of it. It is right whatever lies between them: the time is that of the domain's own answers,
by a clock that only goes forward, so a round that was late, missed or cut short, or a step of the
host's clock, changes nothing; devices are known by name, so a hot-plug that moves their indexes
changes nothing either; and where a counter has begun anew there is no rate once, not a spike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

import msgspec

from .model import DomainSample, Sample, Stats, memory_age

_NS = 1e9
#: Bytes in what libvirt's balloon counts.
_KIB = 1024


class VcpuRates(msgspec.Struct, frozen=True):
    """One vCPU; None stands for what is not known, or not yet.

    :param percent: of one physical CPU (``vcpu.<n>.time``).
    :param steal_percent: of the time in which it was ready to run and had no physical CPU
        (``vcpu.<n>.delay``): what the guest sees as steal.
    """

    number: int
    percent: Optional[float] = None
    steal_percent: Optional[float] = None


class DiskRates(msgspec.Struct, frozen=True):
    """One disk, by its target; all by the second but the latencies and the queue.

    :param read_latency_s: seconds that a read took on average (``rd.times`` by ``rd.reqs``); None
        if there was none. So are ``write_latency_s`` and ``flush_latency_s``.
    :param queue: requests under way on average, by Little's law: the time that all of them took
        in each second.
    """

    name: str
    read_bytes: Optional[float] = None
    written_bytes: Optional[float] = None
    reads: Optional[float] = None
    writes: Optional[float] = None
    flushes: Optional[float] = None
    read_latency_s: Optional[float] = None
    write_latency_s: Optional[float] = None
    flush_latency_s: Optional[float] = None
    queue: Optional[float] = None


class NicRates(msgspec.Struct, frozen=True):
    """One network interface, by its name on the host; all by the second."""

    name: str
    received_bytes: Optional[float] = None
    sent_bytes: Optional[float] = None
    received_packets: Optional[float] = None
    sent_packets: Optional[float] = None
    received_errors: Optional[float] = None
    sent_errors: Optional[float] = None
    received_drops: Optional[float] = None
    sent_drops: Optional[float] = None


class DomainRates(msgspec.Struct, frozen=True):
    """One domain; None stands for what is not known, or not yet.

    :param seconds: between the two answers that the rates are of; None if there is only one.
    :param cpu_percent: CPU time (``cpu.time``), of one physical CPU: 250 is two and a half.
    :param cpu_percent_of_vcpus: the same, of its vCPUs; 100 is all that it may use.
    :param cpu_percent_of_host: the same, of the host's physical CPUs.
    :param halt_poll_percent: of one physical CPU: what KVM spent on polling for a halted vCPU
        (``cpu.haltpoll``), with and without success.
    :param memory_used: bytes that the guest uses: ``balloon.available`` without what is usable, or
        unused where an old driver does not tell what is usable.
    :param memory_age_s: how old the guest's own figures of memory were when it was sampled
        (``balloon.last-update``). Beyond a few periods of its balloon driver they are stale.
    """

    uuid: str
    name: str
    seconds: Optional[float] = None
    cpu_percent: Optional[float] = None
    cpu_percent_of_vcpus: Optional[float] = None
    cpu_percent_of_host: Optional[float] = None
    halt_poll_percent: Optional[float] = None
    memory_used: Optional[int] = None
    memory_age_s: Optional[float] = None
    vcpus: tuple[VcpuRates, ...] = ()
    disks: tuple[DiskRates, ...] = ()
    nics: tuple[NicRates, ...] = ()


#: What is counted of each device, by the end of its keys.
_OF_DISK = (
    "rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs", "fl.reqs", "rd.times", "wr.times", "fl.times",
)  # fmt: skip
_OF_NIC = (
    "rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts", "rx.errs", "tx.errs", "rx.drop", "tx.drop",
)  # fmt: skip
_OF_VCPU = ("time", "delay")
_POLLED = ("cpu.haltpoll.success.time", "cpu.haltpoll.fail.time")
_OF_DOMAIN = ("cpu.time", *_POLLED)

#: A device: the first word of its keys, and its name, or number if it has none.
_Device = tuple[str, str]
#: Counters by the end of their keys.
_Counters = dict[str, int]

#: What the domain itself counts, as if it were a device.
_DOMAIN: _Device = ("cpu", "")

#: By kind of device: the key that is there whenever an answer tells of devices of that kind.
_COUNTS: Mapping[str, str] = {
    "cpu": "cpu.time",
    "vcpu": "vcpu.current",
    "block": "block.count",
    "net": "net.count",
}


class _Reading(NamedTuple):
    """What a device counted, and when.

    :param at_s: by a clock that only goes forward.
    """

    at_s: float
    counters: _Counters


_Readings = dict[_Device, _Reading]


class Rates:
    """The rates of one hypervisor's domains, from its samples in their order."""

    def __init__(self) -> None:
        #: By uuid. A domain that misses a round is remembered until it is listed no more.
        self._before: dict[str, _Readings] = {}

    def read(self, sample: Sample) -> dict[str, DomainRates]:
        """What a whole sample says beside those before it, by uuid, of domains that answered."""
        found = {domain.uuid: self.of(domain, sample) for domain in sample.domains if domain.stats}
        self.end(sample)
        return found

    def end(self, sample: Sample) -> None:
        """A round is over: forget the domains that are listed no more."""
        if sample.round.connected:
            there = {domain.uuid for domain in sample.domains}
            for uuid in self._before.keys() - there:
                del self._before[uuid]

    def of(self, domain: DomainSample, sample: Sample) -> DomainRates:
        """What one domain of a sample, or of a part of it, says beside those before it.

        When all have been asked for, ``end`` is to be called with the round's own sample.
        """
        stats = domain.stats
        at_s = domain.at_s or sample.time_ns / _NS
        now = {device: _Reading(at_s, counters) for device, counters in _counters(stats)}
        before = self._before.get(domain.uuid, {})
        if _is_another_run(now, before):
            before = {}
        absent = {device: before[device] for device in before if _is_untold(device, now, stats)}
        self._before[domain.uuid] = {**absent, **now}
        grown = _Grown(now, before)
        cpu = grown.percent(_DOMAIN, "cpu.time")
        vcpus, cpus = number(stats, "vcpu.current", "vcpu.maximum"), sample.node_cpus
        polled = (grown.percent(_DOMAIN, counter) for counter in _POLLED)
        return DomainRates(
            uuid=domain.uuid,
            name=domain.name,
            seconds=grown.seconds(_DOMAIN),
            cpu_percent=cpu,
            cpu_percent_of_vcpus=cpu / vcpus if cpu is not None and vcpus else None,
            cpu_percent_of_host=cpu / cpus if cpu is not None and cpus else None,
            halt_poll_percent=sum_of_known(polled),
            memory_used=_memory_used(stats),
            memory_age_s=memory_age(stats, sample.time_ns),
            vcpus=tuple(_vcpu(vcpu, grown) for vcpu in now if vcpu[0] == "vcpu"),
            disks=tuple(_disk(disk, grown) for disk in now if disk[0] == "block"),
            nics=tuple(_nic(nic, grown) for nic in now if nic[0] == "net"),
        )


class _Grown:
    """By how much counters grew since the readings before."""

    def __init__(self, now: _Readings, before: _Readings) -> None:
        self._now = now
        self._before = {device: before[device] for device in now if _goes_on(device, now, before)}

    def seconds(self, device: _Device) -> Optional[float]:
        """Between the two readings of a device; None if there is only one."""
        before = self._before.get(device)
        return None if before is None else self._now[device].at_s - before.at_s

    def by(self, device: _Device, counter: str) -> Optional[int]:
        """By how much a device's counter grew."""
        before, now = self._before.get(device), self._now[device].counters.get(counter)
        if before is None or now is None or counter not in before.counters:
            return None
        return now - before.counters[counter]

    def per_second(self, device: _Device, counter: str) -> Optional[float]:
        grown, seconds = self.by(device, counter), self.seconds(device)
        return None if grown is None or seconds is None else grown / seconds

    def percent(self, device: _Device, counter: str) -> Optional[float]:
        """Of a counter of nanoseconds: of each second."""
        rate = self.per_second(device, counter)
        return None if rate is None else 100 * rate / _NS

    def latency_s(self, device: _Device, times: str, requests: str) -> Optional[float]:
        took, made = self.by(device, times), self.by(device, requests)
        return None if took is None or not made else took / made / _NS


def _goes_on(device: _Device, now: _Readings, before: _Readings) -> bool:
    """Whether a device has been read before, and none of its counters has begun anew."""
    earlier, later = before.get(device), now[device]
    if earlier is None or later.at_s <= earlier.at_s:
        return False
    return all(
        value >= earlier.counters.get(counter, 0) for counter, value in later.counters.items()
    )


def _is_another_run(now: _Readings, before: _Readings) -> bool:
    """Whether the domain was started anew: its CPU time, which only grows, is less."""
    if _DOMAIN not in now or _DOMAIN not in before:
        return False
    spent, spent_before = (each[_DOMAIN].counters.get("cpu.time") for each in (now, before))
    return spent is not None and spent_before is not None and spent < spent_before


def _is_untold(device: _Device, now: _Readings, stats: Stats) -> bool:
    """Whether an answer is silent about a device, as of disks whose storage hangs, or of groups
    that not every round asks for. One of a kind that it does tell of has been unplugged.
    """
    return device not in now and _COUNTS[device[0]] not in stats


def _vcpu(vcpu: _Device, grown: _Grown) -> VcpuRates:
    return VcpuRates(int(vcpu[1]), grown.percent(vcpu, "time"), grown.percent(vcpu, "delay"))


def _disk(disk: _Device, grown: _Grown) -> DiskRates:
    took = sum_of_known(grown.per_second(disk, f"{kind}.times") for kind in ("rd", "wr", "fl"))
    return DiskRates(
        name=disk[1],
        read_bytes=grown.per_second(disk, "rd.bytes"),
        written_bytes=grown.per_second(disk, "wr.bytes"),
        reads=grown.per_second(disk, "rd.reqs"),
        writes=grown.per_second(disk, "wr.reqs"),
        flushes=grown.per_second(disk, "fl.reqs"),
        read_latency_s=grown.latency_s(disk, "rd.times", "rd.reqs"),
        write_latency_s=grown.latency_s(disk, "wr.times", "wr.reqs"),
        flush_latency_s=grown.latency_s(disk, "fl.times", "fl.reqs"),
        queue=None if took is None else took / _NS,
    )


def _nic(nic: _Device, grown: _Grown) -> NicRates:
    return NicRates(nic[1], *(grown.per_second(nic, counter) for counter in _OF_NIC))


def _counters(stats: Stats) -> Iterable[tuple[_Device, _Counters]]:
    """The counters of a domain and its devices."""
    found: dict[tuple[str, str], _Counters] = {}
    for key, value in stats.items():
        word, _, rest = key.partition(".")
        ends = _ENDS.get(word)
        if ends is None or type(value) is not int or value < 0:
            continue
        index, _, end = rest.partition(".")
        if end in ends and index.isdecimal():
            found.setdefault((word, index), {})[end] = value
    own = {key: spent for key in _OF_DOMAIN if (spent := number(stats, key)) is not None}
    yield _DOMAIN, own
    named: set[_Device] = set()
    for (word, index), counters in found.items():
        name = index if word == "vcpu" else str(stats.get(f"{word}.{index}.name") or index)
        device = (word, name)
        if device not in named:  # while a disk is copied, its copy has the same name
            named.add(device)
            yield device, counters


_ENDS: Mapping[str, frozenset[str]] = {
    "block": frozenset(_OF_DISK),
    "net": frozenset(_OF_NIC),
    "vcpu": frozenset(_OF_VCPU),
}


def _memory_used(stats: Stats) -> Optional[int]:
    available = number(stats, "balloon.available")
    usable = number(stats, "balloon.usable", "balloon.unused")
    if available is None or usable is None or not 0 <= usable <= available:
        return None
    return (available - usable) * _KIB


def number(stats: Stats, *keys: str) -> Optional[int]:
    """The integer under the first of the keys that has one; None if none has."""
    for key in keys:
        value = stats.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def sum_of_known(values: Iterable[Optional[float]]) -> Optional[float]:
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
