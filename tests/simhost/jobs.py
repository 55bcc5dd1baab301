"""The jobs of a domain: migrations, backups and the like."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Job:
    """A job by its virDomainJobType and its parameters."""

    type: int
    figures: dict[str, Any]
    begun: float

    def milliseconds(self, now: float) -> int:
        return int((now - self.begun) * 1000)


@dataclass
class Jobs:
    """The one that runs, and the last one that has ended."""

    current: Job | None = None
    ended: Job | None = None

    def begin(self, figures: dict[str, Any]) -> None:
        self.current = Job(type=2, figures=figures, begun=time.monotonic())

    def end(self, type: int, figures: dict[str, Any]) -> None:
        if self.current is not None:
            self.current.type = type
            self.current.figures.update(figures)
        self.current, self.ended = None, self.current
