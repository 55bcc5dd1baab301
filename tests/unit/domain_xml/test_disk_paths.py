"""Where the disks lie: what a domain's XML says of it, whatever else it says."""

from __future__ import annotations

import time

import pytest
from domstats.domain_xml.disk_paths import XML_MOST, DiskSources, disk_paths, parse_domain

from tests.unit.rows import each_row


def sources(*disks: str, rest: str = "") -> DiskSources:
    devices = f"<devices>{''.join(disks)}</devices>"
    return disk_paths(parse_domain(f"<domain type='kvm'>{rest}{devices}</domain>"))


def test_files_devices_and_folders_are_found_on_disks_cdroms_and_floppies() -> None:
    found = sources(
        "<disk type='file' device='disk'><source file='/images/root.qcow2'/></disk>",
        "<disk type='block' device='disk'><source dev='/dev/vg/data'/></disk>",
        "<disk type='dir' device='floppy'><source dir='/floppies/a'/></disk>",
        "<disk type='file' device='cdrom'><source file='/iso/install.iso'/></disk>",
    )
    assert found.paths == ("/images/root.qcow2", "/dev/vg/data", "/floppies/a", "/iso/install.iso")
    assert found.remote == ()


def test_the_whole_chain_of_backing_files_counts() -> None:
    found = sources(
        "<disk type='file'><source file='/fast/top'/>"
        "<backingStore type='file'><format type='qcow2'/><source file='/nfs/middle'/>"
        "<backingStore type='block'><source dev='/dev/base'/><backingStore/></backingStore>"
        "</backingStore></disk>"
    )
    assert found.paths == ("/fast/top", "/nfs/middle", "/dev/base")


def test_the_target_of_a_copy_under_way_counts_and_so_does_its_chain() -> None:
    found = sources(
        "<disk type='file'><source file='/old'/><mirror type='file' job='copy'>"
        "<source file='/new'/><backingStore type='file'><source file='/base'/></backingStore>"
        "</mirror></disk>",
        "<disk type='file'><source file='/elder'/><mirror file='/younger' format='raw'/></disk>",
    )
    assert found.paths == ("/old", "/new", "/base", "/elder", "/younger")


def test_the_data_file_beside_an_image_counts() -> None:
    found = sources(
        "<disk type='file'><source file='/image'><dataStore type='file'><format type='raw'/>"
        "<source file='/nfs/content'/></dataStore></source></disk>"
    )
    assert found.paths == ("/image", "/nfs/content")


def test_what_a_block_query_does_not_touch_is_left_out() -> None:
    found = sources(
        "<disk type='file'><source file='/image'><reservations managed='no'>"
        "<source type='unix' path='/run/pr.sock' file='/no'/></reservations></source></disk>",
        "<filesystem><source dir='/export'/></filesystem>",
        "<hostdev><source dev='/dev/sg0'/></hostdev>",
        rest="<os><nvram>/nfs/vars.fd</nvram><loader>/nfs/code.fd</loader></os>",
    )
    assert found.paths == ("/image",)


def test_an_empty_drive_and_a_domain_without_disks_have_no_paths() -> None:
    assert sources("<disk device='cdrom'><target dev='sda'/></disk>") == DiskSources()
    assert sources("<disk><source startupPolicy='optional' file=''/></disk>") == DiskSources()
    assert disk_paths(parse_domain("<domain/>")) == DiskSources()


def test_a_path_is_named_once_however_many_disks_share_it() -> None:
    disk = "<disk type='file'><source file='/base'/></disk>"
    assert sources(disk, disk).paths == ("/base",)


def test_two_domains_in_one_ceph_pool_share_a_name_in_whatever_order_their_hosts_stand() -> None:
    disk = "<disk type='network'><source protocol='rbd' name='{}'>{}</source></disk>"
    one = "<host name='mon1' port='6789'/><host name='mon2' port='6789'/>"
    two = "<host name='mon2' port='6789'/><host name='mon1' port='6789'/>"
    first = sources(disk.format("vms/web", one)).remote
    assert first == ("rbd:vms@mon1:6789,mon2:6789",)
    assert sources(disk.format("vms/db", two)).remote == first
    assert sources(disk.format("backups/db", two)).remote != first
    assert sources(disk.format("vms/web", "")).remote == ("rbd:vms@",)


