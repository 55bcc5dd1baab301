"""What is wanted of a domain's XML."""

from __future__ import annotations

import pytest
from domstats.domain_xml.describe import DiskTarget, describe, device_names

from tests.unit.rows import each_row

XML = """<domain type='kvm' id='3'>
  <name>web &amp; more</name>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/srv/web.qcow2'/>
      <backingStore type='file'><source file='/base/debian.qcow2'/></backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='qcow2'/><source dev='/dev/vg/web'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='pool/web'><host name='mon1' port='6789'/></source>
      <target dev='vdc' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='disk'><source file='/srv/untargeted'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/></interface>
    <interface type='bridge'><target dev='vnet1'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:02'/></interface>
  </devices>
</domain>"""


def test_the_targets_of_disks_and_what_is_behind_them_are_known_empty_drives_included():
    devices = describe(XML).devices
    assert devices.targets == ("vda", "vdb", "vdc", "sda")
    assert devices.sources == {"vda": "/srv/web.qcow2", "vdb": "/dev/vg/web"}


def test_files_in_a_format_of_their_own_are_told_from_raw_ones_and_block_devices():
    assert describe(XML).devices.images == {"vda"}
    raw = XML.replace("type='qcow2'", "type='raw'")
    assert describe(raw).devices.images == frozenset()
    assert describe(XML.replace("<driver name='qemu' type='qcow2'/>", "")).devices.images == set()


def test_the_addresses_of_nics_are_known_by_their_targets():
    assert describe(XML).devices.addresses == {"vnet0": "52:54:00:00:00:01"}


def test_all_files_that_a_question_about_disks_may_touch_are_known_backing_files_too():
    description = describe(XML)
    assert set(description.paths) == {
        "/srv/web.qcow2",
        "/base/debian.qcow2",
        "/dev/vg/web",
        "/srv/untargeted",
    }
    assert description.remote == ("rbd:pool@mon1:6789",)


def test_classic_calls_get_disks_and_nics_in_the_order_of_the_xml():
    disks, interfaces = device_names(XML)
    assert disks == (
        DiskTarget("vda", "/srv/web.qcow2", is_image=True),
        DiskTarget("vdb", "/dev/vg/web"),
        DiskTarget("vdc", ""),
        DiskTarget("sda", ""),
    )
    assert interfaces == ("vnet0", "vnet1")


def test_a_domain_without_devices_has_none():
    assert device_names("<domain/>") == ((), ())
    assert describe("<domain/>").paths == ()


@each_row("xml", ["", "<domain>", "<network/>", "no xml", "<domain>\x00</domain>"])
def test_what_is_no_xml_of_a_domain_is_one_clear_error(xml):
    with pytest.raises(ValueError, match="XML"):
        describe(xml)


def test_a_tenants_xml_cannot_make_us_read_a_file():
    xml = (
        "<!DOCTYPE domain [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
        "<domain><devices><disk><target dev='&e;'/></disk></devices></domain>"
    )
    with pytest.raises(ValueError, match="XML"):
        describe(xml)
