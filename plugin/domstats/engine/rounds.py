"""A round's own bookkeeping: the query, its calls, and what is known of each domain so far.

Pure data with small rules of merging; which call to make next is decided in ``engine``.
"""

from __future__ import annotations

import enum
import heapq
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Callable, NamedTuple, Optional

import msgspec

from ..domain_xml.disk_counters import Disk
from ..drivers import BLOCK
from ..model import GROUP_OF_WORD, STATE_SHUTOFF, DomainSample, Stats
from .idle import Idle
from .scouts import Scouts


class Query(NamedTuple):
    """What somebody wants to know.

    :param id: a number above 0 of its own.
    :param deadline_s: seconds after which it ends with what it has.
    :param groups: stats groups to ask for.
    :param domains: uuids or names; None for all that the settings select.
    :param reports: whether to tell which domains it has, and when each of them is complete.
    :param in_parts: whether to hand out domains as soon as they are complete.
    :param paced: whether groups that are wanted less often are left out until they are due.
    :param fast: whether to ask active domains only, and nobody's monitor; ``groups`` are of
        ``model.FAST_GROUPS`` then.
    """

    id: int
    deadline_s: float
    groups: frozenset[str]
    domains: Optional[frozenset[str]] = None
    reports: bool = False
    in_parts: bool = False
    paced: bool = False
    fast: bool = False

    @property
    def is_of_all(self) -> bool:
        """Whether its sample is the one that tells what happened to domains."""
        return self.domains is None and not self.fast


class Kind(enum.Enum):
    """What a call asks."""

    #: One bulk call for a chunk of domains, with groups that need their monitors.
    MONITOR = "monitor"
    #: What can be known without the monitor.
    FREE = "free"
    #: The domains' XML.
    DESCRIBE = "describe"


class Call(msgspec.Struct, eq=False):
    """A call under way, in a thread of its own until it comes back.

    :param groups: the groups that a complete answer answers.
    :param made: when it was made, in the engine's seconds.
    :param query: the query that it serves; 0 for none.
    :param bulk: the groups to ask for in bulk.
    :param classic: what to ask each domain for besides, of ``model.CLASSIC``.
    :param counted: by uuid: the disks to ask for their counters alone.
    :param sized: by uuid: domains to ask for the sizes of disks that the bulk answer does not tell,
        and the targets of those of their disks that are qcow2 files.
    :param check_at: when it becomes suspect.
    :param stuck: it hangs, and its domains have been asked again by another.
    :param culprit: the domain in which it hangs, if that is known.
    :param suspect: the domain that looked like a culprit in the last look at a late call.
    :param over: its round has ended without it.
    """

    id: int
    kind: Kind
    uuids: tuple[str, ...]
    groups: frozenset[str]
    made: float
    query: int
    bulk: frozenset[str] = frozenset()
    classic: frozenset[str] = frozenset()
    counted: Mapping[str, Sequence[Disk]] = {}
    sized: Mapping[str, frozenset[str]] = {}
    check_at: float = 0.0
    stuck: bool = False
    culprit: Optional[str] = None
    suspect: Optional[str] = None
    over: bool = False

    def is_overdue(self, now: float, share: float = 1.0) -> bool:
        """Whether it has taken its time, or that share of it, without an answer."""
        return now - self.made >= share * (self.check_at - self.made)

    @property
    def late(self) -> bool:
        """Whether its answer, if one comes, comes too late."""
        return self.stuck or self.over


