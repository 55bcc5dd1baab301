"""What happens to domains: libvirt's events in words, which of them are told, what they change.

``connection`` brings each event as the numbers and texts that libvirt calls back with; the tables
here give them names. ``EventBook`` keeps the events of one hypervisor until the next sample takes
them along: it lets a domain tell only so much, and knows what may be missing after a connection
was lost. Time is passed in; nothing here knows threads, a clock, or libvirt.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

import msgspec

from .model import DomainEvent

#: What is told of the events themselves: that some may be missing.
STREAM = "stream"
#: A domain's migration; only for ourselves.
MIGRATION = "migration"

#: Events of one kind that a domain may tell at once, and how many more each second.
BURST = 20
PER_S = 0.2
#: Events that wait for a sample, at most.
MOST_WAITING = 10_000
#: Seconds for which a start or stop that the lists imply waits for libvirt's own word on it.
SETTLE_S = 1.0


class News(NamedTuple):
    """An event as libvirt calls back with it.

    :param source: the number of its virDomainEventID.
    :param id: the domain's number while it runs; -1 if it does not.
    :param arguments: those of the callback that are not the connection, the domain or opaque.
    :param time_ns: when it was called.
    """

    source: int
    uuid: str
    name: str
    id: int
    arguments: tuple[Any, ...]
    time_ns: int


# --- From libvirt's numbers to words ------------------------------------------------------------

#: virDomainEventType, and for each the details in their order.
LIFECYCLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("defined", ("added", "updated", "renamed", "from_snapshot")),
    ("undefined", ("removed", "renamed")),
    ("started", ("booted", "migrated", "restored", "from_snapshot", "wakeup")),
    (
        "suspended",
        (
            "paused",
            "migrated",
            "io_error",
            "watchdog",
            "restored",
            "from_snapshot",
            "api_error",
            "postcopy",
            "postcopy_failed",
        ),
    ),
    ("resumed", ("unpaused", "migrated", "from_snapshot", "postcopy", "postcopy_failed")),
    (
        "stopped",
        ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from_snapshot"),
    ),
    ("shutdown", ("finished", "guest", "host")),
    ("pmsuspended", ("memory", "disk")),
    ("crashed", ("panicked", "crashloaded")),
)
#: virDomainEventWatchdogAction.
WATCHDOG = ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi")
#: virDomainEventIOErrorAction: nothing, the guest was paused, the guest was told.
IO_ERROR = ("ignored", "paused", "reported")
#: virConnectDomainEventAgentLifecycleState and …Reason.
AGENT_STATE = ("unknown", "connected", "disconnected")
AGENT_REASON = ("unknown", "domain_started", "channel")
#: virDomainMetadataType.
METADATA = ("description", "title", "element")


def word(words: Sequence[str], number: int) -> str:
    """A number's word; the number itself where a newer libvirt has more of them."""
    return words[number] if 0 <= number < len(words) else str(number)


#: What a callback's arguments say: fields of ``DomainEvent``.
_Said = dict[str, Any]


def _lifecycle(event: int, detail: int) -> _Said:
    name, details = LIFECYCLE[event] if 0 <= event < len(LIFECYCLE) else (str(event), ())
    return {"event": name, "detail": word(details, detail)}


def _watchdog(action: int) -> _Said:
    return {"event": "expired", "detail": word(WATCHDOG, action)}


def _io_error(path: str, alias: str, action: int, reason: str) -> _Said:
    said = {"event": word(IO_ERROR, action), "detail": reason or "", "device": alias or ""}
    return {**said, "path": path or ""}


def _balloon(actual: int) -> _Said:
    return {"event": "changed", "numbers": {"actual": actual}}


def _agent(state: int, reason: int) -> _Said:
    return {"event": word(AGENT_STATE, state), "detail": word(AGENT_REASON, reason)}


def _threshold(device: str, path: str, threshold: int, excess: int) -> _Said:
    numbers = {"threshold": threshold, "excess": excess}
    return {"event": "exceeded", "device": device or "", "path": path or "", "numbers": numbers}


def _metadata(what: int, namespace: Optional[str]) -> _Said:
    return {"event": "changed", "detail": namespace or word(METADATA, what)}


def _device(event: str) -> Callable[[str], _Said]:
    return lambda alias: {"event": event, "device": alias or ""}


class Source(NamedTuple):
    """A kind of libvirt's events, and what its callback's arguments say."""

    kind: str
    read: Callable[..., _Said]


