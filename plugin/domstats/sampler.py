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
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Callable, NamedTuple, Optional, Union

import msgspec

from .connection import CONTROL_OCCUPIED, Connection, Listed, Watch
from .desk import Begin, Desk, Reply, Wanted
from .domain_xml import describe
from .engine import (
    NOT_BLIND,
    Action,
    Answer,
    AskControl,
    AskVersion,
    Complete,
    Controls,
    Description,
    Engine,
    EngineSettings,
    Hints,
    ListDomains,
    Log,
    Opened,
    Part,
    counts,
)
from .errors import (
    ConnectionLostError,
    DomainGoneError,
    DomstatsError,
    HypervisorError,
    TooLargeError,
    UnsupportedError,
)
from .events import SOURCES, News, wanted_sources
from .events import read as read_event
from .introduction import View
from .labels import Labels
from .model import FAST_GROUPS, DomainSample, Round, Sample
from .rounds import BLOCK, Call, Kind, Query
from .settings import Settings, is_local, is_remote
from .watch_process import ProcessWatch
from .watch_storage import StorageWatch

#: Seconds beyond a query's deadline for which its caller waits for the engine's thread.
_MARGIN_S = 1.0
#: Attempts to list the domains, while connections that were made get lost.
_LISTS = 3
#: Seconds for which ``close`` waits for idle threads to end.
_CLOSE_S = 0.5
#: How much of it is for deregistering events: libvirt must not call an interpreter that has ended.
_DEREGISTER_S = 0.2
#: Seconds before the second attempt to reach a hypervisor that is not on this host.
_REMOTE_DELAY_S = 1.0

#: ``log(level, text)``: level is error, warning or info. Called at the beginning and the end of
#: trouble only, from the engine's thread.
LogFunction = Callable[[str, str], None]

#: Is given complete domains while their round goes on: a sample without a report.
Take = Callable[[Sample], None]

#: An event: a method of the engine with its arguments, but for the time.
_Event = Callable[[Engine, float], None]


