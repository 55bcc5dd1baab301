"""Asks guest agents beside the rounds, in threads and over connections of their own.

Nothing here exists unless the user wants it (option GuestAgent): no thread before the first round,
and no connection before a thread has somebody to ask. ``engine.agent_book`` decides who that is.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Callable, Optional, Protocol

import msgspec

from ..config.settings import Settings, is_remote
from ..engine.agent_book import AgentBook
from ..errors import ConnectionLostError, HypervisorError, UnsupportedError
from ..hypervisor.guest_agent import AgentConnection
from ..hypervisor.guest_answers import Told
from ..model import GuestAgent, Sample
from .engine_thread import LogFunction


class Asker(Protocol):
    """As ``hypervisor.guest_agent.AgentConnection``."""

    def ask(self, uuid: str) -> Optional[Told]: ...

    def close(self) -> None: ...


class AgentLook:
    """The guest agents of one hypervisor, as ``beside.Beside``.

    :param connect: makes a connection for a thread, without opening it; ours else.
    """

    def __init__(
        self,
        settings: Settings,
        log: LogFunction,
        connect: Optional[Callable[[], Asker]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._connect = connect or _connections(settings)
        self._clock = clock
        self._book = AgentBook(settings.uri, settings.guest_agent_interval)
        #: Guards the book, and is notified of what there is to ask.
        self._turn = threading.Condition()
        self._threads = 0
        self._closed = False

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        with self._turn:
            return self._book.under_way

    def begin(self) -> None:
        """Have those asked that are due, without waiting for any."""
        with self._turn:
            self._book.begin(self._clock())
            self._set_to_work()

    def add_to(self, sample: Sample) -> None:
        """Add what has been found since the last round; nothing is waited for."""
        with self._turn:
            sample.agents, lines = self._book.end(sample, self._clock())
            self._set_to_work()
        for level, text in lines:
            self._log(level, text)

    def close(self) -> None:
        """Have idle threads end; one whose call is stuck is left to end by itself."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def _set_to_work(self) -> None:
        """Start threads, up to what the book wants; the lock is held."""
        wanted = 0 if self._closed else self._book.threads(self._clock())
        while self._threads < wanted:
            thread = threading.Thread(target=self._run, name="domstats-guest-agent", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads; the rounds say so, and the next one tries again
                break
            self._threads += 1
        self._turn.notify_all()

    def _run(self) -> None:
        """A thread."""
        connection = self._connect()
        while (uuid := self._next()) is not None:
            report: Callable[[float], None]
            try:
                told = connection.ask(uuid)
            except Exception as error:
                report = self._report_of(uuid, error)
            else:
                report = self._answer(uuid, told)
            with self._turn:
                report(self._clock())
        with suppress(Exception):
            connection.close()

    def _next(self) -> Optional[str]:
        """Who is to be asked next, as soon as there is somebody; None when all is over."""
        with self._turn:
            while not self._closed:
                now = self._clock()
                uuid = self._book.next(now)
                if uuid is not None:
                    return uuid
                self._turn.wait()
        return None

    def _answer(self, uuid: str, told: Optional[Told]) -> Callable[[float], None]:
        answer = None
        if told is not None:
            answer = GuestAgent(uuid, "", time.time_ns(), **msgspec.structs.asdict(told))
        return lambda now: self._book.answered(uuid, answer, now)

    def _report_of(self, uuid: str, error: Exception) -> Callable[[float], None]:
        if isinstance(error, ConnectionLostError):
            return lambda now: self._book.lost(uuid)
        if isinstance(error, (HypervisorError, UnsupportedError)):
            refusal = str(error)
            return lambda now: self._book.refused(uuid, refusal, now)
        return lambda now: self._book.failed(uuid, now)


def _connections(settings: Settings) -> Callable[[], Asker]:
    """Makes connections to a hypervisor, which share what they learn of its agents."""
    limited: set[str] = set()
    return lambda: AgentConnection(settings.uri, limited, keepalive=is_remote(settings.uri))
