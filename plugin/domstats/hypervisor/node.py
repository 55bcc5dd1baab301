"""The host beside its guests, as libvirt tells of it: CPU and memory, storage pools.

Calls that write nothing. One about a pool waits for whoever refreshes that pool, which hangs with
its storage: whoever makes one must be ready to lose the thread. It must not know rounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple, Optional

from ..domain_xml.pool import PoolPlace, pool_place
from ..errors import CallError
from ..host_sample import NodeCpu, NodeMemory, Pool
from .connection import Connection

_KIB = 1024
#: Seconds after which the pools are listed again.
LIST_AGAIN_S = 60.0
#: virNodeGetCPUStats and virNodeGetMemoryStats: all CPUs, all NUMA cells.
_ALL = -1


def node_cpu(connection: Connection) -> NodeCpu:
    """CPU time of all physical CPUs (virNodeGetCPUStats). Raises as ``Connection``."""
    found: Mapping[str, int] = connection.ask(lambda conn: conn.getCPUStats(_ALL, 0))
    return NodeCpu(
        time.time_ns(),
        user_ns=found.get("user"),
        system_ns=found.get("kernel"),
        idle_ns=found.get("idle"),
        iowait_ns=found.get("iowait"),
    )


def node_memory(connection: Connection) -> NodeMemory:
    """Memory of all NUMA cells (virNodeGetMemoryStats). Raises as ``Connection``."""
    kib: Mapping[str, int] = connection.ask(lambda conn: conn.getMemoryStats(_ALL, 0))
    found = {name: value * _KIB for name, value in kib.items()}
    return NodeMemory(
        time.time_ns(),
        total=found.get("total"),
        free=found.get("free"),
        buffers=found.get("buffers"),
        cached=found.get("cached"),
    )


class _Known(NamedTuple):
    """A pool of the last list: libvirt's handle, and what its XML said."""

    handle: Any
    name: str
    place: PoolPlace


class PoolBook:
    """The storage pools of one hypervisor, on a connection of its own.

    A list of pools takes libvirt's lock on all of them and waits for each pool that is being
    refreshed. If that hangs, a list under way keeps others from defining pools, and from whatever
    comes after that. The call about a single pool waits for that pool alone. So the pools are
    listed rarely, and only after each of those known has just answered.

    :ivar asking: the pool that is being asked, for people; empty while the list is.
    """

    def __init__(
        self, connection: Connection, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._known: list[_Known] = []
        self._listed_s: Optional[float] = None
        self._opened = 0
        self.asking = ""

    def read(self) -> Iterator[Pool]:
        """Each pool, as it answers (virStoragePoolGetInfo; now and then also
        virConnectListAllStoragePools, and virStoragePoolGetXMLDesc of each).

        Raises as ``Connection``. A pool that has been undefined since the list is left out.
        """
        connection, now = self._connection, self._clock()
        connection.connect()
        if connection.opened != self._opened:  # another connection has handles of its own
            self._opened, self._known, self._listed_s = connection.opened, [], None
        asked = list(self._known)
        yield from self._infos(asked)
        if self._listed_s is None or now >= self._listed_s + LIST_AGAIN_S:
            self._known, self._listed_s = self._list(), now
            names = {known.name for known in asked}
            yield from self._infos([known for known in self._known if known.name not in names])

    def _list(self) -> list[_Known]:
        self.asking = ""
        handles = self._connection.ask(lambda conn: conn.listAllStoragePools(0))
        return [_Known(handle, str(handle.name()), self._place(handle)) for handle in handles]

    def _place(self, handle: Any) -> PoolPlace:
        try:
            return pool_place(self._connection.ask(lambda _: handle.XMLDesc(0)))
        except CallError:
            return PoolPlace()

    def _infos(self, pools: Iterable[_Known]) -> Iterator[Pool]:
        return (pool for known in pools if (pool := self._info(known)) is not None)

    def _info(self, known: _Known) -> Optional[Pool]:
        self.asking = known.name
        try:
            state, capacity, allocation, available = self._connection.ask(
                lambda _: known.handle.info()
            )
        except CallError:  # it has been undefined; or what is wrong with it is its own
            return None
        return Pool(
            time.time_ns(), known.name, known.place.type, known.place.path,
            state, capacity, allocation, available,
        )  # fmt: skip
