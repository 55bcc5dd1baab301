"""What a test can make go wrong, and what the real libvirt makes of it."""

from __future__ import annotations

import concurrent.futures
import os
import time
from pathlib import Path

import pytest

from tests.simhost import ControlError, SimHost, faults
from tests.simhost.conftest import started, wait_until

libvirt = pytest.importorskip("libvirt")

RPC, SYSTEM_ERROR = libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR

# What the client's call ends with, and whether its connection lives on.
ENDS_WITH = {
    "truncated": (RPC, "Unable to decode message payload", True),
    "garbage": (RPC, "Unable to decode message payload", True),
    "huge_count": (RPC, "Unable to decode message payload", True),
    "no_body": (RPC, "Unable to decode message payload", True),
    "wrong_procedure": (libvirt.VIR_ERR_INTERNAL_ERROR, "Unexpected message proc", True),
    "wrong_status": (RPC, "Unexpected message status 9", True),
    "cut_off": (SYSTEM_ERROR, "End of file", False),
    "half_header": (SYSTEM_ERROR, "End of file", False),
    "close": (SYSTEM_ERROR, "End of file", False),
    "oversize": (RPC, "too large", False),
    "undersize": (RPC, "too small", False),
    "wrong_serial": (RPC, "no call waiting for reply", False),
    "wrong_program": (RPC, "no call waiting for reply", False),
    "wrong_type": (RPC, "got unexpected RPC call", False),
}


@pytest.mark.parametrize("mode", ENDS_WITH)
@pytest.mark.parametrize(
    ("procedure", "ask"),
    [
        ("ConnectGetAllDomainStats", lambda connection: connection.getAllDomainStats(0)),
        ("ConnectListAllDomains", lambda connection: connection.listAllDomains(0)),
    ],
    ids=["bulk", "list"],
)
def test_a_spoiled_reply_is_an_error_for_the_client(host, connection, mode, procedure, ask):
    code, text, lives = ENDS_WITH[mode]
    host.control.distort(mode, procedure, times=1)
    with pytest.raises(libvirt.libvirtError, match=text) as raised:
        ask(connection)
    assert raised.value.get_error_code() == code
    assert bool(connection.isAlive()) == lives
    assert len(ask(connection if lives else libvirt.openReadOnly(host.uri))) == 12


def test_a_reply_with_something_behind_it_is_understood(host, connection):
    host.control.distort("trailing", "ConnectListAllDomains")
    assert len(connection.listAllDomains(0)) == 12


def test_a_reply_that_never_comes_keeps_the_client_waiting(host, connection):
    host.control.distort("silence", "ConnectListAllDomains", times=1)
    call = started(connection.listAllDomains, 0)
    wait_until(lambda: host.control.statistics()["calls"].get("ConnectListAllDomains"))
    with pytest.raises(concurrent.futures.TimeoutError):
        call.result(0.1)
    host.control.drop_connections()
    with pytest.raises(libvirt.libvirtError):
        call.result(60)


def _records(host, connection, mode):
    host.control.distort(mode, times=1)
    return connection.getAllDomainStats(0, 0)


def test_records_can_have_keys_nobody_knows(host, connection):
    for _, stats in _records(host, connection, "unknown_keys"):
        assert stats["quantum.entanglement"] == 42
        assert stats["net.0.rx.jumbo"] == 0.5
        assert stats["state.state"] == 1


def test_records_can_lack_keys_or_all_of_them(host, connection):
    whole = connection.getAllDomainStats(0, 0)
    half = _records(host, connection, "missing_keys")
    assert len(half[0][1]) == (len(whole[0][1]) + 1) // 2
    assert [stats for _, stats in _records(host, connection, "no_keys")] == [{}] * 12


def test_a_record_can_have_ten_thousand_keys(host, connection):
    records = _records(host, connection, "many_keys")
    assert len(records[0][1]) > 10_000
    assert len(records[1][1]) < 100


def test_records_can_have_values_of_the_wrong_types(host, connection):
    stats = _records(host, connection, "wrong_types")[0][1]
    assert {type(value) for value in stats.values()} == {str, float, int}
    assert isinstance(stats["block.0.name"], int)


def test_records_can_have_hostile_texts_and_keys(host, connection):
    texts = list(_records(host, connection, "hostile_texts")[0][1].values())
    assert "new\nline" in texts
    assert max(len(text) for text in texts if isinstance(text, str)) == 70_000
    assert "block.-1.rd.bytes" in _records(host, connection, "hostile_keys")[0][1]


def test_texts_that_are_not_utf8_break_libvirt_python_itself(host, connection):
    host.control.distort("broken_texts", times=1)
    with pytest.raises(UnicodeDecodeError):
        connection.getAllDomainStats(0, 0)
    name = b"not utf-8 \xff".decode("utf-8", "surrogateescape")
    host.control.add(name)
    try:
        listed = connection.listAllDomains(1)
    finally:
        host.control.remove(name)
    with pytest.raises(UnicodeDecodeError):
        [domain.name() for domain in listed]


def test_a_type_the_protocol_does_not_know_spoils_the_whole_answer(host, connection):
    with pytest.raises(libvirt.libvirtError, match="Unable to decode message payload"):
        _records(host, connection, "unknown_types")


