"""The host beside its guests, from a simulated libvirtd whose storage pools hang."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from domstats.agents.telegraf_execd import writer
from domstats.config.settings import Settings
from domstats.hypervisor import node
from domstats.model import Sample
from domstats.sampling import host_look

from tests.simhost import SimHost

from .conftest import wait_until
from .watched import Watched, complete

DOMAINS, POOLS = 12, 3
#: Seconds that no machine needs for what does not hang.
LONG_S = 60.0
HELD = {"ConnectListAllStoragePools", "StoragePoolGetInfo", "StoragePoolGetXMLDesc"}


@pytest.fixture
def pooled() -> Iterator[SimHost]:
    with SimHost(domains=DOMAINS, vcpus=2) as host:
        for number in range(POOLS):
            host.control.add_pool(f"pool-{number}", f"/srv/{number}")
        yield host
        assert host.control.statistics()["mistakes"] == []


@pytest.fixture
def watched(pooled: SimHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(host_look, "PATIENCE_S", LONG_S)
    # No domain hangs here: on a busy machine none is to be taken for one that does.
    with Watched(pooled, host=True, soft_deadline=LONG_S) as made:
        yield made


def lines(watched: Watched, sample: Sample) -> list[str]:
    text = writer(Settings(host=True)).encode(sample).decode()
    return [line for line in text.splitlines() if line.startswith(("domstats_host", "domstats_s"))]


def pool_names(sample: Sample) -> list[str]:
    assert sample.host is not None
    return [pool.name for pool in sample.host.pools]


def test_the_first_round_has_all_of_the_host(watched: Watched) -> None:
    sample = watched.round()
    host = sample.host
    assert host is not None
    assert host.cpu is not None
    ticks = ((host.cpu.user_ns or 0) - 1000) // 20
    assert (host.cpu.system_ns, host.cpu.idle_ns) == (1000 + 10 * ticks, 1000 + 60 * ticks)
    assert host.memory is not None
    assert (host.memory.total, host.memory.cached) == (64 << 30, 8 << 30)
    assert pool_names(sample) == ["pool-0", "pool-1", "pool-2"]
    pool = host.pools[1]
    assert (pool.type, pool.path, pool.state_name) == ("dir", "/srv/1", "running")
    assert (pool.capacity, pool.allocation, pool.available) == (100 << 30, 60 << 30, 40 << 30)
    assert host.daemon is None
    written = lines(watched, sample)
    assert len([line for line in written if line.startswith("domstats_storage")]) == POOLS
    (totals,) = (line for line in written if "domains_running" in line)
    assert f"domains_running={DOMAINS}i" in totals
    assert f"vcpus={2 * DOMAINS}i" in totals
    assert "vcpu_overcommit=3.0" in totals  # 24 on 8


def test_a_pool_whose_refresh_hangs_costs_pools_alone_and_is_told_once(
    pooled: SimHost, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.round()
    pooled.control.refresh_pool("pool-1")
    monkeypatch.setattr(host_look, "PATIENCE_S", 0.0)
    seen: set[str] = set()

    def about_pools() -> list[str]:
        sample = watched.round()
        assert len(complete(sample)) == DOMAINS
        seen.update(pool_names(sample))
        return [text for _, text in watched.log if "storage pools" in text]

    wait_until(lambda: any("pool-1" in text for text in about_pools()) and seen)
    wait_until(lambda: getattr(watched.round().host, "cpu", None))
    wait_until(lambda: getattr(watched.round().host, "memory", None))
    assert len(about_pools()) == 1
    assert "pool pool-1 is being refreshed and hangs" in about_pools()[0]
    assert seen == {"pool-0"}, "those before it have answered"

    def held() -> int:
        return sum(pooled.control.statistics()["workers"]["held"].values())

    # No round waits for a look, so that another one may be under way just now.
    wait_until(lambda: held() == 1)
    pooled.control.refresh_pool("pool-1", hangs=False)
    wait_until(lambda: len(about_pools()) == 2)
    assert "storage pools are there again" in about_pools()[1]
    wait_until(lambda: (about_pools(), seen == {"pool-0", "pool-1", "pool-2"})[1])


def test_while_a_pool_hangs_no_list_of_pools_is_under_way(
    pooled: SimHost, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "LIST_AGAIN_S", 0.0)  # it is due in each round
    watched.round()
    pooled.control.refresh_pool("pool-0")
    pooled.control.reset_statistics()
    monkeypatch.setattr(host_look, "PATIENCE_S", 0.0)

    def calls() -> dict[str, int]:
        watched.round()
        made = pooled.control.statistics()["calls"]
        return {name: made[name] for name in HELD if name in made}

    wait_until(calls)
    assert calls() == {"StoragePoolGetInfo": 1}


def test_a_driver_without_storage_costs_nothing_else(pooled: SimHost, watched: Watched) -> None:
    no_support = 3
    pooled.control.fail("ConnectListAllStoragePools", code=no_support, message="none here")
    for _ in range(3):
        sample = watched.round()
        assert sample.host is not None
        assert sample.host.cpu is not None
    told = [text for _, text in watched.log if "storage pools" in text]
    assert len(told) == 1
    assert "does not have all of storage pools" in told[0]
    assert pooled.control.statistics()["calls"]["ConnectListAllStoragePools"] == 1


def test_a_restarted_libvirtd_is_looked_at_again(pooled: SimHost, watched: Watched) -> None:
    assert len(pool_names(watched.round())) == POOLS
    pooled.restart()
    pooled.control.add_pool("another", "/srv/another")
    wait_until(lambda: pool_names(watched.round()) == ["another"])


def test_who_does_not_want_the_host_makes_no_call_for_it(pooled: SimHost) -> None:
    with Watched(pooled) as watched:
        sample = watched.round()
        assert sample.host is None
        assert sample.mounts == ()
        calls = pooled.control.statistics()["calls"]
    assert not {name for name in calls if name.startswith(("Storage", "NodeGetCPUStats"))}
    assert "ConnectListAllStoragePools" not in calls
