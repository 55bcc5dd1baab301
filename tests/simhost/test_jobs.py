"""Jobs of domains: as a client asks for them, and as they come into samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from domstats.config.settings import Settings
from domstats.model import MONITOR_FREE_GROUPS, Sample, Status
from domstats.sampling.sampler import Sampler

from tests.simhost import SimHost
from tests.simhost.conftest import started, wait_until

libvirt = pytest.importorskip("libvirt")

RUNNING, COMPLETED, KEEP = 0, 1, 3
MOVER = "guest-00003"
FIGURES = {"time_elapsed": 1500, "data_total": 2**31, "data_remaining": 2**30}
#: Longer than anything takes that does not hang.
LONG_S = 60.0


@pytest.fixture
def mover(host: SimHost) -> Iterator[Any]:
    """A domain with a job that runs."""
    host.control.begin_migration(MOVER, **FIGURES)
    yield libvirt.openReadOnly(host.uri).lookupByName(MOVER)
    host.control.heal()
    for _ in range(2):  # nothing is left of it either
        host.control.end_migration(MOVER)


def jobs_of(sample: Sample) -> dict[str, dict[str, Any]]:
    """What a sample says of jobs, by domain's name."""
    return {
        domain.name: {key: value for key, value in domain.stats.items() if key.startswith("job.")}
        for domain in sample.domains
        if any(key.startswith("job.") for key in domain.stats)
    }


def sampler(host: SimHost, **settings: Any) -> Sampler:
    return Sampler(Settings(uri=host.uri, jobs=True, **settings), lambda level, text: None)


def test_a_job_is_told_while_it_runs_and_kept_until_somebody_takes_it(
    host: SimHost, mover: Any
) -> None:
    assert mover.jobStats(RUNNING) == {"type": 2, "operation": 5, **FIGURES}
    assert mover.jobStats(COMPLETED) == {"type": 0}
    host.control.end_migration(MOVER, time_elapsed=2000)
    assert mover.jobStats(RUNNING) == {"type": 0}
    for _ in range(2):
        assert mover.jobStats(KEEP)["time_elapsed"] == 2000
    assert mover.jobStats(COMPLETED)["type"] == 3
    assert mover.jobStats(COMPLETED) == {"type": 0}


def test_an_incoming_migration_has_no_figures(host: SimHost, mover: Any) -> None:
    host.control.end_migration(MOVER)
    host.control.begin_migration(MOVER, operation=4)
    with pytest.raises(libvirt.libvirtError, match="only on the source host"):
        mover.jobStats(RUNNING)


def test_the_job_that_runs_asks_the_monitor_the_one_that_has_ended_does_not(
    host: SimHost, mover: Any
) -> None:
    host.control.hang(MOVER)

    def asked_so_far() -> int:
        calls: dict[str, int] = host.control.statistics()["calls"]
        return calls.get("DomainGetJobStats", 0)

    begun = asked_so_far()
    asking = started(mover.jobStats, RUNNING)
    wait_until(lambda: asked_so_far() > begun)
    other = libvirt.openReadOnly(host.uri).lookupByName(MOVER)
    assert other.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_JOB
    assert other.jobStats(COMPLETED) == {"type": 0}
    with pytest.raises(libvirt.libvirtError, match="state change lock"):
        other.jobStats(RUNNING)
    host.control.heal()
    assert asking.result(LONG_S)["type"] == 2


def test_a_sample_has_the_job_that_runs_and_then_its_figures(host: SimHost, mover: Any) -> None:
    with sampler(host) as sampling:
        prefixed = {f"job.{name}": value for name, value in FIGURES.items()}
        assert jobs_of(sampling.sample(LONG_S)) == {
            MOVER: {"job.type": 2, "job.operation": 5, **prefixed}
        }
        host.control.end_migration(MOVER, time_elapsed=2000)
        for _ in range(2):  # others may read them too
            ended = jobs_of(sampling.sample(LONG_S))
            assert ended[MOVER]["job.completed.time_elapsed"] == 2000
            assert set(ended) == {MOVER}


@pytest.mark.parametrize("groups", [None, MONITOR_FREE_GROUPS])
def test_a_domain_that_hangs_in_its_job_costs_the_others_nothing(
    host: SimHost, mover: Any, groups: Any
) -> None:
    """Be it in the bulk call, or, where that asks no monitor, in the call for the job."""
    settings = {} if groups is None else {"groups": groups}
    with sampler(host, soft_deadline=0.1, **settings) as sampling:
        assert sampling.sample(LONG_S).round.fresh == 12
        host.control.hang(MOVER)
        for _ in range(3):
            sample = sampling.sample(LONG_S)
            statuses = {domain.name: domain.status for domain in sample.domains}
            expected = Status.FRESH if groups else Status.UNRESPONSIVE
            assert statuses.pop(MOVER) in (Status.UNRESPONSIVE, expected)
            assert set(statuses.values()) == {Status.FRESH}
            assert sample.round.duration_s < LONG_S / 2
            assert sample.round.stuck_calls == 1
        host.control.heal()

        def is_back() -> bool:
            return bool(jobs_of(sampling.sample(LONG_S)))

        wait_until(is_back)


def test_jobs_cost_two_calls_for_each_domain_and_nothing_where_they_are_not_wanted(
    host: SimHost,
) -> None:
    counted = {}
    for wanted in (False, True):
        # Nobody waits for where disks lie, which is late on a busy machine.
        settings = Settings(uri=host.uri, jobs=wanted, storage_watch=False)
        with Sampler(settings, lambda level, text: None) as sampling:
            assert sampling.sample(LONG_S).round.fresh == 12
            host.control.reset_statistics()
            assert sampling.sample(LONG_S).round.fresh == 12
            calls = host.control.statistics()["calls"]
            counted[wanted] = (
                calls.get("DomainGetJobStats", 0), calls.get("DomainGetControlInfo", 0)
            )  # fmt: skip
    assert counted == {False: (0, 0), True: (24, 0)}
