"""Who answers, who hangs, and what that means for the others: the engine's memory of domains.

Plain decisions: time is passed in, and nothing here knows threads, a clock, or libvirt. The
roster outlives rounds; what a round does with its answers is in ``rounds``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple, Optional

from .suspicion import Suspicion

_NEVER = float("-inf")

#: Seconds between stuck calls after which they count as different outbreaks.
OUTBREAK_GAP_S = 15.0
#: Calls of the budget that domains in question must leave to those that are known to answer.
RESERVE = 1


class Standing(enum.Enum):
    """What the roster thinks of a domain's monitor."""

    RESPONSIVE = "responsive"
    #: It does not answer: its monitor is not asked.
    QUARANTINED = "quarantined"
    #: It seems to be back: it is asked alone, once.
    PROBATION = "probation"


class Cause(enum.Enum):
    """What told that a domain hangs, and so what tells that it is back."""

    #: A call of ours is stuck in it.
    CALL = "call"
    #: The process watch: its QEMU is stopped or waits.
    PROCESS = "process"
    #: controlInfo: its monitor has been busy with somebody else's command for long.
    OCCUPANCY = "occupancy"


class Member:
    """A domain that the hypervisor lists.

    :ivar answered: when its monitor answered last, in the engine's seconds.
    :ivar answered_block: when it answered a question about its disks last.
    :ivar since: when it was found to hang.
    :ivar described: names of storages that the storage watch cannot see, by the XML; None until
        that has been read.
    :ivar storages: these, and those that it turned out not to be allowed to probe; for suspicion.
    """

    __slots__ = (
        "active",
        "answered",
        "answered_block",
        "cause",
        "described",
        "name",
        "reason",
        "since",
        "standing",
        "storages",
        "uuid",
    )

    def __init__(self, uuid: str, name: str, active: bool) -> None:
        self.uuid = uuid
        self.name = name
        self.active = active
        self.standing = Standing.RESPONSIVE
        self.answered = _NEVER
        self.answered_block = _NEVER
        self.since = _NEVER
        self.cause: Optional[Cause] = None
        self.reason = ""
        self.described: Optional[tuple[str, ...]] = None
        self.storages: tuple[str, ...] = ()

    @property
    def is_placed(self) -> bool:
        """Whether it is known on which storages its disks lie."""
        return self.described is not None

    def started_anew(self, active: bool) -> Member:
        """The same domain with a clean slate; its disks lie where they lay."""
        fresh = Member(self.uuid, self.name, active)
        fresh.described, fresh.storages = self.described, self.storages
        return fresh


class Event(enum.Enum):
    """What can be told of a domain that hangs."""

    HUNG = "hung"
    BACK = "back"
    ENDED = "ended"


class Turn(NamedTuple):
    """A domain began to hang, or is back, or ended while it hung, ``since`` having begun."""

    event: Event
    uuid: str
    name: str
    since: float
    reason: str


class Listing(NamedTuple):
    """How a list of domains differs from the one before.

    :param is_other: whether it has other domains.
    :param switched: those that were started or stopped since.
    """

    is_other: bool
    switched: list[str]


