"""Whose machine a domain is, from its XML, whatever else a tenant wrote there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from domstats.domain_xml.describe import describe
from domstats.domain_xml.disk_paths import XML_MOST
from domstats.domain_xml.labels import (
    LABEL_MOST,
    LABELS,
    METADATA_NAMESPACE,
    METADATA_XPATH,
    Label,
    Labels,
    check_namespaces,
    known,
    of_metadata,
    of_operator,
)
from domstats.errors import ConfigError
from domstats.output.schema import RESERVED_TAGS
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rows import each_row

NOVA = """
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{version}">
  <nova:package version="29.2.0"/>
  <nova:name>shop &amp; more</nova:name>
  <nova:creationTime>2026-11-02 08:15:00</nova:creationTime>
  <nova:flavor name="m1.small"><nova:memory>512</nova:memory></nova:flavor>
  <nova:owner>
    <nova:user uuid="3472c2a6de91">ada</nova:user>
    <nova:project uuid="7237738b86ea">web shop</nova:project>
  </nova:owner>
  <nova:root type="{root}" uuid="155d900f-4e14"/>
</nova:instance>"""
OVIRT = """
<ovirt-tune:qos xmlns:ovirt-tune="http://ovirt.org/vm/tune/1.0"/>
<ovirt-vm:vm xmlns:ovirt-vm="http://ovirt.org/vm/1.0">
  <ovirt-vm:clusterVersion>4.7</ovirt-vm:clusterVersion>
  <ovirt-vm:destroy_on_reboot type="bool">False
  </ovirt-vm:destroy_on_reboot>
  <ovirt-vm:custom><ovirt-vm:team>blue</ovirt-vm:team></ovirt-vm:custom>
</ovirt-vm:vm>"""
KUBEVIRT = """
<kubevirt xmlns="http://kubevirt.io">
  <uid>5c0a0e53-4d0c</uid>
  <graceperiod><deletionGracePeriodSeconds>30</deletionGracePeriodSeconds></graceperiod>
</kubevirt>"""
LIBOSINFO = """
<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
  <libosinfo:os id="http://debian.org/debian/12"/>
