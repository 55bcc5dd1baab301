"""Agents and commands whose rounds are measured from outside: Telegraf, collectd, virsh, domstats.

``Agent.rounds`` lets a running agent make some rounds at its own pace and says what they took;
``command`` runs a command that makes one and ends. What is in an agent, ours or its own plugin, is
configuration.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from domstats.config.options import TELEGRAF_GROUPS

from bench import proc
from tests.system.agents.lines import Point, parse
from tests.system.agents.program import Program
from tests.system.agents.telegraf_agent import Telegraf
from tests.system.waiting import wait_for

ROOT = Path(__file__).parents[1]
DOMSTATS = f"{sysconfig.get_path('scripts')}/domstats"

#: ExtraStats that collectd's virt and ours both have.
EXTRA = "cpu_util disk disk_err domain_state memory pcpu perf vcpupin vcpu"
EXTRA += " disk_physical disk_allocation disk_capacity"

#: Telegraf's interval: far longer than any round.
INTERVAL_S = 3.0
#: Rounds that an agent makes before it is measured: connections, caches, XML. Telegraf's first
#: ones, with either plugin, take up to three times as much CPU as the rest.
WARM_UP = 2
TELEGRAF_WARM_UP = 6
#: So many times more rounds of Telegraf are measured: now and then one collects garbage.
TELEGRAF_MORE = 3


class Turn(NamedTuple):
    """Some rounds of an agent, or one of a command.

    :param walls_s: what each round took, as the agent itself says, if it does.
    :param cpu_s: CPU seconds of the agent and its children, for each round.
    :param libvirtd_s: the same of libvirtd.
    """

    walls_s: tuple[float, ...]
    cpu_s: float
    libvirtd_s: float
    peak_kib: int
    threads: int


class Bench(NamedTuple):
    """Where it is measured."""

    uri: str
    libvirtd: int
    folder: Path


def _turn(
    bench: Bench,
    pid: int,
    rounds: Callable[[], Sequence[Optional[float]]],
    wait: Callable[[int], None],
    count: int,
    warm_up: int = WARM_UP,
) -> Turn:
    """Measure from the end of one round to the end of the one ``count`` later."""
    wait(warm_up)
    family = proc.family(pid)
    before, cpu, libvirtd = len(rounds()), proc.cpu_s(family), proc.cpu_s([bench.libvirtd])
    wait(before + count)
    measured = rounds()[before:]
    spent, libvirtd_spent = proc.cpu_s(family) - cpu, proc.cpu_s([bench.libvirtd]) - libvirtd
    used = proc.usage(family)
    walls = tuple(wall for wall in measured if wall is not None)
    made = len(measured)
    return Turn(walls, spent / made, libvirtd_spent / made, used.peak_kib, used.threads)


# --- Telegraf

_INTERNAL = """
[[inputs.internal]]
  collect_memstats = false
"""


class Plugins(NamedTuple):
    """Plugins as configured.

    :param measurement: what of their points there is one, or some, of each round.
    :param tags: those of them that are.
    :param duration: the field in it that tells what the round took; empty if nothing does.
    :param factor: seconds that a one in it stands for.
    """

    text: str
    measurement: str
    tags: Mapping[str, str] = {}
    duration: str = ""
    factor: float = 1.0


def telegraf_ours(bench: Bench, series: str = "full") -> Plugins:
    """Ours in Telegraf.

    :param series: "full", or "telegraf" for the points of Telegraf's own plugin and no more.
    """
    settings = bench.folder / "domstats.toml"
    table = f'[[inputs.libvirt]]\nlibvirt_uri = "{bench.uri}"\nseries = "{series}"\n'
    settings.write_text(table)
    words = (DOMSTATS, "telegraf", "--config", str(settings))
    command = ", ".join(f'"{word}"' for word in words)
    plugins = f"""
[[inputs.execd]]
  command = [{command}]
  signal = "STDIN"
  data_format = "influx"
"""
    if series == "full":
        return Plugins(plugins, "domstats_round", duration="duration_s")
    return Plugins(plugins, "libvirt_state")


def telegraf_own(bench: Bench) -> Plugins:
    """Telegraf's own plugin."""
    plugins = f'[[inputs.libvirt]]\n  libvirt_uri = "{bench.uri}"\n' + _INTERNAL
    return Plugins(plugins, "internal_gather", {"input": "libvirt"}, "gather_time_ns", 1e-9)


def telegraf(bench: Bench, name: str, count: int, plugin: Callable[[Bench], Plugins]) -> Turn:
    """Rounds of Telegraf; from the middle of a pause to that of another."""
    plugins = plugin(bench)
    folder = bench.folder / f"{name}-{time.monotonic_ns()}"
    # It writes an interval after its start, and what it has just gathered costs less to write.
    time.sleep((INTERVAL_S / 2 - time.time()) % INTERVAL_S)
    with Telegraf(folder, plugins.text, INTERVAL_S) as agent:

        def rounds() -> list[Optional[float]]:
            path = folder / "lines"
            text = path.read_text() if path.exists() else ""
            lines = [line for line in text.splitlines(True) if line.startswith(plugins.measurement)]
            found: dict[int, Optional[float]] = {}
            for point in parse("".join(lines)):
                if plugins.tags.items() <= point.tags.items():
                    found[point.time] = _duration_s(plugins, point)
            return [found[moment] for moment in sorted(found)]

        def wait(number: int) -> None:
            # To look all the time would cost the measured processes their caches.
            time.sleep(max(0.0, INTERVAL_S * (number - len(rounds())) - 1))
            wait_for(f"{number} rounds of Telegraf", lambda: len(rounds()) >= number, 120)
            time.sleep(INTERVAL_S / 6)

        return _turn(bench, agent.pid, rounds, wait, count * TELEGRAF_MORE, TELEGRAF_WARM_UP)


