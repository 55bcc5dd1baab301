"""The classic calls, under the bulk answer's keys."""

from __future__ import annotations

import pytest
from domstats.domain_xml.disk_counters import Disk
from domstats.hypervisor import classic
from domstats.hypervisor.classic import (
    DeviceCache,
    add_classic,
    add_disk_counters,
    add_disk_sizes,
    complete,
)
from domstats.model import CLASSIC, GROUPS, Stats

from tests.unit.hypervisor.stub_libvirt import COUNTERS, StubDomain, StubLibvirt

ALL = frozenset(GROUPS)
XML = """<domain><devices>
<disk><source file='/a'/><target dev='vda'/></disk>
<disk device='cdrom'><target dev='sda'/></disk>
<interface><target dev='vnet0'/></interface>
</devices></domain>"""


@pytest.fixture
def stub(monkeypatch):
    made = StubLibvirt()
    monkeypatch.setattr(classic, "libvirt", made)
    codes = ("NO_SUPPORT", "OPERATION_INVALID", "OPERATION_UNSUPPORTED")
    unavailable = frozenset(getattr(made, f"VIR_ERR_{code}") for code in codes)
    monkeypatch.setattr(classic, "_NOT_TO_BE_HAD", unavailable)
    monkeypatch.setattr(classic, "_NOT_TOLD", unavailable | {made.VIR_ERR_OPERATION_TIMEOUT})
    return made


def completed(domain, groups=ALL, **stats):
    made = {"state.state": 1, **stats}
    complete(domain, made, frozenset(groups), DeviceCache())
    return made


def test_every_group_that_the_driver_did_not_send_is_filled_in(stub):
    stats = completed(StubDomain("u1", "web", XMLDesc=XML))
    assert stats == {
        "state.state": 1,
        "cpu.time": 80,
        "cpu.user": 30,
        "cpu.system": 20,
        "balloon.maximum": 2048,
        "balloon.current": 1024,
        "balloon.rss": 900,
        "vcpu.current": 2,
        "vcpu.0.state": 1,
        "vcpu.0.time": 40,
        "vcpu.1.state": 1,
        "vcpu.1.time": 41,
        "net.count": 1,
        "net.0.name": "vnet0",
        "net.0.rx.bytes": 1,
        "net.0.rx.pkts": 2,
        "net.0.rx.errs": 3,
        "net.0.rx.drop": 4,
        "net.0.tx.bytes": 5,
        "net.0.tx.pkts": 6,
        "net.0.tx.errs": 7,
        "block.count": 2,
        "block.0.name": "vda",
        "block.0.path": "/a",
        "block.0.rd.reqs": 1,
        "block.0.rd.bytes": 2,
        "block.0.wr.reqs": 3,
        "block.0.wr.bytes": 4,
        "block.0.capacity": 100,
        "block.0.allocation": 90,
        "block.0.physical": 95,
        "block.1.name": "sda",
        "block.1.rd.reqs": 1,
        "block.1.rd.bytes": 2,
        "block.1.wr.reqs": 3,
        "block.1.wr.bytes": 4,
    }


def test_what_the_driver_sent_is_not_asked_for_again(stub):
    domain = StubDomain("u1", "web", XMLDesc=XML)
    stats = completed(domain, {"cpu_total", "balloon"}, **{"cpu.time": 5})
    assert stats["cpu.time"] == 5
    assert "getCPUStats" not in domain.calls


def test_groups_that_nobody_wants_are_not_asked_for(stub):
    domain = StubDomain("u1", "web", XMLDesc=XML)
    completed(domain, {"cpu_total"})
    assert domain.calls == ["getCPUStats"]


def test_a_domain_that_does_not_run_is_asked_for_nothing_more(stub):
    domain = StubDomain("u1", "web")
    stats: Stats = {"state.state": 5}
    complete(domain, stats, ALL, DeviceCache())
    assert stats == {"state.state": 5}
    assert domain.calls == []


