"""``domstats check``: what it makes of a hypervisor and of the agents' configurations."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from domstats.cli import agent_check, check_command, hypervisor_check, installed, switch
from domstats.cli import main as cli
from domstats.cli.findings import Finding
from domstats.config.pages import collectd_conf, telegraf_execd, telegraf_toml
from domstats.config.settings import Settings
from domstats.model import DomainSample, Round, Sample, Stats, Status

from tests.unit.rows import each_row

URI = "test:///default"
SETTINGS = Settings(uri=URI, groups=frozenset({"state", "block"}))
INTRODUCTION = f"{URI}: domstats 0.1.0 samples QEMU 7.2.0 (libvirt 9.0.0), 2 domains"


def domain(name: str, status: Status = Status.FRESH, **more: Any) -> DomainSample:
    return DomainSample(name, name, status, {"state.state": 1}, **more)


def sample(*domains: DomainSample, **more: Any) -> Sample:
    counted = {status: sum(each.status is status for each in domains) for status in Status}
    return Sample(
        URI,
        60 * 10**9,
        domains,
        Round(
            domains=len(domains),
            fresh=counted[Status.FRESH],
            partial=counted[Status.PARTIAL],
            unresponsive=counted[Status.UNRESPONSIVE],
            **more,
        ),
    )


class Hypervisor:
    """Gives the same sample in each round, and logs some lines with the first."""

    def __init__(self, found: Sample, lines: Collection[tuple[str, str]] = ()) -> None:
        self.found = found
        self.lines = [("info", INTRODUCTION), *lines]
        self.rounds = 0
        self.asked: list[str] = []
        self.closed = False

    def __call__(self, settings: Settings, log: Callable[[str, str], None]) -> Hypervisor:
        self.log = log
        return self

    def sample(self, deadline: Optional[float] = None) -> Sample:
        self.rounds += 1
        while self.lines:
            self.log(*self.lines.pop(0))
        return self.found

    def ask(
        self,
        callback: Callable[[Sample], None],
        *,
        deadline: Optional[float] = None,
        groups: Optional[Collection[str]] = None,
    ) -> int:
        self.asked += groups or ()
        callback(sample(duration_s=0.002 * len(self.asked)))
        return 0

    def close(self) -> None:
        self.closed = True


def looked_at(hypervisor: Hypervisor, settings: Settings = SETTINGS) -> tuple[dict, list[Finding]]:
    checked = hypervisor_check.check(settings, hypervisor)
    assert hypervisor.closed
    return dict(checked.section.rows), checked.findings


# --- A hypervisor -------------------------------------------------------------------------------


def test_a_hypervisor_that_is_well_has_rows_and_no_findings() -> None:
    hypervisor = Hypervisor(sample(domain("a"), domain("b", active=False), duration_s=0.5))
    rows, findings = looked_at(hypervisor)
    assert findings == []
    assert rows == {
        "hypervisor": "QEMU 7.2.0 (libvirt 9.0.0), 2 domains",
        "rights": "a read-only connection, which is all that is needed",
        "domains": "2 (1 running): 2 answered everything",
        "a round": "0.50 s (the first 0.50), of an interval of 10 s",
        "groups": "a round for one alone, in ms: state 8.0, block 2.0",
    }
    assert hypervisor.asked == ["block"] * 3 + ["state"] * 3, "the least of three counts"


def test_one_that_cannot_be_asked_breaks_everything_and_is_asked_once() -> None:
    error = f"{URI}: cannot connect: is libvirtd running?"
    hypervisor = Hypervisor(Sample(URI, 1, (), Round(connected=False, error=error)))
    _, [finding] = looked_at(hypervisor)
    assert (finding.breaks, finding.what) == (True, "cannot connect: is libvirtd running?")
    assert (hypervisor.rounds, hypervisor.asked) == (1, [])


def test_where_something_hangs_no_more_is_asked_than_an_agent_asks() -> None:
    hung = domain("db", Status.UNRESPONSIVE, since_ns=15 * 10**9, reason="its process is stopped")
    hypervisor = Hypervisor(
        sample(hung, domain("web")),
        [("warning", f"{URI}: domain db does not answer: its process is stopped; until …")],
    )
    rows, [finding] = looked_at(hypervisor)
    assert finding.what == "db (for 45 s or longer) does not answer: its process is stopped"
    assert finding.remedy.startswith("kill -CONT PID lets it go on")
    assert rows["groups"] == "not measured, since something hangs"
    assert hypervisor.asked == []


def test_domains_with_one_reason_are_one_finding() -> None:
    busy = [domain(name, Status.PARTIAL, reason="its monitor is busy") for name in "abcde"]
    _, [finding] = looked_at(Hypervisor(sample(*busy)))
    assert finding.what == "a, b, c and 2 more lack groups: its monitor is busy"


def test_what_the_sampler_warns_of_is_a_finding_with_its_remedy() -> None:
    text = "no permission to probe storage /mnt; if it hangs, domains freeze: run as root"
    _, [finding] = looked_at(Hypervisor(sample(domain("a")), [("warning", f"{URI}: {text}")]))
    assert finding.what == "no permission to probe storage /mnt; if it hangs, domains freeze"
    assert finding.remedy == "run as root"


def test_rounds_that_fill_more_than_half_of_the_interval_are_a_finding() -> None:
    for seconds, count in ((4.9, 0), (5.1, 1)):
        _, findings = looked_at(Hypervisor(sample(domain("a"), duration_s=seconds)))
        assert len(findings) == count


def test_no_domain_at_all_is_a_finding() -> None:
    _, [finding] = looked_at(Hypervisor(sample()))
    assert finding.what == "no domain is sampled"


class HiddenProcesses:
    """A process watch that sees one of three, since /proc hides the others."""

    def look(self, uuids: Collection[str], now: float) -> None:
        assert set(uuids) == {"a", "b", "c"}

    def unseen(self, uuids: Collection[str]) -> int:
        return 2

    def is_hidden(self) -> bool:
        return True


def test_processes_that_this_user_cannot_see_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisor_check, "ProcessWatch", HiddenProcesses)
    domains = [domain(name) for name in "abc"] + [domain("d", active=False)]
    local = Settings(uri="qemu:///system", groups=SETTINGS.groups)
    _, [finding] = looked_at(Hypervisor(sample(*domains)), local)
    assert finding.what == (
        "this user sees 1 of 3 QEMU processes, as /proc hides those of other users (hidepid)"
    )


# --- Telegraf -----------------------------------------------------------------------------------


@pytest.fixture
def child(tmp_path: Path) -> Path:
    path = tmp_path / "domstats.toml"
    path.write_text(telegraf_toml())
    return path


def telegraf(child: Path, *contents: str) -> agent_check.Agent:
    for number, content in enumerate(contents):
        (child.parent / f"{number}.conf").write_text(content)
    return agent_check.of_telegraf(str(child), [f"{child.parent}/*.conf"], user="no such user")


def starting(child: Path) -> str:
    """What starts us with that file."""
    return telegraf_execd().replace("/etc/telegraf/domstats.toml", str(child))


def whats(agent: agent_check.Agent) -> list[tuple[bool, str]]:
    return [(each.breaks, each.what) for each in agent.findings]


def test_telegraf_that_starts_us_has_no_findings_and_tells_its_interval(child: Path) -> None:
    agent = telegraf(child, '[agent]\n  interval = "1m"\n', starting(child))
    assert whats(agent) == []
    assert agent.interval == 60
    assert dict(agent.section.rows)["started by"].endswith("1.conf")


def test_telegraf_that_does_not_start_us_gets_nothing(child: Path) -> None:
    agent = telegraf(child, "[agent]\n", telegraf_execd())  # with another file than this
    [(breaks, what)] = whats(agent)
    assert breaks
    assert what.startswith("no [[inputs.execd]] table starts domstats with this file, in ")


@each_row(
    ("old", "new", "breaks", "what"),
    [
        ('signal = "STDIN"', "", True, "signal is not STDIN, and the command has no --interval"),
        ('"influx"', '"json"', True, "data_format is 'json', and domstats writes influx"),
        (
            "[[inputs.execd]]",
            "[[inputs.libvirt]]\n[[inputs.execd]]",
            False,
            "Telegraf's own plugin has an active [[inputs.libvirt]] table beside domstats",
        ),
    ],
)
def test_what_is_wrong_with_how_telegraf_starts_us(
    child: Path, old: str, new: str, breaks: bool, what: str
) -> None:
    assert whats(telegraf(child, starting(child).replace(old, new))) == [(breaks, what)]


def test_two_tables_that_start_us_are_one_too_many(child: Path) -> None:
    [(breaks, what)] = whats(telegraf(child, starting(child), starting(child)))
    assert not breaks
    assert what.startswith("2 [[inputs.execd]] tables start domstats with this file: ")


def test_a_file_of_telegrafs_that_is_not_toml_is_named(child: Path) -> None:
    agent = telegraf(child, starting(child), "[[")
    assert [each.about for each in agent.findings] == [f"{child.parent}/1.conf"]


# --- collectd -----------------------------------------------------------------------------------


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the Python that collectd embeds says when it imports us, and where it looks."""
    seen = [""]

    def imports(paths: list[str]) -> tuple[str, str]:
        seen.extend(paths)
        return "/usr/bin/python3", seen[0]

    monkeypatch.setattr(installed, "collectds_python", imports)
    return seen


