"""The bed itself: an enclosure, its libvirtd, its guests and its storage."""

import contextlib
import itertools
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Optional

import libvirt

from tests.system.bed import cgroups, linux
from tests.system.bed.enclosure import Enclosure
from tests.system.bed.firmware import write_roms
from tests.system.bed.guest import Guest
from tests.system.bed.libvirtd import Libvirtd
from tests.system.bed.shape import DOMAIN_TYPE, Medium, Shape, usual
from tests.system.bed.storage import Storage

STARTING_AT_ONCE = 4


class Bed:
    """A libvirtd of one's own at ``uri``, and its guests, from ``with`` to the end of it.

    Every operation opens a connection for itself, so that they all work before, between and after
    whatever is done to libvirtd.

    :param authentication: of libvirtd's socket for reading, ``libvirt-sock-ro``: none, or polkit,
        which cannot be asked here, as in a container.
    """

    def __init__(self, authentication: str = "none") -> None:
        # Its errors come as exceptions; without this they are printed as well.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        self._enclosure = Enclosure(authentication)
        self.folder = self._enclosure.folder
        self.uri = f"qemu+unix:///system?socket={self.folder}/sockets/libvirt-sock"
        self.libvirtd = Libvirtd(self._enclosure, self.uri)
        self._guests: list[Guest] = []
        self._numbers = itertools.count()
        self._storages: list[Storage] = []
        self._system: Optional[linux.System] = None
        self._template = self.folder / "images" / "template.qcow2"
        try:
            write_roms(self.rom("idle"), self.rom("busy"), self.rom("dirty"))
            command = ["qemu-img", "create", "-q", "-f", "qcow2", str(self._template), "64M"]
            subprocess.run(command, check=True)
            self.libvirtd.wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Bed":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """End libvirtd, every guest and every storage, in whatever state they are."""
        self._enclosure.close()

    @property
    def guests(self) -> list[Guest]:
        """All guests, running or not, in the order of their making."""
        return list(self._guests)

    @contextlib.contextmanager
    def connection(self) -> Iterator[libvirt.virConnect]:
        """A connection to the bed's libvirtd that may change things."""
        connection = libvirt.open(self.uri)
        try:
            yield connection
        finally:
            connection.close()

    def ensure(self, count: int) -> list[Guest]:
        """Have at least ``count`` guests, the first ones of many kinds; see ``shape.usual``.

        Returns the first ``count``.
        """
        self.add(*(usual(next(self._numbers)) for _ in range(len(self._guests), count)))
        return self._guests[:count]

    def add(self, *shapes: Shape, identity: str = "") -> list[Guest]:
        """Define and start a guest of each shape, some at a time.

        :param identity: the uuid, if it is to be this one.
        """
        known = uuid.UUID(identity) if identity else None
        guests = [Guest(self, shape, known or uuid.uuid4()) for shape in shapes]
        with ThreadPoolExecutor(STARTING_AT_ONCE) as pool:
            list(pool.map(Guest.create, guests))
        self._guests += guests
        return guests

    def forget(self, guest: Guest) -> None:
        """Called by ``Guest.remove``."""
        self._guests.remove(guest)

    def storage(self, name: str, *options: str) -> Storage:
        """Storage for guests (``Shape.folder = storage.path``) that can be made to hang."""
        storage = Storage(self._enclosure, name, *options)
        self._storages.append(storage)
        return storage

    def rom(self, kind: str) -> Path:
        """What guests run: idle, busy or dirty; see ``firmware``."""
        return self.folder / "images" / f"{kind}.rom"

    def new_disk(self, name: str, folder: Optional[Path] = None) -> Path:
        """An empty image called ``name`` in ``folder``, else among the bed's own."""
        path = (folder or self.folder / "images") / f"{name}.qcow2"
        shutil.copyfile(self._template, path)
        return path

    def new_file_system(self, name: str, folder: Optional[Path] = None) -> Path:
        """A raw image called ``name`` with an empty file system, likewise."""
        path = (folder or self.folder / "images") / f"{name}.raw"
        linux.make_file_system(path)
        return path

    def system(self) -> linux.System:
        """What guests with an operating system boot. Raises linux.AbsentSystem."""
        if self._system is None:
            self._system = linux.make_system(self.folder / "images")
        return self._system

    def new_medium(self, name: str, medium: Medium, folder: Optional[Path] = None) -> Path:
        """An image for a medium, called ``name``, likewise."""
        path = (folder or self.folder / "images") / f"{name}.{medium.format}"
        if medium.format == "raw":
            path.write_bytes(b"." * medium.size)
        else:
            command = ["qemu-img", "create", "-q", "-f", medium.format, str(path)]
            subprocess.run([*command, str(medium.size)], check=True)
        return path

    def processes(self) -> Iterator[tuple[int, list[str]]]:
        """Every process in the bed: its id as seen from outside and its command line."""
        return self._enclosure.processes()

    @property
    def process_1(self) -> int:
        """The first process of the bed's namespaces, by the id seen from outside."""
        return self._enclosure.init

    @property
    def partition(self) -> str:
        """The guests' place among the control groups, empty if this machine grants none.

        Without it some of libvirt's CPU statistics are missing.
        """
        name = self.folder.name
        return f"/{name}" if cgroups.has_partition(name) else ""

    @property
    def accelerated(self) -> bool:
        """Whether the guests have KVM; without it their statistics lack those of KVM."""
        return DOMAIN_TYPE == "kvm"

    def heal(self) -> None:
        """Let everything that was frozen, hung or killed go on; of use after a failed test."""
        try:
            self.libvirtd.heal()
        except LookupError:
            self.libvirtd.start()
        for storage in self._storages:
            storage.heal()
        for guest in self._guests:
            with contextlib.suppress(LookupError):
                guest.heal()
