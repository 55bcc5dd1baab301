"""Guests, disks and NICs come and go while agents run: no ghost, and no gap for the others."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import Shape
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

#: What a running guest with a disk and a NIC has in every round, and the devices' own.
WHOLE = {"cpu", "balloon", "vcpu", "net", "block"}
TYPES = {
    "virt_cpu_total": "cpu",
    "memory": "balloon",
    "virt_vcpu": "vcpu",
    "if_octets": "net",
    "disk_octets": "block",
}

#: What only a guest that runs has; of others libvirt still knows memory and disks.
RUNS = {"vcpu", "net"}

#: What a round has: by its time and a guest's name, ``cpu`` and so on, and names of devices.
Rounds = dict[float, dict[str, set[str]]]


def of_telegraf(agent: Telegraf) -> Rounds:
    rounds: Rounds = {}
    for point in agent.points():
        seen = rounds.setdefault(point.time / 1e9, defaultdict(set))
        kind = point.measurement.removeprefix("libvirt_")
        if kind in WHOLE:
            seen[point.tags["domain_name"]] |= {kind, point.tags.get("device", kind)}
    return rounds


def of_collectd(agent: Collectd) -> Rounds:
    rounds: Rounds = {}
    for identifier, rows in agent.series().items():
        host, _, rest = identifier.split("/", 2)
        type_, _, device = rest.partition("-")
        for row in rows:
            seen = rounds.setdefault(row.time, defaultdict(set))
            if type_ in TYPES:
                seen[host] |= {TYPES[type_], device}
    return rounds


@pytest.fixture(params=["Telegraf", "collectd"])
def rounds(
    request: Any, bed: Any, start: Callable[..., Any], tmp_path: Path
) -> Callable[[], Rounds]:
    """What the rounds so far have, without the last, which may be half written."""
    if request.param == "Telegraf":
        settings = tmp_path / "domstats.toml"
        settings.write_text(libvirt_table(bed.uri))
        agent = start(Telegraf, execd(settings))
        read: Callable[[Any], Rounds] = of_telegraf
    else:
        agent = start(Collectd, python_plugin(f'Connection "{bed.uri}"\nExtraStats "vcpu"'))
        read = of_collectd

    def so_far() -> Rounds:
        found = read(agent)
        return {at: found[at] for at in sorted(found)[:-1]}

    wait_for("two rounds", lambda: len(so_far()) >= 2)
    return so_far


@contextmanager
def two_rounds_later(rounds: Callable[[], Rounds]) -> Iterator[list[dict[str, set[str]]]]:
    """What the two rounds have that begin after what is done in the ``with``."""
    found: list[dict[str, set[str]]] = []
    yield found
    since = time.time()

    def later() -> list[dict[str, set[str]]]:
        return [seen for at, seen in rounds().items() if at > since]

    found += wait_for("two rounds", lambda: len(later()) >= 2 and later())


def test_what_comes_and_goes_is_there_as_long_as_it_is_and_the_others_have_no_gap(
    bed: Any, rounds: Callable[[], Rounds]
) -> None:
    others = [guest.name for guest in bed.guests[5:]]
    moved, plugged = bed.guests[5], bed.guests[6]
    others.remove(moved.name)
    old_name = moved.name

    with two_rounds_later(rounds) as after:
        [newcomer] = bed.add(Shape("newcomer"))
        disk, nic = plugged.plug_disk(), plugged.plug_nic()
    for seen in after:
        assert seen["newcomer"] >= WHOLE | {*newcomer.disks, *newcomer.nics}
        assert seen[plugged.name] >= {disk, nic}

    with two_rounds_later(rounds) as after:
        newcomer.destroy()
        moved.rename("renamed")
        plugged.unplug(disk)
        plugged.unplug(nic)
    for seen in after:
        assert not seen["newcomer"] & RUNS
        assert not seen[old_name]
        assert seen["renamed"] >= WHOLE | {*moved.disks, *moved.nics}
        assert seen[plugged.name] >= WHOLE
        assert not seen[plugged.name] & {disk, nic}

    with two_rounds_later(rounds) as after:
        newcomer.start()
        moved.rename(old_name)
    for seen in after:
        assert seen["newcomer"] >= WHOLE
        assert seen[old_name] >= WHOLE
        assert not seen["renamed"]

    everything = rounds()
    gaps = [
        f"round at {at:.3f}: {name} has {seen[name]}"
        for at, seen in everything.items()
        for name in others
        if not seen[name] >= WHOLE
    ]
    assert gaps == []
    times = list(everything)
    assert all(after - before < 2 for before, after in zip(times, times[1:])), times