#: By virDomainEventID, in the order of registration.
SOURCES: Mapping[int, Source] = {
    0: Source("lifecycle", _lifecycle),
    1: Source("lifecycle", lambda: {"event": "rebooted"}),
    3: Source("watchdog", _watchdog),
    6: Source("io_error", _io_error),
    13: Source("balloon", _balloon),
    15: Source("device", _device("removed")),
    18: Source("agent", _agent),
    19: Source("device", _device("added")),
    20: Source(MIGRATION, lambda iteration: {"event": "iteration"}),
    21: Source(MIGRATION, lambda statistics: {"event": "completed"}),
    22: Source("device", _device("removal_failed")),
    23: Source("metadata", _metadata),
    24: Source("block_threshold", _threshold),
}

#: The kinds that the engine itself needs: always, and where it reads domains' XML.
_OWN_NEEDS = frozenset({"lifecycle", MIGRATION})
CHANGES_OF_XML = frozenset({"lifecycle", "device", "metadata"})

#: How bad something is, by kind, event and detail; the first that is there counts.
_SEVERITY: Mapping[tuple[str, ...], str] = {
    ("lifecycle", "stopped", "crashed"): "failure",
    ("lifecycle", "stopped", "failed"): "failure",
    ("lifecycle", "suspended", "io_error"): "failure",
    ("lifecycle", "suspended", "postcopy_failed"): "failure",
    ("lifecycle", "suspended"): "warning",
    ("lifecycle", "crashed"): "failure",
    ("io_error",): "failure",
    ("watchdog",): "warning",
    ("block_threshold",): "warning",
    ("device", "removal_failed"): "warning",
    (STREAM,): "warning",
}


def severity(kind: str, event: str, detail: str) -> str:
    """``failure``, ``warning`` or ``okay``."""
    for place in ((kind, event, detail), (kind, event), (kind,)):
        if place in _SEVERITY:
            return _SEVERITY[place]
    return "okay"


def wanted_sources(kinds: Collection[str], wants_labels: bool) -> tuple[int, ...]:
    """The virDomainEventIDs to register: none, unless events or labels are asked for.

    A server keeps callbacks for each client that registers, and libvirtd 9.0 was seen to crash
    when such a client vanished while it was frozen. Nobody takes that risk without wanting to.

    :param kinds: those that are to be told.
    :param wants_labels: whether changes of domains' XML are to be heard of.
    """
    if not kinds and not wants_labels:
        return ()
    wanted = {*kinds, *_OWN_NEEDS, *CHANGES_OF_XML}
    return tuple(number for number, source in SOURCES.items() if source.kind in wanted)


def read(news: News) -> DomainEvent:
    """An event in words. Raises TypeError for arguments that its kind does not have."""
    source = SOURCES[news.source]
    said = source.read(*news.arguments)
    bad = severity(source.kind, said["event"], said.get("detail", ""))
    return DomainEvent(
        news.time_ns, news.uuid, news.name, source.kind, severity=bad, id=news.id, **said
    )


# --- What an event means to the engine ----------------------------------------------------------


class Meaning(enum.Enum):
    """What the engine does about an event."""

    #: The domain has ended: nobody need ask it any more.
    ENDED = "ended"
    #: What its XML says has changed.
    CHANGED = "changed"
    #: It is being migrated, and still runs here: a monitor that is busy does not hang.
    MOVING = "moving"
    #: It is being migrated, and stands still here: its monitor is not to be asked.
    HANDED_OVER = "handed over"
    #: It is not being migrated, or not any more.
    SETTLED = "settled"


_MEANINGS: Mapping[tuple[str, ...], tuple[Meaning, ...]] = {
    ("lifecycle", "stopped"): (Meaning.SETTLED, Meaning.ENDED),
    ("lifecycle", "started", "migrated"): (Meaning.HANDED_OVER, Meaning.CHANGED),
    ("lifecycle", "started"): (Meaning.SETTLED, Meaning.CHANGED),
    ("lifecycle", "defined"): (Meaning.CHANGED,),
    ("lifecycle", "suspended", "migrated"): (Meaning.HANDED_OVER,),
    ("lifecycle", "suspended", "postcopy"): (Meaning.HANDED_OVER,),
    ("lifecycle", "suspended", "postcopy_failed"): (Meaning.HANDED_OVER,),
    ("lifecycle", "resumed"): (Meaning.SETTLED,),
    (MIGRATION, "iteration"): (Meaning.MOVING,),
    (MIGRATION, "completed"): (Meaning.SETTLED,),
    ("device", "added"): (Meaning.CHANGED,),
    ("device", "removed"): (Meaning.CHANGED,),
    ("metadata",): (Meaning.CHANGED,),
}


