"""Telegraf's child: ticks in, rounds out, whatever hangs.

The samplers are made up, the pipes are not.
"""

from __future__ import annotations

import fcntl
import functools
import os
import select
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import pytest
from domstats.agents import telegraf_execd
from domstats.agents.adapter import ErrorOnce, RoundDeadline
from domstats.agents.telegraf_execd import PIECE, run
from domstats.config.settings import Settings
from domstats.config.telegraf import from_table
from domstats.model import DomainSample, Round, Sample, Stats, Status
from domstats.output.line_protocol import LineProtocol

from tests.unit.fake_sampler import FakeSampler
from tests.unit.rows import each_row

UUID = "11111111-2222-4333-8444-555555555555"
PATIENCE_S = 60.0


def a_sample(uri: str = "qemu:///system", number: int = 0) -> Sample:
    domain = DomainSample(UUID, "web", Status.FRESH, {"cpu.time": number})
    return Sample(uri, 10**18 + number, (domain,), Round(domains=1, fresh=1))


#: Domains whose lines are several times what a pipe holds.
BIG = 3000


def lines_of(sample: Sample) -> bytes:
    return LineProtocol().encode(sample)


class OneDomain(FakeSampler):
    """Gives samples of one domain, unless a test says otherwise."""

    def samples(self, number: int) -> Sample:
        return a_sample(self.settings.uri, number)


