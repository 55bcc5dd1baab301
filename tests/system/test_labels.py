"""Whose machine a real guest is: as tags in Telegraf. (In collectd: `virt_blocks`.)"""

from pathlib import Path
from typing import Any, Callable, Optional

import libvirt
import pytest
from domstats.config.settings import Settings
from domstats.config.telegraf import parse_telegraf
from domstats.domain_xml.labels import METADATA_NAMESPACE, Labels, of_metadata
from domstats.sampling.sampler import Sampler

from tests.system.agents import Telegraf
from tests.system.configurations import execd, libvirt_table
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


def make_instance(guest: Any, name: str, namespace: str = NOVA_11) -> None:
    """Write what OpenStack writes about a guest."""
    prefix = "nova" if namespace == NOVA_11 else "old"  # libvirt puts elements under it
    guest.set_metadata(namespace, NOVA.format(name=name), prefix)


@pytest.fixture
def instance(bed: Any) -> Any:
    """A guest of OpenStack's, in the bed's running time only."""
    guest = bed.guests[0]
    make_instance(guest, "shop")
    make_instance(guest, "shop of old", METADATA_NAMESPACE)
    yield guest
    for namespace in (NOVA_11, METADATA_NAMESPACE):
        guest.set_metadata(namespace, None)


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
    make_instance(instance, "shop, renamed=1")
    wait_for("the new name", lambda: named("shop, renamed=1"))


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

    instance.set_metadata("urn:shop", element)
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    with bed.connection() as connection:
        domain = connection.lookupByUUIDString(instance.uuid)
        theirs = etree.fromstring(domain.metadata(kind, "urn:shop"))
        whole = etree.fromstring(domain.XMLDesc(0))
    instance.set_metadata("urn:shop", None)
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
    make_instance(other, "other")
    for number, (namespace, element) in enumerate(many.items()):
        instance.set_metadata(namespace, element, f"p{number}")
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
        for namespace in many:
            instance.set_metadata(namespace, None)
        other.set_metadata(NOVA_11, None)
