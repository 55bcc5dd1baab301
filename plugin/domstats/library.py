"""The package as a library: queries that are bulk and asynchronous at once.

``Hypervisor`` for threads and callbacks, ``AsyncHypervisor`` for asyncio. Both use the engine that
the agents' rounds use, with its guarantees: a few threads however many domains and queries there
are, no domain that hangs delays an answer about another, and nothing is ever written to the
hypervisor.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import traceback
from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from typing import Any, Callable, Generic, Optional, TypeVar

from .config.settings import ROUND_SHARE, Settings
from .config.telegraf import from_table
from .errors import (
    ConfigError,
    DomstatsError,
    HypervisorError,
    NoSuchDomainError,
    QueryCancelledError,
)
from .model import GROUPS, DomainSample, Sample, Status
from .sampling.engine_thread import LogFunction
from .sampling.sampler import Sampler

#: Seconds that a query has if its caller does not say.
DEADLINE_S = 10.0

#: Seconds that a query may have at most.
MOST_DEADLINE_S = 86_400.0

#: Seconds for which ``close`` waits for callbacks that are due.
CLOSE_S = 1.0

#: Seconds beyond a query's deadline for which ``sample`` waits for the engine's thread.
_MARGIN_S = 2.0

#: Telegraf's options that a query says itself, or that are about an agent.
_NOT_OURS = (
    "deadline",
    "every",
    "fast_interval",
    "interval",
    "kvm_statistics",
    "libvirt_uri",
    "series",
    "statistics_groups",
)

Opaque = TypeVar("Opaque")

#: What became of a query: one of the two.
Outcome = tuple[Optional[Sample], Optional[DomstatsError]]

#: The opaque of a caller that gives none.
_NONE: Any = None


class DomainsUnresponsiveError(DomstatsError):
    """None of the domains that a query chose has answered it in full.

    :ivar sample: what could be had of them without their monitors.
    """

    def __init__(self, message: str, sample: Sample) -> None:
        super().__init__(message)
        self.sample = sample


def _log_with_logging(level: str, text: str) -> None:
    """To Python's logger ``domstats``."""
    logging.getLogger("domstats").log(getattr(logging, level.upper()), "%s", text)


def _settings(uri: str, options: dict[str, Any]) -> Settings:
    unwanted = [name for name in _NOT_OURS if name in options]
    if unwanted:
        raise ConfigError(f"option {unwanted[0]}: not an option of the library")
    return from_table({"libvirt_uri": uri, **options})


class _Question:
    """What a caller asks for, found to be possible."""

    def __init__(
        self,
        domains: Optional[Collection[str]],
        groups: Optional[Collection[str]],
        deadline: float,
    ) -> None:
        self.domains = _names("domains", domains)
        self.groups = _names("groups", groups)
        self.deadline = _seconds("deadline", deadline)
        allowed = f"allowed is any of {', '.join(GROUPS)}"
        if self.groups is not None and not self.groups:
            raise ConfigError(f"groups: found none, {allowed}")
        unknown = sorted((self.groups or frozenset()).difference(GROUPS))
        if unknown:
            raise ConfigError(f"groups: found {unknown[0]!r}, {allowed}")

    def outcome(self, sample: Sample) -> Outcome:
        """What the caller gets: the sample of its domains, or an error."""
        if not sample.round.connected:
            return None, HypervisorError(sample.round.error)
        if not self.domains:
            return sample, None
        there = [domain for domain in sample.domains if domain.status is not Status.GONE]
        if not there:
            names = ", ".join(sorted(self.domains)[:3])
            return None, NoSuchDomainError(f"{sample.uri}: no such domain: {names}")
        if all(_is_silent(domain) for domain in there):
            first = there[0]
            text = f"{sample.uri}: domain {first.name} does not answer: {first.reason}"
            return None, DomainsUnresponsiveError(text, sample)
        return sample, None


def _names(of: str, names: Optional[Collection[str]]) -> Optional[frozenset[str]]:
    if isinstance(names, str):
        raise ConfigError(f"{of}: found {names!r}, allowed is a list of texts, or None for all")
    return None if names is None else frozenset(names)


def _seconds(of: str, number: float) -> float:
    if not 0 < number <= MOST_DEADLINE_S:
        most = f"{MOST_DEADLINE_S:g}"
        raise ConfigError(f"{of}: found {number}, allowed are seconds above 0, up to {most}")
    return number


def _is_silent(domain: DomainSample) -> bool:
    """Whether a domain does not answer, or has told nothing of what it was asked."""
    if domain.status is Status.FRESH:
        return False  # it may have nothing to tell, as one without perf events has
    return domain.status is Status.UNRESPONSIVE or not domain.stats


