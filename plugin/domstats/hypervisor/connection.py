"""One connection to a hypervisor, read-only.

The only module, beside ``classic``, that imports libvirt. It turns libvirt's calls into plain
values and libvirt's errors into the package's own. A call may block for as long as the hypervisor
likes, so whoever makes one must be ready to lose the thread. libvirt lets several threads use a
connection, and so does this: one that lists and asks controls, and one that asks domains.
It must not know rounds, domains that hang, or settings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional, TypeVar
from uuid import UUID

from ..domain_xml.disk_counters import Disk
from ..drivers import driver_named
from ..errors import (
    CallError,
    ConnectionLostError,
    DomainGoneError,
    HypervisorError,
    LibvirtMissingError,
    TooLargeError,
    UnsupportedError,
)
from ..events import RawEvent
from ..model import Stats
from . import classic
from .binding import absence, libvirt
from .remedies import this_interpreter, why_no_libvirt, why_unreachable

T = TypeVar("T")

#: Keepalive: a ping after so many idle seconds, and so many unanswered ones end the connection.
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 6

#: What ``virDomainGetControlInfo`` calls a monitor that is busy with a command, and one in which
#: somebody is while the domain has a job.
CONTROL_OCCUPIED = 2
CONTROL_JOB = 1

#: From this libvirt on (as virConnectGetLibVersion has it) a disk's counters come with its sizes.
#: It was 11.10 that brought that; the one before is left out to be on the safe side.
_LOOKS_AT_FILES_FROM = 11_009_000

#: A domain as the hypervisor lists it: uuid, name, and whether it is active.
Listed = tuple[str, str, bool]

#: A domain's part of a bulk answer, by uuid.
Record = tuple[str, Stats]


class Control(NamedTuple):
    """The state of a domain's monitor: ``CONTROL_OCCUPIED`` since ``busy_s`` seconds, or not; with
    ``CONTROL_JOB`` these are the seconds since the job began."""

    state: int
    busy_s: float


class Watch(NamedTuple):
    """Which of the hypervisor's events are wanted, and who is told.

    :param sources: numbers of virDomainEventID.
    :param begin: is called before a new connection brings its first event; those of the
        connection before have ended then.
    :param call_back: is called in libvirt's thread, and must not block.
    :param unsupported: is called with a source that the hypervisor does not have.
    """

    sources: Sequence[int]
    begin: Callable[[], None]
    call_back: Callable[[RawEvent], None]
    unsupported: Callable[[int], None]


class Connection:
    """A read-only connection to one hypervisor, opened by the first call that needs it.

    Every method raises HypervisorError when the hypervisor cannot be reached or the connection
    is lost (the next call opens it anew), and CallError (DomainGoneError, UnsupportedError,
    TooLargeError) when the connection lives and the call failed.

    :param uri: libvirt's connection URI.
    :param watch: the events that are wanted; they come for as long as the connection is open.
    :param keepalive: whether the server is pinged, so that a call does not wait for ever for a
        host or a network that is gone. That takes libvirt's event loop, which makes each call
        dearer by twice what it costs; a server of this host closes its socket when it ends.
    :param shared: whether a second thread uses it. libvirt would free the connection under a call
        of the other thread if it were closed, so it is let go then, and closed by the last user.
    :ivar opened: how many times it has been opened.
    """

    def __init__(
        self,
        uri: str,
        watch: Optional[Watch] = None,
        *,
        keepalive: bool = False,
        shared: bool = False,
    ) -> None:
        self.uri = uri
        self._is_shared = shared
        self._keepalive = keepalive
        self._watch = watch
        self._subscription: Optional[_Subscription] = None
        self.opened = 0
        self._opening = threading.RLock()
        self._conn: Optional[libvirt.virConnect] = None
        self._domains: dict[str, libvirt.virDomain] = {}
        self._driver = ""
        self._server_version = 0
        self._nowait = True
        self._bulk = True
        self._devices = classic.DeviceCache()

    @property
    def has_monitors(self) -> bool:
        """Whether the driver asks a monitor, which may be busy or hang; known once connected."""
        return driver_named(self._driver).has_monitors

    def connect(self) -> None:
        """Open the connection, unless it is open (virConnectOpenReadOnly)."""
        with self._opening:
            if self._conn is None:
                self._connect()

    def _connect(self) -> None:
        prepare_libvirt(self._keepalive or bool(self._watch and self._watch.sources))
        try:
            conn = libvirt.openReadOnly(self.uri)
        except libvirt.libvirtError as error:
            raise HypervisorError(why_unreachable(self.uri, words_of(error))) from None
        if self._keepalive:
            with suppress(libvirt.libvirtError):  # a driver without a daemon has none
                conn.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        self._domains = {}
        self._nowait = self._bulk = True
        self._server_version = 0
        self.opened += 1
        try:
            self._driver = conn.getType().upper()
            self._conn = conn  # from now on another thread may use it
            if self._watch is not None:
                self._watch.begin()
                self._subscription = _Subscription(conn, self._watch)
                self._subscription.begin()
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def close(self) -> None:
        """Close it; errors of a connection that is broken anyway do not matter.

        No event is told any more once this returns.
        """
        conn, self._conn, self._domains = self._conn, None, {}
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.end()
        if conn is not None and not self._is_shared:
            with suppress(libvirt.libvirtError):
                conn.close()

    def node_cpus(self) -> int:
        """Physical CPUs of the host that are online (virNodeGetInfo)."""
        try:
            return int(self._open().getInfo()[2])
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def version(self) -> str:
        """What the hypervisor is, with its version and that of libvirt on its host, for people.

        virConnectGetVersion and virConnectGetLibVersion, which no monitor is asked for; of QEMU
        libvirt may have to learn anew what it can, which takes seconds.
        """
        conn = self._open()
        try:
            hypervisor, server = _dotted(conn.getVersion()), _dotted(conn.getLibVersion())
        except libvirt.libvirtError as error:
            raise self._translated(error) from None
        return f"{self._driver} {hypervisor} (libvirt {server})"

    def list_domains(self, inactive: bool) -> list[Listed]:
        """The active domains, and those defined but not started if ``inactive``.

        One priority call (virConnectListAllDomains): it answers even when all ordinary workers
        of the server are stuck.
        """
        conn = self._open()
        flags = 0 if inactive else libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        try:
            found = conn.listAllDomains(flags)
            domains = self._domains = {_uuid_text(domain.UUID()): domain for domain in found}
            return [
                (uuid, domain.name(), not inactive or domain.ID() >= 0)
                for uuid, domain in domains.items()
            ]
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def ids(self) -> dict[str, int]:
        """By uuid: the ids of the domains in the last list, -1 for those that were not active."""
        return {uuid: domain.ID() for uuid, domain in self._domains.items()}

    def stats(self, uuids: Sequence[str], groups: frozenset[str]) -> list[Record]:
        """Ask for the groups of some domains with one bulk call (virDomainListGetStats).

        NOWAIT is set: a domain whose monitor is busy with somebody else's command answers
        without what only the monitor knows. A domain that does not exist any more is left out.
        Groups of ``model.MONITOR_FREE_GROUPS`` alone ask no monitor; so does no group at all.
        What the driver does not send in bulk is added by classic calls under the same keys.
        """
        conn = self._open()
        try:
            domains = self._handles(uuids)
            if not domains:
                return []
            driver = driver_named(self._driver)
            # The state tells which classic calls make sense.
            needed = groups if driver.is_complete_in_bulk else groups | {"state"}
            records = self._bulk_records(conn, domains, needed)
            if driver.is_complete_in_bulk and self._bulk:
                return records
            for uuid, stats in records:
                classic.complete(self._domains[uuid], stats, groups & driver.groups, self._devices)
                for key in driver.misnamed:
                    stats.pop(key, None)
            return records
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def add_classic(self, records: Iterable[Record], wanted: frozenset[str]) -> list[Record]:
        """Add to each record what calls that need no monitor tell of its domain.

        Up to three calls for each domain, which never block: virDomainGetInfo,
        virDomainGetCPUStats (total), virDomainGetVcpus. Of a domain that stands still for an I/O
        error also virDomainGetDiskErrors, which asks the monitor; for those of jobs also
        virDomainGetJobStats, which asks it of a job that runs.

        :param wanted: of ``model.CLASSIC``.
        :returns: the records without those of domains that have ended meanwhile.
        """
        wanted = driver_named(self._driver).classic(wanted)
        try:
            return [
                record
                for record in records
                if (domain := self._domains.get(record[0])) is not None
                and classic.add_classic(domain, record[1], wanted)
            ]
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def add_disk_counters(
        self, records: Iterable[Record], disks: Mapping[str, Sequence[Disk]]
    ) -> list[Record]:
        """Add to each record the counters of its domain's disks, without a look at their files.

        For each domain virDomainGetControlInfo, which never blocks, and for each disk
        virDomainBlockStatsFlags, which asks the monitor. A server for which it is not certain that
        this call looks at no file is not asked.

        :param disks: by uuid: the disks to ask for.
        :returns: the records without those of domains that have ended meanwhile.
        """
        records = list(records)
        try:
            if not self._counts_without_files():
                return records
            return [
                record
                for record in records
                if (domain := self._domains.get(record[0])) is not None
                and classic.add_disk_counters(domain, record[1], disks.get(record[0], ()))
            ]
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def add_disk_sizes(
        self, records: Iterable[Record], images: Mapping[str, frozenset[str]]
    ) -> list[Record]:
        """Add to records the sizes of disks that a bulk answer does not tell.

        virDomainGetBlockInfo for each such disk, which asks the monitor and looks at the file.

        :param images: by uuid: the domains to ask, and the targets of their qcow2 files.
        :returns: the records without those of domains that have ended meanwhile.
        """
        records = list(records)
        if not driver_named(self._driver).is_complete_in_bulk:
            return records  # the classic calls have told them
        try:
            return [
                record
                for record in records
                if record[0] not in images
                or (
                    (domain := self._domains.get(record[0])) is not None
                    and classic.add_disk_sizes(domain, record[1], images[record[0]])
                )
            ]
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def _counts_without_files(self) -> bool:
        """Whether the server tells counters of disks without a look at their files.

        From 11.10 on, libvirt asks QEMU for the sizes in the same call.
        """
        if not driver_named(self._driver).is_complete_in_bulk:
            return False
        if not self._server_version:
            self._server_version = self._open().getLibVersion()
        return self._server_version < _LOOKS_AT_FILES_FROM

    def control(self, uuids: Iterable[str]) -> dict[str, Control]:
        """The state of the domains' monitors (virDomainGetControlInfo); it never blocks.

        A domain of which it cannot be had, since it has ended or been stopped, is left out.
        Raises UnsupportedError for a driver without it.
        """
        controls: dict[str, Control] = {}
        try:
            for uuid, domain in self._handles(list(uuids)).items():
                try:
                    state, _, busy_ms = domain.controlInfo()
                except libvirt.libvirtError as error:
                    if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT or not self._is_alive():
                        raise
                    continue
                controls[uuid] = Control(int(state), busy_ms / 1000)
        except libvirt.libvirtError as error:
            raise self._translated(error) from None
        return controls

    def xml(self, uuid: str) -> str:
        """A domain's live XML (virDomainGetXMLDesc); it may wait behind a job of the domain.

        Raises TooLargeError if it has more than the 4 MiB that libvirt sends: with metadata of
        several namespaces it may.
        """
        try:
            for domain in self._handles([uuid]).values():
                return str(domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if "nable to decode" in str(error) and self._is_alive():
                raise TooLargeError(f"{self.uri}: {words_of(error)}") from None
            raise self._translated(error) from None
        raise DomainGoneError(f"the domain {uuid} has ended")

    def ask(self, question: Callable[[Any], T]) -> T:
        """What libvirt answers to a question that is put to its own object for this connection."""
        conn = self._open()
        try:
            return question(conn)
        except libvirt.libvirtError as error:
            raise self._translated(error) from None

    def _open(self) -> libvirt.virConnect:
        conn = self._conn
        while conn is None:  # the other thread may have found it lost, and closed it
            self.connect()
            conn = self._conn
        return conn

    def _handles(self, uuids: Sequence[str]) -> dict[str, libvirt.virDomain]:
        """This connection's own handles for the domains: one call takes those of one connection."""
        self._open()
        if not self._domains.keys() >= set(uuids):
            self.list_domains(inactive=True)
        domains = self._domains
        return {uuid: domains[uuid] for uuid in uuids if uuid in domains}

    def _bulk_records(
        self,
        conn: libvirt.virConnect,
        domains: dict[str, libvirt.virDomain],
        groups: frozenset[str],
    ) -> list[Record]:
        if not self._bulk:
            return list(self._states(domains))
        handles = list(domains.values())
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT if self._nowait else 0
        try:
            # No group at all would mean every group, and wait for the monitor.
            answer = conn.domainListGetStats(handles, _mask(groups or _LEAST), flags)
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code == libvirt.VIR_ERR_NO_SUPPORT and conn.isAlive():
                self._bulk = False
            elif code == libvirt.VIR_ERR_INVALID_ARG and self._nowait and "flags" in str(error):
                self._nowait = False  # a server from before libvirt 4.5 refuses the flag
            else:
                raise
            return self._bulk_records(conn, domains, groups)
        # libvirt keeps the order and leaves out who has ended. Names are cheaper to have than
        # uuids; if all are as they were asked for, so are the domains.
        if [domain.name() for domain, _ in answer] == [domain.name() for domain in handles]:
            return [(uuid, stats) for uuid, (_, stats) in zip(domains, answer)]
        return [(domain.UUIDString(), stats) for domain, stats in answer]

    def _states(self, domains: dict[str, libvirt.virDomain]) -> Iterator[Record]:
        """The frame of an answer from a driver without the bulk call; classic calls fill it."""
        for uuid, domain in domains.items():
            try:
                yield uuid, classic.state(domain)
            except libvirt.libvirtError as error:
                if not _is_gone(error):
                    raise

    def _translated(self, error: libvirt.libvirtError) -> Exception:
        """The package's error for libvirt's; a lost connection is given up for the next call."""
        code = error.get_error_code()
        text = words_of(error)
        too_large = code == libvirt.VIR_ERR_RPC and any(sign in text for sign in _TOO_LARGE)
        if not self._is_alive():
            self.close()
            if not too_large:
                return ConnectionLostError(f"{self.uri}: the connection is lost: {text}")
        if too_large:
            return TooLargeError(f"{self.uri}: {text}")
        if _is_gone(error):
            return DomainGoneError(f"{self.uri}: {text}")
        if code == libvirt.VIR_ERR_NO_SUPPORT:
            return UnsupportedError(f"{self.uri}: {text}")
        return CallError(f"{self.uri}: {text}")

    def _is_alive(self) -> bool:
        conn = self._conn
        try:
            return conn is not None and bool(conn.isAlive())
        except libvirt.libvirtError:
            return False


