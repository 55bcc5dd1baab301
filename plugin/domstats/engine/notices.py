"""What the user hears: once when something begins, and once when it ends.

Facts in, log lines and changes out. Nothing here knows calls, libvirt, or who decides that a domain
hangs; times are the engine's seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

from ..domain_choice import DomainChoice
from ..model import Change
from ..selection import Selection, Unmatched
from ..shown import first_of
from .actions import Log
from .introduction import Introduction, View
from .roster import Event, Member, Turn

#: Changes that wait at most for a sample of all domains.
MOST_CHANGES = 1000
#: Domains named in one log line.
NAMED = 3


class Moment(NamedTuple):
    """One moment by both clocks: the engine's seconds, and nanoseconds since the epoch."""

    at: float
    time_ns: int

    def time_of(self, at: float) -> int:
        """Nanoseconds since the epoch at another time of the engine's."""
        return self.time_ns + int((at - self.at) * 1e9)


class Notices:
    """Of one hypervisor: what has been told, and what is yet to be told.

    :param uri: stands before each line.
    :param log: is given the lines.
    :param selection: of the settings: what of its lists matches no domain is logged.
    """

    def __init__(self, uri: str, log: Callable[[Log], None], selection: Selection) -> None:
        self._uri = uri
        self._log = log
        self._trouble = ""
        self._storage = StorageNotices()
        lists = filter(None, (selection.domains, selection.other_domains))
        self._unmatched = [(each, Unmatched(each)) for each in lists]
        self._introduction = Introduction()
        #: By uuid: since when a domain hangs, by the engine's clock and in nanoseconds.
        self._hangs: dict[str, tuple[float, int]] = {}
        self._changes: list[Change] = []

    def take_over(self, failed: Notices) -> None:
        """Go on in the place of others: what they have told was told."""
        self._trouble, self._storage = failed._trouble, failed._storage
        self._introduction, self._unmatched = failed._introduction, failed._unmatched

    def _say(self, level: str, text: str) -> None:
        self._log(Log(level, f"{self._uri}: {text}"))

    def say_all(self, lines: Iterable[tuple[str, str]]) -> None:
        """:param lines: a level and a text each."""
        for level, text in lines:
            self._say(level, text)

    # --- the hypervisor

    @property
    def trouble(self) -> str:
        """Why it cannot be asked; empty if it can."""
        return self._trouble

    def not_answered(self, error: str) -> None:
        """It could not be asked.

        :param error: the whole line, as it is in the sample too.
        """
        if not self._trouble:
            self._log(Log("error", error))
        self._trouble = error

    def no_list(self, seconds: float) -> str:
        """The error of a round for which not even the list of domains has come in that time."""
        return (
            f"{self._uri}: the hypervisor did not answer within {round(seconds, 2):g} s:"
            " is libvirtd hung, or the host overloaded?"
        )

    def answers(self) -> None:
        """It has answered in time."""
        if self._trouble:
            self._say("info", "the hypervisor answers again")
            self._trouble = ""

    def introduction_is_due(self, connection: int) -> bool:
        """Whether its version is to be asked for: once for each connection.

        :param connection: a number that another one has.
        """
        return self._introduction.is_due(connection)

    def is_news(self, version: str) -> bool:
        """It has said what it is; an empty text if it could not. Whether it is to be introduced."""
        return self._introduction.is_news(version)

    def introduce(
        self,
        members: Collection[Member],
        look: Callable[[Collection[str]], Optional[View]],
        occupancy: bool,
    ) -> None:
        """The line that begins its sampling, as of ``Introduction``.

        :param look: says what the watches see of running domains.
        """
        running = [member.uuid for member in members if member.active]
        remote = {storage for member in members for storage in member.storages}
        line = self._introduction.line(
            len(members), len(running), look(running), remote, occupancy
        )
        self._say("info", line)

    # --- its domains

    def listed(self, domains: Sequence[tuple[str, str, bool]], choice: DomainChoice) -> None:
        """These are its domains: what of the settings matches none of them?

        :param domains: uuid, name and whether it is active of each, wanted or not.
        """
        for entries, unmatched in self._unmatched:
            names, uuids = (name for _, name, _ in domains), (uuid for uuid, _, _ in domains)
            self.say_all(unmatched.listed(names, uuids, choice.matched_labels(entries)))

    def since_ns(self, uuid: str, since: float, now: Moment) -> int:
        """When a hang began, by the clock of the first round that tells it: always the same."""
        known = self._hangs.get(uuid)
        if known is None or known[0] != since:
            known = since, now.time_of(since)
            self._hangs[uuid] = known
        return known[1]

    def turned(self, turns: Collection[Turn], begun: Moment, now: float) -> None:
        """Who began to hang and who is back: a line each, or one for many.

        :param begun: when the round began that found it.
        """
        for turn in turns:
            responsive = turn.event is not Event.HUNG
            reason = "it has ended" if turn.event is Event.ENDED else turn.reason
            since_ns = self.since_ns(turn.uuid, turn.since, begun)
            if responsive:
                self._hangs.pop(turn.uuid, None)
            self._changes.append(Change(turn.uuid, turn.name, responsive, since_ns, reason))
        self._changes = self._changes[-MOST_CHANGES:]
        for event, level, (one, many) in _TURNED:
            such = [turn for turn in turns if turn.event is event]
            if len(such) > NAMED:
                names = first_of([turn.name for turn in such], NAMED)
                self._say(level, f"{len(such)} {many}: {names}")
                continue
            for turn in such:
                if event is Event.HUNG:
                    about = f"{turn.reason}; {_MEANS}"
                else:
                    about = f"after {now - turn.since:.0f} s"
                self._say(level, f"domain {turn.name} {one}: {about}")

    def take_changes(self) -> tuple[Change, ...]:
        """The changes that wait, the newest if there were many."""
        changes, self._changes = tuple(self._changes), []
        return changes

    # --- their storage

    def storage(
        self, silent: Collection[str], still_silent: Collection[str], blind: Collection[str]
    ) -> None:
        """Of storage, at a round's end: as of ``StorageNotices``."""
        self.say_all(self._storage.of_silent(silent, still_silent))
        self.say_all(self._storage.of_blind(blind))


