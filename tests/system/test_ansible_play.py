"""The Ansible play, on a machine where Telegraf is a service of systemd's."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from release import bundle, dist
from tests.system.debian_root import DebianRoot
from tests.system.services import SUITES, Backends, all_run, samples_arrive, services

PLAY = "/checkout/packaging/ansible/domstats.yml"
TELEGRAF = ("telegraf",)
#: Under Debian 11 Ansible is one package, later its core has one of its own.
ANSIBLE = """\
apt-get -q -y --no-install-recommends install python3-apt ansible-core ||
    apt-get -q -y --no-install-recommends install python3-apt ansible
"""


@pytest.fixture(params=SUITES)
def machine(request: pytest.FixtureRequest, missing: Any, root: None) -> Iterator[DebianRoot]:
    with services(str(request.param), missing) as machine:
        machine.run(ANSIBLE)
        yield machine


@pytest.fixture
def made(machine: DebianRoot, tmp_path: Path) -> Iterator[str]:
    """A bundle for that machine's Python, by its path there."""
    python = machine.run("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'").strip()
    wheel, _ = dist.build(tmp_path)
    folder = machine.out / f"bundle-{os.getpid()}"
    yield f"/out/{folder.name}/{bundle.build(folder, wheel, python, platform.machine()).name}"
    shutil.rmtree(folder)


def test_the_play_switches_domstats_on_and_changes_nothing_twice_and_rolls_back(
    machine: DebianRoot, made: str, start: Callable[..., Any]
) -> None:
    backends = Backends(start)
    backends.start_telegraf(machine)
    [before] = all_run(machine, TELEGRAF)

    def play(*words: str) -> str:
        words = ("--inventory", "localhost,", "--connection", "local", *words, PLAY)
        return machine.run(f"LC_ALL=C.UTF-8 ansible-playbook {shlex.join(words)}")

    said = play("--extra-vars", f"bundle={made}")
    assert "failed=0" in said
    assert "It works" in said
    [with_it] = all_run(machine, TELEGRAF, other_than=[before])
    samples_arrive(machine, backends, TELEGRAF)

    assert "changed=0" in play("--extra-vars", f"bundle={made}")
    assert all_run(machine, TELEGRAF) == [with_it], "nothing has changed, so it was not restarted"

    assert "failed=0" in play("--tags", "rollback")
    all_run(machine, TELEGRAF, other_than=[with_it])
    assert machine.run("ls /etc/telegraf/telegraf.d").split() == ["own.conf"]
    machine.run("test ! -e /opt/domstats")
