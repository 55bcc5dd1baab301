"""The threads that calls are made in."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest
from domstats.sampling import threads as module
from domstats.sampling.threads import CallThreads, Strand, of_this_process

LONG_S = 60.0


@pytest.fixture
def pool(monkeypatch):
    made = CallThreads()
    monkeypatch.setattr(module, "call_threads", lambda: made)
    made.join()
    return made


class Recorder:
    """Does something in a thread, and says in which one it was."""

    def __init__(self) -> None:
        self.thread = threading.main_thread()
        self.begun, self.gate, self.done = (threading.Event() for _ in range(3))

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        self.gate.wait(LONG_S)
        self.done.set()


def end(pool: CallThreads, *jobs: Recorder) -> None:
    for job in jobs:
        job.gate.set()
    pool.leave()
    for job in jobs:
        job.thread.join(LONG_S)
        assert not job.thread.is_alive()


def rested(pool: CallThreads, thread: threading.Thread) -> None:
    while thread not in pool._idle:
        pass


def test_there_are_as_many_threads_as_calls_under_way_and_they_are_used_again(pool) -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    pool.run(first)
    pool.run(second)
    assert first.begun.wait(LONG_S)
    assert second.begun.wait(LONG_S)
    assert first.thread is not second.thread
    second.gate.set()
    rested(pool, second.thread)
    pool.run(third)
    assert third.begun.wait(LONG_S)
    assert third.thread is second.thread
    assert first.thread.daemon
    end(pool, first, third)


def test_when_the_last_user_has_left_all_threads_end_and_jobs_are_done_all_the_same(pool) -> None:
    pool.join()
    idle, stuck, later = Recorder(), Recorder(), Recorder()
    for job in (idle, stuck):
        pool.run(job)
        assert job.begun.wait(LONG_S)
    idle.gate.set()
    rested(pool, idle.thread)
    pool.leave()
    assert idle.thread.is_alive()
    pool.leave()
    idle.thread.join(LONG_S)
    assert not idle.thread.is_alive()
    pool.run(later)
    later.gate.set()
    assert later.done.wait(LONG_S)
    pool.join()
    end(pool, stuck, later)


def test_a_thread_that_nobody_needs_for_long_ends(pool, monkeypatch) -> None:
    monkeypatch.setattr(module, "KEEP_S", 0.01)
    job = Recorder()
    job.gate.set()
    pool.run(job)
    assert job.begun.wait(LONG_S)
    job.thread.join(LONG_S)
    assert not job.thread.is_alive()
    assert pool._idle == []


def test_jobs_of_a_strand_are_done_in_order_and_one_at_a_time(pool) -> None:
    strand, done, over = Strand(), [], threading.Event()
    gate = Recorder()
    strand.do(gate)
    for number in range(100):
        strand.do(partial(done.append, number))
    strand.do(over.set)
    assert done == []
    gate.gate.set()
    assert over.wait(LONG_S)
    assert done == list(range(100))
    end(pool, gate)


def test_a_strand_ends_after_its_jobs_and_one_that_was_never_used_needs_no_end(pool) -> None:
    class Ending(Strand):
        ended = False

        def end(self) -> None:
            self.ended = True

    unused, used, job = Ending(), Ending(), Recorder()
    unused.stop()
    unused.wait(LONG_S)
    assert not unused.ended
    used.do(job)
    used.stop()
    used.wait(0.0)
    assert not used.ended
    job.gate.set()
    used.wait(LONG_S)
    assert used.ended
    end(pool, job)


def test_a_job_for_which_there_is_no_thread_is_not_done_later(pool, monkeypatch) -> None:
    strand, done, over = Strand(), [], threading.Event()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            strand.do(lambda: done.append(1))
    strand.do(over.set)
    assert over.wait(LONG_S)
    assert done == []
    pool.leave()


def test_a_child_process_has_threads_of_its_own():
    given = of_this_process(CallThreads)
    ours = given()
    assert given() is ours
    child = os.fork()
    if not child:
        os._exit(given() is ours)
    assert os.waitpid(child, 0)[1] == 0
