"""Lifecycle events and keepalive. Both need libvirt's event loop, which once registered belongs
to the whole process: the clients of these tests are processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.simhost import SimHost
from tests.simhost.conftest import wait_until

pytest.importorskip("libvirt")

_CLIENT = """
import json, sys, threading, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
def turn():
    while True:
        libvirt.virEventRunDefaultImpl()
threading.Thread(target=turn, daemon=True).start()
def say(*what):
    print(json.dumps(what), flush=True)
connection = libvirt.openReadOnly(sys.argv[1])
"""
_WATCH_EVENTS = (
    _CLIENT
    + """
number = connection.domainEventRegisterAny(
    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    lambda connection, domain, event, detail, _: say(domain.name(), event, detail), None)
say("ready")
sys.stdin.readline()
connection.domainEventDeregisterAny(number)
say("deregistered")
sys.stdin.readline()
"""
)
_STAY_ALIVE = (
    _CLIENT
    + """
connection.setKeepAlive(1, 1)
ended = threading.Event()
connection.registerCloseCallback(lambda connection, reason, _: ended.set() or say(reason), None)
say("ready")
ended.wait(30)
"""
)
_STAY_SILENT = """
import sys, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()  # and nobody runs it: pings are not answered
connection = libvirt.openReadOnly(sys.argv[1])
print('["ready"]', flush=True)
sys.stdin.readline()
try:
    connection.getHostname()
except libvirt.libvirtError as error:
    print('["broken"]', flush=True)
"""


class _Client:
    """A client process that says lists, a line each."""

    def __init__(self, script: str, uri: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.says() == ["ready"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def says(self):
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def goes_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED = range(6)


def test_clients_hear_of_domains_that_come_change_and_go(host):
    with _Client(_WATCH_EVENTS, host.uri) as client:
        host.control.add("mayfly")
        assert [client.says(), client.says()] == [["mayfly", DEFINED, 0], ["mayfly", STARTED, 0]]
        host.control.suspend("mayfly")
        assert client.says() == ["mayfly", SUSPENDED, 0]
        host.control.resume("mayfly")
        assert client.says() == ["mayfly", RESUMED, 0]
        host.control.rename("mayfly", "dragonfly")
        assert [client.says(), client.says()] == [
            ["mayfly", UNDEFINED, 1],
            ["dragonfly", DEFINED, 2],
        ]
        host.control.remove("dragonfly")
        assert [client.says(), client.says()] == [
            ["dragonfly", STOPPED, 1],
            ["dragonfly", UNDEFINED, 0],
        ]
        client.goes_on()
        assert client.says() == ["deregistered"]
        host.control.suspend("guest-00000")
        calls = host.control.statistics()["calls"]
        assert calls["ConnectDomainEventCallbackDeregisterAny"] == 1


def test_a_client_answers_the_pings_of_the_host():
    options: dict[str, Any] = {"keepalive_interval": 0.1, "keepalive_count": 2}
    with SimHost(domains=1, **options) as host, _Client(_STAY_ALIVE, host.uri):
        wait_until(lambda: host.control.statistics()["pongs"] >= 4)
        statistics = host.control.statistics()
        assert statistics["keepalive_deaths"] == 0
        assert statistics["connections"]["open"] == 1


def test_the_host_answers_pings_until_it_is_told_not_to_and_the_client_gives_up():
    keepalive_error = 2
    with SimHost(domains=1, keepalive_interval=0) as host:
        with _Client(_STAY_ALIVE, host.uri) as client:
            wait_until(lambda: host.control.statistics()["pings"] == 1)
            assert host.control.statistics()["connections"]["open"] == 1
            host.control.answer_pings(False)
            assert client.says() == [keepalive_error]
        wait_until(lambda: host.control.statistics()["connections"]["open"] == 0)


def test_a_client_that_answers_no_ping_is_dropped():
    options: dict[str, Any] = {"keepalive_interval": 0.05, "keepalive_count": 2}
    with SimHost(domains=1, **options) as host, _Client(_STAY_SILENT, host.uri) as client:
        wait_until(lambda: host.control.statistics()["keepalive_deaths"] == 1)
        client.goes_on()
        assert client.says() == ["broken"]
