"""``domstats check`` against real guests, one of them hung, and with the agents' configurations."""

import json
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from domstats.cli import agent_check

from tests.system.command_line import domstats
from tests.system.configurations import execd, libvirt_table, python_plugin, virt_plugin


def checked(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["status"] == ended.returncode
    return report


def rows(report: dict[str, Any], title: str) -> dict[str, str]:
    [found] = [section["rows"] for section in report["sections"] if section["title"] == title]
    assert isinstance(found, dict)
    return found


def test_guests_that_are_well_are_fine_and_each_group_has_a_cost(bed: Any) -> None:
    ended = domstats("check", "--connect", bed.uri, COLUMNS="80")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\nFine: nothing was found that is not as it should be.\n")
    for word in ("QEMU", "libvirt", "process watch on", "block", "dirtyrate"):
        assert word in " ".join(ended.stdout.split())


def test_a_hung_guest_is_a_finding_that_names_it(bed: Any) -> None:
    guest = bed.guests[2]
    guest.hang()
    try:
        report = checked(domstats("check", "--connect", bed.uri, "--format", "json"))
    finally:
        guest.heal()
    [finding] = report["findings"]
    assert report["status"] == 1
    assert guest.name in finding["what"]
    assert "its process is stopped" in finding["what"]
    assert rows(report, bed.uri)["groups"] == "not measured, since something hangs"


def test_no_libvirtd_is_a_finding_that_breaks_everything(tmp_path: Path) -> None:
    away = f"qemu+unix:///system?socket={tmp_path}/none"
    report = checked(domstats("check", "--connect", away, "--format", "json"))
    [finding] = report["findings"]
    assert report["status"] == 2
    assert "systemctl start libvirtd" in finding["what"]


def test_collectds_configuration_is_checked_with_the_python_that_it_embeds(
    bed: Any, tmp_path: Path
) -> None:
    path = tmp_path / "collectd.conf"
    ours = python_plugin(f'Connection "{bed.uri}"\nExtraStats "disk vcpu"')
    path.write_text(f"Interval 5\n{ours}")
    report = checked(domstats("check", "--config", str(path), "--format", "json"))
    assert report["findings"] == []
    assert "finds domstats and libvirt" in rows(report, str(path))["Python"]
    assert rows(report, bed.uri)["a round"].endswith("of an interval of 5 s")

    virt = virt_plugin(f'Connection "{bed.uri}"')
    path.write_text(virt + ours.replace("ModulePath", "#ModulePath"))
    report = checked(domstats("check", "--config", str(path), "--format", "json"))
    first, second = report["findings"]
    assert (report["status"], first["breaks"], second["breaks"]) == (2, True, False)
    assert "No module named 'domstats'" in first["what"]
    assert "collectd's plugin virt is loaded too" in second["what"]


def test_telegrafs_child_is_tried_as_the_user_that_telegraf_runs_as(
    bed: Any, tmp_path: Path
) -> None:
    child, agent = tmp_path / "domstats.toml", tmp_path / "telegraf.conf"
    child.write_text(libvirt_table(bed.uri))
    agent.write_text('[agent]\n  interval = "7s"\n' + execd(child))
    for user, status in (("root", 0), ("nobody", 2)):
        found = agent_check.of_telegraf(str(child), [str(agent)], user)
        assert found.interval == 7
        seen = dict(found.section.rows)["as its user"]
        if status:  # the bed's socket is root's, and so is the folder of the file
            [finding] = found.findings
            assert finding.breaks
            assert f"user {user} cannot sample" in finding.what
            assert "ermission" in finding.what
        else:
            assert found.findings == []
            assert int(seen.rpartition(": ")[2].split()[0]) >= len(bed.guests)


def test_as_an_ordinary_user_the_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, agent = tmp_path / "domstats.toml", tmp_path / "telegraf.conf"
    child.write_text(libvirt_table("test:///default"))
    agent.write_text(execd(child))
    child.chmod(0o600)
    monkeypatch.setattr("os.geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    [finding] = agent_check.of_telegraf(str(child), [str(agent)]).findings
    assert "other users may not look into" in finding.what
