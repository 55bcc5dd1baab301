"""Notifications of domains' states: domstats beside plugin virt, in the same collectd."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from tests.system.agents import Collectd
from tests.system.agents.notifications import Notice, Notifications
from tests.system.bed import Shape
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.waiting import wait_for


def of(notifications: Notifications, guest: str) -> list[Notice]:
    return [notice for notice in notifications.received() if notice.host == guest]


def test_a_change_of_a_domains_state_is_notified_of_as_by_virt(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    (guest,) = bed.add(Shape("changing"))
    options = f'Connection "{bed.uri}"\nExtraStats "domain_state"\n'
    ours = python_plugin(options + "PluginInstanceFormat uuid\nReportRound false")
    written = Notifications(tmp_path / "notifications")
    collectd = start(Collectd, written.configuration(ours) + virt_plugin(options))
    wait_for("values of both", lambda: len(_state_lists(collectd, guest.name)) == 2)

    def both_say(message: str) -> Callable[[], bool]:
        return lambda: {
            bool(notice.plugin_instance)
            for notice in of(written, guest.name)
            if notice.message == message
        } == {True, False}

    with bed.connection() as connection:
        domain = connection.lookupByName(guest.name)
        for change, message in (
            (domain.suspend, "the domain is paused by user. Reason: paused on user request"),
            (domain.resume, "the domain is running. Reason: returned from paused state"),
            (domain.destroy, "the domain is shut off. Reason: forced poweroff"),
        ):
            change()
            wait_for(message, both_say(f"Domain state: {message}"))
    found = of(written, guest.name)
    ours_ = {notice._replace(plugin_instance="") for notice in found if notice.plugin_instance}
    theirs = {notice for notice in found if not notice.plugin_instance}
    assert ours_ <= theirs, "the same plugin, type, host, severity and message"


def _state_lists(collectd: Collectd, guest: str) -> list[str]:
    return [name for name in collectd.series(guest) if "domain_state" in name]


def test_with_persistent_notification_each_round_has_each_domain(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    (guest,) = bed.add(Shape("persistent"))
    guest.destroy()
    ours = python_plugin(f'Connection "{bed.uri}"\nPersistentNotification true')
    written = Notifications(tmp_path / "notifications")
    start(Collectd, written.configuration(ours))
    wait_for("three rounds", lambda: len(of(written, guest.name)) >= 3)
    assert {notice.message for notice in of(written, guest.name)} == {
        "Domain state: the domain is shut off. Reason: forced poweroff"
    }
    assert len(of(written, bed.guests[0].name)) >= 2
