"""What ``domstats top`` shows of hypervisors, their domains and one domain's devices.

Pure: samples in, rows and numbers out. It must not know terminals, nor how anything is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Optional

from ..model import DomainSample, Sample, Status
from ..rates import DiskRates, DomainRates, Rates, number, sum_of_known
from .figures import by_the_second, memory_of, state_of

#: Rounds of which a domain's CPU percent is remembered.
HISTORY = 60
#: Log lines, changes and events that are remembered of a hypervisor.
MESSAGES = 200
#: Seconds beyond which a guest's own figures of memory are stale: several periods of its driver.
STALE_S = 60.0


class Row(NamedTuple):
    """One domain. None stands for what is not known, or not yet.

    :param hung_s: for how long it does not answer; None if it does.
    :param reason: why groups are missing; empty if none are.
    :param cpu: percent of one physical CPU.
    :param steal: percent of the time in which its vCPUs waited for one, their mean.
    :param memory: bytes that the guest uses, if it says so, else that it has.
    :param memory_age: seconds, of the guest's own figures.
    :param read: bytes a second of all its disks; so are ``written``, and ``received`` and ``sent``
        of its network interfaces.
    :param latency: seconds that a request to its disks took on average.
    :param pressure: percent of the last ten seconds in which something of it waited for CPU, disks
        or memory, the worst of the three: the kernel's own word for starved.
    :param history: CPU percent in the latest rounds, the newest last.
    """

    uri: str
    uuid: str
    name: str
    state: str
    active: bool
    hung_s: Optional[float] = None
    reason: str = ""
    cpu: Optional[float] = None
    steal: Optional[float] = None
    memory: Optional[int] = None
    memory_age: Optional[float] = None
    read: Optional[float] = None
    written: Optional[float] = None
    latency: Optional[float] = None
    received: Optional[float] = None
    sent: Optional[float] = None
    pressure: Optional[float] = None
    history: Sequence[float] = ()

    @property
    def is_stale(self) -> bool:
        """Whether the memory is what the guest used some time ago."""
        return self.memory_age is not None and self.memory_age > STALE_S


class Host(NamedTuple):
    """One hypervisor.

    :param vcpus: of its running domains, all together; ``cpus`` are the physical ones.
    :param cpu: percent of one physical CPU that they use.
    :param allotted: bytes of memory that they have, all together.
    :param hung: domains that do not answer.
    :param error: why it cannot be asked; empty if it can.
    """

    uri: str
    domains: int = 0
    running: int = 0
    cpus: int = 0
    vcpus: int = 0
    cpu: Optional[float] = None
    allotted: int = 0
    duration_s: float = 0.0
    hung: int = 0
    stuck_calls: int = 0
    silent_storage: int = 0
    error: str = ""


class Book:
    """What is known of one hypervisor, by its samples in their order.

    :ivar host: the hypervisor itself.
    :ivar rows: its domains, as it lists them.
    :ivar messages: what was logged or happened, the newest last.
    """

    def __init__(self, uri: str) -> None:
        self.host = Host(uri, error="not asked yet")
        self.rows: list[Row] = []
        self.messages: deque[str] = deque(maxlen=MESSAGES)
        self._rates = Rates()
        self._by_uuid: Mapping[str, DomainRates] = {}
        self._samples: dict[str, DomainSample] = {}
        self._history: dict[str, deque[float]] = {}

    def read(self, sample: Sample) -> None:
        """A round is over."""
        if not sample.round.connected:
            self.host = Host(self.host.uri, error=sample.round.error or "it cannot be asked")
            self.rows = []
            return
        self._by_uuid = self._rates.read(sample)
        self._samples = {domain.uuid: domain for domain in sample.domains}
        self._history = {
            uuid: self._history.get(uuid) or deque(maxlen=HISTORY) for uuid in self._samples
        }
        self.rows = [self._row(domain, sample) for domain in sample.domains]
        self.host = _host(sample, self.rows)
        self.messages.extend(_happened(sample))

    def of(self, uuid: str) -> Optional[tuple[DomainSample, DomainRates]]:
        """What is known of one domain; None if it is listed no more."""
        domain = self._samples.get(uuid)
        if domain is None:
            return None
        return domain, self._by_uuid.get(uuid, DomainRates(uuid, domain.name))

    def _row(self, domain: DomainSample, sample: Sample) -> Row:
        rates = self._by_uuid.get(domain.uuid, DomainRates(domain.uuid, domain.name))
        history = self._history[domain.uuid]
        if rates.cpu_percent is not None:
            history.append(rates.cpu_percent)
        hung = domain.status is Status.UNRESPONSIVE
        since = sample.time_ns if domain.since_ns is None else domain.since_ns
        return Row(
            uri=sample.uri,
            uuid=domain.uuid,
            name=domain.name,
            state=state_of(domain),
            active=domain.active,
            hung_s=max(0, sample.time_ns - since) / 1e9 if hung else None,
            reason=domain.reason if domain.status is not Status.FRESH else "",
            steal=mean_of_known(vcpu.steal_percent for vcpu in rates.vcpus),
            memory=memory_of(domain, rates.memory_used),
            memory_age=rates.memory_age_s,
            latency=latency(rates.disks),
            pressure=_pressure(domain),
            history=tuple(history),
            **by_the_second(rates),
        )


def latency(disks: Iterable[DiskRates]) -> Optional[float]:
    """Seconds that a request took on average, by Little's law: those under way by their rate."""
    disks = [disk for disk in disks if disk.queue is not None]
    made = sum_of_known(each for disk in disks for each in (disk.reads, disk.writes, disk.flushes))
    return sum(disk.queue or 0 for disk in disks) / made if made else None