class _Subscription:
    """The callbacks of one connection, which libvirt calls in the thread of its event loop.

    libvirt keeps a connection alive for as long as it has callbacks, and they keep this object;
    so it must not know the ``Connection``, and has to be ended.
    """

    def __init__(self, conn: libvirt.virConnect, watch: Watch) -> None:
        self._conn = conn
        self._sources = watch.sources
        self._unsupported = watch.unsupported
        self._call_back: Optional[Callable[[RawEvent], None]] = watch.call_back
        self._telling = threading.Lock()
        self._callbacks: list[int] = []

    def begin(self) -> None:
        """Register (virConnectDomainEventRegisterAny). Raises libvirtError if the connection is
        lost meanwhile."""
        for source in self._sources:
            try:
                number = self._conn.domainEventRegisterAny(None, source, self._called, source)
            except libvirt.libvirtError:
                if not self._conn.isAlive():
                    raise
                self._unsupported(source)
            else:
                self._callbacks.append(number)

    def end(self) -> None:
        """Tell nothing any more, and deregister."""
        with self._telling:
            self._call_back = None
        for number in self._callbacks:
            with suppress(libvirt.libvirtError):
                self._conn.domainEventDeregisterAny(number)
        self._callbacks = []

    def _called(self, _conn: libvirt.virConnect, domain: libvirt.virDomain, *rest: Any) -> None:
        """libvirt's callback: arguments of the event, and last the source."""
        *arguments, source = rest
        with suppress(libvirt.libvirtError), self._telling:  # nobody is there to be told
            if self._call_back is not None:
                uuid, name, number = domain.UUIDString(), domain.name(), domain.ID()
                values = tuple(arguments)
                self._call_back(RawEvent(source, uuid, name, number, values, time.time_ns()))


