"""What collectd's plugin virt does otherwise, and domstats beside it in the same collectd.

Each test is about a difference that docs/migrating.md names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import libvirt

from tests.system.agents import Collectd
from tests.system.agents.collectd_agent import Row
from tests.system.agents.notifications import Notifications
from tests.system.bed import Shape
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.waiting import wait_for

TAGS = "http://ovirt.org/ovirtmap/tag/1.0"
OURS = 'PluginInstanceFormat "hostname"\nHostname "ours"\nReportRound false'


class Both:
    """A collectd with both plugins, the same options given to each."""

    def __init__(self, start: Callable[..., Any], options: str, interval: float = 0.5) -> None:
        self.collectd: Collectd = start(
            Collectd, virt_plugin(options) + python_plugin(f"{options}\n{OURS}"), interval
        )

    def theirs(self, guest: str, value_list: str = "virt_cpu_total") -> Sequence[Row]:
        return self.collectd.series(guest).get(f"{guest}/virt/{value_list}", ())

    def ours(self, guest: str, value_list: str = "virt_cpu_total") -> Sequence[Row]:
        return self.collectd.series(guest).get(f"{guest}/virt-ours/{value_list}", ())

    def wait(self, find: Callable[..., Sequence[Row]], count: int, *of: str) -> None:
        """Until there are so many more rows than now."""
        before = len(find(*of))
        wait_for(f"{count} more of {of}", lambda: len(find(*of)) >= before + count)


def test_between_two_refreshes_virt_has_the_guests_and_devices_of_the_last_one(
    bed: Any, start: Callable[..., Any]
) -> None:
    renamed, gone = bed.add(Shape("before"), Shape("gone"))
    pausing, plugged = bed.guests[5:7]
    both = Both(start, f'Connection "{bed.uri}"\nRefreshInterval 600')
    both.wait(both.theirs, 2, "before")
    both.wait(both.ours, 2, "before")

    bed.add(Shape("late"))
    nic = plugged.plug_nic()
    renamed.rename("after")
    gone.remove()
    pausing.pause()
    both.wait(both.ours, 3, "late")
    both.wait(both.ours, 1, plugged.name, f"if_octets-{nic}")
    both.wait(both.ours, 2, "after")
    of_before, of_paused = both.ours("before"), both.ours(pausing.name, "disk_ops-vda")
    both.wait(both.theirs, 2, "before")
    both.wait(both.theirs, 2, pausing.name, "disk_ops-vda")

    assert "virt plugin: failed to get metrics for domain=gone" in both.collectd.log
    assert not both.theirs("late")
    assert not both.theirs("after")
    assert not both.theirs(plugged.name, f"if_octets-{nic}")
    assert both.ours("before") == of_before
    assert both.ours(pausing.name, "disk_ops-vda") == of_paused
    pausing.resume()
    plugged.unplug(nic)


def test_cpu_percent_is_missing_after_each_refresh_of_virts(
    bed: Any, start: Callable[..., Any]
) -> None:
    both = Both(start, f'Connection "{bed.uri}"\nRefreshInterval 2\nExtraStats "cpu_util"')
    both.wait(both.theirs, 16, "web-1")
    percent = "percent-virt_cpu_total"
    theirs, ours = both.theirs("web-1"), both.ours("web-1")
    assert len(both.theirs("web-1", percent)) <= len(theirs) - 3
    assert len(both.ours("web-1", percent)) >= len(ours) - 1


def test_names_that_differ_beyond_127_bytes_are_one_to_virt(
    bed: Any, start: Callable[..., Any]
) -> None:
    names = ["n" * 130 + each for each in "ab"]
    bed.add(*(Shape(name, disks=0, nics=0) for name in names))
    both = Both(start, f'Connection "{bed.uri}"\nDomain "/^n+[ab]$/"')
    wait_for("rounds of both", lambda: len(both.theirs("n" * 127)) >= 2 and len(of_ours(both)) == 2)
    hosts = both.collectd.hosts()
    assert {host for host in hosts if both.theirs(host)} == {"n" * 127}


def of_ours(both: Both) -> set[str]:
    return {host for host in both.collectd.hosts() if len(both.ours(host)) >= 2}


def test_one_hung_guest_silences_virt(bed: Any, start: Callable[..., Any]) -> None:
    both = Both(start, f'Connection "{bed.uri}"\nExtraStats "memory"')
    both.wait(both.theirs, 2, "web-1")
    both.wait(both.ours, 2, "web-1")
    hung = bed.guests[5]
    hung.hang()
    both.wait(both.ours, 3, "web-1")
    theirs = len(both.theirs("web-1"))
    both.wait(both.ours, 6, "web-1")
    assert len(both.theirs("web-1")) == theirs
    assert len(both.ours(hung.name)) > 6
    rounds = [row.time for row in both.ours("web-1")]
    assert set(rounds) >= {row.time for row in both.ours(hung.name)}, "one time for all of a round"
    hung.heal()
    both.wait(both.theirs, 2, "web-1")


def test_with_two_instances_virt_has_each_domain_twice_whatever_its_tag(
    bed: Any, start: Callable[..., Any]
) -> None:
    tagged = bed.guests[5]
    tagged.set_metadata(TAGS, "<tag>virt-1</tag>", "ovirtmap")
    both = Both(start, f'Connection "{bed.uri}"\nInstances 2\nRefreshInterval 1')
    both.wait(both.ours, 8, "web-1")
    tagged.set_metadata(TAGS, None)
    for guest in ("web-1", tagged.name):
        theirs, disks = both.theirs(guest), both.theirs(guest, "disk_ops-vda")
        assert len(theirs) > 1.5 * len(disks), "the tag counts for devices alone"
        ours = [row.time for row in both.ours(guest)]
        assert len(ours) == len(set(ours)) < len(theirs) / 1.5, "once in each round"


def test_virt_notifies_of_a_domain_that_is_defined_and_twice_of_one_that_starts(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    written = Notifications(tmp_path / "notifications")
    options = f'Connection "{bed.uri}"\nExtraStats "domain_state"\n'
    plugins = python_plugin(f"{options}{OURS}") + virt_plugin(options)
    collectd = start(Collectd, written.configuration(plugins), 0.5)
    wait_for("three rounds", lambda: collectd.has_rounds(3))
    bed.add(Shape("new"))

    def messages(instance: str) -> list[str]:
        return [
            notice.message.partition(": ")[2]
            for notice in written.received()
            if (notice.host, notice.plugin_instance) == ("new", instance)
        ]

    wait_for("notices of both", lambda: len(messages("")) >= 3 and messages("ours"))
    assert messages("") == [
        "no state. Reason: the reason is unknown",
        "the domain is running. Reason: returned from paused state",
        "the domain is running. Reason: normal startup from boot",
    ]
    runs = "the domain is running. Reason: normal startup from boot"
    wait_for("the notice that it runs", lambda: runs in messages("ours"))
    assert messages("ours").count(runs) == 1


def test_with_persistent_notification_virt_leaves_out_domains_that_are_not_persistent(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    passing = bed.guests[5]
    written = Notifications(tmp_path / "notifications")
    options = f'Connection "{bed.uri}"\nPersistentNotification true\n'
    with bed.connection() as connection:
        definition = connection.lookupByName(passing.name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        connection.lookupByName(passing.name).undefine()
        try:
            plugins = python_plugin(f"{options}{OURS}") + virt_plugin(options)
            start(Collectd, written.configuration(plugins), 0.5)
            wait_for("notices", lambda: len(written.received()) > 5 * len(bed.guests))
        finally:
            connection.defineXML(definition)
    of = {(notice.plugin_instance, notice.host) for notice in written.received()}
    assert {("ours", passing.name), ("ours", "web-1"), ("", "web-1")} <= of
    assert ("", passing.name) not in of
