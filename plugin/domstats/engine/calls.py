"""The ledger of calls under way, and of those that hold the server for us.

A call that does not come back holds one of the server's workers until it does; this counts them,
so that they keep to the budget. Without it, hung domains would take down the host's management.
Nothing here knows rounds, who hangs, or libvirt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from .rounds import Call, Kind


class Calls:
    """All calls of one hypervisor that have not come back.

    :param stuck_budget: how many calls may be stuck at the server at a time.
    """

    def __init__(self, stuck_budget: int) -> None:
        self._stuck_budget = stuck_budget
        self._by_id: dict[int, Call] = {}
        self._last_id = 0
        #: Domains in which a call of a lost connection still holds a worker of the server.
        self._leaked: set[str] = set()

    def take_over(self, failed: Calls, unbegun: Collection[int]) -> None:
        """Go on in the place of another ledger: its calls are under way still, for nobody.

        :param unbegun: calls that were never made.
        """
        for call in failed._by_id.values():
            if call.id not in unbegun:
                call.over, call.culprit, call.suspect = True, None, None
                self._by_id[call.id] = call
        self._last_id = failed._last_id
        self._leaked = failed._leaked

    def make(
        self, kind: Kind, uuids: Sequence[str], groups: frozenset[str], now: float, query: int
    ) -> Call:
        """A new call, under way from now on.

        :param query: the query that it serves; 0 for none.
        """
        self._last_id += 1
        call = Call(self._last_id, kind, tuple(uuids), groups, now, query)
        self._by_id[call.id] = call
        return call

    def back(self, call_id: int) -> Call:
        """A call is back, with whatever."""
        return self._by_id.pop(call_id)

    def under_way(self, call_ids: Iterable[int]) -> list[Call]:
        """Those of these calls that have not come back."""
        return [self._by_id[call_id] for call_id in call_ids if call_id in self._by_id]

    def of_kind(self, kind: Kind) -> list[Call]:
        return [call for call in self._by_id.values() if call.kind is kind]

    def monitor(self, *, late: bool) -> list[Call]:
        """Calls for monitors whose answers, if they come, come too late; or may be in time."""
        return [
            call for call in self._by_id.values() if call.kind is Kind.MONITOR and call.late is late
        ]

    def acquit(self, uuid: str) -> None:
        """No call hangs in this domain any more: it has ended."""
        self._leaked.discard(uuid)
        for call in self._by_id.values():
            if call.culprit == uuid:
                call.culprit = None

    # --- the budget

    @property
    def room(self) -> int:
        """How many workers of the server may still get stuck on our account."""
        return self._stuck_budget - len(self.monitor(late=True)) - len(self._leaked)

    @property
    def leaked(self) -> frozenset[str]:
        """Domains in which a call of a lost connection still holds a worker of the server."""
        return frozenset(self._leaked)

    def leak(self, uuid: str) -> None:
        """The connection of the call that hangs in this domain is lost, and the server has not
        noticed."""
        self._leaked.add(uuid)

    def recovered(self, uuids: Iterable[str]) -> None:
        """The monitors of these domains are free: nothing hangs in them."""
        self._leaked.difference_update(uuids)

    def retain(self, uuids: Collection[str]) -> None:
        """Forget what hangs in any other domain: it is no more."""
        self._leaked.intersection_update(uuids)
