"""What people type: the command ``domstats``, as click reads it.

It must not know how errors are shown, nor exit statuses but its own.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Optional

import click
import msgspec

from . import __version__
from .adapter import LogFunction, SamplerLike, Unexpected, sampler
from .errors import ConfigError
from .model import Sample
from .settings import Settings, for_uri, seconds, share_budget
from .shown import tell
from .telegraf_execd import writer

#: The exit status of a command that could sample nothing.
FAILED = 1

#: Tried in this order without --connect.
LOCAL, FALLBACK = "qemu:///system", "test:///default"


def obey(arguments: Sequence[str]) -> int:
    """Obey a command line.

    :return: the exit status.
    :raises ConfigError: wrong usage.
    """
    try:
        with domstats.make_context("domstats", list(arguments or ["--help"])) as context:
            status = domstats.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "domstats"
        raise ConfigError(f"{error.format_message()} (see {command} --help)") from None
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None


def _to_seconds(
    context: click.Context, parameter: click.Parameter, text: Optional[str]
) -> Optional[float]:
    """A time as in the configuration: 10, 0.5, 500ms, 1m30s."""
    try:
        return None if text is None else seconds(text)
    except ConfigError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def domstats() -> None:
    """What every virtual machine of a libvirt hypervisor does, for collectd and Telegraf."""


@domstats.command()
@click.option("--config", "path", required=True, metavar="FILE", help="TOML, [[inputs.libvirt]].")
@click.option(
    "--interval",
    callback=_to_seconds,
    metavar="S",
    help="Make a round every S seconds, instead of at each line on stdin.",
)
def telegraf(path: str, interval: Optional[float]) -> int:
    """Run as a child of Telegraf's inputs.execd."""
    from . import telegraf_child  # libvirt takes its time

    return telegraf_child.run(path, interval)


# --- Samples without an agent -------------------------------------------------------------------


@domstats.command("sample")
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
    callback=_to_seconds,
    default="2",
    show_default=True,
    metavar="S",
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
            tell(text)
        watched = [_Watched(settings, log) for settings in hypervisors]
    else:
        watched = [_local_or_test(log)]
    show = _FORMATS[format_]()
    sampled = False
    number = 0
    while True:
        began = time.monotonic()
        found = _round(watched)
        sampled = sampled or any(sample.round.connected for _, sample in found)
        show(found)
        number += 1
        if rounds and number >= rounds:
            return 0 if sampled else FAILED
        time.sleep(max(0.0, began + interval - time.monotonic()))


def _settings(uri: str) -> Settings:
    try:
        return for_uri(uri)
    except ConfigError as error:
        raise ConfigError(f"--connect: {error}") from None


def _no_log(level: str, text: str) -> None:
    """A sample says itself what is wrong with it."""


def _verbose_log(level: str, text: str) -> None:
    tell(f"{level}: {text}")


class _Watched:
    """A hypervisor, its sampler, and its last sample."""

    def __init__(self, settings: Settings, log: LogFunction) -> None:
        self.settings = settings
        self.latest: Optional[Sample] = None
        self._sampler: SamplerLike = sampler(settings, log)
        self._unexpected = Unexpected(tell)
        self._error = ""

    def sample(self) -> None:
        """Make a round; ``latest`` is its sample then."""
        try:
            self.latest = self._sampler.sample()
        except Exception as error:
            self.latest = None
            self._unexpected(f"{self.settings.uri}: a round failed", error)

    def tell(self, error: str) -> None:
        """Tell of trouble when it begins."""
        if error and error != self._error:
            tell(error)
        self._error = error


def _local_or_test(log: LogFunction) -> _Watched:
    local = _Watched(for_uri(LOCAL), log)
    local.sample()
    if local.latest is not None and local.latest.round.connected:
        return local
    why = f"{local.latest.round.error}; " if local.latest else ""
    tell(f"{why}showing {FALLBACK} of libvirt's test driver instead")
    return _Watched(for_uri(FALLBACK), log)


#: What a round found: hypervisors with their samples.
_Found = Sequence[tuple[_Watched, Sample]]


def _round(watched: Sequence[_Watched]) -> _Found:
    """One round of all at the same time, in their order."""
    threads = [threading.Thread(target=each.sample, daemon=True) for each in watched]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(each, each.latest) for each in watched if each.latest is not None]
    for each, sample in found:
        each.tell(sample.round.error)
    return found


#: Prints what a round found.
Show = Callable[[_Found], None]


def _show_table() -> Show:
    from .table import print_samples  # rich takes its time

    before: dict[str, Sample] = {}

    def show(found: _Found) -> None:
        # Of those that could not be asked stderr has told already.
        samples = [sample for _, sample in found if sample.round.connected]
        if samples:
            print_samples(samples, before, sys.stdout)
            sys.stdout.flush()
        before.update((sample.uri, sample) for sample in samples)

    return show


def _show_influx() -> Show:
    writers: dict[_Watched, Callable[[Sample], bytes]] = {}

    def show(found: _Found) -> None:
        for each, sample in found:
            encode = writers.setdefault(each, writer(each.settings).encode)
            _write(encode(sample))

    return show


def _show_json() -> Show:
    encode = msgspec.json.Encoder(order="deterministic").encode

    def show(found: _Found) -> None:
        for _, sample in found:
            _write(encode(sample) + b"\n")

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
    """Print a ready configuration, with every option explained.

    It works as it is with the domstats that prints it.
    """
    from . import installed, ready_config

    if agent == "collectd" and execd:
        raise click.UsageError("--execd is for telegraf: domstats config telegraf --execd")
    if agent == "collectd":
        paths, warning = installed.for_collectd()
        text = ready_config.collectd_conf(paths)
    elif execd:
        command, python_path, warning = installed.for_telegraf()
        text = ready_config.telegraf_execd(command, python_path)
    else:
        text, warning = ready_config.telegraf_toml(), ""
    _write(text.encode("utf-8", "surrogateescape"))
    if warning:
        tell(warning)


@domstats.command()
@click.option("--agent", type=click.Choice(["collectd", "telegraf"]), help="Only this agent's.")
def metrics(agent: Optional[str]) -> None:
    """Print every metric that can be sent, as a table."""
    from .metrics_table import metrics as all_metrics
    from .table import print_rows

    titles = ("Agent", "Metric", "From", "Type", "Kind", "Unit", "What it is", "Only with")
    print_rows(titles, (row for row in all_metrics() if agent in (None, row.agent)), sys.stdout)
    sys.stdout.flush()
