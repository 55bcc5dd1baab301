"""Containers of libvirt's LXC driver in a bed: a shell in a root of its own.

The driver has to be installed. Its containers want a place in each hierarchy of the control groups,
where QEMU guests make do with those that count CPU time, and stumble over hybrid ones.
"""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

import libvirt

from tests.system.bed.bed import Bed
from tests.system.bed.cgroups import SUFFIX, remove_below

GROUPS = Path("/sys/fs/cgroup")
#: What the controller of CPU sets wants to be given in each new group.
INHERITED = ("cpuset.cpus", "cpuset.mems")
DRIVER = Path("/usr/lib/libvirt/libvirt_lxc")

SHELL = "while :; do sleep 0.1; done"


class Containers:
    """The containers of a bed of its own, until the end of ``with``: its libvirtd is restarted."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.uri = bed.uri.replace("qemu+unix:///system", "lxc+unix:///system")
        self._made: list[Path] = []
        self._names: list[str] = []

    def __enter__(self) -> "Containers":
        for hierarchy in GROUPS.glob("*/"):
            group = hierarchy / f"{self.bed.folder.name}{SUFFIX}"
            if (hierarchy / "cgroup.procs").exists() and not group.exists():
                group.mkdir()
                self._made.append(group)
                for name in INHERITED:
                    if (hierarchy / name).exists():
                        (group / name).write_text((hierarchy / name).read_text())
        if (GROUPS / "unified").exists():
            # libvirt cannot give a container both kinds of control groups.
            inside = ["nsenter", "--target", str(self.bed.process_1), "--mount", "--pid"]
            subprocess.run([*inside, "umount", "--lazy", str(GROUPS / "unified")], check=True)
            self.bed.libvirtd.kill()
            self.bed.libvirtd.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.connection() as connection:
            for name in self._names:
                with contextlib.suppress(libvirt.libvirtError):
                    connection.lookupByName(name).destroy()
        for group in self._made:
            remove_below(group)

    @contextlib.contextmanager
    def connection(self) -> Iterator[libvirt.virConnect]:
        connection = libvirt.open(self.uri)
        try:
            yield connection
        finally:
            connection.close()

    def add(self, name: str, nic: Optional[str] = None) -> str:
        """Start one, with a network card called ``nic`` on the host; returns its uuid."""
        root = self.bed.folder / "images" / name
        for folder in ("proc", "sys", "dev", "usr"):
            (root / folder).mkdir(parents=True)
        for folder in ("bin", "lib", "lib64"):
            (root / folder).symlink_to(f"usr/{folder}")
        identity = str(uuid.uuid4())
        with self.connection() as connection:
            connection.createXML(_xml(name, identity, self.bed.partition, root, nic))
        self._names.append(name)
        return identity


def _xml(name: str, identity: str, partition: str, root: Path, nic: Optional[str]) -> str:
    domain = ElementTree.Element("domain", type="lxc")
    for tag, text in (("name", name), ("uuid", identity), ("memory", "65536"), ("vcpu", "1")):
        ElementTree.SubElement(domain, tag).text = text
    if partition:
        resource = ElementTree.SubElement(domain, "resource")
        ElementTree.SubElement(resource, "partition").text = partition
    system = ElementTree.SubElement(domain, "os")
    words = (("type", "exe"), ("init", "/bin/sh"), ("initarg", "-c"), ("initarg", SHELL))
    for tag, text in words:
        ElementTree.SubElement(system, tag).text = text
    devices = ElementTree.SubElement(domain, "devices")
    for source, target in ((str(root), "/"), ("/usr", "/usr")):
        shared = ElementTree.SubElement(devices, "filesystem", type="mount")
        ElementTree.SubElement(shared, "source", dir=source)
        ElementTree.SubElement(shared, "target", dir=target)
        if target != "/":
            ElementTree.SubElement(shared, "readonly")
    if nic:
        card = ElementTree.SubElement(devices, "interface", type="ethernet")
        ElementTree.SubElement(card, "target", dev=nic)
    ElementTree.SubElement(devices, "console", type="pty")
    return ElementTree.tostring(domain, encoding="unicode")
