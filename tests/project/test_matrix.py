"""`make matrix`: what is tested where, and what docs/systems.md says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from tests.matrix import __main__ as matrix
from tests.matrix import page
from tests.matrix.checks import CHECKS, TITLES, Check, arguments, check_of
from tests.unit.rows import each_row


def test_the_table_of_systems_is_made_of_the_recorded_results() -> None:
    text = page.PAGE.read_text("utf-8")
    assert page.page(page.stored(), text) == text


def test_what_is_recorded_has_passed() -> None:
    results = page.stored()
    assert results.keys() <= TITLES.keys()
    titles = {check.title for check in CHECKS}
    for suite, found in results.items():
        for title, counts in found["checks"].items():
            assert title in titles
            assert set(counts) == {"passed"}, (suite, title)


@each_row("check", CHECKS)
def test_a_check_names_tests_that_there_are_and_their_results_find_it(check: Check) -> None:
    place = page.CHECKOUT / check.place
    text = place.read_text("utf-8") if place.is_file() else ""
    assert place.exists()
    assert all(f"def {name}(" in text for name in check.names)
    assert {word.partition("::")[0] for word in arguments(check)} == {check.place}
    assert check_of(check.place.removesuffix(".py").replace("/", ".")) is check


@each_row(
    ("status", "said", "reason"),
    [
        (0, "root: making a Debian sid", ""),
        (77, "root: not root", "root: not root"),
        (100, "E: Some index files", "no packages can be had: E: Some index files"),
        (1, "", "no packages can be had: no reason told"),
    ],
)
def test_a_debian_can_be_tested_if_it_is_there_and_so_are_its_packages(
    status: int, said: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.write_text(f"#!/bin/sh\n[ $# -gt 1 ] || exit 1\necho '{said}' >&2; exit {status}\n")
    root.chmod(0o755)
    monkeypatch.setattr(matrix, "ROOT", root)
    assert matrix.Debian("sid").make() == reason


@pytest.mark.parametrize(("ci", "status"), [(None, 0), ("true", 1)])
def test_where_there_can_be_no_debian_that_is_said_and_in_ci_it_fails(
    ci: Optional[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(matrix.Debian, "make", lambda debian: "not root")
    monkeypatch.setattr("sys.argv", ["matrix", "sid"])
    monkeypatch.setenv("CI", ci or "")
    assert matrix.main() == status
    assert "NOT TESTED: sid: not root" in capsys.readouterr().out
