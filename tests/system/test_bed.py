"""The bed does what the other tests rely on."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.waiting import wait_for

ROOT = Path(__file__).parents[2]

KILLED_TESTER = """
import os, signal
from tests.system.bed import Bed
bed = Bed()
guests = bed.ensure(2)
storage = bed.storage("share")
pids = [guest.pid for guest in guests]
guests[0].hang()
storage.freeze()
bed.libvirtd.freeze()
print(bed.folder, *pids, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def has_ended(pid: str) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_killed_tester_leaves_no_guest_behind_and_the_next_bed_no_folder(bed: Any) -> None:
    tester = subprocess.run(
        [sys.executable, "-c", KILLED_TESTER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert tester.returncode == -signal.SIGKILL
    folder, *pids = tester.stdout.split()
    for pid in pids:
        wait_for("end of its guests", partial(has_ended, pid))

    type(bed)().close()

    assert not Path(folder).exists()
    assert folder not in Path("/proc/self/mountinfo").read_text()


def test_guests_outlive_libvirtd(bed: Any) -> None:
    before = {guest.name: guest.pid for guest in bed.guests}
    bed.libvirtd.kill()
    with pytest.raises(Exception, match=r"(?i)connect"), bed.connection():
        pass
    bed.libvirtd.start()
    assert {guest.name: guest.pid for guest in bed.guests} == before


def test_devices_come_and_go_while_a_guest_runs(bed: Any) -> None:
    guest = bed.guests[5]

    def names() -> set[str]:
        with bed.connection() as connection:
            domain = connection.lookupByName(guest.name)
            [(_, statistics)] = connection.domainListGetStats([domain])
        return {
            value
            for key, value in statistics.items()
            if key.startswith(("block.", "net.")) and key.endswith(".name")
        }

    before = names()
    plugged = {guest.plug_disk(), guest.plug_nic()}
    assert names() == before | plugged
    for name in plugged:
        guest.unplug(name)
    assert names() == before


def test_disks_of_idle_guests_can_be_given_something_to_count(bed: Any) -> None:
    guest = bed.guests[0]

    def bytes_read() -> int:
        with bed.connection() as connection:
            count: int = connection.lookupByName(guest.name).blockStats("vda")[1]
            return count

    before = bytes_read()
    guest.move_counters()
    wait_for("growth of a counter", lambda: bytes_read() > before)


def test_a_busy_guest_uses_cpu_time(bed: Any) -> None:
    def vcpu_time() -> int:
        with bed.connection() as connection:
            time: int = connection.lookupByName(bed.guests[0].name).vcpus()[0][0][2]
            return time

    before = vcpu_time()
    wait_for("growth of its first vCPU's time", lambda: vcpu_time() > before)
