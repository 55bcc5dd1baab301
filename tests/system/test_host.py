"""The host beside real guests, in both agents at once: what they get is what virsh, virt-admin and
the kernel say, and a storage pool that hangs costs the pools' figures alone."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable

import libvirt
import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.agents.lines import Point
from tests.system.bed.shape import Shape
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

INTERVAL_S = 1.0
NS = 10**9
KIB = 1024
#: Pools of the bed: one on the storage that a test has hang, one beside it.
BESIDE, ON_IT = "beside", "on, it="


@pytest.fixture(scope="module")
def pooled(new_bed: Callable[[], Any]) -> Iterator[Any]:
    """A bed with three guests, one of them on a share, and two storage pools."""
    with new_bed() as bed:
        bed.share = bed.storage("share")
        far = Shape("far", folder=bed.share.path)
        bed.add(Shape("web", vcpus=2), Shape("busy", busy=True), far)
        places = {BESIDE: bed.folder / "storage" / "pool", ON_IT: bed.share.path / "pool"}
        with bed.connection() as connection:
            for name, path in places.items():
                path.mkdir()
                connection.storagePoolCreateXML(
                    f"<pool type='dir'><name>{name}</name>"
                    f"<target><path>{path}</path></target></pool>"
                )
        bed.admin_uri = f"libvirtd:///system?socket={bed.folder}/sockets/libvirt-admin-sock"
        yield bed


@pytest.fixture
def agents(pooled: Any, start: Callable[..., Any], tmp_path: Path) -> Iterator[Agents]:
    settings = tmp_path / "domstats.toml"
    admin = pooled.admin_uri
    settings.write_text(libvirt_table(pooled.uri, "host = true", f'admin_uri = "{admin}"'))
    block = f'Connection "{pooled.uri}"\nHost true\nAdminConnection "{admin}"'
    yield Agents(
        start(Telegraf, execd(settings), INTERVAL_S),
        start(Collectd, python_plugin(block), INTERVAL_S),
    )
    pooled.heal()


class Agents:
    """Telegraf and collectd, and what they got."""

    def __init__(self, telegraf: Telegraf, collectd: Collectd) -> None:
        self.telegraf, self.collectd = telegraf, collectd

    def points(self, field: str, **tags: str) -> list[Point]:
        """Telegraf's, of a field of the host or of storage."""
        return [
            point
            for point in self.telegraf.points()
            if point.measurement in ("domstats_host", "domstats_storage")
            and field in point.fields
            and tags.items() <= point.tags.items()
        ]

    def values(self, field: str, **tags: str) -> list[Any]:
        return [point.fields[field].value for point in self.points(field, **tags)]

    def last(self, field: str, **tags: str) -> Any:
        found = self.values(field, **tags)
        return found[-1] if found else None

    def in_collectd(self, kind: str) -> list[float]:
        rows = self.collectd.series("collectd").get(f"collectd/domstats/{kind}", [])
        return [row.values[0] for row in rows]

    def wait_for_rounds(self, more: int) -> None:
        have = len(self.points("domains_running"))
        wait_for("rounds", lambda: len(self.points("domains_running")) >= have + more)


def virsh(bed: Any, *command: str) -> dict[str, int]:
    """What virsh prints, of all that is a number."""
    ran = subprocess.run(
        ["virsh", "-c", bed.uri, *command], check=True, capture_output=True, text=True
    )
    return _numbers(ran.stdout)


def virt_admin(bed: Any, *command: str) -> dict[str, int]:
    ran = subprocess.run(
        ["virt-admin", "-c", bed.admin_uri, *command], check=True, capture_output=True, text=True
    )
    return _numbers(ran.stdout)


