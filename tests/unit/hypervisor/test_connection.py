"""One connection: plain values and our own errors from whatever libvirt says."""

from __future__ import annotations

import gc
import importlib.util
import platform
import re
import sys
import weakref

import pytest
from domstats.domain_xml.disk_counters import Disk
from domstats.errors import (
    CallError,
    DomainGoneError,
    HypervisorError,
    LibvirtMissingError,
    TooLargeError,
    UnsupportedError,
)
from domstats.hypervisor import classic, connection
from domstats.hypervisor.connection import CONTROL_OCCUPIED, Connection, Control, Watch
from domstats.model import GROUPS

from tests.unit.hypervisor.stub_libvirt import StubDomain, StubLibvirt

ALL = frozenset(GROUPS)
STATE = frozenset({"state"})
U1, U2, U3 = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))


@pytest.fixture
def stub(monkeypatch):
    """A libvirt that does what the test says; two domains at first."""
    made = StubLibvirt(StubDomain(U1, "web"), StubDomain(U2, "db"))
    for module in (connection, classic):
        monkeypatch.setattr(module, "libvirt", made)
    monkeypatch.setattr(connection, "prepare_libvirt", made.loops.append)
    return made


@pytest.fixture
def driver(missing):
    """libvirt's own driver for tests, in the client library."""
    if importlib.util.find_spec("libvirt") is None:
        missing("libvirt-python", "pip install libvirt-python")
    made = Connection("test:///default")
    yield made
    made.close()


# --- with libvirt's test driver


def test_the_test_driver_shows_cpu_memory_disks_and_network_like_a_real_host(driver):
    ((uuid, name, active),) = driver.list_domains(inactive=False)
    ((_, stats),) = driver.stats([uuid], ALL)
    assert (name, active) == ("test", True)
    assert {
        "state.state",
        "cpu.time",
        "balloon.current",
        "vcpu.0.time",
        "net.0.rx.bytes",
        "block.0.rd.bytes",
        "block.0.capacity",
    } <= stats.keys()
    assert stats["net.0.name"] == "testnet0"


@pytest.mark.parametrize("group", ["cpu_total", "block"])
def test_a_driver_without_bulk_statistics_gives_one_group_alone_too(driver, group):
    ((uuid, _, _),) = driver.list_domains(inactive=False)
    ((_, stats),) = driver.stats([uuid], frozenset({group}))
    words = {key.split(".")[0] for key in stats}
    assert words == {"state", "cpu" if group == "cpu_total" else group}


def test_where_vcpus_run_and_may_run_is_added(driver):
    ((uuid, _, _),) = driver.list_domains(inactive=False)
    records = driver.stats([uuid], STATE)
    ((_, stats),) = driver.add_classic(records, frozenset({"placement", "affinity"}))
    assert isinstance(stats["vcpu.0.cpu"], int)
    assert stats["vcpu.0.affinity"].startswith("0,1")


def test_what_needs_no_monitor_comes_from_classic_calls(driver):
    ((uuid, _, _),) = driver.list_domains(inactive=False)
    records = driver.stats([uuid], STATE)
    ((_, stats),) = driver.add_classic(records, frozenset({"info", "cpu", "vcpus"}))
    assert {"state.state", "cpu.time", "vcpu.0.time", "balloon.current"} <= stats.keys()


def test_a_domain_that_does_not_exist_is_left_out(driver):
    assert driver.stats(["no such uuid"], ALL) == []
    assert driver.control(["no such uuid"]) == {}
    with pytest.raises(DomainGoneError):
        driver.xml("no such uuid")


def test_the_test_driver_says_its_version(driver):
    assert re.fullmatch(r"TEST [0-9.]+ \(libvirt [0-9]+\.[0-9]+\.[0-9]+\)", driver.version())


