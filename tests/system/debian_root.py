"""A shell in a Debian of its own, see tests/matrix/root: what it does there is gone at its end."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from tests.system.agents.program import Absent

CHECKOUT = Path(__file__).resolve().parents[2]
ENTER = CHECKOUT / "tests/matrix/root"
CANNOT = 77  # its status where there can be no such Debian here

LIBVIRTD = """\
cd /etc/libvirt
printf '%s\\n' 'user = "root"' 'group = "root"' 'remember_owner = 0' 'security_driver = "none"' \\
    'cgroup_controllers = []' 'namespaces = []' >>qemu.conf
printf '%s\\n' 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' >>libvirtd.conf
rm -f qemu/networks/autostart/*
virtlogd -d
libvirtd -d
"""

GUEST = """\
<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type machine='pc'>hvm</type><loader type='rom'>/var/lib/guest/hlt.rom</loader></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='/var/lib/guest/disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""


class Failed(AssertionError):
    """A command in the root ended with another status than 0."""


class DebianRoot:
    """Takes commands from construction until ``stop``.

    :raises Absent: this machine cannot have a root.
    """

    def __init__(self, suite: str) -> None:
        made = subprocess.run([ENTER, suite], check=False, stderr=subprocess.PIPE, text=True)
        if made.returncode == CANNOT:
            raise Absent(f"root of Debian {suite} ({made.stderr.strip()[-300:]})")
        assert made.returncode == 0, made.stderr
        self._shell = subprocess.Popen(
            [ENTER, suite, "bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.run("export DEBIAN_FRONTEND=noninteractive")

    def __enter__(self) -> DebianRoot:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the shell; every process that it has started ends with it."""
        self._shell.kill()
        self._shell.communicate()

    def run(self, command: str, fails: bool = False, seconds: float = 300.0) -> str:
        """What a command prints, on both streams.

        :param fails: whether it may end with another status than 0.
        """
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        mark = f"end-{os.urandom(8).hex()}"
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null 2>&1; echo; echo {mark} $?\n")
        self._shell.stdin.flush()
        watch = threading.Timer(seconds, self._shell.kill)
        watch.start()
        try:
            lines: list[str] = []
            for line in self._shell.stdout:
                if line.startswith(mark):
                    break
                lines.append(line)
            else:
                raise Failed(f"{command!r} did not end within {seconds:g} s: {''.join(lines)}")
        finally:
            watch.cancel()
        output = "".join(lines)[:-1]
        if not fails and line.split()[1] != "0":
            raise Failed(f"{command!r}: {output[-3000:]}")
        return output

    def start_libvirtd(self, guest: str) -> None:
        """Start it, and a guest without an operating system: its processor stands still."""
        kind = "kvm" if os.path.exists("/dev/kvm") else "qemu"
        self.run(LIBVIRTD)
        self.run(
            "mkdir -p /var/lib/guest && truncate -s 8M /var/lib/guest/disk && python3 -c"
            " 'import sys; sys.stdout.buffer.write(bytes([0xf4]) * (65536 - 16)"
            " + bytes([0xfa, 0xf4, 0xeb, 0xfc]) + bytes([0x90]) * 12)' >/var/lib/guest/hlt.rom"
        )
        self.run(f"cat >/tmp/guest.xml <<'END'\n{GUEST.format(kind=kind, name=guest)}END")
        self.run(
            "for try in $(seq 100); do virsh -q -c qemu:///system list && break; sleep 0.1; done"
            " && virsh -c qemu:///system create /tmp/guest.xml"
        )
