"""The public interface as a type checker sees it, in a user's programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import domstats
import pytest

from tests.examples import programs

pytest.importorskip("mypy", reason="missing: mypy; pip install mypy")

PACKAGE = Path(domstats.__file__).parent

MISTAKES = """
from typing import Optional
from domstats import DomstatsError, Hypervisor, Query, Sample

def callback(sample: Optional[Sample], error: Optional[DomstatsError], opaque: str) -> None: ...
def ready(source: Hypervisor, result: Query[str], opaque: str) -> None: ...

with Hypervisor() as hypervisor:
    hypervisor.query(callback, "right").cancel()
    hypervisor.begin(ready, "right").opaque.upper()
    hypervisor.query(callback, 1)
    hypervisor.begin(ready, 1)
    hypervisor.sample(groups=1)
    hypervisor.sample().domains[0].no_such_name
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What mypy has found out about the package is of use to the next test."""
    return tmp_path_factory.mktemp("mypy")


def checked(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """mypy --strict on a user's programs; libvirt has no types."""
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-libvirt.*]\nignore_missing_imports = True\n")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "."],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )


def test_the_programs_of_the_documentation_are_right_by_mypy_strict(tmp_path, cache):
    for name, text in programs().items():
        (tmp_path / name).write_text(text)
    finished = checked(tmp_path, cache)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_mistakes_in_using_the_interface_are_found_by_mypy(tmp_path, cache):
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    found = checked(tmp_path, cache).stdout
    lines = {int(line.split(":")[1]) for line in found.splitlines() if ": error:" in line}
    assert lines == {11, 12, 13, 14}, found


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
