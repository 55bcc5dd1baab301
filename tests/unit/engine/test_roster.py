"""Who answers, who hangs, who is suspected: decisions, by the time that is passed in."""

from __future__ import annotations

from domstats.engine.roster import Cause, Event, Roster, Standing


def roster(*uuids, storage=()):
    made = Roster()
    made.listed([(uuid, f"name of {uuid}", True) for uuid in uuids])
    for uuid in uuids:
        made.describe(uuid, tuple(storage))
        made.answered(made.members[uuid], 0.0, 1.0, True)
    return made


def hang(made, uuid, call, now):
    made.call_stuck(call, now - 0.5, uuid)
    made.quarantine(uuid, now, Cause.CALL, "its monitor does not answer")


def events(made):
    return [(turn.event, turn.uuid) for turn in made.take_turns()]


def test_a_domain_is_responsive_until_it_hangs_and_again_after_an_answer():
    made = roster("a")
    hang(made, "a", 1, 10.0)
    assert made.members["a"].standing is Standing.QUARANTINED
    made.release(made.call_returned(1))
    assert made.members["a"].standing is Standing.PROBATION
    made.answered(made.members["a"], 20.0, 20.1, True)
    assert made.members["a"].standing is Standing.RESPONSIVE
    assert events(made) == [(Event.HUNG, "a"), (Event.BACK, "a")]


def test_a_hang_on_probation_is_the_same_hang():
    made = roster("a")
    hang(made, "a", 1, 10.0)
    made.release(made.call_returned(1))
    hang(made, "a", 2, 20.0)
    assert events(made) == [(Event.HUNG, "a")]
    assert made.members["a"].since == 10.0


def test_a_culprit_is_released_only_when_no_call_is_stuck_in_it():
    made = roster("a")
    hang(made, "a", 1, 10.0)
    hang(made, "a", 2, 11.0)
    assert made.call_returned(1) is None
    assert made.call_returned(2) == "a"


def test_a_call_that_was_never_stuck_names_nobody():
    assert roster("a").call_returned(99) is None


def test_during_an_alert_those_who_answered_since_are_trusted_and_the_others_are_not():
    made = roster("a", "b", "c")
    hang(made, "a", 1, 10.0)
    made.answered(made.members["b"], 10.0, 10.2, False)
    assert [made.is_trusted(uuid) for uuid in "abc"] == [False, True, False]
    made.release(made.call_returned(1))
    assert made.is_trusted("c")
    assert made.alert_since is None


def test_domains_that_are_not_started_are_in_no_question():
    made = roster("a")
    made.listed([("a", "a", True), ("b", "b", False)])
    hang(made, "a", 1, 10.0)
    assert made.is_trusted("b")


def test_a_domain_that_nobody_knows_is_not_trusted_and_does_no_harm():
    made = roster("a")
    assert not made.is_trusted("x")
    assert not made.is_suspected("x")
    made.quarantine("x", 1.0, Cause.CALL, "")
    made.release("x")
    made.describe("x", ("pool",))
    assert made.probe_order("x") > made.probe_order("a")
    assert events(made) == []


def test_the_likelier_to_answer_come_first():
    made = roster("a", "b", "c", "d", storage=())
    made.describe("d", ("pool",))
    made.describe("a", ("pool",))
    made.answered(made.members["b"], 5.0, 5.0, True)
    hang(made, "a", 1, 10.0)
    assert sorted("bcd", key=made.probe_order) == ["b", "c", "d"]


def test_who_waited_longest_for_an_answer_comes_first():
    made = roster("a", "b")
    made.listed([("a", "a", True), ("b", "b", True), ("new", "new", True)])
    made.answered(made.members["a"], 5.0, 5.0, True)
    assert [member.uuid for member in made.by_answer(["a", "b", "new"])] == ["new", "b", "a"]


def test_a_late_answer_does_not_make_a_domain_look_as_if_it_had_answered_less():
    made = roster("a")
    made.answered(made.members["a"], 50.0, 50.0, True)
    made.answered(made.members["a"], 10.0, 10.0, True)
    assert made.members["a"].answered == 50.0


def test_a_hung_domain_that_is_not_listed_any_more_has_ended():
    made = roster("a", "b")
    hang(made, "a", 1, 10.0)
    made.take_turns()
    made.listed([("b", "b", True)])
    assert events(made) == [(Event.ENDED, "a")]
    assert "a" not in made.members


def test_a_hung_domain_of_which_a_call_of_ours_remains_keeps_its_standing_when_it_stops():
    made = roster("a")
    hang(made, "a", 1, 10.0)
    made.listed([("a", "a", False)])
    assert made.members["a"].standing is Standing.QUARANTINED


def test_a_domain_started_anew_has_a_clean_slate_and_lies_where_it_lay():
    made = roster("a", storage=["pool"])
    made.quarantine("a", 10.0, Cause.PROCESS, "its process is stopped")
    made.listed([("a", "a", False)])
    assert made.members["a"].standing is Standing.RESPONSIVE
    assert made.members["a"].storages == ("pool",)


def test_a_domain_keeps_its_standing_when_it_is_renamed():
    made = roster("a")
    hang(made, "a", 1, 10.0)
    made.listed([("a", "new name", True)])
    assert made.members["a"].name == "new name"
    assert made.quarantined(Cause.CALL) == ["a"]


# --- storage


def suspicious():
    made = roster("a", "b", "c", "d", "e", storage=["pool"])
    hang(made, "a", 1, 10.0)
    hang(made, "b", 2, 10.0)
    return made


