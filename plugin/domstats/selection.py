"""Which domains and devices are wanted: Telegraf's lists and collectd's ignore lists.

It knows names, uuids and labels only, no libvirt and no configuration file. An entry is an exact
name, or a regular expression between slashes (``/^web-/``), which may match anywhere in the name.
That is all in collectd's lists of old (``entries``). Others (``entries_with_globs``,
``domain_entries``) take globs (``web-*``) too, and of domains uuids and labels
(``label:nova_project=acme*``).

Expressions are Python's. collectd's own are POSIX extended ones, and what is used in practice
means the same in both: ``[[:digit:]]`` and its like, and the word borders ``\\<`` and ``\\>``,
are translated. Left different: a backslash inside brackets escapes (POSIX: stands for itself),
and ``\\d``, ``(?...)`` and lazy repeats have a meaning (POSIX: none).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from re import Pattern
from typing import NamedTuple, Optional
from uuid import UUID

import msgspec

from .errors import ConfigError
from .globs import glob, is_glob
from .shown import first_of, one_line, shown

#: A regular expression sees at most this many characters of ``domain:device``. The expression is
#: the operator's and the names are the tenants', who must not choose how long a match takes.
MATCHED_TEXT = 4096
#: Entries that one message names.
_NAMED = 5
_CHECK = (
    "is it spelled as the domain is, in upper and lower case, and does such a domain run on this"
    " hypervisor?"
)

_POSIX_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e",
    "graph": r"\x21-\x7e",
}
_POSIX_CLASS = re.compile(r"\[:([a-z]+):\]")
_WORD_BORDER = re.compile(r"((?:^|[^\\])(?:\\\\)*)\\[<>]")


def _compile(expression: str) -> Pattern[str]:
    translated = _POSIX_CLASS.sub(
        lambda match: _POSIX_CLASSES.get(match.group(1), match.group()), expression
    )
    translated = _WORD_BORDER.sub(lambda match: match.group(1) + r"\b", translated)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(translated, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ConfigError(
            f"found {shown('/' + expression + '/')}, allowed is one as /^web-/, and this is no"
            f" regular expression: {one_line(str(exc), 80)}"
        ) from None


class LabelEntry(NamedTuple):
    """An entry for the domains that have a label whose text matches.

    :param text: the entry as it was written.
    :param label: its name.
    """

    text: str
    label: str
    patterns: tuple[Pattern[str], ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a domain with these labels is meant."""
        value = labels.get(self.label, "")
        return any(pattern.search(value) for pattern in self.patterns)


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """One list, with collectd's meaning: without entries everything is wanted.

    :param expressions: the patterns' own texts, as they were written.
    :param uuids: in libvirt's own form.
    :param labels: entries by label; of domains only.
    :param ignored: False: only what is listed is wanted. True: all but what is listed.
    """

    exact: frozenset[str] = frozenset()
    patterns: tuple[Pattern[str], ...] = ()
    expressions: tuple[str, ...] = ()
    uuids: frozenset[str] = frozenset()
    labels: tuple[LabelEntry, ...] = ()
    ignored: bool = False

    def __bool__(self) -> bool:
        """Whether there are entries."""
        return bool(self.exact or self.patterns or self.uuids or self.labels)

    def wants(self, name: str, uuid: str = "") -> bool:
        """Whether something of this name is wanted, labels aside. A thing without a name always is.

        :param uuid: what it may be listed under, too.
        """
        return not name or not self or self._lists(name, uuid) != self.ignored

    def judge(self, name: str, uuid: str) -> Optional[bool]:
        """The same; None if that depends on the domain's labels."""
        if self.labels and not self._lists(name, uuid):
            return None
        return self.wants(name, uuid)

    def wants_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether a domain is wanted whose labels decide."""
        return any(entry.matches(labels) for entry in self.labels) != self.ignored

    def taken_literally(self, names: Iterable[str]) -> Entries:
        """The list where entries that are globs or labels are names: there are such domains."""
        literal = frozenset(names)
        kept = [
            (expression, pattern)
            for expression, pattern in zip(self.expressions, self.patterns)
            if expression not in literal or expression.startswith("/")
        ]
        return msgspec.structs.replace(
            self,
            exact=self.exact | literal.intersection(self.wildcards),
            expressions=tuple(expression for expression, _ in kept),
            patterns=tuple(pattern for _, pattern in kept),
            labels=tuple(entry for entry in self.labels if entry.text not in literal),
        )

    @property
    def wildcards(self) -> frozenset[str]:
        """The entries that would be names if there were things of that name."""
        globs = (text for text in self.expressions if not text.startswith("/"))
        return frozenset((*globs, *(entry.text for entry in self.labels)))

    def _lists(self, name: str, uuid: str) -> bool:
        if name in self.exact or (uuid != "" and uuid in self.uuids):
            return True
        if not self.patterns:
            return False
        seen = name[:MATCHED_TEXT]
        return any(pattern.search(seen) for pattern in self.patterns)


EVERYTHING = Entries()


def entries(texts: Iterable[str], ignored: bool = False) -> Entries:
    """collectd's list of names and ``/expressions/``.

    :raises ConfigError: an entry is empty, or no regular expression.
    """
    exact: list[str] = []
    patterns: list[Pattern[str]] = []
    expressions: list[str] = []
    for text in texts:
        if not text:
            raise ConfigError("found '', allowed is a name or a /regular expression/")
        if len(text) > 2 and text.startswith("/") and text.endswith("/"):
            patterns.append(_compile(text[1:-1]))
            expressions.append(text)
        else:
            exact.append(text)
    return Entries(
        exact=frozenset(exact),
        patterns=tuple(patterns),
        expressions=tuple(expressions),
        ignored=ignored,
    )


def entries_with_globs(texts: Iterable[str], ignored: bool = False) -> Entries:
    """A list of names, globs and ``/expressions/``.

    :raises ConfigError: an entry is empty, or no regular expression or glob.
    """
    found = entries(texts, ignored)
    patterns, expressions = list(found.patterns), list(found.expressions)
    globs = [text for text in sorted(found.exact) if is_glob(text)]
    for text in globs:
        for pattern in glob(text):
            patterns.append(pattern)
            expressions.append(text)
    return msgspec.structs.replace(
        found,
        exact=found.exact.difference(globs),
        patterns=tuple(patterns),
        expressions=tuple(expressions),
    )


def domain_entries(
    texts: Iterable[str], known_labels: Iterable[str] = (), ignored: bool = False
) -> Entries:
    """A list of domains: names, globs, ``/expressions/``, uuids, and ``label:NAME=GLOB``.

    :param known_labels: the labels that there are.
    :raises ConfigError: an entry is empty, no regular expression or glob, or no such label.
    """
    names: list[str] = []
    labels: list[LabelEntry] = []
    for text in texts:
        if text.startswith(LABEL_ENTRY):
            labels.append(_label_entry(text, tuple(known_labels)))
        else:
            names.append(text)
    found = entries_with_globs(names, ignored)
    uuids = frozenset(filter(None, map(_as_uuid, found.exact)))
    return msgspec.structs.replace(found, uuids=uuids, labels=tuple(labels))


#: How an entry by label begins.
LABEL_ENTRY = "label:"


def _label_entry(text: str, known: Sequence[str]) -> LabelEntry:
    label, _, wanted = text[len(LABEL_ENTRY) :].partition("=")
    if label not in known or not wanted:
        raise ConfigError(
            f"found {shown(text)}, allowed is label:NAME=TEXT, where TEXT may be a glob or a"
            f" /regular expression/ and NAME is any of {', '.join(known)}"
        )
    if len(wanted) > 2 and wanted.startswith("/") and wanted.endswith("/"):
        return LabelEntry(text, label, (_compile(wanted[1:-1]),))
    return LabelEntry(text, label, glob(wanted))


def chosen(texts: Iterable[str]) -> Entries:
    """What a person wants to see: names, uuids and ``/expressions/``.

    :raises ConfigError: an entry is empty, or no regular expression.
    """
    found = entries(texts)
    uuids = (_as_uuid(text) for text in found.exact)
    return msgspec.structs.replace(found, uuids=frozenset(filter(None, uuids)))


def unmatched(texts: Iterable[str], domains: Iterable[tuple[str, str]]) -> list[str]:
    """Those of such texts that none of the domains matches.

    :param domains: name and uuid of each.
    """
    there = list(domains)
    return [
        text for text in texts if not any(chosen([text]).wants(name, uuid) for name, uuid in there)
    ]


def _as_uuid(text: str) -> str:
    """The uuid in libvirt's own form; empty if it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""


