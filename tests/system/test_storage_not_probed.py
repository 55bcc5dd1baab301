"""Storage that the user who samples may not probe: a FUSE mount of root's (bindfs) without
`allow_other`, and agents that run as an ordinary user. While it hangs, statvfs() answers him at
once, with zeros; a guest that is asked for its disks there freezes. Two do, and never all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import pytest

from tests.system.bed import Shape
from tests.system.delivered import (
    BOTH,
    FULL,
    PATIENT,
    Seen,
    lacking,
    prefer,
    watching,
    within,
)
from tests.system.hung_storage import LANES, Story, frozen, kept_by

USER = "nobody"
#: Who goes ahead, and one more that tells whether the guest hangs or its storage.
FROZEN_AT_MOST = 2
#: Rounds at an agent's start that the next tick may cut short, before all is known and connected.
COLD = 2
#: Rounds of a hang after which it is known what hangs: two, and those.
SETTLED = COLD + 2

#: Seconds after which the kernel asks a FUSE mount again for what it knew of a file (attr_timeout
#: is one): in a hang that is younger, a question about a disk may be answered all the same.
FORGOTTEN_S = 1.5


class Place(NamedTuple):
    """A bed with guests on storage that root alone may enter, and how others reach its libvirtd."""

    bed: Any
    uri: str
    mount: str


@pytest.fixture(scope="module")
def place(new_bed: Callable[[], Any]) -> Iterator[Place]:
    with new_bed() as bed:
        prefer(bed)
        bed.folder.chmod(0o755)
        bed.share = bed.storage("share", "--no-allow-other")
        path = bed.share.path
        bed.add(
            *(Shape(f"beside-{number}", busy=number == 0) for number in range(6)),
            *(Shape(f"on-it-{number}", busy=number == 0, folder=path) for number in range(6)),
        )
        uri = f"qemu+unix:///system?socket={bed.folder}/sockets/libvirt-sock-ro"
        yield Place(bed, uri, str(bed.share.path))


def agent(name: str, place: Place, missing: Any) -> Any:
    """An agent of the ordinary user, in a folder that he can reach."""
    folder = place.bed.folder / f"agent-{name}-{len(os.listdir(place.bed.folder))}"
    return watching(name, folder, place.uri, missing, user=USER, **PATIENT)


def all_frozen(story: Story) -> set[str]:
    return set[str]().union(*story.frozen)


@pytest.fixture(scope="module", params=[(name, at) for at in ("start", "middle") for name in BOTH])
def hung(request: Any, place: Place, missing: Any) -> Story:
    """Storage hangs for a while: before an agent is started, or in the middle of its work."""
    name, at = request.param
    names = [guest.name for guest in place.bed.guests]
    story = Story(name, names[:6], names[6:], kept_by(place.bed))
    with contextlib.ExitStack() as stack:
        if at == "middle":
            watched = stack.enter_context(agent(name, place, missing))
            watched.wait_for_rounds(4)
        with frozen(place.bed, story):
            if at == "start":
                time.sleep(FORGOTTEN_S)
                watched = stack.enter_context(agent(name, place, missing))
            watched.wait_for_rounds(9)
        watched.wait_for_rounds(6)
        story.rounds, story.log = watched.rounds(), watched.log
    story.tell(f"unseen, at the {at}")
    return story


def test_the_user_is_told_zeros_by_the_kernel_whether_the_storage_hangs_or_not(
    place: Place,
) -> None:
    ask = f"import os; found = os.statvfs({place.mount!r}); print(found.f_bsize, found.f_blocks)"
    as_user = ["setpriv", "--reuid", USER, "--clear-groups", sys.executable, "-c", ask]
    place.bed.share.freeze()
    try:
        told = subprocess.run(as_user, capture_output=True, text=True, timeout=200, check=True)
    finally:
        place.bed.share.heal()
    assert told.stdout.split() == ["0", "0"]


def test_two_guests_freeze_and_never_all(hung: Story) -> None:
    """In the middle, a call on each worker connection may be under way: these come on top."""
    assert len(hung.frozen) > 10
    met = LANES if hung.rounds[0].time < hung.froze else 0
    assert 0 < len(all_frozen(hung)) <= max(FROZEN_AT_MOST, met + 1)
    unresponsive = {seen.report["unresponsive"] for seen in hung.during()[SETTLED:-1]}
    assert unresponsive == {len(all_frozen(hung))}, "and nobody after them"


def test_guests_beside_it_miss_nothing(hung: Story) -> None:
    assert lacking(hung.rounds[COLD:], hung.beside, FULL) == []


def test_guests_on_it_miss_the_sizes_of_their_disks_only(hung: Story) -> None:
    spared = set(hung.on_it) - all_frozen(hung)
    assert lacking(hung.rounds[COLD:], spared, hung.kept) == []


def test_all_have_their_disks_again_after_it(hung: Story) -> None:
    last = within(hung.rounds, hung.healed)[-1:]
    assert lacking(last, hung.on_it, FULL) == []


def test_each_round_tells_of_the_mount_that_is_not_probed_and_that_it_is_silent(
    hung: Story,
) -> None:
    def told(field: str, rounds: list[Seen]) -> set[float]:
        return {seen.report[field] for seen in rounds}

    assert told("unwatched_storage", hung.rounds[COLD:]) == {1.0}
    assert told("silent_storage", hung.during()[SETTLED:-1]) == {1.0}
    assert told("silent_storage", hung.rounds[-1:]) == {0.0}


def test_the_log_tells_once_what_it_means_and_what_to_do(hung: Story, place: Place) -> None:
    text = f"no permission to probe storage {place.mount}; if it hangs"
    assert hung.log.count(text) == 1
    assert "run as root, or mount with allow_other" in hung.log
    assert hung.log.count("share does not answer") == 1
    assert hung.log.count("share answers again") == 1


@pytest.mark.parametrize("name", BOTH)
def test_while_it_is_well_nobody_misses_anything(name: str, place: Place, missing: Any) -> None:
    with agent(name, place, missing) as watched:
        watched.wait_for_rounds(6)
        rounds = watched.rounds()
    names = [guest.name for guest in place.bed.guests]
    assert lacking(rounds[COLD:], names, FULL) == []
