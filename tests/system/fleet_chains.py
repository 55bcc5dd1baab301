"""Both chains of docs/fleet.md on the loopback device, set up from the page's own blocks.

What is changed in a block is where programs listen, where their files lie, and the interval. Each
chain knows what its agent sampled and what has arrived at its end.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from tests.documents import ROOT, blocks
from tests.system.agents import Collectd, InfluxDB
from tests.system.agents.graphite_backend import PYTHON
from tests.system.agents.lines import parse
from tests.system.agents.program import Absent, Program, free_port
from tests.system.agents.telegraf_agent import BUILT
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

PAGE = ROOT / "docs" / "fleet.md"
Start = Callable[..., Any]
Changes = Mapping[str, str]
NONE: Changes = {}
#: One value of one time: what it is of, and when, in seconds.
Point = tuple[str, float]

_READ_WHISPER = """\
import json, pathlib, sys, time, whisper
root = pathlib.Path(sys.argv[1])
found = {}
for path in root.rglob("*.wsp"):
    try:
        (begin, end, step), values = whisper.fetch(str(path), time.time() - 1800)
    except Exception:
        continue  # it is just being made: of what stays so, all values are missing
    name = str(path.relative_to(root))[:-4].replace("/", ".")
    found[name] = [begin + n * step for n, value in enumerate(values) if value is not None]
print(json.dumps(found))
"""


def configuration(title: str, *changes: Changes) -> str:
    """The page's block that begins with the comment ``title``, changed to what is here."""
    [text] = [each.text for each in blocks(PAGE) if each.text.startswith(f"# {title}\n")]
    for old, new in ((old, new) for each in changes for old, new in each.items()):
        assert old in text, f"{PAGE}, {title}: no {old!r}"
        text = text.replace(old, new)
    return text


def listens(port: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(port))).close()
    except ConnectionError:
        return False
    return True


class Graphite:
    """collectd, carbon-relay, two carbon-caches, whisper's files.

    :param relay: what else is to be changed in the relay's block.
    """

    def __init__(self, folder: Path, uri: str, start: Start, relay: Changes = NONE) -> None:
        ports = {
            port: str(free_port())
            for port in ("2013", "2014", "2003", "2004", "7002", "2103", "2104", "7102")
        }
        self.port = ports["2013"]
        self._whisper = folder / "whisper"
        self._whisper.mkdir(parents=True)
        here = f"USER =\nPID_DIR = {folder}\nCONF_DIR = {folder}\nSTORAGE_DIR = {folder}\n"

        def carbon(title: str, file: str, *changes: Changes) -> None:
            text = configuration(title, {"USER = _graphite\n": here}, *changes)
            known = "|".join(ports)
            (folder / file).write_text(
                re.sub(rf"\b({known})\b", lambda found: ports[found[0]], text)
            )

        def daemon(name: str, file: str, *options: str) -> Any:
            command = [f"carbon-{name}", f"--config={folder / file}", *options]
            return lambda own: Program(own, [*command, "--nodaemon", "start"])

        carbon("/etc/carbon/carbon.conf, the relay", "relay.conf", relay)
        carbon(
            "/etc/carbon/carbon.conf, the caches",
            "caches.conf",
            {"/var/lib/graphite/whisper/": f"{self._whisper}/", "/var/log/carbon/": f"{folder}/"},
        )
        schemas = configuration(
            "/etc/carbon/storage-schemas.conf", {"10s:1d, 60s:30d, 10m:1y": "1s:1h"}
        )
        (folder / "storage-schemas.conf").write_text(schemas)
        self.caches: list[Program] = [
            start(
                daemon("cache", "caches.conf", f"--instance={name}"), name=f"{folder.name}-{name}"
            )
            for name in "ab"
        ]
        self.relay: Program = start(daemon("relay", "relay.conf"), name=f"{folder.name}-relay")
        wait_for("relay and caches", lambda: all(map(listens, ports.values())))
        output = configuration(
            "/etc/collectd/collectd.conf.d/fleet.conf", {'"2013"': f'"{self.port}"'}
        )
        plugins = python_plugin(f'Connection "{uri}"') + output
        self.agent: Collectd = start(Collectd, plugins, name=f"{folder.name}-collectd")
        wait_for("whisper's files", self.arrived)

    def has_relay_again(self) -> bool:
        """Whether collectd has found its relay after it was away, which it logs."""
        return "Successfully connected" in self.agent.log

    def has_cache_again(self) -> bool:
        """Whether the relay has found a cache after it was away: it tries each five seconds."""
        return self.relay.log.count("Destination is up") > len(self.caches)

    def dropped(self) -> float:
        """Value lists that collectd itself has dropped, from its full queue."""
        rows = self.agent.series()["collectd/collectd-write_queue/derive-dropped"]
        return max(row.values[0] for row in rows)

    def sampled(self) -> set[Point]:
        """What collectd had to write, by its file beside write_graphite.

        The first of a series after a start or a gap has no rate, and is left out; a time that
        rounds either way too, and so is what collectd tells of itself.
        """
        found = set()
        for name, rows in self.agent.series().items():
            if name.startswith("collectd/collectd-"):
                continue
            times = [row.time for row in rows]
            for before, time in zip(times, times[1:]):
                if time - before < 1.6 and abs(time % 1 - 0.5) > 0.01:
                    path = re.sub(r"[.,\s]", "_", name).replace("/", ".")
                    found.add((path, float(round(time))))
        return found

    def arrived(self) -> set[Point]:
        """What whisper has. Of a type with several values only what has arrived of all."""
        done = subprocess.run(
            [PYTHON, "-c", _READ_WHISPER, str(self._whisper)],
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, set[float]] = {}
        for path, times in json.loads(done.stdout).items():
            parts = path.split(".")
            name = ".".join(parts[:3])
            found[name] = found.get(name, {*times}) & {*times}
        return {(name, time) for name, times in found.items() for time in times}


