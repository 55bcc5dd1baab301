"""Real guests: whom globs, uuids and labels choose, totals in the place of devices, and what a
configuration costs, in both agents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import libvirt
import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.command_line import domstats
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG


def own(bed: Any, guest: Any, project: str | None) -> None:
    """Write whose guest it is, as OpenStack does, or take it away."""
    element = project and f"<instance><owner><project>{project}</project></owner></instance>"
    with bed.connection() as connection:
        connection.lookupByUUIDString(guest.uuid).setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "nova", NOVA, LIVE
        )


@pytest.fixture
def guests(bed: Any) -> Iterator[list[Any]]:
    """Some guests, of which the first is acme's, and the second another one's."""
    guests = bed.guests[:4]
    own(bed, guests[0], "acme shop")
    own(bed, guests[1], "other")
    yield guests
    for guest in guests[:2]:
        own(bed, guest, None)


def received(bed: Any, guest: Any, nic: str) -> int:
    with bed.connection() as connection:
        counters = connection.lookupByUUIDString(guest.uuid).interfaceStats(nic)
        return int(counters[0]) + int(counters[4])


def test_telegraf_gets_the_guests_that_are_chosen_and_totals_that_never_go_back(
    bed: Any, guests: list[Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    acme, other, by_uuid, by_glob = guests
    settings = tmp_path / "domstats.toml"
    chosen = json.dumps(["label:nova_project=acme*", by_uuid.uuid, f"{by_glob.name[:-1]}?"])
    table = libvirt_table(
        bed.uri,
        f"domains = {chosen}",
        f'domains_exclude = ["label:nova_project=other", "{other.name}"]',
        'totals = ["vcpu", "interface", "block"]',
        'fields_exclude = ["libvirt_block_total:fl_*"]',
        "max_series = 5",
    )
    settings.write_text(table)
    telegraf = start(Telegraf, execd(settings))

    def points(name: str, measurement: str, field: str) -> list[Any]:
        return [
            point
            for point in telegraf.points()
            if point.measurement == measurement
            and field in point.fields
            and point.tags["domain_name"] == name
        ]

    wait_for("acme's guest", lambda: points(acme.name, "libvirt_block_total", "rd_bytes"))
    wait_for("the one by its uuid", lambda: points(by_uuid.name, "libvirt_cpu", "time"))
    wait_for("the one by glob", lambda: points(by_glob.name, "libvirt_cpu", "time"))
    assert not points(other.name, "libvirt_state", "state")
    nic = acme.plug_nic()
    wait_for("counters of the NIC", lambda: received(bed, acme, nic) > 0)
    rounds = len(points(acme.name, "libvirt_net_total", "rx_bytes"))
    wait_for(
        "rounds with it",
        lambda: len(points(acme.name, "libvirt_net_total", "rx_bytes")) >= rounds + 3,
    )
    acme.unplug(nic)
    rounds = len(points(acme.name, "libvirt_net_total", "rx_bytes"))
    wait_for(
        "rounds without it",
        lambda: len(points(acme.name, "libvirt_net_total", "rx_bytes")) >= rounds + 3,
    )
    for measurement, field in (
        ("libvirt_net_total", "rx_bytes"), ("libvirt_net_total", "tx_bytes"),
        ("libvirt_block_total", "wr_bytes"), ("libvirt_vcpu_total", "time_ns"),
    ):  # fmt: skip
        values = [p.fields[field].value for p in points(acme.name, measurement, field)]
        assert values == sorted(values)
    all_points = telegraf.points()
    tags = {tag for point in all_points for tag in point.tags}
    assert tags.isdisjoint({"device", "vcpu_id", "nova_project"})
    assert not any("fl_reqs" in point.fields for point in all_points)
    assert 1 <= telegraf.log.count("more than max_series (5)") <= 2
    own(bed, acme, "somebody else")
    wait_for_no_more(lambda: len(points(acme.name, "libvirt_state", "state")), telegraf)


def wait_for_no_more(count: Callable[[], int], telegraf: Any) -> None:
    """Wait until rounds go by in which nothing of it comes."""

    def is_over() -> bool:
        before, rounds = count(), rounds_of(telegraf)
        wait_for("two rounds", lambda: rounds_of(telegraf) >= rounds + 2)
        return count() == before

    wait_for("the guest's end in the data", is_over)


def rounds_of(telegraf: Any) -> int:
    return sum(point.measurement == "domstats_round" for point in telegraf.points())


def test_collectd_gets_the_guests_that_are_chosen_totals_and_as_many_series_as_are_counted(
    bed: Any, guests: list[Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    acme, _, by_uuid, _ = guests
    block = python_plugin(
        f'Connection "{bed.uri}"\n'
        f'DomainMatch "label:nova_project=acme*"\nDomainMatch "{by_uuid.uuid}"\n'
        'Totals "vcpu" "interface" "block"\nDropTypes "if_errors"\nMaxSeries 5\n'
        'ExtraStats "vcpu disk disk_capacity"\nReportRound false'
    )
    collectd = start(Collectd, block)
    wait_for("both guests", lambda: {acme.name, by_uuid.name} <= collectd.hosts())
    wait_for("rounds", lambda: collectd.has_rounds(3))
    assert collectd.hosts() == {acme.name, by_uuid.name}
    kinds = {name.rpartition("/")[2] for name in collectd.series(acme.name)}
    assert {
        "disk_octets-total", "disk_ops-total", "disk_time-total", "disk_capacity-total",
        "if_octets-total", "virt_vcpu-total", "total_requests-flush-total",
    } <= kinds  # fmt: skip
    assert not any(kind.endswith(("-vda", "-vcpu-0", "-0")) for kind in kinds)
    assert "if_errors-total" not in kinds
    # Again when the guest comes that its label chooses: there are twice as many then.
    assert 1 <= collectd.log.count("more than MaxSeries (5)") <= 2

    path = tmp_path / "collectd.conf"
    path.write_text(block)
    ended = domstats("metrics", "--config", str(path), "--format", "json")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    (counted,) = (each for each in found["by_domain"] if each["name"] == acme.name)
    assert counted["value_lists"] == len(kinds)
    table = domstats("metrics", "--config", str(path), COLUMNS="80")
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert "of 2 domains, more than MaxSeries (5)" in table.stdout