class Roster:
    """All domains of one hypervisor, and the calls that are stuck in some of them."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        #: Stuck calls by id: when each was made, and its culprit if it is known.
        self._stuck: dict[int, tuple[float, Optional[str]]] = {}
        self._turns: list[Turn] = []
        self._suspicion = Suspicion()
        #: By domain: the mounts under its disks that may not be probed.
        self._unprobed: Mapping[str, frozenset[str]] = {}

    # --- the list of domains

    def listed(self, domains: Iterable[tuple[str, str, bool]]) -> Listing:
        """Take in the hypervisor's list: uuid, name, active. What is not in it is forgotten.

        A domain that was started anew, or stopped, begins with a clean slate, unless a call of
        ours still hangs in it.
        """
        members: dict[str, Member] = {}
        switched: list[str] = []
        stuck_in = {culprit for _, culprit in self._stuck.values()}
        for uuid, name, active in domains:
            member = self.members.get(uuid)
            if member is None:
                member = Member(uuid, name, active)
            elif member.active != active:
                switched.append(uuid)
                if uuid not in stuck_in:
                    member = member.started_anew(active)
            member.name, member.active = name, active
            members[uuid] = member
        is_other = members.keys() != self.members.keys()
        if is_other or switched:
            for uuid, member in self.members.items():
                if members.get(uuid) is not member:
                    self._suspicion.exonerate(uuid, member.storages)
                    if member.standing is not Standing.RESPONSIVE:
                        self._note(Event.ENDED, member)
        self.members = members
        return Listing(is_other, switched)

    def stopped(self, uuid: str) -> None:
        """A domain has ended: nothing that was held against it counts any more.

        Calls that hang in it come back by themselves, as its monitor is gone.
        """
        member = self.members.get(uuid)
        if member is None:
            return
        self._stuck = {call: made for call, made in self._stuck.items() if made[1] != uuid}
        self._suspicion.exonerate(uuid, member.storages)
        if member.standing is not Standing.RESPONSIVE:
            self._note(Event.ENDED, member)
        self.members[uuid] = member.started_anew(active=False)

    def describe(self, uuid: str, storages: tuple[str, ...]) -> None:
        """Remember on which storages, invisible to the storage watch, a domain's disks lie."""
        member = self.members.get(uuid)
        if member is not None:
            member.described = storages
            self._place(member)

    def lie_on(self, unprobed: Mapping[str, frozenset[str]]) -> None:
        """Remember on which mounts that may not be probed domains lie, for each that does."""
        if unprobed is self._unprobed:
            return
        self._unprobed = unprobed
        self._suspicion.unprobed = frozenset().union(*unprobed.values())
        for member in self.members.values():
            self._place(member)

    def _place(self, member: Member) -> None:
        """Its storages are others than before: so is what it is evidence against."""
        storages = (*(member.described or ()), *sorted(self._unprobed.get(member.uuid, ())))
        if storages == member.storages:
            return
        left = [storage for storage in member.storages if storage not in storages]
        self._suspicion.exonerate(member.uuid, left)
        member.storages = storages
        if self._is_culprit(member):
            self._suspicion.accuse(member.uuid, storages, member.since)

    # --- who answers

    def answered(self, member: Member, made: float, now: float, with_block: bool) -> None:
        """A domain's monitor has answered, at ``now``, a call that was made at ``made``."""
        if now > member.answered:
            member.answered = now
        if with_block:
            if now > member.answered_block:
                member.answered_block = now
            if member.storages:
                self._suspicion.answered(member.storages, made)
        if member.standing is not Standing.RESPONSIVE:
            self._note(Event.BACK, member)
            member.standing, member.cause, member.reason = Standing.RESPONSIVE, None, ""
            self._suspicion.exonerate(member.uuid, member.storages)

    def quarantine(self, uuid: str, now: float, cause: Cause, reason: str) -> None:
        """A domain hangs: do not ask its monitor until something says that it is back."""
        member = self.members.get(uuid)
        if member is None:
            return
        if member.standing is Standing.RESPONSIVE:
            member.since, member.reason = now, reason
            self._note(Event.HUNG, member)
        member.standing, member.cause, member.reason = Standing.QUARANTINED, cause, reason
        if cause is Cause.CALL:
            self._suspicion.accuse(uuid, member.storages, now)

    def release(self, uuid: str) -> None:
        """A quarantined domain seems to be back: probation."""
        member = self.members.get(uuid)
        if member is not None and member.standing is Standing.QUARANTINED:
            member.standing = Standing.PROBATION
            self._suspicion.seems_back(member.storages)

    def take_turns(self) -> list[Turn]:
        """Who began to hang and who is back, since the last time this was asked."""
        turns, self._turns = self._turns, []
        return turns

    def is_quarantined(self, uuid: str) -> bool:
        """Whether its monitor must not be asked."""
        member = self.members.get(uuid)
        return member is not None and member.standing is Standing.QUARANTINED

    def quarantined(self, cause: Cause) -> list[str]:
        return [
            member.uuid
            for member in self.members.values()
            if member.standing is Standing.QUARANTINED and member.cause is cause
        ]

    def _note(self, event: Event, member: Member) -> None:
        self._turns.append(Turn(event, member.uuid, member.name, member.since, member.reason))

    # --- stuck calls and the alert

    def call_stuck(self, call: int, made: float, culprit: Optional[str]) -> None:
        """A call hangs, in ``culprit`` if that is known; more may become known later."""
        self._stuck[call] = (made, culprit)

    def call_returned(self, call: int) -> Optional[str]:
        """A call that may have been stuck is back.

        :returns: its culprit, if it had one that no other call is stuck in.
        """
        _, culprit = self._stuck.pop(call, (0.0, None))
        if culprit in {other for _, other in self._stuck.values()}:
            return None
        return culprit

    @property
    def alert_since(self) -> Optional[float]:
        """When the latest outbreak began: its first call that is stuck; None when none is.

        A hang that has lasted for long says nothing of who hangs now, so calls that were made
        long after it begin an outbreak of their own.
        """
        if not self._stuck:
            return None
        since: Optional[float] = None
        for made in sorted((made for made, _ in self._stuck.values()), reverse=True):
            if since is not None and since - made > OUTBREAK_GAP_S:
                break
            since = made
        return since

    @property
    def reserve(self) -> int:
        """Room in the budget that domains in question must leave to those known to answer."""
        return RESERVE if self._stuck else 0

    @property
    def is_calm(self) -> bool:
        """Whether nothing is stuck and no storage is suspected: who is responsive is trusted."""
        return not self._stuck and self._suspicion.is_calm

    def is_trusted(self, uuid: str) -> bool:
        """Whether a domain may be asked in a chunk with others: it is not in question."""
        member = self.members.get(uuid)
        if member is None or member.standing is not Standing.RESPONSIVE:
            return False
        alert = self.alert_since
        if alert is None or not member.active or member.answered > alert:
            return True
        # Storage that explains every hang acquits those that do not lie on it, and those that have
        # answered since it is suspect, when they were not asked about it: a canary proves nothing
        # against them.
        if not member.storages or not self.is_explained:
            return False
        since = self._suspicion.suspect_since(member.storages)
        return since is None or member.answered > since

    @property
    def is_explained(self) -> bool:
        """Whether all stuck calls have their culprits on suspected storage."""
        culprits = [self.members.get(culprit or "") for _, culprit in self._stuck.values()]
        return all(
            culprit is not None and self._suspicion.is_suspect(culprit.storages)
            for culprit in culprits
        )

    def by_answer(self, uuids: Iterable[str]) -> list[Member]:
        """Domains in the order in which they answered: who waited longest comes first."""
        return sorted([self.members[uuid] for uuid in uuids], key=attrgetter("answered"))

    def probe_order(self, uuid: str) -> tuple[int, float]:
        """A sort key: the domains that are the likelier to answer come first, canaries last."""
        member = self.members.get(uuid)
        if member is None or self.is_canary(uuid):
            return (2, 0.0)
        return (int(self._suspicion.has_evidence(member.storages)), -member.answered)

    @property
    def evidence(self) -> tuple[object, ...]:
        """What the present alert rests on: while it is the same, who is in question is too."""
        return (self.alert_since, self.is_explained, self._suspicion.suspects)

    # --- suspicion by storage

    def is_suspected(self, uuid: str) -> bool:
        """Whether a domain must not be asked about its disks: others hang on its storage, or calls
        hang and it is not known yet where its disks lie, or those of the domains that hang.

        One that answered about them since the alert began may be asked, and so may a canary.
        """
        if not (self._stuck or self._suspicion.culprits):
            return False
        member = self.members.get(uuid)
        if member is None:
            return False
        alert = self.alert_since
        if alert is not None and self.awaits_places(uuid):
            return member.answered_block <= alert
        if not member.storages:
            return False
        return self._suspicion.spares(uuid, member.storages, member.answered_block, alert)

    def awaits_places(self, uuid: str) -> bool:
        """Whether calls hang, and it is not known yet if this domain lies on the storage of those
        they hang in.
        """
        culprits = {culprit for _, culprit in self._stuck.values() if culprit is not None}
        found = [self.members[other] for other in {uuid, *culprits} if other in self.members]
        return bool(self._stuck) and not all(member.is_placed for member in found)

    @property
    def confirmed(self) -> frozenset[str]:
        """The storages that hang by all signs: more than one of their domains does."""
        return self._suspicion.confirmed

    def is_canary(self, uuid: str) -> bool:
        """Whether this round asks it about its disks though its storage is suspect."""
        return self._suspicion.is_canary(uuid)

    def send_canaries(self, uuids: Iterable[str]) -> None:
        """Choose canaries for a new round, of ``uuids``."""
        if self._suspicion.is_calm:
            return
        members = filter(None, map(self.members.get, uuids))
        self._suspicion.send_canaries(
            (member.uuid, member.storages)
            for member in members
            if member.active and member.standing is Standing.RESPONSIVE
        )

    def _is_culprit(self, member: Member) -> bool:
        return member.standing is Standing.QUARANTINED and member.cause is Cause.CALL
