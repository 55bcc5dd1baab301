"""Asynchronous queries: callbacks, finish and asyncio, on a connection that blocks as told."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import domstats
import pytest
from domstats import (
    AsyncHypervisor,
    ConfigError,
    DomainsUnresponsiveError,
    Hypervisor,
    HypervisorError,
    NoSuchDomainError,
    QueryCancelledError,
    Status,
    library,
)
from domstats.sampling import engine_thread, workers

from tests.unit.fake_hypervisor import LONG_S, Connection, threads
from tests.unit.fake_hypervisor import Hypervisor as Host
from tests.unit.rows import each_row

URI = "test://far/default"


class Answers:
    """A callback that keeps what it was called with."""

    def __init__(self):
        self.got: list[tuple] = []
        self.threads: set[str] = set()
        self._called = threading.Semaphore(0)

    def __call__(self, *arguments):
        self.got.append(arguments)
        self.threads.add(threading.current_thread().name)
        self._called.release()

    def wait(self, calls=1):
        for _ in range(calls):
            assert self._called.acquire(timeout=LONG_S)
        return self.got


@pytest.fixture
def hypervisor(monkeypatch):
    made = Host()
    monkeypatch.setattr(engine_thread, "_DEREGISTER_S", 0.01)
    monkeypatch.setattr(workers, "Connection", type("Fake", (Connection,), {"hypervisor": made}))
    yield made
    made.heal()


@pytest.fixture
def log():
    return []


def trouble(log, level, text):
    """Keep a line, unless it is the one that begins the sampling of a hypervisor."""
    if " samples " not in text:
        log.append((level, text))


@pytest.fixture
def asked(hypervisor, log):
    with Hypervisor(URI, log=lambda *line: trouble(log, *line), soft_deadline=0.1) as made:
        yield made


def in_loop(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, LONG_S))


# --- the three ways


def test_a_callback_gets_the_sample_and_the_callers_object_once(asked):
    answers, opaque = Answers(), object()
    asked.query(answers, opaque)
    ((sample, error, given),) = answers.wait()
    assert error is None
    assert given is opaque
    assert len(sample.domains) == 8
    asked.close()
    assert len(answers.got) == 1


def test_a_callback_gets_an_error_if_there_is_no_sample(asked, hypervisor):
    hypervisor.list_errors = [HypervisorError("no daemon")]
    answers = Answers()
    asked.query(answers)
    ((sample, error, _),) = answers.wait()
    assert sample is None
    assert isinstance(error, HypervisorError)
    assert "no daemon" in str(error)


def test_finish_gives_the_sample_once(asked):
    answers = Answers()
    query = asked.begin(answers, "mine")
    ((source, result, opaque),) = answers.wait()
    assert (source, result, opaque) == (asked, query, "mine")
    assert len(asked.finish(result).domains) == 8
    with pytest.raises(RuntimeError):
        asked.finish(result)


def test_finish_raises_the_error_once(asked):
    answers = Answers()
    query = asked.begin(answers, domains=["nobody"])
    answers.wait()
    with pytest.raises(NoSuchDomainError, match="nobody"):
        asked.finish(query)
    with pytest.raises(RuntimeError):
        asked.finish(query)


def test_finish_before_the_query_is_ready_is_refused_and_takes_nothing(asked, hypervisor):
    hypervisor.list_gate.clear()
    answers = Answers()
    query = asked.begin(answers)
    assert not query.done
    with pytest.raises(RuntimeError):
        asked.finish(query)
    hypervisor.list_gate.set()
    answers.wait()
    assert asked.finish(query).domains


def test_sample_waits_and_raises(asked):
    assert len(asked.sample(domains=["u1", "name of u2"]).domains) == 2
    with pytest.raises(NoSuchDomainError):
        asked.sample(domains=["nobody"])


def test_asyncio_gets_samples_and_errors(hypervisor):
    async def run():
        async with AsyncHypervisor(URI) as asked:
            sample, *others = await asyncio.gather(
                asked.sample(), *(asked.sample(domains=[f"u{n % 8}"]) for n in range(100))
            )
            assert len(sample.domains) == 8
            assert [other.domains[0].uuid for other in others] == [f"u{n % 8}" for n in range(100)]
            with pytest.raises(NoSuchDomainError):
                await asked.sample(domains=["nobody"])

    in_loop(run())


# --- what is asked


def test_chosen_domains_and_groups_are_what_a_sample_has_in_the_order_of_the_list(asked):
    sample = asked.sample(domains=["u5", "name of u2", "u0", "nobody"], groups=["cpu_total"])
    assert [domain.uuid for domain in sample.domains] == ["u0", "u2", "u5"]
    assert sample.round.domains == sample.round.fresh == 3


def test_no_domain_makes_a_sample_without_domains(asked):
    assert asked.sample(domains=[]).domains == ()


@each_row(
    "wrong",
    [
        {"groups": []},
        {"groups": ["cpu"]},
        {"groups": "state"},
        {"domains": "u1"},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": float("inf")},
        {"deadline": float("nan")},
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(asked, wrong):
    with pytest.raises(ConfigError):
        asked.query(Answers(), **wrong)
    with pytest.raises(ConfigError):
        AsyncHypervisor(URI).samples(1.0, **wrong)


@each_row("option", ["interval", "statistics_groups", "deadline", "no_such"])
def test_options_that_queries_say_are_none_of_a_hypervisors(option):
    wrong: dict[str, Any] = {option: 1}
    with pytest.raises(ConfigError, match=option):
        Hypervisor(URI, **wrong)


def test_a_domain_that_has_nothing_to_tell_of_a_group_is_no_error(asked, hypervisor, monkeypatch):
    monkeypatch.setattr(
        Connection, "stats", lambda self, uuids, groups: [(uuid, {}) for uuid in uuids]
    )
    (domain,) = asked.sample(domains=["u1"], groups=["perf"]).domains
    assert domain.status is Status.FRESH
    assert domain.stats == {}


def test_where_vcpus_run_is_told_to_those_who_ask_for_vcpus(hypervisor):
    with Hypervisor(URI, additional_statistics=["vcpu_mapping"]) as asked:
        for groups, told in ((["vcpu", "state"], True), (["state"], False), (["block"], False)):
            (domain,) = asked.sample(domains=["u1"], groups=groups).domains
            assert ("vcpu.0.affinity" in domain.stats) is told


# --- domains that hang


def test_a_hung_domain_delays_only_those_who_ask_for_it(asked, hypervisor):
    hypervisor.hang("u3")
    hung = Answers()
    asked.query(hung, domains=["u3"], deadline=3)
    hypervisor.wait_until_stuck()
    for number in (0, 1, 2, 4):
        assert asked.sample(domains=[f"u{number}"]).round.fresh == 1
    ((sample, error, _),) = hung.wait()
    assert sample is None
    assert isinstance(error, DomainsUnresponsiveError)
    assert "name of u3 does not answer" in str(error)
    assert error.sample.domains[0].uuid == "u3"


def test_a_hung_domain_beside_one_that_answers_is_told_by_its_status(asked, hypervisor):
    hypervisor.hang("u3")
    sample = asked.sample(domains=["u3", "u4"], deadline=2)
    assert {domain.uuid: domain.status for domain in sample.domains} == {
        "u3": Status.UNRESPONSIVE,
        "u4": Status.FRESH,
    }


def test_a_query_for_chosen_domains_does_not_swallow_changes(asked, hypervisor):
    hypervisor.hang("u3")
    with pytest.raises(DomainsUnresponsiveError) as caught:
        asked.sample(domains=["u3"], deadline=2)
    assert caught.value.sample.changes == ()
    assert [change.uuid for change in asked.sample(deadline=5).changes] == ["u3"]
    assert asked.sample(deadline=5).changes == ()


def test_a_hypervisor_that_does_not_answer_ends_each_query_at_its_own_deadline(asked, hypervisor):
    hypervisor.list_gate.clear()
    answers = Answers()
    for number in range(20):
        asked.query(answers, number, deadline=0.02 if number % 2 else LONG_S)
    got = list(answers.wait(10))
    assert {number % 2 for _, _, number in got} == {1}
    assert all(isinstance(error, HypervisorError) for _, error, _ in got)
    hypervisor.heal()
    answers.wait(10)
    assert all(error is None for _, error, number in answers.got if number % 2 == 0)


def test_what_a_caller_holds_is_not_changed_by_what_comes_later(asked, hypervisor):
    hypervisor.hang("u3")
    with pytest.raises(DomainsUnresponsiveError) as caught:
        asked.sample(domains=["u3"], deadline=0.1)
    before = dict(caught.value.sample.domains[0].stats)
    hypervisor.heal()
    asked.sample()
    assert caught.value.sample.domains[0].stats == before


# --- callbacks


def test_callbacks_run_one_after_another_on_one_thread(asked):
    answers, at_once, most = Answers(), [0], [0]

    def callback(*arguments):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.001)
        at_once[0] -= 1
        answers(*arguments)

    for number in range(10):
        asked.query(callback, domains=[f"u{number % 8}"])
        asked.begin(callback, groups=["state"])
    answers.wait(20)
    assert answers.threads == {"domstats-callbacks"}
    assert most == [1]


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1), KeyboardInterrupt()])
def test_a_callback_that_raises_is_logged_and_harms_nobody(asked, log, error):
    called = threading.Event()

    def fail(*arguments):
        called.set()
        raise error

    answers = Answers()
    asked.query(fail)
    assert called.wait(10)
    asked.query(answers)
    answers.wait()
    assert [level for level, _ in log] == ["error"]
    assert "callback failed" in log[0][1]
    assert "test_library.py" in log[0][1]


def test_python_logging_is_told_if_nobody_else_is(hypervisor, caplog):
    def fail(*_):
        raise ZeroDivisionError

    answers = Answers()
    with Hypervisor(URI) as asked:
        asked.query(fail)
        asked.query(answers)
        answers.wait()
    assert "ZeroDivisionError" in caplog.text


def test_a_callback_may_ask_wait_and_cancel(asked):
    answers = Answers()

    def callback(sample, error, opaque):
        asked.query(Answers(), deadline=5).cancel()
        asked.sample(domains=["u1"])
        asked.query(answers)

    asked.query(callback)
    answers.wait()


# --- cancelling and closing


def test_a_cancelled_query_calls_back_once_with_an_error_that_says_so(asked, hypervisor):
    hypervisor.hang("u3")
    answers = Answers()
    query = asked.query(answers, domains=["u3"])
    hypervisor.wait_until_stuck()
    query.cancel()
    query.cancel()
    ((sample, error, _),) = answers.wait()
    assert sample is None
    assert isinstance(error, QueryCancelledError)
    assert query.done
    hypervisor.heal()
    assert asked.sample().domains
    assert len(answers.got) == 1
    assert not asked._open
    assert not asked._sampler._carrier.open


def test_cancelling_what_is_answered_changes_nothing(asked):
    answers = Answers()
    query = asked.query(answers)
    answers.wait()
    query.cancel()
    asked.close()
    assert len(answers.got) == 1


def test_cancelling_races_with_the_answer_and_one_of_them_wins(asked):
    answers = Answers()
    for _ in range(100):
        asked.query(answers, domains=["u1"], groups=["state"]).cancel()
    assert all((sample is None) != (error is None) for sample, error, _ in answers.wait(100))
    asked.close()
    assert len(answers.got) == 100


def test_closing_ends_all_queries_also_those_whose_calls_are_stuck(asked, hypervisor):
    hypervisor.hang(*hypervisor.domains)
    answers = Answers()
    for number in range(100):
        asked.query(answers, domains=[f"u{number % 8}"])
    hypervisor.wait_until_stuck()
    asked.close()
    assert hypervisor.busy_since  # it has not waited for these
    assert len(answers.got) == 100  # they were due, and close has waited for them
    assert sum(error is None for _, error, _ in answers.got) == 0
    with pytest.raises(QueryCancelledError):
        asked.query(answers)
    with pytest.raises(QueryCancelledError):
        asked.sample()
    asked.close()


def test_closing_ends_a_sample_that_is_waited_for_in_another_thread(asked, hypervisor):
    hypervisor.list_gate.clear()
    raised = []

    def wait():
        try:
            asked.sample()
        except QueryCancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not asked._open:
        time.sleep(0.001)
    asked.close()
    thread.join(LONG_S)
    assert len(raised) == 1


def test_a_callback_may_close(asked):
    answers, closed = Answers(), Answers()

    def close(*arguments):
        asked.close()
        closed()

    asked.query(close)
    asked.query(answers)
    closed.wait()
    answers.wait()
    with pytest.raises(QueryCancelledError):
        asked.query(answers)
    assert len(answers.got) == 1


def test_log_may_close(hypervisor):
    hypervisor.list_errors = [HypervisorError("no daemon")]
    made = Hypervisor(URI, log=lambda level, text: made.close())
    with pytest.raises((HypervisorError, QueryCancelledError)):
        made.sample()
    with pytest.raises(QueryCancelledError):
        made.sample()


def test_a_callback_that_never_ends_does_not_hold_up_closing(asked, monkeypatch):
    monkeypatch.setattr(library, "CLOSE_S", 0.05)
    held, ended = threading.Event(), threading.Event()
    entered = Answers()

    def callback(*arguments):
        entered()
        held.wait(LONG_S)
        ended.set()

    asked.query(callback)
    entered.wait()
    asked.close()
    assert not ended.is_set()
    held.set()


def test_many_threads_query_cancel_and_close_and_each_query_calls_back_once(asked):
    asked_for, called, lock = [], [], threading.Lock()

    def work(number):
        for turn in range(100):
            name = (number, turn)
            try:
                query = asked.query(lambda s, e, opaque: called.append(opaque), name)
            except QueryCancelledError:
                return
            with lock:
                asked_for.append(name)
            if turn % 3 == 0:
                query.cancel()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    asked.close()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(called) == sorted(asked_for)


# --- asyncio


def test_cancelling_a_task_cancels_its_query(hypervisor):
    hypervisor.hang("u3")

    async def run():
        async with AsyncHypervisor(URI) as asked:
            task = asyncio.ensure_future(asked.sample(domains=["u3"]))
            await asyncio.to_thread(hypervisor.wait_until_stuck)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await asked.sample(domains=["u1"])).round.fresh == 1
            carrier = asked._sampler._carrier
            assert carrier is not None
            assert not carrier.open

    in_loop(run())


def test_samples_come_at_an_interval_and_end_cleanly_when_cancelled(hypervisor):
    async def run():
        async with AsyncHypervisor(URI) as asked:
            got = []

            async def follow():
                async for sample in asked.samples(0.01):
                    got.append(sample)

            task = asyncio.ensure_future(follow())
            while len(got) < 3:
                await asyncio.sleep(0.005)
            hypervisor.hang(*hypervisor.domains)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            times = [sample.time_ns for sample in got]
            assert times == sorted(set(times))

    in_loop(run())


def test_samples_go_on_while_the_hypervisor_is_away_and_end_when_it_is_closed(
    hypervisor, monkeypatch
):
    monkeypatch.setattr(engine_thread, "_REMOTE_DELAY_S", 0.02)
    hypervisor.list_errors = [HypervisorError("no daemon")]

    async def run():
        asked = AsyncHypervisor(URI, log=lambda *_: None)
        connected = []
        async for sample in asked.samples(0.01):
            connected.append(sample.round.connected)
            if connected[-1]:
                await asked.aclose()
        assert connected[0] is False
        assert connected[-1] is True

    in_loop(run())


def test_closing_ends_awaited_samples_with_stuck_calls(hypervisor):
    hypervisor.list_gate.clear()

    async def run():
        asked = AsyncHypervisor(URI)
        tasks = [asyncio.ensure_future(asked.sample()) for _ in range(10)]
        await asyncio.sleep(0.01)
        await asked.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {QueryCancelledError}
        with pytest.raises(QueryCancelledError):
            await asked.sample()

    in_loop(run())


def test_a_loop_that_is_closed_meanwhile_harms_nobody(hypervisor):
    hypervisor.list_gate.clear()
    log = []
    asked = AsyncHypervisor(URI, log=lambda *line: trouble(log, *line))

    async def leave():
        task = asyncio.ensure_future(asked.sample())
        await asyncio.sleep(0.01)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(leave())
    loop.close()
    hypervisor.list_gate.set()

    async def again():
        assert (await asked.sample()).round.fresh == 8
        await asked.aclose()

    in_loop(again())
    assert log == []
    task._log_destroy_pending = False


# --- threads


def test_nothing_runs_before_the_first_query_and_nothing_after_closing(hypervisor):
    before = threads()
    asked = Hypervisor(URI)
    assert threads() == before
    answers = Answers()
    asked.query(answers)
    answers.wait()
    asked.close()
    deadline = time.monotonic() + LONG_S
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert threads() <= before
    assert all(connection.closed.is_set() for connection in hypervisor.connections)


def test_equal_queries_share_their_calls(asked, hypervisor):
    asked.sample()
    hypervisor.list_gate.clear()
    calls = hypervisor.calls["stats"]
    answers = Answers()
    for _ in range(200):
        asked.query(answers, domains=["u1", "u2"])
    hypervisor.list_gate.set()
    answers.wait(200)
    assert hypervisor.calls["stats"] - calls <= 5 * 2
    assert {error for _, error, _ in answers.got} == {None}


def test_no_sample_is_from_before_its_query(asked):
    answers = Answers()
    for _ in range(50):
        asked.query(answers, time.time_ns(), domains=["u1"])
    assert all(sample.time_ns >= asked_at for sample, _, asked_at in answers.wait(50))


# --- the package


def test_the_public_names_are_there():
    for name in domstats.__all__:
        assert getattr(domstats, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = domstats.no_such_name
