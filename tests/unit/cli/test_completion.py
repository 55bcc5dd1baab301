"""What a real bash is offered when somebody presses the tab key, and what other shells get."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from domstats.cli import completion
from domstats.cli import main as cli
from domstats.cli.commands import domstats
from domstats.model import GROUPS

from tests.documents import ROOT, in_backticks

#: Presses tab behind the words: what bash's own completion would show, and how it goes on.
PRESS = """
type -t _domstats_completion >/dev/null || exit 3
compopt() { printf 'compopt %s %s\n' "$@"; }
for line in "${LINES_TO_COMPLETE[@]}"; do
    read -ra COMP_WORDS <<< "${line}x"
    last=$(( ${#COMP_WORDS[@]} - 1 ))
    COMP_WORDS[last]=${COMP_WORDS[last]%x}
    COMP_CWORD=$last
    COMPREPLY=()
    _domstats_completion domstats
    echo "offered: ${COMPREPLY[*]}"
done
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which ``domstats`` is the one of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "domstats"
    script.write_text(
        f"#!/bin/sh\nexec env PYTHONPATH={shlex.quote(str(ROOT / 'plugin'))}"
        f' {shlex.quote(sys.executable)} -m domstats "$@"\n'
    )
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def source_line() -> str:
    """What the README has people put into their ~/.bashrc."""
    found = [text for text in in_backticks(ROOT / "README.md") if text.startswith("source <(")]
    (line,) = found
    return line


def test_bash_is_offered_commands_options_groups_uris_and_files(command: dict[str, str]) -> None:
    expected = {
        "domstats s": "offered: sample",
        "domstats sample --group b": "offered: balloon block",
        "domstats sample --connect q": "offered: qemu:///system",
        "domstats sample --dea": "offered: --deadline",
        "domstats config ": "offered: collectd telegraf",
        "domstats telegraf --config /et": "compopt -o default\noffered: ",
    }
    lines = f"LINES_TO_COMPLETE=({' '.join(map(shlex.quote, expected))})"
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{source_line()}\n{lines}\n{PRESS}"],
        env=command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{each}\n" for each in expected.values())


def ask(instruction: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    monkeypatch.setenv(completion.VARIABLE, instruction)
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert cli.run([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [line.rpartition(",")[2] for line in out.splitlines()]


def test_every_group_and_uri_is_offered(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert ask("bash_complete", "domstats sample --group ", monkeypatch, capsys) == [*GROUPS]
    for name in ("sample", "top", "check"):
        offered = ask("bash_complete", f"domstats {name} --connect ", monkeypatch, capsys)
        assert offered == ["qemu:///system", "test:///default"]


def test_every_option_with_a_file_or_a_hypervisor_offers_something() -> None:
    for name, command in domstats.commands.items():
        for parameter in command.params:
            if {*parameter.opts} & {"--config", "--connect"}:
                context = click.Context(command)
                assert parameter.shell_complete(context, ""), f"{name} {parameter.opts}"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_theirs(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    text = "\n".join(ask(f"{shell}_source", "domstats", monkeypatch, capsys))
    assert re.search(r"domstats", text)
    assert f"{shell}_complete" in text


def test_an_unknown_shell_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv(completion.VARIABLE, "tcsh_source")
    assert cli.run([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'tcsh_source' is none of bash_source, zsh_source, fish_source" in line


def test_a_child_of_telegrafs_heeds_its_command_line_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any
) -> None:
    """Whatever its environment says, which is that of Telegraf."""
    monkeypatch.setenv(completion.VARIABLE, "bash_source")
    assert cli.run(["telegraf", "--config", str(tmp_path / "none")]) == 2
    assert "is the path right" in capfd.readouterr().err
