"""A live migration of a guest from one bed to another, which lasts for as long as a test likes."""

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

import libvirt

from tests.system.bed.guest import Guest

if TYPE_CHECKING:
    from tests.system.bed.bed import Bed

#: MiB/s: at the first a guest that writes to its memory (``Shape.dirty``) is never done.
SLOW, FAST = 1, 10_000
FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_UNSAFE  # its disks lie where both see them, which libvirt cannot know
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)


class Migration:
    """Goes on from ``with`` on; at the end of it it is aborted, unless ``finish`` was called.

    The beds see each other's folders under the same paths, so the disks and QEMU's socket are
    where the guest's XML says.
    """

    def __init__(self, guest: Guest, source: "Bed", destination: "Bed") -> None:
        self._connections = libvirt.open(source.uri), libvirt.open(destination.uri)
        self._domain = self._connections[0].lookupByUUIDString(guest.uuid)
        self._parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{source.folder}/migration",
            libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: SLOW,
        }
        self._thread = threading.Thread(target=self._migrate, daemon=True)
        self._error: Optional[libvirt.libvirtError] = None

    def __enter__(self) -> "Migration":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            if self._thread.is_alive():
                self._domain.abortJob()
                self._thread.join(30)
        finally:
            for connection in self._connections:
                connection.close()

    def _migrate(self) -> None:
        try:
            self._domain.migrate3(self._connections[1], self._parameters, FLAGS)
        except libvirt.libvirtError as error:
            self._error = error

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> None:
        """Let it come to its end, and wait for that."""
        self._domain.migrateSetMaxSpeed(FAST)
        self._thread.join(60)
        assert not self.goes_on, "the migration does not end"
        assert self._error is None, self._error
