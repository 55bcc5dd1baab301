"""What a user of the sampler gets from hypervisors whose domains hang, are busy, or are many.

On the simulated host, with the watches off, as for a hypervisor on another host.
"""

from __future__ import annotations

import threading

from domstats.model import Status

from tests.simhost import SimHost

from .watched import Watched, by_name, complete

#: What everybody keeps, however the monitors hang: state, CPU, vCPUs and network.
KEPT = {"state.state", "cpu.time", "vcpu.0.time", "net.0.rx.bytes"}

#: What is known of a disk whose file must not be looked at.
COUNTERS = {"block.0.name", "block.0.path", "block.0.rd.bytes", "block.0.fl.times"}


def test_a_third_of_a_host_hangs_at_once_and_the_rest_stays_known_within_the_budget():
    with SimHost(domains=120) as host, Watched(host) as watched:
        assert len(complete(watched.round())) == 120
        hung = set(host.control.hang(count=36))
        answered: set[str] = set()
        for number in range(6):
            sample = watched.round()
            held = sum(host.control.statistics()["workers"]["held"].values())
            assert held <= sample.round.stuck_calls <= 6
            if number:
                assert all(set(domain.stats) >= KEPT for domain in sample.domains)
                assert answered <= complete(sample)
            answered = complete(sample)
            assert not answered & hung
            blamed = {d.name for d in sample.domains if d.status is Status.UNRESPONSIVE}
            assert blamed <= hung
        warnings = [text for level, text in watched.log if level == "warning"]
        assert len(warnings) <= 6  # at most a line for each round, and not 36
        host.control.heal()
        for _ in range(3):
            sample = watched.round()
        assert len(complete(sample)) == 120


def test_a_server_without_the_bulk_call_is_asked_by_calls_for_each_domain():
    with SimHost(domains=4) as host:
        host.control.refuse_bulk()
        with Watched(host) as watched:
            watched.round()
            sample = watched.round()
            culprit = host.control.hang(count=1)
            hung = watched.round()
    assert len(complete(sample)) == len(sample.domains) == 4
    for domain in sample.domains:
        assert set(domain.stats) >= {*KEPT, "balloon.current", "block.0.rd.bytes", "vcpu.0.state"}
    assert complete(hung) == complete(sample) - set(culprit)


def test_guests_that_hang_with_their_storage_leave_the_others_complete():
    with SimHost(domains=105) as host:
        sick = set(host.control.add(count=45, storage="sick"))
        with Watched(host) as watched:
            watched.round()
            host.control.hang(sorted(sick))
            for _ in range(10):
                sample = watched.round()
            assert len(complete(sample) - sick) >= 98
            assert all(set(domain.stats) >= KEPT for domain in sample.domains)


def test_storage_that_hangs_unseen_freezes_few_guests_and_the_others_on_it_keep_the_rest():
    with SimHost(domains=80) as host:
        on_it = set(host.control.add(count=40, storage="sick"))
        with Watched(host) as watched:
            watched.round()
            host.control.hang_storage("sick")
            for _ in range(8):
                sample = watched.round()
            frozen = host.control.statistics()["frozen"]
            assert len(frozen) <= 6
            spared = [by_name(sample)[name] for name in on_it - set(frozen)]
            assert all("balloon.rss" in domain.stats for domain in spared)
            assert all(set(domain.stats) >= COUNTERS for domain in spared)
            assert len(complete(sample)) == 80
            host.control.heal_storage("sick")
            for _ in range(3):
                sample = watched.round()
            assert len(complete(sample)) == 120


def test_a_busy_monitor_of_somebody_elses_makes_a_partial_sample_and_then_an_unresponsive_one():
    with SimHost(domains=5) as host, Watched(host) as watched:
        (name,) = host.control.hold_job(["guest-00002"])
        domain = by_name(watched.round())[name]
        assert domain.status is not Status.FRESH
        assert {"state.state", "net.0.rx.bytes"} <= set(domain.stats)
        assert len(complete(watched.round())) == 4
        host.control.release_job([name])
        for _ in range(3):
            sample = watched.round()
        assert len(complete(sample)) == 5


def test_an_answer_too_large_for_a_message_is_asked_for_in_smaller_parts():
    with SimHost(domains=64) as host, Watched(host) as watched:
        host.control.limit_messages(16_384)
        for _ in range(3):
            sample = watched.round()
        assert len(complete(sample)) == 64


def test_a_driver_without_the_bulk_call_is_asked_by_classic_calls():
    with SimHost(domains=6) as host, Watched(host) as watched:
        host.control.refuse_bulk()
        sample = watched.round()
        assert sample.round.connected
        assert all(domain.stats for domain in sample.domains)


def test_a_thousand_domains_need_no_more_threads_than_ten():
    with SimHost(domains=10) as host, Watched(host) as watched:
        before = threading.active_count()
        watched.round()
        few = threading.active_count() - before
    with SimHost(domains=1000) as host, Watched(host) as watched:
        before = threading.active_count()
        assert len(complete(watched.round(60.0))) == 1000
        assert threading.active_count() - before <= few + 4  # lanes start as they are needed
