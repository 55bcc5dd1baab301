"""Calls that do not come back hold the server's workers: they are counted against a budget."""

from __future__ import annotations

import pytest
from domstats.engine.calls import Calls
from domstats.engine.rounds import Call, Kind

BUDGET = 3


@pytest.fixture
def calls() -> Calls:
    return Calls(BUDGET)


def made(calls: Calls, *uuids: str, kind: Kind = Kind.MONITOR) -> Call:
    return calls.make(kind, uuids, frozenset({"balloon"}), 1.0, query=7)


def test_each_call_has_a_number_of_its_own_and_knows_whom_it_asks(calls: Calls) -> None:
    first, second = made(calls, "a", "b"), made(calls, "c")
    assert first.id != second.id
    assert first.uuids == ("a", "b")
    assert first.query == 7


def test_a_call_that_is_back_is_under_way_no_more(calls: Calls) -> None:
    first, second = made(calls, "a"), made(calls, "b")
    assert calls.back(first.id) is first
    assert calls.under_way([first.id, second.id]) == [second]


def test_calls_in_time_and_late_ones_are_told_apart(calls: Calls) -> None:
    in_time, stuck, over = made(calls, "a"), made(calls, "b"), made(calls, "c")
    stuck.stuck, over.over = True, True
    free = made(calls, "d", kind=Kind.FREE)
    assert calls.monitor(late=False) == [in_time]
    assert calls.monitor(late=True) == [stuck, over]
    assert calls.of_kind(Kind.FREE) == [free]


def test_only_calls_that_are_late_use_up_the_budget(calls: Calls) -> None:
    call = made(calls, "a")
    made(calls, "b", kind=Kind.FREE).over = True
    assert calls.room == BUDGET
    call.stuck = True
    assert calls.room == BUDGET - 1
    calls.back(call.id)
    assert calls.room == BUDGET


def test_a_call_of_a_lost_connection_holds_the_server_until_its_domain_is_known_to_be_free(
    calls: Calls,
) -> None:
    calls.leak("a")
    assert calls.room == BUDGET - 1
    assert calls.leaked == {"a"}
    calls.recovered(["a", "b"])
    assert calls.room == BUDGET


def test_nothing_hangs_in_a_domain_that_has_ended(calls: Calls) -> None:
    call = made(calls, "a", "b")
    call.culprit = "b"
    calls.leak("a")
    calls.acquit("a")
    assert calls.room == BUDGET
    assert call.culprit == "b"
    calls.acquit("b")
    assert call.culprit is None


def test_nothing_hangs_in_a_domain_that_is_not_listed_any_more(calls: Calls) -> None:
    calls.leak("a")
    calls.leak("b")
    calls.retain({"b", "c"})
    assert calls.leaked == {"b"}


def test_a_new_ledger_keeps_to_the_budget_of_the_one_that_it_replaces(calls: Calls) -> None:
    stuck, unbegun = made(calls, "a"), made(calls, "b")
    stuck.culprit = "a"
    calls.leak("c")
    successor = Calls(BUDGET)
    successor.take_over(calls, {unbegun.id})
    assert successor.room == BUDGET - 2
    assert successor.monitor(late=True) == [stuck]
    assert stuck.culprit is None
    assert made(successor, "d").id > unbegun.id
