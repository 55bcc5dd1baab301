"""Agents as services of systemd's in a Debian of its own, and what of theirs arrives here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Callable, Optional

from tests.system.agents import Graphite, InfluxDB
from tests.system.agents.program import Absent
from tests.system.configurations import influxdb_output
from tests.system.debian_root import DebianRoot
from tests.system.waiting import wait_for

#: Debian 11, whose packages carry most along, unless others are named.
SUITES = os.environ.get("DOMSTATS_DEB_SUITES", "bullseye").split()
GUEST = "guest-in-root"
AGENTS = ("collectd", "telegraf")

#: A day of an operator's is seconds here: systemd stops nobody for having been started so often.
SO_OFTEN = """\
mkdir -p /run/systemd/system/service.d
printf '[Unit]\\nStartLimitIntervalSec=0\\n' >/run/systemd/system/service.d/often.conf
systemctl daemon-reload
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


@contextlib.contextmanager
def services(suite: str, missing: Any) -> Iterator[DebianRoot]:
    """A Debian with systemd, libvirtd and a guest, and with package lists of today."""
    with contextlib.ExitStack() as stack:
        try:
            machine = stack.enter_context(DebianRoot(suite))
            machine.boot()
        except Absent as absent:
            missing(str(absent), "see tests/matrix/root")
        machine.run(SO_OFTEN)
        machine.run("apt-get -q update")
        machine.start_libvirtd(GUEST)
        yield machine


class Backends:
    """What arrives in the databases that the agents there write to."""

    def __init__(self, start: Callable[..., Any]) -> None:
        self.graphite = start(Graphite)
        self.influxdb = start(InfluxDB)

    def start_telegraf(self, machine: DebianRoot) -> None:
        """Set it up to write here, without domstats yet."""
        influxdb = influxdb_output(self.influxdb.url, self.influxdb.database)
        machine.run(TELEGRAF.format(influxdb=influxdb))

    def carbon(self) -> int:
        [values] = self.graphite.render(f"{GUEST}.virt.virt_cpu_total").values() or [[]]
        return len(values)

    def influx(self) -> int:
        where = f"WHERE \"domain_name\" = '{GUEST}'"
        rows = self.influxdb.query(f'SELECT COUNT("state") FROM "libvirt_state" {where}')
        return int(rows[0]["count"]) if rows else 0


def all_run(
    machine: DebianRoot, agents: tuple[str, ...] = AGENTS, other_than: Optional[list[str]] = None
) -> list[str]:
    """See that these services run, and that none of them has ever ended by itself.

    :param other_than: processes since which all of them must have been restarted.
    :return: their processes.
    """
    look = f"systemctl show --property {{}} --value {' '.join(agents)}"
    states = machine.run(look.format("ActiveState")).split()
    restarts = machine.run(look.format("NRestarts")).split()
    pids = machine.run(look.format("MainPID")).split()
    assert states == ["active"] * len(agents), journal(machine)
    assert restarts == ["0"] * len(agents), journal(machine)
    assert not set(pids) & set(other_than or ()), "an agent was not restarted"
    return pids


def samples_arrive(
    machine: DebianRoot, backends: Backends, agents: tuple[str, ...] = AGENTS
) -> None:
    """Through these agents, as they are set up, into their databases."""
    arrived = {"collectd": backends.carbon, "telegraf": backends.influx}
    before = {agent: arrived[agent]() for agent in agents}
    try:
        wait_for(
            f"two more samples by each of {', '.join(agents)}",
            lambda: all(arrived[agent]() >= before[agent] + 2 for agent in agents),
            60,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}: {journal(machine)}") from None


def journal(machine: DebianRoot) -> str:
    return machine.run("journalctl --no-pager --lines 60 --unit collectd --unit telegraf")
