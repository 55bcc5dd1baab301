"""What `make` sets up, on machines that are not like the one it was written on."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.system.configurations import ROOT

MADE = shutil.ignore_patterns(".git", ".venv", ".build", ".*_cache", "*.egg-info", "__pycache__")
#: What the environment of the tests has installed, so that pip asks no package index.
INSTALLED = {"PIP_NO_INDEX": "1", "PYTHONPATH": sysconfig.get_path("purelib")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh one, in a folder with a blank in its name."""
    return Path(shutil.copytree(ROOT, tmp_path / "dom stats", symlinks=True, ignore=MADE))


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHON": "", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def python_without_libvirt(folder: Path) -> Path:
    """Another python3, as pyenv's or one in /usr/local."""
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')
    python.chmod(0o755)
    return python


def test_the_distributions_python_is_taken_whatever_python3_comes_first_in_path(
    tmp_path: Path,
) -> None:
    path = f"{python_without_libvirt(tmp_path).parent}:{os.environ['PATH']}"
    chosen = run(ROOT, "tests/system/install", "run", PATH=path)
    assert (chosen.returncode, chosen.stdout) == (0, "/usr/bin/python3\n")


def test_a_python_that_will_not_do_is_told_with_what_to_install(tmp_path: Path) -> None:
    python = str(python_without_libvirt(tmp_path))
    without_headers = {"PYTHON": python, "PKG_CONFIG_LIBDIR": str(tmp_path)}  # of libvirt
    chosen = run(ROOT, "tests/system/install", "run", **without_headers)
    assert (chosen.returncode, chosen.stdout) == (1, "")
    assert f"{python}: it has no module libvirt" in chosen.stderr
    assert "apt-get install python3 python3-venv python3-libvirt" in chosen.stderr


def test_make_run_needs_nothing_but_what_the_package_requires(checkout: Path) -> None:
    """Neither setuptools nor a pip that knows editable mode, nor an index if all is there."""
    made = run(checkout, "make", "run", **INSTALLED)
    assert "running" in made.stdout, made.stderr
    where = "import domstats; print(domstats.__file__)"
    found = run(checkout, ".venv/bin/python", "-c", where, **INSTALLED)
    assert found.stdout == f"{checkout}/plugin/domstats/__init__.py\n"
    told = run(checkout, ".venv/bin/domstats", "--version", **INSTALLED)
    assert told.stdout.startswith("domstats")


@pytest.mark.usefixtures("root")
def test_a_folder_that_cannot_be_written_to_is_told(checkout: Path) -> None:
    read_only = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && make run'
    made = run(checkout, "unshare", "--mount", "sh", "-c", read_only)
    assert made.returncode != 0
    assert f"nothing can be written to {checkout}; run make in a copy of it" in made.stderr
