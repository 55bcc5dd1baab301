"""Hung guests, hung storage, and the server's workers that calls get stuck in."""

from __future__ import annotations

import concurrent.futures
import os
import time

import pytest

from tests.simhost import SimHost, keys
from tests.simhost.conftest import JOB_WAIT, STORAGE, started, wait_until

libvirt = pytest.importorskip("libvirt")

NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
BLOCK = libvirt.VIR_DOMAIN_STATS_BLOCK
CHEAP = keys.ALL_GROUPS & ~keys.MONITOR_GROUPS
# Longer than anything takes that does not hang.
LONG_S = 60
# Keys that need a domain's monitor, and some that do not.
OF_MONITOR = {"cpu.haltpoll.fail.time", "balloon.rss", "block.0.rd.bytes", "iothread.count"}
OF_NONE = {"cpu.time", "balloon.current", "vcpu.0.time", "net.0.rx.bytes", "block.0.path"}


def _asking(host, name, groups=0, flags=0):
    """A bulk call about one domain, on a connection of its own."""
    connection = libvirt.openReadOnly(host.uri)
    domain = connection.lookupByName(name)
    return lambda: connection.domainListGetStats([domain], groups, flags)[0][1]


def _stats(host, name, groups=0, flags=0):
    return _asking(host, name, groups, flags)()


def _bulk_calls(host):
    return host.control.statistics()["calls"].get("ConnectGetAllDomainStats", 0)


def _under_way(host, name, groups=0, flags=0):
    """The same in a thread, when it has reached the domain: it waits there or it is done."""
    calls = _bulk_calls(host)
    call = started(_asking(host, name, groups, flags))
    wait_until(lambda: _bulk_calls(host) > calls)
    return call


@pytest.fixture
def patient_host():
    """A host where a call that waits for a job does so for longer than a test may take."""
    with SimHost(domains=5, job_wait=10_000) as host:
        yield host
        host.control.heal()


def test_a_hung_guest_holds_a_bulk_call_until_it_heals(host):
    host.control.hang("guest-00003")
    call = _under_way(host, "guest-00003", flags=NOWAIT)
    with pytest.raises(concurrent.futures.TimeoutError):
        call.result(0.1)
    host.control.heal("guest-00003")
    assert set(call.result(LONG_S)) >= OF_MONITOR | OF_NONE


def test_one_hung_guest_holds_everybody_behind_it_in_the_same_call(host, connection):
    host.control.hang("guest-00006")
    call = started(connection.getAllDomainStats, 0, 0)
    wait_until(lambda: _bulk_calls(host))
    asked = {name: sum(times.values()) for name, times in host.control.asked().items()}
    assert {name for name, times in asked.items() if times} == {f"guest-{n:05d}" for n in range(7)}
    assert not call.done()
    host.control.heal()
    assert len(call.result(LONG_S)) == 12


@pytest.mark.parametrize("group", keys.GROUPS)
def test_monitor_groups_block_on_a_hung_guest_and_the_others_never_do(host, group):
    host.control.hang("guest-00001")
    call = _under_way(host, "guest-00001", keys.GROUPS[group])
    if keys.GROUPS[group] & keys.MONITOR_GROUPS:
        assert host.control.statistics()["workers"]["busy"] == 1
        assert not call.done()
        host.control.heal()
    call.result(LONG_S)


def test_with_nowait_a_second_caller_gets_what_needs_no_monitor_at_once(patient_host):
    patient_host.control.hang("guest-00003")
    _under_way(patient_host, "guest-00003")
    partial = _stats(patient_host, "guest-00003", flags=NOWAIT)
    assert set(partial) >= OF_NONE
    assert not set(partial) & OF_MONITOR


def test_without_nowait_a_second_caller_gets_the_same_after_the_wait_for_the_job(host):
    host.control.hang("guest-00003")
    _under_way(host, "guest-00003")
    begun = time.monotonic()
    partial = _stats(host, "guest-00003")
    assert time.monotonic() - begun >= JOB_WAIT
    assert set(partial) >= OF_NONE
    assert not set(partial) & OF_MONITOR


