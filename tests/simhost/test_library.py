"""What a daemon gets that uses the package as a library, from many domains, hangs and losses.

On the simulated host, with the watches off, as for a hypervisor on another host.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from typing import Any

import pytest
from domstats import (
    AsyncHypervisor,
    DomainsUnresponsiveError,
    DomstatsError,
    Hypervisor,
    HypervisorError,
    QueryCancelledError,
    Status,
)

from tests.simhost import SimHost

from .conftest import wait_until

FAR: dict[str, Any] = {"process_watch": False, "storage_watch": False}
GROUPS = ["state", "cpu_total", "block"]
#: Of the process, not of a hypervisor: libvirt's event loop.
LOOP = "domstats-events"


class Answers:
    """A callback that keeps the samples and errors by the caller's object."""

    def __init__(self):
        self.samples = {}
        self.errors = {}
        self.at = {}
        self.calls = 0
        self.most_threads = 0
        self._changed = threading.Condition()

    def __call__(self, sample, error, opaque):
        with self._changed:
            self.calls += 1
            self.at[opaque] = time.monotonic()
            if sample is None:
                self.errors[opaque] = error
            else:
                self.samples[opaque] = sample
            self.most_threads = max(self.most_threads, len(threads()))
            self._changed.notify_all()

    def wait(self, calls, seconds=120.0):
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls >= calls, seconds), self.calls


def threads():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("domstats-") and name != LOOP]


def guests(first, count):
    return [f"guest-{number:05}" for number in range(first, first + count)]


def in_flight(domains, queries):
    """Answers of so many queries, each for a domain of its own, and the host's calls."""
    answers = Answers()
    with SimHost(domains=domains) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        for number in range(queries):
            hypervisor.query(
                answers, number, domains=guests(number % domains, 1), groups=GROUPS, deadline=100
            )
        answers.wait(queries)
        return answers, host.control.statistics()["calls"]


def test_thousands_of_queries_for_thousands_of_domains_need_the_threads_of_ten():
    ten, _ = in_flight(10, 10)
    many, calls = in_flight(2000, 2000)
    assert many.errors == {}
    assert all(
        [domain.name for domain in sample.domains] == guests(number, 1)
        and sample.domains[0].status is Status.FRESH
        for number, sample in many.samples.items()
    )
    assert many.calls == len(many.samples) == 2000
    assert many.most_threads <= 12
    assert many.most_threads <= ten.most_threads + 4  # lanes that ten domains did not need
    assert calls["ConnectGetAllDomainStats"] < 10_000 / 16 + 100


def test_equal_queries_in_flight_share_their_calls():
    with SimHost(domains=500) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        hypervisor.sample(groups=GROUPS)
        host.control.reset_statistics()
        answers = Answers()
        for number in range(3000):
            chosen = None if number % 2 else guests(0, 100)
            hypervisor.query(answers, number, domains=chosen, groups=GROUPS, deadline=60)
        answers.wait(3000)
        assert answers.errors == {}
        asked = host.control.asked()
        assert max(asked[name]["block"] for name in guests(0, 500)) <= 40  # and not 3000
        assert {len(sample.domains) for sample in answers.samples.values()} == {100, 500}


def test_no_sample_carries_a_value_from_before_its_time():
    with SimHost(domains=50) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        answers, asked_at = Answers(), {}
        began, began_ns = host.elapsed(), time.time_ns()
        for number in range(300):
            asked_at[number] = time.time_ns()
            hypervisor.query(answers, number, domains=guests(number % 50, 2), groups=GROUPS)
        answers.wait(300)
        assert answers.errors == {}
        for number, sample in answers.samples.items():
            assert sample.time_ns >= asked_at[number]
            elapsed = began + (sample.time_ns - began_ns) / 1e9 - 0.01
            for domain in sample.domains:
                assert domain.stats["cpu.time"] >= host.expected(domain.uuid, "cpu.time", elapsed)


def test_uuids_names_groups_and_deadlines_are_each_querys_own():
    with SimHost(domains=20) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        uuids = {domain.name: domain.uuid for domain in hypervisor.sample().domains}
        sample = hypervisor.sample(
            domains=[uuids["guest-00003"], "guest-00001", "guest-00003", "nobody"],
            groups=["cpu_total"],
        )
        assert [domain.name for domain in sample.domains] == ["guest-00001", "guest-00003"]
        assert {key.split(".")[0] for d in sample.domains for key in d.stats} == {"cpu"}
        host.control.hang(["guest-00004"])
        answers = Answers()
        began = time.monotonic()
        for deadline in (0.2, 0.5, 3.0):
            hypervisor.query(answers, deadline, domains=["guest-00004"], deadline=deadline)
        answers.wait(3)
        assert all(answers.at[deadline] - began < deadline + 0.5 for deadline in answers.at)
        assert {type(error) for error in answers.errors.values()} == {DomainsUnresponsiveError}


