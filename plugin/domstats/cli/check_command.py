"""``domstats check``: is everything as it should be, from the agent's configuration to the guests?

It must not know how a command line is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from .. import __version__
from ..config import collectd_conf, config_file
from ..config.collectd import MODULE
from ..config.settings import Parsed, Settings
from ..config.telegraf import for_uri
from ..errors import ConfigError
from ..hypervisor.connection import library_version
from ..output.schema import RESERVED_TAGS
from ..output.series_count import Made, added, most_first, total
from ..shown import write
from . import agent_check, count_command, hypervisor_check, switch
from .agent_check import Agent
from .findings import Finding, Report, Section

#: Sampled where no configuration is found.
LOCAL = "qemu:///system"
#: What makes most series is named, so many of them.
_MAKERS = 3
#: Cells of a page that goes into a file or a pipe.
_WIDTH = 80


class Wanted(NamedTuple):
    """What was asked for.

    :param path: of an agent's configuration; empty for those at their usual places.
    :param uris: hypervisors, in place of a configuration.
    """

    path: str = ""
    uris: tuple[str, ...] = ()
    format: str = "text"


def run(wanted: Wanted) -> int:
    """Check, and show what was found.

    :return: the exit status, of ``findings``.
    """
    report = Report()
    report.add(_versions())
    found = _configurations(wanted)
    if not (wanted.path or wanted.uris):
        _check_switches(found, report)
    if not (found or wanted.uris):
        report.add(_nothing_found())
        wanted = wanted._replace(uris=(LOCAL,))
    for path in found:
        _check_configuration(path, report)
    for uri in wanted.uris:
        _check_hypervisor(for_uri(uri), report)
    if wanted.format == "json":
        write(report.json())
    else:
        text = "\n".join(report.lines(_width())) + "\n"
        write(text.encode("utf-8", "backslashreplace"))
    return report.status


def _versions() -> Section:
    python = f"Python {sys.version.split()[0]} ({sys.executable})"
    library = library_version()
    rows = [
        ("domstats", f"{__version__}, {python}"),
        ("libvirt", f"library {library}" if library else "its Python binding is missing"),
        ("user", _user()),
    ]
    return Section("", rows)


def _user() -> str:
    number = os.geteuid()
    return "root, who sees more than an ordinary user" if not number else f"number {number}"


def _width() -> int:
    if not sys.stdout.isatty():
        return _WIDTH
    from .table import console_of  # rich takes its time

    return console_of(sys.stdout).width


# --- Configurations -----------------------------------------------------------------------------


def _configurations(wanted: Wanted) -> list[str]:
    """The configurations to check: those of agents that are set up for domstats."""
    if wanted.path or wanted.uris:
        return [wanted.path] if wanted.path else []
    found = [path for path in (agent_check.TELEGRAF_CHILD,) if _is_for_telegraf(path)]
    return found + [path for path in agent_check.COLLECTD if _imports(path)]


def _is_for_telegraf(path: str) -> bool:
    """Whether Telegraf uses it, or was meant to: a package's is there, too, when switched off."""
    installed = switch.switch_of("telegraf")
    if installed is not None and not installed.on:
        return agent_check.is_started(path, agent_check.TELEGRAF)
    return os.path.exists(path)


def _imports(path: str) -> bool:
    try:
        return MODULE in collectd_conf.read(path).imported
    except ConfigError:
        return False


def _check_switches(found: Sequence[str], report: Report) -> None:
    """What packages have installed for agents, and whether it is on.

    :param found: the configurations that are checked.
    """
    used = {"collectd" if path in agent_check.COLLECTD else "telegraf" for path in found}
    rows: list[tuple[str, str]] = []
    findings: list[Finding] = []
    for each in filter(None, map(switch.switch_of, switch.PLACES)):
        if each.on:
            rows.append((each.agent, f"switched on: {each.link}"))
            findings += [] if each.agent in used else [_not_read(each)]
        elif each.agent in used:
            rows.append((each.agent, "set up without the configuration of its package"))
        else:
            rows.append(
                (each.agent, f"switched off; to switch it on: domstats enable {each.agent}")
            )
    if rows:
        report.add(Section("", rows), findings)


def _not_read(of: switch.Switch) -> Finding:
    return Finding(
        of.link,
        f"it is switched on, and {of.agent} does not read it",
        f"{of.agent} sends nothing of domstats",
        f"have {of.agent}'s own configuration include {os.path.dirname(of.link)}, as that of its"
        " package does",
        breaks=True,
    )


def _nothing_found() -> Section:
    places = ", ".join((agent_check.TELEGRAF_CHILD, *agent_check.COLLECTD))
    text = (
        f"none that is set up for domstats, in {places}: {LOCAL} is checked with the defaults;"
        " name another one with --config, or a hypervisor with --connect"
    )
    return Section("", [("agents", text)])


def _check_configuration(path: str, report: Report) -> None:
    try:
        parsed = config_file.read(path, RESERVED_TAGS)
        agent = _agent(path, parsed.settings)
    except ConfigError as error:
        report.add(Section(path, [("", "has mistakes")]), _mistakes(path, error))
        return
    report.add(agent.section, [*_warnings(path, parsed), *agent.findings])
    for settings in parsed.settings:
        if agent.interval and not settings.interval_fixed:
            settings = msgspec.structs.replace(settings, interval=agent.interval)
        _check_hypervisor(settings, report, agent.name)


def _agent(path: str, settings: list[Settings]) -> Agent:
    if not config_file.is_for_collectd(path):
        return agent_check.of_telegraf(path, agent_check.TELEGRAF)
    return agent_check.of_collectd(path, settings)


def _mistakes(path: str, error: ConfigError) -> list[Finding]:
    means = "what this block or table configures is not sampled"
    remedy = "docs/options.md has every option with what it takes"
    return [Finding(path, _inside(path, text), means, remedy, True) for text in error.mistakes]


def _warnings(path: str, parsed: Parsed) -> list[Finding]:
    means, remedy = "all else is sampled", "change or remove that option"
    return [Finding(path, _inside(path, text), means, remedy) for text in parsed.warnings]


def _inside(path: str, text: str) -> str:
    """A message without the file's name, which stands before it anyway."""
    head = f"{path}: "
    return text[len(head) :] if text.startswith(head) else text


def _check_hypervisor(settings: Settings, report: Report, agent: str = "telegraf") -> None:
    checked = hypervisor_check.check(settings, hypervisor_check.sampler)
    findings = [*checked.findings]
    rows = [*checked.section.rows]
    if checked.sample.round.connected:
        counter = count_command.counter(agent, settings)
        counter.take(checked.sample)
        made = added(counter.made())
        rows.append(("series", _series(made)))
        findings += _too_many(settings, total(made).series)
    report.add(Section(settings.uri, rows), findings)


def _series(made: Made) -> str:
    """How many there are, and who makes most."""
    most = [
        f"{maker.name} {amount.series:,} ({maker.by})"
        for maker, amount in most_first(made)[:_MAKERS]
    ]
    return f"{total(made).series:,}" + (f", most of them {', '.join(most)}" if most else "")


def _too_many(settings: Settings, series: int) -> Iterator[Finding]:
    if settings.max_series is not None and series > settings.max_series:
        yield Finding(
            settings.uri,
            f"{series:,} series, and max_series is {settings.max_series:,}",
            "none is dropped, but the database has to hold them",
            "`domstats metrics --config FILE` shows what makes them, and from which option",
        )
