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
from math import ceil
from typing import (
    Callable,
    NamedTuple,
    Optional,
    Union,
)

import msgspec

from .model import (
    MONITOR_FREE_GROUPS,
    NO_DEVICES,
    Change,
    Devices,
    DomainSample,
    Round,
    Sample,
    Stats,
    Status,
)
from .pace import LEAST_S, Pace
from .roster import Cause, Event, Roster, Standing, Turn
from .rounds import BLOCK, Call, Entry, Kind, Query, RoundBook, device_names, shows_monitor

#: Seconds without news for which a round waits to learn where disks lie, and for their storage to
#: answer, before it asks for everything else.
GRACE_S = 0.15
#: A monitor that somebody else's command keeps busy for so many seconds counts as hanging.
OCCUPIED_S = 2.0
#: A look at all processes serves for so many seconds.
LOOK_FOR_S = 0.02
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
#: Seconds between attempts to connect to a hypervisor that is not local, at most.
MOST_DELAY_S = 60.0
#: Domains named in one log line.
NAMED = 3

#: What controlInfo says: whether the monitor is occupied, and for how many seconds.
Controls = dict[str, tuple[bool, float]]

#: What a domain's XML says: uuid, paths of its disks, names of remote storages, devices.
Description = tuple[str, Sequence[str], Sequence[str], Devices]


class ListDomains(NamedTuple):
    """An action: list the domains, for a query."""

    query: int


class AskControl(NamedTuple):
    """An action: ask the state of these domains' monitors."""

    uuids: tuple[str, ...]


class Answer(NamedTuple):
    """An action: a query is complete."""

    query: int
    sample: Sample


class Log(NamedTuple):
    """An action: tell the user. ``level`` is error, warning or info."""

    level: str
    text: str


#: A call is an action too: to be made.
Action = Union[Call, ListDomains, AskControl, Answer, Log]


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

    def is_placed(self, uuid: str) -> bool:
        """Whether it is known where the domain's disks lie."""
        return True

    def withheld(self) -> frozenset[str]:
        """Domains with disks on storage that has not answered in this round."""
        return frozenset()

    def silent(self) -> tuple[str, ...]:
        """The storage that has not."""
        return ()

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        """A domain's disks lie there."""

    def retain(self, uuids: Collection[str]) -> None:
        """Forget all other domains."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What of the settings the engine needs; ``settings`` says what each means.

    :param wants_xml: whether anybody needs what the domains' XML says.
    :param reconnect_delay_s: seconds before a second attempt to connect; doubled from then on.
    """

    uri: str
    lanes: int = 4
    chunk_size: int = 16
    stuck_budget: int = 6
    soft_deadline: Optional[float] = None
    quarantine_groups: frozenset[str] = MONITOR_FREE_GROUPS
    occupancy_watch: bool = True
    wants_xml: bool = True
    reconnect_delay_s: float = 0.0
    wants_domain: Callable[[str], bool] = lambda name: True


