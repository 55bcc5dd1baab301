"""Notifications of domains' states: domstats beside plugin virt, in the same collectd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, NamedTuple

from tests.system.agents import Collectd
from tests.system.bed import Shape
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.waiting import wait_for

#: A module of collectd's Python plugin that writes down what collectd is notified of.
LISTENER = """\
import json
import collectd

NAMES = {collectd.NOTIF_FAILURE: "failure", collectd.NOTIF_OKAY: "okay"}

def write_down(told):
    with open(PATH, "a") as said:
        row = (told.plugin, told.plugin_instance, told.type, told.type_instance, told.host)
        severity = NAMES.get(told.severity, "warning")
        said.write(json.dumps([*row, severity, told.message]) + "\\n")

collectd.register_notification(write_down)
"""


class Notice(NamedTuple):
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    host: str
    severity: str
    message: str


def listening(folder: Path, plugins: str) -> str:
    """The configuration, with a listener in it."""
    (folder / "listener.py").write_text(LISTENER.replace("PATH", repr(str(folder / "said"))))
    return plugins.replace("</Plugin>", f'ModulePath "{folder}"\nImport "listener"\n</Plugin>', 1)


def notices(folder: Path, guest: str) -> list[Notice]:
    said = folder / "said"
    lines = said.read_text().splitlines() if said.exists() else []
    found = [Notice(*json.loads(line)) for line in lines]
    return [notice for notice in found if notice.host == guest and notice.type == "domain_state"]


def test_a_change_of_a_domains_state_is_notified_of_as_by_virt(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    (guest,) = bed.add(Shape("changing"))
    options = f'Connection "{bed.uri}"\nExtraStats "domain_state"\n'
    ours = python_plugin(options + "PluginInstanceFormat uuid\nReportRound false")
    collectd = start(Collectd, listening(tmp_path, ours) + virt_plugin(options))
    wait_for("values of both", lambda: len(_state_lists(collectd, guest.name)) == 2)

    def both_say(message: str) -> Callable[[], bool]:
        return lambda: {
            bool(notice.plugin_instance)
            for notice in notices(tmp_path, guest.name)
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
    found = notices(tmp_path, guest.name)
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
    start(Collectd, listening(tmp_path, ours))
    wait_for("three rounds", lambda: len(notices(tmp_path, guest.name)) >= 3)
    assert {notice.message for notice in notices(tmp_path, guest.name)} == {
        "Domain state: the domain is shut off. Reason: forced poweroff"
    }
    assert len(notices(tmp_path, bed.guests[0].name)) >= 2
