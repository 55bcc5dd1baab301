"""The command line: what it prints, and how it says that something is wrong."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable

import domstats
import msgspec.toml
import pytest
from domstats.agents import telegraf_child, telegraf_execd
from domstats.agents.telegraf_execd import writer
from domstats.cli import commands, installed, sample_command, table
from domstats.cli import main as cli
from domstats.config.collectd_conf import parse
from domstats.config.pages import collectd_conf, telegraf_toml
from domstats.config.pages import telegraf_execd as execd_conf
from domstats.config.settings import Settings
from domstats.config.telegraf import read_telegraf
from domstats.model import DomainSample, Round, Sample, Status
from rich.console import Console

from tests.unit.fake_sampler import FakeSampler
from tests.unit.rows import each_row

PLUGIN = Path(__file__).resolve().parents[3] / "plugin"
UUID = "11111111-2222-4333-8444-555555555555"
NO_DAEMON = "cannot connect: is libvirtd (or virtqemud) running? systemctl start libvirtd"


class Answering(FakeSampler):
    """A hypervisor that answers, or does not."""

    answers: Callable[[Settings, int], Sample]

    def samples(self, number: int) -> Sample:
        self.log("info", "a round")
        return type(self).answers(self.settings, number)


def fine(settings: Settings, number: int) -> Sample:
    domain = DomainSample(
        UUID, f"of {settings.uri}", Status.PARTIAL, {"cpu.time": number, "state.state": 2**64 - 1},
        missing=frozenset({"block", "balloon"}),
    )  # fmt: skip
    return Sample(settings.uri, 10**18 + number, (domain,), Round(domains=1, partial=1))


def down(settings: Settings, number: int) -> Sample:
    error = f"{settings.uri}: {NO_DAEMON}"
    return Sample(settings.uri, number, (), Round(connected=False, error=error))


@pytest.fixture(autouse=True)
def hypervisors(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    class Sampler(Answering):
        answers = staticmethod(fine)

    monkeypatch.setattr(sample_command, "sampler", Sampler)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return Sampler


Capture = pytest.CaptureFixture[str]


def errors(capsys: Capture) -> list[str]:
    return capsys.readouterr().err.splitlines()


# --- domstats sample ----------------------------------------------------------------------------


def test_influx_output_is_byte_for_byte_what_telegraf_would_get(capsysbinary: Any) -> None:
    arguments = ["sample", "--connect", "test:///default", "--format", "influx", "--rounds", "3"]
    assert cli.run(arguments) == 0
    settings = Settings(uri="test:///default")
    lines = writer(settings)
    expected = b"".join(lines.encode(fine(settings, number)) for number in (1, 2, 3))
    assert capsysbinary.readouterr() == (expected, b"")


def test_json_has_an_object_for_each_round_and_hypervisor(capsys: Capture) -> None:
    uris = ("test:///default", "qemu:///system")
    arguments = ["sample", "--format", "json", "--rounds", "2"]
    assert cli.run(arguments + [part for uri in uris for part in ("--connect", uri)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["uri"] for each in found] == [*uris, *uris]
    assert found[0]["domains"][0]["stats"]["state.state"] == 2**64 - 1
    assert found[0]["domains"][0]["missing"] == ["balloon", "block"]
    assert found[0]["round"]["partial"] == 1


def test_the_table_shows_every_hypervisor(capsys: Capture) -> None:
    assert cli.run(["sample", "--connect", "a:///x", "--connect", "b:///x"]) == 0
    out = capsys.readouterr().out
    assert "of a:///x" in out
    assert "of b:///x" in out


def test_without_connect_it_is_the_local_hypervisor(capsys: Capture) -> None:
    assert cli.run(["sample"]) == 0
    out, err = capsys.readouterr()
    assert "of qemu:///system" in out
    assert err == ""


NOT_REAL = (
    "domstats: these are not real guests, but those of libvirt's built-in test driver: no"
    " hypervisor was named, and the local one cannot be asked"
    f" (qemu:///system: {NO_DAEMON}); name another one with --connect URI"
)


def only_the_test_driver(settings: Settings, number: int) -> Sample:
    return (down if settings.uri.startswith("qemu") else fine)(settings, number)


@each_row(("terminal", "status"), [(True, 0), (False, 1)])
@each_row("format_", ["table", "influx", "json"])
def test_without_a_local_hypervisor_the_test_driver_is_shown_and_no_script_takes_it_for_real(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    hypervisors: type[Answering],
    terminal: bool,
    status: int,
    format_: str,
) -> None:
    hypervisors.answers = staticmethod(only_the_test_driver)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert cli.run(["sample", "--format", format_]) == status
    out, err = capsys.readouterr()
    assert "test:///default" in out
    assert err.splitlines() == [NOT_REAL]


def test_that_guests_are_not_real_is_said_at_the_end_of_many_rounds_too(
    capsys: Capture, hypervisors: type[Answering], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    hypervisors.answers = staticmethod(only_the_test_driver)
    monkeypatch.setattr(time, "sleep", interrupted)
    assert cli.run(["sample", "--rounds", "0"]) == 130
    assert errors(capsys) == [NOT_REAL, NOT_REAL], "when it begins, and as the last line"


def test_a_hypervisor_that_was_named_is_not_replaced(
    capsys: Capture, hypervisors: type[Answering]
) -> None:
    hypervisors.answers = staticmethod(down)
    assert cli.run(["sample", "--connect", "qemu:///system", "--rounds", "3"]) == 1
    assert errors(capsys) == [f"domstats: qemu:///system: {NO_DAEMON}"]


def test_one_hypervisor_that_answers_is_success(
    capsys: Capture, hypervisors: type[Answering]
) -> None:
    hypervisors.answers = staticmethod(
        lambda settings, number: (down if settings.uri == "a:///x" else fine)(settings, number)
    )
    assert cli.run(["sample", "--connect", "a:///x", "--connect", "b:///x"]) == 0
    out, err = capsys.readouterr()
    assert "of b:///x" in out
    assert err.count("\n") == 1


def test_trouble_is_told_when_it_begins_and_not_in_every_round(
    capsys: Capture, hypervisors: type[Answering]
) -> None:
    hypervisors.answers = staticmethod(
        lambda settings, number: (fine if number in (1, 4) else down)(settings, number)
    )
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "6"]) == 0
    assert len(errors(capsys)) == 2


def test_a_round_that_fails_unexpectedly_is_told_in_one_line(
    capsys: Capture, hypervisors: type[Answering]
) -> None:
    def broken(settings: Settings, number: int) -> Sample:
        raise KeyError("x")

    hypervisors.answers = staticmethod(broken)
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "2"]) == 1
    (text,) = errors(capsys)
    assert text.startswith("domstats: a:///x: a round failed: unexpected KeyError at test_")


def test_verbose_tells_versions_what_is_asked_how_long_it_took_and_what_the_sampler_logs(
    capsys: Capture,
) -> None:
    assert cli.run(["sample", "--connect", "a:///x", "-v", "--deadline", "3"]) == 0
    version, asked, log, round_ = errors(capsys)
    assert version.startswith(f"domstats: domstats {domstats.__version__}, Python 3.")
    assert asked.startswith("domstats: a:///x: asks for balloon, block, ")
    assert "a deadline of 3 s" in asked
    assert asked.endswith("watches: process, storage, occupancy")
    assert log == "domstats: info: a round"
    assert round_.startswith("domstats: a:///x: round 1 took 0.000 s; domains: 0 fresh, 1 partial,")


# --- domstats sample: redrawn in place ------------------------------------------------------------

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    """A terminal of 80 columns and 24 lines, as whose user we act at each pause."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Callable[[], None]] = []

    def isatty(self) -> bool:
        return True

    def pause(self, seconds: float) -> None:
        self.acts.pop(0)()

    def frames(self) -> list[str]:
        """What stood on the other screen, one after the other."""
        drawn = self.getvalue().partition(ENTER)[2].partition(LEAVE)[0]
        return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame) for frame in drawn.split("\x1b[H")[1:]]

    def behind(self) -> str:
        """What is left when it is over."""
        return self.getvalue().partition(LEAVE)[2]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Terminal:
    it = Terminal()
    environment = {"TERM": "xterm", "NO_COLOR": "1"}

    def console_of(file: object) -> Console:
        return Console(
            file=it, width=80, height=24, force_terminal=True, markup=False, highlight=False,
            emoji=False, _environ=environment,
        )  # fmt: skip

    monkeypatch.setattr(table, "console_of", console_of)
    monkeypatch.setattr(time, "sleep", it.pause)
    monkeypatch.setattr(sample_command, "_stderr_is_terminal", lambda: True)
    return it


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("the signal comes first")


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def nothing() -> None:
    pass


