"""Which storage is suspect, because domains that lie on it hang: the evidence of calls alone.

For storage that the storage watch cannot see. Two domains that hang there make it suspect; then
the others on it are not asked about their disks, but for one canary. Without this, each round
would freeze more guests on a storage that hangs, by asking them about it. Plain decisions: time
is passed in, and nothing here knows rounds, calls or libvirt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Optional

_NEVER = float("-inf")

#: How many domains that hang on one storage make it suspect.
SUSPICIOUS_CULPRITS = 2
#: The same for a mount that may not be probed: there the first one is likely to be its scout.
SUSPICIOUS_SCOUTS = 1


class Suspicion:
    """The evidence against each storage, by the storage's name.

    :ivar culprits: the domains that hang on each storage, for reading alone.
    :ivar unprobed: the storages that are mounts which this user may not probe.
    """

    def __init__(self) -> None:
        self.culprits: dict[str, set[str]] = {}
        self.unprobed: frozenset[str] = frozenset()
        #: When the last culprit was found.
        self._found: dict[str, float] = {}
        #: When it became suspect.
        self._suspect_since: dict[str, float] = {}
        #: By suspected storage: the domain whose disks are asked for all the same.
        self._canaries: dict[str, str] = {}
        #: Suspected storages whose canary has hung too.
        self._confirmed: set[str] = set()
        #: Of these: the ones that are not worth another canary, until a culprit seems back.
        self._tried: set[str] = set()

    # --- evidence

    def accuse(self, uuid: str, storages: Iterable[str], now: float) -> None:
        """A domain hangs: that is evidence against its storages."""
        for storage in storages:
            self.culprits.setdefault(storage, set()).add(uuid)
            self._found[storage] = max(now, self._found.get(storage, _NEVER))
            if self._is_suspect(storage):
                self._suspect_since.setdefault(storage, now)
            if self._canaries.get(storage) == uuid:
                self._confirmed.add(storage)
            if storage in self._confirmed:
                self._tried.add(storage)

    def exonerate(self, uuid: str, storages: Iterable[str]) -> None:
        """A domain does not hang any more: it is no evidence against its storages."""
        for storage in storages:
            culprits = self.culprits.get(storage)
            if culprits is not None:
                culprits.discard(uuid)
                if not culprits:
                    self._clear(storage)
                elif not self._is_suspect(storage):
                    self._suspect_since.pop(storage, None)

    def answered(self, storages: Iterable[str], made: float) -> None:
        """A domain has answered about its disks, by a call that was made at ``made``: a storage
        that answered after its last culprit was found does not hang."""
        for storage in storages:
            if storage in self.culprits and made > self._found[storage]:
                self._clear(storage)

    def seems_back(self, storages: Iterable[str]) -> None:
        """A culprit may be back: its storages are worth a canary again."""
        self._tried.difference_update(storages)

    def _clear(self, storage: str) -> None:
        self.culprits.pop(storage, None)
        self._found.pop(storage, None)
        self._suspect_since.pop(storage, None)
        self._confirmed.discard(storage)
        self._tried.discard(storage)

    # --- verdicts

    @property
    def is_calm(self) -> bool:
        """Whether there is no evidence against any storage."""
        return not (self.culprits or self._canaries)

    @property
    def suspects(self) -> int:
        """How many storages are suspect."""
        return sum(map(self._is_suspect, self.culprits))

    def has_evidence(self, storages: Iterable[str]) -> bool:
        """Whether a domain hangs on one of these storages."""
        return not self.culprits.keys().isdisjoint(storages)

    def is_suspect(self, storages: Iterable[str]) -> bool:
        """Whether one of these storages is suspect."""
        return any(map(self._is_suspect, storages))

    def suspect_since(self, storages: Iterable[str]) -> Optional[float]:
        """When the last of those of the storages that are suspect became so; None if none is."""
        times = [
            self._suspect_since.get(storage, self._found[storage])
            for storage in storages
            if self._is_suspect(storage)
        ]
        return max(times, default=None)

    def spares(
        self,
        uuid: str,
        storages: Iterable[str],
        answered_block: float,
        alert_since: Optional[float] = None,
    ) -> bool:
        """Whether a domain on these storages must not be asked about its disks: one of them is
        suspect, the domain is not its canary, and has not answered about its disks since.

        :param answered_block: when the domain answered about its disks last.
        :param alert_since: since when calls are stuck; None if none is.
        """
        return any(
            self._is_suspect(storage)
            and self._canaries.get(storage) != uuid
            and not self._is_acquitted(storage, answered_block, alert_since)
            for storage in storages
        )

    def _is_acquitted(
        self, storage: str, answered_block: float, alert_since: Optional[float]
    ) -> bool:
        """Whether such an answer counts in favour of this storage.

        On a mount that may not be probed, one from before the last culprit was found does not: the
        host may have had it in its cache.
        """
        since = self._found.get(storage) if storage in self.unprobed else alert_since
        return since is not None and answered_block > since

    @property
    def confirmed(self) -> frozenset[str]:
        """The storages that hang by all signs, as more than one of their domains does; until one
        has answered about its disks, or all of them are back."""
        return frozenset(self._confirmed)

    def _is_suspect(self, storage: str) -> bool:
        enough = SUSPICIOUS_SCOUTS if storage in self.unprobed else SUSPICIOUS_CULPRITS
        return len(self.culprits.get(storage, ())) >= enough

    # --- canaries

    def is_canary(self, uuid: str) -> bool:
        return uuid in self._canaries.values()

    def send_canaries(self, domains: Iterable[tuple[str, Collection[str]]]) -> None:
        """Choose, for a new round, one domain for each suspected storage, to try its disks.

        A storage whose canary hangs too is not tried again until one of its culprits is back:
        each canary on a storage that hangs is one more domain frozen by our asking.

        :param domains: those that may be asked, with their storages, the best choice first.
        """
        self._canaries = {}
        untried = {
            storage
            for storage in self.culprits
            if storage not in self._tried and self._is_suspect(storage)
        }
        if not untried:
            return
        for uuid, storages in domains:
            for storage in untried.intersection(storages):
                self._canaries[storage] = uuid
                untried.discard(storage)
            if not untried:
                break
