"""How many calls of one hypervisor may be under way at a time.

Each call under way has a thread and a connection. One hypervisor alone, or a few, get as many as
make their rounds quick. Where one process samples many, each gets as few as its rounds need: they
have most of the interval, and a call that is stuck counts no longer, so that another connection is
opened beside it. Pure: no thread, clock or libvirt.
"""

from __future__ import annotations

from collections import deque
from math import ceil

from .calls import Calls
from .rounds import Kind

#: How many calls of these kinds there are at most, stuck ones included.
MOST_FREE_CALLS = 2
MOST_DESCRIBE_CALLS = 2
#: Seconds after which a stuck look at XML gets another one beside it.
DESCRIBE_PATIENCE_S = 1.0
#: Of one among many hypervisors: the share of its deadline that a round with these lanes would take
#: if nothing were in its way, and the share that it may take in any case.
_USUAL_SHARE, _MOST_SHARE = 0.3, 0.8
#: In so many rounds nothing is in the way of one at least. All hypervisors of a process begin
#: their rounds together, and the first one has much to do: that says nothing of a hypervisor.
_ROUNDS = 8
#: Domains for a lane, before there were so many rounds.
_AT_FIRST = 64


class Lanes:
    """Decides by the size of the hypervisor, and by what is under way.

    :param most: monitor calls at a time, at most.
    :param one_of_many: whether the process samples many hypervisors.
    """

    def __init__(self, most: int, one_of_many: bool) -> None:
        self._most = most
        self._one_of_many = one_of_many
        #: What a domain cost in the last rounds.
        self._costs: deque[float] = deque(maxlen=_ROUNDS)

    def wanted(self, domains: int, deadline_s: float, per_domain_s: float, learned: bool) -> int:
        """How many monitor calls a round may have under way at a time.

        :param deadline_s: seconds that it may take.
        :param per_domain_s: what a domain costs in a bulk call, by the last ones.
        :param learned: whether there were any; else it is a guess.
        """
        if not self._one_of_many:
            return self._most
        lanes = ceil(domains / _AT_FIRST)
        if learned:
            self._costs.append(per_domain_s)
            if len(self._costs) == _ROUNDS:
                lanes = ceil(domains * min(self._costs) / (_USUAL_SHARE * deadline_s))
            lanes = max(lanes, ceil(domains * per_domain_s / (_MOST_SHARE * deadline_s)))
        return max(1, min(self._most, lanes))

    def may_ask_free(self, calls: Calls) -> bool:
        """Whether a call without monitor may be made; of many hypervisors one at a time, so that
        those that hang cost few connections."""
        out = calls.of_kind(Kind.FREE)
        if self._one_of_many and not all(call.over for call in out):
            return False
        return len(out) < MOST_FREE_CALLS

    def may_describe(self, calls: Calls, now: float) -> bool:
        """Whether XML may be read; of many hypervisors when no other call uses the connection."""
        out = calls.of_kind(Kind.DESCRIBE)
        if self._one_of_many and (
            calls.monitor(late=False) or not all(call.over for call in calls.of_kind(Kind.FREE))
        ):
            return False
        return len(out) < MOST_DESCRIBE_CALLS and all(
            now - call.made >= DESCRIBE_PATIENCE_S for call in out
        )
