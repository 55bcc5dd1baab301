"""What a user of the sampler gets from hypervisors that go away, stand still, and talk nonsense.

On the simulated host, with the watches off, as for a hypervisor on another host.
"""

from __future__ import annotations

import os
import threading

import pytest
from domstats.output.line_protocol import LineProtocol
from domstats.output.value_lists import CollectdOptions, ValueLists

from tests.simhost import SimHost, faults

from .conftest import wait_until
from .watched import Watched, complete


def test_broken_connections_cost_no_sample():
    with SimHost(domains=40) as host, Watched(host) as watched:
        watched.round()
        for _ in range(5):
            host.control.drop_connections()
            sample = watched.round()
            assert len(complete(sample)) == 40, sample.round


def test_a_host_that_is_frozen_is_told_of_once_and_leaves_no_thread_behind():
    with SimHost(domains=20) as host, Watched(host) as watched:
        watched.round()
        host.control.freeze(1.0)
        assert not watched.round(0.3).round.connected
        wait_until(lambda: len(complete(watched.round())) == 20)
        threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            host.pause()
            assert not watched.round(0.2).round.connected
            assert not watched.round(0.2).round.connected
            host.proceed()
            wait_until(lambda: len(complete(watched.round())) == 20)
        assert threading.active_count() <= threads
        assert len(os.listdir("/proc/self/fd")) <= descriptors
        levels = [level for level, text in watched.log if " samples " not in text]
        assert levels.count("error") == levels.count("info") == 4


def test_a_host_that_was_killed_is_sampled_again_as_soon_as_it_is_back():
    with SimHost(domains=20) as host, Watched(host) as watched:
        watched.round()
        host.kill()
        sample = watched.round()
        assert not sample.round.connected
        assert host.uri in sample.round.error
        host.restart()
        assert len(complete(watched.round())) == 20


@pytest.fixture(scope="module")
def eight():
    """A host of eight domains, which each test leaves well."""
    with SimHost(domains=8) as host:
        yield host


@pytest.mark.parametrize("mode", sorted(faults.MODES))
def test_nonsense_from_a_server_is_survived_and_what_follows_is_whole(eight, mode):
    lines, lists, host = LineProtocol(), ValueLists(CollectdOptions()), eight
    with Watched(host) as watched:
        watched.round()
        host.control.distort(mode)
        for _ in range(2):
            sample = watched.round(1.0)
            lines.encode(sample)
            list(lists.translate(sample, 1.0))
            if not sample.round.connected:
                assert host.uri in sample.round.error
        host.control.behave()
        if mode == "silence":  # a call that was swallowed ends with its connection only
            host.control.drop_connections()
        for _ in range(3):
            sample = watched.round()
        assert len(complete(sample)) == 8, (sample.round, [d.reason for d in sample.domains])
        assert lines.encode(sample)
