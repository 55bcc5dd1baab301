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

from .model import DomainEvent

#: What is told of the events themselves: that some may be missing.
STREAM = "stream"
#: A domain's migration, and a change of its limits; only for ourselves.
MIGRATION = "migration"
TUNABLE = "tunable"


class RawEvent(NamedTuple):
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
    17: Source(TUNABLE, lambda parameters: {"event": "changed"}),
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


def wanted_sources(
    kinds: Collection[str], wants_labels: bool, wants_limits: bool = False
) -> tuple[int, ...]:
    """The virDomainEventIDs to register: none, unless events or labels are asked for.

    A server keeps callbacks for each client that registers, and libvirtd 9.0 was seen to crash
    when such a client vanished while it was frozen. Nobody takes that risk without wanting to.

    :param kinds: those that are to be told.
    :param wants_labels: whether changes of domains' XML are to be heard of.
    :param wants_limits: whether those of disks' limits are, where the others are.
    """
    if not kinds and not wants_labels:
        return ()
    wanted = {*kinds, *_OWN_NEEDS, *CHANGES_OF_XML, *((TUNABLE,) if wants_limits else ())}
    return tuple(number for number, source in SOURCES.items() if source.kind in wanted)


def read(news: RawEvent) -> DomainEvent:
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
    (TUNABLE,): (Meaning.CHANGED,),
}


def meanings(event: DomainEvent) -> tuple[Meaning, ...]:
    """What the engine has to do about an event, in order."""
    for place in ((event.kind, event.event, event.detail), (event.kind, event.event)):
        if place in _MEANINGS:
            return _MEANINGS[place]
    return _MEANINGS.get((event.kind,), ())
