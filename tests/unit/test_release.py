"""What releases are made of fits together: versions, pins, what is audited."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import domstats
import pytest

from release import audit, bundle, sources
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


VULNERABLE = {
    "name": "rich",
    "version": "12.0.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["12.0.1"], "aliases": [], "description": ""}],
}
WELL = {"name": "click", "version": "8.1.0", "vulns": []}
UNKNOWN = {"name": "lxml", "skip_reason": "lxml (6.0) was not found"}


@pytest.mark.parametrize(
    ("answer", "said", "strict"),
    [
        ([WELL], "audit: 1 parts of the bundle looked up, 0 known vulnerabilities", 0),
        ([VULNERABLE], "audit: KNOWN VULNERABILITY in rich 12.0.0: PYSEC-1, mended in 12.0.1", 1),
        ([WELL, UNKNOWN], "audit: NOT LOOKED UP: 1 of 2 parts, such as: lxml (6.0) was not", 1),
        (None, "audit: pip-audit did not answer", 1),
    ],
)
def test_only_a_release_fails_for_what_others_have_found_or_cannot_be_looked_up(
    answer: object, said: str, strict: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit = tmp_path / "pip-audit"
    text = "no network" if answer is None else json.dumps({"dependencies": answer, "fixes": []})
    pip_audit.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit 1\n")
    pip_audit.chmod(0o755)
    assert audit.main(str(pip_audit), strict=False) == 0
    assert said in capsys.readouterr().out
    assert audit.main(str(pip_audit), strict=True) == strict
