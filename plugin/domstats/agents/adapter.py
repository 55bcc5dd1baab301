"""What both agents' adapters share: the sampler, how long a round may take, the unexpected.

It must not know either agent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import Callable, Protocol

from ..config.settings import Settings
from ..model import Sample
from ..shown import one_line

#: Seconds: an interval is never taken for shorter.
LEAST_INTERVAL_S = 0.2
#: Distances between ticks that are looked at.
_REMEMBERED = 8
#: By so much a deadline must be longer than an interval that was measured.
_LONGER = 1.05
#: Kinds of unexpected errors that are told, before all further ones are not.
_KINDS_TOLD = 100


#: ``log(level, text)``: level is error, warning, info or debug.
LogFunction = Callable[[str, str], None]


class SamplerLike(Protocol):
    """What adapters use of ``sampler.Sampler``."""

    def sample(
        self, deadline: float | None = None, *, take: Callable[[Sample], None] | None = None
    ) -> Sample:
        """Make a round; ``take`` is given the domains that are complete while it goes on."""

    def sample_fast(
        self, deadline: float, *, take: Callable[[Sample], None] | None = None
    ) -> Sample:
        """Make a round of the fast lane."""

    def shorten(self, left_s: float) -> None:
        """Have a round under way end within so many seconds from now if the hypervisor hangs."""

    def close(self) -> None:
        """End, without waiting for stuck calls."""


MakeSampler = Callable[[Settings, LogFunction], SamplerLike]


def sampler(settings: Settings, log: LogFunction) -> SamplerLike:
    """The sampler of a hypervisor; libvirt is imported with the first one."""
    from ..sampling.sampler import Sampler

    return Sampler(settings, log)


def release() -> None:
    """Take back what libvirt holds of this interpreter, which is about to end."""
    from ..hypervisor.connection import release_libvirt

    release_libvirt()


class LazySampler:
    """A hypervisor's sampler, made by its first round; whole and fast rounds share it."""

    def __init__(self, settings: Settings, log: LogFunction, make: MakeSampler) -> None:
        self._settings = settings
        self._log = log
        self._make = make
        self._lock = threading.Lock()
        self._sampler: SamplerLike | None = None

    def get(self) -> SamplerLike:
        with self._lock:
            if self._sampler is None:
                self._sampler = self._make(self._settings, self._log)
            return self._sampler

    def close(self) -> None:
        """Let go of the hypervisor, without waiting for it."""
        if self._sampler is not None:
            with contextlib.suppress(Exception):
                self._sampler.close()


class RoundDeadline:
    """How long a hypervisor's rounds may take, learned from the agent's ticks where nobody says.

    An agent that waits for a round ticks late after a long one, so the shortest recent distance
    is the interval. A first guess that is too long is corrected round by round.

    :param interval: seconds, where the interval is known.
    """

    def __init__(self, settings: Settings, interval: float | None = None) -> None:
        self._settings = settings
        self._is_said = settings.deadline is None
        known = interval is not None or settings.interval_fixed
        self._guess = settings.interval if interval is None else interval
        self._distances: deque[float] = deque(maxlen=0 if known else _REMEMBERED)
        self._last: float | None = None

    def tick(self, now: float) -> None:
        """The agent asks for a round.

        :param now: seconds of a clock that only goes forward.
        """
        if self._last is not None:
            self._distances.append(max(LEAST_INTERVAL_S, now - self._last))
        self._last = now

    def complaint(self) -> str:
        """What to tell the user of a deadline that is longer than the interval: once, as soon as
        enough ticks tell how long that is; empty else."""
        deadline = self._settings.deadline
        if self._is_said or deadline is None:
            return ""
        known = self._distances
        if len(known) < (known.maxlen or 0):
            return ""
        # Not the shortest, as an agent may spread its ticks (collection_jitter).
        interval = sum(known) / len(known) if known else self._guess
        if deadline <= interval * _LONGER:
            return ""
        self._is_said = True
        rounded = f"{round(interval, 1 if interval > 1 else 2):g} s"
        return (
            f"the deadline is {deadline:g} s, and a round is due each {rounded}: while the"
            " hypervisor hangs, rounds come late or not at all; set the deadline to"
            f" {rounded} at most, or leave it out"
        )

    @property
    def interval(self) -> float:
        """Seconds from round to round, as far as is known."""
        return min(self._distances, default=self._guess)

    @property
    def seconds(self) -> float:
        """Seconds after which a round that begins now has to end."""
        return self.until(self.interval)

    def until(self, next_s: float) -> float:
        """The same where the next round is known to begin so many seconds later."""
        return self._settings.round_deadline(next_s)

    @property
    def is_guess(self) -> bool:
        """Whether no tick has told yet how long the interval is."""
        learns = self._settings.deadline is None and bool(self._distances.maxlen)
        return learns and not self._distances


class ErrorOnce:
    """Tells of errors that are mistakes of ours: in one line, and once for each kind.

    :param log: is given the line.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._logged: set[tuple[type, str]] = set()

    def __call__(self, doing: str, error: BaseException) -> None:
        """Tell of an error, if this kind has not been told of yet.

        :param doing: what could not be done.
        """
        place = _place(error)
        kind = (type(error), place)
        if kind in self._logged or len(self._logged) >= _KINDS_TOLD:
            return
        self._logged.add(kind)
        self._log(
            f"{doing}: unexpected {type(error).__name__} at {place}: {one_line(str(error), 300)}"
            " (told once; please report it)"
        )


def _place(error: BaseException) -> str:
    """File and line of the innermost call."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
