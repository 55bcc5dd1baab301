"""What a well simulated host answers, through the real libvirt."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.simhost import SimHost, keys, wire
from tests.simhost.model import NOVA

libvirt = pytest.importorskip("libvirt")


def _first(connection):
    return connection.lookupByName("guest-00000")


def _bulk(domain, groups=0, flags=0):
    return domain.connect().domainListGetStats([domain], groups, flags)[0][1]


def test_a_client_connects_and_learns_about_the_host(host, connection):
    assert connection.isAlive()
    assert connection.getType() == "QEMU"
    assert connection.getLibVersion() == 9_000_000
    assert connection.getVersion() == 7_002_022
    assert connection.getHostname() == "simhost"
    assert connection.getInfo() == ["x86_64", 65536, 8, 2400, 1, 1, 8, 1]
    assert connection.getMaxVcpus(None) == 16
    assert "<arch>x86_64</arch>" in connection.getCapabilities()
    assert connection.isSecure()
    connection.close()


def test_domains_are_listed_by_state(host, connection):
    host.control.suspend("guest-00001")
    host.control.add("sleeper", running=False)
    try:
        listed = {
            flag: {domain.name() for domain in connection.listAllDomains(flag)}
            for flag in (
                0,
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE,
                libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE,
                libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED,
            )
        }
    finally:
        host.control.remove("sleeper")
    guests = {f"guest-{n:05d}" for n in range(12)}
    assert listed == {0: guests | {"sleeper"}, 1: guests, 2: {"sleeper"}, 32: {"guest-00001"}}
    assert connection.numOfDomains() == 12
    assert len(connection.listDomainsID()) == 12


def test_a_domain_is_found_by_name_uuid_and_id(host, connection):
    domain = _first(connection)
    assert connection.lookupByUUID(domain.UUID()).name() == "guest-00000"
    assert connection.lookupByUUIDString(domain.UUIDString()).ID() == domain.ID()
    assert connection.lookupByID(domain.ID()).UUID() == domain.UUID()


def test_a_domain_nobody_knows_is_not_found(host, connection):
    with pytest.raises(libvirt.libvirtError) as raised:
        connection.lookupByName("nobody")
    assert raised.value.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
    assert "Domain not found: no domain with matching name 'nobody'" in str(raised.value)


def test_a_bulk_answer_has_the_keys_of_every_group(host, connection):
    stats = _bulk(_first(connection))
    assert list(stats)[:4] == ["state.state", "state.reason", "cpu.time", "cpu.user"]
    assert stats["state.state"] == libvirt.VIR_DOMAIN_RUNNING
    assert {key.split(".")[0] for key in stats} == {
        *("state", "cpu", "balloon", "vcpu", "net", "block", "iothread", "dirtyrate")
    }
    assert 70 <= len(stats) <= 85
    assert stats["block.1.path"].startswith("/mnt/shared/")
    assert stats["vcpu.current"] == 2


def test_only_the_groups_asked_for_are_answered(host, connection):
    stats = _bulk(_first(connection), libvirt.VIR_DOMAIN_STATS_INTERFACE)
    assert {key.split(".")[0] for key in stats} == {"net"}
    asked = host.control.asked("guest-00000")["guest-00000"]
    assert {group for group, times in asked.items() if times} == {"interface"}


def test_kvm_statistics_are_there_on_demand(host, connection):
    name = host.control.add(kvm=True)[0]
    try:
        stats = _bulk(connection.lookupByName(name))
    finally:
        host.control.remove(name)
    assert len([key for key in stats if key.startswith("vcpu.1.")]) == 46
    assert stats["vcpu.0.blocking.cur"] is False
    assert stats["vm.remote_tlb_flush.sum"] >= 0


def test_backing_images_are_told_when_asked_for(host, connection):
    name = host.control.add(backing=1, disks=1, cdrom="sda")[0]
    domain = connection.lookupByName(name)
    try:
        plain = _bulk(domain, libvirt.VIR_DOMAIN_STATS_BLOCK)
        flag = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING
        deep = _bulk(domain, libvirt.VIR_DOMAIN_STATS_BLOCK, flag)
    finally:
        host.control.remove(name)
    assert plain["block.count"] == 2
    assert deep["block.count"] == 3
    assert deep["block.1.path"].endswith(".base1.qcow2")
    assert "block.1.rd.bytes" not in deep
    assert deep["block.2.name"] == "sda"
    assert "block.2.path" not in deep
    assert deep["block.2.rd.bytes"] >= plain["block.1.rd.bytes"]  # it reads on


def test_a_domain_that_is_off_tells_what_needs_no_process(host, connection):
    name = host.control.add(running=False, iothreads=1)[0]
    domain = connection.lookupByName(name)
    try:
        stats = _bulk(domain)
        assert domain.info()[0] == libvirt.VIR_DOMAIN_SHUTOFF
        assert not domain.isActive()
        with pytest.raises(libvirt.libvirtError, match="domain is not running"):
            domain.memoryStats()
    finally:
        host.control.remove(name)
    assert stats["state.state"] == libvirt.VIR_DOMAIN_SHUTOFF
    assert not {"net.count", "vcpu.0.time", "iothread.count", "balloon.rss"} & set(stats)
    assert stats["cpu.time"] == 0
    assert stats["block.0.capacity"] > 0


@pytest.mark.parametrize("group", keys.GROUPS)
def test_counters_follow_the_known_function_of_time(host, connection, group):
    domain = _first(connection)
    before = host.elapsed()
    stats = _bulk(domain, keys.GROUPS[group])
    after = host.elapsed()
    uuid = domain.UUIDString()
    for key in filter(keys.moves, stats):
        early, late = host.expected(uuid, key, before), host.expected(uuid, key, after)
        assert early <= stats[key] <= late, key


def test_the_same_seed_gives_the_same_domains_and_others_give_others():
    one = keys.expected(1, "uuid", "cpu.time", 3.0)
    assert one == keys.expected(1, "uuid", "cpu.time", 3.05)
    assert one < keys.expected(1, "uuid", "cpu.time", 4.0)
    assert one != keys.expected(2, "uuid", "cpu.time", 3.0)
    with pytest.raises(KeyError):
        keys.expected(1, "uuid", "state.state", 3.0)


def test_domains_that_nobody_knows_are_left_out_of_a_bulk_answer(host, connection):
    domain, name = _first(connection), host.control.add()[0]
    leaving = connection.lookupByName(name)
    host.control.remove(name)
    records = connection.domainListGetStats([leaving, domain], 0, 0)
    assert [record[0].name() for record in records] == ["guest-00000"]
    assert connection.domainListGetStats([leaving], 0, 0) == []


def test_groups_that_a_hypervisor_lacks_are_left_out_or_refused(host, connection):
    host.control.support_groups("state", "cpu")
    try:
        domain = _first(connection)
        assert {key.split(".")[0] for key in _bulk(domain)} == {"state", "cpu"}
        with pytest.raises(libvirt.libvirtError, match="Stats types bits 0x20") as raised:
            _bulk(
                domain,
                libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BLOCK,
                libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS,
            )
    finally:
        host.control.support_groups()
    assert raised.value.get_error_code() == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED


def test_classic_calls_tell_the_same_numbers_as_the_bulk_call(host, connection):
    domain = _first(connection)
    uuid = domain.UUIDString()
    before = host.elapsed()
    told = {
        "cpu.time": domain.info()[4],
        "cpu.user": domain.getCPUStats(True)[0]["user_time"],
        "vcpu.1.time": domain.vcpus()[0][1][2],
        "balloon.minor_fault": domain.memoryStats()["minor_fault"],
        "block.1.wr.bytes": domain.blockStats("vdb")[3],
        "block.0.fl.times": domain.blockStatsFlags("vda")["flush_total_times"],
        "net.0.tx.pkts": domain.interfaceStats(_bulk(domain)["net.0.name"])[5],
    }
    after = host.elapsed()
    for key, value in told.items():
        assert host.expected(uuid, key, before) <= value <= host.expected(uuid, key, after), key
    block = _bulk(domain, libvirt.VIR_DOMAIN_STATS_BLOCK)
    assert domain.blockInfo("vda")[0] == block["block.0.capacity"]
    assert domain.info()[1] == _bulk(domain)["balloon.maximum"]


def test_the_other_classic_calls_are_answered(host, connection):
    domain = _first(connection)
    assert domain.state() == [1, 1]
    assert domain.controlInfo() == [0, 0, 0]
    assert domain.isActive()
    assert domain.isPersistent()
    assert domain.OSType() == "hvm"
    assert domain.maxMemory() == 2 * 1024 * 1024
    assert domain.maxVcpus() == 2
    assert domain.vcpusFlags() == 2
    assert domain.vcpuPinInfo() == [(True,) * 8] * 2
    assert len(domain.getCPUStats(False)) == 8
    assert domain.ioThreadInfo()[0][0] == 1
    assert domain.jobStats() == {"type": libvirt.VIR_DOMAIN_JOB_NONE}
    assert domain.jobInfo()[0] == 0
    assert domain.blockStats("")[1] > domain.blockStats("vda")[1]


def test_disk_errors_are_told(host, connection):
    domain = _first(connection)
    assert domain.diskErrors() == {}
    host.control.set_disk_error("guest-00000", "vdb", libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
    assert domain.diskErrors() == {"vdb": libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE}
    host.control.set_disk_error("guest-00000", "vdb", 0)
    assert domain.diskErrors() == {}


def test_a_disk_or_interface_that_is_not_there_is_refused(host, connection):
    domain = _first(connection)
    for call, text in (
        (lambda: domain.blockStats("vdq"), "invalid path: vdq"),
        (lambda: domain.interfaceStats("eth7"), "'eth7' is not a known interface"),
    ):
        with pytest.raises(libvirt.libvirtError, match=text) as raised:
            call()
        assert raised.value.get_error_code() == libvirt.VIR_ERR_INVALID_ARG


def test_the_description_names_disks_and_interfaces(host, connection):
    domain = _first(connection)
    root = ElementTree.fromstring(domain.XMLDesc())
    stats = _bulk(domain)
    assert root.findtext("name") == "guest-00000"
    assert root.get("id") == str(domain.ID())
    assert [s.get("file") for s in root.iterfind("devices/disk/source")] == [
        stats["block.0.path"],
        stats["block.1.path"],
    ]
    target = root.find("devices/interface/target")
    assert target is not None
    assert target.get("dev") == stats["net.0.name"]
    assert root.find(f"metadata/{{{NOVA}}}instance") is not None


def test_metadata_is_told_and_can_be_missing(host, connection):
    domain = _first(connection)
    element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NOVA)
    assert ElementTree.fromstring(element).find(f"{{{NOVA}}}owner") is not None
    assert domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None) == "Guest 0"
    host.control.set_metadata("guest-00000", "urn:mine", "<team>blue</team>")
    assert domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "urn:mine") == "<team>blue</team>"
    host.control.set_metadata("guest-00000", "urn:mine", None)
    with pytest.raises(libvirt.libvirtError) as raised:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "urn:mine")
    assert raised.value.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA


def test_a_renamed_domain_keeps_its_uuid_and_a_restarted_one_gets_a_new_id(host, connection):
    domain = _first(connection)
    host.control.rename("guest-00000", "guest, renamed")
    renamed = connection.lookupByUUID(domain.UUID())
    host.control.rename("guest, renamed", "guest-00000")
    assert renamed.name() == "guest, renamed"
    host.control.stop("guest-00000")
    host.control.start("guest-00000")
    assert connection.lookupByUUID(domain.UUID()).ID() > domain.ID()


@pytest.mark.parametrize("name", ["new\nline", "comma,space equals=\"quote'", "日本", "a" * 500])
def test_any_name_reaches_the_client(host, connection, name):
    host.control.add(name)
    try:
        assert name in [domain.name() for domain in connection.listAllDomains(1)]
        assert name in [record[0].name() for record in connection.getAllDomainStats(1)]
    finally:
        host.control.remove(name)


def test_a_procedure_that_is_not_simulated_is_refused_as_unsupported(host, connection):
    for call in (connection.listAllNetworks, _first(connection).schedulerType):
        with pytest.raises(libvirt.libvirtError) as raised:
            call()
        assert raised.value.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT


def test_thousands_of_domains_fit_into_one_answer():
    with SimHost(domains=2000) as host:
        records = libvirt.openReadOnly(host.uri).getAllDomainStats(0, 1)
    assert len(records) == 2000
    assert len({record[0].UUIDString() for record in records}) == 2000
    assert all(len(record[1]) == len(records[0][1]) for record in records)


def test_a_domain_says_in_bulk_exactly_what_a_test_wants_by_group_and_type(host, connection):
    name = host.control.add()[0]
    try:
        said = {"state.state": (wire.INT, 1), "net.2.rx.bytes": (wire.ULLONG, 2**64 - 1)}
        host.control.say(name, {**said, "block.0.name": (wire.STRING, "vda")})
        domain = connection.lookupByName(name)
        wanted = keys.ALL_GROUPS & ~keys.BLOCK
        [(_, stats)] = connection.domainListGetStats([domain], wanted, 0)
        assert stats == {key: value for key, (_, value) in said.items()}
    finally:
        host.control.remove(name)
