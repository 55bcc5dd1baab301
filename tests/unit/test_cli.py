"""The command line: what it prints, and how it says that something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import domstats
import msgspec.toml
import pytest
from domstats import cli, commands, installed, telegraf_child, telegraf_execd
from domstats.collectd_conf import parse
from domstats.model import DomainSample, Round, Sample, Status
from domstats.ready_config import collectd_conf, telegraf_toml
from domstats.ready_config import telegraf_execd as execd_conf
from domstats.settings import Settings
from domstats.telegraf_execd import writer

PLUGIN = Path(__file__).resolve().parents[2] / "plugin"
UUID = "11111111-2222-4333-8444-555555555555"
NO_DAEMON = "cannot connect: is libvirtd (or virtqemud) running? systemctl start libvirtd"


class FakeSampler:
    """A hypervisor that answers, or does not."""

    answers: Callable[[Settings, int], Sample]

    def __init__(self, settings: Settings, log: Callable[[str, str], None]) -> None:
        self.settings = settings
        self.rounds = 0
        self.log = log

    def sample(self, deadline: Optional[float] = None) -> Sample:
        self.rounds += 1
        self.log("info", "a round")
        return type(self).answers(self.settings, self.rounds)

    def close(self) -> None:
        pass


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
def hypervisors(monkeypatch: pytest.MonkeyPatch) -> type[FakeSampler]:
    class Sampler(FakeSampler):
        answers = staticmethod(fine)

    monkeypatch.setattr(commands, "sampler", Sampler)
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
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


def test_without_a_local_hypervisor_the_test_driver_is_shown_and_one_line_says_why(
    capsys: Capture, hypervisors: type[FakeSampler]
) -> None:
    hypervisors.answers = staticmethod(
        lambda settings, number: (down if settings.uri.startswith("qemu") else fine)(
            settings, number
        )
    )
    assert cli.run(["sample"]) == 0
    out, err = capsys.readouterr()
    assert "of test:///default" in out
    assert err == (
        f"domstats: qemu:///system: {NO_DAEMON}; showing test:///default of libvirt's test driver"
        " instead\n"
    )


def test_a_hypervisor_that_was_named_is_not_replaced(
    capsys: Capture, hypervisors: type[FakeSampler]
) -> None:
    hypervisors.answers = staticmethod(down)
    assert cli.run(["sample", "--connect", "qemu:///system", "--rounds", "3"]) == 1
    assert errors(capsys) == [f"domstats: qemu:///system: {NO_DAEMON}"]


def test_one_hypervisor_that_answers_is_success(
    capsys: Capture, hypervisors: type[FakeSampler]
) -> None:
    hypervisors.answers = staticmethod(
        lambda settings, number: (down if settings.uri == "a:///x" else fine)(settings, number)
    )
    assert cli.run(["sample", "--connect", "a:///x", "--connect", "b:///x"]) == 0
    out, err = capsys.readouterr()
    assert "of b:///x" in out
    assert err.count("\n") == 1


def test_trouble_is_told_when_it_begins_and_not_in_every_round(
    capsys: Capture, hypervisors: type[FakeSampler]
) -> None:
    hypervisors.answers = staticmethod(
        lambda settings, number: (fine if number in (1, 4) else down)(settings, number)
    )
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "6"]) == 0
    assert len(errors(capsys)) == 2


def test_a_round_that_fails_unexpectedly_is_told_in_one_line(
    capsys: Capture, hypervisors: type[FakeSampler]
) -> None:
    def broken(settings: Settings, number: int) -> Sample:
        raise KeyError("x")

    hypervisors.answers = staticmethod(broken)
    assert cli.run(["sample", "--connect", "a:///x", "--rounds", "2"]) == 1
    (text,) = errors(capsys)
    assert text.startswith("domstats: a:///x: a round failed: unexpected KeyError at test_cli.py:")


def test_verbose_tells_what_the_sampler_logs(capsys: Capture) -> None:
    assert cli.run(["sample", "--connect", "a:///x", "-v"]) == 0
    assert errors(capsys) == ["domstats: info: a round"]


def test_rounds_can_go_on_until_somebody_interrupts_them_quietly(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(commands.time, "sleep", sleep)
    arguments = ["sample", "--connect", "a:///x", "--rounds", "0", "--interval", "1m30s"]
    assert cli.run(arguments) == 130
    assert all(80 < pause <= 90 for pause in pauses)
    assert errors(capsys) == []


# --- Usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("arguments", [[], ["--help"], ["sample", "--help"], ["--version"]])
def test_help_is_no_error(arguments: list[str], capsys: Capture) -> None:
    assert cli.run(arguments) == 0
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_is_quiet(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(content: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(commands, "_write", closed)
    assert cli.run(["sample", "--connect", "a:///x", "--format", "json"]) == 0
    assert errors(capsys) == []


def test_a_full_disk_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commands, "_write", full)
    assert cli.run(["config", "telegraf"]) == 1
    assert errors(capsys) == ["domstats: cannot write: No space left on device"]


# --- domstats config, domstats metrics ----------------------------------------------------------


def test_config_prints_the_ready_file(capsys: Capture) -> None:
    assert cli.run(["config", "telegraf"]) == 0
    assert capsys.readouterr().out == telegraf_toml()


@pytest.mark.parametrize("agent", [["telegraf", "--execd"], ["collectd"]])
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
    assert capsys.readouterr().out == f"domstats, version {domstats.__version__}\n"


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
    monkeypatch.setattr(telegraf_child.sys, "stdin", open(os.devnull))  # noqa: SIM115
    assert cli.run(["telegraf", "--config", str(path), "--interval", "5s"]) == 0
    ((hypervisors, *_, interval, _),) = seen
    assert hypervisors[0].lanes == 5
    assert interval == 5.0
    assert errors(capfd)[0].startswith("W! domstats: ")


def python(code: str, *arguments: str, stdin: str = "") -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(PLUGIN)},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


#: A tick, as Telegraf gives it, and what is loaded when its round is written.
CHILD = """
import sys
from domstats import cli
status = cli.run(["telegraf", "--config", sys.argv[1]])
for_people = ("click", "rich", "difflib", "domstats.table", "lxml")
print("loaded:", status, *(name for name in for_people if name in sys.modules))
"""


def test_telegrafs_child_samples_without_what_only_people_or_labels_need(tmp_path: Path) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\n')
    *lines, loaded = python(CHILD, str(path), stdin="\n").splitlines()
    assert any(line.startswith("libvirt_block,") for line in lines)
    assert loaded.split() == ["loaded:", "0"]


def test_the_tick_loop_is_the_one_of_telegrafs_child() -> None:
    assert telegraf_child.answer_ticks is telegraf_execd.run
