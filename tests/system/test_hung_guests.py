"""Guests that hang (SIGSTOP on QEMU) cost nobody else a sample, in Telegraf and in collectd.

Each story is lived through once for each agent, and the tests ask what it delivered.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from tests.system.agents.notifications import Notice
from tests.system.bed.shape import Shape
from tests.system.configurations import ROOT
from tests.system.delivered import (
    BOTH,
    FREE,
    FULL,
    PATIENT,
    Counters,
    Seen,
    going_back,
    lacking,
    median_ms,
    prefer,
    prefer_session,
    skipped,
    telegraf_command,
    telegraf_toml,
    watching,
    within,
)
from tests.system.waiting import wait_for

BUDGET = 6
#: Short calls, without monitor or for XML, that may be under way beside those of the budget.
SHORT_CALLS = 4
#: Somebody else's command is prompt if it takes less; without us it takes a fraction of a second.
PROMPT_S = 10.0
WATCHES_OFF: dict[str, Any] = {
    "process_watch": False,
    "storage_watch": False,
    "occupancy_watch": False,
}


class Hang(NamedTuple):
    """Guests that hung, from when to when; ``since`` 0 is before the agent's start."""

    names: list[str]
    since: float
    until: float


@dataclass
class Story:
    """What an agent delivered while guests hung."""

    agent: str
    guests: list[str]
    hangs: list[Hang] = field(default_factory=list)
    rounds: list[Seen] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)
    notified: list[Notice] = field(default_factory=list)
    log: str = ""
    foreign: dict[str, float] = field(default_factory=dict)
    workers: list[int] = field(default_factory=list)
    stopped_in: float = 0.0

    def healthy(self) -> list[str]:
        hung = {name for hang in self.hangs for name in hang.names}
        return [name for name in self.guests if name not in hung]

    def during(self, hang: Hang) -> list[Seen]:
        """The rounds that began while guests hung, but for one that met their healing."""
        return within(self.rounds, hang.since, hang.until - 0.1)

    def lines(self, text: str) -> list[str]:
        """Lines of its log with this text; collectd logs its notifications itself, beside."""
        lines = self.log.splitlines()
        return [line for line in lines if text in line and "Notification:" not in line]

    def read(self, watched: Any) -> None:
        self.rounds, self.counters = watched.rounds(), watched.counters()
        self.notified = watched.notified() if self.agent == "collectd" else []
        self.log = watched.log


@pytest.fixture(scope="module")
def twenty(new_bed: Callable[[], Any]) -> Iterator[Any]:
    """A bed of twenty guests, the first four of which do something."""
    with new_bed() as bed:
        prefer(bed)
        bed.add(*(Shape(f"guest-{number}", busy=number < 4) for number in range(20)))
        yield bed


@pytest.fixture(scope="module")
def twenty_four(twenty: Any) -> Any:
    twenty.add(*(Shape(f"guest-{number}") for number in range(len(twenty.guests), 24)))
    return twenty


@contextlib.contextmanager
def hung(guests: list[Any], story: Story, since_start: bool = False) -> Iterator[None]:
    """Have guests hang, in the same moment; they are healed whatever happens."""
    pids = [guest.pid for guest in guests]
    since = 0.0 if since_start else time.time()
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        story.hangs.append(Hang([guest.name for guest in guests], since, time.time()))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def names(bed: Any) -> list[str]:
    return [guest.name for guest in bed.guests]


# --- one of twenty ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BOTH)
def one_hung(request: Any, twenty: Any, tmp_path_factory: Any, missing: Any) -> Story:
    """One guest hangs before the agent's start and heals; then another one hangs and heals."""
    story = Story(request.param, names(twenty))
    first, second = twenty.guests[0], twenty.guests[9]
    with contextlib.ExitStack() as stack:
        with hung([first], story, since_start=True):
            folder = tmp_path_factory.mktemp("one-hung")
            watched = stack.enter_context(
                watching(request.param, folder, twenty.uri, missing, **PATIENT)
            )
            watched.wait_for_rounds(5)
        watched.wait_for_rounds(9)
        with hung([second], story):
            watched.wait_for_rounds(9)
        watched.wait_for_rounds(5)
        story.read(watched)
    before = within(story.rounds, story.hangs[0].until, story.hangs[1].since)[3:]
    print(
        f"{story.agent}, 1 of 20 hung, rounds in the median: hung at the start"
        f" {median_ms(story.during(story.hangs[0])[1:])} ms, nobody hung {median_ms(before)} ms,"
        f" hung in the middle {median_ms(story.during(story.hangs[1])[1:])} ms"
    )
    return story


def test_the_others_have_everything_in_every_interval(one_hung: Story) -> None:
    assert lacking(one_hung.rounds, one_hung.healthy(), FULL) == []
    assert skipped(one_hung.rounds[1:]) == []  # the first one does not know the interval yet


