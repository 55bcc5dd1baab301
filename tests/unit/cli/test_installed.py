"""Where the package lies, for programs that start it for somebody else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import domstats
import msgspec
import pytest
from domstats.cli import installed

PLUGIN = str(Path(domstats.__file__).resolve().parents[1])
DEPENDENCIES = str(Path(msgspec.__file__).parents[1])


def a_script(folder: Path, mode: int = 0o755) -> Path:
    path = folder / "domstats"
    path.write_text("#!/usr/bin/python3\n")
    path.chmod(mode)
    return path


def an_interpreter(folder: Path, *lines: str) -> str:
    """What can be run in an interpreter's place."""
    path = folder / "python3"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_a_command_that_is_installed_is_started_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = a_script(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert installed.start_words("domstats", "/venv/bin/python") == (str(script),)


def test_a_module_is_started_by_the_interpreter_that_runs_it() -> None:
    started = str(Path(domstats.__file__).with_name("__main__.py"))
    expected = ("/venv/bin/python", "-m", "domstats")
    assert installed.start_words(started, "/venv/bin/python") == expected
    assert installed.start_words("-c", "/venv/bin/python") == expected


def test_a_script_that_cannot_be_run_by_itself_is_not_named(tmp_path: Path) -> None:
    script = a_script(tmp_path, 0o644)
    assert installed.start_words(str(script), "python")[0] == "python"


def test_only_folders_that_are_not_searched_anyway_are_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    folders = (str(tmp_path / "link"), "/elsewhere")
    assert installed.not_searched(folders, [str(tmp_path)]) == ("/elsewhere",)


def test_collectd_is_told_of_the_dependencies_first_so_that_the_package_counts_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "SYSTEM_PYTHON", an_interpreter(tmp_path, "echo '[]'"))
    paths, warning = installed.for_collectd()
    assert paths[-1] == PLUGIN
    assert DEPENDENCIES in paths
    assert warning == ""


def test_collectd_is_told_of_nothing_that_its_python_finds_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = f'["{PLUGIN}", "{DEPENDENCIES}"]'
    monkeypatch.setattr(installed, "SYSTEM_PYTHON", an_interpreter(tmp_path, f"echo '{known}'"))
    paths, _ = installed.for_collectd()
    assert not {PLUGIN, DEPENDENCIES} & set(paths)


def test_a_python_of_collectds_that_cannot_import_us_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = (
        'case "$3" in *collectd_plugin*) echo "ImportError: no msgspec" >&2; exit 1;; esac',
        "echo '[]'",
    )
    monkeypatch.setattr(installed, "SYSTEM_PYTHON", an_interpreter(tmp_path, *refuses))
    _, warning = installed.for_collectd()
    assert "ImportError: no msgspec" in warning
    assert "-m venv" in warning


def test_telegrafs_child_is_told_of_folders_that_only_this_users_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(a_script(tmp_path)), "config"])
    monkeypatch.setattr(sys, "executable", an_interpreter(tmp_path, "echo '[]'"))
    command, python_path, _ = installed.for_telegraf()
    assert command == (str(tmp_path / "domstats"),)
    assert python_path[0] == PLUGIN
    assert DEPENDENCIES in python_path


def test_a_folder_that_others_may_not_enter_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    script = a_script(folder)
    assert installed.closed_at("/usr/bin/env") == ""
    folder.chmod(0o700)
    closed = installed.closed_at(str(script))
    assert closed
    assert str(folder).startswith(closed)
    assert installed.closed_at(os.path.join("/nonexistent", "x")) == "/nonexistent"