class Entry(msgspec.Struct, eq=False, gc=False):
    """What a round knows of one domain so far.

    :param asked: the groups that are wanted of it.
    :param got: those that it has answered.
    :param idle: what it need not be asked for, and what that told last.
    :param at_s: when it was asked for what it has answered.
    :param handed_out: what is left of it once it was handed out, before the round's end.
    """

    uuid: str
    name: str
    active: bool
    asked: frozenset[str]
    got: frozenset[str] = frozenset()
    stats: Stats = {}
    gone: bool = False
    failure: str = ""
    idle: Optional[Idle] = None
    at_s: float = 0.0
    handed_out: Optional[DomainSample] = None

    @property
    def missing(self) -> frozenset[str]:
        return self.asked - self.got

    @property
    def is_complete(self) -> bool:
        """Whether it lacks nothing."""
        return self.asked <= self.got

    def take(self, stats: Stats, groups: frozenset[str]) -> None:
        """A complete answer for these groups; it goes before what there is."""
        if not self.active or stats.get("state.state") == STATE_SHUTOFF:
            stats = without_cpu(stats)
        idle, self.idle = self.idle, None
        if idle is not None and idle.groups.isdisjoint(groups):
            stats.update(idle.stats)
            groups = _both(groups, idle.groups)
        self.stats = {**self.stats, **stats} if self.stats else stats
        self.got = self.got | groups if self.got else groups
        self.failure = ""
        if "state" not in self.asked:
            self.stats.pop("state.state", None)
            self.stats.pop("state.reason", None)

    def take_partial(self, stats: Stats, groups: frozenset[str]) -> None:
        """An answer without the monitor, complete for ``groups``; it goes behind what there is."""
        asked = self.asked
        if not self.active or stats.get("state.state") == STATE_SHUTOFF:
            stats = without_cpu(stats)
        told = {
            key: value
            for key, value in stats.items()
            if key not in self.stats and GROUP_OF_WORD.get(key.split(".", 1)[0]) in asked
        }
        self.stats = {**self.stats, **told}  # a new one: a snapshot may have the other
        self.got |= groups



def without_cpu(stats: Stats) -> Stats:
    """The answer of a domain that does not run, without what cannot be true of it.

    libvirt 9.0 reads the CPU time of the domain's process, and where there is none that of its own.
    """
    return {key: value for key, value in stats.items() if not key.startswith("cpu.")}


