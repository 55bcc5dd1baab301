"""A hypervisor in virtual time: it carries out the engine's actions, and nothing of it is real.

What libvirtd and QEMU do is modelled as CLASSIC measured it: costs per domain and group, domains
that hang, storage that hangs and freezes whoever is asked for its disks, NOWAIT answers without
the monitor while a job is held, 20 workers that stuck calls keep. Each value that a domain
answers is the virtual time at which it was asked, in nanoseconds, so that an answer that comes
too late is seen in the sample. What must hold at any moment is asserted here for every test.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import cache, partial
from itertools import count
from typing import Any, Optional

import msgspec
from domstats.domain_xml.disk_counters import COUNTERS
from domstats.drivers import BLOCK
from domstats.engine.actions import (
    Answer,
    AskControl,
    AskVersion,
    Description,
    EngineSettings,
    Hints,
    ListDomains,
    Log,
    Part,
)
from domstats.engine.engine import Engine
from domstats.engine.rounds import Call, Kind, Query
from domstats.hypervisor.connection import CONTROL_JOB, CONTROL_OCCUPIED, Control
from domstats.model import (
    GROUPS,
    MONITOR_FREE_GROUPS,
    NO_STATS,
    Devices,
    DomainSample,
    FrozenDict,
    Sample,
    Status,
)
from domstats.sampling.occupancy import Occupancy

ALL = frozenset(GROUPS)
EPOCH_NS = 1_700_000_000 * 10**9
#: A larger number in an answer is a time.
_LEAST_TIME_NS = EPOCH_NS // 2
INTERVAL_S = 10.0
DEADLINE_S = 9.0

#: Seconds that a call is on its way to the server.
WAY_S = 0.0001

#: Seconds of one domain's answer by group, measured.
COST_S = {
    "state": 0.00005,
    "interface": 0.0001,
    "perf": 0.00003,
    "memory": 0.00003,
    "iothread": 0.0008,
    "dirtyrate": 0.001,
    "vm": 0.0012,
    "cpu_total": 0.002,
    "balloon": 0.0024,
    "vcpu": 0.0025,
    "block": 0.0032,
    COUNTERS: 0.002,
}

#: A domain's keys by group: with the monitor's help, and without.
_WITHOUT: dict[str, tuple[str, ...]] = {
    "state": ("state.state",),
    "interface": ("net.0.rx.bytes",),
    "memory": ("memory.bandwidth.monitor.count",),
    "perf": ("perf.cmt",),
    "cpu_total": ("cpu.time",),
    "balloon": ("balloon.current",),
    "vcpu": ("vcpu.0.time",),
    "block": ("block.0.capacity",),
}
_WITH: dict[str, tuple[str, ...]] = {
    "cpu_total": ("cpu.haltpoll.success.time",),
    "balloon": ("balloon.rss",),
    "vcpu": ("vcpu.0.halt_exits.sum",),
    "iothread": ("iothread.count",),
    "dirtyrate": ("dirtyrate.calc_status",),
    "vm": ("vm.remote_tlb_flush.sum",),
    "block": ("block.0.rd.reqs", "block.0.rd.bytes"),
}

#: What only the monitor knows, disks included.
_OF_MONITOR = frozenset({"block.0.capacity"}.union(*_WITH.values()))

#: How a guest counts that it was asked for the sizes of its disks, and what it says.
SIZES = "sizes"
SIZES_TOLD = {"block.0.info.allocation": 7, "block.0.info.physical": 8}

#: What a process of the world yields: seconds to pass, or a queue to wait in until it is woken.
_Wait = Any
_Process = Generator[_Wait, None, None]


class Guest:
    """A domain of the world."""

    def __init__(self, uuid: str, name: str, storage: str) -> None:
        self.uuid = uuid
        self.name = name
        self.storage = storage
        self.active = True
        self.exists = True
        self.hung = False
        self.frozen = False
        #: Until then its host has in its cache what is asked about its disks.
        self.cached_until = float("-inf")
        self.slow = 1.0
        self.failure = ""
        self.size = 1
        self.job_since: Optional[float] = None
        #: A migration or backup goes on: libvirt does not tell since when its monitor is busy.
        self.is_moved = False
        self.nic = "vnet0"
        self.waiting: deque[_Process] = deque()
        #: What its XML says beside how often it was read.
        self.labels: dict[str, str] = {}
        #: What it answers under some keys, where that is not the time.
        self.says: dict[str, int] = {}
        #: How often its monitor was asked, by group.
        self.asked: Counter[str] = Counter()


class Silence(Hints):
    """The watches' part, told by a test what they see."""

    def __init__(self, world: World, guards_storage: bool, sees_processes: bool) -> None:
        self.world = world
        self.guards_storage = guards_storage
        self.sees_processes = sees_processes
        self.placed: dict[str, tuple[str, ...]] = {}
        self.answered: set[str] = set()
        self.found_blind: set[str] = set()
        self.lie_on: Mapping[str, frozenset[str]] = {}
        self.looks = self.questions = 0

    def begin(self, now: float) -> None:
        if self.guards_storage:
            self.answered = set()
            self._probe({path for paths in self.placed.values() for path in paths})

    def _probe(self, storages: Iterable[str]) -> None:
        for storage in storages:
            if storage not in self.answered and self._returns(storage):
                self.world.after(0.001, partial(self._back, storage))

    def _returns(self, storage: str) -> bool:
        return storage not in self.world.silent or storage in self.world.blind_to

    def _back(self, storage: str) -> None:
        if self._returns(storage) and storage not in self.answered:
            self.answered.add(storage)
            self.found_blind |= {storage} & self.world.blind_to
            self.world.engine.storage_news(self.world.now)

    def rss_kib(self, uuid: str) -> Optional[int]:
        return self.world.epoch_ns if self.sees_processes else None

    def look(self, uuids: Iterable[str], now: float) -> dict[str, str]:
        self.looks += 1
        return self.relook(uuids, now)

    def relook(self, uuids: Iterable[str], now: float) -> dict[str, str]:
        guests = self.world.guests
        if not self.sees_processes:
            return {}
        return {uuid: "stopped" for uuid in uuids if uuid in guests and guests[uuid].hung}

    def unplaced(self, uuids: Iterable[str]) -> set[str]:
        uuids = list(uuids)
        self.questions += len(uuids)
        return {uuid for uuid in uuids if self.guards_storage and uuid not in self.placed}

    def withheld(self) -> frozenset[str]:
        if not self.guards_storage:
            return frozenset()
        return frozenset(
            uuid for uuid, paths in self.placed.items() if not self.answered.issuperset(paths)
        )

    def silent(self) -> tuple[str, ...]:
        if not self.guards_storage:
            return ()
        every = {path for paths in self.placed.values() for path in paths}
        return tuple(sorted(every - self.answered))

    def blind(self) -> tuple[str, ...]:
        return tuple(sorted(self.found_blind))

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        lie_on = {
            uuid: self.found_blind.intersection(paths)
            for uuid, paths in self.placed.items()
            if not self.found_blind.isdisjoint(paths)
        }
        if lie_on != self.lie_on:
            self.lie_on = {uuid: frozenset(storages) for uuid, storages in lie_on.items()}
        return self.lie_on

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        self.placed[uuid] = tuple(paths)
        self._probe(self.placed[uuid])

    def retain(self, uuids: Iterable[str]) -> None:
        kept = set(uuids)
        self.placed = {uuid: paths for uuid, paths in self.placed.items() if uuid in kept}


