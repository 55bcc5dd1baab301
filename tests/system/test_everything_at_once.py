"""Twenty guests, all that there is switched on, one guest hung and the storage of four: nobody else
loses anything, and no round is later than its deadline.

A new option is one more line in ``EVERYTHING``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import AbsentSystem, Migration, Shape
from tests.system.bed.fake_agent import FakeAgent
from tests.system.configurations import GROUPS, execd, libvirt_table, python_plugin
from tests.system.delivered import (
    FREE,
    FULL,
    WITHOUT_SIZES,
    Seen,
    Watched,
    WatchedCollectd,
    WatchedTelegraf,
    going_back,
    lacking,
    prefer,
    prefer_session,
    skipped,
    within,
)
from tests.system.hung_storage import LANES, Story, frozen
from tests.system.waiting import wait_for

#: Seconds. The deadline is nine tenths of it.
INTERVAL = 2.0
DEADLINE = 0.9 * INTERVAL

#: By agent: each option that asks for more, on a line of its own.
EVERYTHING = {
    "Telegraf": (
        f"statistics_groups = {GROUPS}",
        'additional_statistics = ["vcpu_mapping"]',
        "kvm_statistics = true",
        "rates = true",
        'labels = ["title", "os_id", "nova_name", "nova_project"]',
        'events = ["lifecycle", "io_error", "watchdog", "block_threshold", "balloon", "agent",'
        ' "device", "metadata"]',
        "soft_deadline = 0.4",
        "jobs = true",
        "host = true",
        "guest_agent = true",
        "guest_agent_interval = 1",
        "pressure = true",
        "interface_details = true",
        "disk_throttle = true",
        'device_tags = ["disk", "interface"]',
        "max_series = 100",
    ),
    "collectd": (
        'ExtraStats "disk vcpu memory domain_state pcpu cpu_util disk_physical disk_allocation'
        ' disk_capacity perf vcpupin disk_err"',
        "Rates true",
        "PersistentNotification true",
        'Events "lifecycle" "io_error" "watchdog" "block_threshold" "balloon" "agent" "device"'
        ' "metadata"',
        "SoftDeadline 0.4",
        "Jobs true",
        "Host true",
        "GuestAgent true",
        "GuestAgentInterval 1",
        "Pressure true",
        "InterfaceDetails true",
        "DiskThrottle true",
        "MaxSeries 100",
    ),
}

#: What Telegraf has of a whole guest beyond ``FULL``, by measurement.
BEYOND = {
    "libvirt_cpu_affinity",
    "libvirt_dirtyrate",
    "domstats_cpu",
    "domstats_vcpu",
    "domstats_disk",
    "domstats_nic",
}


#: How many guests nothing is the matter with, but that the first one is stopped.
PLAIN = 14


@pytest.fixture(scope="module")
def everybody(new_bed: Callable[[], Any], missing: Callable[[str, str], NoReturn]) -> Iterator[Any]:
    """Twenty guests: one that writes to its memory, one with a guest agent, the last four of them
    on storage called ``share``; and another host to migrate one to."""
    with new_bed() as bed, new_bed() as elsewhere:
        prefer(bed)
        bed.share, bed.elsewhere = bed.storage("share"), elsewhere
        try:
            bed.add(
                *(Shape(f"guest-{number}", disks=2, busy=number < 2) for number in range(PLAIN)),
                Shape("agent", agent="relay"),
                Shape("mover", dirty=True),
                *(Shape(f"on-it-{number}", folder=bed.share.path) for number in range(4)),
            )
        except AbsentSystem as absent:
            missing(str(absent), "tests/system/install test")
        yield bed


@contextlib.contextmanager
def agent_that_hangs(bed: Any, guest: Any) -> Iterator[FakeAgent]:
    """The guest's agent greets libvirt and answers nothing more."""
    wait_for("the relay to the guest's agent", guest.relay.exists)
    with FakeAgent(guest.relay, lambda command: None) as agent:
        with bed.connection() as connection:
            domain = connection.lookupByName(guest.name)
            wait_for("the agent", lambda: "state='connected'" in domain.XMLDesc())
        yield agent


