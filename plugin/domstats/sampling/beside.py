"""What is asked beside the rounds, by threads and connections of its own.

A round never waits for it: what has been found by the round's end goes into its sample, what comes
later into the next one's. Whatever hangs here costs no domain its sample.
"""

from __future__ import annotations

from typing import Protocol

from ..config.settings import Settings, is_local
from ..model import Sample
from .engine_thread import LogFunction


class Beside(Protocol):
    """Something that looks at a hypervisor by itself. No thread exists before the first look."""

    def begin(self) -> None:
        """A round of all domains begins: look, unless an earlier look is still under way."""

    def add_to(self, sample: Sample) -> None:
        """The round is over: add what has been found since the last one to its sample.

        It may wait a tenth of a second for a look that is under way, and not at all for one that
        has taken longer than that before.
        """

    def close(self) -> None:
        """End; a call that is stuck is left to end by itself."""


def beside_of(settings: Settings, log: LogFunction) -> tuple[Beside, ...]:
    """What the settings want."""
    found: list[Beside] = []
    if (settings.pressure or settings.interface_details) and is_local(settings.uri):
        from .guest_looks import GuestLooks  # few want it, and each agent's memory counts

        found.append(GuestLooks(settings, log))
    if settings.host:
        from .host_look import host_look

        found.append(host_look(settings, log))
    if settings.guest_agent:
        from .agent_look import AgentLook  # likewise

        found.append(AgentLook(settings, log))
    return tuple(found)