def _numbers(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        with suppress(ValueError, IndexError):
            found[name.strip()] = int(value.split()[0])
    return found


def kernel_cpu() -> dict[str, int]:
    """The first line of /proc/stat, in nanoseconds."""
    words = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    user, nice, system, idle, _, irq, softirq = (int(word) for word in words[:7])
    tick = NS // os.sysconf("SC_CLK_TCK")
    return {
        "user": (user + nice) * tick,
        "system": (system + irq + softirq) * tick,
        "idle": idle * tick,
    }


@contextmanager
def stuck(bed: Any, call: Callable[[libvirt.virConnect], object]) -> Iterator[None]:
    """Somebody's call that does not come back until what it waits for does."""

    def make() -> None:
        with suppress(libvirt.libvirtError), bed.connection() as connection:
            call(connection)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def test_both_agents_get_the_host_as_virsh_and_the_kernel_have_it(
    pooled: Any, agents: Agents
) -> None:
    before, of_libvirt = kernel_cpu(), virsh(pooled, "nodecpustats")
    agents.wait_for_rounds(3)
    wait_for("the same in collectd", lambda: len(agents.in_collectd("percent-cpu_user")) >= 3)
    counted = {word: agents.values(f"cpu_{word}_ns") for word in before}
    after, of_libvirt_after = kernel_cpu(), virsh(pooled, "nodecpustats")
    for word, values in counted.items():
        assert before[word] <= values[0] <= values[-1] <= after[word]
        assert of_libvirt[word] <= values[0] <= values[-1] <= of_libvirt_after[word]
        in_ms = agents.in_collectd(f"total_time_in_ms-cpu_{word}")
        assert before[word] // 10**6 <= in_ms[0] <= in_ms[-1]
    shares = [agents.values(f"cpu_{word}_percent") for word in (*before, "iowait")]
    assert len(shares[0]) >= 2
    for parts in zip(*shares):
        assert sum(parts) == pytest.approx(100)

    memory = virsh(pooled, "nodememstats")
    assert agents.last("memory_total") == memory["total"] * KIB
    assert agents.in_collectd("memory-host_total")[-1] == memory["total"] * KIB
    assert 0 < agents.last("memory_free") < memory["total"] * KIB

    cpus = os.sysconf("SC_NPROCESSORS_ONLN")
    about = [virsh(pooled, "dominfo", guest.name) for guest in pooled.guests]
    vcpus, allotted = (sum(each[word] for each in about) for word in ("CPU(s)", "Used memory"))
    assert agents.last("domains_running") == agents.in_collectd("count-domains_running")[-1] == 3
    assert agents.last("domains_shut_off") == 0
    assert agents.last("cpus") == cpus
    assert agents.last("vcpus") == agents.in_collectd("count-vcpus")[-1] == vcpus
    assert agents.last("vcpu_overcommit") == vcpus / cpus
    assert agents.last("memory_allotted") == allotted * KIB
    assert agents.in_collectd("memory-guests_allotted")[-1] == allotted * KIB
    assert max(agents.in_collectd("gauge-guests_cpu_percent")) > 0
    assert agents.last("guests_cpu_percent") > 0
    assert agents.last("guests_measured") == 3


def test_both_agents_get_pools_and_mounts(pooled: Any, agents: Agents) -> None:
    agents.wait_for_rounds(3)
    wait_for("the same in collectd", lambda: agents.in_collectd(f"bytes-pool_capacity-{BESIDE}"))
    for name in (BESIDE, ON_IT):
        pool = virsh(pooled, "pool-info", "--bytes", name)
        for field, word in (
            ("capacity", "Capacity"), ("allocation", "Allocation"), ("available", "Available")
        ):  # fmt: skip
            assert agents.last(field, pool=name, pool_type="dir") == pool[word]
            assert agents.in_collectd(f"bytes-pool_{field}-{name}")[-1] == pool[word]
        assert agents.last("state", pool=name) == "running"
    point = str(pooled.share.path)
    (path,) = {each.tags["path"] for each in agents.points("capacity", pool=ON_IT)}
    assert path == f"{point}/pool"
    room = os.statvfs(point)
    wait_for("the mount", lambda: agents.last("answers", mount=point))
    assert agents.last("domains", mount=point, fs_type="fuse") == 1
    assert agents.last("capacity", mount=point) == room.f_blocks * room.f_frsize
    assert agents.in_collectd(f"bool-mount_answers-{point.replace('/', '_')}")[-1] == 1
    assert 0 <= agents.last("probe_s", mount=point) < 60


def test_the_daemons_workers_are_those_of_virt_admin_and_a_stuck_one_is_seen(
    pooled: Any, agents: Agents
) -> None:
    agents.wait_for_rounds(2)
    pool = virt_admin(pooled, "srv-threadpool-info", "libvirtd")
    clients = virt_admin(pooled, "srv-clients-info", "libvirtd")
    for field, word in (
        ("daemon_workers_min", "minWorkers"),
        ("daemon_workers_max", "maxWorkers"),
        ("daemon_workers_priority", "prioWorkers"),
    ):
        assert agents.last(field) == pool[word]
    assert agents.last("daemon_clients_max") == clients["nclients_max"]
    assert agents.last("daemon_clients") > 1
    assert agents.in_collectd("count-daemon_workers_max")[-1] == pool["maxWorkers"]

    web = pooled.guests[0]
    web.hang()
    with stuck(pooled, lambda connection: connection.lookupByName(web.name).memoryStats()):
        # Other calls come and go; a stuck one is there in each look.
        wait_for(
            "the stuck worker",
            lambda: min(agents.values("daemon_workers_busy")[-4:]) >= 1,
        )
        wait_for(
            "the same in collectd",
            lambda: min(agents.in_collectd("count-daemon_workers_busy")[-4:]) >= 1,
        )
        web.heal()
    wait_for("nobody busy", lambda: 0 in agents.values("daemon_workers_busy")[-4:])


def test_a_pool_that_hangs_costs_the_pools_figures_alone_in_both_agents(
    pooled: Any, agents: Agents
) -> None:
    point, told = str(pooled.share.path), "no answer about storage pools"
    agents.wait_for_rounds(3)
    pooled.share.freeze()
    with stuck(pooled, lambda c: c.storagePoolLookupByName(ON_IT).refresh(0)):
        wait_for("a line in Telegraf's log", lambda: told in agents.telegraf.log)
        wait_for("a line in collectd's log", lambda: told in agents.collectd.log)
        wait_for("a silent mount", lambda: agents.last("state", mount=point) == "silent")
        pools = len(agents.points("capacity", pool=BESIDE))
        cpu = len(agents.points("cpu_user_ns"))
        in_collectd = len(agents.in_collectd("total_time_in_ms-cpu_user"))
        agents.wait_for_rounds(5)
        assert len(agents.points("capacity", pool=BESIDE)) == pools
        assert len(agents.points("cpu_user_ns")) >= cpu + 4
        assert len(agents.in_collectd("total_time_in_ms-cpu_user")) >= in_collectd + 3
        assert agents.last("domains_running") == 3
        assert agents.last("answers", mount=point) == 0
        assert agents.last("silent_s", mount=point) > 3
        rounds = [each for each in agents.telegraf.points() if each.measurement == "domstats_round"]
        assert rounds[-1].fields["connected"].value == 1
        assert rounds[-1].fields["domains"].value == 3
        pooled.share.heal()
    wait_for("pools again", lambda: len(agents.points("capacity", pool=BESIDE)) > pools)
    wait_for("a mount that answers", lambda: agents.last("state", mount=point) == "answers")
    for log in (agents.telegraf.log, agents.collectd.log):
        assert log.count(told) == 1
    wait_for("the end", lambda: "storage pools are there again" in agents.telegraf.log)
    assert "too old" not in agents.collectd.log, "no value is dispatched twice"
