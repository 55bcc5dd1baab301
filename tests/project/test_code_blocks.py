"""Each command and configuration in the documents is one that works.

A block says in its fence what it is (``toml``, ``collectd``, ``python``, ``javascript`` for polkit,
``text`` for output; ``telegraf``, ``carbon`` and ``nats`` for those programs' own, which run in
tests/system/test_fleet.py); without, it is commands for a shell. Python programs of docs/library.md
are run as well, in tests/simhost/test_library_programs.py; the README's commands are typed, in
tests/system/test_readme.py.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import click
import msgspec.toml
import pytest
from domstats.cli import main as cli
from domstats.cli.commands import domstats
from domstats.config import collectd_conf
from domstats.config.collectd import MODULE, parse_collectd
from domstats.config.options import TELEGRAF_GENERIC, TELEGRAF_OPTIONS
from domstats.config.telegraf import from_table
from domstats.errors import ConfigError
from domstats.output.schema import RESERVED_TAGS

from tests.documents import ROOT, Block, blocks, documents, in_backticks, name
from tests.unit.rows import each_row

#: Commands of ours that need neither root nor guests, and are run here. The others, and why not.
RUN = ("config", "metrics")
NOT_RUN = {
    "check": "asks this machine's hypervisors: tests/system/test_check.py",
    "disable": "changes /etc: tests/system/test_debian_packages.py",
    "enable": "changes /etc: tests/system/test_debian_packages.py",
    "metrics --config": "asks hypervisors: tests/system/test_selection_and_cost.py",
    "sample": "asks this machine's hypervisors: tests/system/test_command_line.py, test_readme.py",
    "telegraf": "lives as long as Telegraf: tests/system/test_telegraf_configuration.py",
    "top": "takes the terminal: tests/system/test_top.py",
}
#: Other programs that the documents start, none of which is run here, and why not.
OTHERS = {
    "apt": "installs packages of the distribution",
    "collectd": "needs collectd: tests/system/test_readme.py types it",
    "influx": "needs a database: what it asks is asked in tests/system/test_dashboards.py",
    "kill": "needs a guest: tests/system/test_dashboards.py stops one",
    "make": "its targets are looked up, below",
    "pip": "needs a package index: tests/system/test_readme.py types it",
    "python": "of ours, its modules are looked up, below",
    "python3": "makes the environment in /opt: tests/system/test_readme.py types it",
    "sed": "changes a configuration, of ours in a test below",
    "su": "sets up graphite-web in a Debian",
    "systemctl": "needs systemd",
    "rm": "removes what root has installed: tests/system/test_readme.py types it",
}
#: What ``[[inputs.execd]]`` takes beside what Telegraf takes for every plugin.
EXECD = {*TELEGRAF_GENERIC} | {"interval", "log_stderr"}
#: Options in backticks that are no command's of ours: --passes is one of the benchmarks'.
FOREIGN_OPTIONS = {"--help", "--passes"}


def written_in(language: str) -> list[Block]:
    return [
        block
        for document in documents()
        for block in blocks(document)
        if block.language == language
    ]


# --- Commands -----------------------------------------------------------------------------------


def words_of(line: str) -> list[str]:
    """A command's words, without a comment, ``sudo``, variables and where its output goes."""
    words = shlex.split(line, comments=True)
    if ">" in words:
        words = words[: words.index(">")]
    if words[:2] == ["sudo", "-u"]:
        words = words[3:]
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    return words


def read_by_click(words: list[str]) -> click.Context:
    """Ours, read and not run.

    :raises click.UsageError: no such command or option, or a wrong value.
    """
    top = click.Context(domstats, info_name="domstats", **domstats.context_settings)
    _, command, left = domstats.resolve_command(top, words)
    assert command is not None
    return command.make_context(words[0], left, parent=top)