def test_one_culprit_makes_no_storage_suspect():
    made = roster("a", "b", storage=["pool"])
    hang(made, "a", 1, 10.0)
    assert not made.is_suspected("b")


def test_two_culprits_make_the_others_on_their_storage_suspect_and_nobody_elsewhere():
    made = suspicious()
    made.listed([(uuid, uuid, True) for uuid in "abcdex"])
    made.describe("x", ("other pool",))
    assert made.is_suspected("c")
    assert not made.is_suspected("x")


def test_one_that_answered_about_its_disks_since_the_alert_is_not_suspected():
    made = suspicious()
    made.answered(made.members["c"], 9.0, 10.2, True)
    assert not made.is_suspected("c")
    made.answered(made.members["d"], 9.0, 10.2, False)
    assert made.is_suspected("d")


def test_while_calls_hang_nobody_is_asked_about_disks_of_which_it_is_not_known_where_they_lie():
    made = roster("a", "b")
    made.listed([(uuid, uuid, True) for uuid in "abx"])
    assert not made.is_suspected("x")
    hang(made, "a", 1, 10.0)
    assert made.is_suspected("x")
    assert not made.is_suspected("b")
    made.describe("x", ())
    assert not made.is_suspected("x")


def test_a_canary_that_hangs_is_nothing_against_those_who_answered_since_their_storage_is_suspect():
    made = suspicious()
    made.answered(made.members["d"], 11.0, 11.1, False)
    hang(made, "c", 3, 60.0)  # a new outbreak, long after the first one
    assert [made.is_trusted(uuid) for uuid in "de"] == [True, False]


def test_one_canary_is_sent_for_a_suspected_storage():
    made = suspicious()
    made.send_canaries("abcde")
    assert [made.is_canary(uuid) for uuid in "abcde"] == [False, False, True, False, False]
    assert not made.is_suspected("c")
    assert made.is_suspected("d")


def test_a_canary_that_answers_clears_its_storage():
    made = suspicious()
    made.send_canaries("abcde")
    made.answered(made.members["c"], 20.0, 20.1, True)
    assert not made.is_suspected("d")


def test_an_answer_to_a_question_from_before_the_hang_clears_nothing():
    made = suspicious()
    made.answered(made.members["c"], 9.0, 20.0, True)
    assert made.is_suspected("d")


def test_a_canary_that_hangs_confirms_and_is_the_last_one_until_a_culprit_is_back():
    made = suspicious()
    made.send_canaries("abcde")
    hang(made, "c", 3, 20.0)
    made.send_canaries("abcde")
    assert not any(made.is_canary(uuid) for uuid in "abcde")
    made.release(made.call_returned(1))
    made.send_canaries("abcde")
    assert made.is_canary("d")


def test_a_domain_that_is_not_started_is_no_canary():
    made = suspicious()
    made.listed([(uuid, uuid, uuid != "c") for uuid in "abcde"])
    made.send_canaries("abcde")
    assert not made.is_canary("c")
    assert made.is_canary("d")


def test_culprits_that_are_well_or_ended_are_no_evidence_any_more():
    made = suspicious()
    made.release(made.call_returned(1))
    made.answered(made.members["a"], 20.0, 20.1, False)
    assert not made.is_suspected("c")
    made = suspicious()
    made.listed([(uuid, uuid, True) for uuid in "acde"])
    assert not made.is_suspected("c")


def test_culprits_count_though_it_is_learnt_later_where_their_disks_lie():
    made = roster("a", "b", "c")
    hang(made, "a", 1, 10.0)
    hang(made, "b", 2, 10.0)
    for uuid in "abc":
        made.describe(uuid, ("pool",))
    assert made.is_suspected("c")


def test_culprits_whose_disks_were_moved_are_evidence_against_the_new_place_alone():
    made = suspicious()
    made.describe("a", ("new pool",))
    assert not made.is_suspected("c")


def test_domains_with_stopped_processes_say_nothing_about_their_storage():
    made = roster("a", "b", "c", storage=["pool"])
    for uuid in "ab":
        made.quarantine(uuid, 10.0, Cause.PROCESS, "its process is stopped")
    assert not made.is_suspected("c")


ON_FUSE = {"a": frozenset({"/fuse"}), "b": frozenset({"/fuse"}), "c": frozenset({"/fuse"})}


def test_on_a_mount_that_may_not_be_probed_the_first_culprit_makes_it_suspect():
    made = roster("a", "b", "c", "elsewhere")
    made.lie_on(ON_FUSE)
    hang(made, "a", 1, 10.0)
    assert [uuid for uuid in made.members if made.is_suspected(uuid)] == ["a", "b", "c"]
    made.send_canaries(["b", "c"])
    assert not made.is_suspected("b")
    assert made.is_suspected("c")
    hang(made, "b", 2, 20.0)
    assert made.confirmed == {"/fuse"}
    made.send_canaries(["c"])
    assert made.is_suspected("c")


def test_a_mount_found_not_to_be_probed_after_the_hang_is_suspect_too_and_may_be_cleared():
    made = roster("a", "b", "c")
    hang(made, "a", 1, 10.0)
    assert not made.is_suspected("b")
    made.lie_on(ON_FUSE)
    assert made.is_suspected("b")
    made.lie_on({})
    assert not made.is_suspected("b")
    assert made.members["a"].storages == ()


def test_what_the_xml_says_of_storage_stays_beside_the_mounts():
    made = roster("a", storage=["rbd:pool"])
    made.lie_on(ON_FUSE)
    assert made.members["a"].storages == ("rbd:pool", "/fuse")
    made.stopped("a")
    made.describe("a", ("rbd:other",))
    assert made.members["a"].storages == ("rbd:other", "/fuse")
