"""Where a domain's disks lie, from its XML (libvirt's XMLDesc): files, devices and folders of
this host, and, by an opaque name each, the storage that only QEMU itself reaches.

Pure: text in, names out; whether such a path exists, and on which mount, is the storage watch's
business. The XML is not to be trusted: tenants choose names and metadata in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

__all__ = ["XML_MOST", "DiskSources", "disk_paths", "parse_domain"]

XML_MOST = 1024 * 1024  # bytes; the XML of a domain with hundreds of disks is a fifth of it

# Where a <source> is one that QEMU reads; a <source> below e.g. <reservations> is not.
_HOLDERS = frozenset({"disk", "backingStore", "mirror", "dataStore"})
_LOCAL = ("file", "dev", "dir")

# What of a network source's name tells one storage from another on the same hosts: the first
# part of the name. For the other protocols (nbd, http, ssh, …) the host is all there is to hang.
_SHARED_BY_NAME = frozenset({"rbd", "iscsi", "gluster"})


@dataclass(frozen=True)
class DiskSources:
    """All that a block query of a domain may touch, backing files and mirrors included.

    `paths`: local files, block devices and folders, as the XML has them (maybe relative, maybe
    links). `remote`: a text for each storage without a local path, equal for two domains if a
    hang of it would meet both: `rbd:POOL@HOSTS`, `iscsi:TARGET@HOSTS`, `gluster:VOLUME@HOSTS`,
    `PROTOCOL:@HOSTS`, `volume:POOL` (a storage pool's volume that libvirt names only so).
    No order is promised but that it is the same for the same XML; nothing is listed twice.
    """

    paths: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


def disk_paths(domain: etree._Element) -> DiskSources:
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


def parse_domain(xml: str) -> etree._Element:
    """A domain's XML, parsed; nothing in it can make the parser fetch or unfold anything.

    If it is larger than XML_MOST, it is parsed without its metadata, which are a tenant's and may
    be of any size. Raises ValueError, with a text for the log, if it is no XML of a domain, is
    larger all the same, or has a document type (libvirt never writes one): then nothing is known.
    """
    try:
        text = xml.encode()
    except UnicodeEncodeError:
        raise ValueError("the domain's XML holds characters that are none") from None
    if len(text) > XML_MOST:
        text = _without_metadata(text)
    if len(text) > XML_MOST:
        raise ValueError(f"the domain's XML has {len(text)} bytes, more than {XML_MOST}")
    first = _FIRST_TAG.search(text)
    if first is not None and first.group(1) == b"!DOCTYPE":  # before anything of it is unfolded
        raise ValueError(_HAS_TYPE)
    # A parser of its own for each document: one that is shared must not be used by two threads.
    parser = etree.XMLParser(
        encoding="utf-8",  # whatever its head says: it came as text
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError(_HAS_TYPE)
    if root.tag != "domain":
        raise ValueError("the XML is not that of a domain")
    return root


_HAS_TYPE = "the domain's XML has a document type, which libvirt never writes"
_FIRST_TAG = re.compile(rb"<(!DOCTYPE|[A-Za-z_])")
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


def _sources(domain: etree._Element) -> Iterator[etree._Element]:
    for disk in domain.iterfind("devices/disk"):
        for source in disk.iter("source"):
            parent = source.getparent()
            if parent is not None and parent.tag in _HOLDERS:
                yield source
        # The form of a mirror before libvirt 1.2.6: the file is an attribute of it.
        yield from disk.iterfind("mirror[@file]")


def _network_name(source: etree._Element) -> str:
    protocol = source.get("protocol", "")
    shared = source.get("name", "").partition("/")[0] if protocol in _SHARED_BY_NAME else ""
    return f"{protocol}:{shared}@{','.join(_hosts(source))}"


def _hosts(source: etree._Element) -> list[str]:
    """The hosts of a network source, sorted: two domains may list a cluster's in any order."""
    hosts = set()
    for host in source.iterfind("host"):
        name = host.get("name") or host.get("socket") or ""
        port = host.get("port")
        hosts.add(f"{name}:{port}" if port else name)
    return sorted(hosts)