def meanings(event: DomainEvent) -> tuple[Meaning, ...]:
    """What the engine has to do about an event, in order."""
    for place in ((event.kind, event.event, event.detail), (event.kind, event.event)):
        if place in _MEANINGS:
            return _MEANINGS[place]
    return _MEANINGS.get((event.kind,), ())


# --- How much is told ---------------------------------------------------------------------------


class RateLimiter:
    """A bucket of tokens for each key: full at first, and filled again as time goes by."""

    def __init__(self, burst: int = BURST, per_s: float = PER_S) -> None:
        self._burst = burst
        self._per_s = per_s
        #: By key: tokens, and when they were counted.
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def admits(self, key: tuple[str, str], now: float) -> bool:
        """Take a token; False if there is none."""
        tokens = self._tokens(key, now)
        admitted = tokens >= 1
        self._buckets[key] = (tokens - admitted, now)
        return admitted

    def tidy(self, now: float) -> None:
        """Forget the buckets that are full."""
        for key in [key for key in self._buckets if self._tokens(key, now) >= self._burst]:
            del self._buckets[key]

    def _tokens(self, key: tuple[str, str], now: float) -> float:
        tokens, counted = self._buckets.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + (now - counted) * self._per_s)


class _Dropped(msgspec.Struct):
    """How many events of one domain and kind were not told, and when the last of them came."""

    name: str
    count: int = 0
    time_ns: int = 0


class _Place(NamedTuple):
    """A domain as it was last known: its name, and its number, -1 if it did not run."""

    name: str
    id: int


