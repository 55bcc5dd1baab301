"""Where real guests' disks lie, their limits and thresholds, their interfaces and the pressure of
their control groups, as each agent has it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import libvirt
import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.agents.lines import Point
from tests.system.bed import Shape, cgroups
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
POOL, VOLUME = "fast", "data.raw"
IOPS, MORE_IOPS = 500, 700
THRESHOLD = 32 * 2**20
ROUNDS = 3
OPTIONS = (
    'device_tags = ["disk", "interface"]',
    "disk_throttle = true",
    "interface_details = true",
    "pressure = true",
)
BLOCK = """\
Pressure true
InterfaceDetails true
DiskThrottle true
ExtraStats "disk_threshold memory_age"
"""


class Place(NamedTuple):
    """A bed, and its guest with disks of several kinds: vda of one image, sdb of three, sdc of a
    pool.
    """

    bed: Any
    guest: Any


def chained(folder: Path) -> Path:
    """An image with a backing file that has one itself."""
    below: Optional[Path] = None
    for name in ("base", "middle", "top"):
        path = folder / f"{name}.qcow2"
        backing = [] if below is None else ["-b", str(below), "-F", "qcow2"]
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(path), "64M"]
        subprocess.run(command, check=True)
        below = path
    assert below is not None
    return below


# On USB, as what is plugged in while a guest runs is on its bus.
def disk(target: str, type_: str, source: str, format_: str) -> str:
    return (
        f"<disk type='{type_}' device='disk'><driver name='qemu' type='{format_}'/>{source}"
        f"<target dev='{target}' bus='usb'/></disk>"
    )


@pytest.fixture(scope="module")
def place(new_bed: Callable[[], Any], missing: Callable[[str, str], None]) -> Iterator[Place]:
    if not any((group / "cgroup.procs").exists() for group in cgroups.hierarchies()) or not Path(
        "/proc/pressure"
    ).exists():
        missing("control groups of version 2 with pressure", "mount -t cgroup2 none FOLDER; psi=1")
    with new_bed() as bed:
        bed.folder.chmod(0o755)
        guest, *_ = bed.add(Shape("rich", busy=True, balloon_period=1), Shape("plain"))
        folder = bed.folder / "pool"
        folder.mkdir()
        with bed.connection() as connection:
            pool = connection.storagePoolCreateXML(
                f"<pool type='dir'><name>{POOL}</name><target><path>{folder}</path></target></pool>"
            )
            pool.createXML(
                f"<volume><name>{VOLUME}</name><capacity unit='MiB'>16</capacity></volume>"
            )
            domain = connection.lookupByUUIDString(guest.uuid)
            image = chained(bed.folder / "images")
            source = f"<source file='{image}'/>"
            domain.attachDeviceFlags(disk("sdb", "file", source, "qcow2"), LIVE)
            source = f"<source pool='{POOL}' volume='{VOLUME}'/>"
            domain.attachDeviceFlags(disk("sdc", "volume", source, "raw"), LIVE)
            domain.setBlockIoTune("vda", {"total_iops_sec": IOPS}, LIVE)
            domain.setBlockThreshold("vda", THRESHOLD)
        yield Place(bed, guest)


def telegraf(place: Place, start: Callable[..., Any], tmp_path: Path, *options: str) -> Any:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(place.bed.uri, *OPTIONS, *options))
    return start(Telegraf, execd(settings), 1.0)


def lines(agent: Any, measurement: str, **tags: str) -> list[Point]:
    """The guest's points with these tags."""
    return [
        point
        for point in agent.points()
        if point.measurement == measurement
        and all(point.tags.get(tag) == value for tag, value in tags.items())
    ]


def totals_of_group(guest: Any) -> dict[str, int]:
    """What the kernel counts of the guest's group now, by resource."""
    text = Path(f"/proc/{guest.pid}/cgroup").read_text()
    (group,) = [line[3:] for line in text.splitlines() if line.startswith("0::")]
    (root,) = [
        line.split()[1]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2] == "cgroup2"
    ]
    folder = Path(root + group.partition("/emulator")[0].partition("/libvirt/")[0])
    found = {}
    for resource in ("cpu", "io", "memory"):
        some = (folder / f"{resource}.pressure").read_text().splitlines()[0]
        found[resource] = int(some.rpartition("total=")[2])
    return found


def test_telegraf_has_the_place_of_each_disk_as_tags(
    place: Place, start: Callable[..., Any], tmp_path: Path
) -> None:
    agent = telegraf(place, start, tmp_path)

    def tags(target: str) -> dict[str, str]:
        found = lines(agent, "libvirt_block", device=target, domain_name=place.guest.name)
        return {tag: text for tag, text in found[-1].tags.items() if tag.startswith("disk_")}

    wait_for(
        "tags", lambda: lines(agent, "libvirt_block", device="sdc", disk_pool=POOL), seconds=30
    )
    mounted = subprocess.run(
        ["findmnt", "-n", "-o", "TARGET,FSTYPE", "--target", str(place.bed.folder / "images")],
        capture_output=True, check=True, text=True,
    ).stdout.split()  # fmt: skip
    usual = {"disk_bus": "usb", "disk_device": "disk"}
    on_mount = {"disk_type": "file", "disk_mount": mounted[0], "disk_fs": mounted[1]}
    assert tags("vda") == {**usual, **on_mount, "disk_bus": "virtio", "disk_chain": "1"}
    assert tags("sdb") == {**usual, **on_mount, "disk_chain": "3"}
    assert tags("sdc") == {
        **usual, "disk_type": "volume", "disk_pool": POOL, "disk_volume": VOLUME, "disk_chain": "1"
    }  # fmt: skip
    nic = place.guest.nics[0]
    (point, *_) = lines(agent, "domstats_interface", device=nic)
    assert point.tags["interface_type"] == "ethernet"
    assert point.tags["interface_model"] == "virtio"
    assert point.fields["link"].value == 1
    mac = point.tags["interface_mac"]
    assert lines(agent, "libvirt_net", device=nic, interface_mac=mac)


