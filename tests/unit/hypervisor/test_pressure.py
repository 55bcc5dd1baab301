"""The pressure of guests' control groups, from a tree of files as the kernel has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from domstats.hypervisor.pressure import GuestPressure, figures_of, own_group

from tests.unit.rows import each_row

WEB, DB = "11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"
TEXT = """some avg10=1.70 avg60=0.50 avg300=0.00 total=31504239
full avg10=0.25 avg60=0.00 avg300=0.00 total=7
"""
SCOPE = "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope"


class Host:
    """A /proc and control groups."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / "proc", folder / "groups"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "pressure").mkdir()
        (self.proc / "1").mkdir()
        (self.proc / "1" / "stat").write_text(f"1 (init) S {'0 ' * 18}1 0 7 0\n")
        self.groups.mkdir()
        mounts = f"30 24 0:26 / {self.groups} rw,nosuid - cgroup2 cgroup2 rw\n"
        (self.proc / "self" / "mountinfo").write_text(mounts)

    def start(self, uuid: str, pid: int, group: str) -> Path:
        """A guest's process in a part of its group, and the group's folder."""
        process = self.proc / str(pid)
        process.mkdir()
        (process / "cmdline").write_bytes(f"qemu\0-name\0web\0-uuid\0{uuid}\0".encode())
        (process / "stat").write_text(f"{pid} (qemu) S {'0 ' * 18}{pid} 0 7 0\n")
        (process / "cgroup").write_text(f"1:cpu:/other\n0::{group}/libvirt/emulator\n")
        folder = self.groups / group[1:]
        folder.mkdir(parents=True)
        for resource in ("cpu", "io", "memory"):
            (folder / f"{resource}.pressure").write_text(TEXT)
        return folder

    def end(self, pid: int, folder: Path) -> None:
        for path in (*folder.iterdir(), *(self.proc / str(pid)).iterdir()):
            path.unlink()
        folder.rmdir()
        (self.proc / str(pid)).rmdir()

    def looks(self) -> GuestPressure:
        return GuestPressure(str(self.proc))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_guest_has_the_pressure_of_the_whole_of_its_group(host: Host) -> None:
    host.start(WEB, 101, SCOPE)
    looks = host.looks()
    figures = looks.look([WEB], 0.0)[WEB]
    assert len(figures) == 24
    assert figures["pressure.cpu.some_avg10"] == 1.7
    assert figures["pressure.io.full_avg10"] == 0.25
    assert figures["pressure.memory.some_total"] == 31504239
    assert looks.trouble == ""


def test_a_guest_that_is_started_again_has_that_of_its_new_group(host: Host) -> None:
    folder = host.start(WEB, 101, SCOPE)
    looks = host.looks()
    looks.look([WEB], 0.0)
    host.end(101, folder)
    assert looks.look([WEB], 10.0) == {}
    host.start(WEB, 102, SCOPE.replace("2d1", "2d2"))
    assert WEB in looks.look([WEB], 100.0)


def test_a_guest_in_no_group_of_its_own_has_none(host: Host) -> None:
    """What libvirtd's own group says is about libvirtd."""
    host.start(WEB, 101, SCOPE)
    host.start(DB, 102, "/system.slice/libvirtd.service")
    looks = host.looks()
    assert looks.look([WEB, DB], 0.0).keys() == {WEB}
    assert looks.trouble == ""
    assert looks.look([DB], 10.0) == {}
    assert "no guest is in a control group of its own" in looks.trouble


def test_what_keeps_all_guests_from_having_any_is_named(host: Host) -> None:
    folder = host.start(WEB, 101, SCOPE)
    for name in ("cpu", "io", "memory"):
        (folder / f"{name}.pressure").unlink()
    looks = host.looks()
    assert (looks.look([WEB], 0.0), "turned off" in looks.trouble) == ({}, True)
    (host.proc / "1" / "stat").unlink()
    looks = host.looks()
    assert (looks.look([DB], 0.0), "hidepid" in looks.trouble) == ({}, True)
    (host.proc / "self" / "mountinfo").write_text("25 24 0:2 / /cpu rw - cgroup cgroup rw,cpu\n")
    looks = host.looks()
    assert (looks.look([WEB], 0.0), "version 2" in looks.trouble) == ({}, True)
    (host.proc / "pressure").rmdir()
    looks = host.looks()
    assert (looks.look([WEB], 0.0), "psi=1" in looks.trouble) == ({}, True)


@each_row(
    ("group", "own"),
    [
        (f"{SCOPE}/libvirt/emulator", SCOPE),
        (f"{SCOPE}/libvirt/vcpu0", SCOPE),
        (SCOPE, SCOPE),
        ("/b.partition/qemu-1-web.libvirt-qemu/emulator", "/b.partition/qemu-1-web.libvirt-qemu"),
        ("/machine/qemu-7-a.b.libvirt-qemu", "/machine/qemu-7-a.b.libvirt-qemu"),
        ("/a/machine-qemu\\x2d1\\x2da.scope/b/machine-qemu\\x2d2\\x2db.scope",
         "/a/machine-qemu\\x2d1\\x2da.scope"),
        ("/system.slice/libvirtd.service", ""),
        ("/", ""),
        ("/../machine.slice/machine-qemu\\x2d1\\x2da.scope", ""),
    ],
)  # fmt: skip
def test_a_guests_own_group_is_the_one_that_libvirt_makes_for_it(group: str, own: str) -> None:
    assert own_group(f"3:cpu:/x\n0::{group}\n") == own


def test_lines_of_another_form_are_passed_over() -> None:
    text = b"idle avg10=1\n\nsome avg10=x avg60=1.5 total=2\n" + TEXT.splitlines()[1].encode()
    assert figures_of("io", text) == {
        "pressure.io.full_avg10": 0.25,
        "pressure.io.full_avg60": 0.0,
        "pressure.io.full_avg300": 0.0,
        "pressure.io.full_total": 7,
    }
