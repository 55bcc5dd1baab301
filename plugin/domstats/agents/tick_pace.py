"""Which of the agent's ticks are for a hypervisor that has an interval of its own.

Pure: times are passed in. It must not know who ticks or what a round is.
"""

from __future__ import annotations

import math
from collections import deque

#: Distances between ticks that are looked at.
_REMEMBERED = 8
#: An interval that is longer than a tick by this factor at most is meant to be the same.
_SAME = 1.1
#: The share of a tick's distance by which a tick may come too early and is due all the same; and
#: after one that did, so that ticks near this border do not fall on both its sides by turns.
_EARLY, _EARLY_AGAIN = 0.25, 0.375


class TickPace:
    """The ticks that are due: the first one, then each first one at or after a multiple of the
    interval, counted from the epoch as Telegraf counts its own plugins'.

    Ticks that are as far apart as the interval, or farther, are all due.

    :param interval: seconds from round to round.
    :ivar ahead_s: seconds from the tick that was due last to the next one that will be.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.ahead_s = interval
        self._distances: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: float | None = None
        self._served: int | None = None
        self._early = _EARLY

    def tick(self, now: float) -> bool:
        """Whether a tick is due.

        :param now: seconds since the epoch. This clock may be set while it is looked at.
        """
        distance = self._learn(now)
        if self._served is None or not distance:
            # It counts for the nearest multiple, so that the second round is not too soon after.
            due, number = self._served is None, round(now / self._interval)
        else:
            number = math.floor((now + self._early * distance) / self._interval)
            # One less: the first tick may have counted for a multiple to come. Less than that: the
            # clock was set back.
            is_new = not self._served - 1 <= number <= self._served
            due = is_new or self._interval <= _SAME * distance
        if due:
            self._early = _EARLY_AGAIN if number * self._interval > now else _EARLY
            self._served = number
            self.ahead_s = self._until_next(now, distance)
        return due

    def _learn(self, now: float) -> float:
        """The distance of ticks, in seconds; 0 while it is not known."""
        if self._last is not None and now > self._last:
            self._distances.append(now - self._last)
        self._last = now
        # The middle one: a clock that was set, or a pause of the agent, is not believed.
        return sorted(self._distances)[len(self._distances) // 2] if self._distances else 0.0

    def _until_next(self, now: float, distance: float) -> float:
        if self._interval <= _SAME * distance:
            return distance
        at = ((self._served or 0) + 1) * self._interval - self._early * distance
        if not distance:
            return min(self._interval, at - now)
        return max(1, math.ceil((at - now) / distance - 1e-6)) * distance
