"""The host beside its guests: CPU and memory, storage pools, the workers of libvirt's daemon.

Each of these has a thread and a connection of its own, so that one that hangs costs its own figures
alone, and one of the server's workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Callable, Union

from ..config.settings import Settings, is_remote
from ..errors import DomstatsError, UnsupportedError
from ..host_sample import DaemonLoad, HostSample, NodeCpu, NodeMemory, Pool
from ..hypervisor.connection import Connection
from ..hypervisor.node import PoolBook, node_cpu, node_memory
from ..model import Sample
from ..shown import one_line
from .engine_thread import LogFunction
from .look_thread import LookThread

if TYPE_CHECKING:
    from ..hypervisor.admin import AdminConnection

#: Seconds that the end of a round waits for looks that are usually quicker.
PATIENCE_S = 0.1
#: Seconds after which a look that is under way is told of.
LATE_S = 2.0
#: Looks that fail one after another before it is told: a daemon that restarts fails one.
FAILURES = 2

Found = Union[NodeCpu, NodeMemory, DaemonLoad, Pool]
#: A question, or a few that belong together: gives what it finds as it finds it.
Question = Callable[[], Iterable[Found]]


class Look:
    """Asks one kind of question again and again, in a thread that exists from the first time on.

    :param what: what it asks for, for the log: a plural.
    :param hint: where to look when it does not answer.
    :param questions: each is asked even if the one before failed; one that the driver does not
        have is not asked again.
    :param close: is called in the thread when it ends.
    """

    def __init__(
        self,
        what: str,
        hint: Callable[[], str],
        questions: Sequence[Question],
        close: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._hint = what, hint
        self._questions = list(questions)
        self._clock = clock
        self._thread: LookThread[None] = LookThread("domstats-host", self._ask_all, close)
        self._begun = 0.0
        self._failures = 0
        self._is_logged = False
        self._lock = threading.Lock()  # for all that follows
        self._found: list[Found] = []
        self._error = ""
        self._unsupported: list[str] = []

    def begin(self) -> None:
        """Ask, unless an answer is still to come."""
        if not self._thread.idle.is_set():
            return
        self._begun = self._clock()
        try:
            self._thread.begin(None)
        except RuntimeError as error:  # no thread to be had: a later round may have one
            self._error = str(error)

    def take(self, until: float) -> list[Found]:
        """What has been found since the last time.

        :param until: when not to wait any longer for a look that is usually quicker, by the clock.
        """
        self._thread.wait(until - self._clock())
        with self._lock:
            found, self._found = self._found, []
        return found

    def news(self) -> Iterator[tuple[str, str]]:
        """Level and text of what the log has not been told yet; once at the end of each round.

        Whatever the trouble is, and becomes: it is told once, and so is its end.
        """
        with self._lock:
            unsupported, self._unsupported = self._unsupported, []
            error = self._error
        for text in unsupported:
            yield "info", f"the hypervisor does not have all of {self._what}: {text}"
        is_done = self._thread.idle.is_set()
        late_s = 0.0 if is_done else self._clock() - self._begun
        if is_done:
            self._failures = self._failures + 1 if error else 0
        if late_s >= LATE_S:
            text = (
                f"no answer about {self._what} for {late_s:.0f} s: they are missing until there is"
                f" one, and nothing else is; {self._hint()}"
            )
        elif self._failures >= FAILURES:
            text = f"{self._what} cannot be had: {error}; nothing else is missing"
        else:
            if self._is_logged and is_done and not error:
                self._is_logged = False
                yield "info", f"{self._what} are there again"
            return
        if not self._is_logged:
            self._is_logged = True
            yield "warning", text

    def close(self) -> None:
        """End after the question that is under way, without waiting for it."""
        self._thread.close()

    def _ask_all(self, _: None) -> None:
        """In the thread."""
        error = ""
        for question in list(self._questions):
            error = self._ask(question) or error
        with self._lock:
            self._error = error

    def _ask(self, question: Question) -> str:
        """:returns: what went wrong; empty if nothing did."""
        try:
            for found in question():
                with self._lock:
                    self._found.append(found)
        except UnsupportedError as error:
            self._questions.remove(question)
            with self._lock:
                self._unsupported.append(str(error))
        except DomstatsError as error:
            return str(error)
        except Exception as error:  # a mistake of ours must not cost the thread
            return f"unexpected: {error!r}"
        return ""


class HostLook:
    """Looks at the host of one hypervisor; a ``Beside``.

    :param uri: stands before each line of the log.
    """

    def __init__(self, uri: str, looks: Sequence[Look], log: LogFunction) -> None:
        self._uri = uri
        self._looks = looks
        self._log = log

    def begin(self) -> None:
        for look in self._looks:
            look.begin()

    def add_to(self, sample: Sample) -> None:
        until = time.monotonic() + PATIENCE_S
        sample.host = host_sample(found for look in self._looks for found in look.take(until))
        if sample.round.connected:  # what is wrong with the whole is told elsewhere
            for look in self._looks:
                for level, text in look.news():
                    self._log(level, f"{self._uri}: {text}")

    def close(self) -> None:
        for look in self._looks:
            look.close()


def host_sample(found: Iterable[Found]) -> HostSample:
    """What has been found; of each kind, and of each pool, the latest."""
    cpu, memory, daemon = None, None, None
    pools: dict[str, Pool] = {}
    for each in found:
        if isinstance(each, NodeCpu):
            cpu = each
        elif isinstance(each, NodeMemory):
            memory = each
        elif isinstance(each, DaemonLoad):
            daemon = each
        else:
            pools[each.name] = each
    return HostSample(cpu, memory, daemon, tuple(pools.values()))


def host_look(settings: Settings, log: LogFunction) -> HostLook:
    """What the settings want to know of the host."""
    uri = settings.uri
    node, storage = (Connection(uri, keepalive=is_remote(uri)) for _ in range(2))
    pools = PoolBook(storage)
    looks = [
        Look(
            "the host's CPU and memory",
            lambda: "look at libvirtd and its log",
            (lambda: [node_cpu(node)], lambda: [node_memory(node)]),
            node.close,
        ),
        Look(
            "storage pools",
            lambda: _why_no_pools(pools.asking),
            (pools.read,),
            storage.close,
        ),
    ]
    if settings.admin_uri:
        looks.append(_daemon_look(settings.admin_uri))
    return HostLook(uri, looks, log)


def _why_no_pools(asked: str) -> str:
    """:param asked: the pool that is asked."""
    if not asked:
        return "a pool's refresh or the storage driver hangs; virsh pool-list waits for it too"
    return f"pool {one_line(asked, 100)} is being refreshed and hangs, or the storage driver does"


def _daemon_look(uri: str) -> Look:
    opened: list[AdminConnection] = []

    def ask() -> Iterator[Found]:
        from ..hypervisor.admin import AdminConnection  # few want it, and it takes memory

        if not opened:
            opened.append(AdminConnection(uri))
        yield opened[0].load()

    def close() -> None:
        for connection in opened:
            connection.close()

    return Look(
        "workers and clients of libvirt's daemon",
        lambda: "look at its log",
        (ask,),
        close,
    )
