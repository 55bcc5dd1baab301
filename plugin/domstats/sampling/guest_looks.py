"""What this host says of its guests, looked at beside the rounds: pressure, network interfaces.

One thread looks, while a round goes on. Which guests there are it knows from the round before, so
the first sample has nothing of this.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Optional

from ..config.settings import Settings
from ..hypervisor.interfaces import HostInterfaces
from ..hypervisor.pressure import GuestPressure
from ..model import NO_DETAILS, Nic, Sample, Status
from .engine_thread import LogFunction
from .look_thread import LookThread

#: Seconds for which a sample waits for a look that is under way.
PATIENCE_S = 0.1


class Guest(NamedTuple):
    """A running domain, and its network interfaces as far as they are to be looked at."""

    uuid: str
    nics: Sequence[Nic]


class GuestLooks:
    """Looks at the guests of a local hypervisor; a ``beside.Beside``."""

    def __init__(
        self,
        settings: Settings,
        log: LogFunction,
        pressure: Optional[GuestPressure] = None,
        interfaces: Optional[HostInterfaces] = None,
    ) -> None:
        """
        :param pressure: looks at control groups, if that is wanted; made by the settings else.
        :param interfaces: likewise.
        """
        self._uri = settings.uri
        self._log = log
        self._pressure = (pressure or GuestPressure()) if settings.pressure else None
        self._interfaces = (interfaces or HostInterfaces()) if settings.interface_details else None
        self._guests: tuple[Guest, ...] = ()
        self._thread = LookThread("domstats-guests", self._look)
        self._found: queue.SimpleQueue[dict[str, dict[str, float]]] = queue.SimpleQueue()
        self._said: set[str] = set()

    def begin(self) -> None:
        """Look, unless an earlier look is still under way."""
        if self._guests and self._thread.idle.is_set():
            with suppress(RuntimeError):  # no thread to be had now; the next round tries again
                self._thread.begin(self._guests)

    def add_to(self, sample: Sample) -> None:
        """Add what was found since the last sample; see ``beside.Beside``."""
        self._thread.wait(PATIENCE_S)
        while not self._found.empty():
            found = self._found.get()  # the newest counts
            for domain in sample.domains:
                if domain.uuid in found:
                    domain.beside = found[domain.uuid]
        self._guests = tuple(
            Guest(domain.uuid, (domain.devices.details or NO_DETAILS).nics)
            for domain in sample.domains
            if domain.active and domain.status is not Status.GONE
        )

    def close(self) -> None:
        """End, without waiting for a look."""
        self._thread.close()

    def _look(self, guests: Sequence[Guest]) -> None:
        """In the thread."""
        try:
            self._found.put(self._figures(guests, time.monotonic()))
        except Exception as error:
            self._say("error", f"a look at guests failed, please report it: {error!r}")

    def _figures(self, guests: Sequence[Guest], now: float) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        if self._pressure is not None:
            found = self._pressure.look([guest.uuid for guest in guests], now)
            if self._pressure.trouble:
                self._say("warning", self._pressure.trouble)
        if self._interfaces is not None:
            for uuid, figures in self._interfaces.look(guests, now).items():
                found.setdefault(uuid, {}).update(figures)
        return found

    def _say(self, level: str, text: str) -> None:
        """Log a text once; what differs by guest only counts as one."""
        kind = text.partition("/")[0]
        if kind not in self._said:
            self._said.add(kind)
            self._log(level, f"{self._uri}: {text}")
