"""What may befall a guest while agents sample it: each value stays its own, and no rate jumps.

One story for both agents, which run side by side, each beside its peer where that can be. What only
comes and goes is told in test_coming_and_going.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import libvirt
import libvirt_qemu
import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import Shape
from tests.system.configurations import (
    EXTRA_STATS,
    execd,
    libvirt_table,
    python_plugin,
    virt_plugin,
)
from tests.system.waiting import wait_for

INTERVAL = 2.0

#: State and reason, of virDomainState.
RUNS, OFF, CRASHED = 1, 5, 6
OFF_CRASHED, OFF_SAVED, PANICKED = (OFF, 3), (OFF, 5), (CRASHED, 1)

#: What a guest of this test does by the second at most. By the rate's unit, or else its name.
MOST = {
    "percent": 250.0,
    "bytes_per_s": 4 * 1024 * 1024,
    "per_s": 5000,
    "latency_s": 10.0,
    "queue": 100.0,
}
#: What the first of two guests of a name, or of a uuid, reads: more than all others do ever.
MUCH = 32 << 20
READ_MUCH = "aio_read 0 32M"

PRESERVED = "<on_crash>preserve</on_crash>"
PANIC_DEVICE = "<panic model='isa'/>"
PANIC = "o/b 0x505 1"

EXTERNAL = """\
<domainsnapshot>
  <disks><disk name='vda' snapshot='external'><source file='{path}'/></disk></disks>
</domainsnapshot>
"""


class Value(NamedTuple):
    """A value that an agent got.

    :param what: the measurement and field, or the type and its instance.
    :param device: of the measurement; empty for the guest's own.
    """

    time: float
    name: str
    uuid: str
    what: str
    device: str
    value: float


def of_telegraf(agent: Telegraf) -> Iterator[Value]:
    for point in agent.points():
        name, uuid = point.tags.get("domain_name", ""), point.tags.get("uuid", "")
        if uuid:
            device = point.tags.get("device", point.tags.get("vcpu_id", ""))
            for field, (kind, value) in point.fields.items():
                if kind in "iuf":
                    what = f"{point.measurement} {field}"
                    yield Value(point.time / 1e9, name, uuid, what, device, float(value))


def of_collectd(agent: Collectd, plugin: str = "") -> Iterator[Value]:
    """Of ours; of the plugin of that name if it is given."""
    for identifier, rows in agent.series().items():
        host, by, what = identifier.split("/", 2)
        _, _, uuid = by.partition("-")
        if host != "collectd" and (by == plugin if plugin else uuid):
            for row in rows:
                for number, value in enumerate(row.values):
                    yield Value(row.time, host, uuid, f"{what} {number}", "", value)


class Story:
    """Both agents, and who was there when."""

    def __init__(self, bed: Any, telegraf: Telegraf, collectd: Collectd) -> None:
        self.bed, self.telegraf, self.collectd = bed, telegraf, collectd
        #: By name and uuid: when it was last known to be.
        self.ended: dict[tuple[str, str], float] = {}
        self.begun: dict[tuple[str, str], float] = {}

    def values(self) -> dict[str, list[Value]]:
        return {
            "Telegraf": list(of_telegraf(self.telegraf)),
            "collectd": list(of_collectd(self.collectd)),
        }

    def add(self, shape: Shape, identity: str = "") -> Any:
        before = time.time()
        (guest,) = self.bed.add(shape, identity=identity)
        self.begun[guest.name, guest.uuid] = before
        return guest

    def remove(self, guest: Any) -> None:
        guest.remove()
        self.ended[guest.name, guest.uuid] = time.time()

    @staticmethod
    def domain(connection: libvirt.virConnect, guest: Any) -> libvirt.virDomain:
        return connection.lookupByUUIDString(guest.uuid)

    def rounds(self, count: int = 2) -> None:
        """Wait for so many whole rounds of both from now on."""
        since = time.time()

        def later() -> bool:
            telegraf = {
                point.time
                for point in self.telegraf.points()
                if point.measurement == "domstats_round" and point.time / 1e9 > since
            }
            rows = self.collectd.series("collectd").get("collectd/domstats/duration-round", ())
            return min(len(telegraf), sum(row.time > since for row in rows)) >= count

        wait_for(f"{count} rounds", later)

    def state(self, guest: Any) -> dict[str, tuple[int, int]]:
        """State and reason in the latest round, by agent, and virt's."""
        of_virt = list(of_collectd(self.collectd, "virt"))
        found = {}
        for agent, values in {**self.values(), "virt": of_virt}.items():
            mine = [each for each in values if each.name == guest.name]
            pairs = (
                ("libvirt_state state", "libvirt_state reason")
                if agent == "Telegraf"
                else ("domain_state 0", "domain_state 1")
            )
            state, reason = (
                max((each[0], each.value) for each in mine if each.what == what) for what in pairs
            )
            found[agent] = (int(state[1]), int(reason[1]))
        return found


