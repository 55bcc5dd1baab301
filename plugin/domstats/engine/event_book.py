"""Which events are reported with which sample, and how many: floods are cut short and counted, and
what a lost connection may have hidden is said or inferred.

Pure decisions, without threads, clock or libvirt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional

import msgspec

from ..events import STREAM, severity
from ..model import DomainEvent

#: Events of one kind that a domain may tell at once, and how many more each second.
BURST = 20
PER_S = 0.2
#: Events that wait for a sample, at most.
MOST_WAITING = 10_000
#: Seconds for which a start or stop that the lists imply waits for libvirt's own word on it.
SETTLE_S = 1.0


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
    """How many events of one domain and kind were not reported, and when the last of them came."""

    name: str
    count: int = 0
    time_ns: int = 0


class _Place(NamedTuple):
    """A domain as it was last known: its name, and its number, -1 if it did not run."""

    name: str
    id: int


class EventBook:
    """The events of one hypervisor that wait to be reported.

    After a connection is lost, events are missing: one of kind ``stream`` says since when. What
    the lists before and after tell (starts and stops) is made up for, marked as inferred. libvirt
    calls back in a thread of its own, which may be behind the list, so an inference waits for
    ``SETTLE_S``, and gives way to the event itself.

    :param kinds: which are reported, of ``model.EVENT_KINDS``.
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
        #: Those of which events have come since the last list, or the last connection.
        self._heard_of: set[str] = set()
        self._heard_ns = 0
        self._is_broken = False
        #: By uuid and event: what the lists imply, and until when it waits.
        self._inferred: dict[tuple[str, str], tuple[float, DomainEvent]] = {}

    def subscribed(self) -> None:
        """Events come from a new connection from here on; those of the one before have ended."""
        self._is_broken = self._is_broken or self._known is not None
        self._heard_of = set()

    def take_over(self, failed: EventBook) -> None:
        """Go on in the place of a book that may be wrong: what it had counts as lost."""
        self._heard_ns = failed._heard_ns
        self._is_broken = self._heard_ns > 0
        self._unsupported = failed._unsupported

    def unsupported(self, kind: str) -> None:
        """The hypervisor has no such events: logged once, to those who want them."""
        if kind in self._kinds and kind not in self._unsupported:
            self._unsupported.add(kind)
            self._log.append(f"the hypervisor has no events of kind {kind}: none are reported")

    def take_in(self, event: DomainEvent, now: float) -> None:
        """An event has come."""
        if event.kind == "lifecycle":
            self._inferred.pop((event.uuid, event.event), None)
            if event.event in _RUNS and self._known is not None:
                self._heard_of.add(event.uuid)
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
                for event in _differences(known, listed, self._heard_of, time_ns):
                    self._inferred[event.uuid, event.event] = (now + SETTLE_S, event)
        if known is not None:
            listed.update((uuid, known[uuid]) for uuid in self._heard_of if uuid in known)
        self._known, self._heard_of = listed, set()
        self._heard_ns = time_ns

    def hand_out(self, now: float) -> tuple[DomainEvent, ...]:
        """What is to be reported now, in order of time, and not again."""
        for key in [key for key, (until, _) in self._inferred.items() if now >= until]:
            self._add(self._inferred.pop(key)[1])
        events, self._waiting = self._waiting, []
        events += [_of_dropped(key, dropped) for key, dropped in self._dropped.items()]
        self._log_dropping()
        self._dropped.clear()
        self._limiter.tidy(now)
        events.sort(key=lambda event: event.time_ns)
        return tuple(events)

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

    def _log_dropping(self) -> None:
        """One line when somebody begins to tell too much."""
        new = [key for key in self._dropped if key not in self._dropping]
        self._dropping = set(self._dropped)
        if new:
            uuid, kind = new[0]
            name = self._dropped[new[0]].name
            who = f"domain {name} sends too many events of kind {kind}"
            who = who if uuid else f"more than {MOST_WAITING} events in one round"
            more = f", and so do {len(new) - 1} more" if len(new) > 1 else ""
            self._log.append(f"{who}{more}: those beyond the limit are counted, not reported")


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
    before: Mapping[str, _Place],
    after: Mapping[str, _Place],
    heard_of: Collection[str],
    time_ns: int,
) -> list[DomainEvent]:
    """The stops and starts between two lists, but for domains of which events have come."""
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
        if uuid in heard_of:
            continue
        old = before.get(uuid, _Place("", -1))
        new = after.get(uuid, _Place(old.name, -1))
        if old.id != new.id:
            if old.id >= 0:
                add(uuid, _Place(old.name, -1), "stopped")
            if new.id >= 0:
                add(uuid, new, "started")
    return found
