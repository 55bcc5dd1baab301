"""What collectd notifies of a domain's state: as plugin virt does, in virt's words.

virt hears of changes from libvirt's events. Here they are seen by comparing a domain's state with
that in the round before, since a server keeps something for each client that wants events; what
begins and ends between two rounds is not seen. (Option Events tells of everything.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..model import STATE_SHUTOFF, Sample
from .identity import Identity

TYPE = "domain_state"

#: virDomainState: virt's words and severity for each.
STATES: tuple[tuple[str, str], ...] = (
    ("no state", "okay"),
    ("the domain is running", "okay"),
    ("the domain is blocked on resource", "warning"),
    ("the domain is paused by user", "warning"),
    ("the domain is being shut down", "okay"),
    ("the domain is shut off", "okay"),
    ("the domain is crashed", "failure"),
    ("the domain is suspended by guest power management", "warning"),
)

_UNKNOWN = "the reason is unknown"

#: virt's words for the reasons of each state, of virDomainRunningReason and so on.
REASONS: tuple[tuple[str, ...], ...] = (
    (_UNKNOWN,),
    (
        _UNKNOWN,
        "normal startup from boot",
        "migrated from another host",
        "restored from a state file",
        "restored from snapshot",
        "returned from paused state",
        "returned from migration",
        "returned from failed save process",
        "returned from pmsuspended due to wakeup event",
        "resumed from crashed",
        "running in post-copy migration mode",
    ),
    (_UNKNOWN,),
    (
        _UNKNOWN,
        "paused on user request",
        "paused for offline migration",
        "paused for save",
        "paused for offline core dump",
        "paused due to a disk I/O error",
        "paused due to a watchdog event",
        "paused after restoring from snapshot",
        "paused during shutdown process",
        "paused while creating a snapshot",
        "paused due to a guest crash",
        "the domain is being started",
        "paused for post-copy migration",
        "paused after failed post-copy",
    ),
    (_UNKNOWN, "shutting down on user request"),
    (
        _UNKNOWN,
        "normal shutdown",
        "forced poweroff",
        "domain crashed",
        "migrated to another host",
        "saved to a file",
        "domain failed to start",
        "restored from a snapshot which was taken while domain was shutoff",
        "daemon decides to kill domain during reconnection processing",
    ),
    (_UNKNOWN, "domain panicked"),
    (_UNKNOWN,),
)


class StateNotice(NamedTuple):
    """A domain's state, to be notified of."""

    identity: Identity
    severity: str
    message: str


#: A domain's state and reason as it told them (None if it did not), and who it is.
_Seen = tuple[object, object, Identity]


class DomainStates:
    """The states of one hypervisor's domains.

    :param persistent: whether to notify of each domain in each round, and not of changes alone.
    :ivar now: by uuid: the domains of the present round, to be filled by who looks at each anyway.
    """

    def __init__(self, persistent: bool) -> None:
        self.now: dict[str, _Seen] = {}
        self._persistent = persistent
        self._before: dict[str, _Seen] = {}
        self._is_first = True
        #: Domains listed in the first round whose state is not known since: theirs is no news.
        self._awaited: set[str] = set()

    def end(self, sample: Sample) -> Iterator[StateNotice]:
        """The round is over: what there is to notify of.

        A domain that ran and is listed no more has been shut off: where domains that do not run are
        not listed, nobody says why.
        """
        now = {uuid: seen for uuid, seen in self.now.items() if seen[1] is not None}
        self.now = {}
        if not sample.round.connected:
            return
        before, is_first, self._is_first = self._before, self._is_first, False
        there = {domain.uuid for domain in sample.domains}
        silent = {uuid: seen for uuid, seen in before.items() if uuid in there and uuid not in now}
        self._before = {**now, **silent}
        awaited = there if is_first else self._awaited
        self._awaited = (awaited & there) - now.keys()
        for uuid, seen in now.items():
            if self._persistent or (before.get(uuid) != seen and uuid not in awaited):
                yield from _notice(*seen)
        for uuid, (state, _, identity) in before.items():
            if uuid not in there and state != STATE_SHUTOFF:
                yield from _notice(STATE_SHUTOFF, 0, identity)


def _notice(state: object, reason: object, identity: Identity) -> Iterator[StateNotice]:
    """None for a state or reason that virt has no words for either."""
    if not isinstance(state, int) or not isinstance(reason, int):
        return
    if 0 <= state < len(STATES) and 0 <= reason < len(REASONS[state]):
        words, severity = STATES[state]
        message = f"Domain state: {words}. Reason: {REASONS[state][reason]}"
        yield StateNotice(identity, severity, message)