def test_a_second_caller_who_waits_is_served_once_the_guest_heals(host):
    host.control.hang("guest-00003")
    first, second = _under_way(host, "guest-00003"), _under_way(host, "guest-00003")
    host.control.heal()
    assert set(first.result(LONG_S)) == set(second.result(LONG_S)) >= OF_MONITOR


def test_a_classic_call_behind_a_stuck_one_ends_with_a_timeout(host, connection):
    host.control.hang("guest-00003")
    _under_way(host, "guest-00003")
    with pytest.raises(libvirt.libvirtError, match="held by monitor=remoteDispatch") as raised:
        connection.lookupByName("guest-00003").memoryStats()
    assert raised.value.get_error_code() == libvirt.VIR_ERR_OPERATION_TIMEOUT


@pytest.mark.parametrize(
    "ask",
    [
        lambda domain: domain.memoryStats(),
        lambda domain: domain.blockStats("vda"),
        lambda domain: domain.blockStatsFlags("vda"),
        lambda domain: domain.blockInfo("vda"),
        lambda domain: domain.diskErrors(),
        lambda domain: domain.ioThreadInfo(),
    ],
    ids=["memoryStats", "blockStats", "blockStatsFlags", "blockInfo", "diskErrors", "ioThreads"],
)
def test_classic_calls_to_the_monitor_block_until_the_guest_heals(host, connection, ask):
    host.control.hang("guest-00002")
    domain = connection.lookupByName("guest-00002")
    call = started(ask, domain)
    observer = libvirt.openReadOnly(host.uri).lookupByName("guest-00002")
    wait_until(lambda: observer.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)
    assert not call.done()
    host.control.heal()
    call.result(LONG_S)


def test_the_other_classic_calls_never_block(patient_host):
    patient_host.control.hang("guest-00002")
    _under_way(patient_host, "guest-00002")
    domain = libvirt.openReadOnly(patient_host.uri).lookupByName("guest-00002")
    interface = _stats(patient_host, "guest-00002", CHEAP)["net.0.name"]
    for call in (domain.info, domain.state, domain.isActive, domain.vcpus, domain.vcpuPinInfo):
        call()
    domain.getCPUStats(True)
    domain.interfaceStats(interface)
    domain.XMLDesc()
    domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None)


def test_control_info_shows_that_a_call_is_stuck_and_for_how_long(host, connection):
    domain = connection.lookupByName("guest-00004")
    host.control.hang("guest-00004")
    assert domain.controlInfo() == [0, 0, 0]  # nobody has asked it anything yet
    _under_way(host, "guest-00004")
    wait_until(lambda: domain.controlInfo()[2] >= 20)
    assert domain.controlInfo()[:2] == [libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 0]
    host.control.heal()
    wait_until(lambda: domain.controlInfo() == [0, 0, 0])


def test_what_was_read_before_the_hang_is_old_in_a_late_answer(host, connection):
    uuid = connection.lookupByName("guest-00003").UUIDString()
    host.control.hang("guest-00003")
    call = _under_way(host, "guest-00003")
    stuck_at = host.elapsed()
    wait_until(lambda: host.elapsed() > stuck_at + 0.25)
    host.control.heal()
    healed_at = host.elapsed()
    late = call.result(LONG_S)
    assert late["cpu.time"] <= host.expected(uuid, "cpu.time", stuck_at)
    assert late["net.0.rx.bytes"] >= host.expected(uuid, "net.0.rx.bytes", stuck_at + 0.2)
    assert late["block.0.rd.bytes"] <= host.expected(uuid, "block.0.rd.bytes", healed_at + 1)


