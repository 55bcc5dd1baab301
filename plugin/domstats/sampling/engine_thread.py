"""The threads that run engines and carry out their actions; the queries without an answer.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Callable, NamedTuple, Optional, Union

import msgspec

from ..config.settings import Settings, is_local
from ..drivers import BLOCK
from ..engine.actions import (
    Action,
    Answer,
    AskControl,
    AskVersion,
    Complete,
    EngineSettings,
    Hints,
    ListDomains,
    Log,
    Opened,
    Part,
)
from ..engine.desk import Begin, Desk, Reply
from ..engine.engine import Engine
from ..engine.rounds import Call
from ..engine.samples import counts
from ..model import DomainSample, Round, Sample
from ..round_settings import RoundSettings
from .threads import call_threads, of_this_process
from .watches import HostWatches, watches_of
from .workers import ControlWorker, EngineEvent, Worker

#: How much of it is for deregistering events: libvirt must not call an interpreter that has ended.
_DEREGISTER_S = 0.2
#: Seconds after which a worker that had nothing to do is let go, with its connection, where there
#: are many hypervisors.
_SPARE_S = 300.0
#: Seconds before the second attempt to reach a hypervisor that is not on this host.
_REMOTE_DELAY_S = 1.0

#: ``log(level, text)``: level is error, warning or info. Called at the beginning and the end of
#: trouble only, from the engine's thread.
LogFunction = Callable[[str, str], None]

#: Is given complete domains while their round goes on: a sample without a report.
Take = Callable[[Sample], None]


class OpenQuery(NamedTuple):
    """A query that has no answer yet."""

    callback: Callable[[Sample], None]
    time_ns: int
    take: Optional[Take] = None


class EngineThread(threading.Thread):
    """Runs the engines of one hypervisor, or of many.

    :ivar users: how many hypervisors' engines it runs; for ``EngineThreads``.
    """

    def __init__(self) -> None:
        super().__init__(name="domstats-engine", daemon=True)
        self.users = 0
        self._posted: queue.SimpleQueue[Optional[tuple[Carrier, Optional[EngineEvent]]]]
        self._posted = queue.SimpleQueue()
        #: By hypervisor: when its engine is to be run though nothing happens, by our own clock.
        self._due: dict[Carrier, float] = {}

    def post(self, carrier: Carrier, event: Optional[EngineEvent]) -> None:
        """An event for an engine; None: its last one."""
        self._posted.put((carrier, event))

    def stop(self) -> None:
        """End after what has been posted so far."""
        self._posted.put(None)

    def run(self) -> None:
        while True:
            now, wait = time.monotonic(), None
            if self._due:
                for carrier in [each for each, due in self._due.items() if due <= now]:
                    self._run(carrier, Engine.pump)
                now = time.monotonic()
                wait = max(0.0, min(self._due.values(), default=now + 60.0) - now)
            try:
                posted = self._posted.get(timeout=wait)
            except queue.Empty:
                continue
            if posted is None:
                return
            carrier, event = posted
            if event is None:
                self._due.pop(carrier, None)
                with suppress(Exception):  # it is over, and the others go on
                    carrier.end()
            elif not carrier.ended.is_set():  # what calls bring back after that is of no use
                self._run(carrier, event)

    def _run(self, carrier: Carrier, event: EngineEvent) -> None:
        due_in = None
        with suppress(Exception):  # it has no way left to say so, and the others go on
            due_in = carrier.run(event)
        if due_in is None:
            self._due.pop(carrier, None)
        else:
            self._due[carrier] = time.monotonic() + due_in


class EngineThreads:
    """Who runs whose engine: one thread those of all hypervisors that may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: Optional[EngineThread] = None

    def enter(self, shares: bool) -> EngineThread:
        """The thread for one more hypervisor.

        :raises RuntimeError: it cannot be started.
        """
        with self._lock:
            thread = self._shared if shares else None
            if thread is None:
                thread = EngineThread()
                thread.start()
                if shares:
                    self._shared = thread
            thread.users += 1
            return thread

    def leave(self, thread: EngineThread) -> None:
        """A hypervisor has posted its last event."""
        with self._lock:
            thread.users -= 1
            if not thread.users:
                thread.stop()
                if thread is self._shared:
                    self._shared = None


engine_threads = of_this_process(EngineThreads)


