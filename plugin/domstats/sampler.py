"""Samples one hypervisor: carries out with threads what ``engine`` decides.

One thread runs the engine; worker threads make the calls, each with a connection of its own,
which a stuck call keeps. Threads are made when they are needed first, never before the first
query, and their number is bounded by the settings alone: ``lanes + stuck_budget`` and a few. All
are daemons, and closing never waits for a stuck call.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Callable, NamedTuple, Optional, Union
from urllib.parse import urlsplit

from .connection import CONTROL_OCCUPIED, Connection
from .domain_xml import describe
from .engine import (
    Answer,
    AskControl,
    Controls,
    Description,
    Engine,
    EngineSettings,
    Hints,
    ListDomains,
    Log,
)
from .errors import (
    DomainGoneError,
    DomstatsError,
    HypervisorError,
    TooLargeError,
    UnsupportedError,
)
from .model import NO_DEVICES, Round, Sample
from .rounds import BLOCK, Call, Kind, Query
from .settings import Settings
from .watch_process import ProcessWatch
from .watch_storage import StorageWatch

#: Seconds beyond a query's deadline for which its caller waits for the engine's thread.
_MARGIN_S = 1.0
#: Seconds for which ``close`` waits for idle threads to end.
_CLOSE_S = 0.5
#: Seconds before the second attempt to reach a hypervisor that is not on this host.
_REMOTE_DELAY_S = 1.0

#: ``log(level, text)``: level is error, warning or info. Called at the beginning and the end of
#: trouble only, from the engine's thread.
LogFunction = Callable[[str, str], None]

#: An event: a method of the engine with its arguments, but for the time.
_Event = Callable[[Engine, float], None]


class Sampler:
    """Samples all domains of one hypervisor.

    :param settings: what to ask, and how.
    :param log: is told when trouble begins and when it ends.
    """

    def __init__(self, settings: Settings, log: LogFunction = lambda level, text: None) -> None:
        self._settings = settings
        self._log = log
        self._events: queue.SimpleQueue[Optional[_Event]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[_EngineThread] = None
        self._query_ids = 0
        self._closed = False

    def sample(
        self, deadline: Optional[float] = None, domains: Optional[Collection[str]] = None
    ) -> Sample:
        """Make a round and wait for it.

        :param deadline: seconds after which the round ends with what it has; the settings' else.
        :param domains: uuids or names of the domains to sample; all that are selected else.
        :returns: the sample; without domains and with ``round.connected`` False if the hypervisor
            cannot be asked. Nothing is raised for trouble with the hypervisor.
        """
        seconds = self._deadline() if deadline is None else deadline
        done: queue.SimpleQueue[Sample] = queue.SimpleQueue()
        began_ns = time.time_ns()
        self.submit(done.put, seconds, domains)
        try:
            return done.get(timeout=seconds + _MARGIN_S)
        except queue.Empty:
            error = f"{self._settings.uri}: the sampler gave no answer within {seconds:g} s"
            return Sample(self._settings.uri, began_ns, (), Round(connected=False, error=error))

    def submit(
        self,
        callback: Callable[[Sample], None],
        deadline: Optional[float] = None,
        domains: Optional[Collection[str]] = None,
    ) -> None:
        """Ask for a round; ``callback`` is called with its sample, once, in the engine's thread.

        If the sampler is closed meanwhile, the sample says so. Raises DomstatsError if it already
        is closed.
        """
        with self._lock:
            if self._closed:
                raise DomstatsError("the sampler is closed")
            self._query_ids += 1
            query = Query(
                self._query_ids,
                self._deadline() if deadline is None else deadline,
                self._settings.groups,
                None if domains is None else frozenset(domains),
            )
            if self._thread is None:
                self._thread = _EngineThread(self._settings, self._events, self._log)
                self._thread.start()
            thread, time_ns = self._thread, time.time_ns()

            def begin(engine: Engine, now: float) -> None:
                thread.open[query.id] = _Open(callback, time_ns)
                engine.query(query, now, time_ns)

            self._events.put(begin)

    def close(self) -> None:
        """End the threads; those whose calls are stuck are left to end by themselves."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._events.put(None)
            thread.join(_CLOSE_S)

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _deadline(self) -> float:
        settings = self._settings
        return 0.9 * settings.interval if settings.deadline is None else settings.deadline


class _Open(NamedTuple):
    """A query that has no answer yet."""

    callback: Callable[[Sample], None]
    time_ns: int