class Unmatched:
    """Which entries of a list match no domain, told when that begins and when it ends.

    A list of the same names as before costs a comparison; of another one only what has changed
    is looked at.
    """

    def __init__(self, wanted: Entries) -> None:
        self._wanted = wanted
        #: By entry: several of a glob with alternatives.
        self._patterns: dict[str, list[Pattern[str]]] = {}
        for expression, pattern in zip(wanted.expressions, wanted.patterns):
            self._patterns.setdefault(expression, []).append(pattern)
        self._names: frozenset[str] = frozenset()
        self._labels: frozenset[str] = frozenset()
        #: By expression: a name that it matches.
        self._witnesses: dict[str, str] = {}
        self._unmatched: Optional[frozenset[str]] = None

    def listed(
        self,
        names: Iterable[str],
        uuids: Iterable[str] = (),
        labels: Optional[frozenset[str]] = None,
    ) -> list[tuple[str, str]]:
        """What there is to tell now: levels and texts for people.

        :param names: of all domains that there are, wanted or not.
        :param uuids: theirs.
        :param labels: the entries by label that match any; None while that is not known.
        """
        if not self._wanted:
            return []
        now = frozenset(names)
        if labels is None:
            labels = frozenset(entry.text for entry in self._wanted.labels)
        if now == self._names and labels == self._labels and self._unmatched is not None:
            return []
        self._find_witnesses(now)
        self._names, self._labels = now, labels
        exact = self._wanted.exact - now
        if self._wanted.uuids:
            there = frozenset(uuids)
            exact = frozenset(text for text in exact if _as_uuid(text) not in there)
        unmatched = exact | (self._patterns.keys() - self._witnesses.keys() - now)
        unmatched |= {entry.text for entry in self._wanted.labels} - labels - now
        before, self._unmatched = self._unmatched or frozenset(), unmatched
        begun, ended = sorted(unmatched - before), sorted(before - unmatched)
        lines = []
        if begun:
            text = f"no domain matches {_named(begun)} {self._purpose}: {_CHECK}"
            lines.append(("warning", text))
        if ended:
            lines.append(("info", f"a domain now matches {_named(ended)} {self._purpose}"))
        return lines

    @property
    def _purpose(self) -> str:
        use = "leave out" if self._wanted.ignored else "sample"
        return f"in the list of domains to {use}"

    def _find_witnesses(self, names: frozenset[str]) -> None:
        """Have for each expression a name that it matches, if there is one."""
        new = names - self._names
        for expression, patterns in self._patterns.items():
            witness = self._witnesses.pop(expression, None)
            if witness is None or witness not in names:
                among = new if witness is None else names
                matching = (
                    name
                    for name in among
                    if any(pattern.search(name[:MATCHED_TEXT]) for pattern in patterns)
                )
                witness = next(matching, None)
            if witness is not None:
                self._witnesses[expression] = witness