@pytest.mark.parametrize("ending", [interrupt, end])
def test_without_end_the_table_is_redrawn_in_place_and_the_last_one_stays(
    terminal: Terminal, ending: Callable[[], None], capsys: Capture
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGWINCH)]
    terminal.acts = [nothing, nothing, ending]
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "0"]) == 130
    frames = terminal.frames()
    assert len(frames) >= 3
    assert all(frame.count("of a:///x") == 1 for frame in frames[-3:])
    assert all("Ctrl-C ends this" in frame for frame in frames[-3:])
    assert terminal.behind().count("of a:///x") == 1
    assert terminal.getvalue().rindex(HIDE) < terminal.getvalue().rindex(SHOW)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGWINCH)] == handlers
    assert errors(capsys) == []


def test_a_terminal_that_changes_its_size_is_redrawn_at_once(terminal: Terminal) -> None:
    before: list[int] = []

    def resize() -> None:
        before.append(len(terminal.frames()))
        os.kill(os.getpid(), signal.SIGWINCH)
        before.append(len(terminal.frames()))

    terminal.acts = [resize, interrupt]
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "0"]) == 130
    assert before[1] == before[0] + 1


def test_what_is_said_meanwhile_stands_below_the_table_and_on_stderr_in_the_end(
    terminal: Terminal, capsys: Capture
) -> None:
    terminal.acts = [nothing, interrupt]
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "0", "-v"]) == 130
    assert "info: a round" in terminal.frames()[-1]
    assert errors(capsys)[-1] == "domstats: info: a round"


