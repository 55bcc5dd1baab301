"""The configurations that ``domstats config`` prints work unedited with the real agents.

Each agent has a mount namespace with a copy of /etc, into which the printed text is redirected as
the README says, and with the bed's libvirtd at the place of the system's.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from tests.system.agents import lines
from tests.system.agents.collectd_agent import CONFIGURATION as COLLECTD
from tests.system.agents.collectd_agent import TYPES
from tests.system.agents.program import Program
from tests.system.agents.telegraf_agent import BUILT
from tests.system.agents.telegraf_agent import CONFIGURATION as TELEGRAF
from tests.system.configurations import ROOT
from tests.system.waiting import wait_for

#: What a daemon has, as systemd starts it: nothing of the user who printed the configuration.
DAEMON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
LIBRARIES = ("msgspec", "lxml", "click", "rich", "pygments", "markdown_it", "mdurl", "tomli")

ENTER = """\
mount --bind {folder}/etc /etc
mount -t tmpfs -o mode=755 none /run
mkdir /run/libvirt
mount --bind {sockets} /run/libvirt
exec "$@"
"""

SCRIPT = """\
#!{python}
import sys
from domstats.cli.main import main
sys.exit(main())
"""


class Installation(NamedTuple):
    """A domstats, and the environment of the user who types its name."""

    command: list[str]
    environment: dict[str, str]
    #: Whether another user than root can start it.
    open: bool

    def prints(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.command, "config", *arguments],
            env={**DAEMON, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=200,
            cwd="/",
        )
        return done.stdout


@pytest.fixture
def open_folder(bed: Any) -> Iterator[Path]:
    """A folder into which everybody may look, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="domstats-ready-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def command_in_a_venv(folder: Path) -> Installation:
    """As the README installs it, by pip's layout: all in the site-packages of a venv."""
    venv = folder / "opt"
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--system-site-packages", "--without-pip", str(venv)],
        check=True,
        timeout=200,
    )
    (site,) = venv.glob("lib/python3*/site-packages")
    libraries = Path(sysconfig.get_paths()["purelib"])
    shutil.copytree(ROOT / "plugin" / "domstats", site / "domstats")
    for name in LIBRARIES:
        if (libraries / name).exists():  # else the distribution has it
            shutil.copytree(libraries / name, site / name)
    script = venv / "bin" / "domstats"
    script.write_text(SCRIPT.format(python=venv / "bin" / "python"))
    script.chmod(0o755)
    return Installation([str(script)], {}, open=True)


def command_of_a_developer(folder: Path) -> Installation:
    """Installed in editable mode: the package and what it needs lie in two folders."""
    return Installation([str(Path(sys.executable).with_name("domstats"))], {}, open=False)


def module_by_its_path(folder: Path) -> Installation:
    """Not installed at all: found by an environment that the agent does not have."""
    path = f"{ROOT / 'plugin'}:{sysconfig.get_paths()['purelib']}"
    command = ["/usr/bin/python3", "-m", "domstats"]
    return Installation(command, {"PYTHONPATH": path}, open=False)


every_installation = pytest.mark.parametrize(
    "install", [command_in_a_venv, command_of_a_developer, module_by_its_path]
)
Install = Callable[[Path], Installation]


def in_its_own_etc(bed: Any, folder: Path, files: dict[str, str]) -> list[str]:
    """The words that start a program for which ``files`` stand in /etc."""
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
    for name, text in files.items():
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = ENTER.format(folder=folder, sockets=bed.folder / "sockets")
    return ["unshare", "--mount", "sh", "-e", "-c", script, "sh"]


@every_installation
def test_telegraf_has_samples_with_the_printed_files_unedited(
    bed: Any, open_folder: Path, start: Callable[..., Any], install: Install
) -> None:
    installation = install(open_folder)
    whole = TELEGRAF.format(folder=open_folder, interval="1", plugins="")
    command = in_its_own_etc(
        bed,
        open_folder,
        {
            "telegraf/telegraf.conf": whole,
            "telegraf/domstats.toml": installation.prints("telegraf"),
            "telegraf/telegraf.d/domstats.conf": installation.prints("telegraf", "--execd"),
        },
    )
    binary = shutil.copy(BUILT, open_folder / "telegraf")
    if installation.open:
        os.chown(open_folder, 65534, 65534)  # Telegraf writes its lines there
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
        command += user
    command += [str(binary), "--config", "/etc/telegraf/telegraf.conf"]
    command += ["--config-directory", "/etc/telegraf/telegraf.d"]
    telegraf = start(Program, command, DAEMON, name="agent")

    def domains() -> set[str]:
        path = open_folder / "lines"
        points = lines.parse(path.read_text()) if path.exists() else []
        return {
            point.tags["domain_name"] for point in points if point.measurement == "libvirt_cpu"
        }

    wait_for("samples of every guest", lambda: domains() >= {each.name for each in bed.guests})
    assert "E! " not in telegraf.log


@every_installation
def test_collectd_has_samples_with_the_printed_file_unedited(
    bed: Any, open_folder: Path, start: Callable[..., Any], install: Install
) -> None:
    installation = install(open_folder)
    parts = 'Include "/etc/collectd/collectd.conf.d/*.conf"'
    whole = COLLECTD.format(folder=open_folder, types=TYPES, interval=1, plugins=parts)
    folder = "collectd/collectd.conf.d"
    command = in_its_own_etc(bed, open_folder, {"domstats/collectd.conf": whole})
    shutil.rmtree(open_folder / "etc" / folder, ignore_errors=True)
    (open_folder / "etc" / folder).mkdir(parents=True)
    (open_folder / "etc" / folder / "domstats.conf").write_text(installation.prints("collectd"))
    command += ["collectd", "-f", "-C", "/etc/domstats/collectd.conf"]
    collectd = start(Program, command, DAEMON, name="agent")

    def domains() -> set[str]:
        return {path.parts[-3] for path in open_folder.glob("csv/*/virt/virt_cpu_total-*")}

    wait_for("samples", lambda: domains() >= {"web-1", "no-net"})
    assert "Traceback" not in collectd.log
