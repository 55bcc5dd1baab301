"""The command ``domstats``.

Errors are one line on stderr. Status 2: usage or configuration; 1: no hypervisor could be
sampled; 0: else. The process ends with ``os._exit``, because threads may be stuck in a hypervisor.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn, Optional

import click
import msgspec

from .adapter import LogFunction, SamplerLike, sampler
from .errors import ConfigError, DomstatsError
from .model import Sample
from .settings import Settings, for_uri, read_telegraf, seconds, share_budget
from .shown import one_line
from .telegraf_execd import run as answer_ticks
from .telegraf_execd import stderr_log, writer

USAGE, NOTHING_SAMPLED, INTERRUPTED = 2, 1, 130

#: Tried in this order without --connect.
LOCAL, FALLBACK = "qemu:///system", "test:///default"


def main() -> NoReturn:
    """The entry point."""
    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Obey a command line.

    :return: the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a table is shown in any locale
            stream.reconfigure(errors="backslashreplace")
    try:
        with domstats.make_context("domstats", list(arguments or ["--help"])) as context:
            status = domstats.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        return _fail(error.format_message())
    except DomstatsError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return 0


def _fail(text: str) -> int:
    _tell(text)
    return USAGE


def _tell(text: str) -> None:
    print(f"domstats: {one_line(text)}", file=sys.stderr)


class _Seconds(click.ParamType):
    """A time as in the configuration: 10, 0.5, 500ms, 1m30s."""

    name = "seconds"

    def convert(
        self, value: object, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        try:
            return seconds(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="domstats")
def domstats() -> None:
    """What every virtual machine of a libvirt hypervisor does, for collectd and Telegraf."""


# --- Telegraf's child ---------------------------------------------------------------------------


@domstats.command()
@click.option("--config", "path", required=True, metavar="FILE", help="TOML, [[inputs.libvirt]].")
@click.option("--interval", type=_Seconds(), help="Pace by yourself, without ticks on stdin.")
def telegraf(path: str, interval: Optional[float]) -> int:
    """Run as a child of Telegraf's inputs.execd."""
    log = stderr_log(sys.stderr.fileno())
    try:
        parsed = read_telegraf(path)
    except ConfigError as error:
        log("error", f"domstats: {error}")
        return USAGE
    for text in parsed.warnings:
        log("warning", f"domstats: {text}")
    files = (stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr))
    answer_ticks(parsed.settings, *files, interval)
    return 0


# --- Samples without an agent -------------------------------------------------------------------


@domstats.command()
@click.option("--connect", "uris", multiple=True, metavar="URI", help="A hypervisor; many may be.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "influx", "json"]),
    default="table",
    show_default=True,
    help="influx: as Telegraf gets it. json: an object for each round and hypervisor.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="0: until interrupted.",
)
@click.option(
    "--interval",
    type=_Seconds(),
    default="2",
    show_default=True,
    help="From the beginning of a round to that of the next.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell what the sampler logs.")
def sample(uris: tuple[str, ...], format_: str, rounds: int, interval: float, verbose: bool) -> int:
    """Sample hypervisors and print what they say.

    Without --connect it is the local one (qemu:///system), or else libvirt's built-in test driver.
    """
    log: LogFunction = _verbose_log if verbose else _no_log
    if uris:
        hypervisors, warnings = share_budget([_settings(uri) for uri in uris])
        for text in warnings:
            _tell(text)
        watched = [_Watched(settings, log) for settings in hypervisors]
    else:
        watched = [_local_or_test(log)]
    show = _FORMATS[format_]()
    sampled = False
    number = 0
    while True:
        began = time.monotonic()
        samples = _round(watched)
        sampled = sampled or any(each.round.connected for each in samples)
        show(watched, samples)
        number += 1
        if rounds and number >= rounds:
            return 0 if sampled else NOTHING_SAMPLED
        time.sleep(max(0.0, began + interval - time.monotonic()))


