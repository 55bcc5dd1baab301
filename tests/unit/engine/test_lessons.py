"""What an answer teaches of the domains in it, late or not."""

from __future__ import annotations

from typing import Any

from domstats.drivers import BLOCK
from domstats.engine.disk_sizes import DiskSizes
from domstats.engine.idle import IdleGroups
from domstats.engine.lessons import Lessons
from domstats.engine.pace import Pace
from domstats.engine.roster import Cause, Roster, Standing
from domstats.engine.rounds import Call, Kind
from domstats.engine.xml_book import XmlBook
from domstats.model import MONITOR_FREE_GROUPS

GROUPS = frozenset({"state", "balloon", BLOCK})
WHOLE = {"state.state": 1, "balloon.rss": 1, "block.count": 0}
#: As libvirt answers with NOWAIT while the monitor is busy.
WITHOUT_MONITOR = {"state.state": 1, "block.count": 0}


class School:
    def __init__(self) -> None:
        self.roster, self.pace = Roster(), Pace(None)
        self.roster.listed([("a", "vm a", True), ("b", "vm b", True), ("off", "vm off", False)])
        self.xml = XmlBook(is_wanted=True)
        idle, sizes = IdleGroups(0.0, has_info=False), DiskSizes(0)
        self.lessons = Lessons(MONITOR_FREE_GROUPS, self.pace, self.roster, self.xml, idle, sizes)

    def learn(self, *records: tuple[str, dict[str, Any]], now: float, **call: Any) -> set[str]:
        uuids = tuple(uuid for uuid, _ in records)
        made = Call(1, Kind.MONITOR, uuids, GROUPS, made=10.0, query=1, **call)
        return self.lessons.learn_from(made, records, now)


def test_who_answers_with_what_needs_the_monitor_is_complete_and_known_to_answer() -> None:
    school = School()
    assert school.learn(("a", WHOLE), ("b", WITHOUT_MONITOR), now=10.2) == {"a"}
    assert school.roster.members["a"].answered == 10.2
    assert school.roster.members["a"].answered_block == 10.2
    assert school.roster.members["b"].answered < 10.0


def test_who_has_no_monitor_to_be_busy_is_complete_with_any_answer() -> None:
    school = School()
    assert school.learn(("off", WITHOUT_MONITOR), now=10.2) == {"off"}
    assert school.roster.members["off"].answered_block < 10.0
    school.lessons.has_monitors = False  # another driver than QEMU's
    assert school.learn(("b", WITHOUT_MONITOR), now=10.2) == {"b"}


def test_who_is_no_more_teaches_nothing() -> None:
    assert School().learn(("gone", WHOLE), now=10.2) == set()


def test_a_late_answer_came_after_a_wait_for_another_domain() -> None:
    school = School()
    school.learn(("a", WHOLE), now=70.0, stuck=True)
    assert school.roster.members["a"].answered == 10.0  # when it was asked, and no later


def test_a_late_answer_does_not_bring_back_one_that_hangs() -> None:
    school = School()
    school.roster.quarantine("a", 11.0, Cause.CALL, "its monitor does not answer")
    assert school.learn(("a", WHOLE), now=70.0, over=True) == {"a"}
    assert school.roster.members["a"].standing is Standing.QUARANTINED
    school.learn(("a", WHOLE), now=10.2)
    assert school.roster.members["a"].standing is Standing.RESPONSIVE


def test_how_long_answers_take_is_learnt_but_not_from_a_call_that_was_stuck() -> None:
    school = School()
    before = school.pace.per_domain_s
    school.learn(("a", WHOLE), now=60.0, stuck=True)
    assert school.pace.per_domain_s == before
    school.learn(("a", WHOLE), now=10.5)
    assert school.pace.per_domain_s != before


def test_devices_that_are_new_have_the_xml_read_again() -> None:
    school = School()
    for name in ("vnet0", "vnet1"):
        school.learn(("a", {**WHOLE, "net.count": 1, "net.0.name": name}), now=10.2)
    assert school.xml.next_batch(9, ["a"]) == ["a"]
