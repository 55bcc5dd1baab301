"""The daemon's admin interface: three calls, and whatever may come back for them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

import pytest
from domstats.errors import CallError, HypervisorError
from domstats.hypervisor import admin
from domstats.hypervisor.admin import AdminConnection, socket_path

from tests.simhost import wire, xdr

UINT, STRING, DOUBLE = 2, 7, 5
OPEN, LIST, THREADPOOL, LIMITS = 1, 4, 6, 12


def parameters(*values: tuple[str, int, object]) -> bytes:
    return xdr.array(wire.parameter(name, kind, value) for name, kind, value in values)


ANSWERS: dict[int, bytes] = {
    OPEN: b"",
    LIST: xdr.array([xdr.string("admin"), xdr.string("libvirtd")]) + xdr.uint(2),
    THREADPOOL: parameters(
        ("minWorkers", UINT, 5),
        ("mood", STRING, "sunny"),
        ("nWorkers", UINT, 7),
        ("load", DOUBLE, 0.5),
        ("freeWorkers", UINT, 4),
        ("maxWorkers", UINT, 20),
        ("prioWorkers", UINT, 5),
        ("jobQueueDepth", UINT, 2),
    ),
    LIMITS: parameters(
        ("nclients_max", UINT, 5000), ("nclients", UINT, 8), ("nclients_unauth", UINT, 1)
    ),
}


class Daemon:
    """Answers on an admin socket until it is closed."""

    def __init__(self, path: Path) -> None:
        self.uri = f"libvirtd:///system?socket={path}"
        self.answers = dict(ANSWERS)
        self.refusal: Optional[wire.Refusal] = None
        self.hangs_up = False
        self.change: Callable[[bytes], bytes] = lambda reply: reply
        self.asked: list[tuple[int, bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, suppress(OSError):  # who does not like an answer hangs up
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        splitter = wire.Splitter()
        while content := client.recv(4096):
            splitter.feed(content)
            message = splitter.take()
            if message is not None:
                hangs_up = self.hangs_up  # not what the test says when it has the answer
                client.sendall(self.change(self._reply(message)))
                if hangs_up:
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):  # or the answer is lost with what is not read
                        pass
                    return

    def _reply(self, message: wire.Message) -> bytes:
        self.asked.append((message.procedure, message.body))
        body, status = self.answers[message.procedure], wire.OK
        if self.refusal is not None:
            body, status = self.refusal.body(), wire.ERROR
        return wire.frame(message._replace(type=wire.REPLY, status=status, body=body))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "admin-sock")
    yield made
    made.close()


@pytest.fixture
def connection(daemon: Daemon) -> Iterator[AdminConnection]:
    made = AdminConnection(daemon.uri)
    yield made
    made.close()


def test_workers_and_clients(daemon: Daemon, connection: AdminConnection) -> None:
    for _ in range(2):
        load = connection.load()
        assert (load.least, load.most, load.workers, load.free, load.busy) == (5, 20, 7, 4, 3)
        assert (load.priority, load.jobs) == (5, 2)
        assert (load.clients, load.clients_most, load.unauthenticated) == (8, 5000, 1)
    server = xdr.string("libvirtd") + xdr.uint(0)
    once = [(OPEN, xdr.uint(0)), (LIST, xdr.uint(1) + xdr.uint(0))]
    each = [(THREADPOOL, server), (LIMITS, server)]
    assert daemon.asked == once + each + each, "and nothing that changes anything"


def test_an_error_is_libvirts_and_the_connection_goes_on(
    daemon: Daemon, connection: AdminConnection
) -> None:
    connection.load()
    daemon.refusal = wire.Refusal(wire.OPERATION_DENIED, "read\nonly")
    with pytest.raises(CallError, match="operation forbidden: read only"):
        connection.load()
    daemon.refusal = None
    assert connection.load().busy == 3
    assert [procedure for procedure, _ in daemon.asked].count(OPEN) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda reply: reply[:28], HypervisorError),
        (lambda reply: b"\0\0\0\5" + reply[4:], CallError),
        (lambda reply: b"\xff\xff\xff\xff" + reply[4:], CallError),
        (lambda reply: reply[:28] + b"\0\0\xff\0" + reply[32:], CallError),
        (lambda reply: reply[:32] + b"\0\0\xff\0" + reply[36:], CallError),
    ],
    ids=["cut off", "short", "huge", "more than there is", "a text that is too long"],
)
def test_an_answer_that_is_none_is_an_error_and_the_next_one_counts(
    daemon: Daemon, connection: AdminConnection, change: Callable[[bytes], bytes],
    error: type[Exception],
) -> None:  # fmt: skip
    connection.load()
    daemon.change, daemon.hangs_up = change, True
    with pytest.raises(error, match="libvirtd:///system"):
        connection.load()
    daemon.change, daemon.hangs_up = lambda reply: reply, False
    assert connection.load().busy == 3


def test_who_does_not_answer_is_waited_for_so_long_only(
    daemon: Daemon, connection: AdminConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_PATIENCE_S", 0.01)
    daemon.change = lambda reply: b""
    with pytest.raises(HypervisorError, match="timed out"):
        connection.load()


def test_a_daemon_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="No such file"):
        AdminConnection(f"libvirtd:///system?socket={tmp_path}/none").load()


def test_the_socket_is_where_libvirts_own_client_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert socket_path("libvirtd:///system") == "/run/libvirt/libvirt-admin-sock"
    assert socket_path("virtqemud:///system") == "/run/libvirt/virtqemud-admin-sock"
    assert socket_path("libvirtd:///session") == "/run/user/7/libvirt/libvirt-admin-sock"
    assert socket_path("libvirtd:///system?socket=/a%20b") == "/a b"
    for uri in ("qemu:///system", "libvirtd:///", "libvirtd://host/system"):
        with pytest.raises(HypervisorError, match="no such admin interface"):
            socket_path(uri)