def test_a_hypervisor_that_is_away_is_told_on_the_screen(
    terminal: Terminal, hypervisors: type[Answering], capsys: Capture
) -> None:
    hypervisors.answers = staticmethod(down)
    terminal.acts = [interrupt]
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "0"]) == 130
    assert "is libvirtd (or virtqemud) running?" in terminal.frames()[-1]


# --- domstats sample: what is chosen --------------------------------------------------------------


@pytest.fixture
def asked(hypervisors: type[Answering]) -> list[Settings]:
    """The settings of the hypervisors that were asked."""
    seen: list[Settings] = []

    def answer(settings: Settings, number: int) -> Sample:
        seen.append(settings)
        return fine(settings, number)

    hypervisors.answers = staticmethod(answer)
    return seen


TOML = """[[inputs.libvirt]]
libvirt_uri = "a:///x"
statistics_groups = ["state", "block"]
domains = ["web-1", "db"]
every = { block = "1m" }
deadline = 4
[[inputs.libvirt]]
libvirt_uri = "b:///x"
"""

COLLECTD = """LoadPlugin python
<Plugin python>
  Import "domstats.collectd_plugin"
  <Module "domstats.collectd_plugin">
    Connection "a:///x"
    Domain "web-1"
    Domain "/^db/"
  </Module>
  <Module "domstats.collectd_plugin">
    Connection "b:///x"
    ReportBlockDevices false
  </Module>
</Plugin>
"""


@pytest.mark.parametrize("text", [TOML, COLLECTD])
def test_config_samples_what_an_agent_would(
    tmp_path: Path, asked: list[Settings], capsys: Capture, text: str
) -> None:
    path = tmp_path / "configuration"
    path.write_text(text)
    assert cli.run(["sample", "--config", str(path)]) == 0
    first, second = sorted(asked, key=lambda settings: settings.uri)
    assert (first.uri, second.uri) == ("a:///x", "b:///x")
    assert first.selection.wants_domain("web-1")
    assert not first.selection.wants_domain("other")
    assert second.selection.wants_domain("other")
    assert "block" in first.groups
    assert errors(capsys) == []


def test_config_with_influx_prints_the_lines_of_telegrafs_child(
    tmp_path: Path, capsysbinary: Any
) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text(TOML.replace("deadline", 'series = "telegraf"\ndeadline'))
    assert cli.run(["sample", "--config", str(path), "--format", "influx"]) == 0
    parsed = read_telegraf(str(path)).settings
    expected = b"".join(writer(each).encode(fine(each, 1)) for each in parsed)
    assert capsysbinary.readouterr().out == expected


