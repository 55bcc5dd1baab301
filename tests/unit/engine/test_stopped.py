"""Domains whose process is stopped are left alone until it runs again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from domstats.engine.actions import Hints
from domstats.engine.migrations import Migrations
from domstats.engine.roster import Cause, Roster, Standing
from domstats.engine.stopped import LOOK_FOR_S, StoppedProcesses


class Processes(Hints):
    """What a process watch would say."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()
        self.looks: list[tuple[str, ...]] = []

    def look(self, uuids: Collection[str], now: float) -> dict[str, str]:
        self.looks.append(tuple(uuids))
        return dict.fromkeys(self.stopped.intersection(uuids), "stopped")

    def relook(self, uuids: Sequence[str], now: float) -> dict[str, str]:
        return self.look(uuids, now)


class Host:
    def __init__(self) -> None:
        self.processes, self.roster, self.migrations = Processes(), Roster(), Migrations()
        self.roster.listed([("a", "vm a", True), ("b", "vm b", True), ("off", "vm off", False)])
        self.stopped = StoppedProcesses(self.processes, self.roster, self.migrations)

    def standing(self, uuid: str) -> Standing:
        return self.roster.members[uuid].standing


def test_a_stopped_process_means_quarantine_until_it_runs_again() -> None:
    host = Host()
    host.processes.stopped = {"a"}
    host.stopped.look(10.0)
    assert (host.standing("a"), host.standing("b")) == (Standing.QUARANTINED, Standing.RESPONSIVE)
    assert host.roster.members["a"].reason == "its process is stopped"
    host.processes.stopped = set()
    host.stopped.look(20.0)
    assert host.standing("a") is Standing.PROBATION


def test_only_processes_of_active_domains_are_looked_at() -> None:
    host = Host()
    host.stopped.look(10.0)
    assert host.processes.looks == [("a", "b")]


def test_one_look_serves_for_a_while_and_then_those_are_looked_at_who_are_to_be_asked() -> None:
    host = Host()
    host.stopped.look(10.0)
    host.stopped.look(10.0 + LOOK_FOR_S / 2)
    host.stopped.look_again(["b"], 10.0 + LOOK_FOR_S / 2)
    assert len(host.processes.looks) == 1
    host.processes.stopped = {"b"}
    host.stopped.look_again(["b"], 10.0 + 2 * LOOK_FOR_S)
    assert host.processes.looks[1:] == [("b",)]
    assert host.standing("b") is Standing.QUARANTINED


def test_a_domain_that_hangs_for_another_reason_is_not_released_since_its_process_runs() -> None:
    host = Host()
    host.roster.quarantine("a", 9.0, Cause.CALL, "its monitor does not answer")
    host.stopped.look(10.0)
    assert host.standing("a") is Standing.QUARANTINED


def test_a_domain_that_is_handed_over_to_another_host_stands_still_and_does_not_hang() -> None:
    host = Host()
    host.migrations.handed_over("a", 9.0)
    host.processes.stopped = {"a"}
    host.stopped.look(10.0)
    assert host.standing("a") is Standing.RESPONSIVE
