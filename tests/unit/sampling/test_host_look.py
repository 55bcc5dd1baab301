"""Looks at the host beside the rounds: nothing that hangs is waited for, and each is told once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from domstats.config.settings import Settings
from domstats.errors import CallError, UnsupportedError
from domstats.host_sample import NodeCpu, NodeMemory, Pool
from domstats.model import Round, Sample
from domstats.sampling.beside import beside_of
from domstats.sampling.host_look import LATE_S, Found, HostLook, Look, host_sample

LONG_S = 60.0
CPU, MEMORY = NodeCpu(1), NodeMemory(1)


class Asked:
    """A question whose answer a test holds back, and the look that asks it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: list[Any] = [CPU]
        self.asked = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.closed = threading.Event()
        self.look = Look(
            "storage pools", lambda: "look there", (self._ask,), self.closed.set, lambda: self.now
        )

    def _ask(self) -> Iterator[Found]:
        self.asked.release()
        for answer in self.answers:
            if isinstance(answer, Exception):
                raise answer
            yield answer
        self.free.wait(LONG_S)

    def round(self, wait_s: float = LONG_S) -> list[Found]:
        """Begin a look, and take what it finds."""
        self.look.begin()
        assert self.asked.acquire(timeout=LONG_S)
        return self.look.take(self.now + wait_s)

    def news(self) -> list[str]:
        return [text for _, text in self.look.news()]


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.free.set()
    made.look.close()
    assert made.closed.wait(LONG_S)


def test_what_answers_quickly_is_in_the_round_that_asked(asked: Asked) -> None:
    assert asked.round() == [CPU]
    asked.answers = [MEMORY]
    assert asked.round() == [MEMORY], "and nothing is there twice"
    assert asked.look.take(0.0) == []
    assert asked.news() == []


def test_what_hangs_is_not_waited_for_again_nor_asked_again(asked: Asked) -> None:
    asked.free.clear()
    asked.round(wait_s=0.0)
    for _ in range(3):
        asked.look.begin()
        asked.look.take(asked.now + LONG_S)  # would time out, were it to wait
    assert not asked.asked.acquire(blocking=False)


def test_a_hang_is_told_once_and_so_is_its_end(asked: Asked) -> None:
    asked.free.clear()
    asked.round(wait_s=0.0)
    assert asked.news() == []
    asked.now += LATE_S
    (text,) = asked.news()
    assert text == (
        "no answer about storage pools for 2 s: they are missing until there is one, and nothing"
        " else is; look there"
    )
    asked.now += LATE_S
    assert asked.news() == []
    asked.free.set()
    assert asked.look._thread.idle.wait(LONG_S)
    assert asked.news() == ["storage pools are there again"]
    assert asked.news() == []
    asked.look.take(asked.now)
    assert asked.round() == [CPU]


def test_an_error_is_told_once_and_so_is_its_end(asked: Asked) -> None:
    asked.answers = [CPU, CallError("no virtstoraged")]
    assert asked.round() == [CPU], "what was found before it counts"
    assert asked.news() == [], "a daemon may merely have restarted"
    asked.round()
    assert asked.news() == [
        "storage pools cannot be had: no virtstoraged; nothing else is missing"
    ]
    for number in range(3):
        asked.answers = [CallError(f"another error each time: {number}")]
        asked.round()
        assert asked.news() == []
    asked.answers = [CPU]
    asked.round()
    assert asked.news() == ["storage pools are there again"]
    asked.round()
    assert asked.news() == []


def test_what_a_driver_does_not_have_is_told_once_and_asked_no_more(asked: Asked) -> None:
    asked.answers = [UnsupportedError("no such call")]
    asked.round()
    assert asked.news() == ["the hypervisor does not have all of storage pools: no such call"]
    asked.look.begin()
    asked.look.take(LONG_S)
    assert not asked.asked.acquire(blocking=False)
    assert asked.news() == []


def test_a_mistake_of_ours_does_not_end_the_thread(asked: Asked) -> None:
    asked.answers = [ZeroDivisionError("oops")]
    asked.round()
    assert asked.news() == []
    asked.round()
    (text,) = asked.news()
    assert "unexpected: ZeroDivisionError('oops')" in text
    asked.answers = [CPU]
    assert asked.round() == [CPU]


def test_nothing_is_told_while_the_hypervisor_is_away(asked: Asked) -> None:
    log: list[str] = []
    host = HostLook("qemu:///system", [asked.look], lambda level, text: log.append(text))
    asked.answers = [CallError("lost")]
    for connected in (False, False, True, True):
        host.begin()
        sample = Sample("qemu:///system", 1, (), Round(connected=connected))
        assert asked.asked.acquire(timeout=LONG_S)
        assert asked.look._thread.idle.wait(LONG_S)
        host.add_to(sample)
        assert sample.host is not None
        assert connected or not log
    assert len(log) == 1
    assert log[0].startswith("qemu:///system: storage pools cannot be had")


def test_of_each_kind_and_pool_the_latest_counts() -> None:
    first, again = (Pool(time_ns, "a", "dir", "/a", 2, 1, 1, 0) for time_ns in (1, 2))
    other = Pool(1, "b", "dir", "/b", 2, 1, 1, 0)
    found = host_sample([CPU, first, other, NodeCpu(2), again])
    assert found.cpu == NodeCpu(2)
    assert found.pools == (again, other)
    assert found.memory is found.daemon is None


def test_no_thread_is_there_for_who_does_not_want_it_or_before_the_first_round() -> None:
    before = threading.active_count()
    assert beside_of(Settings(), lambda level, text: None) == ()
    (look,) = beside_of(Settings(host=True), lambda level, text: None)
    assert threading.active_count() == before
    look.close()
