"""Which jobs of a domain are told, and when: what runs in each sample, what has ended once."""

from __future__ import annotations

from typing import Any

from domstats.model import DomainSample, Round, Sample, Stats, Status
from domstats.output.job_tables import Job, Jobs

from tests.unit.rows import each_row

RUNNING: Stats = {"job.type": 2, "job.operation": 5, "job.data_remaining": 4096}
ENDED: Stats = {
    "job.completed.type": 3,
    "job.completed.operation": 9,
    "job.completed.disk_total": 1,
}
NEXT: Stats = {**ENDED, "job.completed.disk_total": 2}


def told(jobs: Jobs, stats: Stats | None, connected: bool = True) -> list[tuple[Any, ...]]:
    """What a sample with one domain, or none, tells: operation, status, and if that is old."""
    domains = [] if stats is None else [DomainSample("u1", "web", Status.FRESH, stats)]
    found = [job for domain in domains for job in jobs.of(domain)]
    jobs.end(Sample("", 0, tuple(domains), Round(connected=connected)))
    return [(job.operation, job.status, job.is_old) for job in found]


@each_row(
    ("samples", "expected"),
    [
        ([{}, RUNNING, RUNNING], [[], ["running"], ["running"]]),
        # the figures of a job that has ended stay in libvirt, and are told once
        ([{}, RUNNING, ENDED, ENDED, {}], [[], ["running"], ["completed"], [], []]),
        # of a next one they are others; what was there already is not told again after it
        ([{}, ENDED, RUNNING, NEXT, NEXT], [[], ["completed"], ["running"], ["completed"], []]),
        # what had ended before the first sample is old
        ([ENDED, ENDED, NEXT], [["old"], [], ["completed"]]),
        # a hypervisor that was away has forgotten nothing, nor have we
        ([{}, ENDED, "away", ENDED], [[], ["completed"], [], []]),
        # a domain that has gone is forgotten
        ([{}, ENDED, None, ENDED], [[], ["completed"], [], ["completed"]]),
    ],
)
def test_a_job_is_told_while_it_runs_and_its_figures_once(
    samples: list[Any], expected: list[list[str]]
) -> None:
    jobs = Jobs()
    got = [
        told(jobs, None, connected=False) if stats == "away" else told(jobs, stats)
        for stats in samples
    ]
    words = [["old" if is_old else status for _, status, is_old in found] for found in got]
    assert words == expected


def test_operations_and_ends_have_names_also_those_that_libvirt_may_invent() -> None:
    kinds = {(2, 5): ("migration_out", "running"), (4, 9): ("backup", "failed"),
             (5, 9): ("backup", "cancelled"), (1, 99): ("operation_99", "running"),
             (77, -1): ("operation_-1", "unknown")}  # fmt: skip
    for (kind, operation), expected in kinds.items():
        ((name, status, _),) = told(Jobs(), {"job.type": kind, "job.operation": operation})
        assert (name, status) == expected


def test_a_job_has_the_parameters_of_libvirt_and_no_others() -> None:
    (job,) = Jobs().of(DomainSample("u1", "web", Status.FRESH, {**RUNNING, **ENDED, "cpu.time": 1}))
    assert job == Job(False, False, "running", 5, {"data_remaining": 4096})
