"""docs/migrating.md followed to the letter, with real agents and guests: each command is run, each
configuration is used.

The paths of the page are put into a folder of the test's, and its libvirtd is the bed's.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.agents.collectd_agent import CONFIGURATION, TYPES
from tests.system.agents.lines import Point
from tests.system.command_line import typed
from tests.system.configurations import DOMSTATS, ROOT, python_plugin
from tests.system.waiting import wait_for

PAGE = (ROOT / "docs" / "migrating.md").read_text("utf-8")


def blocks(heading: str, kind: str) -> list[str]:
    """The blocks of a section: of ``collectd``, of ``toml``, or commands, whose kind is empty."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", section[1], re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for of, text in found if of == kind]


class Place:
    """Where the page's paths lie, and what a command there prints."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self._uri = folder, uri
        for path in ("etc/telegraf/telegraf.d", "etc/collectd/collectd.conf.d", "opt/domstats"):
            (folder / path).mkdir(parents=True)

    def here(self, text: str) -> str:
        """A text of the page with this place's command, paths and hypervisor in it."""
        words = ", ".join(f'"{word}"' for word in DOMSTATS)
        text = text.replace('"/opt/domstats/bin/domstats"', words)
        text = text.replace("/opt/domstats/bin/domstats", shlex.join(DOMSTATS))
        text = re.sub(r"(?<![\w.])/(etc|opt)/", rf"{self.folder}/\1/", text)
        return text.replace("qemu:///system", self._uri)

    def run(self, command: str) -> str:
        path = "/usr/sbin:/usr/bin:/bin"
        return typed(self.here(command), {"PATH": path, "PYTHONPATH": str(ROOT / "plugin")})

    def file(self, path: str) -> Path:
        return self.folder / path

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest.fixture
def place(bed: Any, tmp_path: Path) -> Place:
    return Place(tmp_path / "place", bed.uri)


def collectd_conf(place: Place, plugins: str) -> str:
    folder = place.file("collectd")
    folder.mkdir(exist_ok=True)
    return CONFIGURATION.format(folder=folder, types=TYPES, interval=1, plugins=plugins)


def test_each_configuration_for_collectd_works_and_gives_the_same_series(
    bed: Any, place: Place, start: Callable[..., Any]
) -> None:
    commands = [line for each in blocks("From collectd's virt", "") for line in each.splitlines()]
    before, after = blocks("From collectd's virt", "collectd")
    write, *look = commands
    place.run(write)
    printed = place.file("etc/collectd/collectd.conf.d/domstats.conf")
    assert "<Module" in printed.read_text()
    printed.write_text(python_plugin().replace("</Plugin>", place.here(after) + "</Plugin>"))
    whole = collectd_conf(place, f'Include "{printed.parent}/*.conf"')
    place.file("etc/collectd/collectd.conf").write_text(whole)
    for command in look:
        assert "Traceback" not in place.run(command)

    theirs = start(Collectd, place.here(before), 0.5, name="theirs")
    ours = start(Collectd, printed.read_text(), 0.5, name="ours")
    for each in (theirs, ours):
        wait_for("four rounds", partial(each.has_rounds, 4))
    of_virts = {name for name in ours.series() if name.split("/")[1] == "virt"}
    assert of_virts == set(theirs.series())
    assert {name.split("/")[1] for name in ours.series()} == {"virt", "domstats"}


def test_side_by_side_in_collectd_each_has_series_of_its_own(
    bed: Any, place: Place, start: Callable[..., Any]
) -> None:
    [block] = blocks("Both side by side", "collectd")
    virt = f'LoadPlugin virt\n<Plugin virt>\nConnection "{bed.uri}"\n</Plugin>\n'
    ours = python_plugin().replace("</Plugin>", place.here(block) + "</Plugin>")
    collectd = start(Collectd, virt + ours, 0.5)
    for name in re.findall(r"`(web-1/\S+)`", PAGE):
        wait_for(name, partial(has_series, collectd, name))


def has_series(collectd: Collectd, name: str) -> bool:
    return name in collectd.series()


def points_of(telegraf: Telegraf, **tags: str) -> list[Point]:
    return [point for point in telegraf.points() if tags.items() <= point.tags.items()]


def test_each_configuration_for_telegraf_works_and_gives_the_same_series(
    bed: Any, place: Place, start: Callable[..., Any]
) -> None:
    write, look = blocks("From Telegraf's inputs.libvirt", "")
    before, table, child = map(place.here, blocks("From Telegraf's inputs.libvirt", "toml"))
    for command in write.splitlines():
        place.run(command)
    assert "[[inputs.libvirt]]" in place.file("etc/telegraf/domstats.toml").read_text()
    assert "[[inputs.execd]]" in place.file("etc/telegraf/telegraf.d/domstats.conf").read_text()
    place.file("etc/telegraf/domstats.toml").write_text(table)
    assert "web-1" in place.run(look)

    [beside] = map(place.here, blocks("Both side by side", "toml"))
    theirs = start(Telegraf, before, name="theirs")
    ours = start(Telegraf, child + beside, name="ours")

    def series(points: list[Point]) -> set[Any]:
        return {
            (point.measurement, *sorted(point.tags.items()), name, field.kind)
            for point in points
            for name, field in point.fields.items()
        }

    expected = wait_for("points of theirs", lambda: series(points_of(theirs, cluster="north")))
    wait_for("the same of ours", lambda: series(points_of(ours, cluster="north")) == expected)
    assert wait_for("points beside", lambda: points_of(ours, source="domstats"))
    assert "E! " not in ours.log + theirs.log


def test_the_way_back_leaves_no_file(place: Place) -> None:
    before = place.files() - {"opt/domstats"}
    for heading in ("From collectd's virt", "From Telegraf's inputs.libvirt"):
        for line in "".join(blocks(heading, "")).splitlines():
            if " > " in line:
                place.run(line)
    assert place.files() > before
    [back] = blocks("Back", "")
    place.run(back)
    assert place.files() == before


def test_each_block_of_the_page_is_in_one_of_these_tests() -> None:
    used = {
        ("From collectd's virt", ""): 2,
        ("From collectd's virt", "collectd"): 2,
        ("From Telegraf's inputs.libvirt", ""): 2,
        ("From Telegraf's inputs.libvirt", "toml"): 3,
        ("Both side by side", "collectd"): 1,
        ("Both side by side", "toml"): 1,
        ("Back", ""): 1,
    }
    assert {each: len(blocks(*each)) for each in used} == used
    assert PAGE.count("```") == 2 * sum(used.values())
