"""What the Debian packages are made of, before anything is built."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.rows import each_row

PACKAGING = Path(__file__).resolve().parents[2] / "packaging/debian"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PACKAGING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


BUILD, ASSEMBLE = module("build"), module("assemble")
SUITES = BUILD.SUITES


def test_versions_sort_as_the_releases_do_and_before_the_plain_one() -> None:
    """By dpkg, ~ is less than anything, and letters sort as letters here."""
    marks = [suite.mark for suite in SUITES.values()]
    assert marks == sorted(marks)
    assert all(re.fullmatch(r"~[a-z]+[0-9u]+", mark) for mark in marks)


def test_what_is_carried_along_is_pinned_and_all_that_is_pinned_is_carried() -> None:
    carried = {
        name for suite in SUITES.values() for name in (*suite.library, *suite.commands, *suite.top)
    }
    assert carried == {name for name, _ in BUILD.pinned()}


@each_row("name", SUITES)
def test_each_library_is_either_depended_on_or_carried_along(name: str) -> None:
    suite = SUITES[name]
    control = BUILD.filled_in((PACKAGING / "control.in").read_text("utf-8"), suite)
    assert "@" not in control.replace(BUILD.MAINTAINER, "")
    packages = dict(re.findall(r"^Package: (\S+)\n(.*?)(?=^Package|\Z)", control, re.M | re.S))
    for library, carried, package in (
        ("msgspec", suite.library, "domstats"),
        ("click", suite.commands, "domstats"),
        ("rich", suite.commands, "domstats"),
        ("textual", suite.top, "domstats-top"),
    ):
        assert (library in carried) != (f" python3-{library} " in packages[package]), library
    assert ("Architecture: any" in packages["domstats"]) == bool(suite.library)


@each_row(
    ["line", "renamed"],
    [
        ("import msgspec", "from domstats._bundled import msgspec"),
        (
            "    import tomli  # type: ignore",
            "    from domstats._bundled import tomli  # type: ignore",
        ),
        ("from msgspec import UNSET", "from domstats._bundled.msgspec import UNSET"),
        ("# as msgspec does", "# as msgspec does"),
        ("from .msgspec_like import x", "from .msgspec_like import x"),
    ],
)
def test_imports_of_what_is_carried_along_are_renamed(
    tmp_path: Path, line: str, renamed: str
) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"{line}\n")
    ASSEMBLE.renamed(path)
    assert path.read_text() == f"{renamed}\n"


def test_an_import_that_cannot_be_renamed_ends_the_build(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("import msgspec.toml\n")
    with pytest.raises(SystemExit, match="cannot be renamed"):
        ASSEMBLE.renamed(path)


def test_every_import_of_ours_can_be_renamed() -> None:
    package = PACKAGING.parents[1] / "plugin/domstats"
    wrong = re.compile(r"^ *(import (msgspec|tomli)(?! *(#.*)?$)|import .*, *msgspec)", re.M)
    assert [path for path in package.rglob("*.py") if wrong.search(path.read_text("utf-8"))] == []
