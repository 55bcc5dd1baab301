"""What is offered when somebody presses the tab key; tests/command asks a real bash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from domstats.cli import completion
from domstats.cli import main as cli
from domstats.cli.commands import domstats
from domstats.model import GROUPS

from tests.unit.rows import each_row


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


@each_row("shell", ["zsh", "fish"])
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
