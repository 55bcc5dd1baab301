"""What happens to real guests is told: to a program, to Telegraf and to collectd."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import pytest
from domstats.config.settings import Settings
from domstats.model import EVENT_KINDS, DomainEvent
from domstats.sampling.sampler import Sampler

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import Shape
from tests.system.bed.firmware import write_writer_rom
from tests.system.bed.shape import DOMAIN_TYPE
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

WRITER_XML = """\
<domain type='{type}'>
  <name>writer</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type><loader type='rom'>{rom}</loader></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' error_policy='{policy}'/>
      <source file='{disk}'/>
      <target dev='hda' bus='ide'/>
    </disk>
  </devices>
</domain>
"""


class Listener:
    """A sampler, and all that its samples told of events so far."""

    def __init__(self, bed: Any, **settings: Any) -> None:
        self.log: list[tuple[str, str]] = []
        self.heard: list[DomainEvent] = []
        self.sampler = Sampler(
            Settings(uri=bed.uri, **{"events": EVENT_KINDS, **settings}),
            lambda level, text: self.log.append((level, text)),
        )
        self.sampler.sample(10)

    def of(self, name: str) -> list[tuple[str, str, str]]:
        return [
            (event.kind, event.event, event.detail) for event in self.heard if event.name == name
        ]

    def wait(self, name: str, *wanted: tuple[str, str, str]) -> None:
        def came() -> bool:
            self.heard += self.sampler.sample(10).events
            return set(wanted) <= set(self.of(name))

        try:
            wait_for("event", came)
        except AssertionError:
            raise AssertionError(f"{wanted} not among {self.of(name)}") from None


@pytest.fixture
def listener(bed: Any) -> Iterator[Listener]:
    made = Listener(bed)
    yield made
    made.sampler.close()


@pytest.fixture
def full_disk(bed: Any) -> Iterator[Path]:
    """A disk's image, without a block of its own, on a file system without a block to give."""
    folder = bed.folder / "storage" / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=True)
    try:
        disk = folder / "disk.raw"
        with disk.open("wb") as file:
            file.truncate(1 << 20)
        with (folder / "rest").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_a_guests_life_is_told_in_words(bed: Any, listener: Listener) -> None:
    [guest] = bed.add(Shape("mayfly"))
    listener.wait("mayfly", ("lifecycle", "defined", "added"), ("lifecycle", "started", "booted"))
    guest.pause()
    listener.wait("mayfly", ("lifecycle", "suspended", "paused"))
    guest.resume()
    listener.wait("mayfly", ("lifecycle", "resumed", "unpaused"))
    guest.destroy()
    listener.wait("mayfly", ("lifecycle", "stopped", "destroyed"))
    guest.remove()
    listener.wait("mayfly", ("lifecycle", "undefined", "removed"))
    told = [event for _, event, _ in listener.of("mayfly") if event in ("started", "stopped")]
    assert told == ["started", "stopped"]
    assert "error" not in {level for level, _ in listener.log}


def test_devices_and_metadata_are_told_and_seen_in_the_next_samples(
    bed: Any, listener: Listener
) -> None:
    import libvirt

    [guest] = bed.add(Shape("mayfly"))
    disk = guest.plug_disk()
    nic = guest.plug_nic()
    listener.wait("mayfly", ("device", "added", ""))
    aliases = {event.device for event in listener.heard if event.event == "added"}
    assert aliases >= {f"ua-{disk}", f"ua-{nic}"}

    def targets() -> tuple[str, ...]:
        sample = listener.sampler.sample(10)
        (found,) = (domain for domain in sample.domains if domain.uuid == guest.uuid)
        return found.devices.targets

    wait_for("the new disk in what is known of the XML", lambda: disk in targets())
    guest.unplug(disk)
    listener.wait("mayfly", ("device", "removed", ""))
    with bed.connection() as connection:
        domain = connection.lookupByUUIDString(guest.uuid)
        element = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "Title", None, None)
        domain.setMetadata(element, "<a/>", "key", "urn:a")
    listener.wait("mayfly", ("metadata", "changed", "title"), ("metadata", "changed", "urn:a"))


def test_a_disk_that_is_written_beyond_its_threshold_is_told(bed: Any, listener: Listener) -> None:
    [guest] = bed.add(Shape("mayfly"))
    with bed.connection() as connection:
        connection.lookupByUUIDString(guest.uuid).setBlockThreshold("vda", 4096)
    guest.move_counters()
    listener.wait("mayfly", ("block_threshold", "exceeded", ""))
    told = [event for event in listener.heard if event.kind == "block_threshold"]
    assert told[0].numbers["threshold"] == 4096
    assert told[0].path.endswith(".qcow2")


def test_a_guest_whose_process_ends_by_itself_is_told_as_a_failure(
    bed: Any, listener: Listener
) -> None:
    [guest] = bed.add(Shape("mayfly"))
    os.kill(guest.pid, signal.SIGKILL)
    listener.wait("mayfly", ("lifecycle", "stopped", "failed"))
    assert [event.severity for event in listener.heard if event.event == "stopped"] == ["failure"]


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (
            "stop",
            [("io_error", "paused", "enospc"), ("lifecycle", "suspended", "io_error")],
        ),
        ("report", [("io_error", "reported", "")]),
    ],
)
def test_an_io_error_on_a_full_disk_is_told(
    bed: Any, listener: Listener, full_disk: Path, policy: str, wanted: list[tuple[str, str, str]]
) -> None:
    rom = bed.folder / "images" / "writer.rom"
    write_writer_rom(rom)
    xml = WRITER_XML.format(type=DOMAIN_TYPE, rom=rom, disk=full_disk, policy=policy)
    with bed.connection() as connection:
        domain = connection.createXML(xml)
        try:
            listener.wait("writer", *wanted)
        finally:
            domain.destroy()
    (error,) = (event for event in listener.heard if event.kind == "io_error")
    assert (error.severity, error.path) == ("failure", str(full_disk))
    listener.wait("writer", ("lifecycle", "stopped", "destroyed"))