def _named(written: Sequence[str]) -> str:
    """The first of some entries, and how many there are beside."""
    return first_of([shown(entry) for entry in written], _NAMED)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which domains are sampled, and which of their devices are reported.

    Block devices and interfaces are listed as ``domain:device``.

    :param domains: what the configuration lists.
    :param other_domains: a second list of domains, which has to want them too.
    :param chosen: what a person wants to see of it, by name or uuid.
    :param other_block_devices: a second list of block devices, likewise, as there are of others.
    :param fields: which are written, as ``measurement:field``.
    """

    domains: Entries = EVERYTHING
    other_domains: Entries = EVERYTHING
    chosen: Entries = EVERYTHING
    block_devices: Entries = EVERYTHING
    other_block_devices: Entries = EVERYTHING
    interface_devices: Entries = EVERYTHING
    other_interface_devices: Entries = EVERYTHING
    fields: Entries = EVERYTHING
    other_fields: Entries = EVERYTHING

    @property
    def domain_lists(self) -> tuple[Entries, ...]:
        """The lists of domains that have entries: a domain has to be wanted by all."""
        return tuple(filter(None, (self.domains, self.other_domains, self.chosen)))

    @property
    def labels(self) -> frozenset[str]:
        """The labels that decide which domains are sampled."""
        return frozenset(entry.label for each in self.domain_lists for entry in each.labels)

    def wants_domain(self, name: str, uuid: str = "") -> bool:
        """Whether the domain of this name and uuid is sampled, whatever its labels are."""
        return all(each.judge(name, uuid) for each in self.domain_lists)

    def wants_block_device(self, domain: str, device: str) -> bool:
        """Whether a disk is reported.

        :param device: its name as ``BlockDeviceFormat`` chooses it (target or source).
        """
        name = f"{domain}:{device}"
        return self.block_devices.wants(name) and self.other_block_devices.wants(name)

    def wants_interface_device(self, domain: str, device: str) -> bool:
        """Whether a network interface is reported.

        :param device: its name as ``InterfaceFormat`` chooses it (name, address or number).
        """
        name = f"{domain}:{device}"
        return self.interface_devices.wants(name) and self.other_interface_devices.wants(name)

    def wants_field(self, measurement: str, field: str) -> bool:
        """Whether a field of a measurement is written."""
        name = f"{measurement}:{field}"
        return self.fields.wants(name) and self.other_fields.wants(name)


ALL = Selection()