class RoundBook:
    """A query under way: its domains, and those that wait for something.

    :param late_scouts: as of ``Scouts``.
    :ivar half: when half of its time is over.
    :ivar list_by: when the hypervisor has to have given its list.
    :ivar lanes: how many monitor calls may be under way for it at a time, once it is listed.
    :ivar waiting_for_storage: domains that wait to learn where their disks lie, or for that
        storage, in order.
    :ivar news: domains of these two kinds whose storage, or place, there is news of.
    :ivar news_at: when the last news of storage came.
    :ivar silent: the storage for which domains go without their disks.
    :ivar disks_pending: domains that gave everything else, to be asked for their disks if that gets
        safe.
    :ivar scouts: who tries storage that may not be probed, before others on it are asked.
    :ivar ready: domains to be asked in chunks, by the groups to ask for.
    :ivar free: domains to be sampled without their monitor.
    :ivar free_alone: those of them that must be sampled alone, since a call for many failed.
    :ivar is_spared: whether those who wait are sampled without their monitor too.
    :ivar retry: domains whose monitor was busy, to be asked once more at the end.
    :ivar answered: domains that have answered and were not handed out since.
    :ivar out: calls under way for this round, by id.
    :ivar turns: whose turn has come, once that was asked for.
    """

    def __init__(
        self,
        query: Query,
        now: float,
        time_ns: int,
        late_scouts: Mapping[int, frozenset[str]] = {},
    ) -> None:
        self.query = query
        self.time_ns = time_ns
        self.made = now
        self.deadline = now + query.deadline_s
        self.half = now + query.deadline_s / 2
        self.list_by = self.deadline
        self.lanes = 0
        self.listed = False
        self.entries: dict[str, Entry] = {}
        self.chunk_size = 1
        self.waiting_for_storage: dict[str, None] = {}
        self.news: set[str] = set()
        self.news_at = now
        self.silent: set[str] = set()
        self.disks_pending: dict[str, None] = {}
        self.scouts = Scouts(late_scouts)
        self.ready: defaultdict[frozenset[str], deque[str]] = defaultdict(deque)
        self.sorted_for: tuple[object, ...] = ()
        self._singles: list[tuple[tuple[int, float], int, str, frozenset[str]]] = []
        self._queued = 0
        self.free: deque[str] = deque()
        self.free_alone: set[str] = set()
        self.is_spared = False
        self.retry: list[str] = []
        self.retried = False
        self.awaits_control = False
        self.answered: list[str] = []
        self.out: set[int] = set()
        self.attempts: dict[str, int] = {}
        self.calls = 0
        self.turns: Optional[Turns] = None

    @property
    def ends_at(self) -> float:
        """When it ends, whatever it lacks."""
        return self.deadline if self.listed else min(self.deadline, self.list_by)

    @property
    def list_within_s(self) -> float:
        """Seconds that the hypervisor has to give its list."""
        return min(self.query.deadline_s, self.list_by - self.made)

    def shorten(self, deadline: float) -> None:
        """It has to end then, if not before."""
        deadline_s = min(self.query.deadline_s, deadline - self.made)
        self.query = self.query._replace(deadline_s=deadline_s)
        self.deadline = min(self.deadline, deadline)
        self.half = min(self.half, self.made + deadline_s / 2)

    def storage_news(self, now: float) -> None:
        """There is news of storage: whoever waits for some is to be looked at again."""
        self.news.update(self.waiting_for_storage, self.disks_pending)
        self.news_at = now

    def wait_for_scouts(
        self, uuids: Iterable[str], lies_on: Mapping[str, frozenset[str]]
    ) -> set[str]:
        """As ``Scouts.waiting``; domains that run are the better scouts, as their answers count
        for the roster too."""
        return self.scouts.waiting(
            sorted(uuids, key=lambda uuid: not self.entries[uuid].active), lies_on
        )

    def heed_scouts(self, call: Call, complete: Collection[str], now: float) -> None:
        """A call is back, or is not made: perhaps somebody has waited for a scout in it.

        :param complete: the domains whose answers are complete.
        """
        answered = complete if BLOCK in call.groups else ()
        if call.kind is Kind.MONITOR and self.scouts.back(call.uuids, answered):
            self.storage_news(now)

    def queue(self, uuid: str, groups: frozenset[str]) -> None:
        """To be asked in a chunk with others."""
        self.ready[groups].append(uuid)

    def queue_single(
        self, uuid: str, groups: frozenset[str], probe_order: tuple[int, float]
    ) -> None:
        """To be asked alone, the smallest ``probe_order`` first."""
        self._queued += 1
        heapq.heappush(self._singles, (probe_order, self._queued, uuid, groups))

    def pop_single(self) -> tuple[str, frozenset[str]]:
        _, _, uuid, groups = heapq.heappop(self._singles)
        return uuid, groups

    @property
    def waiting(self) -> tuple[frozenset[str], frozenset[str]]:
        """The domains whose turn to be asked has not come: in chunks, and alone."""
        in_chunks = (uuid for waiting in self.ready.values() for uuid in waiting)
        return frozenset(in_chunks), frozenset(single[2] for single in self._singles)

    def pop_chunk(self, waiting: deque[str], most: int) -> list[str]:
        """The next domains to be asked together; scouts without others, so as to be back soon."""
        size = min(most, len(waiting))
        if self.scouts.are_out and self.scouts.is_out(waiting[0]):
            size = next((n for n in range(size) if not self.scouts.is_out(waiting[n])), size)
        return [waiting.popleft() for _ in range(size)]

    def spare(self) -> None:
        """Have those who wait for their turn sampled without their monitor too."""
        self.is_spared = True
        for waiting in self.ready.values():
            self.free.extend(uuid for uuid in waiting if not self.entries[uuid].got)

    @property
    def has_singles(self) -> bool:
        return bool(self._singles)

    @property
    def has_ready(self) -> bool:
        return any(self.ready.values())


