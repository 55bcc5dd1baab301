"""The hypervisor as it would be without a server: domains with their disks and states, job
locks, storages, who hangs and who was frozen by a question. Plain objects without I/O, clock
or asyncio; time is passed in, and whoever waits leaves a function to be called."""

from __future__ import annotations

import uuid as uuids
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable

from . import keys, wire
from .jobs import Jobs

RUNNING, PAUSED, SHUTOFF = 1, 3, 5
BY_BOOT, BY_USER, DESTROYED = 1, 1, 2
# controlInfo: state, and nothing to add
CONTROL_OK, CONTROL_JOB, CONTROL_OCCUPIED = 0, 1, 2
# Lifecycle events and their details.
DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED = range(6)
BY_DESTROY = 1
_RENAMED_FROM, _RENAMED_TO = 1, 2

_NAMESPACE = uuids.UUID("5d0b8a52-6f0e-4c64-9a1c-0c6f0f6a7a11")


@dataclass
class Image:
    """One image of a disk's backing chain; the first is the one the guest writes to."""

    target: str
    path: str
    index: int
    allocation: int
    capacity: int
    physical: int

    @property
    def length(self) -> int:
        """Of its file, which has holes at its end."""
        return self.physical + 4096


@dataclass
class Disk:
    target: str
    chain: list[Image]  # empty: a drive without a medium
    storage: str | None = None


@dataclass
class Interface:
    name: str
    mac: str


@dataclass(frozen=True)
class Shape:
    """What a new domain looks like. `kvm` adds the about 50 KVM statistics of each vCPU."""

    vcpus: int = 2
    vcpus_maximum: int = 0
    disks: int = 2
    interfaces: int = 1
    iothreads: int = 0
    backing: int = 0
    memory: int = 2 * 1024 * 1024  # KiB
    kvm: bool = False
    balloon_driver: bool = True
    cdrom: str = ""  # target of a drive without a medium
    perf_events: tuple[str, ...] = ()
    storage: str = "local"
    title: str | None = None  # "Guest 7" and so on by default


@dataclass
class Agent:
    """A guest agent. `mode` says how it is: `answers`; `silent`, even when it is greeted; `stuck`
    after the greeting; `dies` then; `nonsense`; `limited` to file systems.

    `said` has key, wire type and value of all that it tells; `unbounded` lets the server send more
    of it than libvirt does."""

    connected: bool = True
    mode: str = "answers"
    said: list[list[Any]] = field(default_factory=list)
    unbounded: bool = False
    calls: int = 0


