"""One look at a time, in a thread that exists from the first one on; none waits for a slow one."""

from __future__ import annotations

import threading

import pytest
from domstats.sampling.look_thread import LookThread

LONG_S = 60.0
#: Longer than any test may last.
NEVER_S = 3600.0


def test_looks_are_carried_out_one_after_another_in_one_thread() -> None:
    looks: list[tuple[int, threading.Thread]] = []
    ended = threading.Event()
    before = threading.active_count()
    look = LookThread[int](
        "looker", lambda job: looks.append((job, threading.current_thread())), ended.set
    )
    assert threading.active_count() == before, "none before the first look"
    for job in (1, 2):
        look.begin(job)
        look.wait(LONG_S)
        assert look.idle.is_set()
    assert [job for job, _ in looks] == [1, 2]
    assert len({thread for _, thread in looks}) == 1
    look.close()
    assert ended.wait(LONG_S)


def test_one_that_took_too_long_is_not_waited_for_again_until_it_has_ended() -> None:
    goes_on = threading.Event()

    def wait(_: None) -> None:
        goes_on.wait()

    look = LookThread[None]("looker", wait)
    look.begin(None)
    look.wait(0.0)
    look.wait(NEVER_S)
    assert not look.idle.is_set()
    goes_on.set()
    assert look.idle.wait(LONG_S)
    look.wait(0.0)
    look.begin(None)
    look.wait(LONG_S)
    assert look.idle.is_set(), "it is waited for again, since the last one has ended"
    look.close()


def test_without_a_thread_to_be_had_nothing_is_under_way(monkeypatch) -> None:
    look = LookThread[None]("looker", lambda _: None)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="thread"):
            look.begin(None)
    assert look.idle.is_set()
    look.begin(None)
    look.wait(LONG_S)
    assert look.idle.is_set()
    look.close()