def check_command(line: str) -> None:
    """The command exists and takes its options.

    A subcommand alone, as prose names it, may lack arguments.
    """
    words = words_of(line)
    if not words:
        return  # a comment
    program = Path(words[0]).name
    if program == "domstats":
        if words[1:2] and not words[1].startswith("-"):
            assert (words[1] in RUN) != (words[1] in NOT_RUN), line
            if words[2:] or words[1] != "config":
                read_by_click(words[1:])
    else:
        assert program in OTHERS, f"{line!r}: neither a program that is known here nor output"
    if program == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets, line
    if program == "python" and words[1] == "-m":
        module = words[2].replace(".", "/")
        roots = (ROOT, ROOT / "plugin")
        places = [root / (module + end) for root in roots for end in (".py", "/__main__.py")]
        assert any(place.exists() for place in places), line
        if module == "bench" and words[3:]:
            assert (ROOT / "bench" / f"{words[3]}.py").exists(), line


def command_lines() -> list[tuple[str, str]]:
    return [(block.place, line) for block in written_in("") for line in block.text.splitlines()]


@each_row(["place", "line"], command_lines())
def test_a_command_is_one_that_exists_with_options_that_it_takes(place: str, line: str) -> None:
    check_command(line)


@each_row(
    "line",
    [
        "domstats smaple",
        "domstats sample --rouns 3",
        "sudo -u telegraf domstats check --format yaml",
        "/opt/domstats/bin/domstats config influx > /etc/x",
        "make everything",
        "python -m bench compete",
        "Domain   State",
    ],
)
def test_a_mistake_in_a_command_is_noticed(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        check_command(line)


def ours_in_backticks() -> Iterator[tuple[str, str]]:
    command = re.compile(r"(sudo -u \w+ )?(/opt/domstats/bin/)?domstats [^…]+")
    for document in documents():
        for text in in_backticks(document):
            if command.fullmatch(text):
                yield name(document), text


@each_row(["document", "line"], ours_in_backticks())
def test_a_command_in_backticks_is_one_too(document: str, line: str) -> None:
    check_command(line)


def test_an_option_in_backticks_is_one_of_a_command() -> None:
    known = {
        option
        for command in domstats.commands.values()
        for p in command.params
        for option in p.opts
    }
    for document in documents():
        for text in in_backticks(document):
            if document.parts[-3:-1] != ("tests", "simhost") and re.match(r"--[a-z]", text):
                assert text.split()[0] in known | FOREIGN_OPTIONS, f"{name(document)}: {text}"


def runnable() -> list[str]:
    ours = [words_of(line)[1:] for _, line in command_lines() if "domstats" in line]
    ours += [words_of(line)[1:] for _, line in ours_in_backticks()]
    lines = {" ".join(words) for words in ours if words[:1] and words[0] in RUN} - {"config"}
    return sorted(line for line in lines if not line.startswith(tuple(NOT_RUN)))


@each_row("line", runnable())
def test_what_can_be_run_here_prints_what_it_promises(line: str, capfdbinary: Any) -> None:
    assert cli.run(line.split()) == 0
    assert capfdbinary.readouterr().out


def test_sed_finds_the_option_that_it_is_to_switch_on(capfdbinary: Any) -> None:
    switched = 0
    for _place, line in command_lines():
        found = re.search(r"sed -i 's/(# ?\w+ (?:= )?false)/.*/(\w+)\.(?:conf|toml)$", line)
        if found:
            agent = "telegraf" if "telegraf" in line else "collectd"
            assert cli.run(["config", agent]) == 0
            assert capfdbinary.readouterr().out.decode().count(found[1]) == 1
            switched += 1
    assert switched == 2


# --- Configurations -----------------------------------------------------------------------------


def check_toml(text: str) -> None:
    document = msgspec.toml.decode(text)
    inputs = document.get("inputs", {})
    if {*document} == {"outputs"}:
        return  # Telegraf itself looks at it: tests/system/test_documents.py
    assert {*document} == {"inputs"}, f"a table of neither ours nor Telegraf's inputs: {document}"
    assert {*inputs} <= {"libvirt", "execd"}, inputs
    for table in inputs.get("libvirt", ()):
        # In Telegraf's own configuration there may be what Telegraf does for every plugin.
        own = {key: value for key, value in table.items() if key not in TELEGRAF_GENERIC}
        from_table(own, RESERVED_TAGS, {})
        if own != table:
            ours = [key for key in own if TELEGRAF_OPTIONS[key].ours]
            assert not ours, f"{ours} beside options of Telegraf's: nobody takes both"
    for table in inputs.get("execd", ()):
        assert {*table} <= EXECD, table
        assert table["data_format"] == "influx"
        check_command(shlex.join(table["command"]))


def check_collectd(text: str, path: Path) -> None:
    if "<Module" in text and "<Plugin python>" not in text:
        text = f'LoadPlugin python\n<Plugin python>\nImport "{MODULE}"\n{text}</Plugin>\n'
    path.write_text(text)
    conf = collectd_conf.read(str(path))
    assert not [each for each in conf.modules if each.ignored]
    found = conf.blocks(MODULE)
    found += [node for node in conf.nodes if node.key == "Plugin" and node.text == "virt"]
    if any(node.key == "Plugin" and node.text == "write_graphite" for node in conf.nodes):
        return  # collectd itself looks at it: tests/system/test_documents.py
    assert found, "neither a block of ours nor one of virt"
    for node in found:
        parse_collectd(node, node.place)


def polkit(text: str) -> None:
    assert text.startswith("polkit.addRule(function(action, subject) {")
    depth = 0
    for character in text:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert "org.libvirt.unix.monitor" in text, "the action that reading needs, and no other"
    assert "org.libvirt.unix.manage" not in text


def telegraf(text: str) -> None:
    """What is Telegraf's own, without ours."""
    document = msgspec.toml.decode(text)
    assert {*document} <= {"agent", "inputs", "outputs"}, document
    assert {*document.get("inputs", {})} <= {"nats_consumer"}
    assert {*document["outputs"]} <= {"nats", "influxdb"}


def carbon(text: str) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    assert parser.sections()
    for section in parser.sections():
        options = dict(parser[section])
        program = section.partition(":")[0]
        assert program in ("relay", "cache") or {*options} == {"pattern", "retentions"}, section


def nats(text: str) -> None:
    assert text.count("{") == text.count("}")
    for line in text.splitlines():
        assert re.fullmatch(r'#.*|\w+ \{|\}| *\w+: ("[^"]*"|\w+)', line), line


CHECKS: dict[str, Callable[[str, Path], object]] = {
    "": lambda text, path: None,  # line by line, above
    "carbon": lambda text, path: carbon(text),
    "collectd": check_collectd,
    "javascript": lambda text, path: polkit(text),
    "nats": lambda text, path: nats(text),
    "python": lambda text, path: compile(text, "document", "exec"),
    "telegraf": lambda text, path: telegraf(text),
    "text": lambda text, path: None,  # output
    "toml": lambda text, path: check_toml(text),
    "yaml": lambda text, path: None,  # Prometheus's: tests/system/test_documents.py
}


@each_row("block", [block for document in documents() for block in blocks(document)])
def test_a_block_is_of_a_known_language_and_right_in_it(block: Block, tmp_path: Path) -> None:
    assert block.language in CHECKS, f"{block.place}: a fence names one of {sorted(CHECKS)}"
    CHECKS[block.language](block.text, tmp_path / "collectd.conf")


@each_row("document", documents())
def test_no_block_is_overlooked(document: Path) -> None:
    fences = re.findall(r"^ *(?:```|~~~)", document.read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(document)), f"{name(document)}: an odd fence"


@each_row(
    "text",
    [
        "[[inputs.libvirt]]\nlanes = 400\n",
        "[[inputs.libvirt]]\nstatistic_groups = []\n",
        '[[inputs.libvirt]]\nrates = true\n[inputs.libvirt.tags]\na = "b"\n',
        '[[inputs.execd]]\ncommands = []\ndata_format = "influx"\n',
        '[[inputs.execd]]\ncommand = ["domstats", "telegraf"]\ndata_format = "influx"\n',
        "[agent]\n",
    ],
)
def test_a_mistake_in_toml_is_noticed(text: str) -> None:
    with pytest.raises((ConfigError, AssertionError, click.UsageError)):
        check_toml(text)


@each_row(
    "text",
    [
        f'<Module "{MODULE}">\n  HostnameFormt "name"\n</Module>\n',
        '<Module "domstats">\n</Module>\n',
        '<Plugin virt>\n  RefreshInterval "soon"\n</Plugin>\n',
        "<Plugin cpu>\n</Plugin>\n",
        f'<Module "{MODULE}">\n',
    ],
)
def test_a_mistake_in_collectds_configuration_is_noticed(text: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, AssertionError)):
        check_collectd(text, tmp_path / "collectd.conf")
