"""What is loaded by whom, in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from domstats.cli import installed

from tests.documents import ROOT


def python(code: str, *arguments: str, stdin: str = "") -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugin")},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


#: A tick, as Telegraf gives it, and what is loaded when its round is written.
CHILD = """
import sys
from domstats.cli import main
status = main.run(["telegraf", "--config", sys.argv[1]])
for_people = ("click", "rich", "difflib", "domstats.cli.table", "lxml")
print("loaded:", status, *(name for name in for_people if name in sys.modules))
"""


def test_telegrafs_child_samples_without_what_only_people_or_labels_need(tmp_path: Path) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\n')
    *lines, loaded = python(CHILD, str(path), stdin="\n").splitlines()
    assert any(line.startswith("libvirt_block,") for line in lines)
    assert loaded.split() == ["loaded:", "0"]


def test_the_package_loads_nothing_before_it_is_used() -> None:
    code = "import domstats, sys; print('libvirt' in sys.modules or 'asyncio' in sys.modules)"
    assert python(code) == "False\n"


def test_a_python_that_can_import_what_collectd_will_is_no_reason_for_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "SYSTEM_PYTHON", sys.executable)
    assert installed.for_collectd().warning == ""
