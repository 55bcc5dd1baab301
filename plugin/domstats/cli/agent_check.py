"""Part of ``domstats check``: what stands between a configuration and the agent that is to use it.

For Telegraf: does its configuration start us, as whom, and does its own plugin run beside? For
collectd: does the Python that it embeds find the package, and does virt run beside? It must not
know hypervisors.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ..agents.collectd_daemon import Configuration, Daemon
from ..config import collectd_conf
from ..config.settings import Settings
from ..config.telegraf import content_of, document_of, seconds
from ..errors import ConfigError
from ..shown import one_line
from . import installed
from .findings import Finding, Section

#: Where the distributions' packages have the agents' configurations.
TELEGRAF_CHILD = "/etc/telegraf/domstats.toml"
COLLECTD = ("/etc/collectd/collectd.conf", "/etc/collectd.conf")
TELEGRAF = ("/etc/telegraf/telegraf.conf", "/etc/telegraf/telegraf.d/*.conf")
#: The user as whom Telegraf's packages run it.
TELEGRAF_USER = "telegraf"

#: Seconds for a round as the agent's user.
_PATIENCE_S = 30.0


class Agent(NamedTuple):
    """What was found of an agent.

    :param name: ``telegraf`` or ``collectd``.
    :param interval: seconds between its rounds; None where that is not known.
    """

    name: str
    section: Section
    findings: list[Finding]
    interval: Optional[float] = None


# --- collectd -----------------------------------------------------------------------------------


def of_collectd(path: str, settings: Sequence[Settings]) -> Agent:
    """Look at a configuration of collectd's that imports domstats.

    :raises ConfigError: it cannot be read.
    """
    conf = collectd_conf.read(path)
    paths = [
        each.text
        for node in conf.nodes
        if node.key.lower() == "plugin" and node.text.lower() == "python"
        for each in node.named("ModulePath")
    ]
    python, error = installed.collectds_python(paths[::-1])
    findings: list[Finding] = []
    if error:
        findings.append(
            Finding(
                path,
                f"the Python that collectd embeds, {python or 'python3'}, cannot import domstats:"
                f" {error}",
                "collectd runs without domstats",
                "compare its ModulePath with what `domstats config collectd` prints; install what"
                f" is missing for {python or 'the system’s Python'}",
                breaks=True,
            )
        )
    if "virt" in conf.loaded:
        beside = Configuration(Daemon(configuration=path)).beside(settings)
        if beside:
            what, _, remedy = beside.partition(". Remove ")
            findings.append(
                Finding(path, what, "the values of both are useless", f"Remove {remedy}")
            )
    rows = [
        ("agent", "collectd"),
        ("Python", f"{python}; finds domstats and libvirt" if not error else "see below"),
        ("virt", "also loaded" if "virt" in conf.loaded else "not loaded beside domstats"),
    ]
    return Agent("collectd", Section(path, rows), findings, conf.interval)


# --- Telegraf -----------------------------------------------------------------------------------


class _Execd(NamedTuple):
    """An ``[[inputs.execd]]`` table that starts domstats with a configuration.

    :param command: the words that start domstats, without its own arguments.
    :param paces_itself: whether the command has an interval of its own.
    """

    file: str
    command: tuple[str, ...]
    table: Mapping[str, Any]
    paces_itself: bool


def of_telegraf(path: str, places: Iterable[str], user: str = TELEGRAF_USER) -> Agent:
    """Look at how Telegraf starts domstats with a configuration.

    :param path: of the ``domstats.toml``.
    :param places: patterns of Telegraf's own configuration files.
    :param user: who Telegraf runs as.
    """
    files, findings = _documents(places)
    starts = [each for name, document in files.items() for each in _execds(name, document, path)]
    own = [name for name, document in files.items() if _tables(document, "libvirt")]
    findings += _of_start(path, starts, [*files])
    findings += [
        Finding(
            name,
            "Telegraf's own plugin has an active [[inputs.libvirt]] table beside domstats",
            "both ask the same guests, and two series of one name and time overwrite each other;"
            " a guest that hangs blanks those of the plugin",
            f"move the table into {path}, or comment it out",
        )
        for name in own
        if starts
    ]
    rows = [
        ("agent", "Telegraf"),
        ("started by", starts[0].file if starts else "no [[inputs.execd]] table that was found"),
        ("its plugin", f"active in {own[0]}" if own else "[[inputs.libvirt]] is not active"),
    ]
    for start in starts[:1]:
        seen, problems = _as_user(start, path, user)
        rows.append(("as its user", seen))
        findings += problems
    interval = _interval(files.values()) if starts else None
    return Agent("telegraf", Section(path, rows), findings, interval)


def is_started(path: str, places: Iterable[str]) -> bool:
    """Whether an ``[[inputs.execd]]`` table of Telegraf's starts domstats with a configuration."""
    files, _ = _documents(places)
    return any(True for name in files for _ in _execds(name, files[name], path))