def test_the_xml_and_the_cpus_of_the_host_are_to_be_had(driver):
    ((uuid, _, _),) = driver.list_domains(inactive=False)
    assert "<name>test</name>" in driver.xml(uuid)
    assert driver.node_cpus() > 0


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("qemu+unix:///system?socket=/no/such/socket", "systemctl start libvirtd"),
        ("qemu+tcp://127.0.0.1:1/system", "does it listen"),
        ("test:///no/such/file.xml", "no/such/file.xml"),
        (":::", "uri.html"),
        ("qemu://127.0.0.1/system", "qemu+ssh://HOST/system"),
    ],
)
def test_a_hypervisor_that_cannot_be_reached_is_one_line_with_a_remedy(driver, uri, remedy):
    with pytest.raises(HypervisorError) as raised:
        Connection(uri).connect()
    assert str(raised.value).startswith(f"{uri}: ")
    assert remedy in str(raised.value)
    assert "\n" not in str(raised.value)


# --- whatever libvirt says


def test_a_missing_libvirt_python_is_an_error_that_says_for_which_python_to_install_it(monkeypatch):
    monkeypatch.setattr(connection, "libvirt", None)
    absence = ModuleNotFoundError("No module named 'libvirt'", name="libvirt")
    monkeypatch.setattr(connection, "absence", absence)
    with pytest.raises(LibvirtMissingError, match="install") as raised:
        Connection("qemu:///system").list_domains(inactive=False)
    assert sys.executable in str(raised.value)
    assert platform.python_version() in str(raised.value)


def test_no_permission_is_one_line_that_says_what_to_do(stub):
    stub.open_error = stub.error("VIR_ERR_SYSTEM_ERROR", "socket:\n Permission denied")
    with pytest.raises(HypervisorError, match="libvirt-sock-ro is enough") as raised:
        Connection("qemu:///system").connect()
    assert "\n" not in str(raised.value)


def test_a_hypervisor_says_what_it_is_and_its_version(stub):
    assert Connection("qemu:///system").version() == "QEMU 7.2.22 (libvirt 9.0.0)"
    stub.version_error = stub.error("VIR_ERR_NO_SUPPORT")
    with pytest.raises(UnsupportedError):
        Connection("qemu:///system").version()


@pytest.mark.parametrize("keepalive", [False, True])
def test_only_who_wants_a_server_pinged_has_libvirts_event_loop_running(stub, keepalive):
    Connection("qemu:///system", keepalive=keepalive).connect()
    assert stub.loops == [keepalive]
    assert bool(stub.opened[0].keepalive) is keepalive


def test_domains_are_listed_with_their_names_and_whether_they_run(stub):
    stub.domains.append(StubDomain(U3, "off", number=-1))
    lister = Connection("qemu:///system")
    assert lister.list_domains(inactive=True) == [
        (U1, "web", True), (U2, "db", True), (U3, "off", False)
    ]  # fmt: skip
    assert lister.ids() == {U1: 1, U2: 1, U3: -1}


def test_one_bulk_call_asks_for_all_domains_the_groups_and_not_to_wait(stub):
    records = Connection("qemu:///system").stats([U1, U2], frozenset({"state", "block"}))
    assert [uuid for uuid, _ in records] == [U1, U2]
    nowait = stub.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    assert stub.bulk_calls == [((U1, U2), 1 << 0 | 1 << 5, nowait)]


@pytest.mark.parametrize(
    "answered",
    [
        [StubDomain(U2, "db"), StubDomain(U1, "web")],
        [StubDomain(U1, "renamed"), StubDomain(U2, "db")],
        [StubDomain(U1, "db"), StubDomain(U2, "web")],
        [StubDomain(U2, "db")],
        [StubDomain(U2, "web")],
        [],
    ],
    ids=["other order", "renamed", "names swapped", "ended", "ended and renamed", "all ended"],
)
def test_an_answer_is_its_domains_own_whatever_has_happened_since_they_were_listed(stub, answered):
    stub.answered = answered
    records = Connection("qemu:///system").stats([U1, U2], STATE)
    assert [uuid for uuid, _ in records] == [domain.uuid for domain in answered]


def test_a_server_that_refuses_nowait_is_asked_without_from_then_on(stub):
    stub.bulk_errors = [stub.error("VIR_ERR_INVALID_ARG", "unsupported flags (0x20000000)")]
    asker = Connection("qemu:///system")
    assert len(asker.stats([U1], ALL)) == 1
    asker.stats([U1], ALL)
    assert [bool(flags) for _, _, flags in stub.bulk_calls] == [True, False, False]