class Domain:
    """One domain. What clients see changes only through its methods and the Hypervisor's, so
    that encoded answers can be kept: `version` grows with every such change."""

    calc_mode = "page-sampling"
    poll_max_ns = 32768

    def __init__(self, name: str, uuid: str, id: int, shape: Shape, folder: str) -> None:
        self.name, self.uuid, self.id, self.shape = name, uuid, id, shape
        self.uuid_bytes = uuids.UUID(uuid).bytes
        self.state, self.reason = (RUNNING, BY_BOOT) if id >= 0 else (SHUTOFF, 0)
        self.persistent = True
        self.gone = False
        self.memory = self.balloon = shape.memory
        self.metadata: dict[str, str] = {}
        self.title = ""
        self.description = ""
        self.disks = _disks(uuid, shape, folder)
        self.interfaces = _interfaces(uuid, shape)
        #: By key: type and value of all that it answers in bulk, in place of what it would.
        self.said: dict[str, tuple[int, Any]] = {}
        self.errors: dict[str, int] = {}  # disk's target: why it stands (virDomainDiskErrorCode)
        self.version = 0
        self.kept: dict = {}  # answers encoded for this version
        self.hung = False
        self.frozen_by: str | None = None
        self.job: str | None = None  # the API that holds the job lock
        self.jobs = Jobs()  # migrations, backups and the like
        self.monitor_since: float | None = None
        self.job_waiters: deque[Callable[[], None]] = deque()
        self.answer_waiters: list[Callable[[], None]] = []
        self.agent: Agent | None = None
        self.asked: Counter = Counter()  # how often each set of groups was asked for

    @property
    def running(self) -> bool:
        return self.id >= 0

    @property
    def answers(self) -> bool:
        """Whether its monitor answers."""
        return not self.hung and self.frozen_by is None

    @property
    def identity(self) -> wire.Identity:
        return wire.Identity(self.name, self.uuid_bytes, self.id)

    @property
    def vcpus_online(self) -> int:
        return self.shape.vcpus

    @property
    def vcpus_maximum(self) -> int:
        return max(self.shape.vcpus, self.shape.vcpus_maximum)

    @property
    def interface_count(self) -> int:
        return len(self.interfaces)

    @property
    def iothread_count(self) -> int:
        return self.shape.iothreads

    @property
    def most_told(self) -> str:
        """How much an answer can tell of it while it answers."""
        return keys.FULL if self.running else keys.OFF

    def changed(self) -> None:
        """What clients see of it is different from now on."""
        self.version += 1
        self.kept.clear()

    def disk(self, path: str) -> Disk:
        """The disk of that target or image path. Raises Refusal as QEMU's driver does."""
        for disk in self.disks:
            if path == disk.target or (disk.chain and path == disk.chain[0].path):
                return disk
        raise wire.Refusal(wire.INVALID_ARG, f"invalid path: {path}")

    def interface(self, name: str) -> tuple[int, Interface]:
        for n, interface in enumerate(self.interfaces):
            if name in (interface.name, interface.mac):
                return n, interface
        raise wire.Refusal(wire.INVALID_ARG, f"'{name}' is not a known interface", wire.FROM_DOMAIN)

    def take_job(self, api: str) -> bool:
        """Take the job lock for a call; False when somebody else holds it."""
        if self.job is not None:
            return False
        self.job = api
        return True

    def end_job(self) -> None:
        """Give the job lock back; whoever waits longest is told, and takes it himself."""
        self.job = None
        self.monitor_since = None
        if self.job_waiters:
            self.job_waiters.popleft()()

    def control(self, now: float) -> tuple[int, int, int]:
        """State, details, milliseconds as controlInfo has them."""
        if self.monitor_since is None:
            return CONTROL_OK, 0, 0
        if self.jobs.current is not None:
            return CONTROL_JOB, 0, self.jobs.current.milliseconds(now)
        return CONTROL_OCCUPIED, 0, int((now - self.monitor_since) * 1000)

    def tell_waiters(self) -> None:
        """Its monitor may answer again, or it is gone: wake everybody who waits for that."""
        waiters, self.answer_waiters = self.answer_waiters, []
        for wake in waiters:
            wake()


def _disks(uuid: str, shape: Shape, folder: str) -> list[Disk]:
    disks, index = [], 1
    for n in range(shape.disks):
        target = f"vd{chr(97 + n)}" if n < 26 else f"vda{chr(71 + n)}"
        chain = []
        for depth in range(shape.backing + 1):
            suffix = f".base{depth}" if depth else ""
            chain.append(
                Image(
                    target=target,
                    path=f"{folder}/{uuid}-{target}{suffix}.qcow2",
                    index=index,
                    allocation=(n + 1) << 30,
                    capacity=(n + 1) * 10 << 30,
                    physical=(n + 1) * 2 << 30,
                )
            )
            index += 1
        disks.append(Disk(target, chain, shape.storage))
    if shape.cdrom:
        disks.append(Disk(shape.cdrom, []))
    return disks


def _interfaces(uuid: str, shape: Shape) -> list[Interface]:
    tail = uuid.replace("-", "")
    return [
        Interface(f"tap{tail[:8]}.{n}", f"52:54:{tail[0:2]}:{tail[2:4]}:{tail[4:6]}:{n:02x}")
        for n in range(shape.interfaces)
    ]


@dataclass
class Storage:
    """A mount that holds disks of domains; while it hangs, looking at a disk freezes."""

    folder: str
    hung: bool = False


