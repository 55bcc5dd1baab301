"""What releases are made of fits together: versions, pins, what is needed."""

from __future__ import annotations

import configparser
import re
import runpy

import domstats

from release import bundle, sources
from tests.documents import ROOT

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def test_the_version_stands_in_one_place_and_on_top_of_the_changelog() -> None:
    assert sources.version() == domstats.__version__
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0].startswith(f"{domstats.__version__} - ")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in headings)


def test_the_bundle_is_pinned_for_each_python_by_hash() -> None:
    for python in PYTHONS:
        requirements = bundle.requirements(python, "x86_64").splitlines()
        assert all(re.fullmatch(r"\S+==\S+( --hash=sha256:\w{64})+", each) for each in requirements)
        names = [name for name, _ in bundle.pinned(python, "x86_64")]
        assert len(names) == len(set(names))
        assert {"click", "lxml", "msgspec", "rich", "textual"} <= set(names)
        assert ("tomli" in names) == (python in ("3.9", "3.10"))
        assert "libvirt-python" not in names


def test_what_is_in_the_bundle_is_what_the_tests_use() -> None:
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    for python in PYTHONS:
        for name, version in bundle.pinned(python, "x86_64"):
            assert re.search(rf"^{name}=={re.escape(version)}( ;|$)", constraints, re.MULTILINE)


def test_each_part_of_the_bundle_has_its_place_in_the_rpm_packages() -> None:
    folders = runpy.run_path(str(ROOT / "packaging" / "rpm" / "install.py"))["FOLDERS"]
    for python in PYTHONS:
        names = {name.replace("-", "_") for name, _ in bundle.pinned(python, "x86_64")}
        assert names <= set(folders)


def test_every_dependency_has_its_row_in_the_document() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    required = setup["options"]["install_requires"] + setup["options.extras_require"]["top"]
    wanted = set(re.findall(r"^\s*([\w-]+)>=([\d.]+)", required, re.MULTILINE))
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", page, re.MULTILINE)) == wanted
