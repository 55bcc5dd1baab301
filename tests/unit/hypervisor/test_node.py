"""The host as libvirt tells of it, and in which order storage pools are asked."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from domstats.errors import CallError, HypervisorError
from domstats.hypervisor.node import LIST_AGAIN_S, PoolBook, node_cpu, node_memory


class Handle:
    """libvirt's object for a pool; what is asked of it goes to ``calls``."""

    def __init__(self, host: Host, label: str) -> None:
        self.host, self.label = host, label
        self.size = 100
        self.gone = False

    def name(self) -> str:
        return self.label

    def XMLDesc(self, flags: int) -> str:
        self.host.calls.append(f"xml {self.label}")
        return f"<pool type='dir'><target><path>/{self.label}</path></target></pool>"

    def info(self) -> list[int]:
        self.host.calls.append(f"info {self.label}")
        if self.gone:
            raise CallError("Storage pool not found")
        return [2, self.size, 70, 30]


class Host:
    """Stands for a connection, and for libvirt's object behind it."""

    def __init__(self, *names: str) -> None:
        self.calls: list[str] = []
        self.pools = [Handle(self, name) for name in names]
        self.opened = 1
        self.now = 0.0
        self.lost = False
        self.book = PoolBook(self, lambda: self.now)  # type: ignore[arg-type]

    def connect(self) -> None:
        if self.lost:
            raise HypervisorError("away")

    def ask(self, question: Callable[[Any], Any]) -> Any:
        return question(self)

    def listAllStoragePools(self, flags: int) -> list[Handle]:
        self.calls.append("list")
        return list(self.pools)

    def getCPUStats(self, number: int, flags: int) -> dict[str, int]:
        assert number == -1
        return {"kernel": 1, "user": 2, "idle": 3, "intr": 4}

    def getMemoryStats(self, number: int, flags: int) -> dict[str, int]:
        assert number == -1
        return {"total": 4, "free": 3, "cached": 1}

    def read(self) -> list[str]:
        """The pools that are found, and what was asked for it."""
        self.calls.clear()
        return [pool.name for pool in self.book.read()]


def test_cpu_time_and_memory() -> None:
    cpu, memory = node_cpu(Host()), node_memory(Host())  # type: ignore[arg-type]
    assert (cpu.system_ns, cpu.user_ns, cpu.idle_ns, cpu.iowait_ns) == (1, 2, 3, None)
    assert (memory.total, memory.free, memory.buffers, memory.cached) == (4096, 3072, None, 1024)
    assert min(cpu.time_ns, memory.time_ns) > 0


def test_a_pool_has_its_figures_type_and_place() -> None:
    (pool,) = Host("a").book.read()
    assert (pool.name, pool.type, pool.path, pool.state_name) == ("a", "dir", "/a", "running")
    assert (pool.capacity, pool.allocation, pool.available) == (100, 70, 30)


def test_pools_are_listed_rarely_and_only_after_all_known_have_answered() -> None:
    host = Host("a", "b")
    assert host.read() == ["a", "b"]
    assert host.calls == ["list", "xml a", "xml b", "info a", "info b"]
    host.pools.append(Handle(host, "c"))
    assert host.read() == ["a", "b"]
    assert host.calls == ["info a", "info b"]
    host.now += LIST_AGAIN_S
    assert host.read() == ["a", "b", "c"]
    assert host.calls == ["info a", "info b", "list", "xml a", "xml b", "xml c", "info c"]


def test_a_pool_that_was_undefined_is_left_out_and_forgotten() -> None:
    host = Host("a", "b")
    host.read()
    host.pools.pop(0).gone = True
    assert host.read() == ["b"]
    host.now += LIST_AGAIN_S
    host.read()
    assert host.read() == ["b"]
    assert host.calls == ["info b"]


def test_another_connection_has_pools_of_its_own() -> None:
    host = Host("a")
    host.read()
    host.lost = True
    with pytest.raises(HypervisorError):
        host.read()
    host.lost, host.opened = False, 2
    assert host.read() == ["a"]
    assert host.calls[0] == "list"


def test_it_is_known_which_pool_is_being_asked() -> None:
    host = Host("a", "b")
    pools = host.book.read()
    assert (next(pools).name, host.book.asking) == ("a", "a")
    assert (next(pools).name, host.book.asking) == ("b", "b")
