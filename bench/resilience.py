"""What a hung guest and hung storage cost, beside collectd's virt and Telegraf's inputs.libvirt.

    .venv/bin/python -m bench resilience [--interval 2] [--seconds 28]

Each agent samples the same twelve real guests, six of them on storage of its own.
Then that storage hangs, or one guest beside it does, and is healed again. Printed is what was
lost meanwhile, and how many guests the agent's questions froze: QEMU's main loop then waits for
the storage itself. docs/resilience.md has the result.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

from bench import proc, report
from tests.system.agents import Collectd, Telegraf
from tests.system.bed import Bed, Guest, Shape
from tests.system.delivered import collectd_plugin, prefer, telegraf_execd
from tests.system.waiting import wait_for

GUESTS = 6  # on the storage, and as many beside it
BEFORE, AFTER = 5, 4  # intervals
LOOK_S = 0.25
DESCRIPTION = "What a hung guest and hung storage cost, beside collectd's virt and Telegraf's."
PREFIX = "domstats-resilience-"

#: When a guest had a sample, by "cpu" or "disk" and its name.
Times = dict[tuple[str, str], list[float]]


class Outcome(NamedTuple):
    """What one agent did in one scenario; each count is of what is lost, and out of how many."""

    agent: str
    scenario: str
    others: tuple[int, int]
    others_disks: tuple[int, int]
    affected: tuple[int, int]
    affected_disks: tuple[int, int]
    frozen: int


# --- the agents ---------------------------------------------------------------------------------


def _collectd_virt(folder: Path, uri: str, more: str = "") -> str:
    return f"""\
LoadPlugin virt
<Plugin virt>
  Connection "{uri}"
  ExtraStats "cpu_util disk domain_state memory pcpu vcpu {more}"
</Plugin>
"""


def _collectd_virt_with_sizes(folder: Path, uri: str) -> str:
    return _collectd_virt(folder, uri, "disk_allocation disk_capacity disk_physical")


def _inputs_libvirt(folder: Path, uri: str) -> str:
    return f"""\
[[inputs.libvirt]]
  libvirt_uri = "{uri}"