</libosinfo:libosinfo>"""
DISK = "<disk type='file'><source file='/images/a'/><target dev='vda'/></disk>"


def domain(metadata: str = "", name: str = "instance-0000002a", rest: str = "") -> str:
    return (
        f"<domain type='kvm' id='3'><name>{name}</name>{rest}<metadata>{metadata}</metadata>"
        f"<os><type machine='pc-q35-7.2'>hvm</type></os><devices>{DISK}</devices></domain>"
    )


def taken(xml: str, *labels: Label) -> dict[str, str]:
    return Labels(labels).read(xml)


def found(xml: str) -> dict[str, str]:
    """All labels of the table that have a text."""
    labels = taken(xml, *map(known, LABELS))
    assert list(labels) == list(LABELS)
    return {name: text for name, text in labels.items() if text}


@each_row("version", ["1.0", "1.1"])
def test_openstack_tells_the_machine_its_flavour_project_user_and_image(version: str) -> None:
    assert found(domain(NOVA.format(version=version, root="image"))) == {
        "nova_name": "shop & more",
        "nova_flavor": "m1.small",
        "nova_project": "web shop",
        "nova_project_uuid": "7237738b86ea",
        "nova_user": "ada",
        "nova_user_uuid": "3472c2a6de91",
        "nova_image_uuid": "155d900f-4e14",
    }


def test_a_machine_that_openstack_boots_from_a_volume_has_no_image() -> None:
    assert "nova_image_uuid" not in found(domain(NOVA.format(version="1.1", root="volume")))


def test_ovirt_names_the_domain_itself_and_tells_the_clusters_version() -> None:
    assert found(domain(OVIRT)) == {"ovirt_cluster_version": "4.7"}


def test_kubevirt_makes_the_domains_name_of_namespace_and_name() -> None:
    assert found(domain(KUBEVIRT, "team-a_vm-1.example")) == {
        "kubevirt_namespace": "team-a",
        "kubevirt_name": "vm-1.example",
        "kubevirt_uid": "5c0a0e53-4d0c",
    }


def test_an_underscore_alone_does_not_make_a_domain_kubevirts() -> None:
    assert found(domain(name="not_ours")) == {}


def test_the_operating_system_and_the_title_are_told() -> None:
    xml = domain(LIBOSINFO, rest="<title>Ada's &lt;machine&gt;</title>")
    assert found(xml) == {"os_id": "http://debian.org/debian/12", "title": "Ada's <machine>"}


def test_several_systems_metadata_stand_side_by_side() -> None:
    both = found(domain(NOVA.format(version="1.1", root="image") + LIBOSINFO))
    assert both["nova_project"] == "web shop"
    assert both["os_id"] == "http://debian.org/debian/12"


def test_a_domain_without_metadata_has_every_label_as_an_empty_text() -> None:
    assert taken("<domain/>", known("title"), known("nova_name")) == {"title": "", "nova_name": ""}


def test_no_label_of_the_table_has_the_name_of_another_tag_or_field() -> None:
    assert not set(LABELS) & RESERVED_TAGS


def test_a_label_is_bounded_and_may_hold_whatever_xml_may() -> None:
    xml = domain(rest=f"<title>\n a\tb&#10;c {'ü' * 1000}</title>")
    (text,) = taken(xml, known("title")).values()
    assert text.startswith("a\tb\nc ü")
    assert len(text) == LABEL_MOST


# --- the operator's own


@each_row(
    ("xpath", "namespaces", "text"),
    [
        ("/domain/os/type/@machine", {}, "pc-q35-7.2"),
        ("/domain/metadata/ovirt:vm/ovirt:custom/ovirt:team", {}, "blue"),
        ("/domain/metadata/o:vm/o:custom/o:team/text()", {"o": "http://ovirt.org/vm/1.0"}, "blue"),
        ("/domain/metadata/ovirt:vm/ovirt:destroy_on_reboot", {}, "False"),
        ("/domain/metadata/ovirt:vm/ovirt:custom", {}, "blue"),
        ("count(/domain/devices/disk)", {}, "1"),
        ("count(/domain/devices/disk) div 4", {}, "0.25"),
        ("boolean(/domain/devices)", {}, "true"),
        ("number('x')", {}, ""),
        ("concat('a:b', \"(c\")", {}, "a:b(c"),
        ("/domain/nowhere", {}, ""),
        ("/domain/title[@xml:lang]", {}, ""),
        ("/domain/comment()", {}, ""),
        ("/domain/devices/disk/child::target[@dev='vda' and (1 = 1)]/@dev", {}, "vda"),
    ],
)
def test_any_xpath_of_the_operator_makes_a_label(
    xpath: str, namespaces: Mapping[str, str], text: str
) -> None:
    assert taken(domain(OVIRT), of_operator("mine", xpath, namespaces)) == {"mine": text}


@each_row(
    ("xpath", "words"),
    [
        ("", "XPath"),
        ("/domain[", "XPath"),
        ("/domain/[", "XPath"),
        ("/domain/x:y", "prefix x has no namespace"),
        ("/domain/nowhere[x:y]", "prefix x has no namespace"),
        ("/domain/nowhere[child::x:y]", "prefix x has no namespace"),
        ("/domain/nowhere[document('http://example.org/')]", "no function document"),
        ("re:match(/domain, 'a')", "prefix re has no namespace"),
        ("/domain/nowhere[@id = $id]", "no variables"),
        ("/domain/\0", "characters"),
        ("/domain" * 1000, "more than 4096"),
    ],
)
def test_an_xpath_that_could_never_be_asked_is_refused_and_quoted(xpath: str, words: str) -> None:
    with pytest.raises(ConfigError, match="allowed is an XPath") as caught:
        of_operator("mine", xpath, {})
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@given(
    xpath=st.one_of(st.text(), st.text("/domain[]()@:*'\"=|<>.$,-+ \0{}")),
    namespaces=st.dictionaries(st.text(max_size=4) | st.sampled_from(["xml", "xmlns"]), st.text()),
)
def test_whatever_an_operator_writes_is_a_label_or_a_clear_refusal(
    xpath: str, namespaces: dict[str, str]
) -> None:
    refusal = ""
    try:
        check_namespaces(namespaces)
        assert set(taken(domain(OVIRT), of_operator("mine", xpath, namespaces))) == {"mine"}
    except ConfigError as error:
        refusal = str(error)
    assert not refusal or refusal.isprintable()


@each_row("name", ["", "a b", "1st", "_field", "a,b", "größe", "title", "a" * 65])
def test_a_name_that_is_none_for_a_tag_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="found a label"):
        of_operator(name, "/domain/title", {})


def test_an_xpath_that_fails_on_one_document_leaves_its_label_empty() -> None:
    label = of_operator("mine", "/domain/name[count(string(.)) = 1]", {})
    assert taken(domain(), label) == {"mine": ""}


# --- collectd's


def metadata(element: str, xpath: str = METADATA_XPATH, namespace: str = METADATA_NAMESPACE) -> str:
    (text,) = taken(domain(element), of_metadata(namespace, xpath)).values()
    return text


@each_row(
    ("xpath", "text"),
    [
        ("/instance/name/text()", "shop & more"),
        ("/instance/owner/project/@uuid", "7237738b86ea"),
        ("//project/text()", "web shop"),
        # As in collectd's plugin virt, only one text or attribute counts.
        ("/instance/name", ""),
        ("string(/instance/name)", ""),
        ("/instance/owner/*/text()", ""),
        ("/domain/name/text()", ""),
        ("/instance/nowhere/text()", ""),
    ],
)
def test_metadata_is_asked_of_the_element_alone_without_its_namespace(
    xpath: str, text: str
) -> None:
    assert metadata(NOVA.format(version="1.0", root="image"), xpath) == text


def test_metadata_of_another_namespace_does_not_count() -> None:
    nova = NOVA.format(version="1.1", root="image")
    assert metadata(nova) == ""
    assert metadata(nova, namespace="http://openstack.org/xmlns/libvirt/nova/1.1") == "shop & more"
    assert metadata("<instance><name>bare</name></instance>") == ""
    assert metadata("") == ""


def test_what_in_the_element_has_another_namespace_keeps_it() -> None:
    element = (
        "<x:shop xmlns:x='urn:shop' xmlns:y='urn:y' x:at='1'>"
        "<y:name>no</y:name><name>plain</name><z:name xmlns:z='urn:shop'>own</z:name></x:shop>"
    )
    assert metadata(element, "/shop/name[1]/text()", "urn:shop") == "plain"
    assert metadata(element, "/shop/name[2]/text()", "urn:shop") == "own"
    assert metadata(element, "/shop/@at", "urn:shop") == "1"


def test_looking_at_metadata_leaves_the_document_to_other_labels_as_it_was() -> None:
    labels = (of_metadata(METADATA_NAMESPACE, METADATA_XPATH), known("nova_name"))
    nova = NOVA.format(version="1.0", root="image")
    assert taken(domain(nova), *labels) == {"metadata": "shop & more", "nova_name": "shop & more"}


# --- what a tenant may write


#: What must not cost time would cost minutes, or have no end.
MOST_S = 5.0


def timed(xml: str) -> tuple[Any, float]:
    """What is found, or the error; and the seconds of this thread's CPU that it took."""
    began = time.thread_time()
    try:
        result: Any = describe(xml, Labels([known(name) for name in LABELS]))
    except ValueError as error:
        result = error
    return result, time.thread_time() - began


