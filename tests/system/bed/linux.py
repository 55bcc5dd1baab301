"""A guest with an operating system, as small as it gets: Linux and busybox in an initial file
system in memory, and QEMU's real guest agent.

``tests/system/install test`` unpacks the distribution's packages into ``.build/guest``; nothing of
them is installed on this machine. Such a guest boots in some seconds and mounts its first disk.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

UNPACKED = Path(__file__).parents[3] / ".build" / "guest"
MEMORY_MIB = 128
CHANNEL, RELAY = "org.qemu.guest_agent.0", "org.domstats.relay.0"
#: Of KVM inside other virtual machines some cannot boot an operating system.
DOMAIN_TYPE = "qemu"
#: Kernel modules in the order in which they need each other.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_balloon",
)
#: Where the first disk is mounted.
MOUNTPOINT = "/srv/with space"

#: Process 1. Where there is a relay, the agent's channel is handed through to it as soon as
#: somebody there sends a line: so a test can be the agent.
INIT = f"""\
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {" ".join(MODULES)}; do insmod /modules/$module.ko; done
hostname tiny
for port in /sys/class/virtio-ports/*; do
  case $(cat $port/name) in
  {CHANNEL}) agent=/dev/${{port##*/}} ;;
  {RELAY}) relay=/dev/${{port##*/}} ;;
  esac
done
mkdir -p "{MOUNTPOINT}" /run /var/run /var/log
mount -t ext4 /dev/vda "{MOUNTPOINT}"
while [ -z "$relay" ]; do
  qemu-ga -m virtio-serial -p $agent
  sleep 1
done
while :; do
  exec 4<>$relay
  if read line <&4; then
    exec 3<>$agent
    # A port reads as ended as long as nobody has it open on the host.
    while :; do cat <&3 >&4; sleep 0.05; done &
    cat <&4 >&3
    kill $!
    killall cat
    exec 3>&-
  fi
  exec 4>&-
  sleep 0.1
done
"""


class AbsentSystem(Exception):
    """The packages have not been unpacked; the message says what is missing."""


class System(NamedTuple):
    """What a guest boots from."""

    kernel: Path
    initial: Path


def make_system(folder: Path) -> System:
    """Write the initial file system into a folder. Raises AbsentSystem."""
    kernel = _only("boot/vmlinuz-*")
    files = {
        "init": (INIT.encode(), 0o755),
        "bin/busybox": (_only("bin/busybox").read_bytes(), 0o755),
    }
    agent = _only("usr/sbin/qemu-ga")
    for path in (agent, *_libraries(agent)):
        name = "bin/qemu-ga" if path == agent else str(path).lstrip("/")
        files[name] = (Path(os.path.realpath(path)).read_bytes(), 0o755)
    for module in MODULES:
        path = _only(f"lib/modules/*/kernel/**/{module}.ko")
        files[f"modules/{module}.ko"] = (path.read_bytes(), 0o644)
    initial = folder / "initial.cpio"
    initial.write_bytes(_archive(files, ("proc", "sys", "dev", "bin", "modules")))
    return System(kernel, initial)


def make_file_system(path: Path) -> None:
    """An image with an empty file system."""
    with path.open("wb") as image:
        image.truncate(8 * 2**20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", str(path)], check=True)


def _only(pattern: str) -> Path:
    found = sorted(UNPACKED.glob(pattern))
    if not found:
        raise AbsentSystem(f"{UNPACKED / pattern}")
    return found[-1]


def _libraries(program: Path) -> list[Path]:
    """The shared libraries that a program needs, those of this machine, and its loader."""
    listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True)
    words = (word for line in listed.stdout.splitlines() for word in line.split())
    return [Path(word) for word in words if word.startswith("/")]


def _archive(files: dict[str, tuple[bytes, int]], folders: tuple[str, ...]) -> bytes:
    """A cpio archive (newc), the form in which Linux takes its initial file system."""
    names = {*folders, *(str(each) for name in files for each in list(Path(name).parents)[:-1])}
    out = bytearray()
    entries = [(name, 0o040755, b"", (0, 0)) for name in sorted(names)]
    entries.append(("dev/console", 0o020600, b"", (5, 1)))
    entries += [(name, 0o100000 | mode, body, (0, 0)) for name, (body, mode) in files.items()]
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    for number, (name, mode, body, device) in enumerate(entries, 1):
        raw = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(raw), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        out += bytes(-len(out) % 4) + body
        out += bytes(-len(out) % 4)
    return bytes(out)
