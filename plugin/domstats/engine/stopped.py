"""Domains whose process is stopped or cannot run: they are not asked until it runs again.

The process watch's answers in, quarantine out. How often it may look is decided here, not how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .actions import Hints
from .migrations import Migrations
from .roster import Cause, Roster

#: A look at all processes serves for so many seconds.
LOOK_FOR_S = 0.1


class StoppedProcesses:
    """Of one hypervisor."""

    def __init__(self, hints: Hints, roster: Roster, migrations: Migrations) -> None:
        self._hints = hints
        self._roster = roster
        self._migrations = migrations
        self._looked_at = float("-inf")

    def look(self, now: float) -> None:
        """Quarantine the domains whose process is stopped; release those that run again."""
        if now - self._looked_at < LOOK_FOR_S:
            return
        self._looked_at = now
        active = [member.uuid for member in self._roster.members.values() if member.active]
        reasons = self._hints.look(active, now)
        for uuid in self._roster.quarantined(Cause.PROCESS):
            if uuid not in reasons:
                self._roster.release(uuid)
        self._quarantine(reasons, now)

    def look_again(self, uuids: Sequence[str], now: float) -> None:
        """The same of a few that are about to be asked, if the last look is too old."""
        if now - self._looked_at > LOOK_FOR_S:
            self._quarantine(self._hints.relook(uuids, now), now)

    def _quarantine(self, reasons: Mapping[str, str], now: float) -> None:
        for uuid, reason in reasons.items():
            is_handed_over = uuid in self._migrations.standing_still
            if not is_handed_over and not self._roster.is_quarantined(uuid):
                self._roster.quarantine(uuid, now, Cause.PROCESS, f"its process is {reason}")