def test_a_hung_guest_that_is_destroyed_is_gone_at_once(bed: Any, listener: Listener) -> None:
    [guest] = bed.add(Shape("mayfly"))
    guest.hang()
    wait_for(
        "its hang in a sample", lambda: listener.sampler.sample(5).round.unresponsive == 1
    )
    guest.remove()
    wait_for("nobody who hangs", lambda: listener.sampler.sample(5).round.unresponsive == 0, 5)
    assert listener.sampler.sample(5).round.stuck_calls == 0


def test_after_a_restart_of_libvirtd_the_gap_is_told_and_nothing_twice(bed: Any) -> None:
    [guest, other] = bed.add(Shape("mayfly"), Shape("mayfly-2"))
    listener = Listener(bed)
    bed.libvirtd.kill()
    assert not listener.sampler.sample(2).round.connected
    os.kill(guest.pid, signal.SIGKILL)
    bed.libvirtd.start()
    listener.wait("", ("stream", "gap", "reconnected"))
    listener.wait("mayfly", ("lifecycle", "stopped", ""))
    other.destroy()
    listener.wait("mayfly-2", ("lifecycle", "stopped", "destroyed"))
    told = [event for event in listener.heard if event.event in ("started", "stopped", "gap")]
    assert [(event.name, event.inferred) for event in told] == [
        ("", False), ("mayfly", True), ("mayfly-2", False)
    ]  # fmt: skip
    listener.sampler.close()


def test_telegraf_gets_a_point_for_each_event_of_the_kinds_that_are_asked_for(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, 'events = ["lifecycle"]'))
    telegraf = start(Telegraf, execd(settings))

    def events() -> list[Any]:
        return [point for point in telegraf.points() if point.measurement == "domstats_event"]

    def names() -> set[str]:
        return {point.tags["event"] for point in events()}

    wait_for("a round", lambda: any("libvirt" in p.measurement for p in telegraf.points()))
    [guest] = bed.add(Shape("mayfly, größe=1"))
    guest.plug_disk()
    guest.destroy()
    wait_for("its end", lambda: "stopped" in names())
    wait_for("its beginning", lambda: names() >= {"defined", "started"})
    told = [point for point in events() if point.tags["event"] in ("started", "stopped")]
    assert [point.tags["event"] for point in told] == ["started", "stopped"]
    for point in told:
        assert point.tags["domain_name"] == guest.name
        assert point.tags["uuid"] == guest.uuid
        assert point.tags["kind"] == "lifecycle"
        assert point.time % 1000  # its own nanosecond, not the round's or the agent's second
    assert told[1].fields["detail"].value == "destroyed"
    assert {point.tags["kind"] for point in events()} == {"lifecycle"}


def test_collectd_gets_a_notification_for_each_event_of_the_kinds_that_are_asked_for(
    bed: Any, start: Callable[..., Any]
) -> None:
    options = f'Connection "{bed.uri}"\nEvents "lifecycle device"'
    collectd = start(Collectd, python_plugin(options))
    wait_for("a round", lambda: collectd.series())
    [guest] = bed.add(Shape("mayfly"))
    guest.pause()
    guest.resume()
    disk = guest.plug_disk()
    guest.destroy()
    wait_for("its end", lambda: "lifecycle stopped (destroyed)" in collectd.log)
    for severity, text in (
        ("OKAY", "domain mayfly: lifecycle started (booted)"),
        ("WARNING", "domain mayfly: lifecycle suspended (paused)"),
        ("OKAY", "domain mayfly: lifecycle resumed (unpaused)"),
        ("OKAY", f"domain mayfly: device added (ua-{disk})"),
        ("OKAY", "domain mayfly: lifecycle stopped (destroyed)"),
    ):
        told = [line for line in collectd.log.splitlines() if text in line]
        assert told, text
        assert f"severity = {severity}" in told[0]
        assert "host = mayfly" in told[0]
    bed.libvirtd.kill()
    bed.libvirtd.start()
    wait_for("the gap", lambda: "events gap (reconnected" in collectd.log)
    (gap,) = (line for line in collectd.log.splitlines() if "events gap" in line)
    assert "host = collectd" in gap


def test_collectd_gets_the_error_of_a_disk_for_which_a_guest_stands_still(
    bed: Any, start: Callable[..., Any], full_disk: Path
) -> None:
    rom = bed.folder / "images" / "writer.rom"
    write_writer_rom(rom)
    xml = WRITER_XML.format(type=DOMAIN_TYPE, rom=rom, disk=full_disk, policy="stop")
    options = f'Connection "{bed.uri}"\nExtraStats "disk_err domain_state"'
    collectd = start(Collectd, python_plugin(options))

    def errors() -> list[float]:
        rows = collectd.series("writer").get("writer/virt/disk_error-hda", ())
        return [row.values[0] for row in rows]

    with bed.connection() as connection:
        domain = connection.createXML(xml)
        try:
            wait_for("the error", errors)
        finally:
            domain.destroy()
    assert set(errors()) == {2.0}, "no space left"
    assert [host for host in collectd.series() if "disk_error" in host] == [
        "writer/virt/disk_error-hda"
    ]