@each_row(
    ("source", "name"),
    [
        (
            "protocol='iscsi' name='iqn.2013-07.com.example:t1/2'><host name='san' port='3260'/>",
            "iscsi:iqn.2013-07.com.example:t1@san:3260",
        ),
        ("protocol='gluster' name='vol/a.img'><host name='g1'/>", "gluster:vol@g1"),
        ("protocol='nbd' name='export-7'><host name='n' port='10809'/>", "nbd:@n:10809"),
        ("protocol='nbd'><host transport='unix' socket='/run/nbd.sock'/>", "nbd:@/run/nbd.sock"),
        ("protocol='https' name='a/b.iso'><host name='mirror'/>", "https:@mirror"),
        ("pool='fast' volume='web.img'>", "volume:fast"),
    ],
)
def test_storage_without_a_path_has_a_name_that_all_who_share_it_have(
    source: str, name: str
) -> None:
    found = sources(f"<disk type='network'><source {source}</source></disk>")
    assert found == DiskSources(remote=(name,))


def test_a_local_image_on_a_remote_base_has_both() -> None:
    found = sources(
        "<disk type='file'><source file='/top'/><backingStore type='network'>"
        "<source protocol='rbd' name='gold/debian'><host name='m'/></source>"
        "</backingStore></disk>"
    )
    assert found == DiskSources(("/top",), ("rbd:gold@m",))


def test_a_tenant_cannot_add_disks_by_metadata_or_names() -> None:
    disk = "<devices><disk><source file='/nfs/victim'/></disk></devices>"
    found = sources(
        "<disk><source file='/mine'/><serial>&lt;source file='/x'/&gt;</serial></disk>",
        rest=f"<name>&lt;disk&gt;</name><metadata><t:x xmlns:t='urn:t'>{disk}</t:x></metadata>"
        f"<metadata>{disk}</metadata>",
    )
    assert found.paths == ("/mine",)


def test_odd_letters_and_a_head_with_another_encoding_do_no_harm() -> None:
    xml = (
        "<?xml version='1.0' encoding='iso-8859-1'?><!-- x --><domain><devices><disk>"
        "<source file='/images/Größe \u4f60 &amp; &#x27;.img'/><!-- <source file='/no'/> -->"
        "</disk></devices></domain>"
    )
    assert disk_paths(parse_domain(xml)).paths == ("/images/Größe \u4f60 & '.img",)


def test_a_chain_as_long_as_libvirt_allows_is_read() -> None:
    depth = 200
    chain = "".join(f"<backingStore><source file='/{level}'/>" for level in range(depth))
    found = sources(f"<disk><source file='/top'/>{chain}{'</backingStore>' * depth}</disk>")
    assert len(found.paths) == depth + 1


@each_row(
    ("xml", "complaint"),
    [
        ("", "cannot be read"),
        ("<domain>", "cannot be read"),
        ("no xml", "cannot be read"),
        ("<domain>\ud800</domain>", "characters"),
        ("<domain>\0</domain>", "cannot be read"),
        ("<network/>", "not that of a domain"),
        (f"<domain>{'x' * XML_MOST}</domain>", "more than 1048576"),
        (f"<domain>{'€' * (XML_MOST // 3)}</domain>", "more than 1048576"),
        ("<a>" * 5000 + "</a>" * 5000, "cannot be read"),
        ("<!DOCTYPE domain><domain/>", "document type"),
        ("\ufeff<?xml version='1.0'?>\n<?x <a?> <!DOCTYPE domain><domain/>", "document type"),
        ("<!-- <domain> --><!DOCTYPE domain SYSTEM 'http://evil/x.dtd'><domain/>", "document type"),
        (
            "<!DOCTYPE domain [<!ENTITY p SYSTEM 'file:///etc/passwd'>]>"
            "<domain><devices><disk><source file='/a'/>&p;</disk></devices></domain>",
            "document type",
        ),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_a_reason(xml: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_domain(xml)


def test_entities_that_unfold_without_end_cost_nothing() -> None:
    entities = "".join(f"<!ENTITY e{level} '{f'&e{level - 1};' * 10}'>" for level in range(1, 12))
    xml = (
        f"<!DOCTYPE domain [<!ENTITY e0 'boom'>{entities}]>"
        "<domain><devices><disk><source file='&e11;'/>&e11;</disk></devices></domain>"
    )
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"cannot be read|document type"):
        parse_domain(xml)
    assert time.process_time() - begun < 5