class Turns:
    """Whose monitor a round has asked by now, and whose it has not.

    :param out: the calls under way for this round.
    :param room: how many calls may still get stuck.
    :param reserve: how much of that domains in question must leave to others.
    """

    def __init__(
        self, round_: RoundBook, out: Sequence[Call], room: int, reserve: int
    ) -> None:
        in_chunks, alone = round_.waiting
        self._waiting = in_chunks | alone
        self._kept = (in_chunks if room <= 0 else frozenset()) | (
            alone if room <= reserve else frozenset()
        )
        self._asked = {uuid for call in out if call.kind is Kind.MONITOR for uuid in call.uuids}

    def why_lacking(self, entry: Entry) -> str:
        """Why a domain with which nothing is wrong lacks groups, for people."""
        if entry.uuid in self._kept:
            return "too many calls are stuck to ask its monitor"
        if entry.uuid in self._waiting:
            return "its turn did not come before the deadline"
        if entry.uuid in self._asked or not entry.got:
            return "no answer before the deadline"
        return "its monitor is busy"


@lru_cache(maxsize=256)
def _both(groups: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """The same object for all domains of which the same groups are idle."""
    return groups | others


#: What tells a device from another, by the first word of its keys.
_DEVICE_KEYS: dict[str, tuple[str, ...]] = {"net": ("name",), "block": ("name", "path")}
#: Devices of a kind that are looked at: the server says how many there are, so within reason.
_MOST_DEVICES = 4096


def device_names(stats: Stats) -> dict[str, tuple[object, ...]]:
    """The names of the domain's devices and the paths behind its disks, as the answer has them.

    By the first word of their keys; an answer without that group says nothing about its devices.
    """
    return _named(stats, _keys_of_names(stats))


def _named(stats: Stats, keys_by_word: dict[str, tuple[str, ...]]) -> dict[str, tuple[object, ...]]:
    return {word: tuple(map(stats.get, keys)) for word, keys in keys_by_word.items()}


def _keys_of_names(stats: Stats) -> dict[str, tuple[str, ...]]:
    """The keys of its devices' names, by their first word."""
    counts = {word: stats.get(f"{word}.count") for word in _DEVICE_KEYS}
    return {
        word: _name_keys(word, count) for word, count in counts.items() if isinstance(count, int)
    }


class SeenDevices:
    """The device names that a domain's answers had last."""

    __slots__ = ("_absent", "_known", "_pick", "_picked")

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, ...]] = {}
        self._pick: Optional[Callable[[Stats], object]] = None
        self._picked: object = None
        self._absent: frozenset[str] = frozenset()

    @property
    def disks(self) -> list[tuple[object, object]]:
        """Name and path of each disk of the last answer that told, by the disk's index."""
        texts = self._known.get("block", ())
        return list(zip(texts[::2], texts[1::2]))

    def differ(self, stats: Stats) -> bool:
        """Whether this answer has other devices than those before it; it is remembered."""
        if self._pick is not None:
            try:
                are_same = self._pick(stats) == self._picked
            except KeyError:
                are_same = False
            if are_same and stats.keys().isdisjoint(self._absent):
                return False
        keys_by_word = _keys_of_names(stats)
        names = _named(stats, keys_by_word)
        before = {word: self._known.get(word, found) for word, found in names.items()}
        self._known.update(names)
        self._pick = None
        if len(names) == len(_DEVICE_KEYS):  # else a later answer may have what this one lacks
            keys = [key for of_word in keys_by_word.values() for key in of_word]
            self._absent = frozenset(keys).difference(stats)
            self._pick = _picker(tuple(key for key in keys if key in stats))
            self._picked = self._pick(stats)
        return before != names


@lru_cache(maxsize=1024)
def _picker(keys: tuple[str, ...]) -> Callable[[Stats], object]:
    """What picks the counts of devices and these names from an answer, all at once."""
    return itemgetter("net.count", "block.count", *keys)


@lru_cache(maxsize=1024)
def _name_keys(word: str, count: int) -> tuple[str, ...]:
    """The keys of so many devices' names."""
    return tuple(
        f"{word}.{index}.{key}"
        for index in range(min(count, _MOST_DEVICES))
        for key in _DEVICE_KEYS[word]
    )
