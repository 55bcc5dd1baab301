"""The engine's decisions: what to ask next, whom to leave alone, when a round is complete.

Events go in with the time at which they happened, and actions come out; there is no thread, clock
or libvirt here, so that a test can drive a day of hangs in a millisecond. ``sampler`` carries the
actions out with threads and brings back what became of them.

A query makes a round. Its domains are cut into chunks, which lanes ask. A call that overruns its
soft deadline holds a culprit, which controlInfo names: it is quarantined, and the others are asked
again in the same round. docs/design.md tells why each step is as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Callable, Optional

from ..domain_choice import DomainChoice
from ..domain_xml.disk_counters import COUNTERS
from ..drivers import BLOCK
from ..events import CHANGES_OF_XML, Meaning, meanings
from ..model import (
    MONITOR_FREE_GROUPS,
    NO_DEVICES,
    NO_STATS,
    DomainEvent,
    Sample,
    Stats,
)
from .actions import (
    Action,
    Answer,
    AskControl,
    AskVersion,
    Complete,
    Controls,
    Description,
    EngineSettings,
    Hints,
    ListDomains,
    Log,
    Opened,
    Part,
)
from .calls import Calls
from .disk_sizes import DiskSizes
from .event_book import EventBook
from .idle import RSS, IdleGroups
from .lanes import MOST_FREE_CALLS, Lanes
from .lessons import Lessons
from .migrations import Migrations
from .notices import Moment, Notices
from .pace import LEAST_S, Backoff, Cadence, Pace, chunk_size
from .questions import Questions
from .roster import Cause, Roster, Standing
from .rounds import Call, Entry, Kind, Query, RoundBook
from .samples import Samples, Tallies
from .stopped import StoppedProcesses
from .xml_book import XmlBook

#: Seconds without news for which a round waits to learn where disks lie, and for their storage to
#: answer, before it asks for everything else.
GRACE_S = 0.15
#: A monitor that somebody else's command keeps busy for so many seconds counts as hanging.
OCCUPIED_S = 2.0
#: Domains in one call without the monitor, and in one look at XML.
FREE_CHUNK = 32
DESCRIBE_CHUNK = 32
#: The share of its soft deadline after which a call is judged together with one that is overdue.
NEARLY = 0.7
#: Seconds for which a round waits for a hypervisor that gave the last one no answer.
HUNG_S = 0.5
#: The same where others wait behind it.
HUNG_OF_MANY_S = 0.05
#: Seconds for which others wait behind a hypervisor that has not been reached before.
CONNECT_S = 3.0
#: Domains that are handed out together, as far as they are complete: to wake somebody for each
#: call's costs more than what they say.
PART = 64
#: In so many parts at least, or all of a small host would be written when its round is over.
FEWEST_PARTS = 4


class Engine:
    """All rounds of one hypervisor. Its methods are events; ``take_actions`` says what to do."""

    def __init__(self, settings: EngineSettings, hints: Optional[Hints] = None) -> None:
        self.roster = Roster()
        self.pace = Pace(settings.soft_deadline)
        self._settings = settings
        self._hints = hints = hints or Hints()
        self._actions: list[Action] = []
        self._rounds: dict[int, RoundBook] = {}
        self._calls = Calls(settings.stuck_budget)
        self._lanes = Lanes(settings.lanes, settings.one_of_many)
        self._listing: deque[int] = deque()
        #: Calls that wait for the answer of controlInfo; None while nothing is asked.
        self._judging: Optional[tuple[int, ...]] = None
        self._can_control = True
        #: Groups that never need the monitor.
        self._free_groups = MONITOR_FREE_GROUPS.union(settings.by_classic_calls)
        self._cadence = Cadence(settings.every)
        has_info = "info" in settings.by_classic_calls.get("cpu_total", ())
        self._idle = IdleGroups(settings.idle_refresh, has_info=has_info)
        self._sizes = DiskSizes(settings.disk_sizes)
        self._chunk_limit = settings.chunk_size
        self._events = EventBook(settings.events)
        self._migrations = Migrations()
        #: The last query's time.
        self._clock = Moment(0.0, 0)
        self._xml = xml = XmlBook.of(settings)
        self._choice = DomainChoice(settings.selection)
        self._notices = Notices(settings.uri, self._log, settings.selection)
        self._tallies = Tallies()
        self._questions = Questions(settings, hints, xml, self._sizes)
        self._stopped = StoppedProcesses(hints, self.roster, self._migrations)
        self._lessons = Lessons(
            self._free_groups, self.pace, self.roster, xml, self._idle, self._sizes
        )
        self._samples = Samples(
            settings,
            hints,
            self.roster,
            self._calls,
            xml,
            self._migrations,
            self._notices,
            self._tallies,
        )
        #: As of ``scouts.Scouts``.
        self._late_scouts: dict[int, frozenset[str]] = {}
        self._backoff = Backoff(
            settings.reconnect_delay_s, settings.uri if settings.one_of_many else ""
        )

    def take_actions(self) -> list[Action]:
        """What is to be done now, in order."""
        actions, self._actions = self._actions, []
        return actions

    def take_over(self, failed: Engine) -> None:
        """Go on in the place of an engine that failed, in an event whose actions were not begun.

        What is under way comes with it, so that stuck calls keep to the budget, and the counts,
        and what the user was told last; nothing else, as it may be wrong.
        """
        unbegun = {action.id for action in failed._actions if isinstance(action, Call)}
        self._calls.take_over(failed._calls, unbegun)
        self._events.take_over(failed._events)
        self._notices.take_over(failed._notices)
        self._tallies.take_over(failed._tallies)
        self._tallies.errors += 1
        self._backoff = failed._backoff
        self._late_scouts = failed._late_scouts
        self._can_control, self._chunk_limit = failed._can_control, failed._chunk_limit
        self._xml.take_over(failed._xml)

    def due(self) -> Optional[float]:
        """When ``pump`` is to be called even though nothing happens; None if never."""
        times = []
        for round_ in self._rounds.values():
            times.append(round_.ends_at)
            if round_.waiting_for_storage:
                times.append(self._patient_until(round_))
            if self._needs_sparing(round_):
                times.append(round_.half)
        if self._judging is None:
            times += [call.check_at for call in self._calls.monitor(late=False)]
        return min(times, default=None)

    # --- events

    def query(self, query: Query, now: float, time_ns: int) -> None:
        """A query comes in; ``time_ns`` becomes its sample's timestamp."""
        self._clock = Moment(now, time_ns)
        if query.paced:
            query = query._replace(groups=self._cadence.due(query.groups, now, query.deadline_s))
        round_ = RoundBook(query, now, time_ns, self._late_scouts)
        self._rounds[query.id] = round_
        if now < self._backoff.until:
            self._finish(round_, now, self._notices.trouble)
            return
        within_s = self._settings.list_within
        if within_s is not None:
            round_.list_by = now + (within_s if self.roster.members else max(within_s, CONNECT_S))
        if self._notices.trouble and self._listing:
            # It has been hanging for a round at least: no need to make the agent wait as long.
            hung_s = HUNG_S if within_s is None else HUNG_OF_MANY_S
            round_.deadline = min(round_.deadline, now + hung_s)
        self._listing.append(query.id)
        if len(self._listing) == 1:
            self._actions.append(ListDomains(query.id))
        if not query.fast:
            self._hints.begin(now)
            self._watch_the_stuck(now)

    def shorten(self, left_s: float, now: float) -> None:
        """Rounds of all domains to which the hypervisor has not even given its list have so many
        seconds left, not more. Of the others, what calls are stuck in is looked for now.
        """
        for round_ in self._rounds.values():
            if round_.query.paced and not round_.listed:
                round_.shorten(now + left_s)
        if self._can_control:
            for call in self._calls.monitor(late=False):
                if self._rounds[call.query].query.paced:
                    call.check_at = min(call.check_at, now)
        self.pump(now)

    def listed(
        self,
        domains: Sequence[tuple[str, str, bool]],
        now: float,
        *,
        node_cpus: int,
        reconnects: int,
        has_monitors: bool,
        ids: Optional[dict[str, int]] = None,
    ) -> None:
        """The list of domains has come: uuid, name and whether it is active of each.

        :param ids: libvirt's numbers of those that are; a new one tells of a new start.
        """
        round_ = self._next_listing()
        self._samples.node_cpus, self._tallies.reconnects = node_cpus, reconnects
        self._lessons.has_monitors = has_monitors
        self._backoff.succeeded()
        if round_ is not None:  # else it has answered, and too late again
            self._notices.answers()
        wanted = self._choice.of(domains, self._xml.labels)
        self._notices.listed(domains, self._choice)
        if self._settings.events:
            numbers = ids or {}
            places = [(uuid, name, numbers.get(uuid, active - 1)) for uuid, name, active in wanted]
            self._events.listed(places, now, self._clock.time_of(now))
        listing = self.roster.listed(wanted)
        self._calls.retain(self.roster.members)
        for uuid in (*listing.switched, *self._choice.new):  # it may be another than it was
            self._xml.want(uuid)
            self._idle.forget(uuid)
            self._sizes.forget(uuid)
        waiting = self._choice.waiting
        if listing.is_other or self._xml.is_not_of(len(wanted) + len(waiting)):
            known = {uuid for uuid, _, _ in wanted}
            self._hints.retain(known)
            self._xml.retain(known | waiting)
        self._xml.renew(now)
        if round_ is not None:
            self._open(round_, wanted, now)
        self.pump(now)

    def introduced(self, version: str) -> None:
        """The hypervisor has said what it is; an empty text if it could not."""
        if self._notices.is_news(version):
            occupancy = self._settings.occupancy_watch and self._can_control
            self._notices.introduce(self.roster.members.values(), self._hints.view, occupancy)

    def list_failed(self, error: str, now: float) -> None:
        """The hypervisor cannot be asked at all."""
        round_ = self._next_listing()
        self._xml.unsubscribed()
        self._tallies.errors += 1
        self._backoff.failed(now)
        if round_ is not None:
            self._finish(round_, now, error)
        self.pump(now)

    def answered(
        self, call_id: int, records: Sequence[tuple[str, Stats]], now: float
    ) -> None:
        """A call has answered: uuid and statistics of each domain; others have ended."""
        call = self._calls.back(call_id)
        complete: Collection[str] = ()
        if call.kind is Kind.MONITOR:
            complete = self._lessons.learn_from(call, records, now)
            self._calls.recovered(complete)
        round_ = self._returned(call, now)
        if round_ is not None:
            round_.heed_scouts(call, complete, now)
            ended = set(call.uuids)
            for uuid, stats in records:
                if uuid not in ended:
                    continue  # nobody asked for it, or it has answered already
                ended.discard(uuid)
                entry = round_.entries[uuid]
                if entry.handed_out or (call.stuck and not entry.missing):
                    continue  # another call for it was quicker
                entry.at_s = call.made
                if call.kind is Kind.FREE:
                    entry.take_partial(stats, call.groups)
                elif uuid in complete:
                    entry.take(stats, call.groups)
                else:
                    entry.take_partial(stats, call.groups & self._free_groups)
                    round_.retry.append(uuid)
            for uuid in ended:
                round_.entries[uuid].gone = True
            if round_.query.reports:
                self._report_complete(round_, call.uuids)
        self.pump(now)  # first the next calls: what is handed out takes time to be written
        if round_ is not None and round_.query.in_parts and round_.query.id in self._rounds:
            round_.answered += call.uuids
            if len(round_.answered) >= min(PART, len(round_.entries) / FEWEST_PARTS):
                self._hand_out_part(round_)

    def call_failed(self, call_id: int, failure: str, error: str, now: float) -> None:
        """A call has failed. ``failure`` is "lost", "too large", "gone" or "failed"."""
        call = self._calls.back(call_id)
        self._tallies.errors += failure != "gone"
        if failure == "too large":
            self._chunk_limit = max(1, min(self._chunk_limit, len(call.uuids) // 2))
        round_ = self._returned(call, now, is_lost=failure == "lost")
        if round_ is not None and not call.stuck:
            round_.heed_scouts(call, (), now)
            ask_again = self._ask_again if call.kind is Kind.MONITOR else self._ask_free_again
            ask_again(round_, call, failure, error)
        self.pump(now)

    def described(self, call_id: int, descriptions: Iterable[Description], now: float) -> None:
        """The XML of domains has been read; those that are left out could not be."""
        call = self._calls.back(call_id)
        self._returned(call, now)
        known = []
        for uuid, paths, remote, devices, labels in descriptions:
            if uuid in self._xml.known:
                self._xml.learned(uuid, devices, labels, call.made)
            if uuid in self.roster.members:
                known.append(uuid)
                self._hints.learn(uuid, paths)
                unseen = () if self._hints.guards_storage else _folders(paths)
                self.roster.describe(uuid, (*remote, *unseen))
        for round_ in self._rounds.values():
            round_.news.update(known)
            round_.news_at = now
        self.pump(now)

    def storage_news(self, now: float) -> None:
        """Storage has answered."""
        for round_ in self._rounds.values():
            round_.storage_news(now)
        self.pump(now)

    def controls(self, controls: Controls, now: float) -> None:
        """What controlInfo said; domains of which nothing could be learnt are left out."""
        judging, self._judging = self._judging or (), None
        for call in self._calls.under_way(judging):
            self._judge(call, controls, now)
        for uuid in self.roster.quarantined(Cause.OCCUPANCY):
            if uuid in controls and not any(controls[uuid]):
                self.roster.release(uuid)
        self._calls.recovered(
            uuid for uuid, is_occupied_for in controls.items() if not any(is_occupied_for)
        )
        for round_ in self._rounds.values():
            if round_.awaits_control:
                round_.awaits_control = False
                self._retry_partial(round_, controls, now)
        self.pump(now)

    def subscribed(self, now: float) -> None:
        """Events come from a new connection from now on."""
        self._xml.subscribed(now)
        self._events.subscribed()

    def events_unsupported(self, kind: str, now: float) -> None:
        """The hypervisor has no events of this kind."""
        if kind in CHANGES_OF_XML:
            self._xml.unsubscribed()
        self._events.unsupported(kind)

    def domain_event(self, event: DomainEvent, now: float) -> None:
        """Something has happened to a domain; it is told with the next sample of all domains."""
        if not self._choice.wants(event.name, event.uuid):
            if Meaning.CHANGED in meanings(event):
                self.domain_changed(event.uuid, now)
            return
        self._events.take_in(event, now)
        for meaning in meanings(event):
            _ON_EVENT[meaning](self, event.uuid, now)
        self.pump(now)

    def domain_changed(self, uuid: str, now: float) -> None:
        """What a domain's XML says has changed: have it read again."""
        if uuid in self._xml.known:
            self._xml.changed(uuid)
            self._hand_out_describe(now)

    def control_unsupported(self, now: float) -> None:
        """The driver has no controlInfo: culprits are found by asking one by one."""
        self._can_control = False
        self.controls({}, now)

    def pump(self, now: float) -> None:
        """Do what can be done at ``now``: judge, hand out calls, complete rounds."""
        self._check_overdue(now)
        self._advance(now)
        while self._end_rounds(now):
            self._advance(now)
        self._hand_out_describe(now)

    def _advance(self, now: float) -> None:
        for round_ in self._rounds.values():
            self._release_held(round_, now)
            if self._needs_sparing(round_) and (now >= round_.half or self._is_safe_mode):
                round_.spare()
        has_retries = True
        while has_retries:
            self._hand_out_turn_by_turn(now)
            self._hand_out_free(now)
            has_retries = any(self._begin_retry(round_, now) for round_ in self._rounds.values())

    def _end_rounds(self, now: float) -> bool:
        """Complete the rounds that are done, or have no time left.

        :returns: True if calls are left behind whose lanes are free for other rounds now.
        """
        leaves_calls = False
        for round_ in list(self._rounds.values()):
            if self._is_done(round_):
                self._finish(round_, now)
            elif now >= round_.ends_at:
                error = "" if round_.listed else self._notices.no_list(round_.list_within_s)
                self._finish(round_, now, error)
                leaves_calls = leaves_calls or bool(round_.out)
        return leaves_calls

    # --- a round begins

    def _open(
        self, round_: RoundBook, domains: Sequence[tuple[str, str, bool]], now: float
    ) -> None:
        query = round_.query
        for uuid, name, active in domains:
            if query.fast and not active:
                continue
            if query.domains is None or uuid in query.domains or name in query.domains:
                round_.entries[uuid] = Entry(uuid, name, active, query.groups, stats=NO_STATS)
        round_.listed = True
        if query.fast:
            round_.free.extend(round_.entries)
            return
        if query.reports:
            names = {uuid: entry.name for uuid, entry in round_.entries.items()}
            self._actions.append(Opened(query.id, names))
        round_.news_at = now
        size, cost_s = len(round_.entries), self.pace.per_domain_s
        round_.lanes = self._lanes.wanted(size, query.deadline_s, cost_s, self.pace.has_learned)
        round_.chunk_size = chunk_size(size, round_.lanes, cost_s)
        self._stopped.look(now)
        self.roster.lie_on(self._hints.on_blind())
        self.roster.send_canaries(round_.entries)
        if query.paced:
            self._idle.begin(now)
            self._sizes.begin(now)
        must_wait = self._must_wait(round_, round_.entries) if BLOCK in query.groups else set()
        is_calm = self.roster.is_calm and not self._migrations.under_way
        for member in round_.scouts.first(self.roster.by_answer(round_.entries)):
            uuid = member.uuid
            is_well = is_calm and member.standing is Standing.RESPONSIVE
            if not is_well and not self._may_be_asked(uuid):
                round_.free.append(uuid)
            elif uuid in must_wait:
                round_.waiting_for_storage[uuid] = None
            elif is_well:
                round_.queue(uuid, self._to_ask(round_, uuid))
            else:
                self._queue(round_, uuid, self._to_ask(round_, uuid))

    def _to_ask(self, round_: RoundBook, uuid: str) -> frozenset[str]:
        """The groups to ask a domain for: all of the query's but those that are idle."""
        groups, idle = round_.query.groups, self._idle.of(uuid)
        if idle is None or not round_.query.paced or self.roster.is_suspected(uuid):
            return groups
        within, left = idle.within(groups)
        if within is not None and RSS in within.stats:
            within = within.with_rss(self._hints.rss_kib(uuid))
        if within is None:
            return groups
        round_.entries[uuid].idle = within
        return left

    def _must_wait(self, round_: RoundBook, uuids: Collection[str]) -> set[str]:
        """Those of the domains that must not be asked for their disks yet."""
        if not self._hints.guards_storage:
            return set()
        waiting = self._hints.unplaced(uuids).union(self._hints.withheld().intersection(uuids))
        lies_on = self._hints.on_blind()
        if lies_on:
            self.roster.lie_on(lies_on)
            may_go = [uuid for uuid in uuids if uuid not in waiting and self._may_be_scout(uuid)]
            waiting |= round_.wait_for_scouts(may_go, lies_on)
        return waiting

    def _may_be_scout(self, uuid: str) -> bool:
        return self._may_be_asked(uuid) and not self.roster.is_suspected(uuid)

    def _may_be_asked(self, uuid: str) -> bool:
        member = self.roster.members.get(uuid)  # asked of every domain: without one more call
        if member is None or member.standing is Standing.QUARANTINED:
            return False
        return uuid not in self._migrations.standing_still

    def _queue(self, round_: RoundBook, uuid: str, groups: frozenset[str]) -> None:
        """A domain is to be asked: in a chunk with others, or alone if it is in question."""
        if self.roster.is_suspected(uuid):
            if BLOCK in groups:
                round_.disks_pending[uuid] = None
            groups = self._without_files(uuid, groups)
        if not groups:
            return
        if uuid not in self.roster.members:
            round_.free.append(uuid)  # another round's list was without it: has it ended?
        elif self.roster.is_trusted(uuid) and not self.roster.is_canary(uuid):
            round_.queue(uuid, groups)
            if round_.is_spared and not round_.entries[uuid].got:
                round_.free.append(uuid)
        else:
            self._queue_single(round_, uuid, groups)

    def _queue_single(self, round_: RoundBook, uuid: str, groups: frozenset[str]) -> None:
        """A domain is to be asked alone; its turn may not come in this round."""
        round_.queue_single(uuid, groups, self.roster.probe_order(uuid))
        if not round_.entries[uuid].got:
            round_.free.append(uuid)

    def _without_files(self, uuid: str, groups: frozenset[str]) -> frozenset[str]:
        """The groups without the one that looks at the domain's disks: its counters instead."""
        if BLOCK not in groups:
            return groups
        has_disks = bool(self._xml.devices.get(uuid, NO_DEVICES).targets)
        return (groups - {BLOCK}).union((COUNTERS,) if has_disks else ())

    @property
    def _is_safe_mode(self) -> bool:
        """Whether the budget is spent: no monitor is asked until a stuck call is back."""
        return self._calls.room <= 0

    def _needs_sparing(self, round_: RoundBook) -> bool:
        """Whether domains wait for a turn that may not come, with nothing sampled of them."""
        return round_.has_ready and not round_.is_spared

    def _patient_until(self, round_: RoundBook) -> float:
        """Until when domains wait for news of their storage, or for a scout to come back."""
        grace = GRACE_S
        if round_.scouts.are_out:
            most_s = round_.query.deadline_s / 4
            grace = max(grace, self.pace.soft_deadline(round_.chunk_size, most_s))
        return min(round_.news_at + grace, round_.half)

    def _release_held(self, round_: RoundBook, now: float) -> None:
        """Let go the domains whose storage has answered; all of them when no more news come.

        Those that go without their disks are asked for them later in the round, if their storage
        answers meanwhile.
        """
        is_patient = now < self._patient_until(round_)
        news, round_.news = round_.news, set()
        if not news and (is_patient or not round_.waiting_for_storage):
            return
        pending = [uuid for uuid in round_.disks_pending if uuid in news]
        waiting = [uuid for uuid in round_.waiting_for_storage if uuid in news or not is_patient]
        must_wait = self._must_wait(round_, [*pending, *waiting])
        for uuid in pending:
            if uuid not in must_wait and not self.roster.is_suspected(uuid):
                del round_.disks_pending[uuid]
                if self._may_be_asked(uuid):
                    self._queue(round_, uuid, frozenset({BLOCK}))
        for uuid in waiting:
            is_risky = uuid in must_wait
            if is_risky and is_patient:
                continue
            del round_.waiting_for_storage[uuid]
            if is_risky:
                round_.silent.update(self._hints.silent())
                round_.disks_pending[uuid] = None
                self._queue(round_, uuid, self._without_files(uuid, round_.query.groups))
            else:
                self._queue(round_, uuid, self._to_ask(round_, uuid))

    # --- calls are handed out

    def _hand_out_turn_by_turn(self, now: float) -> None:
        """Make the calls that can be made; no round takes all lanes while others wait."""
        made = [True]
        while any(made):
            made = [self._hand_out(round_, now) for round_ in self._rounds.values()]

    def _hand_out(self, round_: RoundBook, now: float) -> bool:
        """Make one monitor call of a round, if there is one to make and room for it."""
        if not (round_.has_ready or round_.has_singles):
            return False
        at_work = len(self._calls.monitor(late=False))
        room = self._calls.room - at_work
        if at_work >= round_.lanes or room <= 0:
            return False
        self._sort_for_alert(round_)
        for groups in sorted(round_.ready, key=len, reverse=True):  # who can get all comes first
            waiting = round_.ready[groups]
            while waiting:
                chunk = round_.pop_chunk(waiting, min(round_.chunk_size, self._chunk_limit))
                if self._call(round_, self._askable(round_, chunk, now), groups, now):
                    return True
        while round_.has_singles and room > self.roster.reserve:
            uuid, groups = round_.pop_single()
            if self.roster.is_suspected(uuid):
                groups = self._without_files(uuid, groups)
            if groups and self._call(round_, self._askable(round_, [uuid], now), groups, now):
                return True
        return False

    def _sort_for_alert(self, round_: RoundBook) -> None:
        """When an alert begins or changes, domains in question leave the chunks that wait."""
        if self.roster.alert_since is None or self.roster.evidence == round_.sorted_for:
            return
        round_.sorted_for = self.roster.evidence
        ready = list(round_.ready.items())
        round_.ready.clear()
        for groups, waiting in ready:
            for uuid in waiting:
                self._queue(round_, uuid, groups)

    def _askable(self, round_: RoundBook, uuids: Sequence[str], now: float) -> list[str]:
        """Those of the domains that may be asked this moment; the others go without monitor."""
        self._stopped.look_again(uuids, now)
        askable = []
        for uuid in uuids:
            if round_.entries[uuid].gone:
                continue
            if self._may_be_asked(uuid):
                askable.append(uuid)
            else:
                round_.free.append(uuid)
        return askable

    def _call(
        self, round_: RoundBook, uuids: Sequence[str], groups: frozenset[str], now: float
    ) -> bool:
        if not uuids:
            return False
        call = self._make(Kind.MONITOR, uuids, groups, now, round_)
        self._questions.of_monitors(call)
        call.check_at = now + self.pace.soft_deadline(len(uuids), round_.query.deadline_s / 4)
        round_.calls += 1
        return True

    def _hand_out_free(self, now: float) -> None:
        while self._lanes.may_ask_free(self._calls) and self._hand_out_one_free(now):
            pass

    def _hand_out_one_free(self, now: float) -> bool:
        for round_ in self._rounds.values():
            chunk: dict[str, None] = {}
            while round_.free and len(chunk) < FREE_CHUNK:
                is_alone = round_.free[0] in round_.free_alone
                if is_alone and chunk:
                    break
                uuid = round_.free.popleft()
                entry = round_.entries.get(uuid)
                if entry is not None and not entry.gone and not entry.got:
                    chunk[uuid] = None
                    if is_alone:
                        break
            if chunk:
                self._call_without_monitor(round_, tuple(chunk), now)
                return True
        return False

    def _call_without_monitor(self, round_: RoundBook, uuids: Sequence[str], now: float) -> None:
        groups = self._questions.answered_without_monitor(round_.query)
        call = self._make(Kind.FREE, uuids, groups, now, round_)
        self._questions.without_monitor(call, round_.query)

    def _hand_out_describe(self, now: float) -> None:
        if not self._xml.has_work or not self._lanes.may_describe(self._calls, now):
            return
        batch = self._xml.next_batch(DESCRIBE_CHUNK, self._xml.known)
        if batch:
            self._make(Kind.DESCRIBE, batch, frozenset(), now, None)

    def _make(
        self,
        kind: Kind,
        uuids: Sequence[str],
        groups: frozenset[str],
        now: float,
        round_: Optional[RoundBook],
    ) -> Call:
        query = 0 if round_ is None else round_.query.id
        call = self._calls.make(kind, uuids, groups, now, query)
        if round_ is not None:
            round_.out.add(call.id)
        self._actions.append(call)
        return call

    # --- calls come back

    def _returned(
        self, call: Call, now: float, is_lost: bool = False
    ) -> Optional[RoundBook]:
        """Account for a call that is back.

        :param is_lost: with its connection: what it was stuck in goes on to hold the server.
        :returns: its round, if it is in time for it.
        """
        if call.kind is Kind.DESCRIBE:
            self._xml.returned(call.uuids)
            return None
        self._late_scouts.pop(call.id, None)
        if call.kind is Kind.MONITOR:
            culprit = self.roster.call_returned(call.id)
            if culprit is not None and is_lost and self._can_control:
                self._calls.leak(culprit)
                reason = "a call to its monitor, over a connection that is lost, is stuck"
                self.roster.quarantine(culprit, now, Cause.OCCUPANCY, reason)
            elif culprit is not None:
                self.roster.release(culprit)
                self._migrations.answers(culprit)
        round_ = self._rounds.get(call.query)
        if call.over or round_ is None:
            self._tallies.late_results += 1
            return None
        round_.out.discard(call.id)
        return round_

    def _ask_again(self, round_: RoundBook, call: Call, failure: str, error: str) -> None:
        """A call failed in time: ask its domains again, alone to find the one that is to blame."""
        is_alone = len(call.uuids) == 1
        for uuid in call.uuids:
            entry = round_.entries[uuid]
            entry.failure = error
            round_.attempts[uuid] = attempts = round_.attempts.get(uuid, 0) + 1
            if failure == "gone" and is_alone:
                entry.gone = True
            elif failure == "lost" or (failure == "too large" and not is_alone):
                if attempts <= 2 or failure == "too large":
                    self._queue(round_, uuid, call.groups)
            elif is_alone:
                round_.free.append(uuid)
            else:
                self._queue_single(round_, uuid, call.groups)

    def _ask_free_again(
        self, round_: RoundBook, call: Call, failure: str, error: str
    ) -> None:
        """A call without monitor failed: make it once more for each of its domains alone."""
        for uuid in call.uuids:
            round_.entries[uuid].failure = error
            if len(call.uuids) > 1:
                round_.free_alone.add(uuid)
                round_.free.append(uuid)
            elif failure == "gone":
                round_.entries[uuid].gone = True

    def _begin_retry(self, round_: RoundBook, now: float) -> bool:
        """At the end of a round, ask once more the domains whose monitor was busy.

        :returns: True if that gave something to hand out.
        """
        if not round_.retry or round_.retried or not self._is_quiet(round_):
            return False
        round_.retried = True
        if self._ask_control(round_.retry, ()):
            round_.awaits_control = True
            return False
        self._retry_partial(round_, {}, now)
        return True

    def _retry_partial(self, round_: RoundBook, controls: Controls, now: float) -> None:
        must_wait = self._must_wait(round_, round_.retry)
        for uuid in round_.retry:
            occupied, busy_s = controls.get(uuid, (False, 0.0))
            if not self._may_be_asked(uuid):
                continue
            if uuid in self._migrations.under_way:
                continue
            if occupied and busy_s >= OCCUPIED_S and self._settings.occupancy_watch:
                reason = f"its monitor is busy with another client's command for {busy_s:.0f} s"
                self.roster.quarantine(uuid, now, Cause.OCCUPANCY, reason)
                continue
            groups = round_.entries[uuid].missing
            if uuid in must_wait:
                groups = self._without_files(uuid, groups)
            self._queue(round_, uuid, groups)
        round_.retry = []

    # --- calls that do not come back

    def _check_overdue(self, now: float) -> None:
        waiting = self._calls.monitor(late=False)
        if self._judging is not None or not any(call.check_at <= now for call in waiting):
            return
        # Those that are nearly overdue are judged with it: what several culprits have in common
        # is to be known before their chunks' other domains are asked again.
        overdue = [call for call in waiting if call.is_overdue(now, NEARLY)]
        if self._can_control and self._ask_control(
            (uuid for call in overdue for uuid in call.uuids), (call.id for call in overdue)
        ):
            return
        for call in overdue:
            if call.is_overdue(now):
                self._give_up(call, call.uuids[0] if len(call.uuids) == 1 else None, now)

    def _suspect(self, call: Call, now: float) -> None:
        """A call outlives its round: on a slow host that alone is no reason for an alert."""
        if call.kind is Kind.MONITOR and call.check_at <= now:
            self.roster.call_stuck(call.id, call.made, call.culprit)

    def _watch_the_stuck(self, now: float) -> None:
        """A round begins: what has become of the monitors that were busy in the last one?"""
        late = self._calls.monitor(late=True)
        for call in late:
            if not call.stuck:
                self._suspect(call, now)
        uuids = {*self._calls.leaked, *self.roster.quarantined(Cause.OCCUPANCY)}
        uuids.update(uuid for call in late for uuid in call.uuids)
        self._ask_control(uuids, (call.id for call in late))

    def _ask_control(self, uuids: Iterable[str], judging: Iterable[int]) -> bool:
        wanted = tuple(uuid for uuid in uuids if uuid in self.roster.members)
        if self._judging is not None or not wanted or not self._can_control:
            return False
        self._judging = tuple(judging)
        self._actions.append(AskControl(wanted))
        return True

    def _judge(self, call: Call, controls: Controls, now: float) -> None:
        """Name the culprit of a call that takes too long, if there is one."""
        age = now - call.made
        soft = call.check_at - call.made
        enough = 0.6 * min(soft, age) if not call.late else LEAST_S
        busy = {
            uuid: controls[uuid][1]
            for uuid in call.uuids
            if uuid in controls and enough <= controls[uuid][1] <= age + 1
        }
        culprit = max(busy, key=lambda uuid: busy[uuid], default=None)
        if not call.late:
            if culprit is not None:
                self._give_up(call, culprit, now)
            else:
                call.check_at = now + max(0.1, soft / 2)
        elif culprit is not None and culprit != call.culprit:
            if call.suspect != culprit:
                call.suspect = culprit  # a server that was frozen makes every monitor look busy
                return
            # The call went on from one domain that hung to the next one that does.
            if call.culprit is not None:
                self.roster.release(call.culprit)
            self._blame(call, culprit, now)

    def _blame(self, call: Call, culprit: Optional[str], now: float) -> None:
        call.stuck, call.culprit = True, culprit
        if culprit is not None:
            self._late_scouts.pop(call.id, None)  # the roster knows what to think of its storage
        self.roster.call_stuck(call.id, call.made, culprit)
        if culprit is None:
            return
        if culprit in self._migrations.under_way:
            self._migrations.handed_over(culprit, now)
        else:
            self.roster.quarantine(culprit, now, Cause.CALL, "a call to its monitor is stuck")

    def _give_up(self, call: Call, culprit: Optional[str], now: float) -> None:
        """A call is stuck: leave it alone, and ask its other domains in the same round."""
        self._blame(call, culprit, now)
        round_ = self._rounds[call.query]
        round_.out.discard(call.id)
        if round_.scouts.are_out:
            round_.storage_news(now)
        for uuid in call.uuids:
            if self._may_be_asked(uuid):
                self._queue(round_, uuid, call.groups)
            else:
                round_.free.append(uuid)

    # --- what happens to domains

    def _ended(self, uuid: str, now: float) -> None:
        """A domain has been stopped: nobody need ask it, or wait for it, any more."""
        self.roster.stopped(uuid)
        self._calls.acquit(uuid)
        for round_ in self._rounds.values():
            entry = round_.entries.get(uuid)
            if entry is None or not entry.active:
                continue
            entry.gone = True
            round_.waiting_for_storage.pop(uuid, None)
            round_.disks_pending.pop(uuid, None)
            round_.retry = [waiting for waiting in round_.retry if waiting != uuid]
            if round_.query.reports:
                self._report_complete(round_, (uuid,))

    def _hand_out_events(self, round_: RoundBook, now: float) -> tuple[DomainEvent, ...]:
        """The events that wait, for a sample of all domains."""
        self._migrations.expire(now)
        if not round_.query.is_of_all:
            return ()
        events = self._events.hand_out(now)
        self._notices.say_all(("warning", text) for text in self._events.take_log())
        return events

    # --- a round ends

    def _report_complete(self, round_: RoundBook, uuids: Iterable[str]) -> None:
        complete = tuple(
            uuid
            for uuid in uuids
            if round_.entries[uuid].gone or not round_.entries[uuid].missing
        )
        if complete:
            self._actions.append(Complete(round_.query.id, complete))

    def snapshot(
        self, query_id: int, uuids: Optional[Collection[str]], now: float
    ) -> Optional[Sample]:
        """What is known so far of some, or all, domains of a round; None if it has ended."""
        round_ = self._rounds.get(query_id)
        if round_ is None:
            return None
        round_.turns = None
        error = "" if round_.listed else self._notices.no_list(round_.list_within_s)
        return self._samples.so_far(round_, uuids, now, error)

    def _is_quiet(self, round_: RoundBook) -> bool:
        """Whether nothing of a round is under way or can be handed out, but for retries."""
        if not round_.listed or round_.out or round_.waiting_for_storage or round_.awaits_control:
            return False
        room = self._calls.room
        if (round_.has_ready and room > 0) or (round_.has_singles and room > self.roster.reserve):
            return False
        late = sum(call.over for call in self._calls.of_kind(Kind.FREE))
        return not round_.free or late >= MOST_FREE_CALLS

    def _is_done(self, round_: RoundBook) -> bool:
        return self._is_quiet(round_) and (round_.retried or not round_.retry)

    def _finish(self, round_: RoundBook, now: float, error: str = "") -> None:
        del self._rounds[round_.query.id]
        round_.turns = None
        if round_.query.id in self._listing and round_.query.id != self._listing[0]:
            self._listing.remove(round_.query.id)
        for call in self._calls.under_way(round_.out):
            call.over = True
            self._late_scouts[call.id] = round_.scouts.sent_to(call.uuids)
            self._suspect(call, now)
        if error:
            self._notices.not_answered(error)
        self._notices.turned(self.roster.take_turns(), Moment(round_.made, round_.time_ns), now)
        silent = self._samples.silent_in(round_)
        still_silent = {*self._hints.silent(), *self.roster.confirmed}
        self._notices.storage(silent, still_silent, self._hints.blind())
        if error and round_.query.paced:
            self._cadence.in_vain(round_.query.groups)
        events = self._hand_out_events(round_, now)
        changes = self._notices.take_changes() if round_.query.is_of_all else ()
        sample = self._samples.whole(round_, now, error, changes, events)
        self._actions.append(Answer(round_.query.id, sample))
        is_known = self._choice.is_settled and not (error or round_.query.fast)
        if is_known and self._notices.introduction_is_due(self._tallies.reconnects):
            self._actions.append(AskVersion())

    def _hand_out_part(self, round_: RoundBook) -> None:
        """Hand out the domains that are complete, and keep nothing of their answers."""
        answered, round_.answered = round_.answered, []
        sample = self._samples.part(round_, answered)
        if sample is not None:
            self._actions.append(Part(round_.query.id, sample))

    # --- what the user hears

    def _log(self, log: Log) -> None:
        self._actions.append(log)

    def _next_listing(self) -> Optional[RoundBook]:
        """The round whose list has come; the next one's is asked for."""
        if not self._listing:
            return None  # a list that was asked for by an engine that failed
        round_ = self._rounds.get(self._listing.popleft())
        while self._listing and self._listing[0] not in self._rounds:
            self._listing.popleft()
        if self._listing:
            self._actions.append(ListDomains(self._listing[0]))
        return round_


_ON_EVENT: dict[Meaning, Callable[[Engine, str, float], None]] = {
    Meaning.ENDED: Engine._ended,
    Meaning.CHANGED: Engine.domain_changed,
    Meaning.MOVING: lambda engine, uuid, now: engine._migrations.goes_on(uuid, now),
    Meaning.HANDED_OVER: lambda engine, uuid, now: engine._migrations.handed_over(uuid, now),
    Meaning.SETTLED: lambda engine, uuid, now: engine._migrations.settled(uuid),
}


def _folders(paths: Iterable[str]) -> list[str]:
    """The folders of files, once each: they stand for storage that cannot be looked at."""
    return sorted({path.rpartition("/")[0] for path in paths if path.startswith("/")})
