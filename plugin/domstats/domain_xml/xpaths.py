"""XPaths, asked of a domain's XML.

The only module that imports lxml, and loaded for labels only: lxml takes 4 MiB, which whoever has
no labels need not hold. It must not know which labels there are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Optional

from lxml import etree

from .disk_paths import safe_xml

#: The root of a domain's XML.
Domain = etree._Element


def parse(xml: str) -> Domain:
    """A domain's XML, parsed; nothing in it can make the parser fetch or unfold anything.

    Raises ValueError, with a text for the log, if it cannot be read (see ``safe_xml``).
    """
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
        return etree.fromstring(safe_xml(xml), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None


def why_unusable(xpath: str, namespaces: Mapping[str, str]) -> str:
    """What is wrong with an XPath, whatever the document; empty if nothing is."""
    try:
        _compiled(xpath, namespaces)(etree.Element("domain"))
    except etree.XPathError as error:
        return str(error)
    except ValueError:  # a NUL and the like
        return "it has characters that XML has not"
    return ""


class Lookup:
    """Where one text is in a domain's XML.

    :param xpaths: asked one after another, until one finds a text.
    :param namespaces: prefixes in them and what they mean.
    :param metadata: if not empty, the namespace of a metadata element: the XPaths are then asked
        of this element alone, and only a single text or attribute counts.
    """

    def __init__(
        self, xpaths: Sequence[str], namespaces: Mapping[str, str], metadata: str = ""
    ) -> None:
        self._metadata = metadata
        self._xpaths = [_compiled(xpath, namespaces) for xpath in xpaths]

    def text(self, domain: Domain) -> str:
        """The text, empty if the domain has none."""
        document: Optional[Domain] = domain
        if self._metadata:
            document = _metadata_element(domain, self._metadata)
        if document is None:
            return ""
        text_of = _single if self._metadata else _first
        for xpath in self._xpaths:
            try:
                text = text_of(xpath(document))
            except etree.XPathError:  # a function that this document gives what it cannot take
                continue
            if text:
                return text
        return ""


def _metadata_element(domain: Domain, namespace: str) -> Optional[Domain]:
    """A metadata element alone, as virDomainGetMetadata gives it: without its namespace.

    :returns: the root of a document of its own, None if the domain has no such element.
    """
    own = f"{{{namespace}}}"
    found = (each for each in domain.iterfind("metadata/*") if each.tag.startswith(own))
    alone = copy.deepcopy(next(found, None))
    if alone is None:
        return None
    alone.tail = None
    for element in alone.iter(etree.Element):
        if element.tag.startswith(own):
            element.tag = element.tag[len(own) :]
        for name in [name for name in element.attrib if str(name).startswith(own)]:
            element.attrib[str(name)[len(own) :]] = element.attrib.pop(name)
    return alone


def _compiled(xpath: str, namespaces: Mapping[str, str]) -> etree.XPath:
    return etree.XPath(xpath, namespaces=dict(namespaces), regexp=False, smart_strings=False)


def _single(result: object) -> str:
    """The text of a set of one text or attribute; empty for everything else."""
    if isinstance(result, list) and len(result) == 1 and isinstance(result[0], str):
        return result[0]
    return ""


def _first(result: object) -> str:
    """What an XPath found as a text; of a set that of its first."""
    if isinstance(result, list):
        result = result[0] if result else ""
    if isinstance(result, bool):
        return "true" if result else "false"
    if isinstance(result, float):
        if result != result:
            return ""
        return str(int(result)) if result.is_integer() else repr(result)
    if isinstance(result, str):
        return result.strip()
    if isinstance(result, etree._Element):
        return "".join(map(str, result.itertext())).strip()
    return ""