def test_values_can_be_extreme_and_counters_can_fall(host, connection):
    assert _records(host, connection, "extreme")[0][1]["cpu.time"] == 2**64 - 1
    before = connection.getAllDomainStats(0, 0)[0][1]["block.0.wr.bytes"]
    assert _records(host, connection, "backwards")[0][1]["block.0.wr.bytes"] < before


def test_domains_can_come_twice_not_at_all_or_uninvited(host, connection):
    def names(mode):
        return [record[0].name() for record in _records(host, connection, mode)]

    assert names("empty") == []
    assert len(names("half")) == 6
    assert len(names("duplicate_records")) == 24
    assert set(names("duplicate_names")) == {"guest-00000"}
    assert "stranger-3" in names("strangers")
    assert names("shuffled") != sorted(names("shuffled"))
    assert sorted(names("shuffled")) == sorted(f"guest-{n:05d}" for n in range(12))


def test_every_way_to_spoil_an_answer_is_tested_here():
    source = Path(__file__).read_text()
    assert [mode for mode in faults.MODES if f'"{mode}"' not in source] == []


def test_repeated_keys_are_one_for_the_client(host, connection):
    assert len(_records(host, connection, "duplicate_keys")[0][1]) < 100


def test_a_mode_that_is_not_known_is_refused(host):
    with pytest.raises(ControlError, match="no such mode: upside_down"):
        host.control.distort("upside_down")
    with pytest.raises(ControlError, match="bulk call only"):
        host.control.distort("empty", "DomainGetInfo")


def test_a_procedure_fails_as_often_as_ordered(host, connection):
    code = libvirt.VIR_ERR_OPERATION_FAILED
    host.control.fail("ConnectListAllDomains", times=2, code=code, message="not today")
    for _ in range(2):
        with pytest.raises(libvirt.libvirtError, match="operation failed: not today") as raised:
            connection.listAllDomains()
        assert raised.value.get_error_code() == code
    assert len(connection.listAllDomains()) == 12
    assert host.control.statistics()["errors"] == {str(code): 2}


def test_every_procedure_can_fail(host, connection):
    host.control.fail()
    for call in (connection.getInfo, connection.getAllDomainStats, connection.getHostname):
        with pytest.raises(libvirt.libvirtError, match="simulated failure"):
            call()


def test_an_old_driver_has_no_bulk_call(host, connection):
    host.control.refuse_bulk()
    for call in (
        connection.getAllDomainStats,
        lambda: connection.domainListGetStats(connection.listAllDomains(1)),
    ):
        with pytest.raises(libvirt.libvirtError, match="not supported") as raised:
            call()
        assert raised.value.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT
    assert connection.listAllDomains(1)[0].info()[0] == 1


def test_answers_can_be_late(host, connection):
    host.control.delay(0.2, "ConnectListAllDomains")
    begun = time.monotonic()
    connection.listAllDomains()
    assert time.monotonic() - begun >= 0.2
    host.control.delay(1000.0, "ConnectListAllDomains")
    connection.getHostname()  # others are not


def test_too_large_an_answer_is_refused_and_half_of_it_is_not(host, connection):
    domains = connection.listAllDomains(1)
    host.control.limit_messages(20_000)
    with pytest.raises(libvirt.libvirtError, match="Unable to encode message payload") as raised:
        connection.domainListGetStats(domains)
    assert raised.value.get_error_code() == RPC
    assert connection.isAlive()
    assert len(connection.domainListGetStats(domains[:6])) == 6


def test_connections_can_be_dropped(host, connection):
    assert host.control.drop_connections() == 1
    with pytest.raises(libvirt.libvirtError) as raised:
        connection.getHostname()
    assert raised.value.get_error_code() in (SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR)
    assert not connection.isAlive()
    assert libvirt.openReadOnly(host.uri).getHostname() == "simhost"


def test_connections_can_be_refused_while_open_ones_stay(host, connection):
    host.control.refuse_connections()
    try:
        with pytest.raises(libvirt.libvirtError, match="Failed to connect socket"):
            libvirt.openReadOnly(host.uri)
        assert connection.getHostname() == "simhost"
    finally:
        host.control.refuse_connections(False)
    assert libvirt.openReadOnly(host.uri).getHostname() == "simhost"


def test_the_whole_host_can_stand_still(host, connection):
    host.control.freeze(0.3)
    begun = time.monotonic()
    connection.listAllDomains()
    assert time.monotonic() - begun > 0.2


def test_the_process_can_be_stopped_killed_and_started_again():
    with SimHost(domains=3) as host:
        connection = libvirt.openReadOnly(host.uri)
        host.pause()
        call = started(connection.listAllDomains)
        with pytest.raises(concurrent.futures.TimeoutError):
            call.result(0.1)
        host.proceed()
        assert len(call.result(60)) == 3
        host.restart()
        with pytest.raises(libvirt.libvirtError):
            connection.listAllDomains()
        assert len(libvirt.openReadOnly(host.uri).listAllDomains()) == 3


def test_a_host_ends_with_its_block_even_after_an_error():
    try:
        with SimHost(domains=1) as host:
            pid, uri = host.pid, host.uri
            raise KeyError(pid)
    except KeyError:
        pass
    with pytest.raises(libvirt.libvirtError):
        libvirt.openReadOnly(uri)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_host_that_cannot_start_says_so(capfd):
    with pytest.raises(RuntimeError, match="did not start"):
        SimHost(domains=1, wings=2).__enter__()
    assert "unrecognized arguments: --wings" in capfd.readouterr().err