@pytest.fixture
def story(bed: Any, start: Callable[..., Any], tmp_path: Path) -> Story:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, "rates = true"))
    telegraf = start(Telegraf, execd(settings), INTERVAL)
    options = f'Connection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    ours = python_plugin(options + "PluginInstanceFormat uuid\nRates true")
    collectd = start(Collectd, virt_plugin(options + "RefreshInterval 1") + ours, INTERVAL)
    return Story(bed, telegraf, collectd)


def test_whatever_befalls_guests_each_value_is_its_own_and_no_rate_jumps(story: Story) -> None:
    twin = story.add(Shape("of-one-name"))
    reused = story.add(Shape("uuid-of-before"))
    killed, panicked = story.add(Shape("killed")), story.add(Shape("panicked"))
    saved, shot = story.add(Shape("saved")), story.add(Shape("shot", disks=2, cdrom=True))
    plugged = story.add(Shape("plugged", disks=0, nics=0))
    firsts = {(guest.name, guest.uuid) for guest in (twin, reused)}
    for guest in (twin, reused):
        guest.request("vda", READ_MUCH)
    for guest in (saved, shot):
        guest.move_counters()
    story.rounds()

    with story.bed.connection() as connection:
        # One goes and another comes under its name, or with its uuid, between two rounds.
        story.remove(twin)
        twin_2 = story.add(Shape("of-one-name", disks=2))
        story.remove(reused)
        reused_2 = story.add(Shape("uuid-again"), reused.uuid)
        os.kill(killed.pid, signal.SIGKILL)
        panic(connection, story.domain(connection, panicked))
        story.domain(connection, saved).managedSave()
        internal = story.domain(connection, shot).snapshotCreateXML("<domainsnapshot/>")
        disk, nic = plugged.plug_disk(), plugged.plug_nic()
        transient = as_transient(story, connection, "transient")
        story.rounds()
        assert set(story.state(killed).values()) == {OFF_CRASHED}
        assert set(story.state(panicked).values()) == {PANICKED}
        assert set(story.state(saved).values()) == {OFF_SAVED}
        assert {pair[0] for pair in story.state(transient).values()} == {RUNS}

        story.domain(connection, saved).create()
        for guest in (twin_2, reused_2, shot):
            guest.move_counters()
        story.rounds()
        path = str(story.bed.folder / "images" / "saved-state")
        story.domain(connection, saved).save(path)
        connection.restore(path)
        story.domain(connection, shot).revertToSnapshot(internal)
        internal.delete()
        overlay = story.bed.folder / "images" / "overlay.qcow2"
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        story.domain(connection, shot).snapshotCreateXML(EXTERNAL.format(path=overlay), flags)
        plugged.unplug(disk)
        plugged.unplug(nic)
        story.domain(connection, transient).destroy()
        story.ended[transient.name, transient.uuid] = time.time()
        killed.start()
        story.rounds()
        for guest in (saved, shot, killed, twin_2, reused_2):
            assert {pair[0] for pair in story.state(guest).values()} == {RUNS}, guest

    everything = story.values()
    for agent, values in everything.items():
        assert strangers(story, values) == [], agent
        assert ghosts(story, values) == [], agent
        assert jumps(value for value in values if value[1:3] not in firsts) == [], agent
        assert {value[1:3] for value in values if is_much(value)} == firsts, agent
        rates = [value for value in values if unit_of(value.what)]
        assert {value.name for value in rates} >= {"saved", "shot", "killed", "of-one-name"}, agent
    assert devices(everything["Telegraf"], "plugged") >= {disk, nic}
    assert lacking_beside_virt(story, (saved, shot, killed, twin_2, reused_2, plugged)) == []
    assert [line for line in story.telegraf.log.splitlines() if " E! " in line] == []
    assert "Traceback" not in story.telegraf.log + story.collectd.log
    assert [line for line in story.collectd.log.splitlines() if "[error] domstats" in line] == []