def test_a_hung_guest_delays_nobody_who_does_not_ask_for_it_not_even_in_the_same_round():
    with SimHost(domains=200) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        hypervisor.sample()
        (hung,) = host.control.hang(["guest-00007"])
        answers = Answers()
        began = time.monotonic()
        for number in range(200):
            hypervisor.query(answers, number, domains=guests(number, 1), deadline=5)
        answers.wait(200)
        assert max(answers.at[number] for number in range(200) if number != 7) - began < 2.5
        assert list(answers.errors) == [7]
        assert answers.at[7] - began < 5.5
        assert f"{hung} does not answer" in str(answers.errors[7])
        again = Answers()  # it is known by now
        began = time.monotonic()
        for number in range(200):
            hypervisor.query(again, number, domains=guests(number, 1), deadline=5)
        again.wait(200)
        assert max(again.at.values()) - began < 1.5
        error = again.errors[7]
        assert isinstance(error, DomainsUnresponsiveError)
        assert "cpu.time" in error.sample.domains[0].stats
        assert list(again.errors) == [7]


def test_queries_for_many_hung_guests_keep_to_the_stuck_budget():
    with SimHost(domains=120) as host, Hypervisor(host.uri, **FAR) as hypervisor:
        hypervisor.sample()
        host.control.hang(guests(0, 40))
        answers = Answers()
        for number in range(120):
            hypervisor.query(answers, number, domains=guests(number, 1), deadline=8)
        answers.wait(120)
        assert sum(host.control.statistics()["workers"]["held"].values()) <= 6
        assert {type(error) for error in answers.errors.values()} == {DomainsUnresponsiveError}
        assert set(answers.errors) <= set(range(40))
        for number, sample in answers.samples.items():
            assert "cpu.time" in sample.domains[0].stats
            assert number >= 40 or sample.domains[0].status is Status.PARTIAL  # not asked
        host.control.heal()
        wait_until(lambda: hypervisor.sample().round.fresh == 120)


def test_a_hypervisor_that_goes_away_ends_queries_with_errors_and_comes_back():
    with SimHost(domains=30) as host, Hypervisor(host.uri, log=_ignore, **FAR) as hypervisor:
        assert hypervisor.sample().round.fresh == 30
        host.pause()
        answers = Answers()
        for number in range(50):
            hypervisor.query(answers, number, domains=guests(number % 30, 1), deadline=0.5)
        answers.wait(50)
        assert {type(error) for error in answers.errors.values()} <= {
            HypervisorError,
            DomainsUnresponsiveError,
        }
        host.proceed()
        wait_until(lambda: hypervisor.sample().round.fresh == 30)
        host.kill()
        with pytest.raises(HypervisorError):
            hypervisor.sample(deadline=3)
        host.restart()
        wait_until(lambda: _fresh(hypervisor) == 30)


def _ignore(level, text):
    """Trouble is what these tests make."""


def _fresh(hypervisor):
    try:
        return hypervisor.sample(deadline=3).round.fresh
    except DomstatsError:
        return 0


def test_closed_hypervisors_leave_no_thread_no_descriptor_and_no_object():
    with SimHost(domains=20) as host:
        with Hypervisor(host.uri, **FAR) as hypervisor:
            hypervisor.sample()  # starts what the process has one of
        wait_until(lambda: not threads())
        descriptors = len(os.listdir("/proc/self/fd"))
        made = []
        for number in range(10):
            hypervisor = Hypervisor(host.uri, **FAR)
            made.append(weakref.ref(hypervisor))
            answers = Answers()
            for domain in range(20):
                hypervisor.query(answers, domain, domains=guests(domain, 1))
            if number % 2:
                answers.wait(20)
            hypervisor.close()
            answers.wait(20)
        del hypervisor
        wait_until(lambda: not threads())
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        gc.collect()
        assert [reference() for reference in made] == [None] * 10


def test_closing_with_stuck_calls_waits_for_nobody_and_their_threads_end_with_them():
    with SimHost(domains=20) as host:
        hypervisor, answers = Hypervisor(host.uri, **FAR), Answers()
        host.control.hang(count=20)
        for domain in range(20):
            hypervisor.query(answers, domain, domains=guests(domain, 1), deadline=60)
        wait_until(lambda: host.control.statistics()["calls"].get("ConnectGetAllDomainStats"))
        hypervisor.close()
        assert host.control.statistics()["workers"]["busy"]
        answers.wait(20)
        kinds = {type(error) for error in answers.errors.values()}
        assert kinds <= {QueryCancelledError, DomainsUnresponsiveError}
        host.control.heal()
        wait_until(lambda: not threads())


def test_asyncio_awaits_thousands_at_once_and_cancels_them():
    async def run(host):
        async with AsyncHypervisor(host.uri, **FAR) as hypervisor:
            samples = await asyncio.gather(
                *(
                    hypervisor.sample(domains=guests(number % 500, 1), deadline=60)
                    for number in range(2000)
                )
            )
            assert all(sample.round.fresh == 1 for sample in samples)
            host.control.hang(guests(0, 2))
            tasks = [
                asyncio.ensure_future(hypervisor.sample(domains=guests(number, 1), deadline=60))
                for number in range(2)
            ]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            got = []
            async for sample in hypervisor.samples(0.2, domains=guests(0, 20), deadline=5):
                got.append(sample.round.fresh)
                if len(got) == 3:
                    break
            assert got == [18, 18, 18]

    with SimHost(domains=500) as host:
        asyncio.run(run(host))
        wait_until(lambda: len(threads()) <= 10)
        host.control.heal()
        wait_until(lambda: not threads())
