"""What a round costs the hypervisor when nothing is wrong: counts of calls, not seconds."""

from __future__ import annotations

from collections import Counter

import pytest
from domstats.engine import PART
from domstats.sampler import Sampler
from domstats.settings import Settings, parse_telegraf
from domstats.telegraf_execd import writer

from tests.simhost import SimHost
from tests.unit.test_settings import block, line

from .conftest import wait_until

DOMAINS = 200
#: Four for each of the four lanes.
CHUNKS = 16
ROUNDS = 3
LIST, BULK = "ConnectListAllDomains", "ConnectGetAllDomainStats"
#: What libvirt-python asks the server for each of its own calls.
INFO = Counter(DomainGetInfo=1)
CPU = Counter(ConnectSupportsFeature=2, DomainGetCPUStats=2)
VCPUS = Counter(DomainGetInfo=1, NodeGetCPUMap=1, DomainGetVcpus=1)


@pytest.fixture(scope="module")
def quiet():
    """A host of its own, on which nothing happens."""
    with SimHost(domains=DOMAINS) as made:
        yield made


def calls_of_steady_rounds(host: SimHost, settings: Settings) -> dict[str, float]:
    """Calls a round by procedure name, once everybody's XML is known."""
    with Sampler(settings) as sampler:
        wait_until(lambda: sampler.sample(20.0).round.fresh == DOMAINS, seconds=30)
        sampler.sample(20.0)
        host.control.reset_statistics()
        for _ in range(ROUNDS):
            assert sampler.sample(20.0).round.fresh == DOMAINS
        calls = host.control.statistics()["calls"]
    return {name: count / ROUNDS for name, count in calls.items()}


def telegraf(host: SimHost, *lines: str) -> Settings:
    text = "\n".join(["[[inputs.libvirt]]", f'libvirt_uri = "{host.uri}"', *lines])
    (settings,) = parse_telegraf(text.encode(), "test").settings
    return settings


def test_a_round_for_telegraf_is_a_list_and_a_bulk_call_for_each_chunk(quiet: SimHost) -> None:
    assert calls_of_steady_rounds(quiet, telegraf(quiet)) == {LIST: 1, BULK: CHUNKS}


def test_a_steady_round_leaves_out_the_groups_that_are_idle(quiet: SimHost) -> None:
    with Sampler(telegraf(quiet)) as sampler:
        wait_until(lambda: sampler.sample(20.0).round.fresh == DOMAINS, seconds=30)
        before = quiet.control.asked()
        rounds = [sampler.sample(20.0) for _ in range(ROUNDS)]
        after = quiet.control.asked()
    asked: Counter[str] = Counter()
    for name in after:
        asked += Counter(after[name]) - Counter(before[name])
    assert asked["block"] == ROUNDS * DOMAINS
    # A few are asked again, since a minute is not over for all of them at once.
    assert max(asked["iothread"], asked["dirtyrate"]) < DOMAINS / 4
    for sample in rounds:
        for domain in sample.domains:
            assert domain.stats["dirtyrate.calc_status"] == 0


def test_labels_events_and_slower_groups_add_no_call(quiet: SimHost) -> None:
    settings = telegraf(
        quiet,
        'labels = ["title", "nova_project"]',
        'events = ["lifecycle"]',
        'every = { dirtyrate = "1m" }',
    )
    assert calls_of_steady_rounds(quiet, settings) == {LIST: 1, BULK: CHUNKS}


@pytest.mark.parametrize(
    ("extra", "calls"),
    [
        ("", INFO),
        ("disk disk_capacity memory domain_state perf", INFO),
        ("vcpu vcpupin", INFO + VCPUS),
        ("cpu_util pcpu vcpu vcpupin memory", INFO + CPU + VCPUS),
    ],
)
def test_a_round_for_collectd_adds_few_calls_for_each_domain_and_none_asks_a_monitor(
    quiet: SimHost, extra: str, calls: Counter[str]
) -> None:
    lines = [line("ExtraStats", extra)] if extra else []
    settings = block(line("Connection", quiet.uri), *lines)
    expected = {LIST: 1, BULK: CHUNKS, **{name: DOMAINS * count for name, count in calls.items()}}
    assert calls_of_steady_rounds(quiet, settings) == expected


def test_a_round_of_the_fast_lane_asks_no_monitor(quiet: SimHost) -> None:
    with Sampler(telegraf(quiet)) as sampler:
        assert sampler.sample_fast(20.0).round.fresh == DOMAINS
        quiet.control.reset_statistics()
        before = quiet.control.asked()
        sampler.sample_fast(20.0)
        statistics, after = quiet.control.statistics(), quiet.control.asked()
    free = -(-DOMAINS // 32)
    each = {name: DOMAINS * count for name, count in CPU.items()}
    assert statistics["calls"] == {LIST: 1, BULK: free, **each}
    asked = {group for name in after for group in Counter(after[name]) - Counter(before[name])}
    assert asked == {"state", "interface", "perf", "memory"}


def test_every_domain_is_written_once_while_the_round_goes_on(quiet: SimHost) -> None:
    settings = telegraf(quiet)
    lines, pieces = writer(settings), []
    with Sampler(settings) as sampler:
        wait_until(lambda: sampler.sample(20.0).round.fresh == DOMAINS, seconds=30)
        end = lines.encode(sampler.sample(20.0, take=lambda part: pieces.append(lines.take(part))))
    states = b"".join([*pieces, end]).count(b"libvirt_state,")
    assert states == DOMAINS
    assert DOMAINS // PART - 1 <= len(pieces) <= DOMAINS // PART
    assert len(end) < sum(map(len, pieces)), "the least waits for the round's end"
