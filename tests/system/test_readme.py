"""The README followed to the letter: its commands install domstats, switch it on in both agents,
and leave nothing behind in the end.

They run in a mount namespace that has an /etc, /opt and /run of its own, with the bed's libvirtd
at the place of the system's. Left out are the packages of the distribution; and pip takes what
domstats requires from where the tests have it, not from the package index.
"""

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import lines
from tests.system.agents.collectd_agent import CONFIGURATION as COLLECTD
from tests.system.agents.collectd_agent import TYPES
from tests.system.agents.program import Program
from tests.system.agents.telegraf_agent import BUILT
from tests.system.agents.telegraf_agent import CONFIGURATION as TELEGRAF
from tests.system.command_line import typed
from tests.system.configurations import ROOT
from tests.system.waiting import wait_for

README = (ROOT / "README.md").read_text()
MADE = shutil.ignore_patterns(".git", ".venv", ".build", ".*_cache", "*.egg-info", "__pycache__")
#: What a shell of root's has, and a daemon: nothing of the environment that the tests run in.
PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
ORDINARY_USER = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
#: First in the path: a new environment's setuptools may be too old to build without "wheel".
PACKAGES = 'import sys; sys.path.insert(0, "/opt/packages")'

BEGIN = """\
mount --bind {folder}/etc /etc
mount -t tmpfs -o mode=755 none /opt
mount -t tmpfs -o mode=755 none /run
mkdir /run/libvirt /opt/packages
mount --bind {sockets} /run/libvirt
mount --bind '{packages}' /opt/packages
echo begun
exec cat
"""


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title}"
    return found[1]


def commands(title: str) -> list[str]:
    """What a section tells the user to type, line by line."""
    blocks = re.findall(r"^```\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)
    typed = [line for line in "".join(blocks).splitlines() if line]
    assert typed, f"the section {title} has no commands"
    return typed


class Machine:
    """What root types on it, as long as its first process lives."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.folder = folder
        of = f"/proc/{pid}"
        places = (f"--mount={of}/ns/mnt", f"--root={of}/root", f"--wd={of}/cwd")
        self.within = ["nsenter", *places, "--"]

    def type(self, command: str) -> str:
        return typed(command, PLAIN, self.within)

    def files(self) -> set[str]:
        return set(self.type("find /etc /opt /var/tmp -xdev").splitlines())


@pytest.fixture
def machine(bed: Any) -> Iterator[Machine]:
    """It has both agents' configuration folders, and a checkout of domstats."""
    folder = Path(tempfile.mkdtemp(prefix="domstats-readme-"))
    folder.chmod(0o755)
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
    for parts in "telegraf/telegraf.d", "collectd/collectd.conf.d":
        shutil.rmtree(folder / "etc" / parts, ignore_errors=True)
        (folder / "etc" / parts).mkdir(parents=True)
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=MADE)
    begin = BEGIN.format(
        folder=folder, sockets=bed.folder / "sockets", packages=sysconfig.get_path("purelib")
    )
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-e", "-c", begin],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=PLAIN,
        cwd=folder / "checkout",
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == b"begun\n"
        yield Machine(first.pid, folder)
        first.stdin.close()
    shutil.rmtree(folder)


def install(machine: Machine) -> str:
    """Type the commands of the section; returns what the last one prints."""
    told = ""
    for command in commands("Install"):
        if command.startswith("apt "):
            continue
        if "pip install" in command:
            machine.type(f"cd /opt/domstats/lib/*/site-packages && echo '{PACKAGES}' >all.pth")
            command = command.replace(" install", " install --no-index --no-build-isolation")
        told = machine.type(command)
    return told


def test_telegraf_as_an_ordinary_user_has_samples_and_nothing_is_left_behind(
    bed: Any, machine: Machine, start: Callable[..., Any]
) -> None:
    whole = TELEGRAF.format(folder=machine.folder, interval="1", plugins="")
    (machine.folder / "etc" / "telegraf" / "telegraf.conf").write_text(whole)
    binary = shutil.copy(BUILT, machine.folder / "telegraf")
    before = machine.files()
    assert "no-net" in install(machine), "the command shows the guests"
    assert "/opt/domstats/share/man/man1/domstats.1" in section("On the command line")
    machine.type("test -s /opt/domstats/share/man/man1/domstats.1")
    for command in commands("Telegraf"):
        machine.type(command)
    os.chown(machine.folder, 65534, 65534)  # Telegraf writes its lines there
    agent = [*machine.within, *ORDINARY_USER, str(binary)]
    agent += ["--config", "/etc/telegraf/telegraf.conf"]
    agent += ["--config-directory", "/etc/telegraf/telegraf.d"]
    telegraf = start(Program, agent, PLAIN, name="agent")

    def domains() -> set[str]:
        path = machine.folder / "lines"
        points = lines.parse(path.read_text()) if path.exists() else []
        return {
            point.tags["domain_name"] for point in points if point.measurement == "libvirt_block"
        }

    has_disk = {guest.name for guest in bed.guests if guest.disks}
    wait_for("samples of every guest", lambda: domains() >= has_disk)
    assert "E! " not in telegraf.log
    telegraf.stop()
    for command in commands("Back"):
        machine.type(command)
    assert machine.files() == before


def test_collectd_has_samples_and_nothing_is_left_behind(
    machine: Machine, start: Callable[..., Any]
) -> None:
    parts = 'Include "/etc/collectd/collectd.conf.d/*.conf"'
    whole = COLLECTD.format(folder=machine.folder, types=TYPES, interval=1, plugins=parts)
    (machine.folder / "etc" / "collectd" / "collectd.conf").write_text(whole)
    before = machine.files()
    install(machine)
    for command in commands("collectd"):
        machine.type(command)
    assert "collectd -T" in section("collectd")
    machine.type("collectd -T -C /etc/collectd/collectd.conf")
    agent = [*machine.within, "collectd", "-f", "-C", "/etc/collectd/collectd.conf"]
    collectd = start(Program, agent, PLAIN, name="agent")

    def domains() -> set[str]:
        return {path.parts[-3] for path in machine.folder.glob("csv/*/virt/disk_octets-vda-*")}

    wait_for("samples", lambda: domains() >= {"web-1", "no-net"})
    assert "Traceback" not in collectd.log
    collectd.stop()
    for command in commands("Back"):
        machine.type(command)
    assert machine.files() == before