def _settings(uri: str) -> Settings:
    try:
        return for_uri(uri)
    except ConfigError as error:
        raise ConfigError(f"--connect: {error}") from None


def _no_log(level: str, text: str) -> None:
    """A sample says itself what is wrong with it."""


def _verbose_log(level: str, text: str) -> None:
    _tell(f"{level}: {text}")


class _Watched:
    """A hypervisor, its sampler, and its last sample."""

    def __init__(self, settings: Settings, log: LogFunction) -> None:
        self.settings = settings
        self.sampler: SamplerLike = sampler(settings, log)
        self.latest: Optional[Sample] = None
        self._error = ""

    def sample(self) -> None:
        """Make a round, ``latest`` is its sample then."""
        self.latest = self.sampler.sample()

    def tell(self) -> None:
        """Tell of trouble when it begins, on stderr."""
        assert self.latest is not None
        error = self.latest.round.error
        if error and error != self._error:
            _tell(error)
        self._error = error


def _local_or_test(log: LogFunction) -> _Watched:
    local = _Watched(for_uri(LOCAL), log)
    local.sample()
    assert local.latest is not None
    if local.latest.round.connected:
        return local
    _tell(f"{local.latest.round.error}; showing {FALLBACK} of libvirt's test driver instead")
    return _Watched(for_uri(FALLBACK), log)


def _round(watched: Sequence[_Watched]) -> list[Sample]:
    """One round of all at the same time, in their order."""
    threads = [threading.Thread(target=each.sample, daemon=True) for each in watched]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples = []
    for each in watched:
        if each.latest is not None:
            each.tell()
            samples.append(each.latest)
    return samples


#: Prints the samples of a round.
Show = Callable[[Sequence[_Watched], Sequence[Sample]], None]


def _show_table() -> Show:
    from .table import print_samples  # rich takes its time

    before: dict[str, Sample] = {}

    def show(watched: Sequence[_Watched], samples: Sequence[Sample]) -> None:
        connected = [each for each in samples if each.round.connected]  # stderr has the others
        if connected:
            print_samples(connected, before, sys.stdout)
        sys.stdout.flush()
        before.update((each.uri, each) for each in connected)

    return show


def _show_influx() -> Show:
    writers: dict[int, Callable[[Sample], bytes]] = {}

    def show(watched: Sequence[_Watched], samples: Sequence[Sample]) -> None:
        for index, (each, found) in enumerate(zip(watched, samples)):
            encode = writers.setdefault(index, writer(each.settings).encode)
            _write(encode(found))

    return show


def _show_json() -> Show:
    encode = msgspec.json.Encoder(order="deterministic").encode

    def show(watched: Sequence[_Watched], samples: Sequence[Sample]) -> None:
        for found in samples:
            _write(encode(found) + b"\n")

    return show


_FORMATS: dict[str, Callable[[], Show]] = {
    "table": _show_table,
    "influx": _show_influx,
    "json": _show_json,
}


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


# --- What there is to know ----------------------------------------------------------------------


@domstats.command()
@click.argument("agent", type=click.Choice(["collectd", "telegraf"]))
@click.option("--execd", is_flag=True, help="The part that goes into Telegraf's own configuration.")
def config(agent: str, execd: bool) -> None:
    """Print a ready configuration, with every option explained."""
    from . import ready_config

    if agent == "collectd" and execd:
        raise click.UsageError("--execd is for telegraf: domstats config telegraf --execd")
    if agent == "collectd":
        text = ready_config.collectd_conf()
    else:
        text = ready_config.telegraf_execd() if execd else ready_config.telegraf_toml()
    _write(text.encode())


@domstats.command()
@click.option("--agent", type=click.Choice(["collectd", "telegraf"]), help="Only this agent's.")
def metrics(agent: Optional[str]) -> None:
    """Print every metric that can be sent, as a table."""
    from .metrics_table import metrics as all_metrics
    from .table import print_metrics

    print_metrics((each for each in all_metrics() if agent in (None, each.agent)), sys.stdout)
    sys.stdout.flush()