class _EngineThread(threading.Thread):
    """Runs the engine and carries out its actions.

    :ivar open: the queries without an answer, by id; for this thread alone.
    """

    def __init__(
        self, settings: Settings, events: queue.SimpleQueue[Optional[_Event]], log: LogFunction
    ) -> None:
        super().__init__(name="domstats-engine", daemon=True)
        self.open: dict[int, _Open] = {}
        self._settings = settings
        self._events = events
        self._log = log
        self._idle: list[_Worker] = []
        self._workers: list[_Worker] = []
        self._control = _ControlWorker(settings, self._post)
        self._fault = ""

    def run(self) -> None:
        hints = _watches(self._settings, self._post)
        settings = _engine_settings(self._settings)
        engine, goes_on = Engine(settings, hints), True
        try:
            while goes_on:
                try:
                    goes_on = self._step(engine)
                except Exception as error:
                    failed, engine = engine, Engine(settings, hints)
                    engine.take_over(failed)
                    self._tell_fault(error)
        finally:
            self._answer_all(f"{self._settings.uri}: the sampler was closed")
            for worker in (*self._workers, self._control):
                worker.stop()
            if isinstance(hints, _Watches):
                hints.close()

    def _step(self, engine: Engine) -> bool:
        due = engine.due()
        timeout = None if due is None else max(0.0, due - time.monotonic())
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            engine.pump(time.monotonic())
        else:
            if event is None:
                return False
            event(engine, time.monotonic())
        for action in engine.take_actions():
            if isinstance(action, Answer):
                self._answer(self.open.pop(action.query), action.sample)
            elif isinstance(action, Log):
                self._tell(action)
            else:
                self._begin(action)
        return True

    def _begin(self, action: Union[Call, ListDomains, AskControl]) -> None:
        try:
            if isinstance(action, Call):
                worker = self._worker()
                worker.ask(action)
            elif isinstance(action, ListDomains):
                self._control.list_domains()
            else:
                self._control.ask_control(action.uuids)
        except RuntimeError as error:
            text = f"{self._settings.uri}: no thread for a call: {error}"
            if isinstance(action, Call):
                call_id = action.id
                self._rest(worker)
                self._post(lambda engine, now: engine.call_failed(call_id, "failed", text, now))
            elif isinstance(action, ListDomains):
                self._post(lambda engine, now: engine.list_failed(text, now))
            else:
                self._post(lambda engine, now: engine.controls({}, now))

    def _post(self, event: _Event) -> None:
        self._events.put(event)

    def _worker(self) -> _Worker:
        if self._idle:
            return self._idle.pop()
        worker = _Worker(self._settings, self._post, self._rest, len(self._workers) + 1)
        self._workers.append(worker)
        return worker

    def _rest(self, worker: _Worker) -> None:
        self._idle.append(worker)

    def _answer(self, query: _Open, sample: Sample) -> None:
        try:
            query.callback(sample)
        except Exception as error:  # a callback must not end the sampling of everybody else
            self._tell(Log("error", f"a callback failed: {error!r}"))

    def _answer_all(self, error: str) -> None:
        """End all queries without an answer."""
        waiting, self.open = self.open, {}
        for query in waiting.values():
            report = Round(connected=False, error=error)
            self._answer(query, Sample(self._settings.uri, query.time_ns, (), report))

    def _tell_fault(self, error: Exception) -> None:
        """The engine has failed, and must not take the agent's samples with it."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = (
            f"{self._settings.uri}: a fault in domstats, please report it: {error!r}"
            f" in {where.name}, line {where.lineno}"
        )
        if fault != self._fault:
            self._fault = fault
            self._tell(Log("error", fault))
        self._answer_all(fault)

    def _tell(self, log: Log) -> None:
        with suppress(Exception):  # there is nowhere else to tell it
            self._log(log.level, log.text)


class _Thread:
    """A daemon thread that does jobs one after another, started by its first one."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False

    def do(self, job: Callable[[], None]) -> None:
        if not self._started:
            self._thread.start()
            self._started = True
        self._jobs.put(job)

    def stop(self) -> None:
        """End after the jobs so far."""
        self._jobs.put(None)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                self.end()
                return
            job()

    def end(self) -> None:
        """The thread ends; called in it."""


class _Worker(_Thread):
    """Makes calls, one at a time, on a connection of its own."""

    def __init__(
        self,
        settings: Settings,
        post: Callable[[_Event], None],
        rest: Callable[[_Worker], None],
        number: int,
    ) -> None:
        super().__init__(f"domstats-lane-{number}")
        self._settings = settings
        self._post = post
        self._rest = rest
        self._connection = Connection(settings.uri)

    def ask(self, call: Call) -> None:
        self.do(lambda: self._ask(call))

    def end(self) -> None:
        self._connection.close()

    def _ask(self, call: Call) -> None:
        event: _Event
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

    def _ask_monitor(self, call: Call) -> _Event:
        records = self._connection.stats(call.uuids, call.groups)
        if self._settings.vcpu_mapping and call.groups != {BLOCK}:
            self._connection.add_placement(records, "vcpu" in call.groups)
        return lambda engine, now: engine.answered(call.id, records, now)

    def _ask_free(self, call: Call) -> _Event:
        records = self._connection.stats_without_monitor(
            call.uuids, call.groups, self._settings.vcpu_mapping
        )
        return lambda engine, now: engine.answered(call.id, records, now)

    def _describe(self, call: Call) -> _Event:
        descriptions: list[Description] = []
        for uuid in call.uuids:
            try:
                described = describe(self._connection.xml(uuid))
                descriptions.append((uuid, described.paths, described.remote, described.devices))
            except ValueError:
                descriptions.append((uuid, (), (), NO_DEVICES))
            except HypervisorError:
                break
            except DomstatsError:
                continue
        return lambda engine, now: engine.described(call.id, descriptions, now)


