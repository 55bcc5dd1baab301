"""Gathers queries that many callers make into rounds, and deals out what the rounds found.

A query that comes while others wait for the same groups goes with them into one round: its
domains are asked in the same bulk calls, each domain once, however many want it. A query is
answered as soon as its own domains are complete, so what else is in the round does not delay it,
and at its own deadline in any case. Pure: time is passed in, and what to do comes out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional, Union

from .rounds import Query

#: Rounds under way for queries that ask the same groups; those that come meanwhile are gathered.
MOST_ROUNDS = 4

#: Ends of queries that were answered before them, which are kept at most beside as many others.
SPARE_ENDS = 64


class Wanted(NamedTuple):
    """A caller's query.

    :param id: a number of its own.
    :param groups: stats groups to ask for.
    :param domains: uuids or names; None for all that the settings select.
    :param until: the engine's seconds at which it ends with what there is.
    """

    id: int
    groups: frozenset[str]
    domains: Optional[frozenset[str]]
    until: float


class Begin(NamedTuple):
    """To do: make a round."""

    query: Query


class Reply(NamedTuple):
    """To do: answer queries that chose alike from their round as it stands, or as it ended.

    :param wanted: the queries' ids.
    :param round: the round's query id; 0 if none was begun.
    :param uuids: their domains, in the order of the list; None for all of the round's.
    """

    wanted: tuple[int, ...]
    round: int
    uuids: Optional[tuple[str, ...]]


ToDo = Union[Begin, Reply]


class _Choice:
    """The domains that some queries of a round chose alike, and how many are not complete."""

    __slots__ = ("missing", "queries", "uuids")

    def __init__(self, uuids: tuple[str, ...]) -> None:
        self.uuids = uuids
        self.missing = len(uuids)
        self.queries: list[_Waiting] = []


class _Waiting:
    """A query without an answer. ``choice`` is known once its round is open."""

    __slots__ = ("choice", "round", "wanted")

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.round = 0
        self.choice: Optional[_Choice] = None


class _Round:
    """A round under way, the queries in it, and who waits for which of its domains."""

    __slots__ = ("key", "queries", "waiters")

    def __init__(self, key: _Key, queries: dict[int, _Waiting]) -> None:
        self.key = key
        self.queries = queries
        self.waiters: dict[str, list[_Choice]] = {}


#: Queries with the same key can go into one round: the groups, and whether all domains are asked.
_Key = tuple[frozenset[str], bool]


class Desk:
    """All queries of one hypervisor's callers."""

    def __init__(self) -> None:
        self._todo: list[ToDo] = []
        self._waiting: dict[int, _Waiting] = {}
        self._gathered: dict[_Key, dict[int, _Waiting]] = {}
        self._rounds: dict[int, _Round] = {}
        self._ends: list[tuple[float, int]] = []

    def take(self) -> list[ToDo]:
        """What is to be done now, in order."""
        todo, self._todo = self._todo, []
        return todo

    def due(self) -> Optional[float]:
        """When ``expire`` is to be called; None if never."""
        while self._ends and self._ends[0][1] not in self._waiting:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def ask(self, wanted: Wanted) -> None:
        """A query comes in; ``gather`` begins its round, if it can be begun now."""
        waiting = self._waiting[wanted.id] = _Waiting(wanted)
        heapq.heappush(self._ends, (wanted.until, wanted.id))
        if len(self._ends) > 2 * len(self._waiting) + SPARE_ENDS:
            self._ends = [end for end in self._ends if end[1] in self._waiting]
            heapq.heapify(self._ends)
        key = (wanted.groups, wanted.domains is None)
        self._gathered.setdefault(key, {})[wanted.id] = waiting

    def gather(self, round_id: int, now: float) -> bool:
        """Make a round of the queries that wait, if one can be begun.

        :param round_id: the id for its query.
        :returns: whether the id was used.
        """
        for key, queries in self._gathered.items():
            under_way = sum(round_.key == key for round_ in self._rounds.values())
            if queries and under_way < MOST_ROUNDS:
                del self._gathered[key]
                self._begin(round_id, key, queries, now)
                return True
        return False

    def cancel(self, wanted_id: int) -> bool:
        """Nobody wants the answer any more. :returns: False if it has been given."""
        waiting = self._waiting.pop(wanted_id, None)
        if waiting is None:
            return False
        self._forget(waiting)
        return True

    def has_round(self, round_id: int) -> bool:
        """Whether a round under way is one that ``gather`` began."""
        return round_id in self._rounds

    def opened(self, round_id: int, domains: Mapping[str, str]) -> None:
        """A round has its list of domains: names by uuid."""
        round_ = self._rounds.get(round_id)
        if round_ is None or round_.key[1]:
            return
        places = {uuid: place for place, uuid in enumerate(domains)}
        by_name: dict[str, list[str]] = {}
        for uuid, name in domains.items():
            by_name.setdefault(name, []).append(uuid)
        choices: dict[Optional[frozenset[str]], _Choice] = {}
        for waiting in round_.queries.values():
            wanted = waiting.wanted.domains
            choice = choices.get(wanted)
            if choice is None:
                chosen: set[str] = set()
                for domain in wanted or ():
                    chosen.update([domain] if domain in domains else by_name.get(domain, ()))
                choice = choices[wanted] = _Choice(tuple(sorted(chosen, key=places.__getitem__)))
                for uuid in chosen:
                    round_.waiters.setdefault(uuid, []).append(choice)
            choice.queries.append(waiting)
            waiting.choice = choice
        for choice in choices.values():
            if not choice.missing:
                self._reply(choice.queries)

    def complete(self, round_id: int, uuids: Iterable[str]) -> None:
        """Domains of a round are complete."""
        round_ = self._rounds.get(round_id)
        if round_ is None:
            return
        for uuid in uuids:
            for choice in round_.waiters.pop(uuid, ()):
                choice.missing -= 1
                if not choice.missing:
                    self._reply(choice.queries)

    def ended(self, round_id: int) -> None:
        """A round has ended: whoever waits for it gets what it found."""
        round_ = self._rounds.get(round_id)
        if round_ is not None:
            self._reply(list(round_.queries.values()))
            del self._rounds[round_id]

    def expire(self, now: float) -> None:
        """Answer the queries whose time is over."""
        due = []
        while self._ends and self._ends[0][0] <= now:
            waiting = self._waiting.get(heapq.heappop(self._ends)[1])
            if waiting is not None:
                due.append(waiting)
        self._reply(due)

    def _begin(self, round_id: int, key: _Key, queries: dict[int, _Waiting], now: float) -> None:
        groups, is_whole = key
        domains: Optional[frozenset[str]] = None
        if not is_whole:
            domains = frozenset().union(
                *(waiting.wanted.domains or frozenset() for waiting in queries.values())
            )
        until = max(waiting.wanted.until for waiting in queries.values())
        for waiting in queries.values():
            waiting.round = round_id
        self._rounds[round_id] = _Round(key, queries)
        query = Query(round_id, max(0.0, until - now), groups, domains, reports=not is_whole)
        self._todo.append(Begin(query))

    def _reply(self, queries: Iterable[_Waiting]) -> None:
        """Answer queries, those of a round that chose alike together."""
        alike: dict[tuple[int, Optional[_Choice]], list[int]] = {}
        for waiting in queries:
            if self._waiting.pop(waiting.wanted.id, None) is not None:
                self._forget(waiting)
                alike.setdefault((waiting.round, waiting.choice), []).append(waiting.wanted.id)
        for (round_id, choice), wanted in alike.items():
            uuids = None if choice is None else choice.uuids
            self._todo.append(Reply(tuple(wanted), round_id, uuids))

    def _forget(self, waiting: _Waiting) -> None:
        wanted = waiting.wanted
        round_ = self._rounds.get(waiting.round)
        if round_ is not None:
            round_.queries.pop(wanted.id, None)
        else:
            self._gathered.get((wanted.groups, wanted.domains is None), {}).pop(wanted.id, None)
