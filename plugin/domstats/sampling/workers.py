"""Who makes the calls: workers, one call at a time each, on connections that a stuck call keeps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Callable, Optional

from ..config.settings import Settings, is_local, is_remote
from ..domain_xml.describe import describe
from ..domain_xml.device_details import DISKS
from ..domain_xml.labels import Labels
from ..engine.actions import Controls, Description
from ..engine.engine import Engine
from ..engine.rounds import Call, Kind
from ..errors import (
    ConnectionLostError,
    DomainGoneError,
    DomstatsError,
    HypervisorError,
    TooLargeError,
    UnsupportedError,
)
from ..events import SOURCES, RawEvent, wanted_sources
from ..events import read as read_event
from ..hypervisor.connection import Connection, Listed, Watch
from ..hypervisor.disk_mounts import DiskMounts
from .occupancy import Occupancy
from .threads import Strand

#: Attempts to list the domains, while connections that were made get lost.
_LISTS = 3

#: An event: a method of the engine with its arguments, but for the time.
EngineEvent = Callable[[Engine, float], None]


class Worker(Strand):
    """Makes calls, one at a time, on a connection of its own, or on that of the control worker.

    :param shared: that one; it is closed by whom it belongs to.
    :ivar number: the lowest is to be used first.
    :ivar rested_at: since when it has had nothing to do.
    """

    def __init__(
        self,
        settings: Settings,
        post: Callable[[EngineEvent], None],
        rest: Callable[[Worker], None],
        number: int,
        shared: Optional[Connection] = None,
    ) -> None:
        super().__init__()
        self.number = number
        self.rested_at = 0.0
        self._settings = settings
        self._post = post
        self._rest = rest
        self._is_shared = shared is not None
        self._connection = shared or Connection(settings.uri, keepalive=is_remote(settings.uri))
        self._labels = Labels(settings.labels)
        self._details = settings.xml_details
        is_on_host = DISKS in self._details and is_local(settings.uri)
        self._mounts = DiskMounts() if is_on_host else None

    def ask(self, call: Call) -> None:
        self.do(lambda: self._ask(call))

    def ask_version(self) -> None:
        self.do(self._ask_version)

    def end(self) -> None:
        if not self._is_shared:
            self._connection.close()
        if self._mounts is not None:
            self._mounts.close()

    def _ask_version(self) -> None:
        version = ""
        with suppress(Exception):  # no sample needs it, and a lost connection is told elsewhere
            version = self._connection.version()

        def come_back(engine: Engine, now: float) -> None:
            self._rest(self)
            engine.introduced(version)

        self._post(come_back)

    def _ask(self, call: Call) -> None:
        event: EngineEvent
        try:
            event = _ASKED_BY[call.kind](self, call)
        except Exception as error:
            failure, text = _failure(error), str(error)
            if not isinstance(error, DomstatsError):
                text = f"{self._settings.uri}: unexpected: {error!r}"

            def event(engine: Engine, now: float) -> None:
                engine.call_failed(call.id, failure, text, now)

        def come_back(engine: Engine, now: float) -> None:
            self._rest(self)
            event(engine, now)

        self._post(come_back)

    def _ask_statistics(self, call: Call) -> EngineEvent:
        records = self._connection.stats(call.uuids, call.bulk)
        if call.classic:
            records = self._connection.add_classic(records, call.classic)
        if call.counted:
            records = self._connection.add_disk_counters(records, call.counted)
        if call.sized:
            records = self._connection.add_disk_sizes(records, call.sized)
        return lambda engine, now: engine.answered(call.id, records, now)

    def _describe(self, call: Call) -> EngineEvent:
        descriptions: list[Description] = []
        for uuid in call.uuids:
            try:
                described = describe(self._connection.xml(uuid), self._labels, self._details)
                if self._mounts is not None:
                    devices = self._mounts.add_to(described.devices)
                    described = described._replace(devices=devices)
                descriptions.append(Description(uuid, *described))
            except (ValueError, TooLargeError):  # and it would be no other if asked for again
                descriptions.append(Description(uuid, labels=self._labels.none))
            except HypervisorError:
                break
            except DomstatsError:
                continue
        return lambda engine, now: engine.described(call.id, descriptions, now)


_ASKED_BY: dict[Kind, Callable[[Worker, Call], EngineEvent]] = {
    Kind.MONITOR: Worker._ask_statistics,
    Kind.FREE: Worker._ask_statistics,
    Kind.DESCRIBE: Worker._describe,
}


def _failure(error: Exception) -> str:
    """What kind of failure an error is to the engine."""
    if isinstance(error, HypervisorError):
        return "lost"
    if isinstance(error, TooLargeError):
        return "too large"
    if isinstance(error, DomainGoneError):
        return "gone"
    return "failed"


class ControlWorker(Strand):
    """Makes the priority calls, which answer even when the server's workers are all stuck.

    :ivar listens: whether it has events called back.
    """

    def __init__(self, settings: Settings, post: Callable[[EngineEvent], None]) -> None:
        super().__init__()
        self._settings = settings
        self._post = post
        watch = _event_watch(settings, post)
        self.listens = bool(watch.sources)
        self.connection = Connection(
            settings.uri,
            watch,
            keepalive=is_remote(settings.uri),
            shared=settings.one_of_many,
        )
        self._occupancy = Occupancy()
        self._node_cpus = 0
        self._node_of = 0

    def list_domains(self) -> None:
        self.do(self._list_domains)

    def ask_control(self, uuids: Sequence[str]) -> None:
        self.do(lambda: self._ask_control(uuids))

    def end(self) -> None:
        self.connection.close()

    def _list_domains(self) -> None:
        connection = self.connection
        try:
            domains = self._listed()
            ids = connection.ids() if self._settings.events else None
        except Exception as error:
            text = str(error)
            if not isinstance(error, DomstatsError):
                text = f"{self._settings.uri}: unexpected: {error!r}"
            self._post(lambda engine, now: engine.list_failed(text, now))
            return
        node_cpus, reconnects = self._node_cpus, connection.opened - 1
        has_monitors = connection.has_monitors
        self._post(
            lambda engine, now: engine.listed(
                domains,
                now,
                node_cpus=node_cpus,
                reconnects=reconnects,
                has_monitors=has_monitors,
                ids=ids,
            )
        )

    def _listed(self) -> list[Listed]:
        """The list of domains; on a new connection if the old one is lost, and once more."""
        for _ in range(_LISTS - 1):
            with suppress(ConnectionLostError):
                return self._list()
        return self._list()

    def _list(self) -> list[Listed]:
        connection = self.connection
        listed = connection.list_domains(self._settings.inactive)
        if self._node_of != connection.opened:
            self._node_cpus = connection.node_cpus()
            self._node_of = connection.opened
        return listed

    def _ask_control(self, uuids: Sequence[str]) -> None:
        controls: Controls = {}
        try:
            controls = self._occupancy.of(self.connection.control(uuids), time.monotonic())
        except UnsupportedError:
            self._post(Engine.control_unsupported)
            return
        except Exception:  # nothing was learnt; the next list tells if the hypervisor is away
            controls = {}
        self._post(lambda engine, now: engine.controls(controls, now))


def _event_watch(settings: Settings, post: Callable[[EngineEvent], None]) -> Watch:
    """The events that the engine wants, on their way to it."""

    def call_back(raw: RawEvent) -> None:
        try:
            event = read_event(raw)
        except (TypeError, LookupError):  # a libvirt that calls back with something else
            return
        post(lambda engine, now: engine.domain_event(event, now))

    def unsupported(source: int) -> None:
        kind = SOURCES[source].kind
        post(lambda engine, now: engine.events_unsupported(kind, now))

    sources = wanted_sources(settings.events, bool(settings.labels), settings.disk_throttle)
    return Watch(sources, lambda: post(Engine.subscribed), call_back, unsupported)