def _pressure(domain: DomainSample) -> Optional[float]:
    found = (domain.beside or {}).get
    waits = (found(f"pressure.{resource}.some_avg10") for resource in ("cpu", "io", "memory"))
    return max((wait for wait in waits if wait is not None), default=None)


def mean_of_known(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _host(sample: Sample, rows: Sequence[Row]) -> Host:
    running = [domain for domain in sample.domains if domain.active]
    has = (number(domain.stats, "balloon.current", "balloon.maximum") for domain in running)
    vcpus = (number(domain.stats, "vcpu.current", "vcpu.maximum") for domain in running)
    return Host(
        uri=sample.uri,
        domains=len(rows),
        running=len(running),
        cpus=sample.node_cpus,
        vcpus=sum(each or 0 for each in vcpus),
        cpu=sum_of_known(row.cpu for row in rows),
        allotted=1024 * sum(each or 0 for each in has),
        duration_s=sample.round.duration_s,
        hung=sample.round.unresponsive,
        stuck_calls=sample.round.stuck_calls,
        silent_storage=sample.round.silent_storage,
    )


def _happened(sample: Sample) -> Iterable[str]:
    for event in sample.events:
        detail = f" ({event.detail})" if event.detail else ""
        yield f"{event.name or sample.uri}: {event.kind} {event.event}{detail}"


# --- Order --------------------------------------------------------------------------------------

#: By what domains can be sorted: what counts, the greatest first.
ORDERS: Mapping[str, Callable[[Row], Optional[float]]] = {
    "CPU": lambda row: row.cpu,
    "steal": lambda row: row.steal,
    "pressure": lambda row: row.pressure,
    "memory": lambda row: row.memory,
    "disk": lambda row: sum_of_known((row.read, row.written)),
    "latency": lambda row: row.latency,
    "network": lambda row: sum_of_known((row.received, row.sent)),
    "name": lambda row: None,
}


def ordered(
    rows: Iterable[Row], by: str, reverse: bool = False, part: str = "", with_off: bool = True
) -> list[Row]:
    """The domains as they are shown: those that hang first, the longest at the top.

    :param by: of ``ORDERS``; what is not known comes last, and equal ones by name.
    :param part: only those with this in their name or hypervisor, in upper or lower case.
    :param with_off: also those that do not run.
    """
    part = part.lower()
    wanted = [
        row
        for row in rows
        if (with_off or row.active) and (part in row.name.lower() or part in row.uri.lower())
    ]
    wanted.sort(key=lambda row: (row.name, row.uri, row.uuid), reverse=reverse and by == "name")
    key = ORDERS[by]
    sign = 1 if reverse else -1
    wanted.sort(key=lambda row: (key(row) is None, sign * (key(row) or 0)))
    wanted.sort(key=lambda row: (row.hung_s is None, -(row.hung_s or 0)))
    return wanted