def collectd(folder: Path, content: str) -> agent_check.Agent:
    path = folder / "collectd.conf"
    path.write_text(content)
    return agent_check.of_collectd(str(path), [Settings()])


def test_collectd_that_finds_us_has_no_findings(tmp_path: Path, python: list[str]) -> None:
    agent = collectd(tmp_path, "Interval 30\n" + collectd_conf(["/opt/a", "/opt/b"]))
    assert (whats(agent), agent.interval) == ([], 30)
    assert python[1:] == ["/opt/b", "/opt/a"], "collectd puts each before all others"


def test_collectd_that_cannot_import_us_runs_without(tmp_path: Path, python: list[str]) -> None:
    python[0] = "ModuleNotFoundError: No module named 'libvirt'"
    [(breaks, what)] = whats(collectd(tmp_path, collectd_conf()))
    assert breaks
    assert what.endswith("/usr/bin/python3, cannot import domstats: " + python[0])


def test_virt_beside_us_is_a_finding(tmp_path: Path, python: list[str]) -> None:
    [(breaks, what)] = whats(collectd(tmp_path, "LoadPlugin virt\n" + collectd_conf()))
    assert not breaks
    assert "plugin virt is loaded too" in what


# --- The command --------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: Path) -> Path:
    """The usual places of configurations, with that of Telegraf's child."""
    monkeypatch.setattr(agent_check, "TELEGRAF_CHILD", str(child))
    monkeypatch.setattr(agent_check, "COLLECTD", (str(tmp_path / "collectd.conf"),))
    well = sample(domain("a", active=False))
    monkeypatch.setattr(hypervisor_check, "sampler", lambda *given: Hypervisor(well)(*given))
    return tmp_path


