"""The line that begins the sampling of a hypervisor."""

from __future__ import annotations

from typing import Any

import domstats
from domstats.engine.introduction import Introduction, View

from tests.unit.rows import each_row

SEES_ALL = View(processes=True, unseen=0, hidden=False, storage=True, blind=())


def line(view: View | None, remote: tuple[str, ...] = (), *, occupancy: bool = True) -> str:
    introduction = Introduction()
    introduction.is_news("QEMU 7.2.22 (libvirt 9.0.0)")
    return introduction.line(8, 6, view, remote, occupancy)


def test_who_samples_what_with_all_watches_on_is_one_line() -> None:
    assert line(SEES_ALL) == (
        f"domstats {domstats.__version__} samples QEMU 7.2.22 (libvirt 9.0.0), 8 domains (6"
        " running); process watch on, storage watch on, occupancy watch on"
    )


@each_row(
    ("changes", "said"),
    [
        ({"processes": False}, "process watch off"),
        ({"unseen": None}, "process watch on,"),
        ({"unseen": 2}, "process watch on, but sees 4 of 6 processes, storage"),
        (
            {"unseen": 6, "hidden": True},
            "sees 0 of 6 processes (/proc hides other users' processes: hidepid)",
        ),
        ({"hidden": True}, "process watch on,"),
        ({"storage": False}, "storage watch off"),
        ({"blind": ("/b", "/a")}, "storage watch on, but cannot see /a, /b, occupancy"),
        ({"blind": tuple("/abcde")}, "/, a, b and 3 more"),
    ],
)
def test_what_the_watches_cannot_see_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in line(SEES_ALL._replace(**changes))


def test_storage_that_only_qemu_reaches_is_not_seen_either() -> None:
    assert "cannot see /a, rbd:vms@mon" in line(SEES_ALL._replace(blind=("/a",)), ("rbd:vms@mon",))


def test_a_storages_name_is_foreign_text() -> None:
    said = line(SEES_ALL, ("rbd:\n" + "x" * 1000,))
    assert "\n" not in said
    assert len(said) < 400


def test_a_hypervisor_of_another_host_has_neither_watch_of_this_one() -> None:
    assert "no process watch and no storage watch, as" in line(None)


def test_the_occupancy_watch_may_be_off() -> None:
    assert line(SEES_ALL, occupancy=False).endswith("occupancy watch off")


def test_the_version_is_asked_for_once_for_each_connection() -> None:
    introduction = Introduction()
    assert [introduction.is_due(number) for number in (0, 0, 1, 1, 5)] == [
        True, False, True, False, True
    ]  # fmt: skip


def test_only_another_version_is_news() -> None:
    introduction = Introduction()
    versions = ("QEMU 7", "QEMU 7", "", "QEMU 7", "QEMU 8", "QEMU 7")
    assert [introduction.is_news(version) for version in versions] == [
        True, False, False, False, True, True
    ]  # fmt: skip


def test_a_hypervisor_that_does_not_tell_its_version_is_introduced_all_the_same() -> None:
    introduction = Introduction()
    assert introduction.is_news("")
    said = introduction.line(1, 1, None, (), True)
    assert "does not tell its version, 1 domain (1 running)" in said
    assert not introduction.is_news("")
    assert introduction.is_news("QEMU 7")
