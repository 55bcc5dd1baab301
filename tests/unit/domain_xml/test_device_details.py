"""Where disks lie, how they are throttled, and what the interfaces are, by a domain's XML."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

from domstats.domain_xml.describe import describe
from domstats.domain_xml.device_details import DISKS, NICS, THROTTLES, nics, places, throttles
from domstats.model import DeviceDetails, Nic
from msgspec import UNSET

from tests.unit.rows import each_row


def disk(inside: str, type_: str = "file", device: str = "disk") -> str:
    target = "<target dev='vda' bus='virtio'/>"
    return f"<disk type='{type_}' device='{device}'>{inside}{target}</disk>"


def domain(*devices: str, more: str = "") -> str:
    return f"<domain>{more}<devices>{''.join(devices)}</devices></domain>"


BACKED = (
    "<source file='/a.qcow2' index='3'/><backingStore type='file'><source file='/b.qcow2'/>"
    "<backingStore type='file'><source file='/c.raw'/><backingStore/></backingStore></backingStore>"
)


@each_row(
    ("xml", "place"),
    [
        (disk(BACKED), {"type": "file", "chain": "3"}),
        (disk("<source dev='/dev/vg/a'/>", "block"), {"type": "block", "chain": "1"}),
        (disk("", device="cdrom"), {"type": "file", "device": "cdrom", "chain": "0"}),
        (
            disk("<source pool='fast' volume='web.qcow2' index='1'/>", "volume"),
            {"type": "volume", "pool": "fast", "volume": "web.qcow2", "chain": "1"},
        ),
        (
            disk(
                "<source protocol='rbd' name='vms/a/web'><host name='m2' port='6789'/>"
                "<host name='m1'/></source>",
                "network",
            ),
            {
                "type": "network", "protocol": "rbd", "source": "vms/a/web", "pool": "vms/a",
                "volume": "web", "host": "m1,m2:6789", "chain": "1",
            },
        ),
        (
            disk(
                "<source protocol='nbd' name='export'><host transport='unix' socket='/run/nbd'/>"
                "</source>",
                "network",
            ),
            {
                "type": "network", "protocol": "nbd", "source": "export", "host": "/run/nbd",
                "chain": "1",
            },
        ),
    ],
)  # fmt: skip
def test_where_a_disk_lies(xml: str, place: dict[str, str]) -> None:
    expected = {"bus": "virtio", "device": "disk", **place}
    assert places(fromstring(domain(xml))) == {"vda": expected}


def test_a_disk_has_the_limits_that_are_set_the_lowest_of_all_groups() -> None:
    tuned = (
        "<iotune><total_iops_sec>500</total_iops_sec><read_bytes_sec>0</read_bytes_sec></iotune>"
    )
    assert throttles(fromstring(domain(disk(tuned)))) == {"vda": {"total_iops_sec": 500}}
    groups = "".join(
        f"<throttlegroup><group_name>{name}</group_name><write_iops_sec>{limit}</write_iops_sec>"
        "</throttlegroup>"
        for name, limit in (("a", 300), ("b", 200), ("c", 100))
    )
    filters = "".join(f"<throttlefilter group='{name}'/>" for name in "abz")
    xml = domain(
        disk(f"<throttlefilters>{filters}</throttlefilters>"),
        more=f"<throttlegroups>{groups}</throttlegroups>",
    )
    assert throttles(fromstring(xml)) == {"vda": {"write_iops_sec": 200}}


@each_row("number", ["-1", "1.5", "many", "", "9" * 30, "²", "<a/>"])
def test_what_is_no_limit_is_none(number: str) -> None:
    tuned = f"<iotune><total_iops_sec>{number}</total_iops_sec></iotune>"
    assert throttles(fromstring(domain(disk(tuned)))) == {}


@each_row(
    ("xml", "nic"),
    [
        (
            "<interface type='bridge'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/>"
            "<source network='default' portid='1' bridge='br0'/><model type='virtio'/></interface>",
            Nic("vnet0", "52:54:00:00:00:01", "bridge", "default", "virtio"),
        ),
        (
            "<interface type='hostdev' managed='yes'><mac address='52:54:00:00:00:02'/><source>"
            "<address type='pci' domain='0x0000' bus='0x03' slot='0x10' function='0x1'/></source>"
            "<link state='down'/></interface>",
            Nic("", "52:54:00:00:00:02", "hostdev", "0000:03:10.1", "", "0000:03:10.1", False),
        ),
        (
            "<interface type='vhostuser'><source type='unix' path='/run/ovs/a' mode='server'/>"
            "<model type='virtio'/><link state='up'/></interface>",
            Nic("", "", "vhostuser", "/run/ovs/a", "virtio"),
        ),
        (
            "<interface type='hostdev'><source><address type='pci' domain='0x0000' bus='../../x'"
            " slot='0x10' function='0x1'/></source></interface>",
            Nic(type="hostdev"),
        ),
        (
            "<interface type='hostdev'><source><address type='pci' domain='-1' bus='0x999'"
            " slot='0x10' function='0x1'/></source></interface>",
            Nic(type="hostdev"),
        ),
        ("<interface/>", Nic()),
    ],
)
def test_what_an_interface_is(xml: str, nic: Nic) -> None:
    assert nics(fromstring(domain(xml))) == (nic,)


def test_texts_are_bounded() -> None:
    xml = domain(disk(f"<source pool='{'p' * 9999}' volume='v'/>", "volume"))
    assert len(places(fromstring(xml))["vda"]["pool"]) == 256


def test_nothing_of_it_is_read_that_nobody_wants() -> None:
    tuned = "<iotune><total_iops_sec>5</total_iops_sec></iotune>"
    xml = domain(disk(BACKED + tuned), "<interface/>")
    assert describe(xml).devices.details is UNSET
    found = describe(xml, details=(DISKS, THROTTLES, NICS)).devices.details
    assert found
    assert all((found.places, found.throttles, found.nics))
    assert describe(xml, details=(NICS,)).devices.details == DeviceDetails(nics=found.nics)
