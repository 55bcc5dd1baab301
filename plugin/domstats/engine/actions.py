"""What the engine asks its threads to do, what they tell it, and what of the settings it needs.

Plain data, and the hints that watches give; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Optional, Union

from ..model import NO_DEVICES, Devices, Sample
from ..round_settings import RoundSettings
from ..selection import ALL, Selection
from .introduction import View
from .rounds import Call

#: What of the domains lies on storage that may not be probed, if none does.
NOT_BLIND: Mapping[str, frozenset[str]] = {}

#: What controlInfo says: whether the monitor is occupied, and for how many seconds; of a domain
#: with a job only for how many, and 0 if nobody is in its monitor.
Controls = dict[str, tuple[bool, float]]


class Description(NamedTuple):
    """What a domain's XML says: see ``domain_xml.Description``. Nothing, if it cannot be read."""

    uuid: str
    paths: Sequence[str] = ()
    remote: Sequence[str] = ()
    devices: Devices = NO_DEVICES
    labels: Mapping[str, str] = {}


class ListDomains(NamedTuple):
    """An action: list the domains, for a query."""

    query: int


class AskControl(NamedTuple):
    """An action: ask the state of these domains' monitors."""

    uuids: tuple[str, ...]


class AskVersion(NamedTuple):
    """An action: ask what the hypervisor is and its version, when nobody waits for anything."""


class Answer(NamedTuple):
    """An action: a query is complete."""

    query: int
    sample: Sample


class Part(NamedTuple):
    """An action, for a query in parts: domains that are complete, as a sample without a report."""

    query: int
    sample: Sample


class Opened(NamedTuple):
    """An action, for a query that tells: its domains are known, names by uuid."""

    query: int
    domains: dict[str, str]


class Complete(NamedTuple):
    """An action, for a query that tells: there is nothing more to learn of these domains."""

    query: int
    uuids: tuple[str, ...]


class Log(NamedTuple):
    """An action: tell the user. ``level`` is error, warning or info."""

    level: str
    text: str


#: A call is an action too: to be made.
Action = Union[Call, ListDomains, AskControl, AskVersion, Answer, Part, Opened, Complete, Log]


class Hints:
    """What the watches say. This one sees nothing; times are the engine's seconds."""

    #: Whether domains wait until it is known where their disks lie.
    guards_storage = False

    def begin(self, now: float) -> None:
        """A round begins."""

    def look(self, uuids: Collection[str], now: float) -> dict[str, str]:
        """Of all active domains, those whose process must not be asked, and why."""
        return {}

    def relook(self, uuids: Sequence[str], now: float) -> dict[str, str]:
        """The same for some of them, in the middle of a round."""
        return {}

    def rss_kib(self, uuid: str) -> Optional[int]:
        """Host memory of the domain's process in the last look, if that is known."""
        return None

    def unplaced(self, uuids: Iterable[str]) -> set[str]:
        """Those of them of which it is not known where their disks lie."""
        return set()

    def withheld(self) -> frozenset[str]:
        """Domains with disks on storage that has not answered in this round."""
        return frozenset()

    def silent(self) -> tuple[str, ...]:
        """The storage that has not."""
        return ()

    def blind(self) -> tuple[str, ...]:
        """The storage that we are not allowed to look at."""
        return ()

    def view(self, uuids: Collection[str]) -> Optional[View]:
        """What the watches see of these running domains; None if they are on another host."""
        return None

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        """By domain: those of them that hold a disk of it; the same object until that changes."""
        return NOT_BLIND

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        """A domain's disks lie there."""

    def retain(self, uuids: Collection[str]) -> None:
        """Forget all other domains."""


class EngineSettings(RoundSettings, frozen=True, kw_only=True):
    """What the engine is told of the settings.

    :param disk_sizes: domains that are asked in one round, at most, for sizes of their disks that
        the group block does not tell; 0 if nobody wants to know.
    :param disk_errors: whether the errors of disks are asked for, with the group block.
    :param job_values: what is asked of the domains' jobs: ``running_job``, ``completed_job``.
    :param wants_xml: whether anybody needs what the domains' XML says.
    :param xml_lasts_s: seconds after which the XML is read again, None if no matter how old it is.
    :param reconnect_delay_s: seconds before a second attempt to connect; doubled from then on.
    :param unsent_labels: labels that are read for the selection alone: samples lack them.
    :param selection: decides which domains are sampled.
    """

    disk_sizes: int = 0
    disk_errors: bool = False
    job_values: frozenset[str] = frozenset()
    wants_xml: bool = True
    xml_lasts_s: Optional[float] = None
    reconnect_delay_s: float = 0.0
    unsent_labels: frozenset[str] = frozenset()
    selection: Selection = ALL
