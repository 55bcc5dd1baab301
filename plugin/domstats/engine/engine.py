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
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Callable, Optional

import msgspec

from ..domain_xml.disk_counters import COUNTERS, counted_disks
from ..events import CHANGES_OF_XML, Meaning, meanings
from ..model import (
    FACTS_OF_GROUP,
    MONITOR_FREE_GROUPS,
    NO_DEVICES,
    NO_STATS,
    Change,
    DomainEvent,
    DomainSample,
    FrozenDict,
    Round,
    Sample,
    Stats,
    Status,
)
from ..selection import Unmatched
from ..shown import first_of
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
from .introduction import Introduction
from .migrations import Migrations
from .notices import StorageNotices
from .pace import LEAST_S, Backoff, Cadence, Pace, chunk_size
from .roster import Cause, Event, Roster, Standing
from .rounds import BLOCK, Call, Entry, Kind, Query, RoundBook, Turns, shows_monitor
from .xml_book import XmlBook

#: Seconds without news for which a round waits to learn where disks lie, and for their storage to
#: answer, before it asks for everything else.
GRACE_S = 0.15
#: A monitor that somebody else's command keeps busy for so many seconds counts as hanging.
OCCUPIED_S = 2.0
#: A look at all processes serves for so many seconds.
LOOK_FOR_S = 0.1
#: Domains in one call without the monitor, and in one look at XML.
FREE_CHUNK = 32
DESCRIBE_CHUNK = 32
#: Seconds after which a stuck look at XML gets another one beside it.
DESCRIBE_PATIENCE_S = 1.0
#: How many calls of these kinds there are at most, stuck ones included.
MOST_FREE_CALLS = 2
MOST_DESCRIBE_CALLS = 2
#: Room in the budget that domains in question must leave to those that are known to answer.
RESERVE = 1
#: The share of its soft deadline after which a call is judged together with one that is overdue.
NEARLY = 0.7
#: Seconds for which a round waits for a hypervisor that gave the last one no answer.
HUNG_S = 0.5
#: Changes that wait at most for a sample of all domains.
MOST_CHANGES = 1000
#: Domains that are handed out together, as far as they are complete: to wake somebody for each
#: call's costs more than what they say.
PART = 64
#: In so many parts at least, or all of a small host would be written when its round is over.
FEWEST_PARTS = 4
#: Domains named in one log line.
NAMED = 3