def test_another_invalid_argument_does_not_cost_us_nowait(stub):
    stub.bulk_errors = [stub.error("VIR_ERR_INVALID_ARG", "domain must match connection")]
    asker = Connection("qemu:///system")
    with pytest.raises(CallError):
        asker.stats([U1], ALL)
    asker.stats([U1], ALL)
    assert all(flags for _, _, flags in stub.bulk_calls)


def test_a_driver_without_the_bulk_call_is_asked_domain_by_domain_from_then_on(stub):
    stub.driver = "VBOX"
    stub.bulk_errors = [stub.error("VIR_ERR_NO_SUPPORT")]
    asker = Connection("vbox:///session")
    for _ in range(2):
        ((_, stats),) = asker.stats([U1], frozenset({"state", "cpu_total"}))
        assert stats["cpu.time"] == 80
    assert len(stub.bulk_calls) == 1


def test_without_any_monitor_free_group_the_monitor_is_not_asked_all_the_same(stub):
    Connection("qemu:///system").stats([U1], frozenset())
    ((_, mask, _),) = stub.bulk_calls
    assert mask == 1 << 0  # 0 would mean every group, and hang


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("VIR_ERR_NO_DOMAIN", "no domain with matching uuid", DomainGoneError),
        ("VIR_ERR_INTERNAL_ERROR", "something broke", CallError),
        ("VIR_ERR_OPERATION_TIMEOUT", "cannot acquire state change lock", CallError),
        ("VIR_ERR_RPC", "Unable to encode message payload", TooLargeError),
        ("VIR_ERR_RPC", "message is too large", TooLargeError),
        ("VIR_ERR_RPC", "garbage in the reply", CallError),
    ],
)
def test_an_error_of_a_call_while_the_connection_lives_is_our_own(stub, code, text, error):
    stub.bulk_errors = [stub.error(code, text)]
    asker = Connection("qemu:///system")
    with pytest.raises(CallError) as raised:
        asker.stats([U1], ALL)
    assert type(raised.value) is error
    assert str(raised.value) == f"qemu:///system: {text}"
    assert asker.opened == 1


def test_a_lost_connection_is_opened_anew_by_the_next_call(stub):
    stub.bulk_errors = [stub.error("VIR_ERR_RPC", "End of file while reading data")]
    stub.lives_on = False
    asker = Connection("qemu:///system")
    with pytest.raises(HypervisorError, match="connection is lost: End of file"):
        asker.stats([U1], ALL)
    assert stub.opened[0].closed
    assert len(asker.stats([U1], ALL)) == 1
    assert asker.opened == 2


def test_a_message_too_large_that_ends_the_connection_is_still_too_large(stub):
    stub.bulk_errors = [stub.error("VIR_ERR_RPC", "packet 99 bytes too large, want 32")]
    stub.lives_on = False
    asker = Connection("qemu:///system")
    with pytest.raises(TooLargeError):
        asker.stats([U1], ALL)
    assert len(asker.stats([U1], ALL)) == 1


def test_a_domain_that_appears_is_found_by_one_more_list_and_no_list_is_made_in_vain(stub):
    asker = Connection("qemu:///system")
    asker.stats([U1], ALL)
    stub.domains.append(StubDomain(U3, "new"))
    assert len(asker.stats([U1, U3], ALL)) == 2
    asker.stats([U1, U2, U3], ALL)
    assert stub.lists == 2


def test_a_domain_that_ends_between_two_calls_is_left_out(stub):
    stub.domains[0].answers["info"] = stub.error("VIR_ERR_NO_DOMAIN")
    asker = Connection("qemu:///system")
    records = asker.add_classic(asker.stats([U1, U2], STATE), frozenset({"info"}))
    assert [uuid for uuid, _ in records] == [U2]


def test_the_state_of_monitors_is_told_with_seconds(stub):
    stub.domains[0].answers["controlInfo"] = [2, 0, 2500]
    assert Connection("qemu:///system").control([U1, U2]) == {
        U1: Control(CONTROL_OCCUPIED, 2.5),
        U2: Control(0, 0.0),
    }


@pytest.mark.parametrize("code", ["VIR_ERR_NO_DOMAIN", "VIR_ERR_OPERATION_INVALID"])
def test_a_domain_that_was_stopped_does_not_hide_the_monitors_of_the_others(stub, code):
    stub.domains[0].answers["controlInfo"] = stub.error(code)
    stub.domains[1].answers["controlInfo"] = [2, 0, 9000]
    assert Connection("qemu:///system").control([U1, U2]) == {U2: Control(2, 9.0)}


