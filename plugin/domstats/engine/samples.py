"""What a round's sample says: of each domain its statistics and status, and why some are missing.

What the round and the other books know in, model's samples out; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Optional

import msgspec

from ..drivers import BLOCK
from ..model import (
    NO_DEVICES,
    NO_STATS,
    Change,
    DomainEvent,
    DomainSample,
    FrozenDict,
    Round,
    Sample,
    Status,
)
from .actions import EngineSettings, Hints
from .calls import Calls
from .migrations import Migrations
from .notices import Moment, Notices
from .roster import Roster, Standing
from .rounds import Entry, RoundBook, Turns
from .xml_book import XmlBook

_NO_LABELS = FrozenDict()


class Tallies(msgspec.Struct):
    """What is counted from the beginning on; fields of ``model.Round``."""

    late_results: int = 0
    errors: int = 0
    reconnects: int = 0

    def take_over(self, failed: Tallies) -> None:
        """Go on counting in the place of others."""
        self.late_results, self.errors = failed.late_results, failed.errors
        self.reconnects = failed.reconnects


class Samples:
    """Makes the samples of one hypervisor.

    :ivar node_cpus: how many CPUs its host has.
    """

    def __init__(
        self,
        settings: EngineSettings,
        hints: Hints,
        roster: Roster,
        calls: Calls,
        xml: XmlBook,
        migrations: Migrations,
        notices: Notices,
        tallies: Tallies,
    ) -> None:
        self.node_cpus = 0
        self._settings = settings
        self._hints = hints
        self._roster = roster
        self._calls = calls
        self._xml = xml
        self._migrations = migrations
        self._notices = notices
        self._tallies = tallies

    # --- whole samples

    def whole(
        self,
        round_: RoundBook,
        now: float,
        error: str,
        changes: tuple[Change, ...],
        events: tuple[DomainEvent, ...],
    ) -> Sample:
        """The sample with which a round ends.

        :param error: why there is none of any domain; empty if there is.
        """
        entries = round_.entries.values()
        domains = tuple([entry.handed_out or self._domain(round_, entry) for entry in entries])
        report = self._report(round_, domains, now, error)
        groups = round_.query.groups
        return self._sample(round_, domains, report, changes, events, groups)

    def so_far(
        self, round_: RoundBook, uuids: Optional[Collection[str]], now: float, error: str
    ) -> Sample:
        """What is known of some domains, or all, while the round goes on."""
        chosen = round_.entries if uuids is None else uuids
        domains = tuple(self._domain(round_, round_.entries[uuid]) for uuid in chosen)
        for domain in domains:
            domain.stats = dict(domain.stats)  # the round goes on, and the caller owns its sample
        return self._sample(round_, domains, self._report(round_, domains, now, error))

    def part(self, round_: RoundBook, uuids: Iterable[str]) -> Optional[Sample]:
        """The domains of these that are complete; None if none is.

        What they answered is let go of: in the round's own sample they have no stats.
        """
        part = []
        for uuid in uuids:
            entry = round_.entries[uuid]
            if entry.handed_out is None and entry.is_complete and not entry.gone:
                whole = self._complete(entry)
                entry.handed_out = DomainSample(
                    whole.uuid,
                    whole.name,
                    whole.status,
                    NO_STATS,
                    whole.active,
                    devices=whole.devices,
                    labels=whole.labels,
                    at_s=whole.at_s,
                )
                entry.stats = NO_STATS
                part.append(whole)
        if not part:
            return None
        return self._sample(round_, tuple(part), Round(), groups=round_.query.groups)

    def _sample(
        self,
        round_: RoundBook,
        domains: tuple[DomainSample, ...],
        report: Round,
        changes: tuple[Change, ...] = (),
        events: tuple[DomainEvent, ...] = (),
        groups: frozenset[str] = frozenset(),
    ) -> Sample:
        uri, cpus = self._settings.uri, self.node_cpus
        return Sample(uri, round_.time_ns, domains, report, cpus, changes, events, groups)

    # --- a domain

    def _domain(self, round_: RoundBook, entry: Entry) -> DomainSample:
        if entry.handed_out is not None:
            return entry.handed_out
        sample = self._complete(entry)
        member = self._roster.members.get(entry.uuid)
        if entry.gone:
            sample.status, sample.stats = Status.GONE, {}
        elif entry.missing:
            sample.missing = entry.missing
            if member is not None and member.standing is not Standing.RESPONSIVE:
                begun = Moment(round_.made, round_.time_ns)
                sample.status, sample.reason = Status.UNRESPONSIVE, member.reason
                sample.since_ns = self._notices.since_ns(member.uuid, member.since, begun)
            else:
                sample.status = Status.PARTIAL
                sample.reason = self._why_partial(round_, entry)
        return sample

    def _complete(self, entry: Entry) -> DomainSample:
        """The sample of a domain that lacks nothing."""
        uuid = entry.uuid
        return DomainSample(
            uuid,
            entry.name,
            Status.FRESH,
            entry.stats or {},  # not the one that all share
            entry.active,
            devices=self._xml.devices.get(uuid, NO_DEVICES),
            labels=self._xml.sent_labels.get(uuid, _NO_LABELS),
            at_s=entry.at_s,
        )

    def _why_partial(self, round_: RoundBook, entry: Entry) -> str:
        if entry.uuid in self._migrations.under_way:
            return "it is being migrated"
        if entry.failure:
            return entry.failure
        if entry.missing == {BLOCK} and entry.uuid in round_.disks_pending:
            return self._why_without_disks(round_, entry.uuid)
        if round_.turns is None:
            out = self._calls.under_way(round_.out)
            round_.turns = Turns(round_, out, self._calls.room, self._roster.reserve)
        return round_.turns.why_lacking(entry)

    def _why_without_disks(self, round_: RoundBook, uuid: str) -> str:
        if uuid in self._hints.withheld():
            return f"storage does not answer: {', '.join(sorted(round_.silent))}"
        if self._hints.unplaced([uuid]):
            return "it is not known yet where its disks lie"
        if self._roster.awaits_places(uuid):
            return "domains hang, and it is not known yet if it shares their storage"
        if round_.scouts.are_out and not self._roster.is_suspected(uuid):
            return "the domain that tries its storage first has not answered"
        return "other domains hang on its storage"

    # --- a round

    def silent_in(self, round_: RoundBook) -> set[str]:
        """The storages that do not answer, by their watch or by the domains that hang on them."""
        return round_.silent.union(self._roster.confirmed)

    def _report(
        self, round_: RoundBook, domains: Sequence[DomainSample], now: float, error: str
    ) -> Round:
        report = Round(
            duration_s=now - round_.made,
            lanes=round_.lanes or self._settings.lanes,
            calls=round_.calls,
            stuck_calls=len(self._calls.monitor(late=True)),
            silent_storage=len(self.silent_in(round_)),
            unwatched_storage=len(self._hints.blind()),
            late_results=self._tallies.late_results,
            errors=self._tallies.errors,
            reconnects=self._tallies.reconnects,
            connected=not error,
            error=error,
        )
        return msgspec.structs.replace(report, **counts(domains))


def counts(domains: Sequence[DomainSample]) -> dict[str, int]:
    """How many domains there are, and of each status: fields of model.Round."""
    found = [domain.status for domain in domains]
    return {"domains": len(domains), **{status.value: found.count(status) for status in Status}}
