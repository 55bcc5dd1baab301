"""What a round costs the hypervisor when nothing is wrong: counts of calls, not seconds.

What goes by the clock (who is asked again, what is late) would add calls on a machine that is slow,
so the clock stands still while calls are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from domstats.agents.telegraf_execd import writer
from domstats.config.settings import Settings
from domstats.config.telegraf import parse_telegraf
from domstats.engine.engine import FEWEST_PARTS
from domstats.model import DomainSample
from domstats.sampling.sampler import Sampler

from tests.blocks import block, line
from tests.simhost import SimHost

from .conftest import Clock, wait_until

DOMAINS = 100
#: Two for each of the four lanes.
CHUNKS = 8
ROUNDS = 3
#: Seconds that no machine needs.
LONG_S = 200.0
LIST, BULK = "ConnectListAllDomains", "ConnectGetAllDomainStats"
#: What libvirt-python asks the server for each of its own calls.
INFO = Counter(DomainGetInfo=1)
CPU = Counter(ConnectSupportsFeature=2, DomainGetCPUStats=2)
VCPUS = Counter(DomainGetInfo=1, NodeGetCPUMap=1, DomainGetVcpus=1)


def whole(domain: DomainSample, key: str) -> int:
    """A value that has to be a whole number."""
    value = domain.stats[key]
    assert isinstance(value, int)
    return value


@pytest.fixture(scope="module")
def quiet():
    """A host of its own, on which nothing happens."""
    with SimHost(domains=DOMAINS) as made:
        yield made


@contextmanager
def steady(settings: Settings) -> Iterator[Sampler]:
    """A sampler that knows everything that it reads once, with a clock that stands still."""
    log: list[str] = []
    clock = Clock()
    with Sampler(settings, lambda level, text: log.append(text), clock) as sampler:

        def knows_all() -> bool:
            sample = sampler.sample(LONG_S)
            return (
                sample.round.fresh == DOMAINS
                and all(domain.devices.targets for domain in sample.domains)
                and any(" samples " in text for text in log)
            )

        wait_until(knows_all, LONG_S)
        clock.stop()
        assert sampler.sample(LONG_S).round.fresh == DOMAINS
        yield sampler


def calls_of_steady_rounds(host: SimHost, settings: Settings) -> dict[str, float]:
    """Calls a round by procedure name."""
    with steady(settings) as sampler:
        host.control.reset_statistics()
        for _ in range(ROUNDS):
            assert sampler.sample(LONG_S).round.fresh == DOMAINS
        calls = host.control.statistics()["calls"]
    return {name: count / ROUNDS for name, count in calls.items()}


def telegraf(host: SimHost, *lines: str) -> Settings:
    text = "\n".join(["[[inputs.libvirt]]", f'libvirt_uri = "{host.uri}"', *lines])
    (settings,) = parse_telegraf(text.encode(), "test").settings
    return settings


def test_a_round_for_telegraf_is_a_list_and_a_bulk_call_for_each_chunk(quiet: SimHost) -> None:
    assert calls_of_steady_rounds(quiet, telegraf(quiet)) == {LIST: 1, BULK: CHUNKS}


def test_a_steady_round_leaves_out_the_groups_that_are_idle(quiet: SimHost) -> None:
    with steady(telegraf(quiet)) as sampler:
        before = quiet.control.asked()
        rounds = [sampler.sample(LONG_S) for _ in range(ROUNDS)]
        after = quiet.control.asked()
    asked: Counter[str] = Counter()
    for name in after:
        asked += Counter(after[name]) - Counter(before[name])
    assert asked["block"] == ROUNDS * DOMAINS
    assert asked["iothread"] == asked["dirtyrate"] == 0
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


def test_sizes_of_disks_are_asked_for_once_and_then_rarely(quiet: SimHost) -> None:
    lines = (line("Connection", quiet.uri), line("ExtraStats", "disk_physical disk_allocation"))
    quiet.control.reset_statistics()
    with Sampler(block(*lines)) as sampler:
        sample = sampler.sample(20.0)
        wait_until(lambda: sampler.sample(20.0).round.fresh == DOMAINS, seconds=30)
        first = quiet.control.statistics()["calls"]["DomainGetBlockInfo"]
        for _ in range(ROUNDS):
            sample = sampler.sample(20.0)
        calls = quiet.control.statistics()["calls"]
    disks = sum(whole(domain, "block.count") for domain in sample.domains)
    assert first >= disks
    # A few are asked again, since five minutes are not over for all of them at once.
    assert calls["DomainGetBlockInfo"] - first < disks / 4
    for domain in sample.domains:
        physical = whole(domain, "block.0.physical")
        assert domain.stats["block.0.info.allocation"] == physical
        assert domain.stats["block.0.info.physical"] == physical + 4096


def test_a_round_of_the_fast_lane_asks_no_monitor(quiet: SimHost) -> None:
    with steady(telegraf(quiet)) as sampler:
        assert sampler.sample_fast(LONG_S).round.fresh == DOMAINS
        quiet.control.reset_statistics()
        before = quiet.control.asked()
        sampler.sample_fast(LONG_S)
        statistics, after = quiet.control.statistics(), quiet.control.asked()
    free = -(-DOMAINS // 32)
    each = {name: DOMAINS * count for name, count in CPU.items()}
    assert statistics["calls"] == {LIST: 1, BULK: free, **each}
    asked = {group for name in after for group in Counter(after[name]) - Counter(before[name])}
    assert asked == {"state", "interface", "perf", "memory"}


def test_every_domain_is_written_once_while_the_round_goes_on(quiet: SimHost) -> None:
    settings = telegraf(quiet)
    lines, pieces = writer(settings), []
    with steady(settings) as sampler:
        sample = sampler.sample(LONG_S, take=lambda part: pieces.append(lines.take(part)))
    end = lines.encode(sample)
    states = b"".join([*pieces, end]).count(b"libvirt_state,")
    assert states == DOMAINS
    assert FEWEST_PARTS - 1 <= len(pieces) <= FEWEST_PARTS
    assert len(end) < sum(map(len, pieces)), "the least waits for the round's end"