def test_options_narrow_what_a_configuration_says(tmp_path: Path, asked: list[Settings]) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text(TOML)
    arguments = ["--domain", "/^web/", "--domain", UUID, "--group", "vcpu", "--deadline", "500ms"]
    assert cli.run(["sample", "--config", str(path), *arguments]) == 0
    settings = min(asked, key=lambda each: each.uri)
    assert (settings.groups, settings.every, settings.deadline) == ({"vcpu"}, {}, 0.5)
    wants = settings.selection.wants_domain
    assert [wants("web-1", "x"), wants("web-2", "x"), wants("db", "x"), wants("db", UUID)] == [
        True, False, False, True,
    ]  # fmt: skip


def test_the_deadline_is_that_of_the_configuration_or_follows_from_rounds_and_interval(
    tmp_path: Path, asked: list[Settings]
) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text(TOML)
    for arguments in (
        ["--config", str(path)],
        ["--connect", "c:///x"],
        ["--connect", "d:///x", "--rounds", "2", "--interval", "10"],
        ["--connect", "e:///x", "--rounds", "2", "--interval", "1"],
    ):
        assert cli.run(["sample", *arguments]) == 0
    deadlines = {settings.uri[0]: settings.deadline for settings in asked}
    assert deadlines == {"a": 4.0, "b": None, "c": None, "d": 9.0, "e": 2.0}


def test_a_domain_that_nobody_has_is_told_with_status_1(capsys: Capture) -> None:
    arguments = ["sample", "--connect", "a:///x", "--domain", "absent", "--rounds", "2"]
    assert cli.run(arguments) == 1
    (text,) = errors(capsys)
    assert text.startswith("domstats: --domain: no domain matches absent; ")


def test_one_domain_that_is_there_is_success_and_the_others_are_told(capsys: Capture) -> None:
    arguments = ["sample", "--connect", "a:///x", "--domain", "absent", "--domain", UUID.upper()]
    assert cli.run(arguments) == 0
    (text,) = errors(capsys)
    assert "absent" in text
    assert UUID not in text.lower()


def test_every_mistake_of_a_configuration_is_told_and_nothing_is_sampled(
    tmp_path: Path, asked: list[Settings], capsys: Capture
) -> None:
    path = tmp_path / "collectd.conf"
    path.write_text(COLLECTD.replace("Domain", "Domian", 1).replace("false", "maybe"))
    assert cli.run(["sample", "--config", str(path)]) == 2
    first, second = errors(capsys)
    assert first.startswith(f"domstats: {path}:4, ")
    assert "Domian" in first
    assert "ReportBlockDevices" in second
    assert asked == []