_MEANS = "until it does, it is sampled without its monitor"

_TURNED = (
    (Event.HUNG, "warning", ("does not answer", "domains do not answer")),
    (Event.BACK, "info", ("answers again", "domains answer again")),
    (
        Event.ENDED,
        "info",
        ("did not answer and has ended", "domains did not answer and have ended"),
    ),
)


class StorageNotices:
    """What was told last of storage that does not answer, and of storage that may not be probed."""

    def __init__(self) -> None:
        self._silent: frozenset[str] = frozenset()
        self._blind: frozenset[str] = frozenset()

    def of_silent(
        self, silent: Collection[str], still_silent: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        """Lines for the log, each a level and a text, at a round's end.

        :param silent: the storages for which domains went without their disks in the round.
        :param still_silent: those that do not answer now, whoever needs them.
        """
        for storage in sorted(frozenset(silent) - self._silent):
            yield (
                "warning",
                f"storage {storage} does not answer: until it does, disks on it have no sizes"
                " (with libvirt 11.9 or newer no counters either)",
            )
        known = self._silent.union(silent)
        self._silent = known.intersection(still_silent)
        for storage in sorted(known - self._silent):
            yield "info", f"storage {storage} answers again"

    def of_blind(self, blind: Collection[str]) -> Iterator[tuple[str, str]]:
        """The same of the mounts that this process may not probe now."""
        before, self._blind = self._blind, frozenset(blind)
        for mount in sorted(self._blind - before):
            yield (
                "warning",
                f"no permission to probe storage {mount}; if it hangs, disk queries can freeze a"
                " domain or two: run as root, or mount with allow_other",
            )
        for mount in sorted(before - self._blind):
            yield "info", f"storage {mount} can be probed now, or holds no disks any more"