class Child:
    """The child as Telegraf sees it, in a thread of this process."""

    def __init__(
        self,
        *settings: Settings,
        interval: Optional[float] = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.samplers = [OneDomain(each) for each in settings]
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        self._stderr, stderr = os.pipe()
        self._ends = (stdin, stdout, stderr)
        waiting = list(self.samplers)
        self.logs: list[Callable[[str, str], None]] = []
        lock = threading.Lock()

        def make(settings: Settings, log: Callable[[str, str], None]) -> FakeSampler:
            with lock:
                self.logs.append(log)
                found = next(each for each in waiting if each.settings is settings)
                waiting.remove(found)
                return found

        self._thread = threading.Thread(
            target=run, args=(list(settings), *self._ends, interval, make, clock), daemon=True
        )
        self._thread.start()

    @property
    def sampler(self) -> FakeSampler:
        return self.samplers[0]

    def tick(self, count: int = 1) -> None:
        os.write(self._stdin, b"\n" * count)

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = os.read(self._stdout, size - len(found))
            assert part, "the output ended"
            found += part
        return found

    def expect(self, sample: Sample) -> None:
        expected = lines_of(sample)
        assert self.read(len(expected)) == expected

    def expect_first_line(self, sample: Sample) -> None:
        """Of the sample's, and no more is read."""
        expected = lines_of(sample).splitlines(True)[0]
        assert self.read(len(expected)) == expected

    def has_output(self) -> bool:
        return bool(select.select([self._stdout], [], [], 0.05)[0])

    def capacity(self) -> int:
        """How many bytes the pipe from the child holds."""
        f_getpipe_sz = 1032
        return fcntl.fcntl(self._stdout, f_getpipe_sz)

    def stop_reading(self) -> None:
        os.close(self._stdout)
        self._stdout = -1

    def end_of_input(self) -> None:
        os.close(self._stdin)
        self._stdin = -1

    def ended(self) -> None:
        """Wait for the end."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the child does not end"

    def told(self) -> str:
        """What is on stderr by now."""
        os.set_blocking(self._stderr, False)
        try:
            return os.read(self._stderr, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        if self._stdin >= 0:
            self.end_of_input()
        if self._stdout >= 0:
            self.stop_reading()
        for sampler in self.samplers:
            sampler.go.set()
        self._thread.join(PATIENCE_S)
        wait_for_loops()
        for descriptor in (self._stderr, *self._ends):
            if descriptor >= 0:
                os.close(descriptor)


def wait_for_loops() -> None:
    """A process ends with its threads; a test has to wait, for descriptors are used again."""
    for thread in threading.enumerate():
        if thread.name.startswith("domstats "):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@contextmanager
def child(
    *settings: Settings,
    interval: Optional[float] = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Child]:
    it = Child(*(settings or (Settings(),)), interval=interval, clock=clock)
    try:
        yield it
    finally:
        it.close()


# --- Rounds -------------------------------------------------------------------------------------


def test_each_tick_gives_the_lines_of_one_round() -> None:
    with child() as it:
        for number in (1, 2, 3):
            it.tick()
            it.expect(a_sample(number=number))


def test_ticks_that_come_during_a_round_are_answered_by_one() -> None:
    with child(Settings(uri="slow:///x"), Settings(uri="fast:///x")) as it:
        slow, fast = it.samplers
        slow.go.clear()
        for number in range(9):
            it.tick()
            assert fast.began.acquire(timeout=PATIENCE_S)  # it has seen the tick
            if number == 0:
                assert slow.began.acquire(timeout=PATIENCE_S)
        slow.go.set()
        it.end_of_input()
        it.ended()
        assert (slow.rounds, fast.rounds) == (2, 9)


def test_a_round_that_finds_nothing_writes_nothing() -> None:
    with child(Settings(series="telegraf")) as it:
        it.sampler.samples = lambda number: (
            Sample("qemu:///system", 1, (), Round(connected=False, error="no"))
            if number == 1
            else a_sample(number=number)
        )
        it.tick()
        it.sampler.began.acquire()
        it.tick()
        expected = LineProtocol("telegraf").encode(a_sample(number=2))
        assert it.read(len(expected)) == expected


def test_only_the_groups_of_the_settings_are_written() -> None:
    settings = Settings(groups=frozenset({"state"}), series="telegraf")
    written = telegraf_execd.writer(settings).encode(
        Sample(
            "qemu:///system",
            1,
            (DomainSample(UUID, "web", Status.FRESH, {"state.state": 1, "cpu.time": 5}),),
            Round(),
        )
    )
    assert written == b"libvirt_state,domain_name=web state=1i 1\n"


def test_too_many_series_are_a_warning_once_and_are_all_written() -> None:
    with child(Settings(max_series=1)) as it:
        it.sampler.samples = small_sample
        for number in (1, 2):
            it.tick()
            it.expect(small_sample(number))
        it.end_of_input()
        it.ended()
        (line,) = it.told().splitlines()
        assert line.startswith("W! qemu:///system: 2 series, more than max_series (1); all of")
        assert "libvirt_cpu (group cpu_total) 2" in line


def test_devices_fields_and_totals_of_the_settings_reach_both_writers() -> None:
    settings = from_table(
        {"totals": ["block", "interface"], "interface_devices": ["web:vnet0"],
         "fields_exclude": ["rx_errs"], "fast_interval": 1}
    )  # fmt: skip
    whole, fast = telegraf_execd.line_filter(settings), telegraf_execd.line_filter(settings)
    assert whole == fast
    assert set(whole.devices) == {"interface"}
    assert whole.devices["interface"]("web", "vnet0")
    assert not whole.devices["interface"]("web", "vnet1")
    assert not whole.wants_field("libvirt_net", "rx_errs")
    stats: Stats = {
        "net.count": 2, "net.0.name": "vnet0", "net.0.rx.bytes": 1, "net.0.rx.errs": 2,
        "net.1.name": "vnet1", "net.1.rx.bytes": 5, "block.count": 1, "block.0.name": "vda",
        "block.0.rd.reqs": 7,
    }  # fmt: skip
    sample = Sample(
        "qemu:///system", 1, (DomainSample(UUID, "web", Status.FRESH, stats),), Round()
    )
    of_fast = telegraf_execd.fast_writer(settings).encode(sample).decode()
    assert "libvirt_net_total,domain_name=web,uuid=" + UUID + " rx_bytes=1u 1\n" in of_fast
    # Two sums of the same NICs, made at other times, would not be one series.
    of_whole = telegraf_execd.writer(settings).encode(sample).decode()
    assert "rd_reqs=7u" in of_whole
    assert "libvirt_net_total,domain_name=web,uuid=" + UUID + " rx_bytes" not in of_whole


def test_a_slow_hypervisor_does_not_hold_up_anothers_lines() -> None:
    slow, fast = Settings(uri="qemu+ssh://slow/system"), Settings(uri="qemu:///system")
    with child(slow, fast) as it:
        it.samplers[0].go.clear()
        it.tick()
        it.expect(a_sample(fast.uri, 1))
        it.tick()
        it.expect(a_sample(fast.uri, 2))
        it.samplers[0].go.set()
        it.expect(a_sample(slow.uri, 1))


def small_sample(number: int = 0) -> Sample:
    """Two domains, of which the first is handed out before the round's end."""
    domains = tuple(
        DomainSample(UUID, name, Status.FRESH, {"cpu.time": number}) for name in ("web", "db")
    )
    return Sample("qemu:///system", 1, domains, Round())


def test_the_agent_is_not_woken_for_a_few_lines_before_the_round_is_over() -> None:
    with child() as it:
        it.sampler.samples = small_sample
        it.sampler.go.clear()
        it.tick()
        it.sampler.began.acquire()
        assert not it.has_output()
        it.sampler.go.set()
        it.expect(small_sample(1))


def test_what_was_complete_before_a_round_failed_is_written() -> None:
    with child() as it:
        it.sampler.samples = small_sample
        it.sampler.failures = [ValueError()]
        it.tick()
        it.expect_first_line(small_sample(1))


def test_the_pipe_to_the_agent_holds_a_piece() -> None:
    with child() as it:
        it.tick()
        it.expect(a_sample(number=1))
        assert it.capacity() >= PIECE


def test_much_that_is_complete_is_out_before_the_round_is_over() -> None:
    with child() as it:
        it.sampler.samples = lambda number: big_sample("qemu:///system")
        it.sampler.go.clear()
        whole = big_lines("qemu:///system")
        end = whole.index(b"\n", whole.index(b"qemu:///system-%d" % (BIG - 2))) + 1
        it.tick()
        assert it.read(end) == whole[:end]
        it.sampler.go.set()
        assert it.read(len(whole) - end) == whole[end:]


def _always(sample: Sample, number: int) -> Sample:
    return sample


def test_lines_of_several_hypervisors_are_never_mixed() -> None:
    both = [Settings(uri="a:///x"), Settings(uri="b:///x")]
    with child(*both) as it:
        for sampler in it.samplers:
            whole = big_sample(sampler.settings.uri)
            sampler.samples = functools.partial(_always, whole)
        it.tick()
        expected_of = {each.uri: big_lines(each.uri) for each in both}
        found = it.read(sum(map(len, expected_of.values()))).splitlines()
        for each in both:
            expected = expected_of[each.uri].splitlines()
            assert [line for line in found if each.uri.encode() in line] == expected


@functools.cache
def big_sample(uri: str) -> Sample:
    """Many times what a pipe holds."""
    domains = tuple(
        DomainSample(UUID, f"{uri}-{n}", Status.FRESH, {"cpu.time": n}) for n in range(BIG)
    )
    return Sample(uri, 1, domains, Round())


@functools.cache
def big_lines(uri: str) -> bytes:
    return lines_of(big_sample(uri))


def test_while_telegraf_does_not_read_nothing_is_gathered() -> None:
    with child() as it:
        it.sampler.samples = lambda number: big_sample("qemu:///system")
        it.tick()
        for _ in range(50):
            it.tick()
        it.read(len(big_lines("qemu:///system")))  # the first is out, the second stuck
        assert it.sampler.rounds <= 2


# --- Tables with intervals of their own ---------------------------------------------------------


def with_interval(uri: str, seconds: float, **settings: Any) -> Settings:
    return Settings(uri=uri, interval=seconds, interval_fixed=True, **settings)


def test_each_table_goes_at_its_own_pace_and_none_makes_a_round_that_is_not_due() -> None:
    now = [1_800_000_000.0]
    tables = [
        Settings(uri="a:///each-tick"),
        with_interval("b:///six", 6),
        with_interval("c:///thirty", 30),
        with_interval("d:///deadline", 30, deadline=2.0),
    ]
    with child(*tables, clock=lambda: now[0]) as it:
        each, *others = it.samplers
        for number in range(16):  # 30 seconds of ticks
            it.tick()
            assert each.began.acquire(timeout=PATIENCE_S)
            for sampler, every in zip(others, (3, 15, 15)):
                if number % every == 0:
                    assert sampler.began.acquire(timeout=PATIENCE_S)
            now[0] += 2
        it.end_of_input()
        it.ended()
        assert [sampler.rounds for sampler in it.samplers] == [16, 6, 2, 2]
        six, thirty, fixed = (sampler.deadlines for sampler in others)
        assert six == pytest.approx([5.4] * 6)
        assert thirty == pytest.approx([27.0] * 2)
        assert fixed == [2.0, 2.0]


def test_lines_do_not_wait_for_a_table_that_is_sampled_seldom() -> None:
    now = [1_800_000_000.0]
    often, seldom = Settings(uri="a:///often"), with_interval("b:///seldom", 30)
    with child(often, seldom, clock=lambda: now[0]) as it:
        it.samplers[1].go.clear()
        for number in (1, 2, 3):
            it.tick()
            it.expect(a_sample(often.uri, number))
            now[0] += 2
        it.samplers[1].go.set()
        it.expect(a_sample(seldom.uri, 1))


def test_without_ticks_tables_have_their_own_intervals_all_the_same() -> None:
    with child(with_interval("a:///x", 0.02), interval=1000.0) as it:
        for _ in range(3):
            assert it.sampler.began.acquire(timeout=PATIENCE_S)


# --- The end ------------------------------------------------------------------------------------


def test_it_ends_with_its_input() -> None:
    with child() as it:
        it.tick()
        it.expect(a_sample(number=1))
        it.end_of_input()
        it.ended()
        assert it.sampler.closed.is_set()


def test_a_last_tick_is_answered_before_the_end() -> None:
    with child() as it:
        it.tick()
        it.end_of_input()
        it.expect(a_sample(number=1))
        it.ended()


def test_it_ends_while_a_round_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegraf_execd, "GRACE_S", 0.05)
    with child() as it:
        it.sampler.samples = small_sample
        it.sampler.go.clear()
        it.tick()
        it.sampler.began.acquire()
        it.end_of_input()
        it.ended()
        it.expect_first_line(small_sample(1))  # what was complete is out all the same
        assert not it.has_output()


