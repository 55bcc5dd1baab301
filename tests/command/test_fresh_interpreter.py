"""What is loaded by whom, in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from domstats.cli import installed

from tests.documents import ROOT


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugin")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_package_loads_nothing_before_it_is_used() -> None:
    code = "import domstats, sys; print('libvirt' in sys.modules or 'asyncio' in sys.modules)"
    assert python(code) == "False\n"


def test_a_python_that_can_import_what_collectd_will_is_no_reason_for_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "SYSTEM_PYTHON", sys.executable)
    assert installed.for_collectd().warning == ""