class Influx:
    """Telegraf with domstats, a stream of NATS, a second Telegraf, InfluxDB.

    :param host: what else is to be changed in the block of the hosts' Telegraf.
    :param second: the same for the second Telegraf.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        start: Start,
        host: Changes = NONE,
        second: Changes = NONE,
    ) -> None:
        folder.mkdir(parents=True)
        port = str(free_port())
        queue = {"127.0.0.1:4222": f"127.0.0.1:{port}"}
        (folder / "nats.conf").write_text(
            configuration("/etc/nats-server.conf", queue, {"/var/lib/nats": f"{folder}/stream"})
        )
        (folder / "domstats.toml").write_text(libvirt_table(uri))
        self._lines = folder / "lines"
        beside = f'[[outputs.file]]\n  files = ["{self._lines}"]\n  data_format = "influx"\n'
        title = "/etc/telegraf/telegraf.conf, on each host"
        (folder / "host.conf").write_text(
            "\n".join([
                configuration(title, queue, {'"10s"': '"1s"'}, host),
                execd(folder / "domstats.toml"),
                beside,
            ])
        )  # fmt: skip

        def program(name: str, *command: str) -> Program:
            made: Program = start(
                lambda own: Program(own, [*command, str(folder / f"{name}.conf")]),
                name=f"{folder.name}-{name}",
            )
            return made

        if not BUILT.exists():
            raise Absent("telegraf")
        self.queue = program("nats", "nats-server", "-c")
        wait_for("NATS", lambda: listens(port))
        self.database: InfluxDB = start(InfluxDB, name=f"{folder.name}-influxdb")
        self.agent = program("host", str(BUILT), "--config")
        wait_for("stream", lambda: 'Stream "domstats" successfully' in self.agent.log)
        title = "/etc/telegraf/telegraf.conf, beside the database"
        database = {"http://127.0.0.1:8086": self.database.url}
        (folder / "second.conf").write_text(configuration(title, queue, database, second))
        self.second = program("second", str(BUILT), "--config")
        wait_for("points in InfluxDB", self.arrived)

    def sampled(self) -> set[Point]:
        """What Telegraf had to write, by its file beside outputs.nats."""
        points = parse(self._lines.read_text()) if self._lines.exists() else []
        return {(_series(each.measurement, each.tags), each.time / 1e9) for each in points}

    def arrived(self) -> set[Point]:
        names = [row["name"] for row in self.database.query("SHOW MEASUREMENTS")]
        return {
            (_series(name, row), row["time"] / 1e9)
            for name in names
            for row in self.database.query(f'SELECT * FROM "{name}" GROUP BY *', epoch="ns")
        }


def _series(measurement: str, tags: Mapping[str, Any]) -> str:
    names = ("host", "domain_name", "vcpu_id", "device", "interface_id", "block_id", "cpu_id")
    return ",".join([measurement, *(f"{name}={tags[name]}" for name in names if name in tags)])
