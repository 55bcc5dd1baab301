"""On which mount a domain's disks lie, for tags."""

from __future__ import annotations

from pathlib import Path

from domstats.hypervisor.disk_mounts import DiskMounts
from domstats.hypervisor.mounts import MountTable, mount_of
from domstats.model import DeviceDetails, Devices

from tests.unit.rows import each_row

TABLE = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:40 / /srv/a\\040b rw - nfs4 server:/x rw
3 1 8:2 / /data rw - xfs /dev/sdb rw
4 3 0:41 / /data/auto rw - autofs auto rw
"""
LINKS = {"/var/images": "../data/images", "/loop": "/loop"}


@each_row(
    ("path", "point", "kind"),
    [
        ("/srv/a b/web.qcow2", "/srv/a b", "nfs4"),
        ("/srv/web.qcow2", "/", "ext4"),
        ("/var/images/web.qcow2", "/data", "xfs"),
        ("/data/auto/x", "/data/auto", "autofs"),
    ],
)
def test_a_path_lies_on_the_mount_that_the_kernel_would_come_to(
    path: str, point: str, kind: str
) -> None:
    def readlink(name: str) -> str:
        assert not name.startswith(("/srv/a b/", "/data/auto/")), "a look there may hang"
        if name not in LINKS:
            raise OSError(22, "no link")
        return LINKS[name]

    mount = mount_of(path, MountTable(TABLE), readlink)
    assert mount is not None
    assert (mount.point, mount.kind) == (point, kind)
    assert mount_of("/loop/x", MountTable(TABLE), readlink) is None
    assert mount_of("relative", MountTable(TABLE), readlink) is None


def test_files_of_this_host_get_the_mount_and_nothing_else_does(tmp_path: Path) -> None:
    sources = {"vda": str(tmp_path / "web"), "vdb": "/dev/vg/a", "vdc": "relative"}
    places = {
        "vda": {"type": "file"}, "vdb": {"type": "block"}, "vdc": {"type": "file"},
        "vdd": {"type": "network"}, "sda": {"type": "file", "device": "cdrom"},
    }  # fmt: skip
    mounts = DiskMounts()
    try:
        devices = mounts.add_to(Devices(sources=sources, details=DeviceDetails(places=places)))
        assert mounts.add_to(devices) == devices
    finally:
        mounts.close()
    assert devices.details
    found = dict(devices.details.places)
    assert found.pop("vda").keys() == {"type", "mount", "fs"}
    assert found == {target: place for target, place in places.items() if target != "vda"}
