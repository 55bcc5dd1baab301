"""libvirtd frozen, killed and restarted, again and again, under Telegraf and collectd at once."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple

import pytest

from tests.system.bed import processes
from tests.system.bed.shape import Shape
from tests.system.delivered import BOTH, FULL, Seen, going_back, lacking, prefer, watching, within
from tests.system.waiting import wait_for

#: The story is told before the first test, and takes two minutes.
pytestmark = pytest.mark.timeout(400)

LONG_FREEZE_S = 40.0
FREEZE_S = 1.3
INTERVAL_S = 1.0
EVENTS = 20
#: Workers are made when they are needed first, each with a connection, and kept: most in the first
#: half of the events, and on a busy machine a few later. What leaked at each event would be many.
MADE_LATER = 3
#: A connection's socket, and what wakes who waits at it.
DESCRIPTORS = 2


class Cost(NamedTuple):
    """What the sampling process holds."""

    threads: int
    descriptors: int


class Outage(NamedTuple):
    """An event, from the moment in which libvirtd was gone to that of its return."""

    kind: str
    since: float
    until: float


@dataclass
class Story:
    """What befell libvirtd, and what each agent delivered meanwhile."""

    guests: list[str]
    outages: list[Outage] = field(default_factory=list)
    costs: dict[str, list[Cost]] = field(default_factory=lambda: {name: [] for name in BOTH})
    rounds: dict[str, list[Seen]] = field(default_factory=dict)
    backwards: dict[str, list[str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    pids: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in BOTH})


def _freeze(libvirtd: Any, seconds: float) -> None:
    libvirtd.freeze()
    try:
        time.sleep(seconds)  # the event itself
    finally:
        libvirtd.heal()


def _kill(libvirtd: Any) -> None:
    libvirtd.kill()
    libvirtd.start()


def _restart(libvirtd: Any) -> None:
    pid = libvirtd.pid
    os.kill(pid, signal.SIGTERM)
    wait_for("end of libvirtd", lambda: processes.state(pid) in (None, "Z"))
    libvirtd.start()


def _cost(pid: int) -> Cost:
    return Cost(len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd")))


EVENT: dict[str, Callable[[Any], None]] = {
    "frozen for long": lambda libvirtd: _freeze(libvirtd, LONG_FREEZE_S),
    "frozen": lambda libvirtd: _freeze(libvirtd, FREEZE_S),
    "killed": _kill,
    "restarted": _restart,
}
STORY = ["frozen for long", *("killed", "frozen", "restarted") * 7][:EVENTS]


@pytest.fixture(scope="module")
def story(new_bed: Any, tmp_path_factory: Any, missing: Any) -> Story:
    with contextlib.ExitStack() as stack:
        bed = stack.enter_context(new_bed())
        prefer(bed)
        bed.add(*(Shape(f"guest-{number}", busy=number == 0) for number in range(6)))
        story = Story([guest.name for guest in bed.guests])
        agents = {
            name: stack.enter_context(
                watching(name, tmp_path_factory.mktemp(f"libvirtd-{name}"), bed.uri, missing)
            )
            for name in BOTH
        }
        for watched in agents.values():
            watched.wait_for_rounds(3)
        for kind in STORY:
            since = time.time()
            EVENT[kind](bed.libvirtd)
            story.outages.append(Outage(kind, since, time.time()))
            for name, watched in agents.items():
                watched.wait_for_round_after(story.outages[-1].until + INTERVAL_S)
                story.pids[name].add(watched.sampling_pid())
                story.costs[name].append(_cost(watched.sampling_pid()))
        for name, watched in agents.items():
            watched.wait_for_rounds(6)  # as many as the last return may need, and one cut short
            story.rounds[name], story.logs[name] = watched.rounds(), watched.log
            story.backwards[name] = going_back(watched.counters())
    for name in BOTH:
        took = []
        for outage in story.outages:
            after = within(story.rounds[name], outage.until)
            took.append(_rounds_until_back(after, story.guests))
        print(
            f"{name}: threads and descriptors after the first event {story.costs[name][0]},"
            f" after {EVENTS} {story.costs[name][-1]}, at most {max(story.costs[name])};"
            f" rounds from each return to a complete one {took}"
        )
    return story


def _rounds_until_back(rounds: list[Seen], guests: list[str]) -> int:
    """The number of the first complete round, from 1 on; 0 if there is none."""
    complete = (
        number for number, seen in enumerate(rounds, 1) if not lacking([seen], guests, FULL)
    )
    return next(complete, 0)


@pytest.mark.parametrize("agent", BOTH)
def test_samples_are_back_within_two_intervals_of_libvirtds_return(
    story: Story, agent: str
) -> None:
    assert len(story.outages) == EVENTS
    took = {}
    for outage in story.outages:
        after = within(story.rounds[agent], outage.until)
        rounds = took[outage] = _rounds_until_back(after, story.guests)
        first = [(seen.time, len(seen.guests), seen.report) for seen in after[:5]]
        assert 1 <= rounds <= 5, (outage, first)
    # A machine that others use too may be slow for a moment, but not each time.
    assert sum(rounds <= 2 for rounds in took.values()) >= 0.9 * EVENTS, took
    assert story.backwards[agent] == []


@pytest.mark.parametrize("agent", BOTH)
def test_rounds_go_on_and_say_that_libvirtd_is_away(story: Story, agent: str) -> None:
    outage = story.outages[0]
    during = within(story.rounds[agent], outage.since + 1, outage.until - 1)
    assert len(during) > LONG_FREEZE_S / 2
    assert [seen.report["connected"] for seen in during] == [0] * len(during)


@pytest.mark.parametrize("agent", BOTH)
def test_no_thread_and_no_descriptor_more_after_twenty_outages(story: Story, agent: str) -> None:
    first_half, last = story.costs[agent][: EVENTS // 2], story.costs[agent][-1]
    assert last.threads <= max(cost.threads for cost in first_half) + MADE_LATER
    most = max(cost.descriptors for cost in first_half)
    assert last.descriptors <= most + DESCRIPTORS * MADE_LATER


@pytest.mark.parametrize("agent", BOTH)
def test_nothing_is_raised_into_the_agent(story: Story, agent: str) -> None:
    assert len(story.pids[agent]) == 1
    log = story.logs[agent]
    signs = ("Traceback", "unexpected", "Unhandled python exception", "read-function of plugin")
    assert [line for line in log.splitlines() if any(sign in line for sign in signs)] == []