@dataclass
class Pool:
    """A storage pool; while it is being refreshed, whoever asks about it waits."""

    name: str
    path: str
    state: int = 2
    capacity: int = 100 << 30
    allocation: int = 60 << 30
    refreshing: bool = False
    waiters: list[Callable[[], None]] = field(default_factory=list)

    def refreshed(self) -> None:
        self.refreshing = False
        waiters, self.waiters = self.waiters, []
        for ring in waiters:
            ring()

    @property
    def uuid(self) -> bytes:
        return uuids.uuid5(_NAMESPACE, f"pool:{self.name}").bytes


@dataclass
class Hypervisor:
    """All domains of the host, by uuid and in the order they came."""

    seed: int = 0
    hostname: str = "simhost"
    lib_version: int = 9_000_000
    hypervisor_version: int = 7_002_022
    cpus: int = 8
    supported_groups: int = keys.ALL_GROUPS
    default_shape: Shape = field(default_factory=Shape)
    domains: dict[bytes, Domain] = field(default_factory=dict)
    storages: dict[str, Storage] = field(
        default_factory=lambda: {"local": Storage("/var/lib/libvirt/images")}
    )
    pools: dict[str, Pool] = field(default_factory=dict)
    frozen_by_asking: list[str] = field(default_factory=list)  # names, once per freeze
    on_event: list[Callable[[Domain, int, int], None]] = field(default_factory=list)
    _names: dict[str, Domain] = field(default_factory=dict)
    _next_id: int = 1
    _created: int = 0

    def add(
        self,
        name: str | None = None,
        shape: Shape | None = None,
        running: bool = True,
        uuid: str | None = None,
    ) -> Domain:
        """Define and start one more domain. Its uuid follows from the seed and its number."""
        number = self._created
        self._created += 1
        name = f"guest-{number:05d}" if name is None else name
        uuid = uuid or str(uuids.uuid5(_NAMESPACE, f"{self.seed}/{number}"))
        shape = shape or self.default_shape
        folder = self.storage(shape.storage).folder
        domain = Domain(name, uuid, self._take_id() if running else -1, shape, folder)
        domain.title = f"Guest {number}" if shape.title is None else shape.title
        domain.metadata[NOVA] = _nova(number)
        self.domains[domain.uuid_bytes] = domain
        self._names[name] = domain
        self._tell(domain, DEFINED, 0)
        if running:
            self._tell(domain, STARTED, 0)
        return domain

    def remove(self, domain: Domain) -> None:
        """Stop and undefine a domain; calls that wait for it go on without it."""
        was_running, domain.gone = domain.running, True
        self.domains.pop(domain.uuid_bytes, None)
        if self._names.get(domain.name) is domain:
            del self._names[domain.name]
        if was_running:
            self._tell(domain, STOPPED, BY_DESTROY)
            domain.id = -1
        domain.state, domain.reason = SHUTOFF, DESTROYED
        domain.changed()
        self._tell(domain, UNDEFINED, 0)
        domain.tell_waiters()

    def start(self, domain: Domain) -> None:
        """Start one that is shut off; it gets an id nobody had before."""
        domain.id, domain.state, domain.reason = self._take_id(), RUNNING, BY_BOOT
        domain.changed()
        self._tell(domain, STARTED, 0)

    def stop(self, domain: Domain) -> None:
        """Destroy a domain, as `virsh destroy` does; it stays defined."""
        self._tell(domain, STOPPED, BY_DESTROY)
        domain.id, domain.state, domain.reason = -1, SHUTOFF, DESTROYED
        domain.hung, domain.frozen_by = False, None
        domain.jobs = Jobs()
        domain.changed()
        domain.tell_waiters()

    def rename(self, domain: Domain, name: str) -> None:
        if self._names.get(domain.name) is domain:
            del self._names[domain.name]
        self._tell(domain, UNDEFINED, _RENAMED_FROM)
        domain.name = name
        self._names[name] = domain
        domain.changed()
        self._tell(domain, DEFINED, _RENAMED_TO)

    def suspend(self, domain: Domain, reason: int = BY_USER) -> None:
        domain.state, domain.reason = PAUSED, reason
        domain.changed()
        self._tell(domain, SUSPENDED, 0)

    def resume(self, domain: Domain) -> None:
        domain.state, domain.reason = RUNNING, 5
        domain.changed()
        self._tell(domain, RESUMED, 0)

    def hang(self, domain: Domain) -> None:
        """Its monitor no longer answers, as with `kill -STOP` of QEMU."""
        domain.hung = True

    def heal(self, domain: Domain) -> None:
        domain.hung = False
        if domain.answers:
            domain.tell_waiters()

    def storage(self, name: str) -> Storage:
        """The storage of that name, made when it is new."""
        if name not in self.storages:
            self.storages[name] = Storage(f"/mnt/{name}")
        return self.storages[name]

    def hang_storage(self, name: str) -> None:
        """From now on whoever looks at a disk there freezes its guest."""
        self.storage(name).hung = True

    @property
    def storage_hangs(self) -> bool:
        return any(storage.hung for storage in self.storages.values())

    def heal_storage(self, name: str) -> None:
        """The storage is back, and so are the guests that were frozen by it."""
        self.storage(name).hung = False
        for domain in self.domains.values():
            if domain.frozen_by == name:
                domain.frozen_by = None
                if domain.answers:
                    domain.tell_waiters()

    def look_at_disks(self, domain: Domain) -> None:
        """QEMU looks at the image files: on hung storage that freezes the whole guest."""
        if domain.frozen_by is not None:
            return
        for disk in domain.disks:
            if disk.storage and self.storage(disk.storage).hung:
                domain.frozen_by = disk.storage
                self.frozen_by_asking.append(domain.name)
                return

    def by_uuid(self, uuid: bytes, name: str = "") -> Domain:
        """Raises Refusal with libvirt's text when there is no such domain (any more)."""
        domain = self.domains.get(uuid)
        if domain is None:
            text = uuids.UUID(bytes=uuid)
            detail = f"no domain with matching uuid '{text}'" + (f" ({name})" if name else "")
            raise wire.Refusal(wire.NO_DOMAIN, detail)
        return domain

    def by_name(self, name: str) -> Domain:
        if name not in self._names:
            raise wire.Refusal(wire.NO_DOMAIN, f"no domain with matching name '{name}'")
        return self._names[name]

    def by_id(self, id: int) -> Domain:
        for domain in self.domains.values():
            if domain.id == id:
                return domain
        raise wire.Refusal(wire.NO_DOMAIN, f"no domain with matching id {id}")

    def select(self, flags: int, uuids: Iterable[bytes] | None = None) -> list[Domain]:
        """The domains that the filters of virConnectListAllDomains leave, of all or of these;
        a uuid that nobody has is passed over."""
        domains: Iterable[Domain] = self.domains.values()
        if uuids is not None:
            domains = [self.domains[uuid] for uuid in uuids if uuid in self.domains]
        for group in _FILTERS:
            chosen = [matches for bit, matches in group if flags & bit]
            if chosen and len(chosen) < len(group):
                domains = [d for d in domains if any(matches(d) for matches in chosen)]
        return list(domains)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _tell(self, domain: Domain, event: int, detail: int) -> None:
        for listener in self.on_event:
            listener(domain, event, detail)


# virConnectListAllDomainsFlags: bits of one group are alternatives.
_FILTERS = (
    ((1, lambda d: d.running), (2, lambda d: not d.running)),
    ((4, lambda d: d.persistent), (8, lambda d: not d.persistent)),
    (
        (16, lambda d: d.state == RUNNING),
        (32, lambda d: d.state == PAUSED),
        (64, lambda d: d.state == SHUTOFF),
        (128, lambda d: d.state not in (RUNNING, PAUSED, SHUTOFF)),
    ),
)

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"


def _nova(number: int) -> str:
    """What OpenStack writes about an instance, in short."""
    return (
        f'<nova:instance xmlns:nova="{NOVA}">\n'
        f"  <nova:name>instance {number}</nova:name>\n"
        f'  <nova:flavor name="m1.small"/>\n'
        f'  <nova:owner>\n    <nova:user uuid="u-{number % 50}">user{number % 50}</nova:user>\n'
        f'    <nova:project uuid="p-{number % 20}">project{number % 20}</nova:project>\n'
        f"  </nova:owner>\n"
        f"</nova:instance>"
    )
