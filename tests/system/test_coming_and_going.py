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

#: Seconds: enough for a round to be whole on a busy machine.
INTERVAL = 2.0

#: What a running guest with a disk and a NIC has in every round, and the devices' own.
WHOLE = {"cpu", "balloon", "vcpu", "net", "block"}
TYPES = {
    "virt_cpu_total": "cpu",
    "memory": "balloon",
    "virt_vcpu": "vcpu",
    "if_octets": "net",
    "disk_octets": "block",
}

#: What is known of a running guest even if its monitor does not answer in time.
ALWAYS = {"cpu", "vcpu", "net"}

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
        agent = start(Telegraf, execd(settings), INTERVAL)
        read: Callable[[Any], Rounds] = of_telegraf
    else:
        agent = start(
            Collectd, python_plugin(f'Connection "{bed.uri}"\nExtraStats "vcpu"'), INTERVAL
        )
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

    found += wait_for("two rounds", lambda: later() if len(later()) >= 2 else None)


def test_what_comes_and_goes_is_there_as_long_as_it_is_and_the_others_have_no_gap(
    bed: Any, rounds: Callable[[], Rounds]
) -> None:
    plugged = bed.guests[6]
    others = [bed.guests[number].name for number in (0, 2, 7)]
    old_name = "moved"
    [moved] = bed.add(Shape(old_name))

    def has(name: str, *what: str) -> None:
        """Wait until a guest has all this in the latest round."""
        wait_for(f"{what} of {name}", lambda: list(rounds().values())[-1][name] >= {*what})

    [newcomer] = bed.add(Shape("newcomer"))
    disk, nic = plugged.plug_disk(), plugged.plug_nic()
    has("newcomer", *WHOLE, *newcomer.disks, *newcomer.nics)
    has(plugged.name, *WHOLE, disk, nic)

    with two_rounds_later(rounds) as after:
        newcomer.destroy()
        moved.rename("renamed")
        plugged.unplug(disk)
        plugged.unplug(nic)
    for seen in after:
        assert not seen["newcomer"] & RUNS
        assert not seen[old_name]
        assert not seen[plugged.name] & {disk, nic}
    has("renamed", *WHOLE, *moved.disks, *moved.nics)
    has(plugged.name, *WHOLE)

    with two_rounds_later(rounds) as after:
        newcomer.start()
        moved.rename(old_name)
    for seen in after:
        assert not seen["renamed"]
    has("newcomer", *WHOLE)
    has(old_name, *WHOLE)

    everything = list(rounds().values())
    for name in others:
        assert all(seen[name] >= ALWAYS for seen in everything), name
        # On a busy machine a round may end before each monitor has answered.
        whole = [seen for seen in everything if seen[name] >= WHOLE]
        assert len(whole) >= len(everything) * 3 / 4, name