class Engine:
    """All rounds of one hypervisor. Its methods are events; ``take_actions`` says what to do."""

    def __init__(self, settings: EngineSettings, hints: Optional[Hints] = None) -> None:
        self.roster = Roster()
        self.pace = Pace(settings.soft_deadline)
        self._settings = settings
        self._hints = hints or Hints()
        self._actions: list[Action] = []
        self._rounds: dict[int, RoundBook] = {}
        self._calls = Calls(settings.stuck_budget)
        self._listing: deque[int] = deque()
        #: Calls that wait for the answer of controlInfo; None while nothing is asked.
        self._judging: Optional[tuple[int, ...]] = None
        self._can_control = True
        #: Groups that never need the monitor.
        self._free_groups = MONITOR_FREE_GROUPS.union(settings.direct)
        self._cadence = Cadence(settings.every)
        has_info = "info" in settings.direct.get("cpu_total", ())
        self._idle = IdleGroups(settings.idle_s, has_info=has_info)
        self._sizes = DiskSizes(settings.disk_sizes)
        #: Whether the driver has monitors that can be busy (QEMU's has).
        self._has_monitors = True
        self._chunk_limit = settings.chunk_size
        self._looked_at = float("-inf")
        self._events = EventBook(settings.events)
        self._migrations = Migrations()
        #: The last query's time, by both clocks.
        self._clock = (0.0, 0)
        self._xml = XmlBook(is_wanted=settings.wants_xml, lasts_s=settings.xml_lasts_s)
        self._node_cpus = 0
        self._introduction = Introduction()
        self._unmatched = Unmatched(settings.selected)
        self._trouble = ""
        self._of_storage = StorageNotices()
        #: As of ``scouts.Scouts``.
        self._late_scouts: dict[int, frozenset[str]] = {}
        self._backoff = Backoff(settings.reconnect_delay_s)
        #: By uuid: since when a domain hangs, by the engine's clock and in nanoseconds.
        self._hangs: dict[str, tuple[float, int]] = {}
        self._changes: list[Change] = []
        self._late_results = 0
        self._errors = 0
        self._reconnects = 0

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
        self._errors = failed._errors + 1
        self._late_results, self._reconnects = failed._late_results, failed._reconnects
        self._backoff = failed._backoff
        self._trouble, self._of_storage = failed._trouble, failed._of_storage
        self._late_scouts = failed._late_scouts
        self._introduction, self._unmatched = failed._introduction, failed._unmatched
        self._can_control, self._chunk_limit = failed._can_control, failed._chunk_limit
        self._xml.take_over(failed._xml)

    def due(self) -> Optional[float]:
        """When ``pump`` is to be called even though nothing happens; None if never."""
        times = []
        for round_ in self._rounds.values():
            times.append(round_.deadline)
            if round_.held:
                times.append(self._patient_until(round_))
            if self._needs_sparing(round_):
                times.append(round_.half)
        if self._judging is None:
            times += [call.check_at for call in self._calls.monitor(late=False)]
        return min(times, default=None)

    # --- events

    def query(self, query: Query, now: float, time_ns: int) -> None:
        """A query comes in; ``time_ns`` becomes its sample's timestamp."""
        self._clock = now, time_ns
        if query.paced:
            query = query._replace(groups=self._cadence.due(query.groups, now, query.deadline_s))
        round_ = RoundBook(query, now, time_ns, self._late_scouts)
        self._rounds[query.id] = round_
        if now < self._backoff.until:
            self._finish(round_, now, self._trouble)
            return
        if self._trouble and self._listing:
            # It has been hanging for a round at least: no need to make the agent wait as long.
            round_.deadline = min(round_.deadline, now + HUNG_S)
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
        self._node_cpus, self._reconnects = node_cpus, reconnects
        self._has_monitors = has_monitors
        self._backoff.succeeded()
        if self._trouble and round_ is not None:  # else it has answered, and too late again
            self._log("info", "the hypervisor answers again")
            self._trouble = ""
        for level, text in self._unmatched.listed(name for _, name, _ in domains):
            self._log(level, text)
        wants = self._settings.wants_domain
        wanted = [domain for domain in domains if wants(domain[1], domain[0])]
        if self._settings.events:
            numbers = ids or {}
            places = [(uuid, name, numbers.get(uuid, active - 1)) for uuid, name, active in wanted]
            self._events.listed(places, now, self._time_ns(now))
        listing = self.roster.listed(wanted)
        self._calls.retain(self.roster.members)
        for uuid in listing.switched:  # a domain that is started may be another than it was
            self._xml.want(uuid)
            self._idle.forget(uuid)
            self._sizes.forget(uuid)
        if listing.is_other or self._xml.lacks_any_of(len(wanted)):
            known = {uuid for uuid, _, _ in wanted}
            self._hints.retain(known)
            self._xml.retain(known)
        self._xml.renew(now)
        if round_ is not None:
            self._open(round_, wanted, now)
        self.pump(now)

    def introduced(self, version: str) -> None:
        """The hypervisor has said what it is; an empty text if it could not."""
        if self._introduction.is_news(version):
            members = self.roster.members.values()
            running = [member.uuid for member in members if member.active]
            remote = {storage for member in members for storage in member.storages}
            view = self._hints.view(running)
            occupancy = self._settings.occupancy_watch and self._can_control
            line = self._introduction.line(len(members), len(running), view, remote, occupancy)
            self._log("info", line)

    def list_failed(self, error: str, now: float) -> None:
        """The hypervisor cannot be asked at all."""
        round_ = self._next_listing()
        self._xml.unsubscribed()
        self._errors += 1
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
            complete = self._learn_from(call, records, now)
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
                if call.kind is Kind.FREE:
                    entry.take_partial(stats, call.groups)
                elif uuid in complete:
                    entry.take(stats, call.groups)
                else:
                    entry.take_partial(stats, call.groups & self._free_groups)
                    round_.retry.append(uuid)
            for uuid in ended:
                round_.entries[uuid].gone = True
            if round_.query.tells:
                self._tell_complete(round_, call.uuids)
        self.pump(now)  # first the next calls: what is handed out takes time to be written
        if round_ is not None and round_.query.in_parts and round_.query.id in self._rounds:
            round_.answered += call.uuids
            if len(round_.answered) >= min(PART, len(round_.entries) / FEWEST_PARTS):
                self._hand_out_part(round_)

    def call_failed(self, call_id: int, failure: str, error: str, now: float) -> None:
        """A call has failed. ``failure`` is "lost", "too large", "gone" or "failed"."""
        call = self._calls.back(call_id)
        self._errors += failure != "gone"
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
            if uuid in self.roster.members:
                known.append(uuid)
                self._xml.learned(uuid, devices, labels, call.made)
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
            if uuid in controls and not controls[uuid][0]:
                self.roster.release(uuid)
        self._calls.recovered(
            uuid for uuid, (is_occupied, _) in controls.items() if not is_occupied
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
        if not self._settings.wants_domain(event.name, event.uuid):
            return
        self._events.take_in(event, now)
        for meaning in meanings(event):
            _ON_EVENT[meaning](self, event.uuid, now)
        self.pump(now)

    def domain_changed(self, uuid: str, now: float) -> None:
        """What a domain's XML says has changed: have it read again."""
        if uuid in self.roster.members:
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
            elif now >= round_.deadline:
                error = "" if round_.listed else self._why_not_listed(round_)
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
        if query.tells:
            names = {uuid: entry.name for uuid, entry in round_.entries.items()}
            self._actions.append(Opened(query.id, names))
        round_.news_at = now
        per_domain_s = self.pace.per_domain_s
        round_.chunk_size = chunk_size(len(round_.entries), self._settings.lanes, per_domain_s)
        self._heed_processes(now)
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
                round_.held[uuid] = None
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

    def _heed_processes(self, now: float) -> None:
        """Quarantine the domains whose process is stopped; release those that run again."""
        if now - self._looked_at < LOOK_FOR_S:
            return
        self._looked_at = now
        active = [member.uuid for member in self.roster.members.values() if member.active]
        reasons = self._hints.look(active, now)
        for uuid in self.roster.quarantined(Cause.PROCESS):
            if uuid not in reasons:
                self.roster.release(uuid)
        self._quarantine_processes(reasons, now)

    def _quarantine_processes(self, reasons: dict[str, str], now: float) -> None:
        for uuid, reason in reasons.items():
            if self._may_be_asked(uuid):
                self.roster.quarantine(uuid, now, Cause.PROCESS, f"its process is {reason}")

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
        member = self.roster.members.get(uuid)
        if member is None or member.standing is Standing.QUARANTINED:
            return False
        return uuid not in self._migrations.standing_still

    def _queue(self, round_: RoundBook, uuid: str, groups: frozenset[str]) -> None:
        """A domain is to be asked: in a chunk with others, or alone if it is in question."""
        if self.roster.is_suspected(uuid):
            if BLOCK in groups:
                round_.owed[uuid] = None
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
        round_.queue_single(uuid, groups, self.roster.hope(uuid))
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
        if not news and (is_patient or not round_.held):
            return
        owed = [uuid for uuid in round_.owed if uuid in news]
        held = [uuid for uuid in round_.held if uuid in news or not is_patient]
        must_wait = self._must_wait(round_, [*owed, *held])
        for uuid in owed:
            if uuid not in must_wait and not self.roster.is_suspected(uuid):
                del round_.owed[uuid]
                if self._may_be_asked(uuid):
                    self._queue(round_, uuid, frozenset({BLOCK}))
        for uuid in held:
            waits = uuid in must_wait
            if waits and is_patient:
                continue
            del round_.held[uuid]
            if waits:
                round_.silent.update(self._hints.silent())
                round_.owed[uuid] = None
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
        if at_work >= self._settings.lanes or room <= 0:
            return False
        self._sort_for_alert(round_)
        for groups in sorted(round_.ready, key=len, reverse=True):  # who can get all comes first
            waiting = round_.ready[groups]
            while waiting:
                chunk = round_.pop_chunk(waiting, min(round_.chunk_size, self._chunk_limit))
                if self._call(round_, self._askable(round_, chunk, now), groups, now):
                    return True
        while round_.has_singles and room > self._reserve():
            uuid, groups = round_.pop_single()
            if self.roster.is_suspected(uuid):
                groups = self._without_files(uuid, groups)
            if groups and self._call(round_, self._askable(round_, [uuid], now), groups, now):
                return True
        return False

    def _reserve(self) -> int:
        return 0 if self.roster.alert_since is None else RESERVE

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
        if now - self._looked_at > LOOK_FOR_S:
            self._quarantine_processes(self._hints.relook(uuids, now), now)
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
        direct = self._settings.direct
        call = self._make(Kind.MONITOR, uuids, groups, now, round_)
        call.bulk = groups.difference(direct, (COUNTERS,))
        if COUNTERS in groups:
            call.counted = {
                uuid: counted_disks(self._xml.disks_seen(uuid), devices)
                for uuid in uuids
                if (devices := self._xml.devices.get(uuid)) is not None
            }
        if BLOCK in groups and self._sizes.are_wanted:
            unseen = self._hints.on_blind()
            seen = [uuid for uuid in uuids if uuid not in unseen]
            call.sized = self._sizes.due(seen, self._xml.devices)
        call.facts = _facts(direct, groups) | self._mapping_facts(groups)
        if self._settings.disk_errors and BLOCK in groups:
            call.facts |= {"errors"}
        call.check_at = now + self.pace.soft_deadline(len(uuids), round_.query.deadline_s / 4)
        round_.calls += 1
        return True

    def _hand_out_free(self, now: float) -> None:
        free = Kind.FREE
        while len(self._calls.of_kind(free)) < MOST_FREE_CALLS and self._hand_out_one_free(now):
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
        groups, direct = round_.query.groups, self._settings.direct
        if round_.query.fast:
            answered = groups
            bulk = groups & MONITOR_FREE_GROUPS
            facts = _facts({**_FAST_FACTS, **direct}, groups)
        else:
            bulk = groups & self._settings.quarantine_groups
            answered = bulk | groups.intersection(direct)
            facts = _facts({**FACTS_OF_GROUP, **direct}, groups) | self._mapping_facts(groups)
        call = self._make(Kind.FREE, uuids, answered, now, round_)
        call.bulk, call.facts = bulk, facts

    def _mapping_facts(self, groups: frozenset[str]) -> frozenset[str]:
        """Where vCPUs are and may be, if that is wanted: with the group vcpu, else alone."""
        if not self._settings.vcpu_mapping:
            return frozenset()
        if "vcpu" in groups:
            return frozenset({"placement", "affinity"})
        is_alone = "vcpu" not in self._settings.groups and groups != {BLOCK}
        return frozenset({"affinity"}) if is_alone else frozenset()

    def _hand_out_describe(self, now: float) -> None:
        if not self._xml.has_work:
            return
        calls = self._calls.of_kind(Kind.DESCRIBE)
        if len(calls) >= MOST_DESCRIBE_CALLS or any(
            now - call.made < DESCRIBE_PATIENCE_S for call in calls
        ):
            return
        batch = self._xml.next_batch(DESCRIBE_CHUNK, self.roster.members)
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
                reason = "its monitor does not answer a call of a connection that is lost"
                self.roster.quarantine(culprit, now, Cause.OCCUPANCY, reason)
            elif culprit is not None:
                self.roster.release(culprit)
                self._migrations.answers(culprit)
        round_ = self._rounds.get(call.query)
        if call.over or round_ is None:
            self._late_results += 1
            return None
        round_.out.discard(call.id)
        return round_

    def _learn_from(
        self, call: Call, records: Sequence[tuple[str, Stats]], now: float
    ) -> set[str]:
        """What an answer tells, late or not, of who answers and how long that takes.

        :returns: the domains whose monitors were asked, or have none.
        """
        if not call.stuck:
            self.pace.learn(now - call.made, len(call.uuids))
        answered = call.made if call.late else now  # a late one came after a wait for another
        with_block = BLOCK in call.groups
        groups = call.groups - self._free_groups
        learns_sizes = with_block and self._sizes.are_wanted
        learns_idle = not groups.isdisjoint(self._idle.groups)
        members, complete = self.roster.members, set()
        for uuid, stats in records:
            member = members.get(uuid)
            if member is None:
                continue
            self._xml.see(uuid, stats)  # devices may have been plugged in or out, or disks moved
            has_monitor = member.active and self._has_monitors
            if has_monitor and not shows_monitor(stats, groups):
                continue
            complete.add(uuid)
            if learns_idle and has_monitor:
                self._idle.learn(uuid, stats, call.groups, now)
            if learns_sizes:
                images = self._xml.devices.get(uuid, NO_DEVICES).images
                self._sizes.complete(uuid, stats, images, asked=uuid in call.sized, now=now)
            if call.late and member.standing is not Standing.RESPONSIVE:
                continue  # it has to answer in time once
            self.roster.answered(member, call.made, answered, with_block and member.active)
        return complete

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
            if uuid in controls and controls[uuid][0] and enough <= controls[uuid][1] <= age + 1
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
            self.roster.quarantine(culprit, now, Cause.CALL, "its monitor does not answer")

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
            round_.held.pop(uuid, None)
            round_.owed.pop(uuid, None)
            round_.retry = [waiting for waiting in round_.retry if waiting != uuid]
            if round_.query.tells:
                self._tell_complete(round_, (uuid,))

    def _moving(self, uuid: str, now: float) -> None:
        self._migrations.goes_on(uuid, now)

    def _handed_over(self, uuid: str, now: float) -> None:
        self._migrations.handed_over(uuid, now)

    def _settled(self, uuid: str, now: float) -> None:
        self._migrations.settled(uuid)

    def _hand_out_events(self, round_: RoundBook, now: float) -> tuple[DomainEvent, ...]:
        """The events that wait, for a sample of all domains."""
        self._migrations.expire(now)
        if not round_.query.is_of_all:
            return ()
        events = self._events.hand_out(now)
        for text in self._events.take_log():
            self._log("warning", text)
        return events

    def _time_ns(self, now: float) -> int:
        """The time of day, by the last query's."""
        return self._clock[1] + int((now - self._clock[0]) * 1e9)

    # --- a round ends

    def _tell_complete(self, round_: RoundBook, uuids: Iterable[str]) -> None:
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
        chosen = round_.entries if uuids is None else uuids
        round_.turns = None
        domains = tuple(self._domain_sample(round_, round_.entries[uuid]) for uuid in chosen)
        for domain in domains:
            domain.stats = dict(domain.stats)  # the round goes on, and the caller owns its sample
        error = "" if round_.listed else self._why_not_listed(round_)
        report = self._report(round_, domains, now, error)
        return Sample(self._settings.uri, round_.time_ns, domains, report, self._node_cpus)

    def _is_quiet(self, round_: RoundBook) -> bool:
        """Whether nothing of a round is under way or can be handed out, but for retries."""
        if not round_.listed or round_.out or round_.held or round_.awaits_control:
            return False
        room = self._calls.room
        if (round_.has_ready and room > 0) or (round_.has_singles and room > self._reserve()):
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
        if error and not self._trouble:
            self._actions.append(Log("error", error))
        self._trouble = error or self._trouble
        self._tell_turns(round_, now)
        self._tell_storage(round_)
        if error and round_.query.paced:
            self._cadence.in_vain(round_.query.groups)
        events = self._hand_out_events(round_, now)
        domains = tuple(
            [
                entry.handed_out or self._domain_sample(round_, entry)
                for entry in round_.entries.values()
            ]
        )
        changes = self._hand_out_changes(round_)
        report = self._report(round_, domains, now, error)
        uri = self._settings.uri
        sample = Sample(
            uri,
            round_.time_ns,
            domains,
            report,
            self._node_cpus,
            changes,
            events,
            round_.query.groups,
        )
        self._actions.append(Answer(round_.query.id, sample))
        if not (error or round_.query.fast) and self._introduction.is_due(self._reconnects):
            self._actions.append(AskVersion())

    def _hand_out_part(self, round_: RoundBook) -> None:
        """Hand out the domains that are complete, and keep nothing of their answers."""
        part = []
        answered, round_.answered = round_.answered, []
        for uuid in answered:
            entry = round_.entries[uuid]
            if entry.handed_out is None and entry.is_complete and not entry.gone:
                entry.handed_out = self._complete_sample(entry)
                entry.stats = NO_STATS
                part.append(entry.handed_out)
        if part:
            sample = Sample(
                self._settings.uri,
                round_.time_ns,
                tuple(part),
                Round(),
                self._node_cpus,
                groups=round_.query.groups,
            )
            self._actions.append(Part(round_.query.id, sample))

    def _hand_out_changes(self, round_: RoundBook) -> tuple[Change, ...]:
        """The changes that wait, the newest if there are many, for a sample of all domains."""
        self._changes = self._changes[-MOST_CHANGES:]
        if not round_.query.is_of_all:
            return ()
        changes, self._changes = tuple(self._changes), []
        return changes

    def _report(
        self, round_: RoundBook, domains: Sequence[DomainSample], now: float, error: str
    ) -> Round:
        report = Round(
            duration_s=now - round_.made,
            lanes=self._settings.lanes,
            calls=round_.calls,
            stuck_calls=len(self._calls.monitor(late=True)),
            silent_storage=len(self._silent_in(round_)),
            unwatched_storage=len(self._hints.blind()),
            late_results=self._late_results,
            errors=self._errors,
            reconnects=self._reconnects,
            connected=not error,
            error=error,
        )
        return msgspec.structs.replace(report, **counts(domains))

    def _domain_sample(self, round_: RoundBook, entry: Entry) -> DomainSample:
        if entry.handed_out is not None:
            return entry.handed_out
        uuid = entry.uuid
        sample = self._complete_sample(entry)
        member = self.roster.members.get(uuid)
        if entry.gone:
            sample.status, sample.stats = Status.GONE, {}
        elif entry.missing:
            sample.missing = entry.missing
            if member is not None and member.standing is not Standing.RESPONSIVE:
                sample.status, sample.reason = Status.UNRESPONSIVE, member.reason
                sample.since_ns = self._since_ns(round_, member.uuid, member.since)
            else:
                sample.status = Status.PARTIAL
                sample.reason = self._why_partial(round_, entry)
        return sample

    def _complete_sample(self, entry: Entry) -> DomainSample:
        """The sample of a domain that lacks nothing."""
        uuid = entry.uuid
        return DomainSample(
            uuid,
            entry.name,
            Status.FRESH,
            entry.stats or {},  # not the one that all share
            entry.active,
            devices=self._xml.devices.get(uuid, NO_DEVICES),
            labels=self._xml.labels.get(uuid, _NO_LABELS),
        )

    def _why_partial(self, round_: RoundBook, entry: Entry) -> str:
        if entry.uuid in self._migrations.under_way:
            return "it is being migrated"
        if entry.failure:
            return entry.failure
        if entry.missing == {BLOCK} and entry.uuid in round_.owed:
            if entry.uuid in self._hints.withheld():
                return f"storage does not answer: {', '.join(sorted(round_.silent))}"
            if self._hints.unplaced([entry.uuid]):
                return "it is not known yet where its disks lie"
            if self.roster.awaits_places(entry.uuid):
                return "domains hang, and it is not known yet if it shares their storage"
            if round_.scouts.are_out and not self.roster.is_suspected(entry.uuid):
                return "the domain that tries its storage first has not answered"
            return "other domains hang on its storage"
        if round_.turns is None:
            out = self._calls.under_way(round_.out)
            round_.turns = Turns(round_, out, self._calls.room, self._reserve())
        return round_.turns.why_lacking(entry)

    def _since_ns(self, round_: RoundBook, uuid: str, since: float) -> int:
        """When a hang began, by the clock of the first round that tells it: always the same."""
        known = self._hangs.get(uuid)
        if known is None or known[0] != since:
            known = since, round_.time_ns + int((since - round_.made) * 1e9)
            self._hangs[uuid] = known
        return known[1]

    # --- what the user hears

    def _log(self, level: str, text: str) -> None:
        self._actions.append(Log(level, f"{self._settings.uri}: {text}"))

    def _why_not_listed(self, round_: RoundBook) -> str:
        return (
            f"{self._settings.uri}: the hypervisor did not answer within "
            f"{round(round_.query.deadline_s, 2):g} s: is libvirtd hung, or the host overloaded?"
        )

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

    def _tell_turns(self, round_: RoundBook, now: float) -> None:
        """Tell who began to hang and who is back: a line each, or one for many."""
        turns = self.roster.take_turns()
        for turn in turns:
            responsive = turn.event is not Event.HUNG
            reason = "it has ended" if turn.event is Event.ENDED else turn.reason
            since_ns = self._since_ns(round_, turn.uuid, turn.since)
            if responsive:
                self._hangs.pop(turn.uuid, None)
            self._changes.append(Change(turn.uuid, turn.name, responsive, since_ns, reason))
        for event, level, verb in _TOLD:
            told = [turn for turn in turns if turn.event is event]
            if len(told) > NAMED:
                names = first_of([turn.name for turn in told], NAMED)
                self._log(level, f"{len(told)} domains {verb[1]}: {names}")
                continue
            for turn in told:
                about = turn.reason if event is Event.HUNG else f"after {now - turn.since:.0f} s"
                self._log(level, f"domain {turn.name} {verb[0]}: {about}")

    def _tell_storage(self, round_: RoundBook) -> None:
        """Tell of storage that does not answer, and of storage that may not be probed."""
        still_silent = {*self._hints.silent(), *self.roster.confirmed}
        for level, text in (
            *self._of_storage.of_silent(self._silent_in(round_), still_silent),
            *self._of_storage.of_blind(self._hints.blind()),
        ):
            self._log(level, text)

    def _silent_in(self, round_: RoundBook) -> set[str]:
        """The storages that do not answer, by their watch or by the domains that hang on them."""
        return round_.silent.union(self.roster.confirmed)


_ON_EVENT: dict[Meaning, Callable[[Engine, str, float], None]] = {
    Meaning.ENDED: Engine._ended,
    Meaning.CHANGED: Engine.domain_changed,
    Meaning.MOVING: Engine._moving,
    Meaning.HANDED_OVER: Engine._handed_over,
    Meaning.SETTLED: Engine._settled,
}

#: What stands for a group in the fast lane.
_FAST_FACTS = {"cpu_total": frozenset({"cpu"})}

_NO_LABELS = FrozenDict()

_TOLD = (
    (Event.HUNG, "warning", ("does not answer", "do not answer")),
    (Event.BACK, "info", ("answers again", "answer again")),
    (Event.ENDED, "info", ("did not answer and has ended", "did not answer and have ended")),
)


def counts(domains: Sequence[DomainSample]) -> dict[str, int]:
    """How many domains there are, and of each status: fields of model.Round."""
    found = [domain.status for domain in domains]
    return {"domains": len(domains), **{status.value: found.count(status) for status in Status}}


def _facts(by_group: Mapping[str, frozenset[str]], groups: frozenset[str]) -> frozenset[str]:
    """The facts that stand for those of the groups that have some."""
    return frozenset().union(*(by_group[group] for group in groups.intersection(by_group)))


def _folders(paths: Iterable[str]) -> list[str]:
    """The folders of files, once each: they stand for storage that cannot be looked at."""
    return sorted({path.rpartition("/")[0] for path in paths if path.startswith("/")})
