"""How long a call may take before it is suspect, learned from the calls before it; and how often
groups are asked for that not every round needs."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Optional
from zlib import crc32

#: Seconds for a domain, until the first call has taught better.
_FIRST_GUESS_S = 0.05

#: Seconds for a domain that are believed at most: a call that took longer waited for something.
_MOST_S = 1.0

#: How many times the expected cost a call may take, and what every call may take in any case.
_PATIENCE = 4.0
LEAST_S = 0.25


class Pace:
    """The recent cost of bulk calls per domain: it learns quickly, and forgets slowly.

    :param soft_deadline_s: the soft deadline of every call, where that is set.
    :ivar has_learned: whether any call has taught it; the cost is a guess else.
    """

    def __init__(self, soft_deadline_s: Optional[float] = None) -> None:
        self.per_domain_s = _FIRST_GUESS_S
        self.has_learned = False
        self._soft_deadline_s = soft_deadline_s

    def learn(self, took_s: float, domains: int) -> None:
        """A call for so many domains took so many seconds."""
        cost = min(took_s / max(domains, 1), _MOST_S)
        weight = 0.5 if cost > self.per_domain_s else 0.1
        self.has_learned = True
        self.per_domain_s += weight * (cost - self.per_domain_s)

    def soft_deadline(self, domains: int, most_s: float) -> float:
        """Seconds after which a call for so many domains is suspect; ``most_s`` at most,
        unless another time is set."""
        if self._soft_deadline_s is not None:
            return self._soft_deadline_s
        return min(max(LEAST_S, _PATIENCE * self.per_domain_s * domains + 0.1), most_s)


class Cadence:
    """Which groups a round asks for, where some are not wanted in every round.

    :param every: by group: seconds between two rounds that ask for it.
    """

    def __init__(self, every: Mapping[str, float]) -> None:
        self._every = every
        self._asked: dict[str, float] = {}

    def due(self, groups: frozenset[str], now: float, deadline_s: float) -> frozenset[str]:
        """Those of the groups that a round beginning now asks for.

        :param deadline_s: what the round may take, nearly the time to the next one: a group for
            which it would be too late then is due now.
        """
        if not self._every:
            return groups
        due = frozenset(
            group
            for group in groups
            if now - self._asked.get(group, float("-inf"))
            >= (every := self._every.get(group, 0.0)) - min(deadline_s, every) / 2
        )
        self._asked.update(dict.fromkeys(due.intersection(self._every), now))
        return due

    def in_vain(self, groups: frozenset[str]) -> None:
        """A round that asked for these groups got no answer: they are due again."""
        for group in groups:
            self._asked.pop(group, None)


#: Seconds between two attempts to connect, at most.
MOST_DELAY_S = 60.0


class Backoff:
    """When to try again to connect: each attempt in vain doubles the wait.

    :param first_s: seconds to wait after the first one; 0 for a hypervisor that costs nothing to
        try, as one of this host.
    :param name: of one among many: each waits for another share of that time, so that not all try
        in the same moment when a network is back.
    :ivar until: no attempt before that.
    """

    def __init__(self, first_s: float, name: str = "") -> None:
        self._first_s = first_s
        self._share = 0.5 + crc32(name.encode()) / 2**33 if name else 1.0
        self._delay_s = 0.0
        self.until = 0.0

    def failed(self, now: float) -> None:
        """An attempt was in vain."""
        self._delay_s = min(self._delay_s * 2 or self._first_s, MOST_DELAY_S)
        self.until = now + self._delay_s * self._share

    def succeeded(self) -> None:
        """The hypervisor answers."""
        self._delay_s = self.until = 0.0
#: Domains in one call, unless there are thousands, and seconds that a call for more may take.
USUAL_CHUNK = 16
QUICK_S = 0.05


def chunk_size(domains: int, lanes: int, per_domain_s: float) -> int:
    """How many of a round's domains to ask in one call.

    As many in each, and as many calls for each lane, so that all end together. Larger ones than
    usual only where a lane gets eight of them all the same, and where such a call is over soon.
    """
    large = min(domains // (8 * lanes), int(QUICK_S / max(per_domain_s, 1e-6)))
    calls_of_lane = max(1, ceil(domains / (USUAL_CHUNK * lanes)))
    return max(1, ceil(domains / (calls_of_lane * lanes)), large)


class Rota:
    """How many of some domains have their turn in a round, so that all have it once in a time.

    Their turns are spread over as many rounds as that time has, so that all rounds cost the same.

    :param lasts_s: seconds in which each has its turn once.
    :param begun_at: when the time begins to run; infinity for the first round.
    """

    def __init__(self, lasts_s: float, begun_at: float = 0.0) -> None:
        self._lasts_s = lasts_s
        self._begun_at = begun_at
        self._due = 0.0

    def turns(self, domains: int, now: float) -> int:
        """Of so many domains, how many have their turn in a round that begins now."""
        elapsed, self._begun_at = max(0.0, now - self._begun_at), now
        if domains:
            self._due += domains * min(1.0, elapsed / self._lasts_s)
        due, self._due = int(self._due), self._due % 1.0
        return due
