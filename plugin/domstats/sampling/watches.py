"""The watches of this host, as the hints that the engine asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Callable, Optional

from ..config.settings import Settings, is_local
from ..drivers import BLOCK
from ..engine.actions import NOT_BLIND, Hints
from ..engine.engine import Engine
from ..engine.introduction import View
from ..host_sample import MountReport
from ..hypervisor.processes import ProcessWatch
from ..hypervisor.storage import StorageWatch
from .workers import EngineEvent


class HostWatches(Hints):
    """The process watch and the storage watch of this host, as hints for the engine."""

    def __init__(
        self,
        processes: Optional[ProcessWatch],
        storage: Optional[StorageWatch],
    ) -> None:
        self.guards_storage = storage is not None
        self._processes = processes
        self._storage = storage

    def begin(self, now: float) -> None:
        if self._storage is not None:
            self._storage.begin()

    def look(self, uuids: Collection[str], now: float) -> dict[str, str]:
        return {} if self._processes is None else self._processes.look(uuids, now)

    def relook(self, uuids: Sequence[str], now: float) -> dict[str, str]:
        return {} if self._processes is None else self._processes.relook(uuids, now)

    def rss_kib(self, uuid: str) -> Optional[int]:
        return None if self._processes is None else self._processes.rss_kib(uuid)

    def unplaced(self, uuids: Iterable[str]) -> set[str]:
        return set() if self._storage is None else self._storage.unknown(uuids)

    def withheld(self) -> frozenset[str]:
        return frozenset() if self._storage is None else self._storage.withheld()

    def silent(self) -> tuple[str, ...]:
        return () if self._storage is None else self._storage.silent()

    def blind(self) -> tuple[str, ...]:
        return () if self._storage is None else self._storage.blind()

    def view(self, uuids: Collection[str]) -> View:
        processes, storage = self._processes, self._storage
        return View(
            processes=processes is not None,
            unseen=None if processes is None else processes.unseen(uuids),
            hidden=processes is not None and processes.is_hidden(),
            storage=storage is not None,
            blind=() if storage is None else storage.blind(),
        )

    def on_blind(self) -> Mapping[str, frozenset[str]]:
        return NOT_BLIND if self._storage is None else self._storage.on_blind()

    def learn(self, uuid: str, paths: Iterable[str]) -> None:
        if self._storage is not None:
            self._storage.learn(uuid, paths)

    def retain(self, uuids: Collection[str]) -> None:
        if self._storage is not None:
            self._storage.retain(uuids)

    def mounts(self) -> tuple[MountReport, ...]:
        """The network and FUSE mounts with disks on them, as they are now."""
        return () if self._storage is None else self._storage.report()

    def close(self) -> None:
        if self._storage is not None:
            self._storage.close()


def has_watches(settings: Settings) -> bool:
    """Whether the engine looks at processes or storage of this host."""
    return is_local(settings.uri) and (settings.process_watch or _watches_storage(settings))


def _watches_storage(settings: Settings) -> bool:
    return settings.storage_watch and BLOCK in settings.groups


def watches_of(settings: Settings, post: Callable[[EngineEvent], None]) -> Hints:
    if not is_local(settings.uri):
        return Hints()
    storage = None
    if _watches_storage(settings):
        storage = StorageWatch(on_answer=lambda mount: post(Engine.storage_news))
    return HostWatches(ProcessWatch() if settings.process_watch else None, storage)
