"""What is found out of the host beside its guests: plain values, each with the time when it was.

Ground, as ``model`` is. Nothing here is older than the round's sample that carries it: what has
been sent once is not sent again.
"""

from __future__ import annotations

from typing import Optional

import msgspec


class NodeCpu(msgspec.Struct, frozen=True):
    """CPU time of all physical CPUs together since the host booted, in nanoseconds
    (virNodeGetCPUStats); None for what its driver does not say.

    :param time_ns: when it was found, nanoseconds since the epoch.
    """

    time_ns: int
    user_ns: Optional[int] = None
    system_ns: Optional[int] = None
    idle_ns: Optional[int] = None
    iowait_ns: Optional[int] = None


class NodeMemory(msgspec.Struct, frozen=True):
    """Memory of the host, in bytes (virNodeGetMemoryStats); None for what is not said."""

    time_ns: int
    total: Optional[int] = None
    free: Optional[int] = None
    buffers: Optional[int] = None
    cached: Optional[int] = None


class DaemonLoad(msgspec.Struct, frozen=True):
    """The workers and clients of libvirtd, or of the modular daemon, by its admin connection
    (virAdmServerGetThreadPoolParameters, virAdmServerGetClientLimits).

    :param free: workers that wait for a call; ``busy`` is all of them without these.
    :param jobs: calls that wait for a worker.
    :param unauthenticated: clients that have not said yet who they are.
    """

    time_ns: int
    least: Optional[int] = None
    most: Optional[int] = None
    workers: Optional[int] = None
    free: Optional[int] = None
    busy: Optional[int] = None
    priority: Optional[int] = None
    jobs: Optional[int] = None
    clients: Optional[int] = None
    clients_most: Optional[int] = None
    unauthenticated: Optional[int] = None


#: virStoragePoolState by its number.
POOL_STATES: tuple[str, ...] = ("inactive", "building", "running", "degraded", "inaccessible")


class Pool(msgspec.Struct, frozen=True):
    """A storage pool (virStoragePoolGetInfo), in bytes. libvirt gives the sizes of the pool's last
    refresh.

    :param type: as in its XML: ``dir``, ``netfs``, ``rbd``, …; empty if that could not be read.
    :param path: where it is mounted or lies; empty for a pool that has no place in this host.
    :param state: virStoragePoolState.
    """

    time_ns: int
    name: str
    type: str
    path: str
    state: int
    capacity: int
    allocation: int
    available: int

    @property
    def state_name(self) -> Optional[str]:
        """The state in libvirt's word; None for one of a newer libvirt."""
        return POOL_STATES[self.state] if 0 <= self.state < len(POOL_STATES) else None


class MountReport(msgspec.Struct, frozen=True):
    """A network or FUSE mount with disks of domains on it, as the storage watch sees it.

    :param time_ns: when its last answer came; of a mount that does not answer, that of the report.
    :param state: ``answers``, ``silent``, or ``not_probed`` where this process may not probe it.
    :param domains: domains with a disk on it.
    :param silent_s: seconds since the first probe that it did not answer, 0 if it answers; None
        where it may not be probed.
    :param probe_s: seconds that its last complete probe took; None if there is none.
    :param capacity: bytes, by the statvfs() of that probe, as are ``free``, and ``available`` to
        ordinary users; None if it does not say.
    """

    time_ns: int
    point: str
    kind: str
    state: str
    domains: int
    silent_s: Optional[float] = None
    probe_s: Optional[float] = None
    capacity: Optional[int] = None
    free: Optional[int] = None
    available: Optional[int] = None

    @property
    def answers(self) -> Optional[int]:
        """1 if it does, 0 if not; None where it may not be probed."""
        return None if self.state == "not_probed" else int(self.state == "answers")


class HostSample(msgspec.Struct, frozen=True):
    """What has been found of a host since the sample before; None and nothing for what has not."""

    cpu: Optional[NodeCpu] = None
    memory: Optional[NodeMemory] = None
    daemon: Optional[DaemonLoad] = None
    pools: tuple[Pool, ...] = ()
