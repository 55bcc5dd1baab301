"""A sampler whose samples a test gives."""

from __future__ import annotations

import queue
import threading
from typing import Callable, Optional

import msgspec
from domstats.config.settings import Settings
from domstats.model import Round, Sample

Take = Callable[[Sample], None]


class FakeSampler:
    """Gives one sample after the other; can be held in a round, or made to fail.

    :ivar samples: gives the sample of a round by its number, from 1 on, or raises.
    :ivar for_the_end: how many domains of each are not handed out while the round goes on.
    :ivar go: a round of ``sample`` ends when this is set, as it is at first.
    """

    def __init__(
        self, settings: Settings, log: Callable[[str, str], None] = lambda level, text: None
    ) -> None:
        self.settings = settings
        self.log = log
        self.rounds = 0
        self.for_the_end = 1
        self.deadlines: list[Optional[float]] = []
        self.fast_deadlines: list[float] = []
        self.shortened: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self.closed = threading.Event()
        self.failures: list[Exception] = []

    def samples(self, number: int) -> Sample:
        return Sample(self.settings.uri, number, (), Round())

    def fast_samples(self, number: int) -> Sample:
        return self.samples(1000 + number)

    def sample(self, deadline: Optional[float] = None, *, take: Optional[Take] = None) -> Sample:
        self.rounds += 1
        self.deadlines.append(deadline)
        sample = self._in_parts(self.samples(self.rounds), take)
        self.began.release()
        self.go.wait()
        if self.failures:
            raise self.failures.pop(0)
        return sample

    def sample_fast(self, deadline: float, *, take: Optional[Take] = None) -> Sample:
        if self.closed.is_set():
            raise AssertionError("asked after it was closed")
        self.fast_deadlines.append(deadline)
        return self._in_parts(self.fast_samples(len(self.fast_deadlines)), take)

    def shorten(self, deadline: float) -> None:
        self.shortened.put(deadline)

    def close(self) -> None:
        self.closed.set()

    def _in_parts(self, sample: Sample, take: Optional[Take]) -> Sample:
        """Hand out all that does not wait for the end, as a round does; what is left."""
        early = sample.domains[: len(sample.domains) - self.for_the_end]
        if take is None or not early:
            return sample
        take(Sample(sample.uri, sample.time_ns, early, Round()))
        left = [msgspec.structs.replace(domain, stats={}) for domain in early]
        return msgspec.structs.replace(sample, domains=(*left, *sample.domains[len(early) :]))
