"""How foreign text (a tenant's name, a wrong setting, an error's words) is shown to people.

It may hold anything; what comes out is one line without control characters, of bounded length,
so that it can neither forge a log line nor move a terminal's cursor.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

#: Control characters, the bidirectional and line separators, and lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    known = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if known is not None:
        return known
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def first_of(texts: Sequence[str], most: int) -> str:
    """The first of some texts, and how many there are beside: ``a, b and 7 more``."""
    named = ", ".join(texts[:most])
    return named if len(texts) <= most else f"{named} and {len(texts) - most} more"


def one_line(text: str, limit: int = 0) -> str:
    """The text on one line, with control characters as escapes.

    :param limit: characters at most, the cut told by an ellipsis; 0 for no limit.
    """
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    text = _UNSAFE.sub(_escaped, text)
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text


def cut_bytes(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes at most ``limit`` bytes of UTF-8."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore")


def shown(value: object, limit: int = 80) -> str:
    """A value as a message quotes it: its ``repr`` on one line, cut to ``limit`` characters."""
    return one_line(repr(value), limit)


def say(text: str) -> None:
    """Tell the person who typed a command something, in one line on stderr."""
    print(f"domstats: {one_line(text)}", file=sys.stderr)


def write(content: bytes) -> None:
    """Write to stdout, at once."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