def test_a_driver_without_controlinfo_says_so(stub):
    stub.domains[0].answers["controlInfo"] = stub.error("VIR_ERR_NO_SUPPORT")
    with pytest.raises(UnsupportedError):
        Connection("lxc:///").control([U1])


def test_the_drivers_that_have_monitors_are_known(stub):
    asker = Connection("qemu:///system")
    asker.connect()
    assert asker.has_monitors
    stub.driver = "Test"
    asker = Connection("test:///default")
    asker.connect()
    assert not asker.has_monitors


def test_of_containers_what_is_lacking_is_not_asked_for_and_what_is_misnamed_left_out(stub):
    stub.driver = "LXC"
    stub.domains[0].answers["memoryStats"] = {"actual": 4096, "swap_in": 900, "rss": 900}
    asker = Connection("lxc:///system")
    ((_, stats), *_) = records = asker.stats([U1], ALL)
    assert {"balloon.current": 4096, "balloon.rss": 900}.items() <= stats.items()
    assert "balloon.swap_in" not in stats
    asker.add_classic(records, frozenset({"info", "vcpus", "placement", "affinity"}))
    assert {"balloon.current": 4096, "balloon.used": 1024}.items() <= stats.items()
    assert "vcpus" not in stub.domains[0].calls
    assert "vcpuPinInfo" not in stub.domains[0].calls


def test_closing_is_no_error_however_broken_the_connection_is(stub):
    asker = Connection("qemu:///system")
    asker.close()
    asker.connect()

    def broken():
        raise stub.error("VIR_ERR_INTERNAL_ERROR")

    stub.opened[0].close = broken
    asker.close()
    asker.connect()
    assert asker.opened == 2


# --- events


class Watcher:
    """What a connection says of events."""

    def __init__(self, *sources):
        self.begun = 0
        self.news = []
        self.unsupported = []
        self.watch = Watch(sources, self.begin, self.news.append, self.unsupported.append)

    def begin(self):
        self.begun += 1


def test_events_come_as_plain_values_from_the_moment_on_when_it_is_open(stub):
    watcher = Watcher(0, 6)
    made = Connection("qemu:///system", watcher.watch)
    made.connect()
    (conn,) = stub.opened
    conn.happen(0, stub.domains[0], 5, 1)
    conn.happen(6, stub.domains[1], "/d", "ua-vda", 1, "enospc")
    assert [(n.source, n.uuid, n.name, n.id, n.arguments) for n in watcher.news] == [
        (0, U1, "web", 1, (5, 1)),
        (6, U2, "db", 1, ("/d", "ua-vda", 1, "enospc")),
    ]
    assert watcher.begun == 1
    assert watcher.news[0].time_ns > 10**18


def test_after_the_close_nothing_is_told_not_even_what_libvirt_is_about_to_call(stub):
    watcher = Watcher(0)
    made = Connection("qemu:///system", watcher.watch)
    made.connect()
    (conn,) = stub.opened
    (call, opaque) = conn.callbacks[0]
    made.close()
    assert conn.callbacks == {}
    call(conn, stub.domains[0], 5, 1, opaque)
    assert watcher.news == []


def test_after_a_loss_the_next_connection_tells_and_the_lost_one_does_not(stub):
    watcher = Watcher(0)
    made = Connection("qemu:///system", watcher.watch)
    made.list_domains(inactive=True)
    (call, opaque) = stub.opened[0].callbacks[0]
    stub.list_error, stub.lives_on = stub.error("VIR_ERR_RPC"), False
    with pytest.raises(HypervisorError):
        made.list_domains(inactive=True)
    assert stub.opened[0].callbacks == {}
    stub.lives_on = True
    made.list_domains(inactive=True)
    assert watcher.begun == 2
    call(stub.opened[0], stub.domains[0], 5, 1, opaque)
    assert watcher.news == []
    stub.opened[1].happen(0, stub.domains[0], 5, 1)
    assert len(watcher.news) == 1