_ASKED_BY: dict[Kind, Callable[[_Worker, Call], _Event]] = {
    Kind.MONITOR: _Worker._ask_monitor,
    Kind.FREE: _Worker._ask_free,
    Kind.DESCRIBE: _Worker._describe,
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


class _ControlWorker(_Thread):
    """Makes the priority calls, which answer even when the server's workers are all stuck."""

    def __init__(self, settings: Settings, post: Callable[[_Event], None]) -> None:
        super().__init__("domstats-control")
        self._settings = settings
        self._post = post
        self._connection = Connection(settings.uri)
        self._node_cpus = 0
        self._node_of = 0

    def list_domains(self) -> None:
        self.do(self._list_domains)

    def ask_control(self, uuids: Sequence[str]) -> None:
        self.do(lambda: self._ask_control(uuids))

    def end(self) -> None:
        self._connection.close()

    def _list_domains(self) -> None:
        connection = self._connection
        try:
            try:
                listed = connection.list_domains(self._settings.inactive)
            except HypervisorError:
                if connection.opened == 0:
                    raise
                listed = connection.list_domains(self._settings.inactive)  # it was lost: anew
            if self._node_of != connection.opened:
                self._node_cpus = connection.node_cpus()
                self._node_of = connection.opened
        except Exception as error:
            text = str(error)
            if not isinstance(error, DomstatsError):
                text = f"{self._settings.uri}: unexpected: {error!r}"
            self._post(lambda engine, now: engine.list_failed(text, now))
            return
        domains = [(domain.uuid, domain.name, domain.active) for domain in listed]
        node_cpus, reconnects = self._node_cpus, connection.opened - 1
        has_monitors = connection.has_monitors
        self._post(
            lambda engine, now: engine.listed(
                domains,
                now,
                node_cpus=node_cpus,
                reconnects=reconnects,
                has_monitors=has_monitors,
            )
        )

    def _ask_control(self, uuids: Sequence[str]) -> None:
        controls: Controls = {}
        try:
            for uuid, control in self._connection.control(uuids).items():
                controls[uuid] = (control.state == CONTROL_OCCUPIED, control.busy_s)
        except UnsupportedError:
            self._post(Engine.control_unsupported)
            return
        except Exception:  # nothing was learnt; the next list tells if the hypervisor is away
            controls = {}
        self._post(lambda engine, now: engine.controls(controls, now))


class _Watches(Hints):
    """The process watch and the storage watch of this host, as hints for the engine."""

    def __init__(
        self,
        processes: Optional[ProcessWatch],
        storage: Optional[StorageWatch],
    ) -> None:
        self.guards_storage = storage is not None
        self._processes = processes
        self._storage = storage

    def begin(self, now: float) -> None:
        if self._storage is not None:
            self._storage.begin(now)

    def look(self, uuids: Collection[str], now: float) -> dict[str, str]:
        return {} if self._processes is None else self._processes.look(uuids, now)

    def relook(self, uuids: Sequence[str], now: float) -> dict[str, str]:
        return {} if self._processes is None else self._processes.relook(uuids, now)

    def is_placed(self, uuid: str) -> bool:
        return self._storage is None or self._storage.known(uuid)

    def withheld(self) -> frozenset[str]:
        return frozenset() if self._storage is None else self._storage.withheld()

    def silent(self) -> tuple[str, ...]:
        return () if self._storage is None else self._storage.silent()

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        if self._storage is not None:
            self._storage.learn(uuid, paths)

    def retain(self, uuids: Collection[str]) -> None:
        if self._storage is not None:
            self._storage.retain(uuids)

    def close(self) -> None:
        if self._storage is not None:
            self._storage.close()


def is_local(uri: str) -> bool:
    """Whether a hypervisor's guests are processes of this host, as far as its URI tells."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    return driver != "test" and not parts.hostname and transport in ("", "unix")


def _watches(settings: Settings, post: Callable[[_Event], None]) -> Hints:
    if not is_local(settings.uri):
        return Hints()
    storage = None
    if settings.storage_watch and BLOCK in settings.groups:
        storage = StorageWatch(on_answer=lambda mount: post(Engine.storage_news))
    return _Watches(ProcessWatch() if settings.process_watch else None, storage)


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        uri=settings.uri,
        lanes=settings.lanes,
        chunk_size=settings.chunk_size,
        stuck_budget=settings.stuck_budget,
        soft_deadline=settings.soft_deadline,
        quarantine_groups=settings.quarantine_groups,
        occupancy_watch=settings.occupancy_watch,
        wants_xml=settings.wants_devices or BLOCK in settings.groups,
        reconnect_delay_s=0.0 if is_local(settings.uri) else _REMOTE_DELAY_S,
        wants_domain=settings.selection.wants_domain,
    )
