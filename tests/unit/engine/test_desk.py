"""Queries of many callers, gathered into rounds: what is asked, and who is answered when."""

from __future__ import annotations

import pytest
from domstats.engine.desk import MOST_ROUNDS, SPARE_ENDS, Begin, Desk, Reply, Wanted

ALL = frozenset({"state", "block"})
NAMES = {"u1": "one", "u2": "two", "u3": "three"}


class Callers:
    """The desk with numbers given out, and what it had to be done with."""

    def __init__(self):
        self.desk = Desk()
        self.replies: dict[int, Reply] = {}
        self.rounds = []
        self._numbers = 0

    def ask(self, *domains, groups=ALL, until=10.0, now=0.0):
        """Of all domains if none is named."""
        self._numbers += 1
        chosen = frozenset(domains) if domains else None
        return self.put(Wanted(self._numbers, groups, chosen, until), now)

    def ask_for_none(self):
        self._numbers += 1
        return self.put(Wanted(self._numbers, ALL, frozenset(), 10.0), 0.0)

    def put(self, wanted, now):
        self.desk.ask(wanted)
        self.look(now)
        return wanted.id

    def look(self, now=0.0):
        self.desk.expire(now)
        while self.desk.gather(-len(self.rounds) - 1, now):
            self.take()
        self.take()

    def take(self):
        for item in self.desk.take():
            if isinstance(item, Begin):
                self.rounds.append(item.query)
                continue
            for number in item.wanted:
                assert number not in self.replies, "answered twice"
                self.replies[number] = item

    def open(self, round_=0, names=NAMES):
        self.desk.opened(self.rounds[round_].id, names)
        self.take()

    def complete(self, *uuids, round_=0):
        self.desk.complete(self.rounds[round_].id, uuids)
        self.take()

    def end(self, round_=0):
        self.desk.ended(self.rounds[round_].id)
        self.look()


@pytest.fixture
def callers():
    return Callers()


def test_the_first_query_is_asked_at_once(callers):
    callers.ask("one")
    assert [query.domains for query in callers.rounds] == [{"one"}]


def test_queries_that_wait_go_into_one_round_with_the_latest_of_their_deadlines(callers):
    for _ in range(MOST_ROUNDS):
        callers.ask("one")
    for number in range(1000):
        callers.ask("two" if number % 2 else "three", until=20.0 + number)
    assert len(callers.rounds) == MOST_ROUNDS
    callers.end()
    (gathered,) = callers.rounds[MOST_ROUNDS:]
    assert gathered.domains == {"two", "three"}
    assert gathered.deadline_s == 1019.0


def test_queries_for_other_groups_do_not_wait_for_those(callers):
    for _ in range(MOST_ROUNDS + 1):
        callers.ask("one")
    callers.ask("one", groups=frozenset({"state"}))
    assert callers.rounds[-1].groups == {"state"}
    assert len(callers.rounds) == MOST_ROUNDS + 1


def test_a_query_is_answered_when_its_own_domains_are_complete(callers):
    for _ in range(MOST_ROUNDS):
        callers.ask("one")
    both, other = callers.ask("one", "two"), callers.ask("u3")
    callers.end()
    callers.open(-1)
    callers.complete("u3", round_=-1)
    assert callers.replies[other].uuids == ("u3",)
    callers.complete("u1", round_=-1)
    callers.complete("u1", round_=-1)  # told twice
    assert both not in callers.replies
    callers.complete("u2", round_=-1)
    assert callers.replies[both].uuids == ("u1", "u2")


def test_queries_that_chose_alike_are_answered_together(callers):
    for _ in range(MOST_ROUNDS):
        callers.ask("one")
    alike = [callers.ask("three", "two") for _ in range(100)]
    callers.end()
    callers.open(-1)
    callers.complete("u2", "u3", round_=-1)
    assert len({id(callers.replies[number]) for number in alike}) == 1
    assert callers.replies[alike[0]].uuids == ("u2", "u3")  # as they are listed


def test_a_query_for_all_is_answered_by_the_end_of_its_round(callers):
    number = callers.ask()
    callers.open()
    callers.complete("u1", "u2", "u3")
    assert number not in callers.replies
    callers.end()
    assert callers.replies[number].uuids is None


def test_domains_that_do_not_exist_are_not_waited_for(callers):
    number = callers.ask("one", "nobody")
    nobody = callers.ask("nobody")
    callers.open()
    callers.open(1)
    assert callers.replies[nobody].uuids == ()
    callers.complete("u1")
    assert callers.replies[number].uuids == ("u1",)


def test_a_query_for_no_domain_is_answered_once_there_is_a_list(callers):
    number = callers.ask_for_none()
    callers.open()
    assert callers.replies[number].uuids == ()


def test_a_name_that_is_anothers_uuid_is_taken_for_the_uuid(callers):
    number = callers.ask("u1")
    callers.open(names={"u1": "one", "u2": "u1"})
    callers.complete("u1")
    assert callers.replies[number].uuids == ("u1",)


def test_a_domain_named_twice_is_one(callers):
    number = callers.ask("u1", "one")
    callers.open()
    callers.complete("u1")
    assert callers.replies[number].uuids == ("u1",)


def test_every_query_is_answered_by_its_own_deadline(callers):
    early, late = callers.ask("one", until=1.0), callers.ask("one", until=2.0)
    callers.open()
    assert callers.desk.due() == 1.0
    callers.look(1.0)
    assert callers.replies[early] == Reply((early,), -1, ("u1",))
    assert late not in callers.replies
    assert callers.desk.due() == 2.0
    callers.look(2.0)
    assert late in callers.replies
    assert callers.desk.due() is None
    callers.complete("u1")
    callers.end()


def test_a_query_that_waits_for_its_round_is_answered_by_its_deadline_too(callers):
    for _ in range(MOST_ROUNDS):
        callers.ask("one")
    waits = callers.ask("two", until=1.0)
    callers.look(1.0)
    assert callers.replies[waits] == Reply((waits,), 0, None)
    callers.end()
    assert len(callers.rounds) == MOST_ROUNDS  # nobody is left to ask for


def test_a_cancelled_query_is_not_answered_and_the_others_of_its_round_are(callers):
    for _ in range(MOST_ROUNDS):
        callers.ask("one")
    first, second = callers.ask("two"), callers.ask("two")
    assert callers.desk.cancel(first)
    assert not callers.desk.cancel(first)
    callers.end()
    third = callers.ask("two", now=0.0)
    callers.open(-1)
    assert callers.desk.cancel(third)
    callers.complete("u2", round_=-1)
    assert second in callers.replies
    assert not {first, third} & callers.replies.keys()
    assert not callers.desk.cancel(second)


def test_nothing_is_kept_of_queries_that_ended_long_before_their_deadlines(callers):
    for _ in range(5000):
        callers.desk.cancel(callers.ask("one", until=86_400.0))
    assert len(callers.desk._ends) <= SPARE_ENDS + 1
    assert not callers.desk._waiting


def test_news_of_rounds_that_are_over_changes_nothing(callers):
    number = callers.ask("one")
    callers.end()
    callers.open()
    callers.complete("u1")
    callers.end()
    assert list(callers.replies) == [number]
