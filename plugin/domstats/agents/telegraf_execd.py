"""The child process of Telegraf's inputs.execd: a tick on stdin, a round's lines on stdout.

One thread for each hypervisor makes its rounds, so that a slow one delays nobody else's; the
main thread waits for ticks, the end of input and signals. Ticks that come during a round are
answered together by the next. With an interval of its own it needs no ticks.

It must not know what is sampled or how it is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import math
import os
import queue
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Callable

import msgspec

from ..config.settings import Settings
from ..model import FAST_GROUPS, Sample
from ..output.line_filter import LineFilter
from ..output.line_protocol import LineProtocol
from ..output.series_count import SeriesLimit
from ..shown import one_line
from .adapter import (
    ErrorOnce,
    LazySampler,
    LogFunction,
    MakeSampler,
    RoundDeadline,
    SamplerLike,
    sampler,
)
from .tick_pace import TickPace

#: Seconds that rounds under way have after the end of input; ending takes under one second.
GRACE_S = 0.6
#: The same after a signal: enough to finish writing, too little to begin anything.
GRACE_AFTER_SIGNAL_S = 0.3
#: And then to write what rounds that are stuck have found before.
RESCUE_S = 0.1
#: Bytes that are written together while a round goes on, and what the pipe to the agent shall
#: hold: to be woken for each piece costs the agent as much as to read it.
PIECE = 262_144
#: Seconds between two looks for garbage in cycles, where the interpreter itself does not look.
SWEEP_S = 600.0
#: Characters of a line on stderr. Telegraf stops reading at one of 64 KiB.
LINE_LIMIT = 2000

#: fcntl(2) of Linux; Python has names for them from 3.10 on.
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032

#: What wakes the main thread when the output is closed; signals have their number.
_NOBODY_READS = b"\0"

_PREFIXES = {"error": "E! ", "warning": "W! ", "info": "I! ", "debug": "D! "}


def writer(
    settings: Settings, limit: SeriesLimit | None = None, counts: bool = False
) -> LineProtocol:
    """What turns a hypervisor's samples into lines; ``domstats sample`` uses it too.

    :param limit: is given what is made; ``counts``: the writer itself can say it.
    """
    wanted = line_filter(settings)
    if settings.fast_interval is not None:
        # Two sums of the same devices, at times of their own, would not be one series.
        wanted = msgspec.structs.replace(wanted, totals=wanted.totals - FAST_GROUPS)
    return LineProtocol(
        settings.series,
        kvm_statistics=settings.kvm_statistics,
        groups=settings.groups,
        vcpu_mapping=settings.vcpu_mapping,
        rates=settings.rates,
        host=settings.host,
        figures=settings.figures,
        tagged=settings.device_tags,
        jobs=settings.jobs,
        wanted=wanted,
        limit=limit,
        counts=counts,
    )


def fast_writer(settings: Settings) -> LineProtocol:
    """The same for the fast lane, whose rounds are not told of."""
    return LineProtocol(
        settings.series,
        groups=settings.groups,
        reports=False,
        tagged=settings.device_tags,
        wanted=line_filter(settings),
    )


def line_filter(settings: Settings) -> LineFilter:
    """What of the lines is wanted, by the settings."""
    chosen = settings.selection
    devices = {
        "block": (chosen.block_devices or chosen.other_block_devices, chosen.wants_block_device),
        "interface": (
            chosen.interface_devices or chosen.other_interface_devices,
            chosen.wants_interface_device,
        ),
    }
    return LineFilter(
        field=chosen.wants_field if chosen.fields or chosen.other_fields else None,
        devices={group: wants for group, (listed, wants) in devices.items() if listed},
        totals=settings.totals,
    )


def series_limit(settings: Settings) -> SeriesLimit | None:
    """What warns of too many series, if the user wants that."""
    if settings.max_series is None:
        return None
    return SeriesLimit(
        settings.max_series,
        "max_series",
        "leave out what you do not need (statistics_groups, totals, fields_exclude)",
    )


def run(
    hypervisors: Sequence[Settings],
    stdin: int,
    stdout: int,
    stderr: int,
    interval: float | None = None,
    make_sampler: MakeSampler = sampler,
    clock: Callable[[], float] = time.time,
) -> None:
    """Answer ticks until the input ends or a signal asks to end.

    Threads may be left behind, stuck in a hypervisor or at a reader that does not read: end the
    process with ``os._exit``.

    :param stdin: a file descriptor, as are ``stdout`` and ``stderr``.
    :param interval: seconds between rounds that nobody ticks for; a hypervisor's own setting
        wins. None: rounds are made at the lines on stdin, at those that are due where a hypervisor
        has a setting of its own.
    :param clock: tells the seconds since the epoch at which a tick comes.
    """
    log = stderr_log(stderr)
    if interval is None and os.isatty(stdin):
        log("info", "each empty line (the Enter key) makes a round, the end of input ends")
    wake, woken = os.pipe()
    output = _Output(stdout)
    ticked: list[_HypervisorLoop] = []
    loops: list[_HypervisorLoop] = []
    for settings in hypervisors:
        shared = LazySampler(settings, log, make_sampler)
        paced = interval if interval is None or not settings.interval_fixed else settings.interval
        common = output, log, shared, lambda: _give_up(woken)
        limit = series_limit(settings)
        ticked.append(_HypervisorLoop(settings, paced, writer(settings, limit), *common, limit))
        fast = settings.fast_interval
        if fast is not None:
            settings = msgspec.structs.replace(settings, deadline=None)
            loops.append(_FastLoop(settings, fast, fast_writer(settings), *common))
    loops += ticked
    with _signals(woken):
        for loop in loops:
            loop.start()
        reason = _attend(ticked, stdin, wake, clock if interval is None else None)
        finish = reason == "end of input"
        for loop in loops:
            loop.end(finish)
        until = time.monotonic() + (GRACE_S if finish else GRACE_AFTER_SIGNAL_S)
        for loop in loops:
            loop.join(max(0.0, until - time.monotonic()))
        if any(loop.is_alive() for loop in loops):
            output.rescue(RESCUE_S)
            return
    os.close(wake)  # nobody writes to it any more
    os.close(woken)


def _attend(
    loops: Sequence[_HypervisorLoop], stdin: int, wake: int, clock: Callable[[], float] | None
) -> str:
    """Wait and pass ticks on; returns why it is over.

    :param clock: tells when a tick comes; None: nobody ticks.
    """
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    if clock is not None or _is_agent(stdin):
        poll.register(stdin, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == wake:
                return "closed output" if os.read(wake, 1) == _NOBODY_READS else "signal"
            try:
                received = os.read(stdin, 4096)
            except OSError:
                received = b""
            if not received:
                return "end of input"
            if clock is not None and b"\n" in received:
                now = clock()
                for loop in loops:
                    loop.tick(now)


def _is_agent(stdin: int) -> bool:
    """Whether the end of input means something: /dev/null, a file, a terminal always end."""
    try:
        mode = os.fstat(stdin).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextlib.contextmanager
def _signals(woken: int) -> Iterator[None]:
    """SIGTERM and SIGINT write a byte: a handler alone would run only after ``poll`` returns."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    os.set_blocking(woken, False)
    descriptor = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)


