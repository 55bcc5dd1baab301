"""The Debian packages, as an operator has them: installed, switched on, upgraded, taken away.

The agents are services of systemd's, which nobody restarts but domstats and its packages. In
Debian 11, or in what DOMSTATS_DEB_SUITES names (bullseye bookworm trixie sid).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.configurations import write_graphite
from tests.system.debian_root import DebianRoot
from tests.system.services import (
    AGENTS,
    SUITES,
    WITHOUT_TELEGRAF,
    Backends,
    all_run,
    samples_arrive,
    services,
)

CHECKOUT = Path(__file__).resolve().parents[2]
BUILDER = CHECKOUT / "packaging/debian/build.py"

APT = "apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold"
#: What came along goes again, also if something that was there before would like to have it.
UNUSED = "-o APT::AutoRemove::RecommendsImportant=0 -o APT::AutoRemove::SuggestsImportant=0"

#: Releases without python3-msgspec: it is carried along.
CARRYING_MSGSPEC = ("bullseye", "bookworm")
#: A plugin of collectd's that finds a msgspec of its own, of another kind.
OTHER_PLUGIN = """\
mkdir /tmp/other
echo 'mine = True' >/tmp/other/msgspec.py
cat >/tmp/other/other.py <<'END'
import msgspec
print("its own:", msgspec.mine, file=open("/tmp/other.said", "w"))
END
cat >/etc/collectd/collectd.conf.d/{name}.conf <<'END'
LoadPlugin python
<Plugin python>
  ModulePath "/tmp/other"
  Import "other"
</Plugin>
END
timeout 60 collectd -T -C /etc/collectd/collectd.conf
status=$?
cat /tmp/other.said
rm -r /tmp/other* /etc/collectd/collectd.conf.d/{name}.conf
"""

#: Of all that apt and dpkg note by the way, nothing is a package's; Debian 11's fontconfig, which
#: comes with collectd's libraries, leaves files behind.
BY_THE_WAY = (
    r"/(proc|sys|dev|tmp|run|checkout|out|old|root)(/|$)"
    r"|/var/(cache|log|lib/apt)/|/var/lib/dpkg/.*-old$|/usr/(local/)?share/fonts(/|$)"
)
INVENTORY = (
    f"find / -xdev -regextype posix-extended -regex '({BY_THE_WAY}).*' -prune -o -print | sort"
)

#: rrdtool writes files that are no package's; df has nothing to read in a root of Debian 11.
COLLECTD = """\
systemctl stop collectd
rm -rf /var/lib/collectd/rrd
sed -i 's/^#*Interval .*/Interval 1/; s/^LoadPlugin rrdtool/#&/; s/^LoadPlugin df/#&/' \\
    /etc/collectd/collectd.conf
