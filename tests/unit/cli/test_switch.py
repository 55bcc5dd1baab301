"""``domstats enable`` and ``disable``: a package's configuration, read by the agent or not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Callable

import pytest
from domstats.cli import main as cli
from domstats.cli import switch

AVAILABLE, READ = "domstats.conf.available", "domstats.conf"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where collectd's package of domstats has its configuration."""
    nowhere = ("/nowhere/domstats.conf.available", "/nowhere/domstats.conf")
    here = (str(tmp_path / AVAILABLE), str(tmp_path / READ))
    monkeypatch.setattr(switch, "PLACES", {"collectd": (nowhere, here), "telegraf": (nowhere,)})
    monkeypatch.setattr(switch, "SYSTEMD", str(tmp_path / "no systemd"))
    (tmp_path / AVAILABLE).write_text("Import\n")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        status = cli.run(words)
        return status, "".join(capsys.readouterr())

    return run


def test_on_and_off_are_a_link_and_can_be_said_twice(folder: Path, run: Run) -> None:
    read = folder / READ
    for _ in range(2):
        for words, is_on in (("enable", True), ("enable", True), ("disable", False)):
            status, said = run(words, "collectd")
            assert status == 0
            assert said.startswith("collectd: domstats "), said
            assert said.endswith("restart collectd, which reads its configuration when it starts\n")
            assert os.path.lexists(read) == is_on
            assert not is_on or (os.readlink(read), read.read_text()) == (
                AVAILABLE,
                "Import\n",
            )
    assert (folder / AVAILABLE).exists()


def test_where_an_agent_reads_whatever_is_in_its_folder_the_link_leads_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    available, read = tmp_path / "domstats" / "collectd.conf", tmp_path / "collectd.d" / READ
    for each in (available, read):
        each.parent.mkdir()
    available.write_text("Import\n")
    monkeypatch.setattr(switch, "PLACES", {"collectd": ((str(available), str(read)),)})
    monkeypatch.setattr(switch, "SYSTEMD", str(tmp_path / "no systemd"))
    assert run("enable", "collectd")[0] == 0
    assert (os.readlink(read), read.read_text()) == (str(available), "Import\n")
    assert run("disable", "collectd")[0] == 0
    assert not os.path.lexists(read)


def test_a_file_that_is_not_the_packages_is_left_alone(folder: Path, run: Run) -> None:
    (folder / READ).write_text("somebody's own\n")
    for word in ("enable", "disable"):
        status, said = run(word, "collectd")
        assert status == 2
        assert "is not the package's" in said
    assert (folder / READ).read_text() == "somebody's own\n"


def test_without_the_package_it_is_said_what_to_install(folder: Path, run: Run) -> None:
    status, said = run("enable", "telegraf")
    assert status == 2
    assert "install the package telegraf-domstats, or, without packages" in said


class Systemd:
    """Of which an agent is a service."""

    def __init__(self, active: bool, restarts: bool = True) -> None:
        self.asked: list[str] = []
        self._answers = {"is-active": active, "restart": restarts}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        self.asked.append(" ".join(words))
        status = 0 if self._answers[words[0]] else 1
        return subprocess.CompletedProcess(words, status, "", "Job failed.\nSee")


@pytest.mark.parametrize(
    ("systemd", "words", "status", "said", "asked"),
    [
        (Systemd(True), [], 0, "collectd has been restarted", 2),
        (Systemd(False), [], 0, "collectd does not run; to start it: systemctl start collectd", 1),
        (Systemd(True, False), [], 1, "collectd could not be restarted (Job failed. See); see:", 2),
        (Systemd(True), ["--no-restart"], 0, "is switched on", 0),
    ],
)
def test_an_agent_that_runs_is_restarted(
    folder: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    systemd: Systemd,
    words: list[str],
    status: int,
    said: str,
    asked: int,
) -> None:
    monkeypatch.setattr(switch, "SYSTEMD", str(folder))
    monkeypatch.setattr(switch, "_systemctl", systemd)
    found, text = run("enable", "collectd", *words)
    assert found == status
    assert said in text
    assert (
        systemd.asked == ["is-active --quiet collectd.service", "restart collectd.service"][:asked]
    )