class Query(Generic[Opaque]):
    """A query under way, for ``cancel`` and, of ``Hypervisor.begin``, for ``finish``.

    :ivar opaque: the caller's own object.
    """

    def __init__(self, owner: Hypervisor, opaque: Opaque) -> None:
        self.opaque = opaque
        self._owner = owner
        self._number = 0
        self._outcome: Optional[Outcome] = None
        self._call_back: Optional[Callable[[Query[Opaque]], None]] = None
        self._settled = threading.Event()
        self._taken = False

    @property
    def done(self) -> bool:
        """Whether it has an answer, or was cancelled."""
        return self._outcome is not None

    def cancel(self) -> None:
        """Give it up: its callback is called with QueryCancelledError, unless it was called."""
        self._owner._end(self, QueryCancelledError("the query was cancelled"))


class Hypervisor:
    """A libvirt hypervisor that can be asked by many at once.

    :param uri: libvirt's connection URI. The connection is read-only, made by the first query,
        and made anew after a loss.
    :param log: ``log(level, text)`` is told when trouble begins and when it ends, from a thread
        of the package; Python's logger ``domstats`` is if nothing is given.
    :param options: lanes, stuck_budget and so on, as in Telegraf's vocabulary; see
        docs/options.md.
    :raises ConfigError: an option is unknown or its value wrong.

    Callbacks run one after another on one thread, ``domstats-callbacks``; one that raises is told
    to ``log``, and harms nobody. In a callback, queries may be made and cancelled, and the
    hypervisor closed.
    """

    def __init__(
        self, uri: str = "qemu:///system", *, log: LogFunction = _log_with_logging, **options: Any
    ) -> None:
        self._log = log
        self._sampler = Sampler(_settings(uri, options), log)
        self._lock = threading.Lock()
        self._open: set[Query[Any]] = set()
        self._closed = False
        self._calls: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None

    def query(
        self,
        callback: Callable[[Optional[Sample], Optional[DomstatsError], Opaque], None],
        opaque: Opaque = _NONE,
        *,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
        deadline: float = DEADLINE_S,
    ) -> Query[Opaque]:
        """Ask, and have ``callback(sample, error, opaque)`` called once, with one of the two.

        :param domains: uuids or names; all if None.
        :param groups: stats groups (``model.GROUPS``); all but vm if None.
        :param deadline: seconds after which it gets what there is, a day at most.
        :raises ConfigError: a group is unknown, or none; a deadline that is none.
        :raises QueryCancelledError: the hypervisor is closed.

        The errors: HypervisorError (it cannot be asked), NoSuchDomainError (none of ``domains``
        exists), DomainsUnresponsiveError (none of them answers; it has what could be had),
        QueryCancelledError. Of a domain beside others that do answer, its status tells.
        """

        def call_back(query: Query[Opaque]) -> None:
            sample, error = query._outcome or (None, None)
            callback(sample, error, opaque)

        return self._ask(call_back, opaque, _Question(domains, groups, deadline))

    def begin(
        self,
        ready: Callable[[Hypervisor, Query[Opaque], Opaque], None],
        opaque: Opaque = _NONE,
        *,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
        deadline: float = DEADLINE_S,
    ) -> Query[Opaque]:
        """Ask, and have ``ready(hypervisor, result, opaque)`` called when ``finish`` can be.

        The parameters and what is raised are as for ``query``.
        """
        question = _Question(domains, groups, deadline)
        return self._ask(lambda query: ready(self, query, opaque), opaque, question)

    def finish(self, result: Query[Any]) -> Sample:
        """The sample of a query that is ready; once.

        :raises DomstatsError: as ``query`` tells.
        :raises RuntimeError: it is not ready yet, or its result has been fetched.
        """
        with self._lock:
            if result._outcome is None:
                raise RuntimeError("the query is not ready: finish is for its ready callback")
            if result._taken:
                raise RuntimeError("the query's result has been fetched already")
            result._taken = True
            sample, error = result._outcome
        if sample is None:
            raise error or QueryCancelledError("the query has no result")
        return sample

    def sample(
        self,
        *,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
        deadline: float = DEADLINE_S,
    ) -> Sample:
        """Ask, and wait for the answer. The parameters and what is raised are as for ``query``."""
        query: Query[None] = self._ask(None, None, _Question(domains, groups, deadline))
        if not query._settled.wait(deadline + _MARGIN_S):
            error = HypervisorError(f"the query got no answer within {deadline:g} s")
            self._end(query, error)
        return self.finish(query)

    def close(self) -> None:
        """End all queries with QueryCancelledError, and the threads; never waits for a hypervisor.

        Callbacks that are due are waited for, for a second, unless it is called in one.
        """
        with self._lock:
            self._closed = True
            waiting = list(self._open)
        for query in waiting:
            self._settle(query, (None, QueryCancelledError("the hypervisor is closed")))
        self._sampler.close()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
            if thread is not threading.current_thread():
                thread.join(CLOSE_S)

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ask(
        self,
        call_back: Optional[Callable[[Query[Opaque]], None]],
        opaque: Opaque,
        question: _Question,
    ) -> Query[Opaque]:
        """:param call_back: is called, in the thread for callbacks, with the query's outcome."""
        query = Query(self, opaque)
        query._call_back = call_back
        with self._lock:
            if self._closed:
                raise QueryCancelledError("the hypervisor is closed")
            if call_back is not None and self._thread is None:
                thread = threading.Thread(
                    target=self._run_callbacks, name="domstats-callbacks", daemon=True
                )
                thread.start()
                self._thread = thread
            query._number = self._sampler.ask(
                lambda sample: self._settle(query, question.outcome(sample)),
                deadline=question.deadline,
                domains=question.domains,
                groups=question.groups,
            )
            self._open.add(query)  # no answer can be settled before: the lock is held
        return query

    def _settle(self, query: Query[Any], outcome: Outcome) -> None:
        """A query has its outcome; the first one counts."""
        with self._lock:
            if query._outcome is not None:
                return
            query._outcome = outcome
            self._open.discard(query)
            call_back, query._call_back = query._call_back, None
            if call_back is not None:
                self._calls.put(lambda: call_back(query))
        query._settled.set()

    def _end(self, query: Query[Any], error: DomstatsError) -> None:
        """A query ends without an answer, unless it has one."""
        self._sampler.cancel(query._number)
        self._settle(query, (None, error))

    def _run_callbacks(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            try:
                call()
            except BaseException as error:  # SystemExit too: the thread is everybody's
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = f"a callback failed: {error!r} in {where.filename}, line {where.lineno}"
                with suppress(Exception):
                    self._log("error", text)
            call = None  # a sample is not kept until the next one comes


class AsyncHypervisor:
    """The same for asyncio: ``async with AsyncHypervisor(uri) as hypervisor``.

    The parameters and what is raised are as for ``Hypervisor``. It may be used from any event
    loop; a query's answer comes to the loop that asked.
    """

    def __init__(
        self, uri: str = "qemu:///system", *, log: LogFunction = _log_with_logging, **options: Any
    ) -> None:
        self._sampler = Sampler(_settings(uri, options), log)
        self._closed = False

    async def sample(
        self,
        *,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
        deadline: float = DEADLINE_S,
    ) -> Sample:
        """Ask, and await the answer. The parameters and what is raised are as for
        ``Hypervisor.query``; cancelling the awaiting task cancels the query."""
        question = _Question(domains, groups, deadline)
        sample, error = question.outcome(await self._ask(question))
        if sample is None:
            raise error or QueryCancelledError("the query has no result")
        return sample

    def samples(
        self,
        interval: float,
        *,
        domains: Optional[Collection[str]] = None,
        groups: Optional[Collection[str]] = None,
        deadline: Optional[float] = None,
    ) -> AsyncGenerator[Sample, None]:
        """Samples at an interval, until cancelled or closed; ``async for`` waits for each.

        A sample that takes longer than the interval puts the next one off; none is made up for.
        Trouble with the hypervisor ends nothing: the sample then has no domains, and
        ``round.connected`` is False.

        :param interval: seconds from the begin of one to that of the next.
        :param deadline: seconds for each; 0.9 of the interval if None.
        :raises ConfigError: at once, as ``Hypervisor.query`` tells; the interval is none.
        """
        _seconds("interval", interval)
        seconds = ROUND_SHARE * interval if deadline is None else deadline
        return self._samples(interval, _Question(domains, groups, seconds))

    async def _samples(self, interval: float, question: _Question) -> AsyncGenerator[Sample, None]:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            try:
                sample = await self._ask(question)
            except QueryCancelledError:
                return
            yield sample
            at = max(at + interval, loop.time())
            await asyncio.sleep(at - loop.time())

    async def aclose(self) -> None:
        """End all queries with QueryCancelledError; never waits for a hypervisor."""
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._sampler.close)

    async def __aenter__(self) -> AsyncHypervisor:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def _ask(self, question: _Question) -> Sample:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sample] = loop.create_future()

        def deliver(sample: Sample) -> None:
            if answer.done():
                return
            if self._closed:
                answer.set_exception(QueryCancelledError("the hypervisor is closed"))
            else:
                answer.set_result(sample)

        def answered(sample: Sample) -> None:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(deliver, sample)

        if self._closed:
            raise QueryCancelledError("the hypervisor is closed")
        try:
            number = self._sampler.ask(
                answered,
                deadline=question.deadline,
                domains=question.domains,
                groups=question.groups,
            )
        except DomstatsError:  # closed this moment, from another loop
            raise QueryCancelledError("the hypervisor is closed") from None
        try:
            return await answer
        except asyncio.CancelledError:
            self._sampler.cancel(number)
            raise