def is_much(value: Value) -> bool:
    """Whether it is what only the first of two guests has read."""
    return value.what in ("libvirt_block rd_bytes", "disk_octets-vda 0") and value.value >= MUCH


def panic(connection: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    """Have a guest panic and stay as it is: it is started anew with the device for that."""
    domain.destroy()
    xml = re.sub("<on_crash>.*</on_crash>", "", domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    xml = xml.replace("<devices>", f"{PRESERVED}<devices>{PANIC_DEVICE}")
    domain = connection.defineXML(xml)
    domain.create()
    hmp = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    libvirt_qemu.qemuMonitorCommand(domain, PANIC, hmp)


def as_transient(story: Story, connection: libvirt.virConnect, name: str) -> Any:
    """A guest without a definition: nothing is left of it when it ends."""
    guest = story.add(Shape(name))
    domain = connection.lookupByUUIDString(guest.uuid)
    domain.undefine()
    story.bed.forget(guest)
    return guest


def strangers(story: Story, values: Iterable[Value]) -> list[str]:
    """Values under a name and a uuid that never belonged together."""
    of_bed = {(guest.name, guest.uuid) for guest in story.bed.guests}
    known = of_bed | story.begun.keys()
    return sorted({f"{v.name} {v.uuid}" for v in values if (v.name, v.uuid) not in known})


def ghosts(story: Story, values: Iterable[Value]) -> list[str]:
    """Values in a round that began after their domain was gone."""
    return [
        f"{value.name} {value.uuid} {value.what} {value.time - story.ended[value.name, value.uuid]}"
        for value in values
        if value.time > story.ended.get((value.name, value.uuid), float("inf"))
        and not value.what.startswith("domstats_domain")
    ]


def unit_of(what: str) -> str:
    """Which of ``MOST`` a rate is judged by; empty for what is none."""
    if what.startswith(("domstats_", "percent-", "latency-", "queue_length-", "gauge-")):
        name = what.replace("percent-", "percent ").replace("latency-", "latency_s ")
        name = name.replace("queue_length-", "queue ").replace("gauge-cpu_", "")
        return next((unit for unit in MOST if unit in name), "")
    return ""


def jumps(values: Iterable[Value]) -> list[str]:
    """Rates that no guest of this test can have."""
    return [
        f"{value.name} {value.what} {value.device}: {value.value}"
        for value in values
        if (unit := unit_of(value.what)) and not 0 <= value.value <= MOST[unit]
    ]


def devices(values: Iterable[Value], name: str) -> set[str]:
    return {value.device for value in values if value.name == name}


def lacking_beside_virt(story: Story, guests: Iterable[Any]) -> list[str]:
    """What virt had of these guests in the latest rounds, and ours had not."""
    since = time.time() - 3 * INTERVAL
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for plugin, values in (
        ("ours", of_collectd(story.collectd)),
        ("virt", of_collectd(story.collectd, "virt")),
    ):
        for value in values:
            if value.time > since:
                found[plugin][value.name].add(value.what)
    missing = {
        guest.name: sorted(found["virt"][guest.name] - found["ours"][guest.name])
        for guest in guests
    }
    return [f"{name}: {what}" for name, what in missing.items() if what]
