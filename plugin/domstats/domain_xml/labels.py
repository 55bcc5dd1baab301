"""Labels: whose machine a domain is, from the metadata that OpenStack, oVirt, KubeVirt and others
leave in its XML.

Pure: a domain's XML in, short texts out. Each label is an XPath with namespaces, the known ones in
a table, others of the operator's own; ``xpaths`` asks them. What they find is a tenant's text, so
it is bounded; writers make it harmless.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError
from ..shown import one_line, shown

if TYPE_CHECKING:  # what needs lxml is imported for labels only: it takes 4 MiB
    from .xpaths import Domain, Lookup

#: Characters of a label's text; a longer one is cut.
LABEL_MOST = 256
#: Characters of an XPath that is the operator's.
XPATH_MOST = 4096

#: Prefixes that every XPath may use.
NAMESPACES: Mapping[str, str] = {
    "nova": "http://openstack.org/xmlns/libvirt/nova/1.1",
    "nova10": "http://openstack.org/xmlns/libvirt/nova/1.0",
    "ovirt": "http://ovirt.org/vm/1.0",
    "kubevirt": "http://kubevirt.io",
    "libosinfo": "http://libosinfo.org/xmlns/libvirt/domain/1.0",
}


def _nova(path: str) -> tuple[str, str]:
    """A path below Nova's element, in the namespace that it has written since 2020, or before."""
    both = f"/domain/metadata/nova:instance/{path}"
    return both, both.replace("nova:", "nova10:")


#: The labels that there are: a name, and XPaths of which the first that finds a text counts.
#: Nova calls a domain instance-0000002a, so its own name for it is a label. oVirt gives a domain
#: the machine's name, and has little else that is the machine's. KubeVirt makes the domain's name
#: of namespace and name, neither of which can have an underscore, and writes neither elsewhere.
LABELS: Mapping[str, tuple[str, ...]] = {
    "title": ("/domain/title",),
    "os_id": ("/domain/metadata/libosinfo:libosinfo/libosinfo:os/@id",),
    "nova_name": _nova("nova:name"),
    "nova_flavor": _nova("nova:flavor/@name"),
    "nova_project": _nova("nova:owner/nova:project"),
    "nova_project_uuid": _nova("nova:owner/nova:project/@uuid"),
    "nova_user": _nova("nova:owner/nova:user"),
    "nova_user_uuid": _nova("nova:owner/nova:user/@uuid"),
    "nova_image_uuid": _nova("nova:root[@type='image']/@uuid"),
    "ovirt_cluster_version": ("/domain/metadata/ovirt:vm/ovirt:clusterVersion",),
    "kubevirt_namespace": (
        "substring-before(/domain[metadata/kubevirt:kubevirt]/name, '_')",
    ),
    "kubevirt_name": ("substring-after(/domain[metadata/kubevirt:kubevirt]/name, '_')",),
    "kubevirt_uid": ("/domain/metadata/kubevirt:kubevirt/kubevirt:uid",),
}  # fmt: skip

#: What collectd's plugin virt takes for a domain's metadata unless it is told otherwise.
METADATA_NAMESPACE = NAMESPACES["nova10"]
METADATA_XPATH = "/instance/name/text()"
#: The label that has it.
METADATA_LABEL = "metadata"


class Label(NamedTuple):
    """Where a label's text comes from.

    :param name: of the label.
    :param xpaths: asked of the domain's document one after another, until one finds a text.
    :param namespaces: prefixes in them and what they mean.
    :param metadata: if not empty, the namespace of a metadata element: the XPaths are then asked
        of this element alone, without its namespace, as virDomainGetMetadata gives it, and only
        a single text or attribute counts, as in collectd's plugin virt.
    """

    name: str
    xpaths: tuple[str, ...]
    namespaces: tuple[tuple[str, str], ...] = tuple(NAMESPACES.items())
    metadata: str = ""


def known(name: str) -> Label:
    """The label of the table of that name.

    :raises KeyError: there is none.
    :raises ConfigError: labels cannot be read here.
    """
    _need_lxml()
    return Label(name, LABELS[name])


def of_operator(name: str, xpath: str, namespaces: Mapping[str, str]) -> Label:
    """A label of the operator's own.

    :param namespaces: prefixes beside those that are known anyway.
    :raises ConfigError: for a name or an XPath that cannot be used, or labels cannot be read here.
    """
    _need_lxml()
    if not _NAME.fullmatch(name) or name in LABELS:
        raise ConfigError(
            f"found a label {shown(name)}, allowed is a name of letters, digits and underscores"
            " that begins with a letter, and none that there is already"
        )
    meanings = {**NAMESPACES, **namespaces}
    check_xpath(xpath, meanings)
    return Label(name, (xpath,), tuple(meanings.items()))