def watched_in(agent: str, uri: str, start: Callable[..., Any], folder: Path) -> Watched:
    if agent == "Telegraf":
        settings = folder / "domstats.toml"
        settings.write_text(libvirt_table(uri, *EVERYTHING[agent]))
        telegraf = start(Telegraf, execd(settings), INTERVAL)
        prefer_session(telegraf.pid)
        return WatchedTelegraf(telegraf)
    options = "\n".join((f'Connection "{uri}"', *EVERYTHING[agent]))
    collectd = start(Collectd, python_plugin(options), INTERVAL)
    prefer_session(collectd.pid)
    return WatchedCollectd(collectd)


@contextlib.contextmanager
def hung(guest: Any) -> Iterator[None]:
    """It is healed whatever happens."""
    pid = guest.pid
    try:
        os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("agent", EVERYTHING)
def test_nobody_else_loses_anything_while_a_guest_and_the_storage_of_four_hang(
    everybody: Any, start: Callable[..., Any], tmp_path: Path, agent: str
) -> None:
    names = [guest.name for guest in everybody.guests]
    mover, talker = everybody.guests[PLAIN + 1], everybody.guests[PLAIN]
    story = Story(agent, beside=names[1 : PLAIN + 1], on_it=names[PLAIN + 2 :])
    culprit = everybody.guests[0]
    watched = watched_in(agent, everybody.uri, start, tmp_path)
    wait_for("a round", watched.count)
    watched.wait_for_rounds(2)
    with agent_that_hangs(everybody, talker) as silent:
        with Migration(mover, everybody, everybody.elsewhere) as migration:
            watched.wait_for_rounds(2)
            with frozen(everybody, story), hung(culprit):
                watched.wait_for_rounds(5)
            assert migration.goes_on
        assert "guest-get-users" in silent.asked or "guest-get-fsinfo" in silent.asked
    watched.wait_for_rounds(3)
    story.rounds, story.counters = watched.rounds(), watched.counters()
    frozen_guests: set[str] = set().union(*story.frozen)

    settled = story.rounds[1:]
    spared = set(story.on_it) - frozen_guests
    assert lacking(settled, story.beside, FULL) == []
    assert lacking(settled, spared, WITHOUT_SIZES) == []
    assert lacking(story.rounds, [culprit.name, mover.name], FREE) == []
    assert skipped(settled, INTERVAL) == []
    assert late(story.rounds) == []
    assert going_back(story.counters) == []
    assert len(frozen_guests) <= LANES, "calls under way when the storage hung"
    during = within(story.rounds, story.froze + INTERVAL, story.healed - INTERVAL)
    assert during
    assert {seen.report["unresponsive"] for seen in during} == {1.0 + len(frozen_guests)}
    assert {seen.report["silent_storage"] for seen in during} == {1.0}
    assert lacking(story.rounds[-1:], names, FULL) == []
    assert "Traceback" not in watched.log
    if agent == "Telegraf":
        assert beyond(watched, story) == []


def late(rounds: list[Seen]) -> list[str]:
    """Rounds that took longer than they may; half a second is for a machine that is busy."""
    took = {seen.time: seen.report["duration_s"] for seen in rounds}
    return [f"{at:.3f}: {s:.3f} s" for at, s in took.items() if s > DEADLINE + 0.5]


def beyond(watched: Watched, story: Story) -> list[str]:
    """Which of the other measurements guests beside what hangs lack, in words."""
    since, until = story.froze, story.healed
    found: dict[float, dict[str, set[str]]] = {}
    for point in watched.agent.points():
        if since <= point.time / 1e9 < until and "domain_name" in point.tags:
            of_round = found.setdefault(point.time, {})
            of_round.setdefault(point.tags["domain_name"], set()).add(point.measurement)
    return [
        f"{name}: {sorted(BEYOND - measurements.get(name, set()))}"
        for measurements in found.values()
        for name in story.beside
        if len(measurements) > 1 and not measurements.get(name, set()) >= BEYOND
    ]
