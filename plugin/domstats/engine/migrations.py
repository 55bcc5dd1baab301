"""Which domains are being migrated, and which of them may be asked meanwhile.

A monitor that is busy with a migration does not hang. Without this, a domain that is migrated
would be quarantined as hung, and its stuck calls would spend the budget of all others. Times are
the engine's seconds; nothing here knows events, rounds or libvirt.
"""

from __future__ import annotations

#: A migration of which nothing was heard for so many seconds is taken for over.
EXPIRES_S = 60.0


class Migrations:
    """The migrations that go on, by the uuid of the domain.

    :ivar under_way: when each counts as over unless something is heard of it; for reading alone.
    :ivar standing_still: the domains of them that must not be asked; for reading alone.
    """

    def __init__(self) -> None:
        self.under_way: dict[str, float] = {}
        self.standing_still: set[str] = set()

    def goes_on(self, uuid: str, now: float) -> None:
        """The domain is copied, and answers meanwhile, unless it stood still before."""
        self.under_way[uuid] = now + EXPIRES_S

    def handed_over(self, uuid: str, now: float) -> None:
        """The domain stands still to be handed over, or a call is stuck in it: do not ask it."""
        self.under_way[uuid] = now + EXPIRES_S
        self.standing_still.add(uuid)

    def answers(self, uuid: str) -> None:
        """A call that was stuck in the domain is back."""
        self.standing_still.discard(uuid)

    def settled(self, uuid: str) -> None:
        """The migration is over, however it ended."""
        self.under_way.pop(uuid, None)
        self.standing_still.discard(uuid)

    def expire(self, now: float) -> None:
        """Forget migrations of which nothing has been heard for long."""
        for uuid in [uuid for uuid, until in self.under_way.items() if now >= until]:
            self.settled(uuid)