def test_it_ends_while_telegraf_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telegraf_execd, "GRACE_S", 0.05)
    with child() as it:
        it.sampler.samples = lambda number: big_sample("qemu:///system")
        it.tick()
        it.read(1)
        it.end_of_input()
        it.ended()
        it.stop_reading()  # lets the thread go


def test_it_ends_quietly_when_nobody_reads_any_more() -> None:
    with child() as it:
        it.stop_reading()
        it.tick()
        it.ended()
        assert it.told() == ""


@each_row("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_a_signal_with_a_round_stuck(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegraf_execd, "GRACE_AFTER_SIGNAL_S", 0.05)
    sampler = OneDomain(Settings())
    sampler.go.clear()
    stdin, tick = os.pipe()
    stdout, lines = os.pipe()

    def tick_and_kill() -> None:
        os.write(tick, b"\n")
        sampler.began.acquire()
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    telegraf = threading.Thread(target=tick_and_kill)
    telegraf.start()
    run([Settings()], stdin, lines, 2, None, lambda settings, log: sampler)
    assert signal.getsignal(number) is before, "the process has its own way with signals back"
    telegraf.join()
    sampler.go.set()
    wait_for_loops()
    assert sampler.closed.is_set()
    for descriptor in (stdin, tick, stdout, lines):
        os.close(descriptor)


# --- What goes wrong ----------------------------------------------------------------------------


def test_an_unexpected_error_is_told_once_and_rounds_go_on() -> None:
    with child() as it:
        it.sampler.failures = [ValueError("first\nline"), ValueError("again")]
        for _ in range(2):
            it.tick()
            it.sampler.began.acquire()
        it.tick()
        found = it.read(1)  # a round succeeded
        assert found == b"l"
        told = it.told()
        assert told.count("\n") == 1
        assert told.startswith("E! qemu:///system: a round failed: unexpected ValueError at fake_")
        assert "first\\nline" in told
        assert "Traceback" not in told


def test_a_hypervisor_whose_sampler_cannot_be_made_is_told_once() -> None:
    attempts = threading.Semaphore(0)

    def refuse(settings: Settings, log: Any) -> Any:
        attempts.release()
        raise RuntimeError("no threads left")

    stdin, tick = os.pipe()
    errors, stderr = os.pipe()
    thread = threading.Thread(target=run, args=([Settings()], stdin, stderr, stderr, None, refuse))
    thread.start()
    for _ in range(3):
        os.write(tick, b"\n")
        attempts.acquire()
    os.close(tick)
    thread.join(PATIENCE_S)
    wait_for_loops()
    told = os.read(errors, 1 << 16).decode()
    assert told.count("no threads left") == 1
    for descriptor in (stdin, errors, stderr):
        os.close(descriptor)


@each_row(
    ("level", "prefix"),
    [("error", "E! "), ("warning", "W! "), ("info", "I! "), ("debug", "D! "), ("odd", "I! ")],
)
def test_what_the_sampler_logs_keeps_its_level_and_stays_one_line(level: str, prefix: str) -> None:
    reading, writing = os.pipe()
    telegraf_execd.stderr_log(writing)(level, "guest 'a\nE! forged\x1b[31m' hangs" + "x" * 70_000)
    told = os.read(reading, 1 << 17).decode()
    assert told.startswith(prefix + "guest 'a\\nE! forged\\x1b[31m' hangs")
    assert told.endswith("\n")
    assert told.count("\n") == 1
    assert len(told) < 3000, "Telegraf stops reading at a line of 64 KiB"
    os.close(reading)
    telegraf_execd.stderr_log(writing)(level, "nobody reads")  # and nothing is raised
    os.close(writing)


# --- Its own pace -------------------------------------------------------------------------------


def test_with_an_interval_it_needs_no_ticks() -> None:
    with child(interval=0.02) as it:
        for number in (1, 2, 3):
            it.expect(a_sample(number=number))
        it.end_of_input()
        it.ended()


def test_with_an_interval_a_stdin_that_has_nothing_is_not_its_end() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    lines, stdout = os.pipe()
    sampler = OneDomain(Settings())
    thread = threading.Thread(
        target=run,
        args=([Settings()], null, stdout, 2, 0.01, lambda settings, log: sampler),
        daemon=True,
    )
    thread.start()
    for _ in range(3):
        assert sampler.began.acquire(timeout=PATIENCE_S)
    assert thread.is_alive()
    os.close(lines)  # nobody reads: the only way left to end it here
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    wait_for_loops()
    os.close(stdout)
    os.close(null)


@each_row(
    ("now", "interval", "pause"),
    [(100.0, 10, 10), (103.0, 10, 7), (109.0, 10, 1), (109.9, 10, 10.1), (0.2, 0.5, 0.3)],
)
def test_rounds_are_on_the_intervals_grid_and_never_twice_on_the_same_mark(
    now: float, interval: float, pause: float
) -> None:
    assert telegraf_execd._until_grid(now, interval) == pytest.approx(pause)


def test_a_hypervisor_with_an_interval_of_its_own_keeps_it() -> None:
    settings = Settings(interval=0.01, interval_fixed=True)
    with child(settings, interval=3600) as it:
        for _ in range(3):
            assert it.sampler.began.acquire(timeout=PATIENCE_S)
        assert it.sampler.deadlines[0] == pytest.approx(0.009)


# --- The fast lane ------------------------------------------------------------------------------

FAST = Settings(fast_interval=0.02)


def fast_lines(number: int) -> bytes:
    return LineProtocol(reports=False).encode(a_sample(number=1000 + number))


def test_the_fast_lane_needs_no_ticks_and_tells_nothing_of_its_rounds() -> None:
    with child(FAST) as it:
        expected = b"".join(fast_lines(number) for number in (1, 2, 3))
        assert it.read(len(expected)) == expected
        assert b"domstats_round" not in expected
        assert it.sampler.rounds == 0
        assert it.sampler.fast_deadlines[0] == pytest.approx(0.018)


def test_the_fast_lane_gets_on_beside_a_whole_round_that_is_stuck() -> None:
    with child(FAST) as it:
        it.sampler.go.clear()
        it.tick()
        assert it.sampler.began.acquire(timeout=PATIENCE_S)
        before = len(it.sampler.fast_deadlines)
        it.read(len(fast_lines(1)) * (before + 3))
        assert len(it.sampler.fast_deadlines) >= before + 3
        it.sampler.go.set()


def test_the_fast_lane_ends_with_the_rest_and_quietly() -> None:
    with child(FAST) as it:
        it.read(1)
        it.tick()
        it.end_of_input()
        it.ended()
        assert it.told() == ""
        assert it.sampler.closed.is_set()


# --- How long a round may take ------------------------------------------------------------------


def test_a_round_may_take_nine_tenths_of_the_interval_that_ticks_have_taught() -> None:
    deadline = RoundDeadline(Settings())
    assert deadline.seconds == pytest.approx(9)
    for now in (0.0, 5.0, 10.0):
        deadline.tick(now)
    assert deadline.seconds == pytest.approx(4.5)


def test_an_agent_that_waits_for_slow_rounds_teaches_its_interval_all_the_same() -> None:
    deadline = RoundDeadline(Settings())
    now = 0.0
    for _ in range(60):  # each round takes all that it may, at an interval of one second
        deadline.tick(now)
        now += max(1.0, deadline.seconds)
    assert deadline.seconds == pytest.approx(0.9)


def test_ticks_in_a_bunch_do_not_make_rounds_impossible() -> None:
    deadline = RoundDeadline(Settings())
    for now in (0.0, 0.0001, 0.0002):
        deadline.tick(now)
    assert deadline.seconds >= 0.1


def test_an_old_short_distance_is_forgotten() -> None:
    deadline = RoundDeadline(Settings())
    for now in (0.0, 1.0, *range(11, 100, 10)):
        deadline.tick(float(now))
    assert deadline.seconds == pytest.approx(9)


@each_row(
    ("settings", "interval", "seconds"),
    [
        (Settings(deadline=3.0), None, 3.0),
        (Settings(interval=20.0, interval_fixed=True), None, 18.0),
        (Settings(), 30.0, 27.0),
        (Settings(deadline=3.0), 30.0, 3.0),
    ],
)
def test_what_is_set_is_not_learned(
    settings: Settings, interval: Optional[float], seconds: float
) -> None:
    deadline = RoundDeadline(settings, interval)
    for now in (0.0, 1.0, 2.0):
        deadline.tick(now)
    assert deadline.seconds == pytest.approx(seconds)


def test_a_tick_during_the_first_round_tells_how_long_that_may_take() -> None:
    with child() as it:
        it.sampler.go.clear()
        it.tick()
        assert it.sampler.began.acquire(timeout=PATIENCE_S)
        assert it.sampler.shortened.empty()
        it.tick()
        assert it.sampler.shortened.get(timeout=PATIENCE_S) < 9.0
        it.sampler.go.set()
        assert it.sampler.began.acquire(timeout=PATIENCE_S)
        it.tick()
        it.end_of_input()
        it.ended()
        assert it.sampler.shortened.empty(), "rounds that know the interval keep their deadline"


@each_row(
    "settings", [Settings(deadline=3.0), Settings(interval=30.0, interval_fixed=True)]
)
def test_a_first_round_of_which_the_user_said_how_long_it_may_take_is_not_cut(
    settings: Settings,
) -> None:
    with child(settings) as it:
        it.sampler.go.clear()
        it.tick()
        assert it.sampler.began.acquire(timeout=PATIENCE_S)
        it.tick()
        it.end_of_input()
        it.sampler.go.set()
        it.ended()
        assert it.sampler.shortened.empty()


def complaints(deadline: RoundDeadline, ticks: Iterable[float]) -> list[str]:
    told = []
    for now in ticks:
        deadline.tick(now)
        told.append(deadline.complaint())
    return [text for text in told if text]


def test_a_deadline_longer_than_the_learned_interval_is_told_once() -> None:
    (text,) = complaints(RoundDeadline(Settings(deadline=30.0)), range(0, 300, 10))
    assert text.startswith("the deadline is 30 s, and a round is due each 10 s: ")
    assert "set the deadline to 10 s at most" in text


@each_row(
    ("deadline", "ticks"),
    [
        (None, range(0, 300, 10)),
        (10.0, [number * 9.99 for number in range(30)]),  # a timer is not exact
        (9.0, [number * 10 + (number % 2) * 4 for number in range(30)]),  # collection_jitter
        (30.0, range(0, 60, 10)),  # not learned yet
        (30.0, range(0, 900, 30)),
    ],
)
def test_a_deadline_that_fits_the_interval_is_nothing_to_tell(
    deadline: Optional[float], ticks: Iterable[float]
) -> None:
    assert complaints(RoundDeadline(Settings(deadline=deadline)), ticks) == []


def test_a_deadline_longer_than_an_interval_that_is_known_is_told_at_once() -> None:
    deadline = RoundDeadline(Settings(deadline=30.0), 10.0)
    assert "a round is due each 10 s" in deadline.complaint()
    assert deadline.complaint() == ""


def test_the_child_tells_of_a_deadline_that_is_too_long_in_one_line() -> None:
    with child(Settings(deadline=5.0), interval=0.01) as it:
        for _ in range(3):
            assert it.sampler.began.acquire(timeout=PATIENCE_S)
        it.end_of_input()
        it.ended()
        [line] = it.told().splitlines()
    assert line.startswith("W! ")
    assert ": the deadline is 5 s, and a round is due each 0.01 s: " in line


def test_the_number_of_unexpected_errors_told_is_bounded() -> None:
    told: list[str] = []
    unexpected = ErrorOnce(told.append)
    for number in range(1000):
        unexpected("a test", type(f"Error{number}", (Exception,), {})("x"))
    assert len(told) == 100
    assert (
        told[0] == "a test: unexpected Error0 at an unknown place: x (told once; please report it)"
    )