def test_the_configurations_at_their_usual_places_are_checked(
    places: Path, python: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (places / "collectd.conf").write_text(collectd_conf())
    assert cli.run(["check"]) == 1, "nothing starts Telegraf's child"
    out = capsys.readouterr().out
    assert f"\n{places}/domstats.toml\n" in out
    assert f"\n{places}/collectd.conf\n" in out
    assert out.endswith("\nIt works, with 1 finding.\n")
    assert max(map(len, out.splitlines())) <= max(80, len(str(places)) + 40)


def test_without_any_the_local_hypervisor_is_checked(
    places: Path, child: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.unlink(child)
    assert cli.run(["check"]) == 0
    assert f"{check_command.LOCAL} is checked with the defaults" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_packages_configuration_is_off_on_or_not_read(
    places: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = (str(places / "domstats.conf.available"), str(places / "domstats.conf"))
    monkeypatch.setattr(switch, "PLACES", {"telegraf": (pair,), "collectd": ()})
    monkeypatch.setattr(agent_check, "TELEGRAF", ())
    monkeypatch.setattr(agent_check, "TELEGRAF_CHILD", str(places / "none"))
    Path(pair[0]).write_text("")
    assert cli.run(["check"]) == 0, "switched off is nothing wrong"
    out = " ".join(capsys.readouterr().out.split())
    assert "telegraf switched off; to switch it on: domstats enable telegraf" in out
    Path(pair[1]).symlink_to(pair[0])
    assert cli.run(["check"]) == 2
    assert "it is switched on, and telegraf does not read it" in capsys.readouterr().out


def test_series_are_counted_and_too_many_are_a_finding(
    places: Path, child: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stats: Stats = {"state.state": 1, "state.reason": 1, "vcpu.current": 2}
    paused = DomainSample("a", "a", Status.FRESH, stats, active=False)
    monkeypatch.setattr(
        hypervisor_check, "sampler", lambda *given: Hypervisor(sample(paused))(*given)
    )
    for most, status in ((3, 0), (2, 1)):
        child.write_text(f"[[inputs.libvirt]]\n  max_series = {most}\n")
        (places / "telegraf.conf").write_text(starting(child))
        monkeypatch.setattr(agent_check, "TELEGRAF", (str(places / "telegraf.conf"),))
        assert cli.run(["check", "--config", str(child)]) == status
        out = " ".join(capsys.readouterr().out.split())
        assert "series 3, most of them libvirt_state 2 (group state)" in out
        assert ("3 series, and max_series is 2" in out) == bool(status)


def test_each_mistake_in_a_configuration_is_a_finding(
    places: Path, child: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child.write_text('[[inputs.libvirt]]\n  lanes = 0\n  domain = "x"\n')
    assert cli.run(["check", "--config", str(child)]) == 2
    out = capsys.readouterr().out
    assert "\n1. " in out
    assert "\n2. " in out
    assert "\n3. " not in out


def test_a_configuration_or_a_hypervisor_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--config", "a", "--connect", URI]) == 2
    assert "exclude each other" in capsys.readouterr().err
