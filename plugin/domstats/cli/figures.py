"""The numbers that people look at: what a sample says of each domain, as totals or as rates.

Pure: samples in, numbers out. It must not know how they are shown. What libvirt counts since a
domain was started becomes a rate as soon as there is an earlier sample of the same domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from ..model import DomainSample, Sample, Stats, Status
from ..rates import DomainRates, Rates, number, sum_of_known

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

#: What is shown of disks and network interfaces: the field, and the keys that count it.
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


class Meter:
    """Makes figures of one hypervisor's samples, in the order in which they were taken."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._rounds = 0

    def read(self, sample: Sample) -> Picture:
        """What a sample says, beside those before it."""
        is_first = self._rounds == 0
        rates = self._rates.read(sample)
        domains = []
        for domain in sample.domains:
            its = rates.get(domain.uuid, DomainRates(domain.uuid, domain.name))
            counted = _totals(domain.stats) if is_first else by_the_second(its)
            domains.append(_figures(domain, counted, its.memory_used, sample.time_ns))
        self._rounds += sample.round.connected
        domains.sort(key=lambda figures: figures.name)
        return Picture(sample, not is_first, tuple(domains))


def _figures(
    domain: DomainSample,
    counted: Mapping[str, Optional[float]],
    memory_used: Optional[int],
    time_ns: int,
) -> Figures:
    most = number(domain.stats, "balloon.maximum")
    return Figures(
        name=domain.name,
        state=state_of(domain),
        status=domain.status,
        cpu=counted.get("cpu"),
        vcpus=number(domain.stats, "vcpu.current", "vcpu.maximum"),
        memory=memory_of(domain, memory_used),
        memory_max=None if most is None else most * 1024,
        read=counted.get("read"),
        written=counted.get("written"),
        received=counted.get("received"),
        sent=counted.get("sent"),
        trouble=_trouble(domain, time_ns),
    )


def memory_of(domain: DomainSample, used: Optional[int]) -> Optional[int]:
    """Bytes that a guest uses, if it says so, else that it has; None if that is not known."""
    has = number(domain.stats, "balloon.current")
    return used if used is not None else None if has is None else has * 1024


def by_the_second(rates: DomainRates) -> dict[str, Optional[float]]:
    """CPU percent, and bytes a second of all its disks and network interfaces."""
    return {
        "cpu": rates.cpu_percent,
        "read": sum_of_known(disk.read_bytes for disk in rates.disks),
        "written": sum_of_known(disk.written_bytes for disk in rates.disks),
        "received": sum_of_known(nic.received_bytes for nic in rates.nics),
        "sent": sum_of_known(nic.sent_bytes for nic in rates.nics),
    }


def _totals(stats: Stats) -> dict[str, Optional[float]]:
    """What was counted since the domain was started; seconds of CPU, and bytes."""
    found: dict[str, Optional[float]] = {}
    for key, value in stats.items():
        group, _, rest = key.partition(".")
        field = _BYTES.get((group, rest.partition(".")[2]))
        if field and isinstance(value, int) and not isinstance(value, bool):
            found[field] = (found.get(field) or 0) + value
    cpu = number(stats, "cpu.time")
    if cpu is not None:
        found["cpu"] = cpu / 1e9
    return found


def state_of(domain: DomainSample) -> str:
    """Its state in words."""
    state = number(domain.stats, "state.state")
    if domain.status is Status.GONE:
        return "gone"
    if state is None:
        return "active" if domain.active else "shut off"
    return STATES[state] if 0 <= state < len(STATES) else f"state {state}"


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
