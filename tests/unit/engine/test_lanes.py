"""How many calls of one hypervisor are under way at a time."""

from __future__ import annotations

from domstats.engine.calls import Calls
from domstats.engine.lanes import _ROUNDS, DESCRIBE_PATIENCE_S, Lanes
from domstats.engine.rounds import Kind

from tests.unit.rows import each_row

DEADLINE_S = 9.0


def lanes_after(rounds: list[float], domains: int, deadline_s: float = DEADLINE_S) -> int:
    """How many lanes one among many has after rounds in which a domain cost so many seconds."""
    lanes, wanted = Lanes(4, one_of_many=True), 0
    for cost_s in rounds:
        wanted = lanes.wanted(domains, deadline_s, cost_s, learned=True)
    return wanted


def calls_out(*kinds: Kind, late: bool = False) -> Calls:
    calls = Calls(6)
    for kind in kinds:
        call = calls.make(kind, ["u1"], frozenset(), 0.0, 1)
        call.stuck = call.over = late
    return calls


def test_a_few_hypervisors_have_all_their_lanes() -> None:
    lanes = Lanes(4, one_of_many=False)
    assert lanes.wanted(1, DEADLINE_S, 0.05, learned=False) == 4
    assert lanes.wanted(25, DEADLINE_S, 0.001, learned=True) == 4


@each_row(
    ("domains", "wanted"), [(0, 1), (1, 1), (25, 1), (64, 1), (65, 2), (200, 4), (10_000, 4)]
)
def test_one_of_many_begins_by_its_number_of_domains(domains: int, wanted: int) -> None:
    assert Lanes(4, one_of_many=True).wanted(domains, DEADLINE_S, 0.05, False) == wanted


@each_row(
    ("rounds", "domains", "wanted"),
    [
        # a round in one lane takes less than three tenths of its deadline: one is enough
        ([0.004] * _ROUNDS, 600, 1),
        ([0.004] * _ROUNDS, 700, 2),
        ([0.02] * _ROUNDS, 600, 4),
        # a round in which others were in the way counts for nothing
        ([0.1] * (_ROUNDS - 1) + [0.004], 25, 1),
        ([0.004] + [0.1] * (_ROUNDS - 1), 25, 1),
        ([0.2] * _ROUNDS, 25, 2),
        # but a round that would not end before its deadline gets more at once
        ([0.004] * _ROUNDS + [0.5], 25, 2),
        ([0.5], 25, 2),
        ([2.0], 25, 4),
    ],
)
def test_then_by_what_a_domain_costs_when_nothing_is_in_the_way(
    rounds: list[float], domains: int, wanted: int
) -> None:
    assert lanes_after(rounds, domains) == wanted


def test_a_short_interval_needs_more_lanes_than_a_long_one() -> None:
    assert lanes_after([0.02] * _ROUNDS, 25, deadline_s=0.9) == 2
    assert lanes_after([0.02] * _ROUNDS, 25, deadline_s=9.0) == 1


def test_calls_without_monitor_go_two_at_a_time_and_one_at_a_time_where_there_are_many() -> None:
    one, none = calls_out(Kind.FREE), calls_out(Kind.MONITOR)
    few, many = Lanes(4, one_of_many=False), Lanes(4, one_of_many=True)
    assert few.may_ask_free(one)
    assert not few.may_ask_free(calls_out(Kind.FREE, Kind.FREE))
    assert many.may_ask_free(none)
    assert not many.may_ask_free(one)
    assert many.may_ask_free(calls_out(Kind.FREE, late=True))
    assert not many.may_ask_free(calls_out(Kind.FREE, Kind.FREE, late=True))


def test_xml_is_read_beside_the_rounds_and_between_their_calls_where_there_are_many() -> None:
    few, many = Lanes(4, one_of_many=False), Lanes(4, one_of_many=True)
    for kind in (Kind.MONITOR, Kind.FREE):
        assert few.may_describe(calls_out(kind), 0.0)
        assert not many.may_describe(calls_out(kind), 0.0)
        assert many.may_describe(calls_out(kind, late=True), 0.0)
    for lanes in (few, many):
        reading = calls_out(Kind.DESCRIBE)
        assert not lanes.may_describe(reading, 0.0)
        assert lanes.may_describe(reading, DESCRIBE_PATIENCE_S)
        assert not lanes.may_describe(calls_out(Kind.DESCRIBE, Kind.DESCRIBE), 60.0)
