"""What is asked about a domain's jobs: of whom, and under which keys it comes."""

from __future__ import annotations

from typing import Any

import pytest
from domstats.hypervisor import classic, jobs
from domstats.hypervisor.classic import add_classic
from domstats.model import Stats

from tests.unit.hypervisor.stub_libvirt import StubDomain, StubLibvirt

RUNNING, COMPLETED = 0, 3
BOTH = frozenset({"running_job", "completed_job"})
NONE = {"type": 0}
MIGRATION = {"type": 2, "operation": 5, "data_remaining": 4096}
BACKUP = {"type": 3, "operation": 9, "time_elapsed": 1200, "success": True}
#: A key that only a monitor tells: it has answered just now.
ANSWERED: Stats = {"state.state": 1, "balloon.rss": 900}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubLibvirt:
    made = StubLibvirt()
    monkeypatch.setattr(classic, "libvirt", made)
    monkeypatch.setattr(jobs, "libvirt", made)
    monkeypatch.setattr(
        classic, "_NOT_TO_BE_HAD", {made.VIR_ERR_NO_SUPPORT, made.VIR_ERR_OPERATION_UNSUPPORTED}
    )
    monkeypatch.setattr(
        jobs, "_NOT_NOW", {made.VIR_ERR_OPERATION_TIMEOUT, made.VIR_ERR_OPERATION_FAILED}
    )
    return made


class Asked:
    """A domain with jobs: ``answers`` by the flags of the call."""

    def __init__(self, control: int = 0, **answers: Any) -> None:
        self.flags: list[int] = []
        self._answers = {RUNNING: answers.get("running", NONE),
                         COMPLETED: answers.get("completed", NONE)}  # fmt: skip
        self.domain = StubDomain("u1", "web", jobStats=self._stats, controlInfo=[control, 0, 9])

    def _stats(self, flags: int) -> Any:
        self.flags.append(flags)
        return self._answers[flags]

    def stats(self, before: Stats = ANSWERED, wanted: frozenset[str] = BOTH) -> Stats:
        stats = dict(before)
        assert add_classic(self.domain, stats, wanted)
        return {key: value for key, value in stats.items() if key not in before}


def test_figures_have_the_names_of_libvirt(stub: StubLibvirt) -> None:
    assert Asked(running=MIGRATION, completed=BACKUP).stats() == {
        "job.type": 2, "job.operation": 5, "job.data_remaining": 4096,
    }  # fmt: skip
    assert Asked(completed=BACKUP).stats() == {
        "job.completed.type": 3,
        "job.completed.operation": 9,
        "job.completed.time_elapsed": 1200,
        "job.completed.success": True,
    }
    assert Asked().stats() == {}


def test_figures_of_a_completed_job_are_left_to_others(stub: StubLibvirt) -> None:
    asked = Asked(completed=BACKUP)
    asked.stats(wanted=frozenset({"completed_job"}))
    keep = 2
    assert [flags & keep for flags in asked.flags] == [keep]


@pytest.mark.parametrize(
    ("before", "control", "flags"),
    [
        # its monitor has answered: nobody else need be asked who is in it
        (ANSWERED, 2, [RUNNING, COMPLETED]),
        # nothing shows that it has: libvirt says who is in it
        ({"state.state": 1}, 0, [RUNNING, COMPLETED]),
        ({"state.state": 1}, 1, [COMPLETED]),
        ({"state.state": 1}, 2, [COMPLETED]),
        ({"state.state": 5}, 0, []),
    ],
)
def test_a_running_job_is_asked_for_only_where_nobody_is_in_the_monitor(
    stub: StubLibvirt, before: Stats, control: int, flags: list[int]
) -> None:
    asked = Asked(control, running=NONE)
    asked.stats(before)
    assert asked.flags == flags
    assert asked.domain.calls.count("controlInfo") == (before is not ANSWERED and bool(flags))


def test_what_cannot_be_told_is_left_out_and_an_ended_domain_is_gone(stub: StubLibvirt) -> None:
    for code in ("NO_SUPPORT", "OPERATION_UNSUPPORTED", "OPERATION_TIMEOUT", "OPERATION_FAILED"):
        error = stub.error(f"VIR_ERR_{code}")
        assert Asked(running=error, completed=error).stats() == {}
    gone = Asked(running=stub.error("VIR_ERR_NO_DOMAIN"))
    assert not add_classic(gone.domain, dict(ANSWERED), BOTH)
    with pytest.raises(stub.libvirtError):
        Asked(running=stub.error("VIR_ERR_RPC")).stats()
