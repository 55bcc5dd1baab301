"""One guest of the bed, and everything that may happen to it."""

import contextlib
import itertools
import os
import signal
import string
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Optional
from uuid import UUID
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from tests.system.bed.shape import Shape, disk_name, disk_xml, domain_xml, nic_xml

if TYPE_CHECKING:
    from tests.system.bed.bed import Bed

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
ALSO_LATER = LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
WITH_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
_nic_numbers = itertools.count()
_plug_letters = itertools.cycle(string.ascii_lowercase)


class Guest:
    """A persistent domain. ``name`` follows renames.

    ``disks``, ``media`` and ``nics`` are the names of the devices it starts with.
    """

    def __init__(self, bed: "Bed", shape: Shape, uuid: UUID) -> None:
        self._bed = bed
        self._shape = shape
        self.uuid = str(uuid)
        self.name = shape.name
        self.disks = [disk_name(index) for index in range(shape.disks)]
        names = range(shape.disks, shape.disks + len(shape.media))
        self.media = [disk_name(index) for index in names]
        self.nics = [f"nic{next(_nic_numbers)}" for _ in range(shape.nics)]
        self._plugged: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Guest {self.name!r}>"

    @contextlib.contextmanager
    def _domain(self) -> Iterator[libvirt.virDomain]:
        with self._bed.connection() as connection:
            yield connection.lookupByUUIDString(self.uuid)

    def create(self) -> None:
        """Define and start it; ``Bed.add`` calls this."""
        folder = self._shape.folder
        system = self._bed.system() if self._shape.agent else None
        new_disk = self._bed.new_file_system if system else self._bed.new_disk
        images = [new_disk(f"{self.uuid}-{disk}", folder) for disk in self.disks]
        media = [
            self._bed.new_medium(f"{self.uuid}-{name}", medium, folder)
            for name, medium in zip(self.media, self._shape.media)
        ]
        rom = self._bed.rom(self._shape.kind)
        partition = self._bed.partition
        xml = domain_xml(
            self._shape, self.uuid, rom, partition, images, media, self.nics, system, self.relay
        )
        with self._bed.connection() as connection:
            flags = libvirt.VIR_DOMAIN_START_PAUSED if self._shape.paused else 0
            connection.defineXML(xml).createWithFlags(flags)

    @property
    def relay(self) -> Optional[Path]:
        """The socket behind which its agent's channel is, if a test is to be the agent."""
        is_one = self._shape.agent == "relay"
        return self._bed.folder / "sockets" / self.uuid if is_one else None

    def remove(self) -> None:
        """End it and delete its definition, with what was saved of it."""
        with self._domain() as domain:
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(WITH_ALL)
        self._bed.forget(self)

    def start(self) -> None:
        with self._domain() as domain:
            domain.create()

    def destroy(self) -> None:
        """Switch it off; its definition stays."""
        with self._domain() as domain:
            domain.destroy()

    def rename(self, name: str) -> None:
        """Switch it off, rename it, start it: libvirt renames no running guest."""
        with self._domain() as domain:
            domain.destroy()
            domain.rename(name)
            domain.create()
        self.name = name

    def pause(self) -> None:
        with self._domain() as domain:
            domain.suspend()

    def resume(self) -> None:
        with self._domain() as domain:
            domain.resume()

    def set_metadata(self, namespace: str, element: Optional[str], prefix: str = "own") -> None:
        """Write a metadata element of a running guest; None removes that of ``namespace``."""
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        with self._domain() as domain:
            domain.setMetadata(kind, element, element and prefix, namespace, ALSO_LATER)

    # What is plugged in at run time is on USB, since that can be unplugged without the guest's
    # consent, for which it would need an operating system.

    def plug_disk(self) -> str:
        """Plug in one more disk, and return its device's name."""
        name = f"sd{next(_plug_letters)}"
        path = self._bed.new_disk(f"{self.uuid}-{name}", self._shape.folder)
        self._plug(name, disk_xml(path, name, bus="usb"))
        return name

    def plug_nic(self) -> str:
        """Plug in one more network card, and return its device's name."""
        name = f"nic{next(_nic_numbers)}"
        self._plug(name, nic_xml(name, model="usb-net"))
        return name

    def _plug(self, name: str, xml: str) -> None:
        with self._domain() as domain:
            domain.attachDeviceFlags(xml, LIVE)
            devices = ElementTree.fromstring(domain.XMLDesc()).findall("devices/*")
        (device,) = (each for each in devices if each.find(f"target[@dev='{name}']") is not None)
        # With its address, by which libvirt before 7.2 tells it from others.
        self._plugged[name] = ElementTree.tostring(device, encoding="unicode")

    def unplug(self, name: str) -> None:
        """Unplug what was plugged in; switching the guest off does it as well."""
        with self._domain() as domain:
            domain.detachDeviceFlags(self._plugged.pop(name), LIVE)

    def move_counters(self) -> None:
        """Have QEMU read and write a little on each disk, as a guest with a system would."""
        for disk in self.disks:
            self.request(disk, "aio_read 0 64k", "aio_write 0 4k", "aio_flush")

    def request(self, disk: str, *requests: str) -> None:
        """Have QEMU do this on a disk or medium, in the words of qemu-io."""
        hmp = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        with self._domain() as domain:
            for request in requests:
                command = f'qemu-io -d /machine/peripheral/ua-{disk}/virtio-backend "{request}"'
                libvirt_qemu.qemuMonitorCommand(domain, command, hmp)

    @property
    def pid(self) -> int:
        """Its QEMU process, by the id seen from outside; raises LookupError if it does not run."""
        for pid, command in self._bed.processes():
            if "-uuid" in command and command[command.index("-uuid") + 1] == self.uuid:
                return pid
        raise LookupError(f"{self.name} does not run")

    def has_free_monitor(self) -> bool:
        """Whether no call is under way in its monitor."""
        with self._domain() as domain:
            state: int = domain.controlInfo()[0]
        return state == libvirt.VIR_DOMAIN_CONTROL_OK

    def hang(self) -> None:
        """Stop its QEMU process: from now on its monitor does not answer."""
        os.kill(self.pid, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