class Carrier:
    """Carries out what one hypervisor's engine decides, in the thread that runs it.

    :param thread: that thread.
    :param numbers: gives each query and each round of the desk's a number that no other has.
    :ivar open: the queries without an answer, by number; for that thread alone.
    :ivar ended: set when it is over.
    """

    def __init__(
        self,
        settings: Settings,
        thread: EngineThread,
        log: LogFunction,
        clock: Callable[[], float],
        numbers: Iterator[int],
    ) -> None:
        self.open: dict[int, OpenQuery] = {}
        self.desk = Desk()
        self.ended = threading.Event()
        self._numbers = numbers
        self._settings = settings
        self._thread = thread
        self._log = log
        self._clock = clock
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._worker_numbers = count(1)
        self._wants_version = False
        call_threads().join()
        self._control = ControlWorker(settings, self.post)
        self._fault = ""
        self._hints: Hints = Hints()
        self._engine: Optional[Engine] = None

    def post(self, event: EngineEvent) -> None:
        """Have an event happen to the engine; from any thread."""
        self._thread.post(self, event)

    def end(self) -> None:
        """Answer whoever waits, and have the workers end."""
        self._answer_all(f"{self._settings.uri}: the sampler was closed")
        for worker in (*self._workers, self._control):
            worker.stop()
        call_threads().leave()
        if self._control.listens or not self._settings.one_of_many:
            self._control.wait(_DEREGISTER_S)
        if isinstance(self._hints, HostWatches):
            self._hints.close()
        self.ended.set()

    def run(self, event: EngineEvent) -> Optional[float]:
        """An event happens to the engine, or it is due.

        :returns: in how many seconds it will be due; None: not before the next event.
        """
        if self._engine is None:
            self._hints = watches_of(self._settings, self.post)
            self._engine = Engine(_engine_settings(self._settings), self._hints)
        try:
            return self._step(self._engine, event)
        except Exception as error:
            failed, self._engine = self._engine, Engine(
                _engine_settings(self._settings), self._hints
            )
            self._engine.take_over(failed)
            self._log_fault(error)
            return None

    def _step(self, engine: Engine, event: EngineEvent) -> Optional[float]:
        event(engine, self._clock())
        ended: dict[int, Sample] = {}
        while self._carry_out(engine.take_actions(), ended) or self._deal(engine, ended):
            pass
        if self._wants_version and self._idle:
            self._ask_version()
        due = min(filter(None, (engine.due(), self.desk.due())), default=None)
        return None if due is None else max(0.0, due - self._clock())

    def _carry_out(self, actions: Sequence[Action], ended: dict[int, Sample]) -> bool:
        """:param ended: gets the samples of the desk's rounds. :returns: if there was any."""
        for action in actions:
            if isinstance(action, Answer):
                if self.desk.has_round(action.query):
                    ended[action.query] = action.sample
                    self.desk.ended(action.query)
                else:
                    if self._settings.host and isinstance(self._hints, HostWatches):
                        action.sample.mounts = self._hints.mounts()
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
                self._log_line(action)
            else:
                self._begin(action)
        return bool(actions)

    def _deal(self, engine: Engine, ended: dict[int, Sample]) -> bool:
        """Begin the rounds that the desk gathered, and answer its queries."""
        now = self._clock()
        self.desk.expire(now)
        while self.desk.gather(next(self._numbers), now):
            pass
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
                self._wants_version = self._settings.one_of_many
                if not self._wants_version:
                    self._ask_version()
            elif isinstance(action, ListDomains):
                self._control.list_domains()
            else:
                self._control.ask_control(action.uuids)
        except RuntimeError as error:
            text = (
                f"{self._settings.uri}: no thread for a call: {error}: is there a limit on this"
                " user's processes (ulimit -u) or the service's tasks (TasksMax)?"
            )
            if isinstance(action, Call):
                call_id = action.id
                self._rest(worker)
                self.post(lambda engine, now: engine.call_failed(call_id, "failed", text, now))
            elif isinstance(action, ListDomains):
                self.post(lambda engine, now: engine.list_failed(text, now))
            elif isinstance(action, AskControl):
                self.post(lambda engine, now: engine.controls({}, now))

    def _ask_version(self) -> None:
        self._wants_version = False
        worker = self._worker()
        try:
            worker.ask_version()
        except RuntimeError:  # no thread for it, and nobody waits for it
            self._rest(worker)

    def _worker(self) -> Worker:
        """A worker that has nothing to do: the one with the lowest number, or another one.

        Where there are many hypervisors, the first one of each uses the control's connection.
        """
        if self._idle:
            return self._idle.pop()
        is_first_of_many = self._settings.one_of_many and not self._workers
        shared = self._control.connection if is_first_of_many else None
        number = next(self._worker_numbers)
        worker = Worker(self._settings, self.post, self._rest, number, shared)
        self._workers.append(worker)
        return worker

    def _rest(self, worker: Worker) -> None:
        worker.rested_at = now = self._clock()
        self._idle.append(worker)
        self._idle.sort(key=lambda each: -each.number)
        last = self._idle[0]
        if self._settings.one_of_many and last.number > 1 and now - last.rested_at >= _SPARE_S:
            self._idle.remove(last)
            self._workers.remove(last)
            last.stop()

    def _answer(self, query: OpenQuery, sample: Sample) -> None:
        self._call(query.callback, sample)

    def _call(self, callback: Callable[[Sample], None], sample: Sample) -> None:
        try:
            callback(sample)
        except Exception as error:  # a callback must not end the sampling of everybody else
            self._log_line(Log("error", f"a callback failed, and the others go on: {error!r}"))

    def _answer_all(self, error: str) -> None:
        """End all queries without an answer."""
        waiting, self.open, self.desk = self.open, {}, Desk()
        for query in waiting.values():
            report = Round(connected=False, error=error)
            self._answer(query, Sample(self._settings.uri, query.time_ns, (), report))

    def _log_fault(self, error: Exception) -> None:
        """The engine has failed, and must not take the agent's samples with it."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = (
            f"{self._settings.uri}: a fault in domstats, please report it: {error!r}"
            f" in {where.name}, line {where.lineno}"
        )
        if fault != self._fault:
            self._fault = fault
            self._log_line(Log("error", fault))
        self._answer_all(fault)

    def _log_line(self, log: Log) -> None:
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


def _sized_at_once(uri: str) -> int:
    """How many domains a round asks for sizes of disks; over a network each call is a way to go."""
    return 500 if is_local(uri) else 20


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        **{field: getattr(settings, field) for field in RoundSettings.__struct_fields__},
        disk_sizes=_sized_at_once(settings.uri) if settings.wants_disk_sizes else 0,
        disk_errors=settings.wants_disk_errors,
        job_values=settings.job_values,
        wants_xml=settings.wants_devices
        or bool(settings.labels or settings.xml_details)
        or BLOCK in settings.groups,
        xml_lasts_s=settings.label_refresh if settings.labels or settings.disk_throttle else None,
        reconnect_delay_s=0.0 if is_local(settings.uri) else _REMOTE_DELAY_S,
        unsent_labels=settings.unsent_labels,
        selection=settings.selection,
    )
