"""Events of a hypervisor on their way to samples: all, once each, and also over reconnects."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from domstats.engine import event_book
from domstats.engine.event_book import SETTLE_S
from domstats.events import RawEvent
from domstats.model import DomainEvent, Sample, Status

from tests.simhost import SimHost

from .conftest import wait_until
from .watched import Watched, by_name


class Heard(Watched):
    """A sampler, and the events that its samples told."""

    def __init__(self, host: SimHost, **settings) -> None:
        super().__init__(host, **{"events": ("lifecycle",), **settings})
        self.events: list[DomainEvent] = []
        self.round()

    def round(self, deadline: float = 10.0) -> Sample:
        sample = super().round(deadline)
        self.events += sample.events
        return sample

    def hears(self, count: int) -> list[tuple[str, str]]:
        """What was told: as many events, and none more in the two rounds after."""

        def enough() -> bool:
            self.round()
            return len(self.events) >= count

        wait_until(enough)
        self.round()
        told = [(event.name, event.event) for event in self.events]
        assert len(told) == count, told
        self.events = []
        return told


def test_what_happens_between_two_rounds_comes_with_the_next_one_in_order_and_once():
    with SimHost(domains=10) as host, Heard(host) as heard:
        host.control.add("mayfly")
        host.control.suspend("mayfly")
        host.control.resume("mayfly")
        host.control.remove("mayfly")
        assert heard.hears(6) == [
            ("mayfly", "defined"),
            ("mayfly", "started"),
            ("mayfly", "suspended"),
            ("mayfly", "resumed"),
            ("mayfly", "stopped"),
            ("mayfly", "undefined"),
        ]


def test_by_default_nothing_is_told():
    with SimHost(domains=3) as host, Heard(host, events=()) as heard:
        host.control.stop("guest-00001")
        time.sleep(0.2)
        for _ in range(3):
            assert heard.round().events == ()


def test_a_domain_that_stops_while_a_round_waits_for_it_is_gone_and_the_round_ends():
    with SimHost(domains=20) as host, Heard(host) as heard:
        host.control.hang(["guest-00007"])
        stop = threading.Timer(0.1, lambda: host.control.stop(["guest-00007"]))
        stop.start()
        sample = heard.round()
        stop.join()
        assert by_name(sample)["guest-00007"].status in (Status.GONE, Status.UNRESPONSIVE)
        assert sample.round.duration_s < 10.0, "it has not waited for its deadline"
        sample = heard.round()
        assert by_name(sample)["guest-00007"].active is False
        assert sample.round.unresponsive == sample.round.stuck_calls == 0


def test_over_a_reconnect_a_gap_is_told_and_what_the_lists_say_is_inferred():
    with SimHost(domains=10) as host, Heard(host) as heard:
        host.control.refuse_connections()
        host.control.drop_connections()
        host.control.stop(["guest-00001"])
        host.control.add("newcomer")
        assert not heard.round(1.0).round.connected
        host.control.refuse_connections(False)
        assert sorted(heard.hears(3)) == sorted(
            [("", "gap"), ("guest-00001", "stopped"), ("newcomer", "started")]
        )
        host.control.stop(["newcomer"])
        assert heard.hears(1) == [("newcomer", "stopped")]


def test_nothing_is_told_twice_or_forgotten_while_connections_break_under_a_storm():
    """Whether it is told by libvirt or inferred: at the end each domain's story is complete."""
    with SimHost(domains=30) as host, Heard(host) as heard:
        names = [f"guest-{number:05}" for number in range(12)]
        for number, name in enumerate(names):
            host.control.stop([name])
            if number % 3 == 1:
                host.control.drop_connections()
            heard.round()
        until = time.monotonic() + 2 * SETTLE_S
        while time.monotonic() < until:
            heard.round()
            time.sleep(0.05)
        stopped = Counter(event.name for event in heard.events if event.event == "stopped")
        assert stopped == Counter(names)
        gaps = [event for event in heard.events if event.event == "gap"]
        assert len(gaps) == 4


def test_a_flood_is_cut_short_and_said_so():
    with SimHost(domains=5) as host, Heard(host) as heard:
        for _ in range(60):
            host.control.suspend(["guest-00003"])
            host.control.resume(["guest-00003"])
        time.sleep(0.3)
        heard.round()
        told = Counter(event.event for event in heard.events)
        (dropped,) = (event for event in heard.events if event.event == "dropped")
        assert told["suspended"] + told["resumed"] + dropped.numbers["dropped"] == 120
        assert dropped.numbers["dropped"] >= 90
        assert len([text for level, text in heard.log if level == "warning"]) == 1


def test_domains_that_come_in_a_gap_are_all_told_or_counted_however_many(monkeypatch):
    monkeypatch.setattr(event_book, "MOST_WAITING", 200)
    with SimHost(domains=10) as host, Heard(host) as heard:
        host.control.drop_connections()
        host.control.add(count=220)
        deadline = time.monotonic() + 60
        while not any(event.event == "dropped" for event in heard.events):
            heard.round(60.0)
            assert time.monotonic() < deadline
        started = sum(event.event == "started" for event in heard.events)
        (dropped,) = (event for event in heard.events if event.event == "dropped")
        assert started + dropped.numbers["dropped"] == 220


def test_after_the_close_nothing_is_registered_and_nothing_is_told_any_more():
    with SimHost(domains=5) as host:
        heard = Heard(host)
        calls = host.control.statistics()["calls"]
        registered = calls["ConnectDomainEventCallbackRegisterAny"]
        heard.sampler.close()
        wait_until(lambda: host.control.statistics()["connections"]["open"] == 0)
        calls = host.control.statistics()["calls"]
        assert calls["ConnectDomainEventCallbackDeregisterAny"] == registered > 0


def test_a_connection_tells_until_it_is_closed_and_not_one_event_more():
    from domstats.hypervisor.connection import Connection, Watch

    news: list[RawEvent] = []
    begun: list[bool] = []
    with SimHost(domains=3) as host:
        watch = Watch((0,), lambda: begun.append(True), news.append, lambda source: None)
        connection = Connection(host.uri, watch)
        connection.list_domains(inactive=True)
        host.control.suspend(["guest-00001"])
        wait_until(lambda: news)
        assert (news[0].name, news[0].arguments) == ("guest-00001", (3, 0))
        connection.close()
        host.control.resume(["guest-00001"])
        time.sleep(0.2)
        assert len(news) == len(begun) == 1
        connection.list_domains(inactive=True)
        host.control.suspend(["guest-00001"])
        wait_until(lambda: len(news) == 2)
        assert len(begun) == 2
        connection.close()


@pytest.mark.parametrize("events", [(), ("lifecycle", "io_error", "watchdog")])
def test_a_host_without_events_costs_no_sample_and_says_so_once(events):
    with SimHost(domains=5) as host:
        host.control.fail("ConnectDomainEventCallbackRegisterAny", times=1000)
        with Heard(host, events=events) as heard:
            for _ in range(3):
                assert heard.round().round.fresh == 5
            warnings = [text for level, text in heard.log if level == "warning"]
            assert len(warnings) == len(events)
