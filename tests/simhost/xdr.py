"""XDR (RFC 4506), as far as libvirt's protocol uses it: plain functions from values to bytes,
and a Reader the other way. Knows nothing about messages, procedures or domains."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Callable, TypeVar

_UINT = struct.Struct(">I")
_INT = struct.Struct(">i")
_UHYPER = struct.Struct(">Q")
_HYPER = struct.Struct(">q")
_DOUBLE = struct.Struct(">d")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

uint = _UINT.pack
int32 = _INT.pack
uhyper = _UHYPER.pack
hyper = _HYPER.pack
double = _DOUBLE.pack

T = TypeVar("T")


class Malformed(Exception):
    """The bytes are not what the procedure's argument type says."""


def fixed(content: bytes) -> bytes:
    """Opaque bytes of a length both sides know, padded to four."""
    return content + _PADDING[len(content) % 4]


def opaque(content: bytes) -> bytes:
    """Opaque bytes with their count, padded to four."""
    return _UINT.pack(len(content)) + content + _PADDING[len(content) % 4]


def string(text: str | bytes) -> bytes:
    """A text; bytes and surrogates (from broken UTF-8) go out as they are, for hostile names."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    return opaque(text)


def optional(encoded: bytes | None) -> bytes:
    """A value that may be missing: a flag, then the value."""
    return b"\0\0\0\0" if encoded is None else b"\0\0\0\1" + encoded


def array(items: Iterable[bytes]) -> bytes:
    """Encoded items with their count."""
    items = list(items)
    return _UINT.pack(len(items)) + b"".join(items)


class Reader:
    """Reads values one after the other out of a message's body. Raises Malformed."""

    def __init__(self, content: bytes, position: int = 0) -> None:
        self._content = content
        self._position = position

    def _take(self, form: struct.Struct):
        try:
            (value,) = form.unpack_from(self._content, self._position)
        except struct.error as error:
            raise Malformed(f"too short at byte {self._position}") from error
        self._position += form.size
        return value

    def uint(self) -> int:
        return self._take(_UINT)

    def int32(self) -> int:
        return self._take(_INT)

    def uhyper(self) -> int:
        return self._take(_UHYPER)

    def hyper(self) -> int:
        return self._take(_HYPER)

    def double(self) -> float:
        return self._take(_DOUBLE)

    def fixed(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._content):
            raise Malformed(f"{size} bytes announced at byte {self._position}, fewer came")
        content = self._content[self._position : end]
        self._position = end + (-size % 4)
        return bytes(content)

    def opaque(self) -> bytes:
        return self.fixed(self.uint())

    def string(self) -> str:
        return self.opaque().decode("utf-8", "surrogateescape")

    def optional(self, read: Callable[[], T]) -> T | None:
        return read() if self.uint() else None

    def array(self, read: Callable[[], T], most: int) -> list[T]:
        """At most `most` items, the protocol's limit for this array."""
        count = self.uint()
        if count > most:
            raise Malformed(f"{count} items, {most} are allowed")
        return [read() for _ in range(count)]

    @property
    def rest(self) -> int:
        """Bytes that were not read yet."""
        return len(self._content) - self._position