def test_a_group_that_the_driver_does_not_have_stays_missing_and_the_others_come(stub):
    domain = StubDomain("u1", "web", XMLDesc=XML, memoryStats=stub.error("VIR_ERR_NO_SUPPORT"))
    stats = completed(domain)
    assert "balloon.rss" not in stats
    assert {"cpu.time", "vcpu.0.time", "net.0.rx.bytes", "block.0.rd.bytes"} <= stats.keys()


def test_an_error_that_means_something_else_is_passed_on(stub):
    domain = StubDomain("u1", "web", getCPUStats=stub.error("VIR_ERR_NO_DOMAIN"))
    with pytest.raises(stub.libvirtError):
        completed(domain)


def test_the_devices_are_read_once_a_minute_and_again_when_one_has_gone(stub):
    now = [0.0]
    devices = DeviceCache(clock=lambda: now[0])
    domain = StubDomain("u1", "web", XMLDesc=XML)

    def reads():
        complete(domain, {"state.state": 1}, frozenset({"interface"}), devices)
        return domain.calls.count("XMLDesc")

    assert [reads(), reads()] == [1, 1]
    now[0] = 61.0
    assert reads() == 2
    domain.answers["interfaceStats"] = stub.error("VIR_ERR_OPERATION_INVALID")
    assert [reads(), reads()] == [2, 3]


def test_xml_that_cannot_be_read_means_no_devices(stub):
    stats = completed(StubDomain("u1", "web", XMLDesc="<broken"))
    assert stats["net.count"] == stats["block.count"] == 0


def test_without_the_monitor_a_domain_still_has_cpu_vcpus_and_memory(stub):
    domain, stats = StubDomain("u1", "web"), {}
    assert add_classic(domain, stats, frozenset({"info", "cpu", "vcpus"}))
    assert stats == {
        "balloon.current": 1024,
        "balloon.maximum": 2048,
        "vcpu.current": 2,
        "vcpu.0.state": 1,
        "vcpu.0.time": 40,
        "vcpu.1.state": 1,
        "vcpu.1.time": 41,
        "cpu.time": 80,
        "cpu.user": 30,
        "cpu.system": 20,
    }
    assert set(domain.calls) == {"info", "getCPUStats", "vcpus"}, "others may block"


def test_where_the_host_counts_no_cpu_time_the_process_own_is_taken(stub):
    stats = {}
    domain = StubDomain("u1", "web", getCPUStats=stub.error("VIR_ERR_OPERATION_INVALID"))
    add_classic(domain, stats, frozenset({"info", "cpu"}))
    assert stats["cpu.time"] == 77


def test_where_the_process_own_cpu_time_is_wanted_the_control_groups_modes_leave_it(stub):
    stats = {}
    add_classic(StubDomain("u1", "web"), stats, frozenset({"info", "modes"}))
    assert (stats["cpu.time"], stats["cpu.user"], stats["cpu.system"]) == (77, 30, 20)


def test_values_of_one_call_take_one_call(stub):
    domain = StubDomain("u1", "web")
    add_classic(domain, {}, CLASSIC - {"running_job", "completed_job"})
    assert domain.calls == ["info", "getCPUStats", "vcpus"]


def test_a_domain_that_is_not_started_is_asked_for_its_affinities_alone(stub):
    domain = StubDomain("u1", "web", vcpus=stub.error("VIR_ERR_OPERATION_INVALID"))
    stats: Stats = {"state.state": 5}
    assert add_classic(domain, stats, CLASSIC)
    assert stats == {"state.state": 5, "vcpu.0.affinity": "0"}
    assert domain.calls == ["vcpus", "vcpuPinInfo"]


def test_a_domain_that_has_ended_is_told_apart_from_one_that_fails(stub):
    gone = StubDomain("u1", "web", info=stub.error("VIR_ERR_NO_DOMAIN"))
    assert not add_classic(gone, {}, frozenset({"info"}))
    broken = StubDomain("u1", "web", info=stub.error("VIR_ERR_INTERNAL_ERROR"))
    with pytest.raises(stub.libvirtError):
        add_classic(broken, {}, frozenset({"info"}))


