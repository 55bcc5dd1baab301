"""The server's workers: so many for every call and a few for priority calls only, as libvirtd
has them, and the queue behind them. A call that does not end occupies its worker until it
does, even when its client is gone. Knows nothing about what the calls do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Callable, NamedTuple

WORKERS, PRIORITY_WORKERS = 20, 5


class Job(NamedTuple):
    run: Callable[[], Coroutine[Any, Any, None]]
    priority: bool
    client: int


class Occupied(NamedTuple):
    """How many are busy, now or at most so far."""

    ordinary: int = 0
    priority: int = 0


class Pool:
    """Ordinary workers take the oldest call, priority workers the oldest priority call."""

    def __init__(self, workers: int = WORKERS, priority_workers: int = PRIORITY_WORKERS) -> None:
        self._limits = Occupied(workers, priority_workers)
        self._queue: deque[Job] = deque()
        self._running: dict[asyncio.Task, tuple[Job, bool]] = {}
        self.busy = Occupied()
        self.most = Occupied()
        self.queued_most = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def held_by_client(self) -> dict[int, int]:
        """By client's number, how many workers its calls occupy now."""
        held: dict[int, int] = {}
        for job, _ in self._running.values():
            held[job.client] = held.get(job.client, 0) + 1
        return held

    def forget(self) -> None:
        """Count the most that were busy and queued anew."""
        self.most, self.queued_most = self.busy, len(self._queue)

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        self._assign()
        self.queued_most = max(self.queued_most, len(self._queue))

    def _assign(self) -> None:
        while self._queue and self.busy.ordinary < self._limits.ordinary:
            self._start(self._queue.popleft(), by_priority_worker=False)
        while self.busy.priority < self._limits.priority:
            job = next((job for job in self._queue if job.priority), None)
            if job is None:
                return
            self._queue.remove(job)
            self._start(job, by_priority_worker=True)

    def _start(self, job: Job, by_priority_worker: bool) -> None:
        task = asyncio.get_running_loop().create_task(job.run())
        self._running[task] = job, by_priority_worker
        self._count(by_priority_worker, 1)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task) -> None:
        _, by_priority_worker = self._running.pop(task)
        self._count(by_priority_worker, -1)
        if not task.cancelled():
            task.result()  # a mistake of the simulation itself is not to be lost
        self._assign()

    def _count(self, by_priority_worker: bool, step: int) -> None:
        ordinary, priority = self.busy
        if by_priority_worker:
            self.busy = Occupied(ordinary, priority + step)
        else:
            self.busy = Occupied(ordinary + step, priority)
        self.most = Occupied(*map(max, self.most, self.busy))
