"""Messages of libvirt's protocol: the frame around each, and the values several procedures
share (a domain, a typed parameter, an error). Pure: bytes in, bytes out; no sockets."""

from __future__ import annotations

import struct
from typing import Callable, NamedTuple

from . import xdr

REMOTE_PROGRAM, REMOTE_VERSION = 0x20008086, 1
KEEPALIVE_PROGRAM, KEEPALIVE_VERSION = 0x6B656570, 1
PING, PONG = 1, 2

CALL, REPLY, EVENT = 0, 1, 2
OK, ERROR = 0, 1

MESSAGE_MAX = 33554432  # without the length word; libvirt since 5.x
LENGTH_WORD = 4
DOMAIN_LIST_MAX = 16384
PARAMETERS_MAX = 262144  # of one record

_HEADER = struct.Struct(">IIIiiIi")
HEADER_SIZE = _HEADER.size

# Wire types of a typed parameter.
INT, UINT, LLONG, ULLONG, DOUBLE, BOOLEAN, STRING = range(1, 8)

TYPED = {
    INT: xdr.int32,
    UINT: xdr.uint,
    LLONG: xdr.hyper,
    ULLONG: xdr.uhyper,
    DOUBLE: xdr.double,
    BOOLEAN: xdr.int32,
    STRING: xdr.string,
}
_UNTYPED: dict[int, Callable[[xdr.Reader], int | float | str]] = {
    INT: xdr.Reader.int32,
    UINT: xdr.Reader.uint,
    LLONG: xdr.Reader.hyper,
    ULLONG: xdr.Reader.uhyper,
    DOUBLE: xdr.Reader.double,
    BOOLEAN: xdr.Reader.int32,
    STRING: xdr.Reader.string,
}


class BadFrame(Exception):
    """A length word or header no peer of good will sends: the connection is closed."""


class Message(NamedTuple):
    program: int
    version: int
    procedure: int
    type: int
    serial: int
    status: int
    body: bytes


class Identity(NamedTuple):
    """How the protocol names a domain; id is -1 for one that is not running."""

    name: str
    uuid: bytes
    id: int


class Parameter(NamedTuple):
    field: str
    type: int
    value: int | float | bool | str | bytes


def frame(message: Message) -> bytes:
    """The bytes of a message, length word first."""
    return (
        _HEADER.pack(
            _HEADER.size + len(message.body),
            message.program,
            message.version,
            message.procedure,
            message.type,
            message.serial,
            message.status,
        )
        + message.body
    )


class Splitter:
    """Cuts a stream of bytes into messages. Give it what arrives, take messages one by one:
    what is not taken stays, which is how a client is throttled."""

    def __init__(self, message_max: int = MESSAGE_MAX) -> None:
        self._buffer = bytearray()
        self._message_max = message_max

    def feed(self, content: bytes) -> None:
        self._buffer += content

    def take(self) -> Message | None:
        """The next whole message, None while it is incomplete. Raises BadFrame."""
        buffer = self._buffer
        if len(buffer) < LENGTH_WORD:
            return None
        length = int.from_bytes(buffer[:LENGTH_WORD], "big")
        if not _HEADER.size <= length <= self._message_max + LENGTH_WORD:
            raise BadFrame(f"length {length}")
        if len(buffer) < length:
            return None
        _, program, version, procedure, kind, serial, status = _HEADER.unpack_from(buffer)
        body = bytes(buffer[_HEADER.size : length])
        del buffer[:length]
        return Message(program, version, procedure, kind, serial, status, body)


def identity(of: Identity) -> bytes:
    return xdr.string(of.name) + xdr.fixed(of.uuid) + xdr.int32(of.id)


def read_identity(reader: xdr.Reader) -> Identity:
    return Identity(reader.string(), reader.fixed(16), reader.int32())


def parameter(field: str, type: int, value) -> bytes:
    """A typed parameter. A type the protocol does not know carries its value as a string."""
    return xdr.string(field) + xdr.int32(type) + TYPED.get(type, xdr.string)(value)


def read_parameter(reader: xdr.Reader) -> Parameter:
    field, type = reader.string(), reader.int32()
    if type not in _UNTYPED:
        raise xdr.Malformed(f"parameter {field} has type {type}")
    return Parameter(field, type, _UNTYPED[type](reader))


def read_record(reader: xdr.Reader) -> tuple[Identity, list[Parameter]]:
    """A domain's record in the bulk call's answer."""
    of = read_identity(reader)
    return of, reader.array(lambda: read_parameter(reader), PARAMETERS_MAX)


# Error codes and domains (who reports) of virterror.h, as far as they occur here.
INTERNAL_ERROR, NO_SUPPORT, INVALID_ARG, OPERATION_FAILED = 1, 3, 8, 9
OPERATION_DENIED, SYSTEM_ERROR, RPC, NO_DOMAIN = 29, 38, 39, 42
OPERATION_INVALID, OPERATION_TIMEOUT, ARGUMENT_UNSUPPORTED, NO_METADATA = 55, 68, 74, 80
OPERATION_UNSUPPORTED = 84
AUTH_FAILED, AGENT_UNRESPONSIVE = 45, 86
FROM_NONE, FROM_RPC, FROM_QEMU, FROM_DOMAIN = 0, 7, 10, 20
_LEVEL_ERROR = 2

# The text libvirt puts around the detail, per code.
_FORMS = {
    INTERNAL_ERROR: "internal error: %s",
    NO_SUPPORT: "this function is not supported by the connection driver: %s",
    INVALID_ARG: "invalid argument: %s",
    OPERATION_FAILED: "operation failed: %s",
    OPERATION_DENIED: "operation forbidden: %s",
    SYSTEM_ERROR: "%s",
    RPC: "%s",
    NO_DOMAIN: "Domain not found: %s",
    OPERATION_INVALID: "Requested operation is not valid: %s",
    OPERATION_TIMEOUT: "Timed out during operation: %s",
    OPERATION_UNSUPPORTED: "Operation not supported: %s",
    ARGUMENT_UNSUPPORTED: "argument unsupported: %s",
    NO_METADATA: "metadata not found: %s",
    AUTH_FAILED: "authentication failed: %s",
    AGENT_UNRESPONSIVE: "Guest agent is not responding: %s",
}


class Refusal(Exception):
    """An answer that is an error: libvirt's code, who reports it, the detail."""

    def __init__(self, code: int, detail: str, reporter: int = FROM_QEMU) -> None:
        super().__init__(code, detail, reporter)
        self.code, self.detail, self.reporter = code, detail, reporter

    def body(self) -> bytes:
        """The remote_error of the reply."""
        form = _FORMS.get(self.code, "%s")
        return self._remote_error(form.replace("%s", self.detail), (form, self.detail, None), -1)

    def _remote_error(self, message: str, texts: tuple, number: int) -> bytes:
        return b"".join(
            (
                xdr.int32(self.code),
                xdr.int32(self.reporter),
                xdr.optional(xdr.string(message)),
                xdr.int32(_LEVEL_ERROR),
                xdr.optional(None),  # domain: unused
                *(xdr.optional(None if text is None else xdr.string(text)) for text in texts),
                xdr.int32(number),
                xdr.int32(number),
                xdr.optional(None),  # network: unused
            )
        )


class UnknownFlags(Refusal):
    """A function got flags it does not know, which libvirt reports in a way of its own."""

    def __init__(self, flags: int, function: str) -> None:
        super().__init__(INVALID_ARG, f"unsupported flags (0x{flags:x}) in function {function}")
        self._function = function

    def body(self) -> bytes:
        return self._remote_error(self.detail, (self._function, "flags", None), 0)
