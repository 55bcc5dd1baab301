"""What a storage pool's XML (virStoragePoolGetXMLDesc) says that its other calls do not."""

from __future__ import annotations

from typing import NamedTuple
from xml.etree.ElementTree import ParseError, XMLParser, fromstring

from .disk_paths import safe_xml


class PoolPlace(NamedTuple):
    """A pool's type (``dir``, ``netfs``, ``rbd``, …), and its target path; empty if it has none."""

    type: str = ""
    path: str = ""


def pool_place(xml: str) -> PoolPlace:
    """The type and place of a pool; empty for what cannot be read."""
    try:
        root = fromstring(safe_xml(xml), XMLParser(encoding="utf-8"))
    except (ParseError, ValueError):
        return PoolPlace()
    return PoolPlace(root.get("type", ""), root.findtext("target/path", ""))
