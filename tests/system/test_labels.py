"""Whose machine a real guest is: as tags in Telegraf, as host or plugin instance in collectd."""

from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

import libvirt
import pytest
from domstats.config.settings import Settings
from domstats.config.telegraf import parse_telegraf
from domstats.domain_xml.labels import METADATA_NAMESPACE, Labels, of_metadata
from domstats.sampling.sampler import Sampler

from tests.system.agents import Collectd, Telegraf
from tests.system.configurations import execd, libvirt_table, python_plugin, virt_plugin
from tests.system.waiting import wait_for

NOVA_11 = "http://openstack.org/xmlns/libvirt/nova/1.1"
NOVA = """\
<instance>
  <package version="29.2.0"/>
  <name>{name}</name>
  <flavor name="m1.small"/>
  <owner>
    <user uuid="3472c2a6de91">ada</user>
    <project uuid="7237738b86ea">web shop</project>
  </owner>
  <root type="image" uuid="155d900f-4e14"/>
</instance>"""
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG


def set_metadata(bed: Any, guest: Any, element: str, prefix: str, namespace: str) -> None:
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    with bed.connection() as connection:
        domain = connection.lookupByUUIDString(guest.uuid)
        domain.setMetadata(kind, element, prefix, namespace, LIVE)


def make_instance(bed: Any, guest: Any, name: str, namespace: str = NOVA_11) -> None:
    """Write what OpenStack writes about a guest."""
    prefix = "nova" if namespace == NOVA_11 else "old"  # libvirt puts elements under it
    set_metadata(bed, guest, NOVA.format(name=name), prefix, namespace)


@pytest.fixture
def instance(bed: Any) -> Any:
    """A guest of OpenStack's, in the bed's running time only."""
    guest = bed.guests[0]
    make_instance(bed, guest, "shop")
    make_instance(bed, guest, "shop of old", METADATA_NAMESPACE)
    yield guest
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    with bed.connection() as connection:
        domain = connection.lookupByUUIDString(guest.uuid)
        for namespace in (NOVA_11, METADATA_NAMESPACE):
            domain.setMetadata(kind, None, None, namespace, LIVE)


def test_telegraf_gets_the_labels_as_tags_and_new_ones_soon_after_they_change(
    bed: Any, instance: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    options = (
        'labels = ["nova_name", "nova_project", "nova_project_uuid", "title"]',
        'label_xpath = { package = "/domain/metadata/nova:instance/nova:package/@version" }',
    )
    settings.write_text(libvirt_table(bed.uri, *options))
    telegraf = start(Telegraf, execd(settings))

    def named(name: str) -> Any:
        return next((p for p in telegraf.points() if p.tags.get("nova_name") == name), None)

    tags = wait_for("a point with labels", lambda: named("shop")).tags
    assert tags["domain_name"] == instance.name
    assert tags["nova_project"] == "web shop"
    assert tags["nova_project_uuid"] == "7237738b86ea"
    assert tags["package"] == "29.2.0"
    assert "title" not in tags
    others = [p for p in telegraf.points() if p.tags.get("domain_name") == bed.guests[5].name]
    assert others
    assert not any("nova_name" in point.tags for point in others)
    make_instance(bed, instance, "shop, renamed=1")
    wait_for("the new name", lambda: named("shop, renamed=1"))


@pytest.mark.parametrize(
    "options",
    [
        'HostnameFormat "metadata"',
        'HostnameFormat "name" "metadata"\nPluginInstanceFormat "metadata"',
        f'HostnameFormat "metadata"\nHostnameMetadataNS "{NOVA_11}"\n'
        'HostnameMetadataXPath "/instance/owner/project/@uuid"',
        'HostnameFormat "uuid"\nPluginInstanceFormat "metadata"\n'
        'HostnameMetadataXPath "//flavor/@name"',
    ],
)
def test_metadata_in_collectd_gives_the_identifiers_that_virt_gives(
    bed: Any, instance: Any, start: Callable[..., Any], options: str
) -> None:
    lines = f'{options}\nConnection "{bed.uri}"\nDomain "{instance.name}"\n'
    theirs = start(Collectd, virt_plugin(lines), 0.5, name="theirs")
    ours = start(Collectd, python_plugin(f"{lines}\nReportRound false"), 0.5, name="ours")
    for each in (theirs, ours):
        wait_for("three rounds", partial(each.has_rounds, 3))
    assert set(ours.series()) == set(theirs.series())
    assert "Traceback" not in ours.log


@pytest.mark.parametrize(
    "element",
    [
        "<n:shop xmlns:n='urn:shop'><n:name n:at='1'>moon &amp; more</n:name></n:shop>",
        "<shop><name at='1'>bare</name></shop>",
        "<shop xmlns='urn:shop'><name at='1'>default</name><o:name xmlns:o='urn:o'/></shop>",
        "<a:shop xmlns:a='urn:shop'><b:name xmlns:b='urn:shop'> two </b:name></a:shop>",
        "<n:shop xmlns:n='urn:shop'><name>none</name><o:name xmlns:o='urn:o'>o</o:name></n:shop>",
    ],
)
def test_a_metadata_element_is_to_us_what_libvirt_gives_of_it(
    bed: Any, instance: Any, element: str
) -> None:
    from lxml import etree

    set_metadata(bed, instance, element, "own", "urn:shop")
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    with bed.connection() as connection:
        domain = connection.lookupByUUIDString(instance.uuid)
        theirs = etree.fromstring(domain.metadata(kind, "urn:shop"))
        whole = etree.fromstring(domain.XMLDesc(0))
        domain.setMetadata(kind, None, None, "urn:shop", LIVE)
    for xpath in ("/shop/name/text()", "/shop/name/@at", "/shop/*/text()", "/shop/text()"):
        found: Any = theirs.xpath(xpath)
        expected = found[0] if len(found) == 1 else ""
        ours = Labels([of_metadata("urn:shop", xpath)]).take(whole)
        assert ours == {"metadata": expected}, xpath


def test_a_guest_with_more_metadata_than_libvirt_can_send_is_sampled_all_the_same(
    bed: Any, instance: Any
) -> None:
    many = {f"urn:{number}": f"<x>{'x' * 1_900_000}</x>" for number in range(3)}
    text = libvirt_table(bed.uri, 'labels = ["nova_name"]')
    (settings,) = parse_telegraf(text.encode(), "domstats.toml").settings
    assert isinstance(settings, Settings)
    other = bed.guests[5]
    make_instance(bed, other, "other")
    for number, (namespace, element) in enumerate(many.items()):
        set_metadata(bed, instance, element, f"p{number}", namespace)
    try:
        with Sampler(settings) as sampler:

            def labels() -> dict[str, dict[str, str]]:
                domains = {domain.uuid: domain for domain in sampler.sample(9.0).domains}
                assert domains[instance.uuid].stats["cpu.time"]
                return {uuid: domain.labels for uuid, domain in domains.items()}

            def labels_of_all() -> Optional[dict[str, dict[str, str]]]:
                found = labels()
                return found if all(found.values()) else None

            found = wait_for("labels of all", labels_of_all)
            assert found[other.uuid] == {"nova_name": "other"}
            assert found[instance.uuid] == {"nova_name": ""}
    finally:
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        with bed.connection() as connection:
            for namespace in many:
                domain = connection.lookupByUUIDString(instance.uuid)
                domain.setMetadata(kind, None, None, namespace, LIVE)
            domain = connection.lookupByUUIDString(other.uuid)
            domain.setMetadata(kind, None, None, NOVA_11, LIVE)