def test_vcpus_are_placed_and_what_they_may_use_is_told(stub):
    stats = {}
    add_classic(StubDomain("u1", "web"), stats, frozenset({"placement", "affinity"}))
    assert stats == {
        "vcpu.0.cpu": 3,
        "vcpu.1.cpu": 5,
        "vcpu.0.affinity": "0,1",
        "vcpu.1.affinity": "1",
    }


def test_vcpus_of_a_domain_that_does_not_run_may_be_somewhere_and_are_nowhere(stub):
    stats = {}
    domain = StubDomain("u1", "web", vcpus=stub.error("VIR_ERR_OPERATION_INVALID"))
    add_classic(domain, stats, frozenset({"placement", "affinity"}))
    assert stats == {"vcpu.0.affinity": "0"}


ENOSPC: Stats = {
    "state.state": 3,
    "state.reason": 5,
    "block.count": 3,
    "block.0.name": "vda",
    "block.0.rd.reqs": 7,
    "block.2.name": "vdc",
    "block.2.rd.reqs": 7,
}


def test_the_errors_of_disks_are_those_of_a_guest_that_stands_still_for_one(stub):
    stats, domain = dict(ENOSPC), StubDomain("u1", "web", diskErrors={"vdc": 2, "foreign": 1})
    assert add_classic(domain, stats, frozenset({"errors"}))
    assert stats == {**ENOSPC, "block.2.error": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"state.state": 1, "state.reason": 1},
        {"state.reason": 1},
        {"block.0.rd.reqs": None, "block.2.rd.reqs": None},  # its monitor was busy: do not wait
    ],
)
def test_no_other_guest_is_asked_for_the_errors_of_its_disks(stub, change):
    stats = {key: value for key, value in {**ENOSPC, **change}.items() if value is not None}
    domain = StubDomain("u1", "web", diskErrors={"vda": 1})
    assert add_classic(domain, stats, frozenset({"errors"}))
    assert domain.calls == []


def test_where_a_vcpu_was_unplugged_the_others_keep_their_own_numbers(stub):
    stats = {}
    states = [(0, 1, 40, 3), (2, 1, 41, 5)]
    domain = StubDomain("u1", "web", vcpus=(states, [(True, True), (False, True)]))
    add_classic(domain, stats, frozenset({"placement", "affinity"}))
    assert stats == {
        "vcpu.0.cpu": 3,
        "vcpu.2.cpu": 5,
        "vcpu.0.affinity": "0,1",
        "vcpu.2.affinity": "1",
    }


def test_a_domain_that_has_been_stopped_meanwhile_has_no_cpu_time(stub):
    stats = {}
    domain = StubDomain("u1", "web", info=[5, 2048, 1024, 2, 0])
    add_classic(domain, stats, frozenset({"info"}))
    assert stats == {"balloon.current": 1024, "balloon.maximum": 2048, "vcpu.current": 2}


# --- counters of disks whose files must not be looked at

VDA, HDA = Disk(0, "vda", "/a"), Disk(2, "hda", "")


def test_counters_of_disks_come_under_the_keys_of_the_bulk_answer(stub):
    stats: Stats = {"state.state": 1}
    domain = StubDomain("u1", "web")
    assert add_disk_counters(domain, stats, [VDA, HDA])
    counters = {
        "rd.reqs": 4,
        "rd.bytes": 3,
        "rd.times": 7,
        "wr.reqs": 2,
        "wr.bytes": 1,
        "wr.times": 6,
        "fl.reqs": 5,
        "fl.times": 8,
    }
    assert stats == {
        "state.state": 1,
        "block.count": 2,
        "block.0.name": "vda",
        "block.0.path": "/a",
        "block.2.name": "hda",
        **{f"block.{index}.{key}": value for index in (0, 2) for key, value in counters.items()},
    }
    assert set(domain.calls) == {"controlInfo", "blockStatsFlags"}, "others look at the files"


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        ({"controlInfo": [2, 0, 900]}, ["controlInfo"]),  # it would wait for that command
        ({"controlInfo": "VIR_ERR_OPERATION_INVALID"}, ["controlInfo"]),  # it does not run
        ({"blockStatsFlags": "VIR_ERR_OPERATION_TIMEOUT"}, ["controlInfo", "blockStatsFlags"]),
    ],
)
def test_a_domain_that_cannot_be_asked_for_counters_keeps_what_it_has_told(stub, answers, calls):
    given = {
        name: stub.error(value) if isinstance(value, str) else value
        for name, value in answers.items()
    }
    stats: Stats = {"state.state": 1}
    domain = StubDomain("u1", "web", **given)
    assert add_disk_counters(domain, stats, [VDA])
    assert stats == {"state.state": 1}
    assert domain.calls == calls


