"""A host with something of everything that the dashboards show, both agents, and the databases
that they fill: one guest with a guest agent, one on a mount, one that is being migrated, a pool.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from tests.documents import ROOT, blocks
from tests.system.agents import Collectd, Graphite, InfluxDB, Prometheus, Telegraf
from tests.system.agents.program import free_port
from tests.system.bed import Migration, Shape
from tests.system.configurations import (
    EXTRA_STATS,
    execd,
    influxdb_output,
    libvirt_table,
    python_plugin,
    write_graphite,
)
from tests.system.delivered import prefer, prefer_session

PROMETHEUS_RULES = ROOT / "dashboards" / "alerts-prometheus.yaml"
HOST = "node-1"
#: What hangs does so for good: a machine that is busy with other tests is not to be taken for that.
INTERVAL_S, SOFT_DEADLINE_S = 2.0, 0.4
POOL = "images"
#: Every option that a panel needs, as both agents have it.
TELEGRAF = f"""\
soft_deadline = {SOFT_DEADLINE_S}
rates = true
host = true
admin_uri = "ADMIN"
pressure = true
jobs = true
guest_agent = true
guest_agent_interval = 1
"""
COLLECTD = f"""\
SoftDeadline {SOFT_DEADLINE_S}
Rates true
Host true
AdminConnection "ADMIN"
Pressure true
Jobs true
GuestAgent true
GuestAgentInterval 1
"""


class Monitored(NamedTuple):
    """What a test asks.

    :ivar settings: the configuration of domstats in Telegraf.
    """

    bed: Any
    settings: Path
    influxdb: InfluxDB
    graphite: Graphite
    prometheus: Prometheus
    telegraf: Telegraf
    collectd: Collectd


def fill(running: contextlib.ExitStack, bed: Any, elsewhere: Any) -> None:
    """Guests and a pool into an empty bed; one guest is on its way to another, until ``running``
    ends. Raises AbsentSystem.
    """
    prefer(bed)
    share = bed.storage("share")
    mover, *_, off = bed.add(
        Shape("mover", dirty=True),
        Shape("web", busy=True),
        Shape("db", folder=share.path),
        Shape("agent", agent="real", balloon_period=1, nics=0, vcpus=1),
        Shape("mail"),
        Shape("off"),
    )
    off.destroy()
    pool = bed.folder / "storage" / POOL
    pool.mkdir()
    with bed.connection() as connection:
        connection.storagePoolCreateXML(
            f"<pool type='dir'><name>{POOL}</name><target><path>{pool}</path></target></pool>"
        )
    running.enter_context(Migration(mover, bed, elsewhere))


def prometheus_output(port: int) -> str:
    """As docs/dashboards.md has it, at another port."""
    [text] = [
        block.text
        for block in blocks(ROOT / "docs" / "dashboards.md")
        if "prometheus_client" in block.text
    ]
    assert ":9273" in text
    return text.replace(":9273", f"127.0.0.1:{port}")


def start_all(running: contextlib.ExitStack, bed: Any, folder: Path) -> Monitored:
    """Databases first, then the agents, each until ``running`` ends. Raises Absent."""
    admin = f"libvirtd:///system?socket={bed.folder}/sockets/libvirt-admin-sock"
    influxdb = running.enter_context(InfluxDB(folder / "influxdb"))
    graphite = running.enter_context(Graphite(folder / "graphite"))
    port = free_port()
    prometheus = running.enter_context(Prometheus(folder / "prometheus", port, PROMETHEUS_RULES))
    settings = folder / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, *TELEGRAF.replace("ADMIN", admin).splitlines()))
    outputs = influxdb_output(influxdb.url, influxdb.database) + prometheus_output(port)
    plugins = f'[global_tags]\n  host = "{HOST}"\n{execd(settings)}{outputs}'
    telegraf = running.enter_context(Telegraf(folder / "telegraf", plugins, INTERVAL_S))
    ours = COLLECTD.replace("ADMIN", admin)
    options = f'Connection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n{ours}'
    output = write_graphite(graphite.port)
    plugins = python_plugin(options) + output
    collectd = running.enter_context(Collectd(folder / "collectd", plugins, INTERVAL_S))
    for agent in (telegraf, collectd):
        prefer_session(agent.pid)
    return Monitored(bed, settings, influxdb, graphite, prometheus, telegraf, collectd)