def _documents(places: Iterable[str]) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Telegraf's configuration files by name, and findings about those that cannot be read."""
    files: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    for name in (name for place in places for name in sorted(glob(place))):
        try:
            files[name] = document_of(content_of(name), name)
        except ConfigError as error:
            findings.append(
                Finding(
                    name,
                    str(error),
                    "what Telegraf does with it is not known",
                    "telegraf config check, as Telegraf's user",
                )
            )
    return files, findings


def _tables(document: Mapping[str, Any], plugin: str) -> list[Mapping[str, Any]]:
    inputs = document.get("inputs")
    tables = inputs.get(plugin, []) if isinstance(inputs, dict) else []
    tables = [tables] if isinstance(tables, dict) else tables
    return [table for table in tables if isinstance(table, dict)]


def _execds(name: str, document: Mapping[str, Any], path: str) -> Iterator[_Execd]:
    for table in _tables(document, "execd"):
        words = table.get("command")
        if not isinstance(words, list) or "telegraf" not in words or "--config" not in words:
            continue
        at, of = words.index("telegraf"), words.index("--config")
        if of + 1 < len(words) and _is_same(str(words[of + 1]), path):
            command = tuple(str(word) for word in words[:at])
            yield _Execd(name, command, table, "--interval" in words)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _of_start(path: str, starts: Sequence[_Execd], files: Sequence[str]) -> Iterator[Finding]:
    if not starts:
        yield Finding(
            path,
            "no [[inputs.execd]] table starts domstats with this file, in"
            f" {', '.join(files) or 'no file of Telegraf’s that was found'}",
            "Telegraf gets nothing of it",
            "domstats config telegraf --execd > /etc/telegraf/telegraf.d/domstats.conf",
            breaks=bool(files),
        )
    elif len(starts) > 1:
        yield Finding(
            path,
            f"{len(starts)} [[inputs.execd]] tables start domstats with this file:"
            f" {', '.join(each.file for each in starts)}",
            "each guest is sampled as often, and the points overwrite each other",
            "leave one of them",
        )
    for each in starts:
        if each.table.get("data_format") != "influx":
            yield Finding(
                each.file,
                f"data_format is {each.table.get('data_format')!r}, and domstats writes influx",
                "Telegraf cannot read what domstats sends",
                'data_format = "influx"',
                breaks=True,
            )
        if each.table.get("signal") != "STDIN" and not each.paces_itself:
            yield Finding(
                each.file,
                "signal is not STDIN, and the command has no --interval",
                "nobody says when a round is due, so there is none",
                'signal = "STDIN"',
                breaks=True,
            )


def _as_user(start: _Execd, path: str, user: str) -> tuple[str, list[Finding]]:
    """One round as the user that Telegraf runs as: what is seen, and findings."""
    if os.geteuid() != 0:
        return _looked_at(start, path)
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return f"not tried: there is no user {user}", []
    words = [*start.command, "sample", "--config", path, "--format", "influx"]
    try:
        done = subprocess.run(
            words,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=os.getgrouplist(user, entry.pw_gid),
            env={"PATH": os.defpath, "HOME": entry.pw_dir, **_environment(start.table)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{user} cannot start it", [_cannot(start.file, user, str(error))]
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        return f"{user} cannot sample", [_cannot(start.file, user, said)]
    return f"{user} has sampled: {done.stdout.count(10)} lines", []


def _cannot(file: str, user: str, said: str) -> Finding:
    return Finding(
        file,
        f"Telegraf's user {user} cannot sample: {one_line(said, 300)}",
        "Telegraf gets no samples",
        f"try it as that user: sudo -u {user} domstats sample --config FILE",
        breaks=True,
    )


def _looked_at(start: _Execd, path: str) -> tuple[str, list[Finding]]:
    """What can be said without being root: whether others may reach the files at all."""
    closed = next(filter(None, map(installed.closed_at, (start.command[0], path))), "")
    if not closed or Path(closed).owner() == TELEGRAF_USER:
        return "not tried, as that takes root; what it needs can be read by all", []
    return "it may not read what it needs", [
        Finding(
            start.file,
            f"other users may not look into {closed}",
            "Telegraf cannot start domstats, unless it runs as its owner",
            "let all read it, or have root run this check, which tries it as Telegraf's user",
        )
    ]


def _environment(table: Mapping[str, Any]) -> dict[str, str]:
    given = table.get("environment")
    pairs = (str(each).partition("=") for each in given) if isinstance(given, list) else ()
    return {name: value for name, _, value in pairs}


def _interval(documents: Iterable[Mapping[str, Any]]) -> Optional[float]:
    """Seconds, of Telegraf's ``[agent]`` table."""
    for document in documents:
        agent = document.get("agent")
        text = agent.get("interval") if isinstance(agent, dict) else None
        if isinstance(text, str):
            try:
                return seconds(text)
            except ConfigError:
                return None
    return None