def of_metadata(namespace: str, xpath: str) -> Label:
    """What collectd's plugin virt calls a domain's metadata.

    :raises ConfigError: for an XPath that cannot be used, or labels cannot be read here.
    """
    _need_lxml()
    check_xpath(xpath, {})
    return Label(METADATA_LABEL, (xpath,), (), namespace)


def _need_lxml() -> None:
    try:
        from . import xpaths  # noqa: F401
    except ImportError as missing:
        raise ConfigError(
            f"labels need lxml, which Python {sys.version.split()[0]} does not have here"
            f" ({missing}): install the distribution's python3-lxml, or configure no labels"
        ) from None


class Labels:
    """Takes labels from domains' XML; for one thread."""

    def __init__(self, wanted: Sequence[Label]) -> None:
        #: What a domain has whose XML cannot be read.
        self.none: dict[str, str] = {label.name: "" for label in wanted}
        self._lookups: dict[str, Lookup] = {}
        if wanted:
            from .xpaths import Lookup

            self._lookups = {
                label.name: Lookup(label.xpaths, dict(label.namespaces), label.metadata)
                for label in wanted
            }

    def read(self, xml: str) -> dict[str, str]:
        """The text of every label by its name, empty where the domain has none.

        :param xml: of the domain.
        :raises ValueError: it cannot be read.
        """
        if not self._lookups:
            return {}
        from .xpaths import parse

        return self.take(parse(xml))

    def take(self, domain: Domain) -> dict[str, str]:
        """The same of an XML that is parsed, which is not changed."""
        return {name: lookup.text(domain)[:LABEL_MOST] for name, lookup in self._lookups.items()}


def check_xpath(xpath: str, namespaces: Mapping[str, str]) -> None:
    """See that an XPath can be asked, whatever the document.

    :raises ConfigError: it cannot; the message quotes it.
    """
    wrong = _wrong_with(xpath, namespaces)
    if wrong:
        raise ConfigError(
            f"found {shown(xpath)}, allowed is an XPath 1.0 as {METADATA_XPATH}: {wrong}"
        )


def check_namespaces(namespaces: Mapping[str, str]) -> None:
    """See that prefixes and namespaces are some. Raises ConfigError."""
    for prefix, uri in namespaces.items():
        if not _NCNAME.fullmatch(prefix) or not uri or not uri.isprintable():
            raise ConfigError(
                f"found {shown({prefix: uri})}, allowed is a prefix of letters, digits, - and _,"
                " and the namespace that it stands for"
            )


def _wrong_with(xpath: str, namespaces: Mapping[str, str]) -> str:
    if len(xpath) > XPATH_MOST:
        return f"it has more than {XPATH_MOST} characters"
    outside = _LITERAL.sub(" '' ", xpath)
    if "$" in outside:
        return "there are no variables"
    for prefix in _PREFIX.findall(outside):
        if prefix not in namespaces and prefix != "xml":
            there_are = f"known are {', '.join(namespaces)}" if namespaces else "it can have none"
            return f"the prefix {one_line(prefix, 40)} has no namespace, {there_are}"
    for function in _CALLED.findall(outside):
        if function not in _FUNCTIONS:
            return f"there is no function {one_line(function, 40)}"
    from .xpaths import why_unusable

    return one_line(why_unusable(xpath, namespaces), 80)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NCNAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_PREFIX = re.compile(r"([A-Za-z_][\w.-]*):(?!:)")
_CALLED = re.compile(r"([\w.-]+(?::[\w.-]+)?)\s*\(")
#: What may stand before an opening parenthesis: XPath 1.0's functions, tests and operators.
# fmt: off
_FUNCTIONS = frozenset(
    {
        "last", "position", "count", "id", "local-name", "namespace-uri", "name", "string",
        "concat", "starts-with", "contains", "substring-before", "substring-after", "substring",
        "string-length", "normalize-space", "translate", "boolean", "not", "true", "false", "lang",
        "number", "sum", "floor", "ceiling", "round",
        "comment", "text", "processing-instruction", "node", "and", "or", "div", "mod",
    }
)
# fmt: on