def test_telegraf_has_limits_and_soon_those_that_were_changed(
    place: Place, start: Callable[..., Any], tmp_path: Path
) -> None:
    agent = telegraf(place, start, tmp_path, 'events = ["lifecycle"]')

    def limit() -> int:
        found = lines(agent, "domstats_disk_throttle", domain_name=place.guest.name)
        assert {point.tags["device"] for point in found} <= {"vda"}
        return int(found[-1].fields["total_iops_sec"].value) if found else 0

    def set_limit(iops: int) -> None:
        with place.bed.connection() as connection:
            domain = connection.lookupByUUIDString(place.guest.uuid)
            domain.setBlockIoTune("vda", {"total_iops_sec": iops}, LIVE)

    wait_for("limit", lambda: limit() == IOPS, seconds=30)
    set_limit(MORE_IOPS)
    try:
        wait_for("changed limit", lambda: limit() == MORE_IOPS, seconds=30)
    finally:
        set_limit(IOPS)


def test_telegraf_has_the_pressure_of_each_guests_group(
    place: Place, start: Callable[..., Any], tmp_path: Path
) -> None:
    before = totals_of_group(place.guest)
    agent = telegraf(place, start, tmp_path)

    def points(resource: str, name: str = place.guest.name) -> list[Point]:
        return lines(agent, "domstats_pressure", resource=resource, domain_name=name)

    wait_for("pressure", lambda: len(points("memory")) >= ROUNDS, seconds=30)
    after = totals_of_group(place.guest)
    for resource in ("cpu", "io", "memory"):
        totals = [int(point.fields["some_total"].value) for point in points(resource)]
        assert totals == sorted(totals)
        assert before[resource] <= totals[0] <= totals[-1] <= after[resource]
        assert 0 <= float(points(resource)[-1].fields["some_avg10"].value) <= 100
    assert totals_of_group(place.guest)["cpu"] > 0, "it is busy from its start on"
    assert points("cpu", "plain")


def test_a_guest_that_hangs_has_its_pressure_and_limits_and_holds_up_nobody(
    place: Place, start: Callable[..., Any], tmp_path: Path
) -> None:
    agent = telegraf(place, start, tmp_path)
    name = place.guest.name

    def pressure_of(guest: str) -> list[Point]:
        return lines(agent, "domstats_pressure", resource="cpu", domain_name=guest)

    wait_for("pressure", lambda: pressure_of(name), seconds=30)
    place.guest.hang()
    try:
        wait_for(
            "hang",
            lambda: [
                point
                for point in lines(agent, "domstats_domain", domain_name=name)
                if point.fields["responsive"].value == 0
            ],
            seconds=30,
        )
        since = {guest: len(pressure_of(guest)) for guest in (name, "plain")}
        wait_for(
            "pressure of both",
            lambda: all(len(pressure_of(guest)) > since[guest] + 1 for guest in since),
            seconds=30,
        )
        limits = lines(agent, "domstats_disk_throttle", domain_name=name)
        assert limits[-1].time >= pressure_of(name)[-2].time
    finally:
        place.guest.heal()


def test_collectd_has_pressure_limits_thresholds_and_interfaces_under_our_own_name(
    place: Place, start: Callable[..., Any]
) -> None:
    agent = start(Collectd, python_plugin(f'Connection "{place.bed.uri}"\n{BLOCK}'), 1.0)
    host = place.guest.name

    def values(kind: str) -> list[float]:
        return [row.values[0] for row in agent.series(host).get(f"{host}/domstats/{kind}", [])]

    wait_for(
        "pressure", lambda: len(values("derive-pressure_cpu_some_total")) >= ROUNDS, seconds=30
    )
    assert all(0 <= value <= 100 for value in values("percent-pressure_cpu_some_avg10"))
    after = totals_of_group(place.guest)
    for resource in ("cpu", "io", "memory"):
        assert values(f"derive-pressure_{resource}_some_total")[-1] <= after[resource]
    assert set(values("gauge-throttle_total_iops_sec-vda")) == {IOPS}
    assert set(values("bytes-threshold-vda")) == {THRESHOLD}
    assert set(values(f"bool-link-{place.guest.nics[0]}")) == {1.0}
    assert not values("bytes-threshold-sdb")
    assert agent.series(host)[f"{host}/virt/disk_ops-sdb"]


def test_an_ordinary_user_has_pressure_too(
    place: Place, start: Callable[..., Any], missing: Callable[[str, str], None]
) -> None:
    """The files of pressure and /proc/PID/cgroup can be read by everybody."""
    folder = place.bed.folder / "agent"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    uri = f"qemu+unix:///system?socket={place.bed.folder}/sockets/libvirt-sock-ro"
    settings = folder / "domstats.toml"
    settings.write_text(libvirt_table(uri, "pressure = true"))
    with Telegraf(folder, execd(settings), 1.0, user="nobody") as agent:
        wait_for(
            "pressure",
            lambda: lines(agent, "domstats_pressure", domain_name=place.guest.name),
            seconds=30,
        )
