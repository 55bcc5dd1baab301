"""Process 1 of the test bed's own namespaces: hides the system's libvirt, then runs libvirtd.

Run as ``unshare --mount --pid --net --fork … python init.py BED none``. It answers one-word
commands on its standard input, and ends at the end of it. With process 1 the kernel ends every
other process of the namespace, stopped ones as well, so that even a tester killed by force leaves
no guest behind.
It must not import anything but the standard library, and knows nothing of guests.
"""

import os
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path

# Hidden below an empty file system each. /run has the locks of the system's libvirtd, and the
# message bus by which the system's machine registry would hear of the guests.
HIDDEN = ("/run", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")

LIBVIRTD_CONF = """\
unix_sock_dir = "{sockets}"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "{authentication}"
auth_unix_rw = "none"
host_uuid = "{host}"
"""

# The guests run as root since /dev/kvm may be closed to others, and then libvirtd would probe
# QEMU's capabilities afresh at each start. Of the cgroups only those that account for CPU time.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ "cpu", "cpuacct" ]
namespaces = []
"""


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def hide_the_system(bed: Path, authentication: str) -> None:
    """Give this mount namespace libvirt folders of its own; ``bed`` stays shared with outside.

    :param authentication: how libvirtd's socket for reading learns who asks: none, or polkit.
    """
    for folder in HIDDEN:
        Path(folder).mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755", "bed", folder)
    show_own_network_devices(bed)
    settings = bed / "etc"
    settings.mkdir()
    for name in ("qemu", "nwfilter", "hooks"):
        (settings / name).mkdir()
    (settings / "qemu.conf").write_text(QEMU_CONF)
    # A host of its own for libvirt, which migrates no guest to the same one.
    conf = LIBVIRTD_CONF.format(
        sockets=bed / "sockets", authentication=authentication, host=uuid.uuid4()
    )
    (settings / "libvirtd.conf").write_text(conf)
    (settings / "virtlogd.conf").write_text("")
    Path("/etc/libvirt").mkdir(exist_ok=True)
    mount("--bind", str(settings), "/etc/libvirt")


def show_own_network_devices(bed: Path) -> None:
    """Mount a /sys that belongs to our network namespace, and bring the control groups over.

    If the bed has no partition among them, libvirtd must not see any: it would use the others.
    """
    groups = Path("/sys/fs/cgroup")
    has_partition = bool([*groups.glob(f"{bed.name}.*"), *groups.glob(f"*/{bed.name}.*")])
    aside = bed / "cgroup"
    aside.mkdir()
    if has_partition:
        mount("--rbind", str(groups), str(aside))
    subprocess.run(["umount", "--recursive", "--lazy", "/sys"], check=True)
    mount("-t", "sysfs", "bed", "/sys")
    if has_partition:
        mount("--rbind", str(aside), str(groups))
        subprocess.run(["umount", "--recursive", "--lazy", str(aside)], check=True)


def start(program: str, log: Path) -> None:
    """Start ``program`` with the bed's log file as its standard output and error."""
    with log.open("ab") as output:
        subprocess.Popen(
            [program, "--config", f"/etc/libvirt/{program}.conf"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def bury_the_dead(*_: object) -> None:
    """Reap every ended child, adopted ones as well, as process 1 has to."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    bed = Path(sys.argv[1])
    hide_the_system(bed, sys.argv[2])
    signal.signal(signal.SIGCHLD, bury_the_dead)
    start("virtlogd", bed / "virtlogd.log")
    start("libvirtd", bed / "libvirtd.log")
    while True:
        select.select([0], [], [])
        command = os.read(0, 100)
        if not command:
            return
        if command.strip() == b"libvirtd":
            start("libvirtd", bed / "libvirtd.log")


if __name__ == "__main__":
    main()
