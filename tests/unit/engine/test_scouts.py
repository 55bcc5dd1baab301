"""Who goes ahead on storage that may not be probed, and who waits for whom."""

from __future__ import annotations

import pytest
from domstats.engine.roster import Member
from domstats.engine.scouts import Scouts

POOL = frozenset({"/pool"})
BOTH = frozenset({"/pool", "/other"})
LIES_ON = {"a": POOL, "b": POOL, "c": POOL, "d": BOTH, "e": frozenset({"/other"})}


@pytest.fixture
def scouts():
    return Scouts()


def test_one_goes_ahead_and_all_others_on_its_storage_wait(scouts):
    assert scouts.waiting(["a", "b", "c"], LIES_ON) == {"b", "c"}
    assert scouts.waiting(["a", "b", "c"], LIES_ON) == {"b", "c"}, "it is asked about once more"


def test_who_lies_on_no_such_storage_waits_for_nobody(scouts):
    assert scouts.waiting(["elsewhere", "a", "another"], LIES_ON) == set()


def test_when_it_has_answered_about_its_disks_nobody_waits_any_more(scouts):
    scouts.waiting(["a", "b"], LIES_ON)
    assert scouts.back(["x", "a"], {"a"})
    assert scouts.waiting(["b", "c"], LIES_ON) == set()


def test_one_that_tells_nothing_is_followed_by_another_and_not_by_all(scouts):
    scouts.waiting(["a", "b", "c"], LIES_ON)
    assert scouts.back(["a"], ())
    assert scouts.waiting(["a", "b", "c"], LIES_ON) == {"a", "c"}


def test_one_that_told_nothing_goes_ahead_again_if_there_is_nobody_else(scouts):
    scouts.waiting(["a"], LIES_ON)
    scouts.back(["a"], ())
    assert scouts.waiting(["a"], LIES_ON) == set()


def test_others_calls_change_nothing(scouts):
    scouts.waiting(["a", "b"], LIES_ON)
    assert not scouts.back(["b", "x"], {"b", "x"})
    assert scouts.waiting(["b"], LIES_ON) == {"b"}


def test_who_lies_on_two_such_storages_waits_for_both(scouts):
    assert scouts.waiting(["a", "e", "d"], LIES_ON) == {"d"}
    scouts.back(["a"], {"a"})
    assert scouts.waiting(["d"], LIES_ON) == {"d"}
    scouts.back(["e"], {"e"})
    assert scouts.waiting(["d"], LIES_ON) == set()


def test_one_goes_ahead_for_all_of_its_storages_that_have_nobody(scouts):
    assert scouts.waiting(["d", "a", "e"], LIES_ON) == {"a", "e"}
    scouts.back(["d"], {"d"})
    assert scouts.waiting(["a", "e"], LIES_ON) == set()


def test_those_who_go_ahead_are_asked_first(scouts):
    members = [Member(uuid, uuid, True) for uuid in ("x", "a", "b")]
    assert scouts.first(members) == members
    scouts.waiting(["b", "a"], LIES_ON)
    assert [member.uuid for member in scouts.first(members)] == ["b", "x", "a"]
    assert scouts.are_out