def test_a_hung_guest_that_ends_lets_its_callers_go(host):
    name = host.control.add()[0]
    host.control.hang(name)
    call = _under_way(host, name)
    host.control.remove(name)
    assert "balloon.rss" not in call.result(LONG_S)


def test_somebody_elses_job_delays_like_a_stuck_call_but_is_not_occupied(host, connection):
    host.control.hold_job("guest-00005")
    try:
        partial = _stats(host, "guest-00005", flags=NOWAIT)
        assert connection.lookupByName("guest-00005").controlInfo() == [0, 0, 0]
    finally:
        host.control.release_job("guest-00005")
    assert not set(partial) & OF_MONITOR
    assert set(_stats(host, "guest-00005", flags=NOWAIT)) >= OF_MONITOR


def test_a_paused_guest_answers(host, connection):
    host.control.suspend("guest-00007")
    assert _stats(host, "guest-00007")["state.state"] == libvirt.VIR_DOMAIN_PAUSED


# --- storage


def test_asking_for_disks_on_hung_storage_freezes_the_guest_until_it_is_back(host):
    host.control.hang_storage(STORAGE)
    without_block = keys.ALL_GROUPS & ~BLOCK
    assert set(_stats(host, "guest-00008", without_block)) >= OF_MONITOR - {"block.0.rd.bytes"}
    assert host.control.statistics()["frozen"] == []
    call = _under_way(host, "guest-00008", BLOCK)
    assert host.control.statistics()["frozen"] == ["guest-00008"]
    # Now it hangs for every group; another guest on that storage does not.
    partial = _stats(host, "guest-00008", without_block, NOWAIT)
    assert not set(partial) & OF_MONITOR
    assert set(_stats(host, "guest-00009", without_block)) >= {"balloon.rss"}
    host.control.heal_storage(STORAGE)
    assert "block.0.rd.bytes" in call.result(LONG_S)
    assert set(_stats(host, "guest-00008")) >= OF_MONITOR
    assert host.control.statistics()["frozen"] == ["guest-00008"]


@pytest.mark.parametrize("ask", ["blockStats", "blockStatsFlags"])
def test_counters_of_disks_are_told_without_a_look_at_the_files(host, connection, ask):
    host.control.hang_storage(STORAGE)
    assert getattr(connection.lookupByName("guest-00008"), ask)("vda")
    assert host.control.statistics()["frozen"] == []


def test_from_libvirt_11_10_on_counters_of_disks_freeze_as_well():
    with SimHost(domains=1, storage=STORAGE, lib_version=11_010_000) as host:
        domain = libvirt.openReadOnly(host.uri).lookupByName("guest-00000")
        host.control.hang_storage(STORAGE)
        call = started(domain.blockStatsFlags, "vda")
        wait_until(lambda: host.control.statistics()["frozen"] == ["guest-00000"])
        host.control.heal_storage(STORAGE)
        call.result(LONG_S)


def test_a_classic_question_about_the_size_of_a_disk_freezes_as_well(host, connection):
    host.control.hang_storage(STORAGE)
    domain = connection.lookupByName("guest-00008")
    domain.memoryStats()
    call = started(domain.blockInfo, "vda")
    wait_until(lambda: host.control.statistics()["frozen"] == ["guest-00008"])
    assert not call.done()
    host.control.heal_storage(STORAGE)
    call.result(LONG_S)


def test_guests_beside_hung_storage_are_not_touched(host, connection):
    name = host.control.add(storage="beside")[0]
    host.control.hang_storage(STORAGE)
    try:
        assert set(_stats(host, name)) >= {"block.0.rd.bytes"}
    finally:
        host.control.remove(name)
    assert host.control.statistics()["frozen"] == []


def test_a_frozen_guest_that_also_hangs_needs_both_to_heal(host):
    host.control.hang_storage(STORAGE)
    call = _under_way(host, "guest-00008", BLOCK)
    host.control.hang("guest-00008")
    host.control.heal_storage(STORAGE)
    assert not call.done()
    host.control.heal("guest-00008")
    call.result(LONG_S)


