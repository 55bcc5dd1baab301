"""What events mean to the rounds: who is gone, who is only being migrated, whose XML is read."""

from __future__ import annotations

from domstats.model import DomainEvent, Status
from domstats.selection import Selection, entries

from tests.unit.engine.world import World


def happen(world, number, event, detail="", kind="lifecycle"):
    guest = world.guest(number)
    world.engine.domain_event(
        DomainEvent(world.epoch_ns, guest.uuid, guest.name, kind, event, detail), world.now
    )
    world._carry_out()


def statuses(sample):
    return {domain.name: domain.status for domain in sample.domains}


def destroy(world, number):
    world.destroy(number)
    happen(world, number, "stopped", "destroyed")


def test_a_domain_that_stops_is_gone_at_once_in_the_round_under_way():
    world = World(8)
    world.round()
    world.hang(3)
    asked = world.query()
    world.after(0.05, lambda: destroy(world, 3))
    world.run(world.now + 9.5)
    sample = world.samples[asked]
    assert statuses(sample).pop("vm3") is Status.GONE
    assert sample.round.fresh == 7
    assert sample.round.duration_s < 1.0
    assert not world.log


def test_a_hung_domain_that_is_destroyed_leaves_nobody_in_question():
    world = World(8)
    world.round()
    world.hang(3)
    assert statuses(world.round())["vm3"] is Status.UNRESPONSIVE
    destroy(world, 3)
    assert world.engine.roster.alert_since is None
    (change,) = world.round().changes
    assert (change.name, change.responsive, change.reason) == ("vm3", True, "it has ended")
    assert world.round().round.fresh == 7


def test_a_domain_that_is_destroyed_and_started_again_is_sampled_as_ever():
    world = World(4)
    world.round()
    destroy(world, 2)
    world.start_again(2)
    happen(world, 2, "started", "booted")
    assert set(statuses(world.round()).values()) == {Status.FRESH}


def test_a_domain_that_is_handed_over_is_not_asked_and_not_taken_for_hung():
    world = World(6)
    world.round()
    happen(world, 2, "suspended", "migrated")
    world.hang(2)
    sample = world.round()
    moving = {domain.name: domain for domain in sample.domains}["vm2"]
    assert (moving.status, moving.reason) == (Status.PARTIAL, "it is being migrated")
    assert "cpu.time" in moving.stats
    assert (sample.round.stuck_calls, sample.changes, world.log) == (0, (), [])
    world.heal(2)
    happen(world, 2, "resumed", "migrated")
    assert set(statuses(world.round()).values()) == {Status.FRESH}


def test_a_monitor_that_is_busy_with_a_migration_is_asked_later_and_not_taken_for_hung():
    world = World(6)
    world.round()
    happen(world, 2, "iteration", kind="migration")
    world.hang(2)
    for _ in range(2):
        sample = world.round()
        assert statuses(sample)["vm2"] is Status.PARTIAL
        assert sample.round.fresh == 5
        assert (sample.changes, world.log) == ((), [])
        happen(world, 2, "iteration", kind="migration")
    assert world.held <= 1
    world.heal(2)
    world.round()
    assert set(statuses(world.round()).values()) == {Status.FRESH}


def test_a_migration_of_which_nothing_is_heard_any_more_counts_as_over():
    world = World(3)
    world.round()
    happen(world, 1, "suspended", "migrated")
    samples = world.rounds(9)
    assert statuses(samples[0])["vm1"] is Status.PARTIAL
    assert statuses(samples[-1])["vm1"] is Status.FRESH


def test_the_xml_is_read_when_an_event_says_that_it_changed_and_not_else():
    world = World(5)
    world.rounds(3)
    before = dict(world.described)
    for kind, event in (("metadata", "changed"), ("device", "added"), ("lifecycle", "defined")):
        happen(world, 2, event, kind=kind)
        world.run(world.now + 1)
    world.rounds(2)
    read = {uuid: times - before[uuid] for uuid, times in world.described.items()}
    assert {uuid for uuid, times in read.items() if times} == {"u2"}
    assert read["u2"] == 3


def test_an_event_during_the_reading_of_the_xml_has_it_read_once_more():
    world = World(2)
    world.round()
    before = world.described["u1"]
    for _ in range(50):
        happen(world, 1, "changed", kind="metadata")
    world.run(world.now + 5)
    assert world.described["u1"] - before == 2


def test_events_come_with_a_sample_of_all_domains_only_and_once():
    world = World(3, events=("lifecycle",))
    world.round()
    happen(world, 1, "suspended", "paused")
    assert world.answer(domains=["vm1"]).events == ()
    (event,) = world.round().events
    assert (event.name, event.event) == ("vm1", "suspended")
    assert world.round().events == ()


def test_events_of_domains_that_are_not_selected_are_not_told():
    selection = Selection(domains=entries(["vm1"], ignored=True))
    world = World(3, events=("lifecycle",), selection=selection)
    world.round()
    happen(world, 1, "suspended", "paused")
    assert world.round().events == ()


def test_a_hypervisor_that_cannot_be_asked_does_not_keep_events_back():
    world = World(1, events=("lifecycle",))
    world.round()
    happen(world, 0, "crashed", "panicked")
    world.list_error = "gone"
    assert [event.event for event in world.round().events] == ["crashed"]
