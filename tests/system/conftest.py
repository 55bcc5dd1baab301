"""The fixtures of the tests with real programs: one bed of guests for all, agents for each."""

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents.program import Absent, find

PROGRAMS = (
    "libvirtd",
    "virtlogd",
    "qemu-system-x86_64",
    "qemu-img",
    "unshare",
    "nsenter",
    "bindfs",
)
GUESTS = 8
INSTALL = "as root, tests/system/install test"

Missing = Callable[[str, str], NoReturn]


@pytest.fixture(scope="session")
def root(missing: Missing) -> None:
    """For tests that mount something, or run a program as somebody else."""
    if os.geteuid() != 0:
        missing("root", "run it as root")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        missing(
            "the right to mount namespaces",
            "a container has to be privileged, and the folder of a chroot to be a mount: "
            "mount --bind FOLDER FOLDER",
        )


@pytest.fixture(scope="session")
def new_bed(missing: Missing, root: None) -> Callable[[], Any]:
    """``new_bed()`` makes a Bed, for tests that want one of their own."""
    if importlib.util.find_spec("libvirt") is None:
        missing("libvirt's Python binding", INSTALL)
    for program in PROGRAMS:
        try:
            find(program)
        except Absent:
            missing(program, INSTALL)
    from tests.system.bed import Bed  # not above, since there may be no libvirt

    return Bed


@pytest.fixture(scope="session")
def _bed_of_all(new_bed: Callable[[], Any]) -> Iterator[Any]:
    with new_bed() as bed:
        yield bed


@pytest.fixture
def bed(_bed_of_all: Any) -> Iterator[Any]:
    """The bed of all tests, with at least GUESTS guests, nothing of it frozen or hung.

    A test may add guests, and removes them again.
    """
    _bed_of_all.ensure(GUESTS)
    before = _bed_of_all.guests
    yield _bed_of_all
    _bed_of_all.heal()
    for guest in _bed_of_all.guests:
        if guest not in before:
            guest.remove()


@pytest.fixture
def start(tmp_path: Path, missing: Missing) -> Iterator[Callable[..., Any]]:
    """``start(Telegraf, configuration)`` starts an agent or a backend until the end of the test."""
    with contextlib.ExitStack() as running:

        def start(program: Callable[..., Any], *arguments: Any, name: str = "") -> Any:
            folder = tmp_path / (name or program.__name__)
            try:
                return running.enter_context(program(folder, *arguments))
            except Absent as absent:
                missing(str(absent), INSTALL)

        yield start
