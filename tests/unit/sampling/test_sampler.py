"""The threads that carry the engine's actions out, on a connection that blocks as a test says."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter

import domstats
import pytest
from domstats.config.settings import Settings, is_local, is_remote
from domstats.engine.engine import PART, Engine
from domstats.engine.lessons import Lessons
from domstats.errors import (
    CallError,
    ConnectionLostError,
    DomstatsError,
    HypervisorError,
    UnsupportedError,
)
from domstats.model import Status
from domstats.sampling import engine_thread, workers
from domstats.sampling import sampler as queries
from domstats.sampling.sampler import Sampler
from domstats.sampling.threads import CallThreads
from domstats.sampling.workers import Worker

from tests.unit.fake_hypervisor import LONG_S, Connection, Hypervisor, threads
from tests.unit.rows import each_row


class LoggedSampler(Sampler):
    """A sampler, and what it told."""

    log: list[tuple[str, str]]
    begun: queue.SimpleQueue[tuple[str, str]]


@pytest.fixture
def hypervisor(monkeypatch):
    made = Hypervisor()
    monkeypatch.setattr(engine_thread, "_REMOTE_DELAY_S", 0.0)
    monkeypatch.setattr(engine_thread, "_DEREGISTER_S", 0.01)
    monkeypatch.setattr(workers, "Connection", type("Fake", (Connection,), {"hypervisor": made}))
    yield made
    made.heal()


@pytest.fixture
def new_sampler(hypervisor):
    """Makes samplers that are closed in the end; ``log`` has what they told, and ``begun`` the
    lines with which they began."""
    made = []

    def new(**settings):
        log, begun = [], queue.SimpleQueue()
        chosen = {"deadline": 5.0, "soft_deadline": 0.03, **settings}

        def tell(level, text):
            if " samples " in text:
                begun.put((level, text))
            else:
                log.append((level, text))

        sampler = LoggedSampler(Settings(uri="test:///fake", **chosen), tell)
        sampler.log, sampler.begun = log, begun
        made.append(sampler)
        return sampler

    yield new
    hypervisor.heal()
    for sampler in made:
        sampler.close()


def statuses(sample):
    return Counter(domain.status for domain in sample.domains)


# --- threads


def test_no_thread_exists_before_the_first_query(new_sampler):
    before = threads()
    sampler = new_sampler()
    assert threads() <= before
    sampler.sample()
    assert threads() - before


def test_a_round_gives_every_domain_and_a_host_with_nothing_wrong_few_threads(new_sampler):
    before = threads()
    sample = new_sampler().sample()
    assert statuses(sample) == {Status.FRESH: 8}
    assert sample.node_cpus == 4
    assert len(threads() - before) <= 4 + 3  # lanes, engine, control, XML


def test_all_threads_are_daemons_so_that_no_process_waits_for_a_stuck_call(new_sampler, hypervisor):
    hypervisor.hang("u1")
    new_sampler().sample()
    assert all(thread.daemon for thread in threads())


def test_threads_are_bounded_whatever_hangs_and_used_again_after_stuck_calls_return(
    new_sampler, hypervisor
):
    before = threads()
    sampler = new_sampler(chunk_size=1)
    most = 6 + 4  # budget, engine, control, without monitor, XML
    for _ in range(3):
        hypervisor.hang(*hypervisor.domains)
        for _ in range(2):
            sampler.sample(deadline=0.5)
            assert len(threads() - before) <= most
        hypervisor.heal()
        while sampler.sample().round.stuck_calls:
            pass
    first = threads()
    for _ in range(3):
        sampler.sample()
    assert threads() == first


def test_each_thread_has_a_connection_of_its_own(new_sampler, hypervisor):
    sampler = new_sampler()
    hypervisor.hang("u1", "u5")
    for _ in range(3):
        sampler.sample()
    assert all(len(names) <= 1 for names in hypervisor.threads.values())


# --- one of many hypervisors


def test_one_of_many_has_one_connection_for_all_its_calls(new_sampler, hypervisor):
    sampler = new_sampler(one_of_many=True)
    sampler.sample()
    assert "8 domains" in sampler.begun.get(timeout=LONG_S)[1]
    for _ in range(3):
        assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert hypervisor.calls["xml"] == 8
    assert len(hypervisor.connections) == 1


def test_while_a_call_is_stuck_it_has_another_one_and_lets_it_go_later(
    new_sampler, hypervisor, monkeypatch
):
    sampler = new_sampler(one_of_many=True)
    sampler.sample()
    hypervisor.hang("u3")
    for _ in range(3):
        assert statuses(sampler.sample()) == {Status.FRESH: 7, Status.UNRESPONSIVE: 1}
    first, *others = hypervisor.connections
    assert 1 <= len(others) <= 2  # and one for the calls without monitor
    hypervisor.heal()
    while sampler.sample().round.stuck_calls:
        pass
    assert not any(each.closed.is_set() for each in others)
    monkeypatch.setattr(engine_thread, "_SPARE_S", 0.0)
    while not all(each.closed.is_set() for each in others):
        assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert not first.closed.is_set()
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert len(hypervisor.connections) == 1 + len(others)


def test_many_share_one_thread_for_their_engines_and_one_that_hangs_delays_no_other(
    new_sampler, hypervisor
):
    before = threads()
    samplers = [new_sampler(one_of_many=True) for _ in range(20)]
    hypervisor.list_gate.clear()
    stuck = samplers[:2]
    for sampler in stuck:
        assert not sampler.sample(deadline=0.02).round.connected
    hypervisor.list_gate.set()
    callers = [threading.Thread(target=sampler.sample) for sampler in samplers]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG_S)
    made = threads() - before
    assert [thread.name for thread in made].count("domstats-engine") == 1
    stuck[0].close()
    assert statuses(samplers[5].sample()) == {Status.FRESH: 8}
    for sampler in samplers:
        sampler.close()
    for thread in made:
        thread.join(LONG_S)
        assert not thread.is_alive()


def test_engines_that_look_at_files_of_this_host_have_a_thread_of_their_own(hypervisor):
    before = threads()
    made = [
        Sampler(Settings(uri="qemu:///system", one_of_many=True, deadline=5.0)) for _ in range(2)
    ]
    for sampler in made:
        sampler.sample()
    names = [thread.name for thread in threads() - before]
    for sampler in made:
        sampler.close()
    assert names.count("domstats-engine") == 2


# --- samples


def test_domains_are_taken_in_the_callers_thread_while_the_round_goes_on(new_sampler, hypervisor):
    hypervisor.domains = [f"u{number}" for number in range(3 * PART)]
    sampler, taken = new_sampler(soft_deadline=LONG_S), []

    def take(part):
        assert threading.current_thread() is threading.main_thread()
        taken.extend(domain.uuid for domain in part.domains)
        hypervisor.heal()

    hypervisor.hang("u6")
    sample = sampler.sample(take=take)
    assert len(taken) == len(set(taken)) >= PART
    assert {domain.uuid for domain in sample.domains if not domain.stats} == set(taken)
    assert statuses(sample) == {Status.FRESH: 3 * PART}


def test_a_taker_that_fails_ends_its_round_and_no_other(new_sampler, hypervisor):
    hypervisor.domains = [f"u{number}" for number in range(2 * PART)]
    sampler = new_sampler()
    with pytest.raises(ZeroDivisionError):
        sampler.sample(take=lambda part: 1 / 0)
    assert statuses(sampler.sample()) == {Status.FRESH: 2 * PART}


def test_the_fast_lane_gets_on_while_a_whole_round_is_stuck(new_sampler, hypervisor):
    sampler = new_sampler(soft_deadline=3.0)
    hypervisor.hang("u3")
    whole = threading.Thread(target=sampler.sample, daemon=True)
    whole.start()
    hypervisor.wait_until_stuck()
    sample = sampler.sample_fast(2.0)
    assert statuses(sample) == {Status.FRESH: 8}
    assert sample.groups == {"state", "interface", "perf", "memory", "cpu_total"}
    hypervisor.heal()
    whole.join()


@pytest.mark.parametrize("hung", [False, True])
def test_groups_that_classic_calls_tell_are_not_asked_in_bulk(new_sampler, hypervisor, hung):
    groups = frozenset({"state", "cpu_total", "block"})
    sampler = new_sampler(groups=groups, by_classic_calls={"cpu_total": frozenset({"info"})})
    if hung:
        hypervisor.hang("u3")
    sample = sampler.sample()
    assert hypervisor.groups == {frozenset({"state", "block"})}
    assert {domain.stats["cpu.time"] for domain in sample.domains} == {77}
    assert sample.domains[3].missing == (frozenset({"block"}) if hung else frozenset())


def test_one_hung_domain_costs_nobody_else_a_sample(new_sampler, hypervisor):
    sampler = new_sampler()
    hypervisor.hang("u3")
    for _ in range(3):
        sample = sampler.sample()
        assert statuses(sample) == {Status.FRESH: 7, Status.UNRESPONSIVE: 1}
        assert sample.domains[3].stats == {"state.state": 1, "cpu.time": 77}  # by a call of its own
    assert [text for _, text in sampler.log] == [
        "test:///fake: domain name of u3 does not answer: a call to its monitor is stuck; until it"
        " does, it is sampled without its monitor"
    ]


def test_the_answer_of_a_call_that_was_stuck_is_dropped_and_counted(new_sampler, hypervisor):
    sampler = new_sampler()
    hypervisor.hang("u3")
    sampler.sample()
    hypervisor.heal()
    sample = sampler.sample()
    while sample.round.stuck_calls:
        sample = sampler.sample()
    assert sample.round.late_results == 1
    assert statuses(sampler.sample()) == {Status.FRESH: 8}


def test_a_sample_carries_the_time_of_before_its_first_call(new_sampler, hypervisor):
    before = time.time_ns()
    hypervisor.list_gate.clear()
    sampler = new_sampler()
    threading.Timer(0.01, hypervisor.list_gate.set).start()
    sample = sampler.sample()
    assert before <= sample.time_ns < time.time_ns() - 9_000_000


def test_some_domains_can_be_sampled_by_name(new_sampler):
    sample = new_sampler().sample(domains=["name of u2"])
    assert [domain.uuid for domain in sample.domains] == ["u2"]


def test_where_vcpus_may_run_is_added_if_it_is_wanted(new_sampler):
    sample = new_sampler(vcpu_mapping=True).sample()
    assert sample.domains[0].stats["vcpu.0.affinity"] == "0,1"


def test_many_callers_at_once_each_get_their_sample(new_sampler):
    sampler = new_sampler()
    samples = []
    callers = [threading.Thread(target=lambda: samples.append(sampler.sample())) for _ in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG_S)
    assert [statuses(sample)[Status.FRESH] for sample in samples] == [8] * 10


def test_a_callback_gets_its_sample_once(new_sampler):
    done, samples = threading.Event(), []

    def callback(sample):
        samples.append(sample)
        done.set()

    sampler = new_sampler()
    sampler.ask(callback)
    assert done.wait(LONG_S)
    sampler.sample()
    assert len(samples) == 1


# --- nothing is raised, and nothing outlives its deadline


def test_a_list_that_never_comes_ends_the_sample_at_its_deadline(new_sampler, hypervisor):
    hypervisor.list_gate.clear()
    began = time.monotonic()
    sample = new_sampler().sample(deadline=0.02)
    assert time.monotonic() - began >= 0.02
    assert not sample.round.connected
    assert "did not answer within 0.02 s" in sample.round.error


def test_a_sample_under_way_ends_when_it_is_shortened(new_sampler, hypervisor):
    hypervisor.list_gate.clear()
    sampler = new_sampler()
    sampler.shorten(0.02)  # nothing is under way
    ended = threading.Event()

    def tick():
        while not ended.wait(0.01):
            sampler.shorten(0.02)

    ticks = threading.Thread(target=tick)
    ticks.start()
    sample = sampler.sample(deadline=LONG_S)
    ended.set()
    ticks.join()
    assert sample.round.duration_s < LONG_S
    assert "did not answer within" in sample.round.error


def test_the_deadline_is_nine_tenths_of_the_interval_unless_it_is_set(new_sampler, hypervisor):
    hypervisor.list_gate.clear()
    sample = new_sampler(deadline=None, interval=0.1).sample()
    assert "did not answer within 0.09 s" in sample.round.error


def test_a_sample_comes_in_time_even_if_somebodys_callback_never_ends(new_sampler, monkeypatch):
    monkeypatch.setattr(queries, "_MARGIN_S", 0.01)
    gate, entered = threading.Event(), threading.Event()

    def callback(sample):
        entered.set()
        gate.wait(LONG_S)

    sampler = new_sampler()
    sampler.ask(callback)
    assert entered.wait(LONG_S)
    sample = sampler.sample(deadline=0.01)
    gate.set()
    assert not sample.round.connected
    assert "gave no answer within 0.01 s" in sample.round.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HypervisorError("test:///fake: no daemon"), "test:///fake: no daemon"),
        (ValueError("what?"), "test:///fake: unexpected: ValueError('what?')"),
    ],
)
def test_a_hypervisor_that_cannot_be_asked_is_a_sample_that_says_why(
    new_sampler, hypervisor, error, told
):
    hypervisor.list_errors = [error] * 4
    sampler = new_sampler()
    samples = [sampler.sample(), sampler.sample()]
    assert [sample.round.error for sample in samples] == [told, told]
    assert sampler.log == [("error", told)]
    hypervisor.list_errors = []
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert sampler.log[1:] == [("info", "test:///fake: the hypervisor answers again")]


def test_the_first_round_is_followed_by_one_line_of_who_samples_what(new_sampler, hypervisor):
    sampler = new_sampler()
    sampler.sample()
    level, text = sampler.begun.get(timeout=LONG_S)
    assert level == "info"
    assert text.startswith(f"test:///fake: domstats {domstats.__version__} samples QEMU 7.2.22")
    assert "8 domains" in text
    for _ in range(3):
        sampler.sample()
    assert hypervisor.calls["version"] == 1
    assert sampler.begun.empty()


def test_a_hypervisor_that_thinks_long_of_its_version_delays_no_round(new_sampler, hypervisor):
    hypervisor.version_gate.clear()
    sampler = new_sampler()
    for _ in range(5):
        assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert hypervisor.calls["version"] == 1
    hypervisor.version_gate.set()
    assert "QEMU 7.2.22" in sampler.begun.get(timeout=LONG_S)[1]


def test_a_hypervisor_that_does_not_tell_its_version_is_sampled_all_the_same(
    new_sampler, hypervisor
):
    hypervisor.version = UnsupportedError("test:///fake: no such call")
    sampler = new_sampler()
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert "does not tell its version, 8 domains" in sampler.begun.get(timeout=LONG_S)[1]
    assert sampler.log == []


def test_a_connection_that_was_lost_between_two_rounds_costs_no_round(new_sampler, hypervisor):
    sampler = new_sampler()
    sampler.sample()
    hypervisor.list_errors = [ConnectionLostError("the connection is lost")] * 2
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert sampler.log == []


@pytest.mark.parametrize("error", [CallError("broken"), ValueError("broken")])
def test_whatever_a_call_raises_for_one_domain_the_others_are_fresh(new_sampler, hypervisor, error):
    hypervisor.errors["u2"] = error
    sample = new_sampler().sample()
    assert statuses(sample) == {Status.FRESH: 7, Status.PARTIAL: 1}
    assert "broken" in sample.domains[2].reason


@pytest.mark.parametrize("error", [UnsupportedError("no"), CallError("no"), ValueError("no")])
def test_without_controlinfo_a_hung_domain_still_costs_nobody_else_a_sample(
    new_sampler, hypervisor, error
):
    hypervisor.control_error = error
    hypervisor.hang("u3")
    sampler = new_sampler(chunk_size=1, deadline=0.05)
    # Nobody says who it is that hangs: a round goes on to its deadline.
    assert 7 in (statuses(sampler.sample())[Status.FRESH] for _ in range(200))


def test_a_callback_that_raises_harms_nobody_and_is_told(new_sampler):
    sampler = new_sampler()
    called = threading.Event()

    def callback(sample):
        called.set()
        raise ZeroDivisionError("oh")

    sampler.ask(callback)
    assert called.wait(10)
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    text = "a callback failed, and the others go on: ZeroDivisionError('oh')"
    assert sampler.log == [("error", text)]


def test_a_log_that_raises_harms_nobody(hypervisor):
    def log(level, text):
        raise OSError("disk full")

    hypervisor.list_errors = [HypervisorError("away")]
    with Sampler(Settings(uri="test:///fake", deadline=5.0), log) as sampler:
        assert not sampler.sample().round.connected
        assert statuses(sampler.sample()) == {Status.FRESH: 8}


def test_a_machine_without_room_for_threads_gives_samples_that_say_so(new_sampler, monkeypatch):
    run = CallThreads.run

    def refuse(threads, job):
        if isinstance(job.__self__, Worker):
            raise RuntimeError("can't start new thread")
        run(threads, job)

    sampler = new_sampler()
    with monkeypatch.context() as patch:
        patch.setattr(CallThreads, "run", refuse)
        sample = sampler.sample()
    assert statuses(sample) == {Status.PARTIAL: 8}
    assert "can't start new thread" in sample.domains[0].reason
    assert statuses(sampler.sample()) == {Status.FRESH: 8}


# --- a fault of the engine itself


class Faulty:
    """Makes a method of the engine, or of an object of its, fail as often as a test says."""

    def __init__(self, monkeypatch, event, owner=Engine):
        self.times = 0
        method = getattr(owner, event)

        def failing(engine, *arguments, **options):
            if self.times:
                self.times -= 1
                raise KeyError("a bug of ours")
            return method(engine, *arguments, **options)

        monkeypatch.setattr(owner, event, failing)


@pytest.mark.parametrize(
    ("owner", "event"),
    [
        (Engine, "query"),
        (Engine, "listed"),
        (Lessons, "learn_from"),
        (Engine, "_finish"),
        (Engine, "due"),
    ],
)
def test_a_fault_of_the_engine_is_a_sample_that_says_so_one_line_and_a_fresh_engine(
    new_sampler, monkeypatch, owner, event
):
    faulty = Faulty(monkeypatch, event, owner)
    sampler = new_sampler()
    assert statuses(sampler.sample()) == {Status.FRESH: 8}
    for _ in range(3):
        faulty.times = 1
        sample = sampler.sample()
        if event != "due":  # it may fail after the answer
            assert "a fault in domstats" in sample.round.error
            assert not sample.round.connected
        faulty.times = 0
        while sampler.sample().round.stuck_calls:
            pass  # calls of the round that failed are not back yet
        assert statuses(sampler.sample()) == {Status.FRESH: 8}
    assert len(sampler.log) == 1
    assert "please report it: KeyError('a bug of ours')" in sampler.log[0][1]


def test_a_fault_does_not_let_stuck_calls_exceed_the_budget(new_sampler, hypervisor, monkeypatch):
    faulty = Faulty(monkeypatch, "listed")
    sampler = new_sampler(chunk_size=1)
    hypervisor.hang(*hypervisor.domains)
    sampler.sample(deadline=0.3)
    stuck = len(hypervisor.busy_since)
    for _ in range(5):
        faulty.times = 1
        sampler.sample(deadline=0.3)
        sample = sampler.sample(deadline=0.3)
        assert len(hypervisor.busy_since) <= 6
        assert sample.round.stuck_calls >= stuck
    hypervisor.heal()
    while sampler.sample().round.stuck_calls:
        pass
    assert statuses(sampler.sample()) == {Status.FRESH: 8}


# --- closing


def test_closing_with_stuck_calls_is_prompt(new_sampler, hypervisor):
    sampler = new_sampler()
    hypervisor.hang("u1", "u2")
    sampler.sample(deadline=0.5)
    sampler.close()
    assert hypervisor.busy_since.keys() == {"u1", "u2"}  # it has waited for neither


def test_closing_ends_the_idle_threads_and_the_stuck_ones_when_their_calls_return(
    new_sampler, hypervisor
):
    before = threads()
    sampler = new_sampler()
    hypervisor.hang("u1")
    sampler.sample()
    sampler.close()
    hypervisor.heal()
    for thread in threads() - before:
        thread.join(LONG_S)
    assert threads() <= before
    assert all(made.closed.wait(LONG_S) for made in hypervisor.connections)


def test_who_waits_for_a_sample_is_told_at_once_when_the_sampler_is_closed(new_sampler, hypervisor):
    hypervisor.list_gate.clear()
    sampler = new_sampler()
    done, samples = threading.Event(), []

    def callback(sample):
        samples.append(sample)
        done.set()

    sampler.ask(callback)
    sampler.close()
    assert done.wait(LONG_S)
    assert samples[0].round.error == "test:///fake: the sampler was closed"
    assert not samples[0].round.connected


def test_a_closed_sampler_takes_no_queries_and_can_be_closed_again(new_sampler):
    sampler = new_sampler()
    sampler.close()
    sampler.close()
    with pytest.raises(DomstatsError, match="closed"):
        sampler.sample()


def test_nobody_is_asked_anything_after_the_close(new_sampler, hypervisor):
    sampler = new_sampler()
    hypervisor.hang("u1")
    sampler.sample(deadline=0.5)
    sampler.begun.get(timeout=LONG_S)  # the version, which is asked for after the round, has come
    before = threads()
    sampler.close()
    calls = dict(hypervisor.calls)
    hypervisor.heal()
    for thread in before:
        if thread.name.startswith("domstats-lane"):
            thread.join(LONG_S)
    assert hypervisor.calls == calls


# --- which hypervisor is here


@each_row(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu+unix:///system?socket=/run/x", True),
        ("qemu+ssh://root@host/system", False),
        ("qemu+tcp://127.0.0.1/system", False),
        ("qemu://host/system", False),
        ("test:///default", False),
    ],
)
def test_a_hypervisor_of_this_host_is_known_by_its_uri(uri, local):
    assert is_local(uri) is local


@each_row(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/run/s", False),
        ("test:///default", False),
        ("qemu+ssh://root@node7/system", True),
        ("qemu://node7/system", True),
        ("qemu+ext:///system", True),
    ],
)
def test_a_hypervisor_that_is_asked_over_a_network_is_known_by_its_uri(uri, remote):
    assert is_remote(uri) is remote


class FaultyLook:
    """A look beside the rounds that fails, each time in the same way."""

    def begin(self):
        raise ValueError("no")

    def add_to(self, sample):
        raise ValueError("no")

    def close(self):
        pass


def test_a_look_beside_the_rounds_that_fails_costs_no_round_its_sample(new_sampler, monkeypatch):
    monkeypatch.setattr(queries, "beside_of", lambda settings, log: (FaultyLook(),))
    sampler = new_sampler()
    for _ in range(2):
        assert sampler.sample().round.fresh == len(sampler.sample().domains) > 0
    [(level, text)] = sampler.log
    assert level == "error"
    assert text.endswith("a look beside the rounds failed, please report it: ValueError('no')")
