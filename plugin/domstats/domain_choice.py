"""Which of the domains that a hypervisor lists are sampled, by name, uuid and labels.

An object for one hypervisor, which remembers what it decided. Labels come with a domain's XML,
after it was listed: where they decide, a domain waits until they are known. It must not know how
the XML is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Optional

from .selection import Entries, Selection

#: uuid, name, and whether it is active.
Listed = tuple[str, str, bool]

_NOBODY: frozenset[str] = frozenset()


class DomainChoice:
    """Chooses domains.

    :ivar waiting: domains that are not sampled, and might be if their labels were others, or known:
        their XML is to be read all the same.
    :ivar new: those that were chosen by their labels in the last list and not in the one before.
    """

    def __init__(self, selection: Selection) -> None:
        self.waiting: frozenset[str] = _NOBODY
        self.new: frozenset[str] = _NOBODY
        self._as_written = self._lists = selection.domain_lists
        #: Entries that are names where there are domains of those names.
        self._wildcards = _NOBODY.union(*(each.wildcards for each in self._lists))
        self._literal: frozenset[str] = _NOBODY
        #: By name and uuid, of the domains of the last list; None: labels decide.
        self._judged: dict[tuple[str, str], Optional[bool]] = {}
        #: Of those whose labels decide: the labels, and what follows.
        self._by_labels: dict[str, tuple[Mapping[str, str], bool]] = {}

    def of(
        self, domains: Sequence[Listed], labels: Mapping[str, Mapping[str, str]]
    ) -> Sequence[Listed]:
        """Those of the hypervisor's domains that are sampled.

        :param labels: by uuid, of the domains whose XML has been read.
        """
        if not self._lists:
            return domains
        if self._wildcards:
            self._take_literally(domains)
        judged: dict[tuple[str, str], Optional[bool]] = {}
        wanted: list[Listed] = []
        undecided: list[Listed] = []
        for domain in domains:
            key = domain[1], domain[0]
            verdict = judged[key] = self._judged[key] if key in self._judged else self._judge(*key)
            if verdict:
                wanted.append(domain)
            elif verdict is None:
                undecided.append(domain)
        self._judged = judged
        if undecided or self._by_labels:
            chosen = self._choose(undecided, labels)
            wanted = [domain for domain in domains if judged[domain[1], domain[0]]
                      or domain[0] in chosen]  # fmt: skip
        return wanted

    def wants(self, name: str, uuid: str) -> bool:
        """Whether this domain is sampled, as far as the last list tells."""
        key = name, uuid
        verdict = self._judged[key] if key in self._judged else self._judge(name, uuid)
        if verdict is None:
            return self._by_labels.get(uuid, _UNKNOWN)[1]
        return verdict

    @property
    def is_settled(self) -> bool:
        """Whether the labels are known of all domains for which they decide."""
        return self.waiting <= self._by_labels.keys()

    def matched_labels(self, entries: Entries) -> Optional[frozenset[str]]:
        """The entries by label that match a domain; None while labels of some are not known."""
        if not entries.labels or not self.is_settled:
            return None
        known = [labels for labels, _ in self._by_labels.values()]
        return frozenset(
            entry.text for entry in entries.labels if any(map(entry.matches, known))
        )

    def _judge(self, name: str, uuid: str) -> Optional[bool]:
        verdicts = [each.judge(name, uuid) for each in self._lists]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def _take_literally(self, domains: Sequence[Listed]) -> None:
        literal = self._wildcards.intersection([name for _, name, _ in domains])
        if literal != self._literal:
            self._literal = literal
            self._lists = tuple([each.taken_literally(literal) for each in self._as_written])
            self._judged, self._by_labels = {}, {}

    def _choose(
        self, undecided: Sequence[Listed], labels: Mapping[str, Mapping[str, str]]
    ) -> Collection[str]:
        """Those of them whose labels say that they are wanted."""
        found: dict[str, tuple[Mapping[str, str], bool]] = {}
        for uuid, name, _ in undecided:
            known, before = labels.get(uuid), self._by_labels.get(uuid)
            if known is not None and (before is None or before[0] is not known):
                before = known, self._wants_labels(name, uuid, known)
            if before is not None:  # what was known last counts while the XML is read anew
                found[uuid] = before
        chosen = frozenset(uuid for uuid, (_, is_wanted) in found.items() if is_wanted)
        waiting = frozenset([uuid for uuid, _, _ in undecided]) - chosen
        earlier = {uuid for uuid, (_, is_wanted) in self._by_labels.items() if is_wanted}
        self.waiting = waiting
        self.new = chosen - earlier
        self._by_labels = found
        return chosen

    def _wants_labels(self, name: str, uuid: str, labels: Mapping[str, str]) -> bool:
        return all(
            each.wants_labels(labels) if each.judge(name, uuid) is None else True
            for each in self._lists
        )


_UNKNOWN: tuple[Mapping[str, str], bool] = ({}, False)