class Sampler:
    """Samples all domains of one hypervisor.

    :param settings: what to ask, and how.
    :param log: is told when trouble begins and when it ends.
    :param clock: gives the seconds by which rounds decide what is late and what is due.
    """

    def __init__(
        self,
        settings: Settings,
        log: LogFunction = lambda level, text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._log = log
        self._clock = clock
        self._events: queue.SimpleQueue[Optional[_Event]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[_EngineThread] = None
        self._query_ids = 0
        self._closed = False

    def sample(
        self,
        deadline: Optional[float] = None,
        domains: Optional[Collection[str]] = None,
        take: Optional[Take] = None,
    ) -> Sample:
        """Make a round and wait for it.

        :param deadline: seconds after which the round ends with what it has; the settings' else.
        :param domains: uuids or names of the domains to sample; all that are selected else.
        :param take: is called in this thread, while the round goes on, with samples of domains
            that are complete. They are in the sample that is returned, too: whoever is done with
            one empties its ``stats``, so that answers need not be kept until the round's end.
        :returns: the sample; without domains and with ``round.connected`` False if the hypervisor
            cannot be asked. Nothing is raised for trouble with the hypervisor.
        """
        return self._wait_for(self._query(deadline, domains, take), take)

    def sample_fast(self, deadline: float, *, take: Optional[Take] = None) -> Sample:
        """Make a round of the fast lane and wait for it: what is known without any monitor.

        Of active domains alone, those of ``model.FAST_GROUPS`` that the settings have. It costs
        the same whatever hangs.

        :param deadline: seconds after which the round ends with what it has.
        :param take: as of ``sample``.
        :returns: the sample, without changes and events.
        """
        query = self._query(deadline, None, take)
        groups = self._settings.groups & FAST_GROUPS
        return self._wait_for(query._replace(groups=groups, paced=False, fast=True), take)

    def shorten(self, left_s: float) -> None:
        """Have a round of ``sample`` for all domains that is under way end earlier.

        :param left_s: seconds that it has from now on, if it has not less anyway.
        """
        with self._lock:
            if self._thread is not None:
                self._events.put(lambda engine, now: engine.shorten(left_s, now))

    def _wait_for(self, query: Query, take: Optional[Take]) -> Sample:
        seconds = query.deadline_s
        found: queue.SimpleQueue[tuple[bool, Sample]] = queue.SimpleQueue()
        began_ns, until = time.time_ns(), time.monotonic() + seconds + _MARGIN_S
        self._begin(
            query,
            lambda sample: found.put((True, sample)),
            lambda part: found.put((False, part)),
        )
        while True:
            try:
                is_whole, sample = found.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                error = f"{self._settings.uri}: the sampler gave no answer within {seconds:g} s"
                return Sample(self._settings.uri, began_ns, (), Round(connected=False, error=error))
            if is_whole or take is None:
                return sample
            take(sample)

    def _query(
        self,
        deadline: Optional[float],
        domains: Optional[Collection[str]],
        take: Optional[Take],
    ) -> Query:
        """A query for a round by the settings; its id is given when it begins."""
        return Query(
            0,
            self._deadline() if deadline is None else deadline,
            self._settings.groups,
            None if domains is None else frozenset(domains),
            in_parts=take is not None,
            paced=domains is None,
        )

    def _begin(
        self, query: Query, callback: Callable[[Sample], None], take: Take
    ) -> None:
        with self._lock:
            thread, time_ns = self._running(), time.time_ns()
            self._query_ids += 1
            numbered = query._replace(id=self._query_ids)

            def begin(engine: Engine, now: float) -> None:
                thread.open[numbered.id] = _Open(callback, time_ns, take)
                engine.query(numbered, now, time_ns)

            self._events.put(begin)

    def ask(
        self,
        callback: Callable[[Sample], None],
        *,
        deadline: Optional[float] = None,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
    ) -> int:
        """Ask without waiting; ``callback`` is called with the sample, once, in the engine's
        thread. Small queries that wait together share their calls.

        If the sampler is closed meanwhile, the sample says so. Raises DomstatsError if it already
        is closed.

        :param deadline: as of ``sample``, as is ``domains``.
        :param groups: stats groups to ask for; the settings' else.
        :returns: a number for ``cancel``.
        """
        seconds = self._deadline() if deadline is None else deadline
        wanted_groups = self._settings.groups if groups is None else frozenset(groups)
        chosen = None if domains is None else frozenset(domains)
        with self._lock:
            thread, time_ns = self._running(), time.time_ns()
            self._query_ids += 1
            number = self._query_ids

            def begin(engine: Engine, now: float) -> None:
                thread.open[number] = _Open(callback, time_ns)
                thread.desk.ask(Wanted(number, wanted_groups, chosen, now + seconds))

            self._events.put(begin)
        return number

    def cancel(self, number: int) -> None:
        """Nobody wants the answer of a query any more: its callback is not called."""
        with self._lock:
            if self._thread is not None:
                thread = self._thread
                self._events.put(lambda engine, now: thread.forget(number))

    def _running(self) -> _EngineThread:
        """The engine's thread, started if need be; the lock is held."""
        if self._closed:
            raise DomstatsError("the sampler is closed")
        if self._thread is None:
            thread = _EngineThread(self._settings, self._events, self._log, self._clock)
            thread.start()
            self._thread = thread  # not if it could not be started
        return self._thread

    def close(self) -> None:
        """End the threads; those whose calls are stuck are left to end by themselves."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._events.put(None)
            if thread is not threading.current_thread():  # as it is if ``log`` closes
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
    take: Optional[Take] = None


class _EngineThread(threading.Thread):
    """Runs the engine and carries out its actions.

    :ivar open: the queries without an answer, by id; for this thread alone.
    """

    def __init__(
        self,
        settings: Settings,
        events: queue.SimpleQueue[Optional[_Event]],
        log: LogFunction,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name="domstats-engine", daemon=True)
        self.open: dict[int, _Open] = {}
        self.desk = Desk()
        self._desk_rounds = 0
        self._settings = settings
        self._events = events
        self._log = log
        self._clock = clock
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
            self._control.wait(_DEREGISTER_S)
            if isinstance(hints, _Watches):
                hints.close()

    def _step(self, engine: Engine) -> bool:
        due = min(filter(None, (engine.due(), self.desk.due())), default=None)
        timeout = None if due is None else max(0.0, due - self._clock())
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            engine.pump(self._clock())
        else:
            if event is None:
                return False
            event(engine, self._clock())
        ended: dict[int, Sample] = {}
        while self._carry_out(engine.take_actions(), ended) or self._deal(engine, ended):
            pass
        return True

    def _carry_out(self, actions: Sequence[Action], ended: dict[int, Sample]) -> bool:
        """:param ended: gets the samples of the desk's rounds. :returns: if there was any."""
        for action in actions:
            if isinstance(action, Answer):
                if action.query < 0:
                    ended[action.query] = action.sample
                    self.desk.ended(action.query)
                else:
                    self._answer(self.open.pop(action.query), action.sample)
            elif isinstance(action, Part):
                query = self.open[action.query]
                if query.take is not None:
                    self._call(query.take, action.sample)
            elif isinstance(action, Opened):
                self.desk.opened(action.query, action.domains)
            elif isinstance(action, Complete):
                self.desk.complete(action.query, action.uuids)
            elif isinstance(action, Log):
                self._tell(action)
            else:
                self._begin(action)
        return bool(actions)

    def _deal(self, engine: Engine, ended: dict[int, Sample]) -> bool:
        """Begin the rounds that the desk gathered, and answer its queries."""
        now = self._clock()
        self.desk.expire(now)
        while self.desk.gather(-self._desk_rounds - 1, now):
            self._desk_rounds += 1
        todo = self.desk.take()
        cut = _Cut(self._settings.uri, engine, ended, now)
        for item in todo:
            if isinstance(item, Begin):
                engine.query(item.query, now, time.time_ns())
            else:
                sample = cut.sample(item, self.open[item.wanted[0]].time_ns)
                for number in item.wanted:
                    self._answer(self.open.pop(number), sample)
        return bool(todo)

    def forget(self, number: int) -> None:
        """A query is cancelled."""
        if self.desk.cancel(number):
            del self.open[number]

    def _begin(self, action: Union[Call, ListDomains, AskControl, AskVersion]) -> None:
        try:
            if isinstance(action, Call):
                worker = self._worker()
                worker.ask(action)
            elif isinstance(action, AskVersion):
                worker = self._worker()
                worker.ask_version()
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
            elif isinstance(action, AskVersion):
                self._rest(worker)
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
        self._call(query.callback, sample)

    def _call(self, callback: Callable[[Sample], None], sample: Sample) -> None:
        try:
            callback(sample)
        except Exception as error:  # a callback must not end the sampling of everybody else
            self._tell(Log("error", f"a callback failed: {error!r}"))

    def _answer_all(self, error: str) -> None:
        """End all queries without an answer."""
        waiting, self.open, self.desk = self.open, {}, Desk()
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


class _Cut:
    """Cuts the samples of single queries out of those of the rounds that they share."""

    def __init__(self, uri: str, engine: Engine, ended: dict[int, Sample], now: float) -> None:
        self._uri = uri
        self._engine = engine
        self._ended = ended
        self._now = now
        self._by_uuid: dict[int, dict[str, DomainSample]] = {}

    def sample(self, reply: Reply, time_ns: int) -> Sample:
        whole = self._ended.get(reply.round)
        if whole is None:
            snapshot = self._engine.snapshot(reply.round, reply.uuids, self._now)
            if snapshot is not None:
                return snapshot
            error = f"{self._uri}: no answer before the query's deadline"
            return Sample(self._uri, time_ns, (), Round(connected=False, error=error))
        if reply.uuids is None:
            return whole
        by_uuid = self._by_uuid.get(reply.round)
        if by_uuid is None:
            by_uuid = {domain.uuid: domain for domain in whole.domains}
            self._by_uuid[reply.round] = by_uuid
        domains = tuple(by_uuid[uuid] for uuid in reply.uuids)
        report = msgspec.structs.replace(whole.round, **counts(domains))
        return msgspec.structs.replace(whole, domains=domains, round=report)


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

    def wait(self, seconds: float) -> None:
        """Until it has ended, or not longer than that."""
        if self._started:
            self._thread.join(seconds)

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
        self._connection = Connection(settings.uri, keepalive=is_remote(settings.uri))
        self._labels = Labels(settings.labels)

    def ask(self, call: Call) -> None:
        self.do(lambda: self._ask(call))

    def ask_version(self) -> None:
        self.do(self._ask_version)

    def end(self) -> None:
        self._connection.close()

    def _ask_version(self) -> None:
        version = ""
        with suppress(Exception):  # no sample needs it, and a lost connection is told elsewhere
            version = self._connection.version()

        def come_back(engine: Engine, now: float) -> None:
            self._rest(self)
            engine.introduced(version)

        self._post(come_back)

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

    def _ask_statistics(self, call: Call) -> _Event:
        records = self._connection.stats(call.uuids, call.bulk)
        if call.facts:
            records = self._connection.add_facts(records, call.facts)
        if call.counted:
            records = self._connection.add_disk_counters(records, call.counted)
        if call.sized:
            records = self._connection.add_disk_sizes(records, call.sized)
        return lambda engine, now: engine.answered(call.id, records, now)

    def _describe(self, call: Call) -> _Event:
        descriptions: list[Description] = []
        for uuid in call.uuids:
            try:
                described = describe(self._connection.xml(uuid), self._labels)
                descriptions.append(Description(uuid, *described))
            except (ValueError, TooLargeError):  # and it would be no other if asked for again
                descriptions.append(Description(uuid, labels=self._labels.none))
            except HypervisorError:
                break
            except DomstatsError:
                continue
        return lambda engine, now: engine.described(call.id, descriptions, now)


_ASKED_BY: dict[Kind, Callable[[_Worker, Call], _Event]] = {
    Kind.MONITOR: _Worker._ask_statistics,
    Kind.FREE: _Worker._ask_statistics,
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
        watch = _event_watch(settings, post)
        self._connection = Connection(settings.uri, watch, keepalive=is_remote(settings.uri))
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
        connection = self._connection
        listed = connection.list_domains(self._settings.inactive)
        if self._node_of != connection.opened:
            self._node_cpus = connection.node_cpus()
            self._node_of = connection.opened
        return listed

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

    def rss_kib(self, uuid: str) -> Optional[int]:
        return None if self._processes is None else self._processes.rss_kib(uuid)

    def unplaced(self, uuids: Iterable[str]) -> set[str]:
        return set() if self._storage is None else self._storage.unknown(uuids)

    def withheld(self) -> frozenset[str]:
        return frozenset() if self._storage is None else self._storage.withheld()

    def silent(self) -> tuple[str, ...]:
        return () if self._storage is None else self._storage.silent()

    def blind(self) -> tuple[str, ...]:
        return () if self._storage is None else self._storage.blind()

    def view(self, uuids: Collection[str]) -> View:
        processes, storage = self._processes, self._storage
        return View(
            processes=processes is not None,
            unseen=None if processes is None else processes.unseen(uuids),
            hidden=processes is not None and processes.is_hidden(),
            storage=storage is not None,
            blind=() if storage is None else storage.blind(),
        )

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        return NOT_BLIND if self._storage is None else self._storage.on_blind()

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        if self._storage is not None:
            self._storage.learn(uuid, paths)

    def retain(self, uuids: Collection[str]) -> None:
        if self._storage is not None:
            self._storage.retain(uuids)

    def close(self) -> None:
        if self._storage is not None:
            self._storage.close()


def _watches(settings: Settings, post: Callable[[_Event], None]) -> Hints:
    if not is_local(settings.uri):
        return Hints()
    storage = None
    if settings.storage_watch and BLOCK in settings.groups:
        storage = StorageWatch(on_answer=lambda mount: post(Engine.storage_news))
    return _Watches(ProcessWatch() if settings.process_watch else None, storage)


def _event_watch(settings: Settings, post: Callable[[_Event], None]) -> Watch:
    """The events that the engine wants, on their way to it."""

    def tell(news: News) -> None:
        try:
            event = read_event(news)
        except (TypeError, LookupError):  # a libvirt that calls back with something else
            return
        post(lambda engine, now: engine.domain_event(event, now))

    def unsupported(source: int) -> None:
        kind = SOURCES[source].kind
        post(lambda engine, now: engine.events_unsupported(kind, now))

    sources = wanted_sources(settings.events, bool(settings.labels))
    return Watch(sources, lambda: post(Engine.subscribed), tell, unsupported)


#: The selectors of collectd for which disks are asked for their sizes.
_SIZES = frozenset({"disk_allocation", "disk_physical"})


def _sized_at_once(uri: str) -> int:
    """How many domains a round asks for sizes of disks; over a network each call is a way to go."""
    return 500 if is_local(uri) else 20


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        uri=settings.uri,
        lanes=settings.lanes,
        chunk_size=settings.chunk_size,
        stuck_budget=settings.stuck_budget,
        soft_deadline=settings.soft_deadline,
        quarantine_groups=settings.quarantine_groups,
        groups=settings.groups,
        direct=settings.direct,
        every=settings.every,
        idle_s=settings.idle_refresh,
        vcpu_mapping=settings.vcpu_mapping,
        disk_sizes=0 if _SIZES.isdisjoint(settings.extra_stats) else _sized_at_once(settings.uri),
        disk_errors="disk_err" in settings.extra_stats,
        occupancy_watch=settings.occupancy_watch,
        events=settings.events,
        wants_xml=settings.wants_devices or bool(settings.labels) or BLOCK in settings.groups,
        xml_lasts_s=settings.label_refresh if settings.labels else None,
        reconnect_delay_s=0.0 if is_local(settings.uri) else _REMOTE_DELAY_S,
        selected=settings.selection.domains,
        wants_domain=lru_cache(maxsize=65536)(settings.selection.wants_domain),
    )