def test_a_command_that_has_just_begun_is_waited_for(stub):
    stats = {}
    assert add_disk_counters(StubDomain("u1", "web", controlInfo=[2, 0, 3]), stats, [VDA])
    assert stats["block.0.rd.bytes"] == 3


def test_a_disk_without_counters_costs_the_others_nothing(stub):
    unsupported = stub.error("VIR_ERR_OPERATION_UNSUPPORTED")
    domain = StubDomain(
        "u1", "web", blockStatsFlags=lambda name: unsupported if name == "hda" else COUNTERS
    )
    stats = {}
    assert add_disk_counters(domain, stats, [HDA, VDA])
    assert stats["block.0.rd.bytes"] == 3
    assert "block.2.name" not in stats


def test_a_domain_that_ends_while_its_disks_are_counted_is_left_out(stub):
    gone = StubDomain("u1", "web", blockStatsFlags=stub.error("VIR_ERR_NO_DOMAIN"))
    assert not add_disk_counters(gone, {}, [VDA])
    broken = StubDomain("u1", "web", blockStatsFlags=stub.error("VIR_ERR_RPC"))
    with pytest.raises(stub.libvirtError):
        add_disk_counters(broken, {}, [VDA])


# --- sizes of disks that the bulk answer does not tell

#: A disk that was written to, one that was not, an empty drive, one on a network, and one of which
#: the monitor told nothing.
SIZES: Stats = {
    "block.count": 5,
    **{f"block.{index}.name": f"vd{letter}" for index, letter in enumerate("abecd")},
    **{f"block.{index}.path": f"/{index}" for index in (0, 1, 4)},
    **{f"block.{index}.rd.reqs": 1 for index in (0, 1, 2, 3)},
    **{f"block.{index}.capacity": 1000 for index in (0, 1, 3, 4)},
    **{f"block.{index}.physical": 500 for index in (0, 1, 3, 4)},
    "block.0.allocation": 400,
}


@pytest.mark.parametrize(("images", "asked"), [(set(), ["vdb"]), ({"vda"}, ["vda", "vdb"])])
def test_disks_are_asked_for_their_sizes_where_the_bulk_answer_does_not_tell(stub, images, asked):
    found = []

    def block_info(name):
        found.append(name)
        return 100, 90, 95

    domain = StubDomain("u1", "web", blockInfo=block_info)
    stats = dict(SIZES)
    assert add_disk_sizes(domain, stats, frozenset(images))
    assert found == asked
    assert (stats["block.1.info.allocation"], stats["block.1.info.physical"]) == (90, 95)
    assert ("block.0.info.physical" in stats) is bool(images)
    assert set(domain.calls) == {"blockInfo"}


def test_a_disk_whose_size_is_not_to_be_had_costs_the_others_nothing(stub):
    unsupported = stub.error("VIR_ERR_OPERATION_UNSUPPORTED")
    domain = StubDomain(
        "u1", "web", blockInfo=lambda name: unsupported if name == "vda" else (100, 90, 95)
    )
    stats = dict(SIZES)
    assert add_disk_sizes(domain, stats, frozenset({"vda"}))
    assert "block.0.info.physical" not in stats
    assert stats["block.1.info.physical"] == 95


def test_a_domain_that_ends_while_its_disks_are_measured_is_left_out(stub):
    gone = StubDomain("u1", "web", blockInfo=stub.error("VIR_ERR_NO_DOMAIN"))
    assert not add_disk_sizes(gone, dict(SIZES), frozenset())
    broken = StubDomain("u1", "web", blockInfo=stub.error("VIR_ERR_RPC"))
    with pytest.raises(stub.libvirtError):
        add_disk_sizes(broken, dict(SIZES), frozenset())