def test_ten_mebibytes_of_metadata_cost_neither_time_nor_the_disks() -> None:
    for filler in ("<a>x</a>", "x" * 1000, "<!-- </metadata> --><metadata></metadata>"):
        many = filler * (10 * 1024 * 1024 // len(filler))
        described, seconds = timed(domain(f"<x xmlns='urn:x'>{many}</x>", rest="<title>T</title>"))
        assert described.paths == ("/images/a",)
        assert described.devices.sources == {"vda": "/images/a"}
        assert described.labels["title"] == "T"
        assert described.labels["nova_name"] == ""
        assert seconds < MOST_S


def test_text_that_looks_like_metadata_does_not_hide_a_disk() -> None:
    title = "<title>&lt;metadata&gt;</title>"
    described, _ = timed(domain("x" * XML_MOST, rest=title))
    assert described.paths == ("/images/a",)
    assert described.labels["title"] == "<metadata>"


def test_an_xml_that_is_too_large_without_its_metadata_is_refused_at_once() -> None:
    for xml in (
        f"<domain><title>{'x' * XML_MOST}</title><metadata/></domain>",
        f"<domain>{'<metadata>' * XML_MOST}",
        f"<domain></metadata>{'<metadata ' * XML_MOST}",
    ):
        error, seconds = timed(xml)
        assert isinstance(error, ValueError)
        assert seconds < MOST_S


def test_a_billion_laughs_are_refused_before_anything_is_unfolded() -> None:
    entities = "<!ENTITY a0 'lol'>" + "".join(
        f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
    )
    for head in (
        f"<!DOCTYPE domain [{entities}]>",
        f"<?xml version='1.0'?>\n<!-- <domain> --><!DOCTYPE domain [{entities}]>",
    ):
        error, seconds = timed(f"{head}<domain><name>&a9;</name><title>&a9;</title></domain>")
        assert isinstance(error, ValueError)
        assert seconds < MOST_S


def test_text_that_looks_like_a_document_type_is_a_tenants_text() -> None:
    element = "<x xmlns='urn:x'><![CDATA[<!DOCTYPE html><p>&lol;]]></x>"
    assert taken(domain(element), of_operator("x", "/domain/metadata/x:x", {"x": "urn:x"})) == {
        "x": "<!DOCTYPE html><p>&lol;"
    }


def test_elements_within_elements_without_end_are_refused_at_bounded_cost() -> None:
    error, seconds = timed(domain("<a>" * 50_000 + "</a>" * 50_000))
    assert isinstance(error, ValueError)
    assert seconds < MOST_S
