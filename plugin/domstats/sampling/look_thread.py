"""A thread that looks at something, one look at a time, and is not waited for when it is slow."""

from __future__ import annotations

import queue
import threading
from typing import Callable, Generic, Optional, TypeVar

Job = TypeVar("Job")


class LookThread(Generic[Job]):
    """Carries out looks. The thread exists from the first one on.

    :param look: carries one out, in the thread; it raises nothing.
    :param at_end: is called in the thread when it ends.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[Job], None],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._look, self._at_end = name, look, at_end
        self._jobs: queue.SimpleQueue[Optional[tuple[Job]]] = queue.SimpleQueue()
        self._is_started = False
        #: Set while no look is under way.
        self.idle = threading.Event()
        self.idle.set()
        self._is_quick = True

    def begin(self, job: Job) -> None:
        """Have it look; nothing may be under way.

        :raises RuntimeError: there is no thread to be had now.
        """
        if not self._is_started:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._is_started = True
        self.idle.clear()
        self._jobs.put((job,))

    def wait(self, seconds: float) -> None:
        """Wait for the look that is under way; not at all for one that took longer before."""
        self._is_quick = self.idle.wait(max(0.0, seconds) if self._is_quick else 0.0)

    def close(self) -> None:
        """End after the look that is under way, without waiting for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._look(*job)
            self.idle.set()
        self._at_end()