# --- workers


def test_stuck_calls_use_up_the_workers_and_only_priority_calls_are_served():
    with SimHost(domains=30) as host:
        hung = host.control.hang(count=22)
        calls = [started(_asking(host, name)) for name in hung]
        wait_until(lambda: host.control.statistics()["workers"]["queued"] == 2)
        assert host.control.statistics()["workers"]["busy"] == 20
        # An ordinary call waits, also for a healthy guest; listing and opening are answered.
        healthy = next(f"guest-{n:05d}" for n in range(30) if f"guest-{n:05d}" not in hung)
        ordinary = started(_asking(host, healthy))
        wait_until(lambda: host.control.statistics()["workers"]["queued"] == 3)
        other = libvirt.openReadOnly(host.uri)
        assert len(other.listAllDomains(1)) == 30
        states = [domain.controlInfo()[0] for domain in other.listAllDomains(1)]
        assert states.count(libvirt.VIR_DOMAIN_CONTROL_OCCUPIED) == 20
        assert not ordinary.done()
        workers = host.control.statistics()["workers"]
        assert (workers["busy"], workers["most"], workers["priority_busy"]) == (20, 20, 0)
        assert workers["priority_most"] >= 1
        assert set(workers["held"].values()) == {1}
        host.control.heal()
        for call in [ordinary, *calls]:
            call.result(LONG_S)
        wait_until(lambda: host.control.statistics()["workers"]["busy"] == 0)


def test_closing_a_connection_does_not_free_the_worker_of_its_stuck_call(host):
    host.control.hang("guest-00001")
    connection = libvirt.openReadOnly(host.uri)
    domain = connection.lookupByName("guest-00001")
    call = started(connection.domainListGetStats, [domain], 0, 0)
    wait_until(lambda: _bulk_calls(host))
    host.control.drop_connections()
    with pytest.raises(libvirt.libvirtError):
        call.result(LONG_S)
    statistics = host.control.statistics()
    assert statistics["connections"]["open"] == 0
    assert statistics["workers"]["busy"] == 1
    host.control.heal()
    wait_until(lambda: host.control.statistics()["workers"]["busy"] == 0)


def test_a_client_has_at_most_five_calls_under_way(host, connection):
    host.control.hang()
    domains = connection.listAllDomains(1)
    calls = [started(connection.domainListGetStats, [domain], 0, 0) for domain in domains[:8]]
    wait_until(lambda: _bulk_calls(host) == 5)
    # A call that is counted may not hold its worker yet.
    wait_until(lambda: list(host.control.statistics()["workers"]["held"].values()) == [5])
    statistics = host.control.statistics()
    client = next(iter(statistics["workers"]["held"]))
    assert statistics["connections"]["pids"][client] == os.getpid()
    assert host.control.statistics()["workers"]["queued"] == 0
    # Not even a priority call of this client is read; others are served.
    listing = started(connection.listAllDomains, 1)
    with pytest.raises(concurrent.futures.TimeoutError):
        listing.result(0.1)
    assert len(libvirt.openReadOnly(host.uri).listAllDomains(1)) == 12
    assert host.control.statistics()["workers"]["most"] <= 6  # with the call of the other client
    host.control.heal()
    assert len(listing.result(LONG_S)) == 12
    for call in calls:
        call.result(LONG_S)


def test_groups_take_their_time_when_it_is_asked_for():
    with SimHost(domains=10, cost=3.0) as host:
        connection = libvirt.openReadOnly(host.uri)

        def seconds(groups):
            begun = time.monotonic()
            assert len(connection.getAllDomainStats(groups, 0)) == 10
            return time.monotonic() - begun

        # The best of some, as others may keep the machine busy.
        cheap = min(seconds(CHEAP) for _ in range(3))
        block = min(seconds(BLOCK) for _ in range(3))
    assert cheap < block
    assert block > 0.09