class World:
    """One hypervisor with its engine.

    :param domains: how many there are; ``vm0``, ``vm1``, …, their uuids are ``u0``, ``u1``, ….
    :param storage: where the disks of the n-th lie: a local path, or ``rbd:…`` for a remote one.
    :param watches: any of "storage", "process".
    :param blind_to: storage that the storage watch may not probe.
    :param in_parts: whether queries ask for domains as soon as they are complete.
    :param settings: the engine's.
    """

    def __init__(
        self,
        domains: int,
        *,
        storage: Callable[[int], str] = lambda n: f"/own/{n}/disk",
        watches: Iterable[str] = (),
        blind_to: Iterable[str] = (),
        has_control: bool = True,
        workers: int = 20,
        largest: int = 10**9,
        in_parts: bool = False,
        **settings: Any,
    ) -> None:
        self.now = 100.0
        self.guests: dict[str, Guest] = {}
        self.silent: set[str] = set()
        self.blind_to = set(blind_to)
        self.storage_of = storage
        self.has_control = has_control
        self._occupancy = Occupancy()
        self.has_monitors = True
        self.largest = largest
        self.in_parts = in_parts
        self.list_takes: Optional[float] = 0.002
        self.list_error = ""
        self.control_takes: Optional[float] = 0.001
        self.free_takes = 0.0004
        self.free_fails: dict[str, str] = {}
        self.describe_takes: Optional[float] = 0.0005
        self.describe_fails: set[str] = set()
        self.reconnects = 0
        #: What the hypervisor says that it is; None if it says nothing.
        self.version: Optional[str] = None
        self.samples: dict[int, Sample] = {}
        #: By query: each part that was handed out, and when.
        self.parts: dict[int, list[tuple[float, Sample]]] = defaultdict(list)
        self.answered_at: dict[int, float] = {}
        self.log: list[tuple[str, str]] = []
        self.calls_made: list[Call] = []
        self.out: dict[int, Call] = {}
        self.most_held = 0
        self.described: Counter[str] = Counter()
        self.events = self.wakeups = 0
        self._free_workers = workers
        self._workers_wanted: deque[_Process] = deque()
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._queries = count(1)
        self._open: dict[int, Query] = {}
        self._asked_at: dict[int, float] = {}
        watched = set(watches)
        self._carriers = {
            Kind.MONITOR: self._ask_monitor,
            Kind.FREE: self._ask_free,
            Kind.DESCRIBE: self._describe,
        }
        self.hints = Silence(self, "storage" in watched, "process" in watched)
        settings = {"groups": ALL, "idle_refresh": 0.0, **settings}
        self.settings = EngineSettings(uri="world:///", **settings)
        self.engine = Engine(self.settings, self.hints)
        for _ in range(domains):
            self.add()

    # --- what happens to the domains

    def add(self, name: str = "") -> Guest:
        number = len(self.guests)
        guest = Guest(f"u{number}", name or f"vm{number}", self.storage_of(number))
        self.guests[guest.uuid] = guest
        return guest

    def guest(self, number: int) -> Guest:
        return self.guests[f"u{number}"]

    def hang(self, *numbers: int) -> None:
        for number in numbers:
            self.guest(number).hung = True

    def heal(self, *numbers: int) -> None:
        for number in numbers:
            guest = self.guest(number)
            guest.hung = False
            self._wake(guest.waiting)

    def silence(self, storage: str) -> None:
        """The storage stops to answer; whoever is asked for a disk there freezes."""
        self.silent.add(storage)

    def unsilence(self, storage: str) -> None:
        self.silent.discard(storage)
        for guest in self.guests.values():
            if guest.frozen and guest.storage == storage:
                guest.frozen = False
                self._wake(guest.waiting)
        if self.hints.guards_storage:
            self.after(0.01, lambda: self.hints._back(storage))

    def destroy(self, *numbers: int) -> None:
        for number in numbers:
            guest = self.guest(number)
            guest.exists = guest.hung = guest.frozen = False
            self._wake(guest.waiting)

    def start_again(self, number: int) -> Guest:
        """A domain that was destroyed runs again, under the same uuid, in a new process."""
        old = self.guest(number)
        new = Guest(old.uuid, old.name, old.storage)
        self.guests[old.uuid] = new
        return new

    def occupy(self, number: int, seconds: float) -> None:
        """Somebody else's command keeps the domain's monitor busy."""
        guest = self.guest(number)
        guest.job_since = self.now

        def end() -> None:
            guest.job_since = None
            self._wake(guest.waiting)

        self.after(seconds, end)

    def lose_connections(self) -> None:
        """All calls under way fail, and the server forgets them."""
        for call in list(self.out.values()):
            self._fail(call, "lost", "the connection is lost")

    # --- asking

    def query(
        self,
        deadline: float = DEADLINE_S,
        domains: Optional[Iterable[str]] = None,
        groups: frozenset[str] = ALL,
        fast: bool = False,
    ) -> int:
        wanted = None if domains is None else frozenset(domains)
        query = Query(
            next(self._queries),
            deadline,
            groups,
            wanted,
            in_parts=self.in_parts,
            paced=wanted is None and not fast,
            fast=fast,
        )
        self._open[query.id] = query
        self._asked_at[query.id] = self.now
        self.engine.query(query, self.now, self.epoch_ns)
        self._carry_out()
        return query.id

    def round(self, **query: Any) -> Sample:
        """One interval: a query at its beginning, and all that happens until its end."""
        until = self.now + INTERVAL_S
        asked = self.query(**query)
        self.run(until)
        return self.samples[asked]

    def rounds(self, number: int) -> list[Sample]:
        return [self.round() for _ in range(number)]

    def answer(self, **query: Any) -> Sample:
        """A query, and time passes only until it is answered."""
        asked = self.query(**query)
        while asked not in self.samples:
            self._step(float("inf"))
        return self.samples[asked]

    def after(self, seconds: float, then: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._order), then))

    def run(self, until: float) -> None:
        while self._step(until):
            pass
        self.now = until

    @property
    def by_classic_calls(self) -> Mapping[str, frozenset[str]]:
        return self.settings.by_classic_calls

    @property
    def epoch_ns(self) -> int:
        return EPOCH_NS + round(self.now * 1e9)

    @property
    def held(self) -> int:
        """Workers of the server that our monitor calls hold."""
        return sum(call.kind is Kind.MONITOR for call in self.out.values())

    # --- time passes

    def _step(self, until: float) -> bool:
        """One event, or one ``pump`` that is due. False if there is none before ``until``."""
        due = self.engine.due()
        at = self._heap[0][0] if self._heap else None
        if due is not None and (at is None or due < at):
            if due > until:
                return False
            self.now = max(self.now, due)
            self.wakeups += 1
            self.engine.pump(self.now)
            self._carry_out()
            after = self.engine.due()
            assert after is None or after > self.now, "pump does nothing at due(): a busy loop"
            return True
        if at is None or at > until:
            return False
        _, _, then = heapq.heappop(self._heap)
        self.now = at
        self.events += 1
        then()
        self._carry_out()
        return True

    def _carry_out(self) -> None:
        calls = False
        for action in self.engine.take_actions():
            if isinstance(action, Call):
                calls = True
                self.calls_made.append(action)
                self.out[action.id] = action
                self._start(self._carriers[action.kind](action))
            elif isinstance(action, ListDomains):
                self._start(self._list())
            elif isinstance(action, AskControl):
                self._start(self._control(action.uuids))
            elif isinstance(action, AskVersion):
                self._start(self._tell_version())
            elif isinstance(action, Answer):
                self._take_answer(action)
            elif isinstance(action, Part):
                assert action.query in self._open, "a part of a round that is over"
                self.parts[action.query].append((self.now, action.sample))
            elif isinstance(action, Log):
                self.log.append((action.level, action.text))
        if calls:
            self._check()

    def _check(self) -> None:
        """What must hold at any moment, and only a new call can break."""
        monitor = [call for call in self.out.values() if call.kind is Kind.MONITOR]
        self.most_held = max(self.most_held, len(monitor))
        assert len(monitor) <= self.settings.stuck_budget, "more calls out than the budget"
        at_work = [call for call in monitor if not call.late]
        assert len(at_work) <= self.settings.lanes, "more lanes at work than there are"

    def _take_answer(self, answer: Answer) -> None:
        query = self._open.pop(answer.query)  # a second answer would raise
        self.answered_at[answer.query] = self.now
        asked_at = self._asked_at[answer.query]
        assert self.now <= asked_at + query.deadline_s + 1e-6, "answered after its deadline"
        assert answer.sample.time_ns == EPOCH_NS + round(asked_at * 1e9)
        parts = [domain for _, part in self.parts[answer.query] for domain in part.domains]
        handed_out = {domain.uuid for domain in parts}
        assert len(handed_out) == len(parts), "handed out twice"
        in_sample = {domain.uuid: domain for domain in answer.sample.domains}
        assert all(in_sample[uuid].stats is NO_STATS for uuid in handed_out), "told twice"
        rest = [domain for uuid, domain in in_sample.items() if uuid not in handed_out]
        is_bulk = answer.sample.groups == ALL and not self.by_classic_calls
        asks_monitors = is_bulk and self.has_monitors
        for domain in (*parts, *rest):
            check_domain(domain, answer.sample.time_ns, asks_monitors)
        whole = tuple({**in_sample, **{domain.uuid: domain for domain in parts}}.values())
        self.samples[answer.query] = msgspec.structs.replace(answer.sample, domains=whole)

    # --- the server

    def _start(self, process: _Process) -> None:
        self.after(WAY_S, lambda: self._resume(process))

    def _resume(self, process: _Process) -> None:
        try:
            wait = next(process)
        except StopIteration:
            return
        if isinstance(wait, float):
            self.after(wait, lambda: self._resume(process))
        else:
            wait.append(process)

    def _wake(self, waiting: deque[_Process]) -> None:
        while waiting:
            process = waiting.popleft()
            self.after(0.0, partial(self._resume, process))

    def _list(self) -> _Process:
        if self.list_takes is None:
            return
        yield self.list_takes
        if self.list_error:
            self.engine.list_failed(self.list_error, self.now)
            return
        domains = [(g.uuid, g.name, g.active) for g in self.guests.values() if g.exists]
        self.engine.listed(
            domains,
            self.now,
            node_cpus=8,
            reconnects=self.reconnects,
            has_monitors=self.has_monitors,
        )

    def _tell_version(self) -> _Process:
        if self.version is not None:
            self.engine.introduced(self.version)
        yield from ()

    def _control(self, uuids: tuple[str, ...]) -> _Process:
        if self.control_takes is None:
            return
        yield self.control_takes
        if not self.has_control:
            self.engine.control_unsupported(self.now)
            return
        controls = {}
        for uuid in uuids:
            guest = self.guests[uuid]
            if not guest.exists:
                continue
            if guest.job_since is None:
                controls[uuid] = Control(0, 0.0)
            elif guest.is_moved:
                controls[uuid] = Control(CONTROL_JOB, self.now)
            else:
                controls[uuid] = Control(CONTROL_OCCUPIED, self.now - guest.job_since)
        self.engine.controls(self._occupancy.of(controls, self.now), self.now)

    def _ask_monitor(self, call: Call) -> _Process:
        while self._free_workers == 0:
            yield self._workers_wanted
        self._free_workers -= 1
        records = []
        for uuid in call.uuids:
            guest = self.guests[uuid]
            if call.id not in self.out:
                break
            if not guest.exists:
                continue
            stats = yield from self._ask_guest(guest, call.groups - {COUNTERS})
            if stats is not None and call.counted:
                stats = yield from self._count_disks(guest, stats, call)
            if uuid in call.sized and stats and "block.0.rd.reqs" in stats:
                assert BLOCK in call.groups, "asked for sizes where nobody may look at the file"
                guest.asked[SIZES] += 1
                stats.update(SIZES_TOLD)
            if stats is not None:
                records.append((uuid, stats))
        self._free_workers += 1
        self._wake(self._workers_wanted)
        if call.id not in self.out:
            return
        failures = [self.guests[u].failure for u in call.uuids if self.guests[u].failure]
        if sum(self.guests[uuid].size for uuid in call.uuids) > self.largest:
            self._fail(call, "too large", "the message is too large")
        elif failures:
            self._fail(call, "failed", failures[0])
        else:
            del self.out[call.id]
            self.engine.answered(call.id, records, self.now)

    def _ask_guest(self, guest: Guest, groups: frozenset[str]) -> Any:
        asked_ns = self.epoch_ns
        by_calls_of_its_own = stats_of(guest, groups.intersection(self.by_classic_calls), asked_ns)
        groups = groups.difference(self.by_classic_calls)
        needs_monitor = not groups <= MONITOR_FREE_GROUPS and guest.active
        has_job = needs_monitor and guest.job_since is None
        if has_job:
            guest.job_since = self.now
            guest.asked.update(groups)
            yield cost_of(groups) * guest.slow
            if BLOCK in groups and guest.storage in self.silent and self.now >= guest.cached_until:
                guest.frozen = True
            while guest.hung or guest.frozen:
                yield guest.waiting
            guest.job_since = None
            if not guest.exists:
                return None
        stats = stats_of(guest, groups, asked_ns)
        if has_job:
            stats.update(values_of(guest, keys_with(groups), asked_ns))
        stats.update(by_calls_of_its_own)
        return stats

    def _count_disks(self, guest: Guest, stats: dict[str, Any], call: Call) -> Any:
        """The counters of its disks, by calls that look at no file."""
        if guest.job_since is not None or not guest.active:
            return stats
        asked_ns, guest.job_since = self.epoch_ns, self.now
        guest.asked[COUNTERS] += 1
        yield COST_S[COUNTERS] * guest.slow
        while guest.hung or guest.frozen:
            yield guest.waiting
        guest.job_since = None
        if not guest.exists:
            return None
        for index, target, path in call.counted[guest.uuid]:
            stats.update({"block.count": 1, f"block.{index}.name": target})
            stats.update({f"block.{index}.path": path} if path else {})
            stats.update({f"block.{index}.{key}": asked_ns for key in ("rd.reqs", "rd.bytes")})
        return stats

    def _ask_free(self, call: Call) -> _Process:
        yield self.free_takes * len(call.uuids)
        if call.id not in self.out:
            return
        failures = [self.free_fails[uuid] for uuid in call.uuids if uuid in self.free_fails]
        if failures:
            self._fail(call, "failed", failures[0])
            return
        del self.out[call.id]
        is_fast = call.query in self._open and self._open[call.query].fast
        assert is_fast or call.groups <= MONITOR_FREE_GROUPS | self.by_classic_calls.keys()
        assert call.bulk <= MONITOR_FREE_GROUPS
        groups = call.groups | {"cpu_total", "vcpu", "balloon"}
        records = [
            (uuid, stats_of(self.guests[uuid], groups, self.epoch_ns))
            for uuid in call.uuids
            if self.guests[uuid].exists
        ]
        self.engine.answered(call.id, records, self.now)

    def _describe(self, call: Call) -> _Process:
        if self.describe_takes is None:
            return
        yield self.describe_takes * len(call.uuids)
        self.described.update(call.uuids)
        if self.out.pop(call.id, None) is None:
            return
        descriptions = []
        for uuid in call.uuids:
            if uuid in self.describe_fails:
                continue
            storage = self.guests[uuid].storage
            local = storage.startswith("/")
            paths, remote = ((storage,), ()) if local else ((), (storage,))
            label = {"described": str(self.described[uuid]), **self.guests[uuid].labels}
            devices = Devices(targets=("vda",), sources=FrozenDict(vda=storage))
            descriptions.append(Description(uuid, paths, remote, devices, label))
        self.engine.described(call.id, descriptions, self.now)

    def _fail(self, call: Call, failure: str, error: str) -> None:
        del self.out[call.id]
        if call.kind is Kind.DESCRIBE:
            self.engine.described(call.id, [], self.now)
        else:
            self.engine.call_failed(call.id, failure, error, self.now)
        self._carry_out()


