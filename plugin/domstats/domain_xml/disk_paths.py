"""Where a domain's disks lie, from its XML (libvirt's XMLDesc): files, devices and folders of
this host, and, by an opaque name each, the storage that only QEMU itself reaches.

Pure: text in, names out; whether such a path exists, and on which mount, is the storage watch's
business. The XML is not to be trusted: tenants choose names and metadata in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, XMLParser, fromstring

__all__ = ["XML_MOST", "DiskSources", "disk_paths", "network_hosts", "parse_domain", "safe_xml"]

XML_MOST = 1024 * 1024  # bytes; the XML of a domain with hundreds of disks is a fifth of it
_DEPTH_MOST = 256  # elements within elements; a chain of 200 backing files has 203

# Where a <source> is one that QEMU reads; a <source> below e.g. <reservations> is not.
_HOLDERS = frozenset({"disk", "backingStore", "mirror", "dataStore"})
_LOCAL = ("file", "dev", "dir")

# What of a network source's name tells one storage from another on the same hosts: the first
# part of the name. For the other protocols (nbd, http, ssh, …) the host is all there is to hang.
_SHARED_BY_NAME = frozenset({"rbd", "iscsi", "gluster"})


class DiskSources(NamedTuple):
    """All that a block query of a domain may touch, backing files and mirrors included.

    `paths`: local files, block devices and folders, as the XML has them (maybe relative, maybe
    links). `remote`: a text for each storage without a local path, equal for two domains if a
    hang of it would meet both: `rbd:POOL@HOSTS`, `iscsi:TARGET@HOSTS`, `gluster:VOLUME@HOSTS`,
    `PROTOCOL:@HOSTS`, `volume:POOL` (a storage pool's volume that libvirt names only so).
    No order is promised but that it is the same for the same XML; nothing is listed twice.
    """

    paths: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


def disk_paths(domain: Element) -> DiskSources:
    """The sources of all disks, cdroms and floppies of a parsed domain."""
    paths: dict[str, None] = {}
    remote: dict[str, None] = {}
    for source in _sources(domain):
        for attribute in _LOCAL:
            path = source.get(attribute)
            if path:
                paths[path] = None
        if source.get("protocol"):
            remote[_network_name(source)] = None
        elif source.get("pool"):
            remote[f"volume:{source.get('pool')}"] = None
    return DiskSources(tuple(paths), tuple(remote))


def parse_domain(xml: str) -> Element:
    """A domain's XML, parsed; nothing in it can make the parser fetch or unfold anything.

    Raises ValueError, with a text for the log, if ``safe_xml`` does, if it is no XML of a domain,
    or if its elements are nested deeper than any of libvirt's: then nothing is known.
    """
    text = safe_xml(xml)
    try:
        root = fromstring(text, XMLParser(encoding="utf-8"))  # whatever its head says: it was text
    except ParseError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None
    if _is_too_deep(root):
        raise ValueError(f"the domain's XML cannot be read: it is more than {_DEPTH_MOST} deep")
    if root.tag != "domain":
        raise ValueError("the XML is not that of a domain")
    return root


def safe_xml(xml: str) -> bytes:
    """A domain's XML in UTF-8, of bounded size and without a document type, to be parsed.

    If it is larger than XML_MOST, it comes without its metadata, which are a tenant's and may be
    of any size. Raises ValueError, with a text for the log, if it is larger all the same, or has a
    document type (libvirt never writes one).
    """
    try:
        text = xml.encode()
    except UnicodeEncodeError:
        raise ValueError("the domain's XML holds characters that are none") from None
    if len(text) > XML_MOST:
        text = _without_metadata(text)
    if len(text) > XML_MOST:
        raise ValueError(f"the domain's XML has {len(text)} bytes, more than {XML_MOST}")
    if _has_document_type(text):
        raise ValueError("the domain's XML has a document type, which libvirt never writes")
    return text


# What may stand before a document type: a byte order mark, blanks, instructions, comments.
_BEFORE_TYPE = re.compile(rb"\xef\xbb\xbf|\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)


def _has_document_type(xml: bytes) -> bool:
    at = 0
    passed = _BEFORE_TYPE.match(xml)
    while passed is not None:
        at = passed.end()
        passed = _BEFORE_TYPE.match(xml, at)
    return xml.startswith(b"<!DOCTYPE", at)


def _is_too_deep(root: Element) -> bool:
    level = [root]
    for _ in range(_DEPTH_MOST):
        level = [child for element in level for child in element]
    return bool(level)


_METADATA = re.compile(rb"<metadata[\s>]")
_METADATA_END = b"</metadata>"


def _without_metadata(xml: bytes) -> bytes:
    """A domain's XML without its metadata, by text alone, in one pass.

    In what libvirt writes, the first such tag is the domain's own, since in the texts before it
    every ``<`` is escaped, and so is the last, since all that follows is libvirt's own. What is
    cut out that way of an XML that is otherwise does not parse.
    """
    begin = _METADATA.search(xml)
    end = xml.rfind(_METADATA_END)
    if begin is None or end < begin.start():
        return xml
    return xml[: begin.start()] + xml[end + len(_METADATA_END) :]


def _sources(domain: Element) -> Iterator[Element]:
    for disk in domain.iterfind("devices/disk"):
        for holder in disk.iter():
            if holder.tag in _HOLDERS:
                yield from holder.iterfind("source")
        # The form of a mirror before libvirt 1.2.6: the file is an attribute of it.
        yield from disk.iterfind("mirror[@file]")


def _network_name(source: Element) -> str:
    protocol = source.get("protocol", "")
    shared = source.get("name", "").partition("/")[0] if protocol in _SHARED_BY_NAME else ""
    return f"{protocol}:{shared}@{','.join(network_hosts(source))}"


def network_hosts(source: Element) -> list[str]:
    """The hosts of a network source, sorted: two domains may list a cluster's in any order."""
    hosts = set()
    for host in source.iterfind("host"):
        name = host.get("name") or host.get("socket") or ""
        port = host.get("port")
        hosts.add(f"{name}:{port}" if port else name)
    return sorted(hosts)
