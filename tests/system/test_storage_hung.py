"""Storage that hangs (bindfs, stopped) under some guests: the others lose nothing, and those on it
lose their disks' sizes only and are not frozen by our asking. In Telegraf and in collectd."""

import contextlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from tests.system.bed.shape import Shape
from tests.system.delivered import (
    BOTH,
    FULL,
    PATIENT,
    going_back,
    lacking,
    prefer,
    skipped,
    watching,
    within,
)
from tests.system.hung_storage import LANES, Story, frozen, kept_by


@pytest.fixture(scope="module")
def twelve(new_bed: Callable[[], Any]) -> Iterator[Any]:
    """A bed of twelve guests, six of them on storage called ``share``."""
    with new_bed() as bed:
        prefer(bed)
        share = bed.storage("share")
        bed.add(
            *(Shape(f"beside-{number}", busy=number == 0) for number in range(6)),
            *(Shape(f"on-it-{number}", busy=number == 0, folder=share.path) for number in range(6)),
        )
        bed.share = share
        yield bed


def _story(agent: str, bed: Any) -> Story:
    names = [guest.name for guest in bed.guests]
    return Story(agent, names[:6], names[6:], kept_by(bed))


def _read(watched: Any, story: Story) -> None:
    story.rounds, story.counters = watched.rounds(), watched.counters()
    story.log = watched.log


@pytest.fixture(scope="module", params=BOTH)
def hung_in_the_middle(request: Any, twelve: Any, tmp_path_factory: Any, missing: Any) -> Story:
    story = _story(request.param, twelve)
    folder = tmp_path_factory.mktemp("storage")
    with watching(request.param, folder, twelve.uri, missing, **PATIENT) as watched:
        watched.wait_for_rounds(5)
        with frozen(twelve, story):
            watched.wait_for_rounds(9)
        watched.wait_for_rounds(5)
        _read(watched, story)
    story.tell("in the middle")
    return story


@pytest.fixture(scope="module", params=BOTH)
def hung_at_the_start(request: Any, twelve: Any, tmp_path_factory: Any, missing: Any) -> Story:
    story = _story(request.param, twelve)
    folder = tmp_path_factory.mktemp("storage-at-start")
    with contextlib.ExitStack() as stack:
        with frozen(twelve, story):
            watched = stack.enter_context(
                watching(request.param, folder, twelve.uri, missing, **PATIENT)
            )
            watched.wait_for_rounds(5)
        watched.wait_for_rounds(4)
        _read(watched, story)
    story.tell("at the start")
    return story


def test_guests_beside_hung_storage_miss_nothing(hung_in_the_middle: Story) -> None:
    assert lacking(hung_in_the_middle.rounds, hung_in_the_middle.beside, FULL) == []
    assert skipped(hung_in_the_middle.rounds[1:]) == []


def test_guests_on_hung_storage_miss_the_sizes_of_their_disks_only(
    hung_in_the_middle: Story,
) -> None:
    story = hung_in_the_middle
    spared = set(story.on_it).difference(*story.frozen)
    assert lacking(story.rounds, spared, story.kept) == []
    assert going_back(story.counters) == []
    for seen in story.during()[1:]:
        if seen.time + seen.report["duration_s"] < story.healed:  # else it was back in its course
            assert not any("sizes" in seen.guests[name] for name in story.on_it)
            assert seen.report["partial"] == len(spared)


def test_disks_are_the_same_series_before_while_and_after_their_storage_hung(
    hung_in_the_middle: Story,
) -> None:
    story = hung_in_the_middle
    whole = len(within(story.rounds, 0, story.froze)), len(within(story.rounds, story.healed))
    assert min(whole) > 2
    spared = set(story.on_it).difference(*story.frozen)
    of_disks = {
        name: values
        for name, values in story.counters.items()
        if ("libvirt_block" in name or "disk_octets" in name)
        and any(guest in name for guest in spared)
    }
    assert len(of_disks) == 2 * len(spared)
    last = story.rounds[-1].time + 0.5  # the counters were read a moment later than the rounds
    for name, values in of_disks.items():
        known = [at for at, _ in values if at < last]
        expected = len(story.rounds) if "block" in story.kept else sum(whole)
        assert len(known) >= expected, f"{name} is not in each round"


def test_at_most_a_call_under_way_freezes_a_guest(hung_in_the_middle: Story) -> None:
    looks = hung_in_the_middle.frozen
    assert len(looks) > 20
    met = set[str]().union(*looks[:4])
    assert len(met) <= LANES
    assert set[str]().union(*looks) == met


def test_disks_are_back_within_two_rounds_of_their_storage(hung_in_the_middle: Story) -> None:
    after = within(hung_in_the_middle.rounds, hung_in_the_middle.healed)
    assert len(after) > 2
    assert lacking(after[1:], hung_in_the_middle.on_it, FULL) == []
    assert going_back(hung_in_the_middle.counters) == []


def test_hung_storage_is_counted_in_each_round_while_it_hangs(hung_in_the_middle: Story) -> None:
    during = {seen.report["silent_storage"] for seen in hung_in_the_middle.during()[1:-1]}
    assert during == {1.0}
    assert hung_in_the_middle.rounds[-1].report["silent_storage"] == 0
    assert {seen.report["unwatched_storage"] for seen in hung_in_the_middle.rounds} == {0.0}


def test_hung_storage_is_one_line_in_the_log(hung_in_the_middle: Story) -> None:
    assert hung_in_the_middle.log.count("share does not answer") == 1
    assert hung_in_the_middle.log.count("share answers again") == 1


def test_an_agent_started_on_hung_storage_freezes_nobody(hung_at_the_start: Story) -> None:
    story = hung_at_the_start
    assert set[str]().union(*story.frozen) == set()
    assert lacking(story.rounds, story.beside, FULL) == []
    assert lacking(story.rounds, story.on_it, story.kept) == []
    assert lacking(within(story.rounds, story.healed)[1:], story.on_it, FULL) == []