def _give_up(woken: int) -> None:
    with contextlib.suppress(OSError):
        os.write(woken, _NOBODY_READS)


def stderr_log(stderr: int) -> LogFunction:
    """Lines on stderr, of which Telegraf keeps the level."""

    def log(level: str, text: str) -> None:
        line = _PREFIXES.get(level, "I! ") + one_line(text, LINE_LIMIT) + "\n"
        with contextlib.suppress(OSError):
            os.write(stderr, line.encode("utf-8", "replace"))

    return log


class _OutputClosedError(Exception):
    """The output is closed."""


class _Output:
    """Stdout, to which whole lines are written, many together.

    While the agent does not read, all wait here, and no further round begins.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        with contextlib.suppress(OSError):  # it is no pipe, or its user may have no larger ones
            if fcntl.fcntl(descriptor, _F_GETPIPE_SZ) < PIECE:
                fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIECE)

    def add(self, lines: bytes) -> None:
        """Write lines, with those before them, once there are enough to wake the agent for.

        :raises _OutputClosedError: the output is closed.
        """
        with self._lock:
            self._unwritten.append(lines)
            if sum(map(len, self._unwritten)) >= PIECE:
                self._write()

    def flush(self) -> None:
        """Write what there is.

        :raises _OutputClosedError: the output is closed.
        """
        with self._lock:
            self._write()

    def _write(self) -> None:
        rest, self._unwritten = memoryview(b"".join(self._unwritten)), []
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError as error:
                raise _OutputClosedError from error

    def rescue(self, seconds: float) -> None:
        """Write what there is, though a round that is stuck will not end; or give up."""

        def flush() -> None:
            with contextlib.suppress(_OutputClosedError):
                self.flush()

        thread = threading.Thread(target=flush, name="domstats-rest", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had
            thread.start()
            thread.join(seconds)


class _HypervisorLoop(threading.Thread):
    """Makes the rounds of one hypervisor."""

    def __init__(
        self,
        settings: Settings,
        interval: float | None,
        lines: LineProtocol,
        output: _Output,
        log: LogFunction,
        shared: LazySampler,
        give_up: Callable[[], None],
        limit: SeriesLimit | None = None,
    ) -> None:
        super().__init__(name=f"domstats {settings.uri}", daemon=True)
        self._uri = settings.uri
        self._interval = interval
        self._output = output
        self._sampler = shared
        self._give_up = give_up
        self._deadline = RoundDeadline(settings, interval)
        #: Of a hypervisor with an interval of its own, while somebody ticks.
        self._pace = (
            TickPace(settings.interval) if interval is None and settings.interval_fixed else None
        )
        self._guessing = False
        self._log = log
        self._unexpected = ErrorOnce(lambda text: log("error", text))
        self._lines = lines
        self._limit = limit
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ticked = interval is not None
        self._ending = False
        self._swept_at = time.monotonic()

    def tick(self, now: float) -> None:
        """Make a round if one is due, at once or after the one under way.

        Called in the main thread.

        :param now: seconds since the epoch.
        """
        if self._pace is not None and not self._pace.tick(now):
            return
        self._deadline.tick(time.monotonic())
        if self._guessing:
            # The first round is under way, and this tick tells how long it may take. It is much
            # work, so only a hypervisor that gives no sign of life is not waited for.
            self._sampler.get().shorten(self._deadline.seconds)
        self._ticked = True
        self._wake.put(None)

    def end(self, finish: bool) -> None:
        """End after the round under way and, if ``finish``, the one that was asked for."""
        self._ending = True
        if not finish:
            self._ticked = False
        self._wake.put(None)

    def run(self) -> None:
        """Rounds, until the end."""
        while True:
            if self._ticked:
                self._ticked = False
                try:
                    self._round()
                except _OutputClosedError:  # all else that a round raises is told in it
                    self._give_up()
                    break
                self._sweep()
            elif self._ending:
                break
            else:
                self._wait()
        self._close()

    def _close(self) -> None:
        self._sampler.close()

    def _sweep(self) -> None:
        """Look for garbage in cycles, now and then, in the pause after a round."""
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_S and not gc.isenabled():
            self._swept_at = now
            gc.collect()

    def _wait(self) -> None:
        """Until the next tick, of the agent or of the clock."""
        pause = None if self._interval is None else _until_grid(time.time(), self._interval)
        try:
            self._wake.get(timeout=pause)
        except queue.Empty:
            self._ticked = True

    def _round(self) -> None:
        """:raises _OutputClosedError: the output is closed."""
        complaint = self._deadline.complaint()
        if complaint:
            self._log("warning", f"{self._uri}: {complaint}")
        try:
            self._output.add(self._lines.encode(self._ask(self._sampler.get())))
            if self._limit is not None:
                for level, text in self._limit.take_log():
                    self._log(level, f"{self._uri}: {text}")
        except _OutputClosedError:
            raise
        except Exception as error:
            self._unexpected(f"{self._uri}: a round failed", error)
        self._output.flush()

    def _ask(self, sampler: SamplerLike) -> Sample:
        if self._pace is not None:
            return sampler.sample(self._deadline.until(self._pace.ahead_s), take=self._write_part)
        self._guessing = self._deadline.is_guess
        try:
            return sampler.sample(self._deadline.seconds, take=self._write_part)
        finally:
            self._guessing = False

    def _write_part(self, part: Sample) -> None:
        """Write what is complete while the round goes on: of its statistics nothing is kept."""
        self._output.add(self._lines.take(part))


class _FastLoop(_HypervisorLoop):
    """Makes the rounds of a hypervisor's fast lane, at an interval of their own."""

    def end(self, finish: bool) -> None:
        """End at once: nobody asked for another round."""
        super().end(finish=False)

    def _ask(self, sampler: SamplerLike) -> Sample:
        return sampler.sample_fast(self._deadline.seconds, take=self._write_part)

    def _close(self) -> None:
        """The sampler is the other loop's."""


def _until_grid(now: float, interval: float) -> float:
    """Seconds until the next multiple of the interval, which may be a little more than one.

    :param now: seconds since the epoch: rounds of several hosts then fall together, and do not
        drift. A timer may fire a moment early, so the nearest multiple is never meant.
    """
    pause = (math.floor(now / interval) + 1) * interval - now
    return pause if pause > 0.05 * interval else pause + interval
