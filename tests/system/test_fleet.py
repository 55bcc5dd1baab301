"""docs/fleet.md tried: each part of both chains is stopped, and killed, for some rounds.

What has arrived at a chain's end is compared with what its agent sampled, second by second and
series by series. Nothing here is about how long anything takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import pytest

from tests.simhost import SimHost
from tests.system.agents.program import Program
from tests.system.fleet_chains import Graphite, Influx, Point
from tests.system.waiting import TooLate, wait_for

#: Rounds of an outage, a second each: a minute at the page's interval.
ROUNDS = 6
#: Rounds between two of them.
BETWEEN = 3

Chain = Union[Graphite, Influx]


class Outage(NamedTuple):
    """When a part was away, and since when those before it had it again."""

    begin: float
    end: float

    def around(self, points: set[Point], before: float = 0, after: float = 0) -> set[Point]:
        """Those sampled during it, and so many seconds before and after it."""
        return {each for each in points if self.begin - before <= each[1] <= self.end + after}

    def at_begin(self, points: set[Point], before: float) -> set[Point]:
        """Those that were on their way when it began: sampled up to so many seconds before."""
        return {each for each in points if self.begin - before <= each[1] <= self.begin + 1}

    def middle(self, points: set[Point]) -> set[Point]:
        """Those sampled while the part itself surely was away, not only missed by others."""
        return {each for each in points if 1 <= each[1] - self.begin <= ROUNDS - 1}


def seconds(points: set[Point]) -> int:
    """Of how many seconds there is a sample."""
    return len({int(time) for _series, time in points})


def frozen(*parts: Program) -> Outage:
    """The parts stand still, with all their connections open."""
    begin = time.time()
    try:
        for part in parts:
            part.freeze()
        time.sleep(ROUNDS)
    finally:
        for part in parts:
            part.thaw()
    outage = Outage(begin, time.time())
    time.sleep(BETWEEN)
    return outage


def killed(
    *parts: Program,
    is_back: Callable[[], bool] = lambda: True,
    is_over: Callable[[float], bool] = lambda begin: time.time() >= begin + ROUNDS,
) -> Outage:
    """The parts end without a chance to send anything, and are started again.

    :param is_over: whether they have been away for long enough, by when that began.
    """
    begin = time.time()
    for part in parts:
        part.kill()
    wait_for("end of the outage", lambda: is_over(begin))
    for part in parts:
        part.restart()
    wait_for("those before it to have it back", is_back)
    outage = Outage(begin, time.time())
    time.sleep(BETWEEN)
    return outage


def lost(chain: Chain, until: float) -> set[Point]:
    """What was sampled until then and has not arrived."""
    sampled = chain.sampled()
    return {point for point in sampled if point[1] <= until} - chain.arrived()


def settled(chain: Chain, until: float, may: Callable[[set[Point]], set[Point]]) -> set[Point]:
    """What is lost for good: all else has to arrive, however long that takes.

    :param may: picks those that may be lost.
    """

    def unexpected() -> set[Point]:
        gone = lost(chain, until)
        return gone - may(gone)

    try:
        wait_for("all other samples", lambda: not unexpected(), 60)
    except TooLate:
        assert not sorted(unexpected(), key=lambda point: point[1])
    return lost(chain, until)


def test_only_a_killed_relay_or_cache_loses_samples_and_the_host_while_its_agent_is_away(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    graphite = Graphite(tmp_path / "graphite", bed.uri, start)
    influx = Influx(tmp_path / "influx", bed.uri, start)
    relay, (cache, _other) = graphite.relay, graphite.caches
    queue, second, database = influx.queue, influx.second, influx.database
    time.sleep(BETWEEN)
    outages = [
        frozen(relay, queue),
        frozen(cache, second),
        frozen(database),
        without_cache := killed(cache, queue, is_back=graphite.has_cache_again),
        without_relay := killed(relay, second, is_back=graphite.has_relay_again),
        killed(database),
    ]
    agents_frozen = frozen(graphite.agent, influx.agent)
    agents_killed = killed(graphite.agent, influx.agent)
    until = time.time()

    # The agents sample on, whatever is away behind them.
    for chain in (graphite, influx):
        sampled = chain.sampled()
        for outage in outages:
            assert seconds(outage.middle(sampled)) >= ROUNDS / 3
        # What is lost without the agent is not sampled at all.
        assert not agents_frozen.middle(sampled)
        assert not agents_killed.middle(sampled)
    assert graphite.dropped() == 0

    # Telegraf's chain: an agent that is killed loses what it has not sent, nobody else anything.
    def of_agents(points: set[Point]) -> set[Point]:
        return agents_killed.at_begin(points, before=2.5)

    settled(influx, until, of_agents)

    # Graphite's: a cache loses what it has not written, and without a relay nothing gets through.
    # A value on its way when collectd freezes has no rate afterwards.
    def of_cache(points: set[Point]) -> set[Point]:
        return without_cache.at_begin(points, before=4)

    def of_relay(points: set[Point]) -> set[Point]:
        return without_relay.around(points, before=3, after=2)

    def of_graphite(points: set[Point]) -> set[Point]:
        on_the_way = agents_frozen.at_begin(points, before=1.5)
        return of_cache(points) | of_relay(points) | of_agents(points) | on_the_way

    gone = settled(graphite, until, of_graphite)
    sampled = graphite.sampled()
    assert without_relay.middle(sampled), "rounds that are surely of it"
    assert without_relay.middle(sampled) <= gone
    series = {series for series, _time in sampled}
    assert {series for series, _time in of_cache(gone)} < series, "the other cache's are all there"


@pytest.fixture
def guests() -> Iterator[str]:
    """Simulated ones, where numbers are all that matters."""
    with SimHost(domains=4, vcpus=2, disks=1, interfaces=1) as host:
        yield host.uri


def test_what_does_not_fit_into_a_buffer_is_lost_and_nothing_else(
    guests: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    limit, queue = 200, 300  # of some seconds: a busy machine falls behind by one or two
    small = {"metric_buffer_limit = 200000": f"metric_buffer_limit = {limit}"}
    smaller = {"MAX_QUEUE_SIZE = 500000": f"MAX_QUEUE_SIZE = {queue}"}
    graphite = Graphite(tmp_path / "graphite", guests, start, relay=smaller)
    hosts = Influx(tmp_path / "hosts", guests, start, host=small)
    both = Influx(tmp_path / "both", guests, start, second=small)
    time.sleep(BETWEEN)

    def is_too_much(begin: float) -> bool:
        """Whether more was sampled than any buffer holds; a cache is sent half of it."""
        return all(
            sum(time > begin for _series, time in chain.sampled()) > 2 * queue + 200
            for chain in (graphite, hosts, both)
        )

    cache, _other = graphite.caches
    outage = killed(
        cache, hosts.queue, both.database, is_back=graphite.has_cache_again, is_over=is_too_much
    )
    until = time.time()

    def of_outage(points: set[Point]) -> set[Point]:
        return outage.around(points, before=4, after=BETWEEN - 1)

    for chain in (hosts, both):
        gone = settled(chain, until, of_outage)
        sampled = chain.sampled()
        assert 0 < len(gone) <= len(of_outage(sampled)) - limit
    assert "Metric buffer overflow" in hosts.agent.log
    # The other cache goes on, and its values too: the relay drops those of the one that is away.
    gone = settled(graphite, until, of_outage)
    assert gone
    assert {series for series, _time in gone} < {series for series, _time in graphite.sampled()}
    assert "send queue is full" in graphite.relay.log
