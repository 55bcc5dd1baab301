"""Which domains and devices are wanted, by name: Telegraf's list and collectd's ignore lists.

It knows names only, no libvirt and no configuration file. An entry is an exact name, or a
regular expression between slashes (``/^web-/``), which may match anywhere in the name.

Expressions are Python's. collectd's own are POSIX extended ones, and what is used in practice
means the same in both: ``[[:digit:]]`` and its like, and the word borders ``\\<`` and ``\\>``,
are translated. Left different: a backslash inside brackets escapes (POSIX: stands for itself),
and ``\\d``, ``(?...)`` and lazy repeats have a meaning (POSIX: none).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from re import Pattern
from typing import Optional
from uuid import UUID

import msgspec

from .errors import ConfigError
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
            f"found {shown('/' + expression + '/')}, which is no regular expression:"
            f" {one_line(str(exc), 80)}"
        ) from None


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """One list of names, with collectd's meaning: without entries everything is wanted.

    :param expressions: the patterns' own texts, as they were written.
    :param ignored: False: only what is listed is wanted. True: all but what is listed.
    """

    exact: frozenset[str] = frozenset()
    patterns: tuple[Pattern[str], ...] = ()
    expressions: tuple[str, ...] = ()
    ignored: bool = False

    def wants(self, name: str, uuid: str = "") -> bool:
        """Whether something of this name is wanted. A thing without a name always is.

        :param uuid: what it may be listed under, too.
        """
        if not name or not (self.exact or self.patterns):
            return True
        listed = name in self.exact or (uuid != "" and uuid in self.exact)
        if not listed and self.patterns:
            seen = name[:MATCHED_TEXT]
            listed = any(pattern.search(seen) for pattern in self.patterns)
        return listed != self.ignored


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


def chosen(texts: Iterable[str]) -> Entries:
    """What a person wants to see: names, uuids and ``/expressions/``.

    :raises ConfigError: an entry is empty, or no regular expression.
    """
    found = entries(texts)
    uuids = (_as_uuid(text) for text in found.exact)
    return msgspec.structs.replace(found, exact=found.exact.union(filter(None, uuids)))


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
        self._patterns = dict(zip(wanted.expressions, wanted.patterns))
        self._names: frozenset[str] = frozenset()
        #: By expression: a name that it matches.
        self._witnesses: dict[str, str] = {}
        self._unmatched: Optional[frozenset[str]] = None

    def listed(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """What there is to tell now: levels and texts for people.

        :param names: of all domains that there are, wanted or not.
        """
        exact = self._wanted.exact
        if not (exact or self._patterns):
            return []
        now = frozenset(names)
        if now == self._names and self._unmatched is not None:
            return []
        self._find_witnesses(now)
        self._names = now
        unmatched = (exact - now) | (self._patterns.keys() - self._witnesses.keys())
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
        for expression, pattern in self._patterns.items():
            witness = self._witnesses.pop(expression, None)
            if witness is None or witness not in names:
                among = new if witness is None else names
                matching = (name for name in among if pattern.search(name[:MATCHED_TEXT]))
                witness = next(matching, None)
            if witness is not None:
                self._witnesses[expression] = witness


def _named(written: Sequence[str]) -> str:
    """The first of some entries, and how many there are beside."""
    return first_of([shown(entry) for entry in written], _NAMED)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which domains are sampled, and which of their devices are reported.

    Block devices and interfaces are listed as ``domain:device``.

    :param domains: what the configuration lists, by name.
    :param chosen: what a person wants to see of it, by name or uuid.
    """

    domains: Entries = EVERYTHING
    chosen: Entries = EVERYTHING
    block_devices: Entries = EVERYTHING
    interface_devices: Entries = EVERYTHING

    def wants_domain(self, name: str, uuid: str = "") -> bool:
        """Whether the domain of this name and uuid is sampled."""
        return self.domains.wants(name) and self.chosen.wants(name, uuid)

    def wants_block_device(self, domain: str, device: str) -> bool:
        """Whether a disk is reported.

        :param device: its name as ``BlockDeviceFormat`` chooses it (target or source).
        """
        return self.block_devices.wants(f"{domain}:{device}")

    def wants_interface_device(self, domain: str, device: str) -> bool:
        """Whether a network interface is reported.

        :param device: its name as ``InterfaceFormat`` chooses it (name, address or number).
        """
        return self.interface_devices.wants(f"{domain}:{device}")


ALL = Selection()
