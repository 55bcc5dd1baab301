"""The Debian packages, as an operator has them: installed, switched on, upgraded, taken away.

The agents are services of systemd's, which nobody restarts but domstats and its packages. In a root
of Debian 11, whose packages carry most along, or of what DOMSTATS_DEB_SUITES names (bullseye
bookworm trixie sid).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from tests.system.agents import Graphite, InfluxDB
from tests.system.agents.program import Absent
from tests.system.configurations import influxdb_output, write_graphite
from tests.system.debian_root import DebianRoot
from tests.system.waiting import wait_for

CHECKOUT = Path(__file__).resolve().parents[2]
BUILDER = CHECKOUT / "packaging/debian/build.py"
SUITES = os.environ.get("DOMSTATS_DEB_SUITES", "bullseye").split()

APT = "apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold"
#: What came along goes again, also if something that was there before would like to have it.
UNUSED = "-o APT::AutoRemove::RecommendsImportant=0 -o APT::AutoRemove::SuggestsImportant=0"
GUEST = "guest-in-root"

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

#: A day of an operator's is seconds here: systemd stops nobody for having been started so often.
SO_OFTEN = """\
mkdir -p /run/systemd/system/service.d
printf '[Unit]\\nStartLimitIntervalSec=0\\n' >/run/systemd/system/service.d/often.conf
systemctl daemon-reload
"""
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
#: As Telegraf's own package has it, and hardened; the drop-in lets domstats see what it looks at.
TELEGRAF = """\
useradd --system telegraf
mkdir -p /etc/telegraf/telegraf.d
touch /etc/telegraf/telegraf.d/own.conf
cat >/etc/telegraf/telegraf.conf <<'END'
[agent]
  interval = "1s"
  flush_interval = "1s"
[[inputs.internal]]
{influxdb}
END
cat >/etc/systemd/system/telegraf.service <<'END'
[Service]
Type=notify
NotifyAccess=all
User=telegraf
ExecStart=/checkout/.build/telegraf --config /etc/telegraf/telegraf.conf \\
    --config-directory /etc/telegraf/telegraf.d
Restart=on-failure
KillMode=mixed
PrivateMounts=true
ProtectProc=invisible
END
install -D -m 644 /checkout/packaging/systemd/telegraf.service.d/domstats.conf \\
    /etc/systemd/system/telegraf.service.d/domstats.conf
systemctl daemon-reload
systemctl start telegraf
"""
WITHOUT_TELEGRAF = """\
systemctl stop telegraf
userdel telegraf
rm -r /etc/telegraf /etc/systemd/system/telegraf.service*
systemctl daemon-reload
"""
AGENTS = ("collectd", "telegraf")


class Backends:
    """What arrives in the databases that the agents in the root write to."""

    def __init__(self, graphite: Any, influxdb: Any) -> None:
        self.graphite = graphite
        self.influxdb = influxdb

    def carbon(self) -> int:
        [values] = self.graphite.render(f"{GUEST}.virt.virt_cpu_total").values() or [[]]
        return len(values)

    def influx(self) -> int:
        where = f"WHERE \"domain_name\" = '{GUEST}'"
        rows = self.influxdb.query(f'SELECT COUNT("state") FROM "libvirt_state" {where}')
        return int(rows[0]["count"]) if rows else 0


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(suite: str, missing: Any, root: None) -> Iterator[DebianRoot]:
    try:
        machine = DebianRoot(suite)
    except Absent as absent:
        missing(str(absent), "see tests/matrix/root")
    with machine:
        yield machine


@pytest.fixture
def packages(suite: str, machine: DebianRoot) -> Iterator[Path]:
    """They are built twice, and are the same bytes both times."""
    folder = CHECKOUT / ".build/roots/out" / suite / f"test-{os.getpid()}"
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
    backends = Backends(start(Graphite), start(InfluxDB))
    machine.boot()
    run(SO_OFTEN)
    run("apt-get -q update")
    machine.start_libvirtd(GUEST)
    before = set(run(INVENTORY).splitlines())

    new = f"/out/{packages.name}"
    run(earlier_version(new))
    run(f"{APT} install /tmp/earlier/*.deb collectd")
    carbon = write_graphite(
        backends.graphite.port, "StoreRates false", "SeparateInstances false"
    )
    run(COLLECTD.format(carbon=carbon))
    influxdb = influxdb_output(backends.influxdb.url, backends.influxdb.database)
    run(TELEGRAF.format(influxdb=influxdb))

    # In place, and switched off.
    assert "version 0.0.1" in run("domstats --version")
    checked = run("domstats check", fails=True)
    assert re.search(r"collectd +switched off; to switch it on: domstats enable collectd", checked)
    assert re.search(r"telegraf +switched off", checked)
    pids = both_run(machine)
    assert backends.carbon() == backends.influx() == 0

    # On by one command each, which check finds.
    for agent in AGENTS:
        said = run(f"domstats enable {agent}")
        assert "is switched on" in said
        assert f"{agent} has been restarted" in said
    pids = both_run(machine, other_than=pids)
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
    pids = both_run(machine, other_than=pids)
    samples_arrive(machine, backends)

    # Off by one command; removed while it is on, the agents go on without it.
    assert "telegraf has been restarted" in run("domstats disable telegraf")
    assert "domstats" not in run("ls /etc/telegraf/telegraf.d/*.conf")
    run("domstats enable telegraf")
    run(f"{APT} remove domstats")
    assert "domstats.conf" not in run("cd /etc && ls collectd/*.d/*.conf telegraf/*.d/*.conf")
    pids = both_run(machine, other_than=pids)

    # Installed anew with the old settings, and gone without a trace.
    run(f"{APT} install {new}/*.deb")
    run(f"grep -q '^ *ReportRound false' {own}")
    assert both_run(machine) == pids, "it is switched off"
    run("domstats enable collectd && domstats enable telegraf")
    pids = both_run(machine, other_than=pids)
    samples_arrive(machine, backends)
    run(f"{APT} purge domstats collectd-domstats telegraf-domstats domstats-top")
    both_run(machine, other_than=pids)
    run(f"{WITHOUT_TELEGRAF} rm /etc/collectd/collectd.conf.d/carbon.conf")
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


def both_run(machine: DebianRoot, other_than: Optional[list[str]] = None) -> list[str]:
    """See that both services run, and that neither has ever ended by itself.

    :param other_than: processes that both agents must have been restarted since.
    :return: their processes.
    """
    look = "systemctl show --property {} --value collectd telegraf"
    states = machine.run(look.format("ActiveState")).split()
    restarts = machine.run(look.format("NRestarts")).split()
    pids = machine.run(look.format("MainPID")).split()
    journal = "journalctl --no-pager --lines 40 --unit collectd --unit telegraf"
    assert (states, restarts) == (["active"] * 2, ["0"] * 2), machine.run(journal)
    assert not set(pids) & set(other_than or ()), "an agent was not restarted"
    return pids


def samples_arrive(machine: DebianRoot, backends: Backends) -> None:
    """Through both agents, as they are set up, into both databases."""
    before = backends.carbon(), backends.influx()
    try:
        wait_for("two more samples in carbon", lambda: backends.carbon() >= before[0] + 2, 60)
        wait_for("two more samples in InfluxDB", lambda: backends.influx() >= before[1] + 2, 60)
    except AssertionError as error:
        said = machine.run("journalctl --no-pager --lines 60 --unit collectd --unit telegraf")
        raise AssertionError(f"{error}: {said}") from None