def test_rounds_can_go_on_until_somebody_interrupts_them_quietly(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    arguments = ["sample", "--connect", "a:///x", "--rounds", "0", "--interval", "1m30s"]
    assert cli.run(arguments) == 130
    assert all(80 < pause <= 90 for pause in pauses)
    assert errors(capsys) == []


# --- Usage --------------------------------------------------------------------------------------


@each_row(
    ("arguments", "words"),
    [
        (["sampel"], "No such command 'sampel'"),
        (["sample", "--conect", "x"], "No such option"),
        (["sample", "--connect", "nonsense"], "--connect: found 'nonsense', allowed is"),
        (["sample", "--connect", "qemu+ssh://a:hunter2@h/system"], "with a password"),
        (["sample", "--format", "xml"], "'xml' is not one of"),
        (["sample", "--rounds", "-1"], "--rounds"),
        (["sample", "--interval", "soon"], "found 'soon', allowed is 0.1 to 86400 seconds"),
        (["telegraf"], "Missing option '--config'"),
        (["telegraf", "--config", "x", "--interval", "0"], "0.1 to 86400"),
        (["sample", "--connect", "a:///x", "--config", "x"], "exclude each other"),
        (["sample", "--config", "/nonexistent"], "/nonexistent: cannot be read"),
        (["metrics", "--agent", "collectd", "--config", "x"], "--agent and --config exclude"),
        (["metrics", "--format", "json"], "--format is for --config"),
        (["sample", "--domain", "/(/"], "--domain: found '/(/', allowed is one as"),
        (["sample", "--group", "blok"], "'blok' is not one of 'state', 'cpu_total'"),
        (["sample", "--deadline", "0"], "0.1 to 86400"),
        (["config"], "Missing argument"),
        (["config", "nagios"], "'nagios' is not one of"),
        (["config", "collectd", "--execd"], "--execd is for telegraf"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], words: str, capsys: Capture
) -> None:
    assert cli.run(arguments) == 2
    (text,) = errors(capsys)
    assert text.startswith("domstats: ")
    assert words in text
    assert "hunter2" not in text


@each_row("arguments", [[], ["--help"], ["sample", "--help"], ["--version"]])
def test_help_is_no_error(arguments: list[str], capsys: Capture) -> None:
    assert cli.run(arguments) == 0
    assert capsys.readouterr().err == ""


@each_row("command", [[], ["sample"], ["config"], ["metrics"], ["telegraf"]])
def test_help_fits_80_columns(command: list[str], capsys: Capture) -> None:
    assert cli.run([*command, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_closed_pipe_is_quiet(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(content: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sample_command, "write", closed)
    assert cli.run(["sample", "--connect", "a:///x", "--format", "json"]) == 0
    assert errors(capsys) == []


def test_a_full_disk_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commands, "write", full)
    assert cli.run(["config", "telegraf"]) == 1
    assert errors(capsys) == ["domstats: cannot write: No space left on device"]


# --- domstats config, domstats metrics ----------------------------------------------------------


def test_config_prints_the_ready_file(capsys: Capture) -> None:
    assert cli.run(["config", "telegraf"]) == 0
    assert capsys.readouterr().out == telegraf_toml()


@each_row("agent", [["telegraf", "--execd"], ["collectd"]])
def test_config_prints_the_ready_file_with_the_paths_of_what_prints_it(
    agent: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that lies ready is the same but for these lines."""
    odd = '/opt/a "b"\\c'
    telegraf = installed.ForTelegraf((odd, "-m", "domstats"), ("/lib/x", odd), "closed")
    collectd = installed.ForCollectd(("/lib/x", odd), "closed")
    monkeypatch.setattr(installed, "for_telegraf", lambda: telegraf)
    monkeypatch.setattr(installed, "for_collectd", lambda: collectd)
    generic = (execd_conf if "--execd" in agent else collectd_conf)()

    assert cli.run(["config", *agent]) == 0

    printed, said = capsys.readouterr()
    assert said == "domstats: closed\n"
    if "--execd" in agent:
        execd = toml(printed)["inputs"]["execd"][0]
        assert execd.pop("command")[:3] == [odd, "-m", "domstats"]
        assert execd.pop("environment") == [f"PYTHONPATH=/lib/x:{odd}"]
        expected = toml(generic)["inputs"]["execd"][0]
        assert expected.pop("command")[0] == "domstats"
        assert execd == expected
    else:
        (python,) = (node for node in parse(printed.encode(), "x") if node.key == "Plugin")
        assert [node.text for node in python.named("ModulePath")] == ["/lib/x", odd]
        without = [line for line in printed.splitlines() if not line.startswith("  ModulePath")]
        assert without == [line for line in generic.splitlines() if "#ModulePath" not in line]


def toml(text: str) -> Any:
    return msgspec.toml.decode(text.encode())


def test_metrics_are_a_table_of_either_agents_or_both(capsys: Capture) -> None:
    assert cli.run(["metrics"]) == 0
    both = capsys.readouterr().out
    assert "libvirt_cpu time" in both
    assert "virt/disk_octets-{device}" in both
    assert cli.run(["metrics", "--agent", "collectd"]) == 0
    assert "libvirt_cpu" not in capsys.readouterr().out


def many(settings: Settings, number: int) -> Sample:
    """Domains of which each has one disk more than the one before."""
    domains = []
    for disks in range(30):
        stats: dict[str, Any] = {"cpu.time": number, "block.count": disks}
        for index in range(disks):
            stats[f"block.{index}.name"] = f"vd{index}"
            stats[f"block.{index}.rd.reqs"] = stats[f"block.{index}.wr.reqs"] = number
        domains.append(DomainSample(f"u{disks}", f"vm {disks} " + "x" * 80, Status.FRESH, stats))
    return Sample(settings.uri, 10**18, tuple(domains), Round(domains=30, fresh=30))


#: Each domain has time, the same under its other name, and the number of disks; each disk its name,
#: reads and writes.
DISKS = sum(range(30))


@pytest.mark.parametrize("text", [TOML, COLLECTD])
def test_metrics_counts_what_a_configuration_makes_here(
    tmp_path: Path, hypervisors: type[Answering], capsys: Capture, text: str
) -> None:
    hypervisors.answers = staticmethod(many)
    path = tmp_path / "configuration"
    path.write_text(text.replace('b:///x"', 'b:///x"\nmax_series = 7' if text is TOML else 'b:///x"'))
    assert cli.run(["metrics", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    if text is TOML:
        series = 3 * 30 + 3 * DISKS
        assert f"b:///x\n{series:,} series of 30 domains, more than max_series (7)" in out
        block = rf"libvirt_block +group block +{DISKS} +1,305 +94"
    else:
        block = rf"disk_ops +ReportBlockDevices +{DISKS} +870 +97"
    assert re.search(block, out)
    assert "and 10 domains more, with" in out
    assert out.index("vm 29") < out.index("vm 28")


def test_metrics_in_json_has_every_domain(
    tmp_path: Path, hypervisors: type[Answering], capsys: Capture
) -> None:
    hypervisors.answers = staticmethod(many)
    path = tmp_path / "domstats.toml"
    path.write_text(TOML)
    assert cli.run(["metrics", "--config", str(path), "--format", "json"]) == 0
    _, found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found["uri"], found["agent"], found["domains"]) == ("b:///x", "telegraf", 30)
    assert (found["lines"], found["series"]) == (2 * 30 + DISKS, 3 * 30 + 3 * DISKS)
    assert found["by_measurement"][0] == {
        "measurement": "libvirt_block", "from": "group block", "lines": DISKS, "series": 3 * DISKS,
    }  # fmt: skip
    assert sum(each["series"] for each in found["by_domain"]) == found["series"]
    assert found["by_domain"][0]["uuid"] == "u29"


def test_metrics_of_a_hypervisor_that_cannot_be_asked_ends_with_status_1(
    tmp_path: Path, hypervisors: type[Answering], capsys: Capture
) -> None:
    hypervisors.answers = staticmethod(down)
    path = tmp_path / "domstats.toml"
    path.write_text(TOML)
    assert cli.run(["metrics", "--config", str(path)]) == 1
    assert errors(capsys) == [f"domstats: {uri}: {NO_DAEMON}" for uri in ("a:///x", "b:///x")]


# --- domstats telegraf --------------------------------------------------------------------------


def test_a_wrong_file_is_told_in_telegrafs_format_and_ends_with_status_2(
    tmp_path: Path, capfd: Capture
) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text("[[inputs.libvirt]]\nlanes = 40\n")
    assert cli.run(["telegraf", "--config", str(path)]) == 2
    assert errors(capfd) == [
        f"E! domstats: {path}: [[inputs.libvirt]] table 1, option lanes: found 40, allowed is a"
        " whole number from 1 to 10 (libvirtd has 20 workers for all its clients)"
    ]


def test_the_version_is_that_of_the_package_and_not_of_what_is_installed(capsys: Capture) -> None:
    assert cli.run(["--version"]) == 0
    first, python, libvirt = capsys.readouterr().out.splitlines()
    assert first == f"domstats, version {domstats.__version__}"
    assert python == f"Python {sys.version.split()[0]} ({sys.executable})"
    assert libvirt.startswith("libvirt ")


def test_each_mistake_of_a_file_is_a_line_for_telegraf(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text("[[inputs.libvirt]]\nlanes = 40\n[[inputs.libvirt]]\nchunk_size = 0\n")
    assert cli.run(["telegraf", "--config", str(path)]) == 2
    first, second = errors(capfd)
    assert first.startswith(f"E! domstats: {path}: [[inputs.libvirt]] table 1, option lanes: found")
    assert second.startswith(f"E! domstats: {path}: [[inputs.libvirt]] table 2, option chunk_size")


def test_a_missing_file_is_told(capfd: Capture) -> None:
    assert cli.run(["telegraf", "--config", "/nonexistent"]) == 2
    assert errors(capfd)[0].startswith("E! domstats: /nonexistent: cannot be read: ")


def test_the_settings_and_the_interval_reach_the_child(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text("[[inputs.libvirt]]\nlanes = 5\nstuck_budget = 4\n")
    seen: list[Any] = []
    monkeypatch.setattr(telegraf_child, "answer_ticks", lambda *arguments: seen.append(arguments))
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert cli.run(["telegraf", "--config", str(path), "--interval", "5s"]) == 0
    ((hypervisors, *_, interval, _),) = seen
    assert hypervisors[0].lanes == 5
    assert interval == 5.0
    assert errors(capfd)[0].startswith("W! domstats: ")


def test_the_tick_loop_is_the_one_of_telegrafs_child() -> None:
    assert vars(telegraf_child)["answer_ticks"] is telegraf_execd.run
