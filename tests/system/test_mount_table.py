"""The mount table as the kernel has it: what is mounted and unmounted is seen without reading the
table in vain."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Runs a story in a mount namespace of its own. Slave propagation is what services and containers
#: have.
APART = ("unshare", "--mount", "--propagation", "slave", sys.executable, "-c")

#: Prints, step by step, what lies at the folder, and whether the table was read anew for it.
STORY = """
import json, subprocess, sys
from domstats.hypervisor.mounts import MountInfo, MountTable

folder = sys.argv[1]
info = MountInfo()
told = []

def look(*command):
    before = info.read()
    if command:
        subprocess.run(command, check=True)
    text = info.read()
    table = MountTable(text)
    mount = None
    for end in [at for at, letter in enumerate(folder) if letter == "/"] + [len(folder)]:
        mount = table.step(mount, folder[:end] or "/")
    found = mount.kind if mount.point == folder else ""
    told.append((found, text is not before))

look()
look("mount", "-t", "tmpfs", "none", folder)
look("mount", "-t", "ramfs", "none", folder)
look()
look("umount", "--lazy", folder)
look("umount", folder)
print(json.dumps(told))
"""

#: For each line of its input: whether anything lies at the folder.
LOOKER = """
import sys
from domstats.hypervisor.mounts import MountInfo

info = MountInfo()
for _ in sys.stdin:
    print(sys.argv[1] in info.read(), flush=True)
"""

#: Prints the mounts on the way of a link, seen from within a chroot whose root is a mere folder.
CHROOTED = """
import os, subprocess, sys
from domstats.hypervisor import mounts

root = sys.argv[1]
for folder in "proc", "far":
    os.mkdir(os.path.join(root, folder))
os.symlink("/far/images", os.path.join(root, "images"))
subprocess.run(["mount", "--bind", "/proc", os.path.join(root, "proc")], check=True)
subprocess.run(["mount", "-t", "ramfs", "none", os.path.join(root, "far")], check=True)
os.chroot(root)
mounts.REMOTE_KINDS = {"ramfs"}
table = mounts.MountTable(mounts.MountInfo().read())
print(*(mount.point for mount in mounts.remote_mounts("/images/x", table)))
"""


pytestmark = pytest.mark.usefixtures("root")


def test_what_is_mounted_and_unmounted_is_seen(tmp_path: Path) -> None:
    told = subprocess.run([*APART, STORY, tmp_path], stdout=subprocess.PIPE, check=True)
    assert json.loads(told.stdout) == [
        ["", False],
        ["tmpfs", True],
        ["ramfs", True],
        ["ramfs", False],
        ["tmpfs", True],
        ["", True],
    ]


def test_in_a_chroot_storage_behind_a_link_is_found(tmp_path: Path) -> None:
    told = subprocess.run([*APART, CHROOTED, tmp_path], stdout=subprocess.PIPE, check=True)
    assert told.stdout == b"/far\n"


def test_what_is_mounted_from_outside_is_seen(tmp_path: Path) -> None:
    shared = ["mount", "--bind", "--make-shared", str(tmp_path), str(tmp_path)]
    inside = tmp_path / "inside"
    inside.mkdir()
    subprocess.run(shared, check=True)
    try:
        with subprocess.Popen(
            [*APART, LOOKER, str(inside)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def is_seen() -> bool:
                print(file=stdin, flush=True)
                return stdout.readline() == "True\n"

            seen = [is_seen()]
            subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
            seen.append(is_seen())
            subprocess.run(["umount", inside], check=True)
            seen.append(is_seen())
            stdin.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert seen == [False, True, False]
