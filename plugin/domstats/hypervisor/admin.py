"""The workers and clients of libvirt's daemon, by its admin interface: calls that only read.

libvirt-python has nothing of that interface, and libvirt's C library for it cannot be used in a
process that uses libvirt itself: both register the same types with GLib, which then refuses to make
a connection. So the three calls are made here, as messages on the daemon's admin socket (libvirt's
``admin_protocol.x``). The daemon answers them by workers of their own, also when all others are
stuck. Only root may connect.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Optional, Union
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import CallError, HypervisorError
from ..host_sample import DaemonLoad

#: Seconds for which one answer is waited for.
_PATIENCE_S = 10.0
_PROGRAM, _VERSION = 0x06900690, 1
_OPEN, _LIST_SERVERS, _GET_THREADPOOL, _GET_CLIENT_LIMITS = 1, 4, 6, 12
_CALL, _REPLY, _OK = 0, 1, 0
#: Length, program, version, procedure, type, serial, status.
_HEADER = struct.Struct(">IIIiiIi")
_UINT = struct.Struct(">I")
#: Bytes of a message at most; real ones have a few hundred.
_LARGEST = 65536
#: The name of the server, in each daemon, that serves the admin interface itself.
_ITSELF = "admin"

#: By virTypedParameterType: how the value stands in a message; a text has its length before it.
_TYPES: Mapping[int, struct.Struct] = {
    1: struct.Struct(">i"),
    2: struct.Struct(">I"),
    3: struct.Struct(">q"),
    4: struct.Struct(">Q"),
    5: struct.Struct(">d"),
    6: struct.Struct(">i"),
}
_STRING = 7


def socket_path(uri: str) -> str:
    """The socket of an admin URI, as libvirt's own client finds it.

    ``libvirtd:///system`` or ``virtqemud:///system`` (or ``session``), each with ``?socket=PATH``
    if that lies elsewhere. Raises HypervisorError for any other.
    """
    parts = urlsplit(uri)
    given = parse_qs(parts.query).get("socket")
    if given:
        return given[0]
    name = "libvirt" if parts.scheme == "libvirtd" else parts.scheme
    folders = {
        "/system": "/run/libvirt",
        "/session": os.path.join(
            os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "libvirt"
        ),
    }
    folder = folders.get(unquote(parts.path))
    if folder is None or parts.netloc or not name.startswith(("libvirt", "virt")):
        raise HypervisorError(
            f"{uri}: no such admin interface; it is libvirtd:///system, or virtqemud:///system"
            " where daemons are modular"
        )
    return os.path.join(folder, f"{name}-admin-sock")


class AdminConnection:
    """A connection to a daemon's admin interface, opened by the first call that needs it.

    A connection belongs to one thread.

    :param uri: of a daemon on this host; see ``socket_path``.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._socket: Optional[socket.socket] = None
        self._server = ""
        self._serial = 0

    def load(self) -> DaemonLoad:
        """The workers and clients of the daemon's server for hypervisors.

        Raises HypervisorError if it cannot be reached or does not answer, CallError if it answers
        with an error.
        """
        try:
            pool, clients = self._ask()
        except OSError as error:
            self.close()
            what = error.strerror or str(error) or type(error).__name__
            raise HypervisorError(f"{self._uri}: {what}") from None
        except (struct.error, ValueError) as error:
            self.close()
            raise CallError(f"{self._uri}: an answer cannot be understood: {error}") from None
        workers, free = pool.get("nWorkers"), pool.get("freeWorkers")
        return DaemonLoad(
            time.time_ns(),
            least=pool.get("minWorkers"),
            most=pool.get("maxWorkers"),
            workers=workers,
            free=free,
            busy=None if workers is None or free is None else workers - free,
            priority=pool.get("prioWorkers"),
            jobs=pool.get("jobQueueDepth"),
            clients=clients.get("nclients"),
            clients_most=clients.get("nclients_max"),
            unauthenticated=clients.get("nclients_unauth"),
        )

    def close(self) -> None:
        """Close it; the next call opens it anew."""
        connected, self._socket = self._socket, None
        if connected is not None:
            with suppress(OSError):
                connected.close()

    def _ask(self) -> tuple[dict[str, int], dict[str, int]]:
        if self._socket is None:
            self._connect()
        name = _text(self._server)
        return (
            self._call(_GET_THREADPOOL, name + _UINT.pack(0)).parameters(),
            self._call(_GET_CLIENT_LIMITS, name + _UINT.pack(0)).parameters(),
        )

    def _connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = made
        made.settimeout(_PATIENCE_S)
        made.connect(socket_path(self._uri))
        self._call(_OPEN, _UINT.pack(0))
        answer = self._call(_LIST_SERVERS, _UINT.pack(1) + _UINT.pack(0))
        names = [answer.text() for _ in range(answer.uint())]
        others = [name for name in names if name != _ITSELF]
        if not others:
            raise ValueError("the daemon has no server for hypervisors")
        self._server = others[0]

    def _call(self, procedure: int, arguments: bytes) -> _Answer:
        """Make a call. Raises OSError, ValueError or struct.error, or CallError for its error."""
        assert self._socket is not None
        self._serial += 1
        length = _HEADER.size + len(arguments)
        head = (length, _PROGRAM, _VERSION, procedure, _CALL, self._serial, _OK)
        self._socket.sendall(_HEADER.pack(*head) + arguments)
        while True:
            length, program, _, _, kind, serial, status = _HEADER.unpack(
                self._received(_HEADER.size)
            )
            if not _HEADER.size <= length <= _LARGEST:
                raise ValueError(f"a message of {length} bytes")
            answer = _Answer(self._received(length - _HEADER.size))
            if (program, kind, serial) == (_PROGRAM, _REPLY, self._serial):
                break
        if status != _OK:
            answer.uint(), answer.uint()  # the error's code, and who reports it
            said = answer.text() if answer.uint() else "unknown error"
            raise CallError(f"{self._uri}: {' '.join(said.split())}")
        return answer

    def _received(self, size: int) -> bytes:
        assert self._socket is not None
        content = b""
        while len(content) < size:
            piece = self._socket.recv(size - len(content))
            if not piece:
                raise ConnectionResetError("the daemon has closed the connection")
            content += piece
        return content


def _text(text: str) -> bytes:
    content = text.encode()
    return _UINT.pack(len(content)) + content + bytes(-len(content) % 4)


class _Answer:
    """Reads what an answer holds, one value after another (XDR, RFC 4506)."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def uint(self) -> int:
        return int(self._value(_UINT))

    def text(self) -> str:
        length = self.uint()
        begin, self._at = self._at, self._at + length + (-length % 4)
        if self._at > len(self._content):
            raise ValueError("a text is cut off")
        return self._content[begin : begin + length].decode("utf-8", "replace")

    def parameters(self) -> dict[str, int]:
        """The integers among typed parameters, by name."""
        found: dict[str, int] = {}
        for _ in range(self.uint()):
            name, kind = self.text(), self.uint()
            if kind == _STRING:
                self.text()
            elif kind in _TYPES:
                value = self._value(_TYPES[kind])
                if isinstance(value, int):
                    found[name] = value
            else:
                raise ValueError(f"a value of type {kind}")
        return found

    def _value(self, form: struct.Struct) -> Union[int, float]:
        (value,) = form.unpack_from(self._content, self._at)
        self._at += form.size
        found: Union[int, float] = value
        return found
