"""What collectd calls a domain: parts of an identifier that are valid for it, and no two domains
the same by accident.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

#: Bytes that collectd holds of each part of an identifier.
PART_BYTES = 127

HOSTNAME_FIELDS = ("name", "uuid", "hostname", "metadata")
PLUGIN_INSTANCE_FIELDS = ("name", "uuid", "hostname", "metadata", "none")


class Identity(NamedTuple):
    """Who a domain is for collectd: host and plugin instance."""

    host: str
    plugin_instance: str
_NO_PART = re.compile(r"[/\x00-\x1f\x7f-\x9f]")


@lru_cache(maxsize=16384)
def valid_part(text: str, ending: bool = False) -> str:
    """A text as one part of an identifier, valid for collectd and its write plugins.

    :param text: any text, a domain's name or a path.
    :param ending: add the ending that tells it from other texts, also if it is short enough.
    """
    whole = text.encode("utf-8", "backslashreplace")
    part = whole.decode("utf-8")
    part = "root" if part == "/" else _NO_PART.sub("_", part[part.startswith("/") :])
    if not ending and len(part.encode("utf-8")) <= PART_BYTES:
        return part
    unique = "~" + hashlib.blake2b(whole, digest_size=4).hexdigest()
    room = PART_BYTES - len(unique)
    return part.encode("utf-8")[:room].decode("utf-8", "ignore") + unique


def valid_host(text: str, ending: bool = False) -> str:
    """As valid_part; a write plugin makes a folder of it, which must not be ``.`` or ``..``."""
    part = valid_part(text, ending)
    return "_" * len(part) if part in (".", "..") else part


def before_none(fields: Iterable[str]) -> list[str]:
    """The fields of a format, up to the one that ends it."""
    return list(takewhile(lambda field: field != "none", fields))


def joined(fields: Iterable[str], said: Mapping[str, str]) -> str:
    """The fields of a format with colons between; the name where there is no other text in it.

    Else all domains without metadata would be one for collectd.
    """
    wanted = before_none(fields)
    text = ":".join(said[field] for field in wanted)
    if "metadata" in wanted and not text.strip(":"):
        return said["name"]
    return text
