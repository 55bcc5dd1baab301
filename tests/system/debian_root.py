"""A shell in a Debian of its own, see tests/matrix/root: what it does there is gone at its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

from tests.system.agents.program import Absent
from tests.system.bed.cgroups import hierarchies, remove_below
from tests.system.waiting import wait_for

CHECKOUT = Path(__file__).resolve().parents[2]
ENTER = CHECKOUT / "tests/matrix/root"
CANNOT = 77  # its status where there can be no such Debian here

#: systemd with devices and control groups of its own; the rest of the kernel it may only look at.
BOOT = """\
mkdir /mnt/dev
mount -t tmpfs -o mode=755 devices /mnt/dev
mkdir /mnt/dev/pts /mnt/dev/shm
for device in null zero full random urandom tty kvm fuse; do
    [ -e /dev/$device ] && : >/mnt/dev/$device && mount --bind /dev/$device /mnt/dev/$device
done
mount -t devpts -o newinstance,ptmxmode=666 terminals /mnt/dev/pts
mount -t tmpfs memory /mnt/dev/shm
ln -s pts/ptmx /mnt/dev/ptmx
ln -s /proc/self/fd /mnt/dev/fd
umount --lazy --recursive /dev
mount --move /mnt/dev /dev
umount --recursive /sys/fs/cgroup
mount -t cgroup2 groups /sys/fs/cgroup
mkdir /sys/fs/cgroup/{group}
echo $$ >/sys/fs/cgroup/{group}/cgroup.procs
echo "127.0.0.1 localhost $(hostname)" >/etc/hosts
systemctl --quiet mask systemd-udevd systemd-logind systemd-networkd systemd-resolved \
    systemd-modules-load virtlogd.service virtlogd.socket libvirt-guests \
    libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
systemctl --quiet set-default multi-user.target
unshare --pid --fork --mount --cgroup --mount-proc sh -ec '
    umount /sys/fs/cgroup
    mount -t cgroup2 groups /sys/fs/cgroup
    for kernel in /sys /proc/sys; do
        mount --bind $kernel $kernel
        mount -o remount,bind,ro $kernel
    done
    exec env -i container=docker /lib/systemd/systemd' </dev/null >/dev/null 2>&1 &
unshare=$!
for try in $(seq 600); do
    init=$(pgrep -P $unshare) && state=$(nsenter -t $init -p -m systemctl is-system-running 2>&1)
    case $state in running | degraded) break ;; esac
    sleep 0.1
done
nsenter -t $init -p -m systemctl --failed --no-legend --plain
"""

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


def remove_groups(name: str) -> bool:
    """Remove a control group of this machine's and all below it.

    :return: whether it is gone; it stays as long as a process in it has not ended.
    """
    groups = [hierarchy / name for hierarchy in hierarchies()]
    with contextlib.suppress(OSError):
        for group in groups:
            remove_below(group)
    return not any(group.exists() for group in groups)


class DebianRoot:
    """Takes commands from construction until ``stop``.

    :ivar out: the folder that is ``/out`` there.
    :raises Absent: this machine cannot have a root.
    """

    def __init__(self, suite: str) -> None:
        made = subprocess.run([ENTER, suite], check=False, stderr=subprocess.PIPE, text=True)
        if made.returncode == CANNOT:
            raise Absent(f"root of Debian {suite} ({made.stderr.strip()[-300:]})")
        assert made.returncode == 0, made.stderr
        self.out = CHECKOUT / ".build/roots/out" / suite
        self._group = f"domstats-root-{os.getpid()}"
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
        wait_for("the end of its control groups", lambda: remove_groups(self._group), 60)

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

    def boot(self) -> None:
        """Have systemd run, and what is enabled there; commands from now on run beside it.

        :raises Absent: it does not come up.
        """
        assert self._shell.stdin is not None
        try:
            said = self.run(BOOT.format(group=self._group))
        except Failed as failed:
            raise Absent(f"systemd in a Debian of its own ({failed})") from None
        assert not said.strip(), said
        self._shell.stdin.write("exec nsenter -t $init -p -m -C bash\n")
        self.run("export DEBIAN_FRONTEND=noninteractive")

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