class Engine:
    """All rounds of one hypervisor. Its methods are events; ``take_actions`` says what to do."""

    def __init__(self, settings: EngineSettings, hints: Optional[Hints] = None) -> None:
        self.roster = Roster()
        self.pace = Pace()
        self._settings = settings
        self._hints = hints or Hints()
        self._actions: list[Action] = []
        self._rounds: dict[int, RoundBook] = {}
        self._calls: dict[int, Call] = {}
        self._call_ids = 0
        self._listing: deque[int] = deque()
        #: Calls that wait for the answer of controlInfo; None while nothing is asked.
        self._judging: Optional[tuple[int, ...]] = None
        self._can_control = True
        #: Whether the driver has monitors that can be busy (QEMU's has).
        self._has_monitors = True
        self._chunk_limit = settings.chunk_size
        self._looked_at = float("-inf")
        self._to_describe: deque[str] = deque()
        self._wanted_xml: set[str] = set()
        self._devices: dict[str, Devices] = {}
        self._device_names: dict[str, dict[str, tuple[object, ...]]] = {}
        self._node_cpus = 0
        self._trouble = ""
        self._silent: set[str] = set()
        self._connect_at = 0.0
        self._delay_s = 0.0
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
        for call in failed._calls.values():
            if call.id not in unbegun:
                call.over, call.culprit, call.suspect = True, None, None
                self._calls[call.id] = call
        self._call_ids = failed._call_ids
        self._errors = failed._errors + 1
        self._late_results, self._reconnects = failed._late_results, failed._reconnects
        self._connect_at, self._delay_s = failed._connect_at, failed._delay_s
        self._trouble, self._silent = failed._trouble, failed._silent
        self._can_control, self._chunk_limit = failed._can_control, failed._chunk_limit

    def due(self) -> Optional[float]:
        """When ``pump`` is to be called even though nothing happens; None if never."""
        times = [round_.deadline for round_ in self._rounds.values()]
        times += [self._patient_until(round_) for round_ in self._rounds.values() if round_.held]
        times += [round_.half for round_ in self._rounds.values() if self._needs_sparing(round_)]
        if self._judging is None:
            times += [call.check_at for call in self._monitor_calls() if not call.late]
        return min(times, default=None)

    # --- events

    def query(self, query: Query, now: float, time_ns: int) -> None:
        """A query comes in; ``time_ns`` becomes its sample's timestamp."""
        round_ = RoundBook(query, now, time_ns)
        self._rounds[query.id] = round_
        if now < self._connect_at:
            self._finish(round_, now, self._trouble)
            return
        if self._trouble and self._listing:
            # It has been hanging for a round at least: no need to make the agent wait as long.
            round_.deadline = min(round_.deadline, now + HUNG_S)
        self._hints.begin(now)
        self._listing.append(query.id)
        if len(self._listing) == 1:
            self._actions.append(ListDomains(query.id))
        self._watch_the_stuck(now)

    def listed(
        self,
        domains: Sequence[tuple[str, str, bool]],
        now: float,
        *,
        node_cpus: int,
        reconnects: int,
        has_monitors: bool,
    ) -> None:
        """The list of domains has come: uuid, name and whether it is active of each."""
        round_ = self._next_listing()
        self._node_cpus, self._reconnects = node_cpus, reconnects
        self._has_monitors = has_monitors
        self._delay_s = self._connect_at = 0.0
        if self._trouble and round_ is not None:  # else it has answered, and too late again
            self._log("info", "the hypervisor answers again")
            self._trouble = ""
        wanted = [domain for domain in domains if self._settings.wants_domain(domain[1])]
        self._notice_starts(wanted)
        self.roster.listed(wanted)
        self._retain({uuid for uuid, _, _ in wanted})
        if round_ is not None:
            self._open(round_, wanted, now)
        self.pump(now)

    def list_failed(self, error: str, now: float) -> None:
        """The hypervisor cannot be asked at all."""
        round_ = self._next_listing()
        self._errors += 1
        self._delay_s = min(self._delay_s * 2 or self._settings.reconnect_delay_s, MOST_DELAY_S)
        self._connect_at = now + self._delay_s
        if round_ is not None:
            self._finish(round_, now, error)
        self.pump(now)

    def answered(
        self, call_id: int, records: Sequence[tuple[str, str, Stats]], now: float
    ) -> None:
        """A call has answered: uuid, name and statistics of each domain; others have ended."""
        call = self._calls.pop(call_id)
        if call.kind is Kind.MONITOR:
            self._learn_from(call, records, now)
        round_ = self._returned(call, now)
        if round_ is not None:
            ended = set(call.uuids)
            for uuid, name, stats in records:
                if uuid not in ended:
                    continue  # nobody asked for it, or it has answered already
                ended.discard(uuid)
                entry = round_.entries[uuid]
                if call.stuck and not entry.missing:
                    continue  # another call for it was quicker, and is newer
                entry.name = name
                if call.kind is Kind.FREE:
                    entry.take_partial(stats, call.groups)
                elif self._is_complete(entry.active, stats, call.groups):
                    entry.take(stats, call.groups)
                else:
                    entry.take_partial(stats, call.groups)
                    round_.retry.append(uuid)
            for uuid in ended:
                round_.entries[uuid].gone = True
        self.pump(now)

    def call_failed(self, call_id: int, failure: str, error: str, now: float) -> None:
        """A call has failed. ``failure`` is "lost", "too large", "gone" or "failed"."""
        call = self._calls.pop(call_id)
        self._errors += failure != "gone"
        if failure == "too large":
            self._chunk_limit = max(1, min(self._chunk_limit, len(call.uuids) // 2))
        round_ = self._returned(call, now)
        if round_ is not None and not call.stuck:
            ask_again = self._ask_again if call.kind is Kind.MONITOR else self._ask_free_again
            ask_again(round_, call, failure, error)
        self.pump(now)

    def described(self, call_id: int, descriptions: Iterable[Description], now: float) -> None:
        """The XML of domains has been read; those that are left out could not be."""
        self._returned(self._calls.pop(call_id), now)
        known = []
        for uuid, paths, remote, devices in descriptions:
            if uuid in self.roster.members:
                known.append(uuid)
                self._devices[uuid] = devices
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
            round_.news.update(round_.held, round_.owed)
            round_.news_at = now
        self.pump(now)

    def controls(self, controls: Controls, now: float) -> None:
        """What controlInfo said; domains of which nothing could be learnt are left out."""
        judging, self._judging = self._judging or (), None
        for call_id in judging:
            call = self._calls.get(call_id)
            if call is not None:
                self._judge(call, controls, now)
        for uuid in self.roster.quarantined(Cause.OCCUPANCY):
            if uuid in controls and not controls[uuid][0]:
                self.roster.release(uuid)
        for round_ in self._rounds.values():
            if round_.awaits_control:
                round_.awaits_control = False
                self._retry_partial(round_, controls, now)
        self.pump(now)

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
                self._finish(round_, now, "" if round_.listed else self._why_not_listed(round_))
                leaves_calls = leaves_calls or bool(round_.out)
        return leaves_calls

    # --- a round begins

    def _open(
        self, round_: RoundBook, domains: Sequence[tuple[str, str, bool]], now: float
    ) -> None:
        query = round_.query
        for uuid, name, active in domains:
            if query.domains is None or uuid in query.domains or name in query.domains:
                round_.entries[uuid] = Entry(uuid, name, active, query.groups)
        round_.listed = True
        round_.news_at = now
        round_.chunk_size = max(1, ceil(len(round_.entries) / (2 * self._settings.lanes)))
        self._heed_processes(now)
        self.roster.send_canaries(round_.entries)
        withheld = self._hints.withheld()
        for uuid in self.roster.by_answer(round_.entries):
            if not self._may_be_asked(uuid):
                round_.free.append(uuid)
            elif BLOCK in query.groups and self._must_wait(uuid, withheld):
                round_.held[uuid] = None
            else:
                self._queue(round_, uuid, query.groups)

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

    def _must_wait(self, uuid: str, withheld: frozenset[str]) -> bool:
        """Whether a domain must not be asked for its disks yet."""
        return self._hints.guards_storage and (
            uuid in withheld or not self._hints.is_placed(uuid)
        )

    def _may_be_asked(self, uuid: str) -> bool:
        member = self.roster.members.get(uuid)
        return member is not None and member.standing is not Standing.QUARANTINED

    def _queue(self, round_: RoundBook, uuid: str, groups: frozenset[str]) -> None:
        """A domain is to be asked: in a chunk with others, or alone if it is in question."""
        if BLOCK in groups and self.roster.is_suspected(uuid):
            groups -= {BLOCK}
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

    @property
    def _is_safe_mode(self) -> bool:
        """Whether the budget is spent: no monitor is asked until a stuck call is back."""
        return self._late_calls() >= self._settings.stuck_budget

    def _needs_sparing(self, round_: RoundBook) -> bool:
        """Whether domains wait for a turn that may not come, with nothing sampled of them."""
        return round_.has_ready and not round_.is_spared

    def _patient_until(self, round_: RoundBook) -> float:
        """Until when domains wait for news of their storage."""
        return min(round_.news_at + GRACE_S, round_.half)

    def _release_held(self, round_: RoundBook, now: float) -> None:
        """Let go the domains whose storage has answered; all of them when no more news come.

        Those that go without their disks are asked for them later in the round, if their storage
        answers meanwhile.
        """
        is_patient = now < self._patient_until(round_)
        news, round_.news = round_.news, set()
        if not news and (is_patient or not round_.held):
            return
        withheld = self._hints.withheld()
        for uuid in [uuid for uuid in round_.owed if uuid in news]:
            if not self._must_wait(uuid, withheld):
                del round_.owed[uuid]
                if self._may_be_asked(uuid):
                    self._queue(round_, uuid, frozenset({BLOCK}))
        for uuid in [uuid for uuid in round_.held if uuid in news or not is_patient]:
            waits = self._must_wait(uuid, withheld)
            if waits and is_patient:
                continue
            del round_.held[uuid]
            if waits:
                round_.silent.update(self._hints.silent())
                round_.owed[uuid] = None
                self._queue(round_, uuid, round_.query.groups - {BLOCK})
            else:
                self._queue(round_, uuid, round_.query.groups)

    # --- calls are handed out

    def _monitor_calls(self) -> list[Call]:
        return [call for call in self._calls.values() if call.kind is Kind.MONITOR]

    def _late_calls(self) -> int:
        return sum(call.late for call in self._monitor_calls())

    def _hand_out_turn_by_turn(self, now: float) -> None:
        """Make the calls that can be made; no round takes all lanes while others wait."""
        made = [True]
        while any(made):
            made = [self._hand_out(round_, now) for round_ in self._rounds.values()]

    def _hand_out(self, round_: RoundBook, now: float) -> bool:
        """Make one monitor call of a round, if there is one to make and room for it."""
        calls = self._monitor_calls()
        room = self._settings.stuck_budget - len(calls)
        if len(calls) - self._late_calls() >= self._settings.lanes or room <= 0:
            return False
        self._sort_for_alert(round_)
        for groups in sorted(round_.ready, key=len, reverse=True):  # who can get all comes first
            waiting = round_.ready[groups]
            while waiting:
                size = min(round_.chunk_size, self._chunk_limit, len(waiting))
                chunk = [waiting.popleft() for _ in range(size)]
                if self._call(round_, self._askable(round_, chunk, now), groups, now):
                    return True
        while round_.has_singles and room > self._reserve():
            uuid, groups = round_.pop_single()
            if self.roster.is_suspected(uuid):
                groups -= {BLOCK}
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
        ready, round_.ready = round_.ready, {}
        for groups, waiting in ready.items():
            for uuid in waiting:
                self._queue(round_, uuid, groups)

    def _askable(self, round_: RoundBook, uuids: Sequence[str], now: float) -> list[str]:
        """Those of the domains that may be asked this moment; the others go without monitor."""
        if now - self._looked_at > LOOK_FOR_S:
            self._quarantine_processes(self._hints.relook(uuids, now), now)
        askable = []
        for uuid in uuids:
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
        soft = self._settings.soft_deadline
        if soft is None:
            soft = self.pace.soft_deadline(len(uuids), round_.query.deadline_s / 4)
        call.check_at = now + soft
        round_.calls += 1
        return True

    def _hand_out_free(self, now: float) -> None:
        calls = [call for call in self._calls.values() if call.kind is Kind.FREE]
        if len(calls) >= MOST_FREE_CALLS or not all(call.over for call in calls):
            return
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
                groups = round_.query.groups & self._settings.quarantine_groups
                self._make(Kind.FREE, tuple(chunk), groups, now, round_)
                return

    def _hand_out_describe(self, now: float) -> None:
        calls = [call for call in self._calls.values() if call.kind is Kind.DESCRIBE]
        if len(calls) >= MOST_DESCRIBE_CALLS or any(
            now - call.made < DESCRIBE_PATIENCE_S for call in calls
        ):
            return
        batch: list[str] = []
        while self._to_describe and len(batch) < DESCRIBE_CHUNK:
            uuid = self._to_describe.popleft()
            if uuid in self.roster.members:
                batch.append(uuid)
            else:
                self._wanted_xml.discard(uuid)
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
        self._call_ids += 1
        query = 0 if round_ is None else round_.query.id
        call = Call(self._call_ids, kind, tuple(uuids), groups, now, query)
        self._calls[call.id] = call
        if round_ is not None:
            round_.out.add(call.id)
        self._actions.append(call)
        return call

    # --- calls come back

    def _returned(self, call: Call, now: float) -> Optional[RoundBook]:
        """Account for a call that is back.

        :returns: its round, if it is in time for it.
        """
        if call.kind is Kind.DESCRIBE:
            self._wanted_xml.difference_update(call.uuids)
            return None
        if call.kind is Kind.MONITOR:
            culprit = self.roster.call_returned(call.id)
            if culprit is not None:
                self.roster.release(culprit)
        round_ = self._rounds.get(call.query)
        if call.over or round_ is None:
            self._late_results += 1
            return None
        round_.out.discard(call.id)
        return round_

    def _learn_from(
        self, call: Call, records: Sequence[tuple[str, str, Stats]], now: float
    ) -> None:
        """What an answer tells, late or not, of who answers and how long that takes."""
        if not call.stuck:
            self.pace.learn(now - call.made, len(call.uuids))
        answered = call.made if call.late else now  # a late one came after a wait for another
        for uuid, _, stats in records:
            member = self.roster.members.get(uuid)
            if member is None:
                continue
            self._notice_devices(uuid, stats)
            if call.late and member.standing is not Standing.RESPONSIVE:
                continue  # it has to answer in time once
            if self._is_complete(member.active, stats, call.groups):
                with_block = BLOCK in call.groups and member.active
                self.roster.answered(uuid, call.made, answered, with_block)

    def _is_complete(self, active: bool, stats: Stats, groups: frozenset[str]) -> bool:
        return not (active and self._has_monitors) or shows_monitor(stats, groups)

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
        withheld = self._hints.withheld()
        for uuid in round_.retry:
            occupied, busy_s = controls.get(uuid, (False, 0.0))
            if not self._may_be_asked(uuid):
                continue
            if occupied and busy_s >= OCCUPIED_S and self._settings.occupancy_watch:
                reason = f"its monitor is busy with another client's command for {busy_s:.0f} s"
                self.roster.quarantine(uuid, now, Cause.OCCUPANCY, reason)
                continue
            groups = round_.entries[uuid].missing
            if self._must_wait(uuid, withheld):
                groups -= {BLOCK}
            self._queue(round_, uuid, groups)
        round_.retry = []

    # --- calls that do not come back

    def _check_overdue(self, now: float) -> None:
        waiting = [call for call in self._monitor_calls() if not call.late]
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
        late = [call for call in self._monitor_calls() if call.late]
        for call in late:
            if not call.stuck:
                self._suspect(call, now)
        uuids = set(self.roster.quarantined(Cause.OCCUPANCY))
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
        self.roster.call_stuck(call.id, call.made, culprit)
        if culprit is not None:
            self.roster.quarantine(culprit, now, Cause.CALL, "its monitor does not answer")

    def _give_up(self, call: Call, culprit: Optional[str], now: float) -> None:
        """A call is stuck: leave it alone, and ask its other domains in the same round."""
        self._blame(call, culprit, now)
        round_ = self._rounds[call.query]
        round_.out.discard(call.id)
        for uuid in call.uuids:
            if self._may_be_asked(uuid):
                self._queue(round_, uuid, call.groups)
            else:
                round_.free.append(uuid)

    # --- XML

    def _retain(self, known: set[str]) -> None:
        """Forget domains that are no more, and have the XML of new ones read."""
        if not self._settings.wants_xml:
            return
        self._hints.retain(known)
        for kept in (self._devices, self._device_names):
            for uuid in kept.keys() - known:
                del kept[uuid]
        for uuid in known:
            if uuid not in self._devices:
                self._want_xml(uuid)

    def _want_xml(self, uuid: str) -> None:
        if uuid not in self._wanted_xml:
            self._wanted_xml.add(uuid)
            self._to_describe.append(uuid)

    def _notice_devices(self, uuid: str, stats: Stats) -> None:
        """Have the XML read again when devices were plugged in or out, or disks moved."""
        if not self._settings.wants_xml:
            return
        known = self._device_names.setdefault(uuid, {})
        for word, names in device_names(stats).items():
            if known.setdefault(word, names) != names:
                known[word] = names
                self._want_xml(uuid)

    def _notice_starts(self, domains: Sequence[tuple[str, str, bool]]) -> None:
        """Have the XML read again of domains that were started or stopped: it may be another."""
        for uuid, _, active in domains:
            member = self.roster.members.get(uuid)
            if member is not None and member.active != active and self._settings.wants_xml:
                self._want_xml(uuid)

    # --- a round ends

    def _is_quiet(self, round_: RoundBook) -> bool:
        """Whether nothing of a round is under way or can be handed out, but for retries."""
        if not round_.listed or round_.out or round_.held or round_.awaits_control:
            return False
        room = self._settings.stuck_budget - self._late_calls()
        if (round_.has_ready and room > 0) or (round_.has_singles and room > self._reserve()):
            return False
        free_calls = sum(call.kind is Kind.FREE for call in self._calls.values())
        return not round_.free or free_calls >= MOST_FREE_CALLS

    def _is_done(self, round_: RoundBook) -> bool:
        return self._is_quiet(round_) and (round_.retried or not round_.retry)

    def _finish(self, round_: RoundBook, now: float, error: str = "") -> None:
        del self._rounds[round_.query.id]
        if round_.query.id in self._listing and round_.query.id != self._listing[0]:
            self._listing.remove(round_.query.id)
        for call_id in round_.out:
            call = self._calls[call_id]
            call.over = True
            self._suspect(call, now)
        if error and not self._trouble:
            self._actions.append(Log("error", error))
        self._trouble = error or self._trouble
        self._tell_turns(round_, now)
        self._tell_storage(round_)
        domains = tuple(self._domain_sample(round_, entry) for entry in round_.entries.values())
        changes, self._changes = tuple(self._changes), []
        report = self._report(round_, domains, now, error)
        uri = self._settings.uri
        sample = Sample(uri, round_.time_ns, domains, report, self._node_cpus, changes)
        self._actions.append(Answer(round_.query.id, sample))

    def _report(
        self, round_: RoundBook, domains: Sequence[DomainSample], now: float, error: str
    ) -> Round:
        counts = dict.fromkeys(Status, 0)
        for domain in domains:
            counts[domain.status] += 1
        return Round(
            duration_s=now - round_.made,
            lanes=self._settings.lanes,
            calls=round_.calls,
            domains=len(domains),
            fresh=counts[Status.FRESH],
            partial=counts[Status.PARTIAL],
            unresponsive=counts[Status.UNRESPONSIVE],
            gone=counts[Status.GONE],
            stuck_calls=self._late_calls(),
            late_results=self._late_results,
            errors=self._errors,
            reconnects=self._reconnects,
            connected=not error,
            error=error,
        )

    def _domain_sample(self, round_: RoundBook, entry: Entry) -> DomainSample:
        sample = DomainSample(
            uuid=entry.uuid,
            name=entry.name,
            status=Status.FRESH,
            stats=entry.stats,
            active=entry.active,
            devices=self._devices.get(entry.uuid, NO_DEVICES),
        )
        member = self.roster.members.get(entry.uuid)
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

    def _why_partial(self, round_: RoundBook, entry: Entry) -> str:
        if entry.failure:
            return entry.failure
        if entry.missing == {BLOCK} and entry.uuid in round_.owed:
            if entry.uuid in self._hints.withheld():
                return f"storage does not answer: {', '.join(sorted(round_.silent))}"
            return "it is not known yet where its disks lie"
        if entry.missing == {BLOCK} and self.roster.is_suspected(entry.uuid):
            return "other domains hang on its storage"
        if self.roster.alert_since is not None:
            return "too many calls are stuck to ask its monitor"
        if not entry.got:
            return "no answer before the deadline"
        return "its monitor is busy"

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
                self._log(level, f"{len(told)} domains {verb[1]}: {_names(told)}")
                continue
            for turn in told:
                about = turn.reason if event is Event.HUNG else f"after {now - turn.since:.0f} s"
                self._log(level, f"domain {turn.name} {verb[0]}: {about}")

    def _tell_storage(self, round_: RoundBook) -> None:
        """Tell of storage for which domains went without their disks, and when it is back."""
        for mount in sorted(round_.silent - self._silent):
            text = f"storage {mount} does not answer: domains are not asked for disks on it"
            self._log("warning", text)
        self._silent |= round_.silent
        back = self._silent.difference(self._hints.silent())
        for mount in sorted(back):
            self._log("info", f"storage {mount} answers again")
        self._silent -= back


_TOLD = (
    (Event.HUNG, "warning", ("does not answer", "do not answer")),
    (Event.BACK, "info", ("answers again", "answer again")),
    (Event.ENDED, "info", ("did not answer and has ended", "did not answer and have ended")),
)


def _folders(paths: Iterable[str]) -> list[str]:
    """The folders of files, once each: they stand for storage that cannot be looked at."""
    return sorted({path.rpartition("/")[0] for path in paths if path.startswith("/")})


def _names(turns: Sequence[Turn]) -> str:
    named = ", ".join(turn.name for turn in turns[:NAMED])
    return f"{named} and {len(turns) - NAMED} more"