def _duration_s(plugins: Plugins, point: Point) -> Optional[float]:
    """What a round took; None if its point does not tell."""
    field = point.fields.get(plugins.duration)
    # Telegraf's figure is of the round before; of none yet it is 0.
    return float(field.value) * plugins.factor or None if field else None


# --- collectd

COLLECTD = """\
Hostname "bench"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
  LogLevel "info"
  File "stdout"
  Timestamp true
</Plugin>
LoadPlugin network
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
{plugins}
"""

#: collectd logs what a read took when that is more than its interval; so rounds follow each
#: other without a pause.
_SHORT_S = 0.01
_TOOK = re.compile(r"read-function of the `[^`]*' plugin took ([0-9.]+) (milli)?seconds")


def collectd_ours(bench: Bench, extra: bool) -> str:
    """The configuration of ours in collectd."""
    options = f'ExtraStats "{EXTRA}"' if extra else ""
    return f"""
<LoadPlugin python>
  Interval {_SHORT_S}
</LoadPlugin>
<Plugin python>
  ModulePath "{sysconfig.get_path("purelib")}"
  ModulePath "{ROOT / "plugin"}"
  Import "domstats.collectd_plugin"
  <Module "domstats.collectd_plugin">
    Connection "{bench.uri}"
    Deadline 30
    {options}
  </Module>
</Plugin>
"""


def collectd_own(bench: Bench, extra: bool) -> str:
    """The configuration of collectd's own plugin."""
    options = f'ExtraStats "{EXTRA}"' if extra else ""
    return f"""
<LoadPlugin virt>
  Interval {_SHORT_S}
</LoadPlugin>
<Plugin virt>
  Connection "{bench.uri}"
  {options}
</Plugin>
"""


def collectd(
    bench: Bench, name: str, count: int, plugin: Callable[[Bench, bool], str], extra: bool
) -> Turn:
    """Rounds of collectd, one after the other; what it reads goes to a port that takes all."""
    folder = bench.folder / f"{name}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        text = COLLECTD.format(
            folder=folder, port=sink.getsockname()[1], plugins=plugin(bench, extra)
        )
        (folder / "collectd.conf").write_text(text)
        with Program(folder, ["collectd", "-f", "-C", str(folder / "collectd.conf")]) as agent:

            def rounds() -> list[float]:
                return [
                    float(number) * (0.001 if milli else 1.0)
                    for number, milli in _TOOK.findall(agent.log)
                ]

            def wait(number: int) -> None:
                wait_for(f"{number} rounds of collectd", lambda: len(rounds()) >= number, 120)

            return _turn(bench, agent.pid, rounds, wait, count)


# --- commands


def virsh(bench: Bench) -> Sequence[str]:
    """virsh, asked for the groups that Telegraf's plugins ask for."""
    options = [f"--{group.replace('_', '-')}" for group in TELEGRAF_GROUPS]
    return ["virsh", "--readonly", "-c", bench.uri, "domstats", *options]


def command(bench: Bench, words: Sequence[str]) -> Turn:
    """A command that makes one round, from its start to its end."""
    libvirtd = proc.cpu_s([bench.libvirtd])
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{shlex.join(words)} ended with {process.returncode}")
    libvirtd_s = proc.cpu_s([bench.libvirtd]) - libvirtd
    return Turn((wall,), used.ru_utime + used.ru_stime, libvirtd_s, used.ru_maxrss, 0)


def domstats_sample(bench: Bench, name: str, count: int) -> Turn:
    """``domstats sample``, whose rounds tell of themselves; the first one connects."""
    words = [DOMSTATS, "sample", "--connect", bench.uri, "--format", "influx"]
    words += ["--rounds", "0", "--interval", "1"]
    walls: list[float] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        cpu, libvirtd, used = 0.0, 0.0, proc.Usage(0, 0, 0)
        for line in process.stdout:
            if not line.startswith("domstats_round"):
                continue
            walls += [float(point.fields["duration_s"].value) for point in parse(line)]
            if len(walls) == WARM_UP:
                cpu, libvirtd = proc.cpu_s([process.pid]), proc.cpu_s([bench.libvirtd])
            elif len(walls) == count + WARM_UP:
                used = proc.usage([process.pid])
                libvirtd = proc.cpu_s([bench.libvirtd]) - libvirtd
                process.terminate()
                break
    return Turn(
        tuple(walls[WARM_UP:]),
        (used.cpu_s - cpu) / count,
        libvirtd / count,
        used.peak_kib,
        used.threads,
    )


def missing() -> Optional[str]:
    """What this machine lacks of what is compared; None if nothing."""
    from tests.system.agents.program import Absent, find
    from tests.system.agents.telegraf_agent import BUILT

    for program in ("libvirtd", "collectd", "virsh", str(BUILT)):
        try:
            find(program)
        except Absent:
            return program
    return None if os.geteuid() == 0 else "root"