def test_a_hung_guest_gets_no_call_stuck_and_makes_no_round_longer(one_hung: Story) -> None:
    calm = within(one_hung.rounds, one_hung.hangs[0].until, one_hung.hangs[1].since)[3:]
    calls = sorted(seen.report["calls"] for seen in calm)[len(calm) // 2]
    for hang in one_hung.hangs:
        during = one_hung.during(hang)[1:]
        assert during
        assert [seen.report["stuck_calls"] for seen in during] == [0] * len(during)
        assert max(seen.report["calls"] for seen in during) <= calls + 1


def test_a_hung_guest_keeps_state_cpu_time_vcpu_time_and_network(one_hung: Story) -> None:
    for hang in one_hung.hangs:
        assert lacking(one_hung.during(hang), hang.names, FREE) == []


def test_a_hung_guest_is_reported(one_hung: Story) -> None:
    for hang in one_hung.hangs:
        during = one_hung.during(hang)
        assert [seen.report["unresponsive"] for seen in during] == [1] * len(during)
        for seen in during:
            assert {name for name, well in seen.responsive.items() if not well} == {hang.names[0]}
        says = f"domain {hang.names[0]} "
        assert len(one_hung.lines(says + "does not answer")) == 1
        assert len(one_hung.lines(says + "answers again")) == 1


@pytest.mark.parametrize("one_hung", ["collectd"], indirect=True)
def test_collectd_notifies_of_a_hung_guest_and_of_its_return(one_hung: Story) -> None:
    told = [(notified.severity, notified.host) for notified in one_hung.notified]
    names = [hang.names[0] for hang in one_hung.hangs]
    assert told == [(severity, name) for name in names for severity in ("failure", "okay")]


def test_a_guest_that_is_back_is_complete_within_three_rounds(one_hung: Story) -> None:
    for hang in one_hung.hangs:
        after = within(one_hung.rounds, hang.until)
        assert lacking(after[2:6], hang.names, FULL) == []


def test_no_value_is_out_of_order(one_hung: Story) -> None:
    assert going_back(one_hung.counters) == []


# --- ten of twenty-four, in the same moment -----------------------------------------------------


@pytest.fixture(scope="module", params=BOTH)
def many_hung(request: Any, twenty_four: Any, tmp_path_factory: Any, missing: Any) -> Story:
    """Ten guests hang in the same moment, and others use libvirtd at the same time."""
    story = Story(request.param, names(twenty_four))
    folder = tmp_path_factory.mktemp("many-hung")
    with watching(request.param, folder, twenty_four.uri, missing, **PATIENT) as watched:
        watched.wait_for_rounds(3)
        with hung(twenty_four.guests[:10], story):
            watched.wait_for_rounds(3)
            for command in (["domstats", twenty_four.guests[-1].name], ["list"]):
                began = time.monotonic()
                subprocess.run(
                    ["virsh", "-c", twenty_four.uri, *command],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    timeout=200,
                )
                story.foreign[command[0]] = time.monotonic() - began
            watched.wait_for_rounds(4)
        watched.wait_for_rounds(4)
        story.read(watched)
    print(
        f"{story.agent}, 10 of 24 hung: rounds before"
        f" {median_ms(within(story.rounds, 0, story.hangs[0].since)[1:])} ms, while they hang"
        f" {median_ms(story.during(story.hangs[0])[1:])} ms;"
        f" virsh {', '.join(f'{name} {took:.2f} s' for name, took in story.foreign.items())}"
    )
    return story


def test_no_healthy_guest_misses_a_sample_when_ten_hang_at_once(many_hung: Story) -> None:
    assert lacking(many_hung.rounds, many_hung.healthy(), FULL) == []
    assert skipped(many_hung.rounds[1:]) == []


def test_ten_that_hang_keep_what_can_be_known_and_come_back(many_hung: Story) -> None:
    [hang] = many_hung.hangs
    assert lacking(many_hung.during(hang), hang.names, FREE) == []
    assert lacking(within(many_hung.rounds, hang.until)[2:], hang.names, FULL) == []
    assert going_back(many_hung.counters) == []


def test_ten_that_hang_are_not_ten_lines_in_the_log(many_hung: Story) -> None:
    # One line for the round that they met, and some if they met two.
    lines = many_hung.lines("do not answer") + many_hung.lines("does not answer")
    assert 1 <= len(lines) <= 4
    assert any("domains do not answer" in line for line in lines)


def test_others_use_libvirt_as_ever_while_ten_guests_hang(many_hung: Story) -> None:
    assert set(many_hung.foreign) == {"domstats", "list"}
    assert max(many_hung.foreign.values()) < PROMPT_S


# --- the same without a watch -------------------------------------------------------------------


class Workers(threading.Thread):
    """Looks, until the end of ``with``, how many of libvirtd's ordinary workers have a call."""

    def __init__(self, bed: Any) -> None:
        super().__init__(daemon=True)
        self._uri = f"libvirtd+unix:///system?socket={bed.folder}/sockets/libvirt-admin-sock"
        self._ended = threading.Event()
        self.busy: list[int] = []

    def run(self) -> None:
        while not self._ended.wait(0.1):
            said = subprocess.run(
                ["virt-admin", "-c", self._uri, "srv-threadpool-info", "libvirtd"],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout
            numbers = dict(line.split(":") for line in said.splitlines() if line)
            counts = {name.strip(): int(number) for name, number in numbers.items()}
            self.busy.append(counts["nWorkers"] - counts["freeWorkers"])

    def __enter__(self) -> "Workers":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@pytest.fixture(scope="module", params=BOTH)
def unwatched(request: Any, twenty_four: Any, tmp_path_factory: Any, missing: Any) -> Story:
    """Ten guests hang in the same moment, nothing but the calls themselves tells, and then the
    agent is stopped while calls are stuck."""
    story = Story(request.param, names(twenty_four))
    folder = tmp_path_factory.mktemp("unwatched")
    with watching(request.param, folder, twenty_four.uri, missing, **WATCHES_OFF) as watched:
        watched.wait_for_rounds(4)
        with hung(twenty_four.guests[:10], story), Workers(twenty_four) as workers:
            watched.wait_for_rounds(9)
        story.workers = workers.busy
        watched.wait_for_rounds(5)
        story.read(watched)
        with hung(twenty_four.guests[10:12], story):
            wait_for("stuck call", lambda: watched.rounds()[-1].report["stuck_calls"])
            began = time.monotonic()
            watched.agent.stop()
            story.stopped_in = time.monotonic() - began
        story.hangs.pop()
    during = story.during(story.hangs[0])
    print(
        f"{story.agent}, 10 of 24 hung, no watch: rounds before"
        f" {median_ms(within(story.rounds, 0, story.hangs[0].since)[1:])} ms, while they hang"
        f" {[round(1000 * seen.report['duration_s']) for seen in during]} ms; stuck calls"
        f" {[int(seen.report['stuck_calls']) for seen in during]}; healthy and complete"
        f" {[sum(seen.guests[name] >= FULL for name in story.healthy()) for seen in during]} of"
        f" {len(story.healthy())}; libvirtd's busy workers, looks by number"
        f" { {number: story.workers.count(number) for number in sorted(set(story.workers))} };"
        f" stopped in {story.stopped_in:.2f} s"
    )
    return story


def test_without_watches_libvirtd_keeps_most_of_its_workers(unwatched: Story) -> None:
    assert max(seen.report["stuck_calls"] for seen in unwatched.rounds) <= BUDGET
    assert len(unwatched.workers) > 20
    assert max(unwatched.workers) <= BUDGET + SHORT_CALLS
    # Most looks fall into no call of moment: what is held then is held for long.
    assert sorted(unwatched.workers)[len(unwatched.workers) // 2] <= BUDGET


def test_without_watches_everybody_keeps_what_no_monitor_is_needed_for(unwatched: Story) -> None:
    [hang] = unwatched.hangs
    assert lacking(unwatched.during(hang)[1:], unwatched.guests, FREE) == []
    assert skipped(unwatched.rounds[1:]) == []


def test_without_watches_who_has_answered_since_the_alert_keeps_everything(
    unwatched: Story,
) -> None:
    [hang] = unwatched.hangs
    during = unwatched.during(hang)
    alarmed = [seen for seen in during if seen.report["stuck_calls"]]
    assert alarmed
    lost = []
    for name in unwatched.healthy():
        answered = [seen.time for seen in alarmed[1:] if seen.guests[name] >= FULL]
        if answered:
            lost += lacking(within(alarmed, answered[0]), [name], FULL)
    assert lost == []


def test_without_watches_all_come_back_within_three_rounds(unwatched: Story) -> None:
    [hang] = unwatched.hangs
    assert lacking(within(unwatched.rounds, hang.until)[2:], unwatched.guests, FULL) == []
    assert going_back(unwatched.counters) == []


def test_an_agent_stops_promptly_while_calls_are_stuck(unwatched: Story) -> None:
    assert unwatched.stopped_in  # while they hung


@pytest.mark.parametrize("ending", ["end of input", "SIGTERM"])
def test_telegrafs_child_ends_promptly_while_calls_are_stuck(
    twenty_four: Any, tmp_path: Path, ending: str
) -> None:
    settings = telegraf_toml(tmp_path, twenty_four.uri, **WATCHES_OFF)
    said = tmp_path / "said"
    # What a child that was killed before has left in a monitor would be stuck in place of ours.
    free = [guest.has_free_monitor for guest in twenty_four.guests[:3]]
    wait_for("free monitors", lambda: all(is_free() for is_free in free))
    with hung(twenty_four.guests[:3], Story("", [])), said.open("wb") as output:
        child = subprocess.Popen(
            [*telegraf_command(settings), "--interval", "1"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=output,
            start_new_session=True,
        )
        try:
            assert child.stdin is not None
            prefer_session(child.pid)
            wait_for("stuck calls", lambda: re.search("stuck_calls=[1-9]", said.read_text()))
            began = time.monotonic()
            if ending == "SIGTERM":
                child.terminate()
            else:
                child.stdin.close()
            assert child.wait(60) == 0
            took = time.monotonic() - began
        finally:
            child.kill()
            child.wait()
    print(f"Telegraf's child, {ending} while calls are stuck: ended in {took:.2f} s")
