"""Whose XML is to be read, and when; and what it said of each domain's devices and labels.

The XML is read when a domain appears, starts or stops, when its devices or metadata change, and,
where no events tell of such changes, now and then. Times are the engine's seconds; nothing here
knows calls, rounds, XML or libvirt.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Optional

from ..model import Devices, FrozenDict, Stats
from .actions import EngineSettings
from .pace import Rota
from .rounds import SeenDevices


class XmlBook:
    """What is known of the XML of each domain, by uuid.

    :param is_wanted: whether anybody needs what the XML says; if not, nothing is ever to be read.
    :param lasts_s: seconds after which it is read again where no events tell of its changes; None
        if it does not matter how old it is.
    :ivar devices: what each domain's XML says of its devices, once known; for reading alone.
    :param unsent: labels that are for the selection of domains alone.
    :ivar known: the domains whose XML is kept: those that are sampled, and those that might be if
        their labels say so.
    :ivar labels: the same for its labels.
    :ivar sent_labels: of these, what samples have.
    """

    def __init__(
        self,
        *,
        is_wanted: bool,
        lasts_s: Optional[float] = None,
        unsent: frozenset[str] = frozenset(),
    ) -> None:
        self._is_wanted = is_wanted
        self._lasts_s = lasts_s
        #: Domains that wait to be read, in order; those, and the ones that are being read.
        self._queue: deque[str] = deque()
        self._wanted: set[str] = set()
        self._being_read: set[str] = set()
        #: Domains that changed while they were being read.
        self._outdated: set[str] = set()
        self.known: Collection[str] = ()
        self.devices: dict[str, Devices] = {}
        self.labels: dict[str, FrozenDict] = {}
        self.sent_labels: dict[str, FrozenDict] = {}
        self._unsent = unsent
        #: When the XML was asked for that is known, the oldest first.
        self._read_at: dict[str, float] = {}
        #: Since when events tell of every change; None if they do not.
        self._changes_heard_from: Optional[float] = None
        self._rota = Rota(lasts_s or 0.0, begun_at=float("inf"))
        self._seen: defaultdict[str, SeenDevices] = defaultdict(SeenDevices)

    @classmethod
    def of(cls, settings: EngineSettings) -> XmlBook:
        """A book for these settings."""
        return cls(
            is_wanted=settings.wants_xml,
            lasts_s=settings.xml_lasts_s,
            unsent=settings.unsent_labels,
        )

    def take_over(self, failed: XmlBook) -> None:
        """Go on in the place of another one: with what it knew of events, and nothing else."""
        self._changes_heard_from = failed._changes_heard_from

    # --- what is known

    def disks_seen(self, uuid: str) -> list[tuple[object, object]]:
        """Name and path of each disk of the domain's last answer that told, by its index."""
        return self._seen[uuid].disks

    def learned(
        self, uuid: str, devices: Devices, labels: Mapping[str, str], asked_at: float
    ) -> None:
        """The XML says this, by a call that was made at ``asked_at``."""
        self.devices[uuid] = devices
        self.labels[uuid] = self.sent_labels[uuid] = FrozenDict(labels)
        if self._unsent:
            sent = {name: text for name, text in labels.items() if name not in self._unsent}
            self.sent_labels[uuid] = FrozenDict(sent)
        self._read_at.pop(uuid, None)  # the newest stand at the end
        self._read_at[uuid] = asked_at

    def retain(self, known: Collection[str]) -> None:
        """Forget all other domains, and have the XML of new ones read."""
        everything = self.devices, self.labels, self.sent_labels, self._seen, self._read_at
        for kept in everything:
            for uuid in kept.keys() - known:
                del kept[uuid]
        self.known = known
        for uuid in known:
            if uuid not in self.devices:
                self.want(uuid)

    def is_not_of(self, domains: int) -> bool:
        """Whether some of so many domains have not been read yet, or others than these have."""
        return self._is_wanted and len(self.devices) != domains

    # --- what is to be read

    def want(self, uuid: str) -> None:
        """Have a domain's XML read, unless that is under way."""
        if self._is_wanted and uuid not in self._wanted:
            self._wanted.add(uuid)
            self._queue.append(uuid)

    def changed(self, uuid: str) -> None:
        """The XML is another than it was: if it is being read, it is to be read once more."""
        if uuid in self._being_read:
            self._outdated.add(uuid)
        self.want(uuid)

    def see(self, uuid: str, stats: Stats) -> None:
        """An answer has come: if the names of its devices are others, the XML is too."""
        if self._is_wanted and self._seen[uuid].differ(stats):
            self.want(uuid)

    @property
    def has_work(self) -> bool:
        """Whether there is a next batch."""
        return bool(self._queue)

    def next_batch(self, most: int, members: Collection[str]) -> list[str]:
        """Up to so many of the domains that wait, to be read now; not those that are no more."""
        batch: list[str] = []
        while self._queue and len(batch) < most:
            uuid = self._queue.popleft()
            if uuid in members:
                batch.append(uuid)
            else:
                self._wanted.discard(uuid)
        self._being_read.update(batch)
        return batch

    def returned(self, batch: Iterable[str]) -> None:
        """The call that was to read a batch is back, whatever it brought."""
        batch = frozenset(batch)
        self._wanted -= batch
        self._being_read -= batch
        again = self._outdated & batch
        self._outdated -= again
        for uuid in again:
            self.want(uuid)

    # --- what may have changed unheard

    def subscribed(self, now: float) -> None:
        """Events tell of every change from now on, but not of what came before."""
        self._changes_heard_from = now

    def unsubscribed(self) -> None:
        """No events tell of changes any more."""
        self._changes_heard_from = None

    def renew(self, now: float) -> None:
        """Have XML read again that may have changed unheard, spread over as long as XML lasts."""
        if self._lasts_s is None:
            return
        turns = self._rota.turns(len(self._read_at), now)
        heard = self._changes_heard_from
        old = now - self._lasts_s if heard is None else heard
        chosen = [
            uuid
            for uuid, since in islice(self._read_at.items(), turns)
            if since < old
        ]
        for uuid in chosen:
            # Should it fail, others come first the next time; and it is as old as it was.
            self._read_at[uuid] = self._read_at.pop(uuid)
            self.want(uuid)
