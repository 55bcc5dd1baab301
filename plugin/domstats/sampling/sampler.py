"""Samples one hypervisor: queries in, samples out, from any thread.

Threads are made when they are needed first, never before the first query, and their number is
bounded by the settings alone: ``lanes + stuck_budget`` and a few. All are daemons, and closing
never waits for a stuck call. ``engine_thread`` carries out what the engine decides.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection
from functools import partial
from itertools import count
from typing import Callable, Optional

from ..config.settings import Settings
from ..engine.desk import Wanted
from ..engine.engine import Engine
from ..engine.rounds import Query
from ..errors import DomstatsError
from ..model import FAST_GROUPS, Round, Sample
from .beside import beside_of
from .engine_thread import EngineThread, LogFunction, OpenQuery, Take
from .workers import EngineEvent

#: Seconds beyond a query's deadline for which its caller waits for the engine's thread.
_MARGIN_S = 1.0
#: Seconds for which ``close`` waits for idle threads to end.
_CLOSE_S = 0.5


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
        self._events: queue.SimpleQueue[Optional[EngineEvent]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[EngineThread] = None
        self._numbers = count(1)
        self._closed = False
        self._beside = beside_of(settings, log)
        #: The last fault in one of them, so that it is logged once.
        self._fault = ""

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
            that are complete. In the sample that is returned these have no ``stats``, so that
            answers need not be kept until the round's end.
        :returns: the sample; without domains and with ``round.connected`` False if the hypervisor
            cannot be asked. Nothing is raised for trouble with the hypervisor.
        """
        query = self._query(deadline, domains, take)
        beside = self._beside if domains is None else ()
        for look in beside:
            self._without_harm(look.begin)
        sample = self._wait_for(query, take)
        for look in beside:
            self._without_harm(partial(look.add_to, sample))
        return sample

    def _without_harm(self, act: Callable[[], None]) -> None:
        """A fault in a look that no round waits for costs no round its sample."""
        try:
            act()
        except Exception as error:
            fault = f"{self._settings.uri}: a look beside the rounds failed, please report it: "
            if self._fault != repr(error):
                self._fault = repr(error)
                self._log("error", fault + self._fault)

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
        """Have a round of ``sample`` for all domains end earlier if the hypervisor hangs.

        :param left_s: seconds that it has from now on to give its list, if it has not less anyway.
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
            self._settings.round_deadline() if deadline is None else deadline,
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
            numbered = query._replace(id=next(self._numbers))

            def begin(engine: Engine, now: float) -> None:
                thread.open[numbered.id] = OpenQuery(callback, time_ns, take)
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
        seconds = self._settings.round_deadline() if deadline is None else deadline
        wanted_groups = self._settings.groups if groups is None else frozenset(groups)
        chosen = None if domains is None else frozenset(domains)
        with self._lock:
            thread, time_ns = self._running(), time.time_ns()
            number = next(self._numbers)

            def begin(engine: Engine, now: float) -> None:
                thread.open[number] = OpenQuery(callback, time_ns)
                thread.desk.ask(Wanted(number, wanted_groups, chosen, now + seconds))

            self._events.put(begin)
        return number

    def cancel(self, number: int) -> None:
        """Nobody wants the answer of a query any more: its callback is not called."""
        with self._lock:
            if self._thread is not None:
                thread = self._thread
                self._events.put(lambda engine, now: thread.forget(number))

    def _running(self) -> EngineThread:
        """The engine's thread, started if need be; the lock is held."""
        if self._closed:
            raise DomstatsError("the sampler is closed")
        if self._thread is None:
            thread = EngineThread(
                self._settings, self._events, self._log, self._clock, self._numbers
            )
            thread.start()
            self._thread = thread  # not if it could not be started
        return self._thread

    def close(self) -> None:
        """End the threads; those whose calls are stuck are left to end by themselves."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        for look in self._beside:
            look.close()
        if thread is not None:
            self._events.put(None)
            if thread is not threading.current_thread():  # as it is if ``log`` closes
                thread.join(_CLOSE_S)

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