"""


AGENTS: dict[str, tuple[Callable[..., Any], Callable[[Path, str], str]]] = {
    "collectd, virt": (Collectd, _collectd_virt),
    "collectd, virt, disks' sizes": (Collectd, _collectd_virt_with_sizes),
    "Telegraf, inputs.libvirt": (Telegraf, _inputs_libvirt),
    "collectd, domstats": (Collectd, collectd_plugin),
    "Telegraf, domstats": (Telegraf, telegraf_execd),
}


def _times(agent: Any) -> Times:
    """When each guest had a sample; both plugins of an agent call things the same."""
    times: Times = {}
    if isinstance(agent, Telegraf):
        kinds = {"libvirt_cpu": "cpu", "libvirt_block": "disk"}
        for point in agent.points():
            if point.measurement in kinds:
                key = kinds[point.measurement], point.tags["domain_name"]
                times.setdefault(key, []).append(point.time / 1e9)
        return times
    for identifier, rows in agent.series().items():
        host, plugin, kind = identifier.split("/", 2)
        if plugin == "virt" and kind in ("virt_cpu_total", "disk_octets-vda"):
            key = "cpu" if kind == "virt_cpu_total" else "disk", host
            times.setdefault(key, []).extend(row.time for row in rows)
    return times


# --- the two scenarios --------------------------------------------------------------------------


@contextlib.contextmanager
def _storage_hangs(storage: Any, guests: list[Guest]) -> Iterator[None]:
    storage.freeze()
    try:
        yield
    finally:
        storage.heal()


@contextlib.contextmanager
def _guest_hangs(storage: Any, guests: list[Guest]) -> Iterator[None]:
    guests[0].hang()
    try:
        yield
    finally:
        guests[0].heal()


class Scenario(NamedTuple):
    """What hangs, and which guests it is about."""

    hangs: Callable[[Any, list[Guest]], Any]
    affected: Callable[[list[Guest]], list[Guest]]


SCENARIOS = {
    "storage of 6 of 12": Scenario(_storage_hangs, lambda guests: guests[GUESTS:]),
    "1 guest of 12": Scenario(_guest_hangs, lambda guests: guests[:1]),
}


class _Frozen(threading.Thread):
    """Looks, until the end of ``with``, which guests wait for storage, and go on waiting."""

    def __init__(self, guests: list[Guest]) -> None:
        super().__init__(daemon=True)
        self._waits = {guest.pid: 0 for guest in guests}
        self._ended = threading.Event()
        self.met: set[int] = set()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            for pid, waits in self._waits.items():
                self._waits[pid] = waits + 1 if _waits_for_storage(pid) else 0
                if waits * LOOK_S >= 1:
                    self.met.add(pid)

    def __enter__(self) -> "_Frozen":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def _waits_for_storage(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer"


def _lost(
    times: Times, kind: str, guests: list[Guest], since: float, until: float, interval: float
) -> tuple[int, int]:
    """Intervals in which a guest had no sample, of how many: all guests together."""
    intervals = int((until - since) / interval)
    lost = 0
    for guest in guests:
        had = {
            int((moment - since) / interval)
            for moment in times.get((kind, guest.name), ())
            if since <= moment < since + intervals * interval
        }
        lost += intervals - len(had)
    return lost, intervals * len(guests)


def _live_through(
    name: str, scenario: str, bed: Bed, storage: Any, interval: float, seconds: float
) -> Outcome:
    program, plugins = AGENTS[name]
    hangs, of_affected = SCENARIOS[scenario]
    affected = of_affected(bed.guests)
    others = [guest for guest in bed.guests if guest not in affected]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
        agent = stack.enter_context(program(folder, plugins(folder, bed.uri), interval))
        wait_for("first samples", lambda: len(_times(agent)) == 2 * len(bed.guests), 60)
        time.sleep(BEFORE * interval)
        with hangs(storage, bed.guests), _Frozen(bed.guests) as frozen:
            since = time.time()
            time.sleep(seconds)
            until = time.time()
        time.sleep(AFTER * interval)
        times = _times(agent)
    # Half an interval: the phase of a sample within its interval may move a little.
    window = since + interval / 2, until, interval
    return Outcome(
        name,
        scenario,
        _lost(times, "cpu", others, *window),
        _lost(times, "disk", others, *window),
        _lost(times, "cpu", affected, *window),
        _lost(times, "disk", affected, *window),
        len(frozen.met),
    )


def _table(outcomes: list[Outcome]) -> str:
    titles = (
        "what hangs, agent",
        "lost by the others",
        "their disks",
        "by those it is about",
        "their disks",
        "frozen by asking",
    )
    rows = []
    for each in outcomes:
        lost = [f"{lost} of {all_}" for lost, all_ in each[2:6]]
        rows.append([f"{each.scenario}: {each.agent}", *lost, each.frozen])
    return report.table(titles, rows)


def _machine() -> str:
    machine = proc.machine()
    return f"{machine['cpus']} CPUs ({machine['cpu']}), load {os.getloadavg()[0]:.1f}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench resilience", description=DESCRIPTION)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between samples")
    parser.add_argument("--seconds", type=float, default=28.0, help="for how long it hangs")
    parser.add_argument("--only", default="", help="part of the row's name: what hangs, agent")
    options = parser.parse_args(arguments)
    rows = [
        (scenario, name)
        for scenario in SCENARIOS
        for name in AGENTS
        if options.only in f"{scenario}: {name}"
    ]
    outcomes = []
    with Bed() as bed:
        prefer(bed)
        storage = bed.storage("share")
        bed.add(
            *(Shape(f"beside-{number}") for number in range(GUESTS)),
            *(Shape(f"on-it-{number}", folder=storage.path) for number in range(GUESTS)),
        )
        for scenario, name in rows:
            print(f"{scenario}: {name} ...", file=sys.stderr, flush=True)
            outcomes.append(
                _live_through(name, scenario, bed, storage, options.interval, options.seconds)
            )
        kind = "KVM" if bed.accelerated else "TCG"
    print(f"hung for {options.seconds:g} s, sampled every {options.interval:g} s")
    print(f"{time.strftime('%Y-%m-%d')}: guests with {kind}, {_machine()}\n")
    print(_table(outcomes))
