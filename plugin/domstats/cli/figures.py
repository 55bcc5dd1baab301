"""The numbers that people look at: what a sample says of each domain, as totals or as rates.

Pure: samples in, numbers out. It must not know how they are shown. What libvirt counts since a
domain was started becomes a rate as soon as there is an earlier sample of the same domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from ..model import DomainSample, Sample, Stats, Status

#: virDomainState in words.
STATES: tuple[str, ...] = (
    "no state",
    "running",
    "blocked",
    "paused",
    "shutting down",
    "shut off",
    "crashed",
    "suspended",
)

#: What is counted since a domain's start, and how.
COUNTED: tuple[str, ...] = ("cpu", "read", "written", "received", "sent")

_BYTES: Mapping[tuple[str, str], str] = {
    ("block", "rd.bytes"): "read",
    ("block", "wr.bytes"): "written",
    ("net", "rx.bytes"): "received",
    ("net", "tx.bytes"): "sent",
}


class Figures(NamedTuple):
    """One domain. None stands for what is not known, or not yet.

    :param cpu: percent of one physical CPU as a rate, seconds as a total.
    :param memory: bytes that the guest uses, if it says so, else that it has.
    :param memory_max: bytes that it may have.
    :param read: of its disks, bytes per second as a rate, bytes as a total; so are ``written``,
        and ``received`` and ``sent`` of its network interfaces.
    :param trouble: what is wrong; empty for a domain that told everything.
    """

    name: str
    state: str
    status: Status
    cpu: Optional[float]
    vcpus: Optional[int]
    memory: Optional[int]
    memory_max: Optional[int]
    read: Optional[float]
    written: Optional[float]
    received: Optional[float]
    sent: Optional[float]
    trouble: str


class Picture(NamedTuple):
    """One hypervisor after one round.

    :param rates: whether what is counted is shown as rates.
    :param domains: sorted by name.
    """

    sample: Sample
    rates: bool
    domains: tuple[Figures, ...]


#: The values of one counter by device; CPU time has one.
_Values = dict[str, int]


class Meter:
    """Makes figures of one hypervisor's samples, in the order in which they were taken."""

    def __init__(self) -> None:
        #: By domain and counter: when it was told last, and what.
        self._before: dict[tuple[str, str], tuple[int, _Values]] = {}
        self._rounds = 0

    def read(self, sample: Sample) -> Picture:
        """What a sample says, beside those before it."""
        rates = self._rounds > 0
        domains = [self._figures(domain, sample.time_ns, rates) for domain in sample.domains]
        if sample.round.connected:
            self._rounds += 1
            there = {domain.uuid for domain in sample.domains}
            for key in [key for key in self._before if key[0] not in there]:
                del self._before[key]
        domains.sort(key=lambda figures: figures.name)
        return Picture(sample, rates, tuple(domains))

    def _figures(self, domain: DomainSample, time_ns: int, rates: bool) -> Figures:
        counted = _counters(domain.stats)
        numbers: dict[str, Optional[float]] = {}
        for counter in COUNTED:
            values = counted.get(counter)
            per_second = self._per_second(domain.uuid, counter, values, time_ns)
            total = sum(values.values()) if values else None
            numbers[counter] = per_second if rates else total
        cpu = numbers.pop("cpu")
        used, most = _memory(domain.stats)
        return Figures(
            name=domain.name,
            state=_state(domain),
            status=domain.status,
            cpu=None if cpu is None else cpu / (1e7 if rates else 1e9),
            vcpus=_number(domain.stats, "vcpu.current", "vcpu.maximum"),
            memory=used,
            memory_max=most,
            trouble=_trouble(domain, time_ns),
            **numbers,
        )

    def _per_second(
        self, uuid: str, counter: str, values: Optional[_Values], time_ns: int
    ) -> Optional[float]:
        """What a counter grew by each second since it was told last.

        None if it is new, or was reset: the domain was started anew, or a device replaced.
        """
        if not values:
            return None
        before_ns, before = self._before.get((uuid, counter), (time_ns, {}))
        self._before[uuid, counter] = (time_ns, values)
        grown = [value - before[device] for device, value in values.items() if device in before]
        if not grown or min(grown) < 0 or time_ns <= before_ns:
            return None
        return sum(grown) * 1e9 / (time_ns - before_ns)


def _counters(stats: Stats) -> dict[str, _Values]:
    found: dict[str, _Values] = {}
    for key, value in stats.items():
        if key.endswith(".bytes") and _is_number(value):
            group, _, rest = key.partition(".")
            index, _, what = rest.partition(".")
            counter = _BYTES.get((group, what))
            if counter:
                device = str(stats.get(f"{group}.{index}.name", index))
                found.setdefault(counter, {})[device] = int(value)
    cpu = _number(stats, "cpu.time")
    if cpu is not None:
        found["cpu"] = {"": cpu}
    return found


def _state(domain: DomainSample) -> str:
    state = _number(domain.stats, "state.state")
    if domain.status is Status.GONE:
        return "gone"
    if state is None:
        return "active" if domain.active else "shut off"
    return STATES[state] if 0 <= state < len(STATES) else f"state {state}"


def _memory(stats: Stats) -> tuple[Optional[int], Optional[int]]:
    """Bytes used and at most, of KiB in libvirt."""
    available, unused = _number(stats, "balloon.available"), _number(stats, "balloon.unused")
    used, most = _number(stats, "balloon.current"), _number(stats, "balloon.maximum")
    if available is not None and unused is not None and 0 <= unused <= available:
        used = available - unused
    return None if used is None else used * 1024, None if most is None else most * 1024


def _trouble(domain: DomainSample, now_ns: int) -> str:
    """What is wrong, in foreign text's own letters: whoever shows it makes it harmless."""
    if domain.status in (Status.FRESH, Status.GONE):
        return ""
    text = domain.status.value
    if domain.status is Status.UNRESPONSIVE and domain.since_ns is not None:
        text += f" for {max(0, now_ns - domain.since_ns) / 1e9:,.0f} s"
    if domain.missing and (domain.status is Status.PARTIAL or not domain.reason):
        text += f", no {', '.join(sorted(domain.missing))}"
    return f"{text}: {domain.reason}" if domain.reason else text


def _number(stats: Stats, *keys: str) -> Optional[int]:
    for key in keys:
        value = stats.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
