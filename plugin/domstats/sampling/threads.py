"""Threads that make calls, for all hypervisors of a process together.

There are as many as calls have been under way at a time: one that is free takes the next call,
whoever's it is. Those that nobody has needed for a minute end. All are daemons: a call that is
stuck keeps its thread, and nothing waits for it.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import Callable, Optional, TypeVar

#: Seconds for which a thread waits for its next job.
KEEP_S = 60.0

Job = Callable[[], None]
_T = TypeVar("_T")


class _CallThread(threading.Thread):
    """Does jobs, for as long as there are any."""

    def __init__(self, threads: CallThreads) -> None:
        super().__init__(name="domstats-call", daemon=True)
        self.jobs: queue.SimpleQueue[Optional[Job]] = queue.SimpleQueue()
        self._threads = threads

    def run(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=KEEP_S)
            except queue.Empty:
                if self._threads.retire(self):
                    return
                continue  # it has been given a job this moment
            if job is None:
                return
            job()
            del job
            if not self._threads.rest(self):
                return


class CallThreads:
    """Threads for the calls of all who have joined; when the last one has left, they end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_CallThread] = []
        self._users = 0

    def join(self) -> None:
        """Somebody needs threads from now on."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Somebody needs none any more, but for what is under way."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            idle, self._idle = self._idle, []
        for thread in idle:
            thread.jobs.put(None)

    def run(self, job: Job) -> None:
        """Do a job in a thread that is free, a new one if need be.

        :raises RuntimeError: there is none, and none can be started.
        """
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        if thread is None:
            thread = _CallThread(self)
            thread.start()
        thread.jobs.put(job)

    def rest(self, thread: _CallThread) -> bool:
        """A thread is free; False: nobody needs it any more."""
        with self._lock:
            if self._users:
                self._idle.append(thread)  # the last one is the next: the others may retire
            return bool(self._users)

    def retire(self, thread: _CallThread) -> bool:
        """A thread has had nothing to do for long; False: it has, now."""
        with self._lock, suppress(ValueError):
            self._idle.remove(thread)
            return True
        return False


def of_this_process(make: Callable[[], _T]) -> Callable[[], _T]:
    """What gives the one of this process: threads do not outlive a fork, so a child has another."""
    found = [make()]

    def renew() -> None:
        found[0] = make()

    os.register_at_fork(after_in_child=renew)
    return lambda: found[0]


call_threads = of_this_process(CallThreads)


class Strand:
    """Jobs that are done one after another, whichever threads do them."""

    def __init__(self) -> None:
        self._threads = call_threads()
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._at_work = False
        self._used = False
        self._ended = threading.Event()

    def do(self, job: Job) -> None:
        """Do a job after those before it.

        :raises RuntimeError: there is no thread for it; it will not be done.
        """
        with self._lock:
            self._jobs.append(job)
            if self._at_work:
                return
            self._at_work = self._used = True
        try:
            self._threads.run(self._run)
        except RuntimeError:
            with self._lock:
                self._at_work = False
                self._jobs.clear()
            raise

    def stop(self) -> None:
        """End after the jobs so far."""
        if self._used:
            with suppress(RuntimeError):  # its connection is left to the end of the process
                self.do(self._end)

    def wait(self, seconds: float) -> None:
        """Until it has ended, or not longer than that."""
        if self._used:
            self._ended.wait(seconds)

    def _end(self) -> None:
        self.end()
        self._ended.set()

    def end(self) -> None:
        """The last job."""

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._at_work = False
                    return
                job = self._jobs.popleft()
            job()