#: How a client or a server says that a message is beyond the protocol's limit.
_TOO_LARGE = ("too large", "too big", "Too many", "nable to encode", "exceeds")


@lru_cache(maxsize=65536)
def _uuid_text(raw: bytes) -> str:
    """A uuid as libvirt writes it, and the same object each time."""
    return str(UUID(bytes=raw))


def _dotted(number: int) -> str:
    """A version as libvirt has it: 7002022 is 7.2.22."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _is_gone(error: libvirt.libvirtError) -> bool:
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def words_of(error: libvirt.libvirtError) -> str:
    """What libvirt says, in one line."""
    return " ".join(str(error).split()) or "unknown error"


def _mask(groups: frozenset[str]) -> int:
    mask = 0
    for group in groups:
        mask |= _GROUP_BITS[group]
    return mask


#: virDomainStatsTypes; 9.0 has them all, so the numbers stand here for older bindings.
_GROUP_BITS: dict[str, int] = {
    "state": 1 << 0,
    "cpu_total": 1 << 1,
    "balloon": 1 << 2,
    "vcpu": 1 << 3,
    "interface": 1 << 4,
    "block": 1 << 5,
    "perf": 1 << 6,
    "iothread": 1 << 7,
    "memory": 1 << 8,
    "dirtyrate": 1 << 9,
    "vm": 1 << 10,
}


#: What is asked for where no group is wanted.
_LEAST = frozenset({"state"})

_prepared = threading.Lock()
_is_quiet = False
_has_loop = False


def prepare_libvirt(needs_loop: bool) -> None:
    """What libvirt wants once in a process: quiet errors, and an event loop where one is needed.

    Both are the process's own. libvirt ignores a second event implementation; its loop may be
    run by several threads, as when collectd's ``virt`` is loaded beside us.

    Raises LibvirtMissingError if there is no libvirt.
    """
    global _is_quiet, _has_loop
    if libvirt is None:
        reason = absence or ImportError("no reason is known")
        raise LibvirtMissingError(why_no_libvirt(reason, this_interpreter()))
    with _prepared:
        if not _is_quiet:
            libvirt.registerErrorHandler(_ignore, None)
            _is_quiet = True
        if needs_loop and not _has_loop:
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, name="domstats-events", daemon=True).start()
            _has_loop = True


def library_version() -> str:
    """The version of this host's libvirt library (virGetVersion); empty where there is none."""
    return "" if libvirt is None else _dotted(libvirt.getVersion())


def release_libvirt() -> None:
    """Take our error handler out before the interpreter ends; others may use libvirt after us."""
    with _prepared:
        if _is_quiet:
            libvirt.registerErrorHandler(None, None)


def _ignore(_context: object, _error: object) -> None:
    """libvirt would print each error on stderr; ours are raised, and told once."""


def _run_events() -> None:
    # The timer wakes the loop now and then, so that it never ends for want of sources.
    libvirt.virEventAddTimeout(60_000, lambda timer, opaque: None, None)
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            threading.Event().wait(1)
