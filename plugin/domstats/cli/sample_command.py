"""``domstats sample``: rounds without an agent, shown to a person or given to a program.

It must not know how a command line is read.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional, Protocol

import msgspec

from .. import __version__
from ..agents.adapter import ErrorOnce, LogFunction, SamplerLike, sampler
from ..agents.telegraf_execd import writer
from ..config import config_file
from ..config.settings import Settings, share_budget
from ..config.telegraf import for_uri
from ..errors import ConfigError
from ..model import Sample
from ..output.schema import RESERVED_TAGS
from ..selection import chosen, unmatched
from ..shown import one_line, write
from ..shown import say as say_on_stderr

#: The exit status of a command that could sample nothing, or nothing real.
FAILED = 1

#: Tried in this order where no hypervisor is named.
LOCAL, FALLBACK = "qemu:///system", "test:///default"

#: Seconds that one of many rounds may take at least, however short the interval.
_LEAST_DEADLINE_S = 2.0
#: Messages that are kept while the screen is redrawn, and lines of the latest that it shows.
_KEPT, _LINES = 200, 5


class Wanted(NamedTuple):
    """What was asked for.

    :param uris: hypervisors; none for those of ``path``, or else for the local one.
    :param path: of an agent's configuration; empty for none.
    :param domains: names, uuids or /expressions/; none for all.
    :param groups: stats groups; none for those of the configuration, or Telegraf's default.
    :param deadline: seconds after which a round ends with what it has.
    :param rounds: how many; 0 for no end.
    :param interval: seconds from the beginning of a round to that of the next.
    """

    uris: tuple[str, ...] = ()
    path: str = ""
    domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    deadline: Optional[float] = None
    format: str = "table"
    rounds: int = 1
    interval: float = 2.0
    verbose: bool = False


def run(wanted: Wanted) -> int:
    """Sample, and show what was found.

    :return: the exit status.
    :raises ConfigError: the configuration or an option is wrong.
    """
    messages = Messages()
    said = Said(messages, wanted.verbose)
    settings, warnings = hypervisors(wanted)
    for text in warnings:
        messages.say(text)
    said.begin()
    unreal = ""
    if settings:
        watched = [Watched(each, said) for each in settings]
    else:
        local, unreal = _local_or_test(wanted, said)
        watched = [local]
        if unreal and wanted.rounds != 1:
            messages.say(unreal)
    screen = _show(wanted, messages, _NOT_REAL if unreal else "")
    try:
        with contextlib.closing(screen):
            found_any = _rounds(wanted, watched, screen, said)
    finally:
        if unreal:
            messages.say(unreal)
    if unreal and not sys.stdout.isatty():
        return FAILED
    return 0 if found_any else FAILED


_NOT_REAL = "these are not real guests, but those of libvirt's built-in test driver"


# --- Hypervisors --------------------------------------------------------------------------------


def hypervisors(wanted: Wanted) -> tuple[list[Settings], list[str]]:
    """What is to be sampled and how, none if nobody was named, and warnings.

    :raises ConfigError: the configuration or an option is wrong.
    """
    warnings: list[str] = []
    if wanted.path:
        found, warnings = config_file.read(wanted.path, RESERVED_TAGS)
    else:
        found, warnings = share_budget([_for_uri(uri) for uri in wanted.uris])
    return [_narrowed(each, wanted) for each in found], warnings


def _for_uri(uri: str) -> Settings:
    try:
        return for_uri(uri)
    except ConfigError as error:
        raise ConfigError(f"--connect: {error}") from None


def _narrowed(settings: Settings, wanted: Wanted) -> Settings:
    """The settings, with what the command line says beside them."""
    changes: dict[str, Any] = {}
    if wanted.domains:
        try:
            entries = chosen(wanted.domains)
        except ConfigError as error:
            raise ConfigError(f"--domain: {error}") from None
        changes["selection"] = msgspec.structs.replace(settings.selection, chosen=entries)
    if wanted.groups:
        settings = of_groups(settings, frozenset(wanted.groups))
    if wanted.deadline is not None:
        changes["deadline"] = wanted.deadline
    elif settings.deadline is None and wanted.rounds != 1:
        changes["deadline"] = max(_LEAST_DEADLINE_S, settings.round_deadline(wanted.interval))
    return msgspec.structs.replace(settings, **changes)


def of_groups(settings: Settings, groups: frozenset[str]) -> Settings:
    """The settings, with these stats groups for those that they have."""
    return msgspec.structs.replace(
        settings,
        groups=groups,
        by_classic_calls={
            group: values for group, values in settings.by_classic_calls.items() if group in groups
        },
        every={group: seconds for group, seconds in settings.every.items() if group in groups},
        vcpu_mapping=settings.vcpu_mapping and "vcpu" in groups,
    )


class Watched:
    """A hypervisor, its sampler, and its last sample."""

    def __init__(self, settings: Settings, said: Said) -> None:
        self.settings = settings
        self.latest: Optional[Sample] = None
        self._said = said
        self._sampler: SamplerLike = sampler(settings, said.log)
        self._unexpected = ErrorOnce(said.messages.say)
        self._error = ""
        said.hypervisor(settings)

    def sample(self) -> None:
        """Make a round; ``latest`` is its sample then."""
        try:
            self.latest = self._sampler.sample()
        except Exception as error:
            self.latest = None
            self._unexpected(f"{self.settings.uri}: a round failed", error)

    def say(self, error: str) -> None:
        """Tell of trouble when it begins."""
        if error and error != self._error:
            self._said.messages.say(error)
        self._error = error


def _local_or_test(wanted: Wanted, said: Said) -> tuple[Watched, str]:
    """The local hypervisor if it answers; else the test driver, and why."""
    local = Watched(_narrowed(for_uri(LOCAL), wanted), said)
    local.sample()
    if local.latest is not None and local.latest.round.connected:
        return local, ""
    why = local.latest.round.error if local.latest else f"{LOCAL} could not be asked"
    return (
        Watched(_narrowed(for_uri(FALLBACK), wanted), said),
        f"{_NOT_REAL}: no hypervisor was named, and the local one cannot be asked ({why}); name"
        " another one with --connect URI",
    )


# --- Rounds -------------------------------------------------------------------------------------

#: What a round found: hypervisors with their samples.
Found = Sequence[tuple[Watched, Sample]]


class _Show(Protocol):
    """Shows what a round found."""

    #: Whether it shows itself what trouble there is and how long a round took.
    redraws: bool

    def show(self, found: Found) -> None: ...

    def pause(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def _rounds(wanted: Wanted, watched: Sequence[Watched], screen: _Show, said: Said) -> bool:
    """Make the rounds.

    :return: whether anything was found that was asked for.
    """
    connected = False
    strange = list(wanted.domains)
    number = 0
    while True:
        began = time.monotonic()
        found = one_round(watched)
        if not screen.redraws:
            for each, sample in found:
                each.say(sample.round.error)
        screen.show(found)
        number += 1
        if not screen.redraws:
            said.round(number, found)
        there = [(d.name, d.uuid) for _, sample in found for d in sample.domains]
        strange = unmatched(strange, there)
        if not connected and any(sample.round.connected for _, sample in found):
            connected = True
            if strange:
                listed = ", ".join(one_line(text, 80) for text in strange)
                said.messages.say(
                    f"--domain: no domain matches {listed}; `domstats sample` without it lists all"
                )
        if wanted.rounds and number >= wanted.rounds:
            return connected and not (strange and len(strange) == len(wanted.domains))
        screen.pause(max(0.0, began + wanted.interval - time.monotonic()))


def one_round(watched: Sequence[Watched]) -> Found:
    """One round of all at the same time, in their order."""
    threads = [threading.Thread(target=each.sample, daemon=True) for each in watched]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(each, each.latest) for each in watched if each.latest is not None]


# --- What is said beside ------------------------------------------------------------------------


class Messages:
    """Lines on stderr. While a screen is redrawn they wait for its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Optional[deque[str]] = None

    def say(self, text: str) -> None:
        with self._lock:
            if self._waiting is None:
                say_on_stderr(text)
            else:
                self._waiting.append(one_line(text))

    def hold(self) -> None:
        """Keep the lines from now on; if stderr is elsewhere they do not disturb."""
        if _stderr_is_terminal():
            with self._lock:
                self._waiting = deque(maxlen=_KEPT)

    def waiting(self) -> list[str]:
        """Those that wait."""
        with self._lock:
            return list(self._waiting or ())

    def release(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        for text in waiting or ():
            say_on_stderr(text)


def _stderr_is_terminal() -> bool:
    return sys.stderr.isatty()


class Said:
    """What ``--verbose`` says: who runs, what is sampled how, each round, and the sampler's log."""

    def __init__(self, messages: Messages, verbose: bool) -> None:
        self.messages = messages
        self._verbose = verbose

    @property
    def log(self) -> LogFunction:
        """A sample says itself what is wrong with it, so without --verbose this is silent."""
        return self._log if self._verbose else lambda level, text: None

    def _log(self, level: str, text: str) -> None:
        self.messages.say(f"{level}: {text}")

    def begin(self) -> None:
        python = sys.version.split()[0]
        self._say(f"domstats {__version__}, Python {python} ({sys.executable})")

    def hypervisor(self, settings: Settings) -> None:
        watches = ("process_watch", "storage_watch", "occupancy_watch")
        on = [name.partition("_")[0] for name in watches if getattr(settings, name)]
        self._say(
            f"{settings.uri}: asks for {', '.join(sorted(settings.groups))}; {settings.lanes}"
            f" lanes, a deadline of {settings.round_deadline():g} s, at most"
            f" {settings.stuck_budget} stuck calls; watches: {', '.join(on) or 'none'}"
        )

    def round(self, number: int, found: Found) -> None:
        for _, sample in found:
            each = sample.round
            self._say(
                f"{sample.uri}: round {number} took {each.duration_s:.3f} s; domains:"
                f" {each.fresh} fresh, {each.partial} partial, {each.unresponsive} unresponsive,"
                f" {each.gone} gone; bulk calls: {each.calls}, on {each.lanes} lanes; stuck:"
                f" {each.stuck_calls}; late so far: {each.late_results}, failed: {each.errors}"
            )

    def _say(self, text: str) -> None:
        if self._verbose:
            self.messages.say(text)


# --- Formats ------------------------------------------------------------------------------------


def _show(wanted: Wanted, messages: Messages, note: str) -> _Show:
    if wanted.format == "influx":
        return _Influx()
    if wanted.format == "json":
        return _Json()
    from .table import console_of  # rich takes its time

    console = console_of(sys.stdout)
    redrawn = wanted.rounds == 0 and console.is_terminal and not console.is_dumb_terminal
    return _Screen(messages, note) if redrawn else _Table(note)


class _Printed:
    """What is printed one after the other."""

    redraws = False

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        pass


class _Influx(_Printed):
    """The lines that Telegraf gets."""

    def __init__(self) -> None:
        self._writers: dict[Watched, Callable[[Sample], bytes]] = {}

    def show(self, found: Found) -> None:
        for each, sample in found:
            encode = self._writers.setdefault(each, writer(each.settings).encode)
            write(encode(sample))


class _Json(_Printed):
    """An object for each round and hypervisor."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder(order="deterministic").encode

    def show(self, found: Found) -> None:
        for _, sample in found:
            write(self._encode(sample) + b"\n")


class _Table(_Printed):
    """Tables, one after the other."""

    def __init__(self, note: str) -> None:
        from .figures import Meter

        self._note = note
        self._meters: dict[Watched, Meter] = {}
        self._new_meter = Meter

    def pictures(self, found: Found) -> list[Any]:
        return [
            self._meters.setdefault(each, self._new_meter()).read(sample) for each, sample in found
        ]

    def show(self, found: Found) -> None:
        # Of those that could not be asked stderr has told already.
        self.print([each for each in self.pictures(found) if each.sample.round.connected])

    def print(self, pictures: Sequence[Any]) -> None:
        from .table import print_pictures

        print_pictures(pictures, self._note, sys.stdout)
        sys.stdout.flush()


class _Screen(_Table):
    """One table, redrawn in place on the terminal's other screen; the last one stays behind."""

    redraws = True

    def __init__(self, messages: Messages, note: str) -> None:
        super().__init__(note)
        from rich.live import Live

        from .table import console_of

        self._messages = messages
        self._console = console_of(sys.stdout)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._pictures: list[Any] = []
        self._pausing = False
        messages.hold()
        self._before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt),
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._resized),
        }
        self._live.start()

    def show(self, found: Found) -> None:
        self._pictures = self.pictures(found)
        self._draw()

    def pause(self, seconds: float) -> None:
        self._pausing = True
        time.sleep(seconds)
        self._pausing = False

    def close(self) -> None:
        self._live.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pictures:
            self.print(self._pictures)
        self._messages.release()

    def _resized(self, *_: object) -> None:
        if self._pausing:
            self._draw()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.text import Text

        from .cells import wrapped
        from .table import lines

        width, height = self._console.size
        said = [line for text in self._messages.waiting() for line in wrapped(text, width, 2)]
        below = [Text(line) for line in said[-_LINES:]]
        drawn = lines(self._pictures, self._note, width, height - len(below) - 1)
        below.append(Text("Ctrl-C ends this", style="dim"))
        self._live.update(Group(*drawn, *below), refresh=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