@cache
def cost_of(groups: frozenset[str]) -> float:
    return sum(COST_S[group] for group in groups)


@cache
def keys_without(groups: frozenset[str]) -> tuple[str, ...]:
    """What a domain answers without its monitor's help."""
    return tuple(key for group in groups for key in _WITHOUT.get(group, ()))


@cache
def keys_with(groups: frozenset[str]) -> tuple[str, ...]:
    """What it answers beyond that with its monitor's help."""
    return tuple(key for group in groups for key in _WITH.get(group, ()))


def values_of(guest: Guest, keys: Iterable[str], asked_ns: int) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(keys, asked_ns)
    values.update((key, value) for key, value in guest.says.items() if key in values)
    return values


def stats_of(guest: Guest, groups: frozenset[str], asked_ns: int) -> dict[str, Any]:
    """A domain's answer as far as it needs no monitor."""
    if not guest.active:
        return values_of(guest, keys_without(groups & {"state"}), asked_ns)
    stats = values_of(guest, keys_without(groups), asked_ns)
    if "interface" in groups:
        stats["net.count"], stats["net.0.name"] = 1, guest.nic
    if BLOCK in groups:
        stats.update({"block.count": 1, "block.0.name": "vda", "block.0.path": guest.storage})
    return stats


def check_domain(domain: DomainSample, time_ns: int, asks_monitors: bool) -> None:
    """What holds for each domain of each sample."""
    assert domain.stats is not NO_STATS, "it is the user's to change"
    for key, value in domain.stats.items():
        if isinstance(value, int) and _LEAST_TIME_NS < value < time_ns:
            raise AssertionError(f"{key} of {domain.name} is older than the sample")
    if domain.status is Status.FRESH:
        assert not domain.missing
        if domain.active and "net.count" in domain.stats and asks_monitors:
            assert is_complete(domain), f"{domain.name} is called fresh, and is not complete"
    elif domain.status is Status.GONE:
        assert not domain.stats
    else:
        assert domain.missing
        assert domain.reason


def is_complete(domain: DomainSample) -> bool:
    """Whether a domain's sample has what only the monitor knows, disks included."""
    return domain.stats.keys() >= _OF_MONITOR


def has_counters(domain: DomainSample) -> bool:
    """Whether a domain's sample has the counters of its disk and not what its file tells."""
    has_sizes = "block.0.capacity" in domain.stats
    named = domain.stats.get("block.count") == 1 and domain.stats.get("block.0.name") == "vda"
    return named and "block.0.rd.bytes" in domain.stats and not has_sizes


def has_free_groups(domain: DomainSample) -> bool:
    """Whether a domain's sample has what a hung domain gives too."""
    keys = ("state.state", "cpu.time", "vcpu.0.time", "net.0.rx.bytes")
    return all(key in domain.stats for key in keys)


def names(sample: Sample, status: Status) -> list[str]:
    return [domain.name for domain in sample.domains if domain.status is status]


def complete(sample: Sample) -> int:
    return sum(is_complete(domain) for domain in sample.domains)
