"""The thread that runs the engine and carries out its actions; the queries without an answer.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
from .watches import HostWatches, watches_of
from .workers import ControlWorker, EngineEvent, Worker

#: How much of it is for deregistering events: libvirt must not call an interpreter that has ended.
_DEREGISTER_S = 0.2
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
    """Runs the engine and carries out its actions.

    :param numbers: gives each query and each round of the desk's a number that no other has.
    :ivar open: the queries without an answer, by number; for this thread alone.
    """

    def __init__(
        self,
        settings: Settings,
        events: queue.SimpleQueue[Optional[EngineEvent]],
        log: LogFunction,
        clock: Callable[[], float],
        numbers: Iterator[int],
    ) -> None:
        super().__init__(name="domstats-engine", daemon=True)
        self.open: dict[int, OpenQuery] = {}
        self.desk = Desk()
        self._numbers = numbers
        self._settings = settings
        self._events = events
        self._log = log
        self._clock = clock
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._control = ControlWorker(settings, self._post)
        self._fault = ""
        self._hints = Hints()

    def run(self) -> None:
        hints = self._hints = watches_of(self._settings, self._post)
        settings = _engine_settings(self._settings)
        engine, goes_on = Engine(settings, hints), True
        try:
            while goes_on:
                try:
                    goes_on = self._step(engine)
                except Exception as error:
                    failed, engine = engine, Engine(settings, hints)
                    engine.take_over(failed)
                    self._log_fault(error)
        finally:
            self._answer_all(f"{self._settings.uri}: the sampler was closed")
            for worker in (*self._workers, self._control):
                worker.stop()
            self._control.wait(_DEREGISTER_S)
            if isinstance(hints, HostWatches):
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
                worker = self._worker()
                worker.ask_version()
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
                self._post(lambda engine, now: engine.call_failed(call_id, "failed", text, now))
            elif isinstance(action, ListDomains):
                self._post(lambda engine, now: engine.list_failed(text, now))
            elif isinstance(action, AskVersion):
                self._rest(worker)
            else:
                self._post(lambda engine, now: engine.controls({}, now))

    def _post(self, event: EngineEvent) -> None:
        self._events.put(event)

    def _worker(self) -> Worker:
        if self._idle:
            return self._idle.pop()
        worker = Worker(self._settings, self._post, self._rest, len(self._workers) + 1)
        self._workers.append(worker)
        return worker

    def _rest(self, worker: Worker) -> None:
        self._idle.append(worker)

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
        job_facts=settings.job_facts,
        wants_xml=settings.wants_devices
        or bool(settings.labels or settings.xml_details)
        or BLOCK in settings.groups,
        xml_lasts_s=settings.label_refresh if settings.labels or settings.disk_throttle else None,
        reconnect_delay_s=0.0 if is_local(settings.uri) else _REMOTE_DELAY_S,
        unsent_labels=settings.unsent_labels,
        selection=settings.selection,
    )