cat >/etc/collectd/collectd.conf.d/carbon.conf <<'END'
{carbon}
END
systemctl start collectd
"""


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(suite: str, missing: Any, root: None) -> Iterator[DebianRoot]:
    with services(suite, missing) as machine:
        yield machine


@pytest.fixture
def packages(suite: str, machine: DebianRoot) -> Iterator[Path]:
    """They are built twice, and are the same bytes both times."""
    folder = machine.out / f"test-{os.getpid()}"
    words = [sys.executable, str(BUILDER), "--twice", "--to", str(folder), suite]
    built = subprocess.run(words, check=False, text=True, capture_output=True)
    assert built.returncode == 0, built.stdout + built.stderr
    yield folder
    subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.mark.timeout(1800)  # of which two builds take most, on a machine that does much else
def test_packages_are_installed_switched_on_upgraded_and_leave_nothing(
    suite: str, machine: DebianRoot, packages: Path, start: Callable[..., Any]
) -> None:
    run = machine.run
    backends = Backends(start)
    before = set(run(INVENTORY).splitlines())

    new = f"/out/{packages.name}"
    run(earlier_version(new))
    run(f"{APT} install /tmp/earlier/*.deb collectd")
    carbon = write_graphite(
        backends.graphite.port, "StoreRates false", "SeparateInstances false"
    )
    run(COLLECTD.format(carbon=carbon))
    backends.start_telegraf(machine)

    # In place, and switched off.
    assert "version 0.0.1" in run("domstats --version")
    checked = run("domstats check", fails=True)
    assert re.search(r"collectd +switched off; to switch it on: domstats enable collectd", checked)
    assert re.search(r"telegraf +switched off", checked)
    pids = all_run(machine)
    assert backends.carbon() == backends.influx() == 0

    # On by one command each, which check finds.
    for agent in AGENTS:
        said = run(f"domstats enable {agent}")
        assert "is switched on" in said
        assert f"{agent} has been restarted" in said
    pids = all_run(machine, other_than=pids)
    run("domstats check", fails=True)
    assert run("domstats check >/dev/null; echo $?").strip() in ("0", "1")
    samples_arrive(machine, backends)
    assert "process watch on," in run("journalctl --unit telegraf"), "it sees QEMU's processes"

    if suite in CARRYING_MSGSPEC:
        assert another_plugin_has_its_own_msgspec(machine)

    # An upgrade keeps what the operator has changed, and that it is on.
    own = "/etc/collectd/collectd.conf.d/domstats.conf.available"
    run(f"sed -i 's/#ReportRound true/ReportRound false/' {own}")
    run(f"{APT} install {new}/*.deb")
    assert "version 0.0.1" not in run("domstats --version")
    run(f"grep -q '^ *ReportRound false' {own}")
    pids = all_run(machine, other_than=pids)
    samples_arrive(machine, backends)

    # Off by one command; removed while it is on, the agents go on without it.
    assert "telegraf has been restarted" in run("domstats disable telegraf")
    assert "domstats" not in run("ls /etc/telegraf/telegraf.d/*.conf")
    run("domstats enable telegraf")
    run(f"{APT} remove domstats")
    assert "domstats.conf" not in run("cd /etc && ls collectd/*.d/*.conf telegraf/*.d/*.conf")
    pids = all_run(machine, other_than=pids)

    # Installed anew with the old settings, and gone without a trace.
    run(f"{APT} install {new}/*.deb")
    run(f"grep -q '^ *ReportRound false' {own}")
    assert all_run(machine) == pids, "it is switched off"
    run("domstats enable collectd && domstats enable telegraf")
    pids = all_run(machine, other_than=pids)
    samples_arrive(machine, backends)
    run(f"{APT} purge domstats collectd-domstats telegraf-domstats domstats-top")
    all_run(machine, other_than=pids)
    run(WITHOUT_TELEGRAF)
    run("rm /etc/collectd/collectd.conf.d/carbon.conf")
    run(f"{APT} {UNUSED} autoremove --purge collectd")
    after = set(run(INVENTORY).splitlines())
    changed = sorted(after ^ before)
    assert not changed, "\n".join(changed) + run("dpkg -l | grep -v ^ii")


def earlier_version(folder: str) -> str:
    """A command that makes packages of an earlier version of the new ones, in /tmp/earlier."""
    return f"""(
mkdir -p /tmp/earlier
for deb in {folder}/*.deb; do
    dpkg-deb -R $deb /tmp/it || exit
    sed -i -E 's/^(Version: ).*/\\10.0.1-1/; s/domstats \\(= [^)]*/domstats (= 0.0.1-1/' \\
        /tmp/it/DEBIAN/control
    module=/tmp/it/usr/lib/python3/dist-packages/domstats/__init__.py
    [ ! -e $module ] || sed -i 's/^__version__ = .*/__version__ = "0.0.1"/' $module
    dpkg-deb -Znone -b /tmp/it /tmp/earlier && rm -r /tmp/it || exit
done)"""


def another_plugin_has_its_own_msgspec(machine: DebianRoot) -> bool:
    """Whether both work in one interpreter, whoever comes first."""
    for name in ("a-other", "z-other"):
        said = machine.run(OTHER_PLUGIN.format(name=name))
        assert "its own: True" in said
        assert machine.run("echo $status").strip() == "0", said
    return True