class EventBook:
    """The events of one hypervisor that wait to be told.

    After a connection is lost, events are missing: one of kind ``stream`` says since when. What
    the lists before and after tell (starts and stops) is made up for, marked as inferred. libvirt
    calls back in a thread of its own, which may be behind the list, so an inference waits for
    ``SETTLE_S``, and gives way to the event itself.

    :param kinds: which are told, of ``model.EVENT_KINDS``.
    """

    def __init__(self, kinds: Collection[str] = ()) -> None:
        self._kinds = frozenset(kinds)
        self._waiting: list[DomainEvent] = []
        self._limiter = RateLimiter()
        #: By uuid and kind; both empty for what was beyond ``MOST_WAITING``.
        self._dropped: dict[tuple[str, str], _Dropped] = {}
        self._dropping: set[tuple[str, str]] = set()
        self._unsupported: set[str] = set()
        self._log: list[str] = []
        #: The domains in the last list, kept right by events; None before the first.
        self._known: Optional[dict[str, _Place]] = None
        #: Those of which events have told since the last list, or the last connection.
        self._told: set[str] = set()
        self._heard_ns = 0
        self._is_broken = False
        #: By uuid and event: what the lists imply, and until when it waits.
        self._inferred: dict[tuple[str, str], tuple[float, DomainEvent]] = {}

    def subscribed(self) -> None:
        """Events come from a new connection from here on; those of the one before have ended."""
        self._is_broken = self._is_broken or self._known is not None
        self._told = set()

    def take_over(self, failed: EventBook) -> None:
        """Go on in the place of a book that may be wrong: what it had counts as lost."""
        self._heard_ns = failed._heard_ns
        self._is_broken = self._heard_ns > 0
        self._unsupported = failed._unsupported

    def unsupported(self, kind: str) -> None:
        """The hypervisor has no such events: told once, to those who want them."""
        if kind in self._kinds and kind not in self._unsupported:
            self._unsupported.add(kind)
            self._log.append(f"the hypervisor has no events of kind {kind}")

    def take_in(self, event: DomainEvent, now: float) -> None:
        """An event has come."""
        if event.kind == "lifecycle":
            self._inferred.pop((event.uuid, event.event), None)
            if event.event in _RUNS and self._known is not None:
                self._told.add(event.uuid)
                number = event.id if _RUNS[event.event] else -1
                self._known[event.uuid] = _Place(event.name, number)
        if event.kind not in self._kinds:
            return
        key = (event.uuid, event.kind)
        if self._limiter.admits(key, now):
            self._add(event)
        else:
            self._drop(key, event)

    def listed(
        self, domains: Sequence[tuple[str, str, int]], now: float, time_ns: int
    ) -> None:
        """The hypervisor's list: uuid, name and number (-1 if it does not run) of each domain."""
        if not self._kinds:
            return
        listed = {uuid: _Place(name, number) for uuid, name, number in domains}
        known = self._known
        if self._is_broken:
            self._is_broken = False
            gap_ms = max(0, time_ns - self._heard_ns) // 1_000_000
            self._add(_of_stream(time_ns, "gap", "reconnected", {"gap_ms": gap_ms}))
            if "lifecycle" in self._kinds and known is not None:
                for event in _differences(known, listed, self._told, time_ns):
                    self._inferred[event.uuid, event.event] = (now + SETTLE_S, event)
        if known is not None:
            listed.update((uuid, known[uuid]) for uuid in self._told if uuid in known)
        self._known, self._told = listed, set()
        self._heard_ns = time_ns

    def hand_out(self, now: float) -> tuple[DomainEvent, ...]:
        """What is to be told now, in order of time. It is not told again."""
        for key in [key for key, (until, _) in self._inferred.items() if now >= until]:
            self._add(self._inferred.pop(key)[1])
        told, self._waiting = self._waiting, []
        told += [_of_dropped(key, dropped) for key, dropped in self._dropped.items()]
        self._tell_dropping()
        self._dropped.clear()
        self._limiter.tidy(now)
        told.sort(key=lambda event: event.time_ns)
        return tuple(told)

    def take_log(self) -> list[str]:
        """What the user is to be warned of, once."""
        log, self._log = self._log, []
        return log

    def _add(self, event: DomainEvent) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(event)
        else:
            self._drop(("", ""), event)

    def _drop(self, key: tuple[str, str], event: DomainEvent) -> None:
        name = event.name if key[0] else ""
        dropped = self._dropped.setdefault(key, _Dropped(name))
        dropped.count += 1
        dropped.time_ns = max(dropped.time_ns, event.time_ns)

    def _tell_dropping(self) -> None:
        """One line when somebody begins to tell too much."""
        new = [key for key in self._dropped if key not in self._dropping]
        self._dropping = set(self._dropped)
        if new:
            uuid, kind = new[0]
            name = self._dropped[new[0]].name
            who = f"domain {name} sends too many events of kind {kind}"
            who = who if uuid else f"more than {MOST_WAITING} events in one round"
            more = f", and so do {len(new) - 1} more" if len(new) > 1 else ""
            self._log.append(f"{who}{more}: those beyond the limit are counted, not told")


#: Whether a domain runs after an event of its lifecycle.
_RUNS = {"started": True, "stopped": False}


def _of_stream(time_ns: int, event: str, detail: str, numbers: dict[str, int]) -> DomainEvent:
    return DomainEvent(
        time_ns, "", "", STREAM, event, detail, severity(STREAM, event, detail), numbers=numbers
    )


def _of_dropped(key: tuple[str, str], dropped: _Dropped) -> DomainEvent:
    uuid, kind = key
    numbers = {"dropped": dropped.count}
    if not uuid:
        return _of_stream(dropped.time_ns, "dropped", "too many", numbers)
    return DomainEvent(
        dropped.time_ns, uuid, dropped.name, kind, "dropped", "too many", "warning",
        numbers=numbers,
    )  # fmt: skip


def _differences(
    before: Mapping[str, _Place], after: Mapping[str, _Place], told: Collection[str], time_ns: int
) -> list[DomainEvent]:
    """The stops and starts between two lists, but for domains of which events have told."""
    found: list[DomainEvent] = []

    def add(uuid: str, place: _Place, event: str) -> None:
        bad = severity("lifecycle", event, "")
        found.append(
            DomainEvent(
                time_ns, uuid, place.name, "lifecycle", event, "", bad,
                inferred=True, id=place.id,
            )
        )  # fmt: skip

    for uuid in [*before, *(uuid for uuid in after if uuid not in before)]:
        if uuid in told:
            continue
        old = before.get(uuid, _Place("", -1))
        new = after.get(uuid, _Place(old.name, -1))
        if old.id != new.id:
            if old.id >= 0:
                add(uuid, _Place(old.name, -1), "stopped")
            if new.id >= 0:
                add(uuid, new, "started")
    return found