def test_kinds_of_events_that_a_driver_lacks_are_named_and_the_others_come(stub):
    stub.no_events = {6}
    watcher = Watcher(0, 6, 23)
    Connection("qemu:///system", watcher.watch).connect()
    assert watcher.unsupported == [6]
    assert set(stub.opened[0].callbacks) == {0, 23}


def test_a_connection_that_is_lost_while_it_registers_is_a_lost_connection(stub):
    stub.no_events, stub.lives_on = {6}, False
    watcher = Watcher(0, 6, 23)
    with pytest.raises(HypervisorError):
        Connection("qemu:///system", watcher.watch).connect()
    assert stub.opened[0].callbacks == {}
    assert watcher.unsupported == []


def test_a_domain_that_is_gone_when_its_event_is_told_harms_nobody(stub):
    watcher = Watcher(0)
    Connection("qemu:///system", watcher.watch).connect()
    gone = StubDomain(U3, "old")
    gone.UUIDString = lambda: (_ for _ in ()).throw(stub.error("VIR_ERR_NO_DOMAIN"))
    stub.opened[0].happen(0, gone, 5, 1)
    assert watcher.news == []


def test_callbacks_do_not_keep_a_forgotten_connection_alive(stub):
    gc.freeze()  # what others have made is not looked at
    watcher = Watcher(0)
    made = Connection("qemu:///system", watcher.watch)
    made.connect()
    forgotten = weakref.ref(made)
    del made
    gc.collect()
    assert forgotten() is None


# --- counters of disks whose files must not be looked at

DISKS = {U1: [Disk(0, "vda", "/a")]}


def counted(lane):
    records = lane.stats([U1, U2], STATE)
    records = lane.add_disk_counters(records, DISKS)
    return [(uuid, "block.0.rd.bytes" in stats) for uuid, stats in records]


def test_the_domains_that_are_asked_for_counters_get_them_and_the_others_stay_as_they_are(stub):
    lane = Connection("qemu:///system")
    assert counted(lane) == [(U1, True), (U2, False)]
    assert counted(lane) == [(U1, True), (U2, False)]
    assert stub.version_questions == 1


@pytest.mark.parametrize(("version", "is_asked"), [(11_008_000, True), (11_010_000, False)])
def test_a_libvirt_that_looks_at_the_files_for_counters_is_not_asked_for_them(
    stub, version, is_asked
):
    stub.version = version
    assert counted(Connection("qemu:///system"))[0] == (U1, is_asked)
    assert ("blockStatsFlags" in stub.domains[0].calls) is is_asked


def test_a_server_that_comes_back_with_another_version_is_judged_anew(stub):
    lane = Connection("qemu:///system")
    assert counted(lane)[0] == (U1, True)
    lane.close()
    stub.version = 12_000_000
    assert counted(lane)[0] == (U1, False)


def test_a_domain_that_ends_when_its_disks_are_counted_is_left_out_of_the_answer(stub):
    stub.domains[0].answers["blockStatsFlags"] = stub.error("VIR_ERR_NO_DOMAIN")
    assert counted(Connection("qemu:///system")) == [(U2, False)]


# --- sizes of disks that the bulk answer does not tell


def sized(lane, *uuids):
    stub_stats = lane.stats([U1, U2], frozenset({"block"}))
    records = lane.add_disk_sizes(stub_stats, dict.fromkeys(uuids, frozenset()))
    return [(uuid, stats.get("block.0.info.physical")) for uuid, stats in records]


UNWRITTEN = {
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.path": "/a",
    "block.0.rd.reqs": 0,
    "block.0.capacity": 1,
    "block.0.physical": 4096,
}


def test_only_the_domains_whose_turn_it_is_are_asked_for_the_sizes_of_their_disks(stub):
    stub.stats = UNWRITTEN
    lane = Connection("qemu:///system")
    assert sized(lane) == [(U1, None), (U2, None)]
    assert sized(lane, U2) == [(U1, None), (U2, 95)]
    assert stub.domains[0].calls == []


def test_a_domain_that_ends_when_its_disks_are_measured_is_left_out_of_the_answer(stub):
    stub.stats = UNWRITTEN
    stub.domains[0].answers["blockInfo"] = stub.error("VIR_ERR_NO_DOMAIN")
    assert sized(Connection("qemu:///system"), U1) == [(U2, None)]
