"""The command line against real guests, and what it says when something is wrong."""

import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import msgspec
import pytest
from domstats.model import Sample
from domstats.output.line_protocol import LineProtocol

from tests.system.agents.lines import parse
from tests.system.command_line import domstats
from tests.system.configurations import DOMSTATS, ROOT, libvirt_table, python_plugin
from tests.system.waiting import wait_for

TEST = "test:///default"
#: Seconds after the end of input at which Telegraf sends SIGTERM, and later SIGKILL.
PATIENCE = 5


def complaint(ended: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line on stderr of a command that failed."""
    assert (ended.returncode, ended.stdout) == (status, "")
    assert "Traceback" not in ended.stderr
    [line] = ended.stderr.splitlines()
    return line


# --- Samples --------------------------------------------------------------------------------------


def test_a_table_shows_every_guest(bed: Any) -> None:
    ended = domstats("sample", "--connect", bed.uri)

    assert (ended.returncode, ended.stderr) == (0, "")
    for guest in bed.guests:
        assert guest.name in ended.stdout
    assert "paused" in ended.stdout


def test_json_has_what_libvirt_says_for_each_round(bed: Any) -> None:
    ended = domstats(
        "sample", "--connect", bed.uri, "--format", "json", "--rounds", "2", "--interval", "0.2"
    )

    first, second = (json.loads(line) for line in ended.stdout.splitlines())
    assert first["time_ns"] < second["time_ns"]
    stats = {domain["name"]: domain["stats"] for domain in second["domains"]}
    assert set(stats) == {guest.name for guest in bed.guests}
    with bed.connection() as connection:
        path = connection.lookupByName("web-1").XMLDesc()
    assert stats["web-1"]["block.0.path"] in path
    assert stats["web-1"]["net.0.name"] == bed.guests[0].nics[0]


def test_influx_lines_have_every_guest_with_cpu_disk_and_network(bed: Any) -> None:
    ended = domstats("sample", "--connect", bed.uri, "--format", "influx")

    points = parse(ended.stdout)
    for measurement in ("libvirt_cpu", "libvirt_state", "libvirt_balloon"):
        assert {
            point.tags["domain_name"] for point in points if point.measurement == measurement
        } == {guest.name for guest in bed.guests}
    assert {"libvirt_block", "libvirt_net"} <= {point.measurement for point in points}
    assert len({point.time for point in points}) == 1


def test_influx_lines_are_byte_for_byte_what_telegraf_gets(tmp_path: Path) -> None:
    """But for the numbers, which go on."""
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(TEST))
    child = subprocess.run(
        [*DOMSTATS, "telegraf", "--config", str(settings)],
        input=b"\n",
        capture_output=True,
        check=False,
        timeout=200,
    )
    sampled = domstats("sample", "--connect", TEST, "--format", "influx").stdout.encode()

    def without_numbers(lines: bytes) -> bytes:
        return re.sub(rb"(?<==)[0-9.e-]+(?=[iu, ])| [0-9]+$", b"N", lines, flags=re.MULTILINE)

    assert b"libvirt_net" in child.stdout
    assert without_numbers(sampled) == without_numbers(child.stdout)


def test_influx_lines_are_those_of_the_same_sample_as_json(bed: Any) -> None:
    """What the hypervisor said, written by the Telegraf adapter's writer."""
    ended = domstats("sample", "--connect", bed.uri, "--format", "json")
    sample = msgspec.json.decode(ended.stdout, type=Sample)
    lines = LineProtocol().encode(sample).decode()
    printed = domstats("sample", "--connect", bed.uri, "--format", "influx").stdout

    def shape(text: str) -> list[Any]:
        return sorted(
            (
                point.measurement,
                sorted(point.tags.items()),
                [(name, field.kind) for name, field in point.fields.items()],
            )
            for point in parse(text)
        )

    assert shape(lines) == shape(printed)


def test_several_hypervisors_are_sampled_together(bed: Any) -> None:
    ended = domstats("sample", "--connect", bed.uri, "--connect", TEST, "--format", "influx")

    assert ended.returncode == 0
    rounds = [point for point in parse(ended.stdout) if point.measurement == "domstats_round"]
    assert {point.tags["hypervisor"] for point in rounds} == {bed.uri, TEST}


#: As ``make run`` with libvirtd down.
HIDDEN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")


def test_without_a_local_hypervisor_a_script_does_not_take_the_test_driver_for_real(
    root: None,
) -> None:
    ended = domstats("sample", prefix=HIDDEN)

    assert ended.returncode == 1
    assert "running" in ended.stdout
    [line] = ended.stderr.splitlines()
    assert line.startswith("domstats: these are not real guests")
    assert "libvirtd" in line
    assert "--connect" in line


def test_without_a_local_hypervisor_a_person_sees_the_test_driver_and_reads_it_last(
    root: None,
) -> None:
    with Terminal("sample", prefix=HIDDEN) as terminal:
        assert terminal.wait() == 0
    table, _, last = terminal.text.partition("domstats: these are not real guests")
    assert "1 domain: 1 running" in table
    assert last.endswith("name another one with --connect URI\n")


# --- On a terminal --------------------------------------------------------------------------------


class Terminal:
    """The command on a terminal of 80 columns and 24 lines."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *prefix, *DOMSTATS, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd="/",
            env={**environment, "PYTHONPATH": str(ROOT / "plugin"), "TERM": "xterm"},
        )
        os.close(theirs)
        self._read = ""
        self._reader = threading.Thread(target=self._collect)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._ours)

    def _collect(self) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while True:
                self._read += os.read(self._ours, 65536).decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait(self) -> int:
        status = self._process.wait(60)
        self._reader.join()
        return status

    @property
    def text(self) -> str:
        """All that has been written, without colours and movements."""
        return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self._read).replace("\r\n", "\n")

    @property
    def screens(self) -> list[str]:
        """What stood on the screen while it was redrawn, complete screens only."""
        frames = self._read.split("\x1b[H")[1:-1]
        found = [re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", frame) for frame in frames]
        return [frame.replace("\r\n", "\n") for frame in found]

    @property
    def behind(self) -> str:
        """What is left after the screen was redrawn for the last time."""
        return self._read.partition("\x1b[?1049l")[2]


def test_the_table_is_redrawn_in_place_and_tells_who_hangs(bed: Any) -> None:
    with Terminal("sample", "--connect", bed.uri, "--rounds", "0", "--interval", "0.5") as terminal:
        wait_for("rates", lambda: any("0B/s" in screen for screen in terminal.screens))
        bed.guests[5].hang()
        wait_for("trouble", lambda: any("unresponsive for" in each for each in terminal.screens))
        terminal.type("\x03")
        assert terminal.wait() == 130
    screens = [screen.rstrip("\n").split("\n") for screen in terminal.screens]
    assert all(len(screen) <= 24 and max(map(len, screen)) <= 80 for screen in screens)
    (hung,) = {
        index for index, line in enumerate(screens[-1]) if line.startswith(bed.guests[5].name)
    }
    assert screens[-1][hung + 1].startswith("    unresponsive for ")
    assert "Traceback" not in terminal.text
    assert "8 domains: " in terminal.behind


# --- What is chosen -------------------------------------------------------------------------------


def sampled(*arguments: str) -> set[str]:
    """The names of the domains in one round."""
    ended = domstats("sample", "--format", "json", *arguments)
    assert ended.returncode == 0, ended.stderr
    samples = [json.loads(line) for line in ended.stdout.splitlines()]
    return {domain["name"] for sample in samples for domain in sample["domains"]}


def test_domains_are_chosen_by_name_uuid_and_expression(bed: Any) -> None:
    with bed.connection() as connection:
        uuid = connection.lookupByName("web-1").UUIDString()
    wanted = ("--domain", "db-1", "--domain", uuid, "--domain", "/^no-/")
    assert sampled("--connect", bed.uri, *wanted) == {"db-1", "web-1", "no-disk", "no-net"}


def test_a_domain_that_does_not_exist_is_told(bed: Any) -> None:
    ended = domstats("sample", "--connect", bed.uri, "--domain", "web-9", "--format", "json")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "no domain matches web-9" in line


def test_only_the_groups_that_were_named_are_asked_for(bed: Any) -> None:
    arguments = ("--group", "block", "--group", "state", "--format", "influx")
    points = parse(domstats("sample", "--connect", bed.uri, *arguments).stdout)
    expected = {"domstats_round", "libvirt_state", "libvirt_block", "libvirt_block_total"}
    assert {point.measurement for point in points} == expected


def first_round(command: list[str], hypervisors: int) -> str:
    """What Telegraf's child sends at its first tick, however long that takes it."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        lines: list[str] = []
        while sum(line.startswith("domstats_round,") for line in lines) < hypervisors:
            lines.append(child.stdout.readline())
            assert lines[-1], "it has ended"
        child.stdin.close()
        lines += child.stdout
    assert child.returncode == 0
    return "".join(lines)


def test_config_shows_the_lines_that_telegrafs_child_sends(bed: Any, tmp_path: Path) -> None:
    """But for the numbers, which go on."""
    settings = tmp_path / "domstats.toml"
    narrowed = ('domains = ["web-1", "no-net"]', 'statistics_groups = ["state", "block"]')
    settings.write_text(libvirt_table(bed.uri, *narrowed) + libvirt_table(TEST))
    sent = first_round([*DOMSTATS, "telegraf", "--config", str(settings)], hypervisors=2)
    shown = domstats("sample", "--config", str(settings), "--format", "influx")

    def shape(text: str) -> list[Any]:
        return sorted(
            (point.measurement, sorted(point.tags.items()), sorted(point.fields))
            for point in parse(text)
        )

    assert (shown.returncode, shown.stderr) == (0, "")
    assert {point.tags.get("domain_name") for point in parse(shown.stdout)} == {
        "web-1", "no-net", "test", None,
    }  # fmt: skip
    assert shape(shown.stdout) == shape(sent)


def test_config_shows_the_domains_that_collectd_sees(bed: Any, tmp_path: Path) -> None:
    folder = tmp_path / "collectd.conf.d"
    folder.mkdir()
    block = f'Connection "{bed.uri}"\nDomain "/^web/"\nDomain "no-net"'
    (folder / "domstats.conf").write_text(python_plugin(block, f'Connection "{TEST}"'))
    whole = tmp_path / "collectd.conf"
    whole.write_text(f'Interval 5\nInclude "{folder}/*.conf"\n')
    assert sampled("--config", str(whole)) == {"web-1", "no-net", "test"}


def test_verbose_tells_the_hypervisors_version_and_how_long_rounds_took(bed: Any) -> None:
    said = domstats("sample", "--connect", bed.uri, "-v", "--rounds", "2", "--interval", "0.2")
    assert said.returncode == 0
    assert " samples QEMU " in said.stderr
    assert "; watches: process, storage, occupancy" in said.stderr
    assert re.search(r": round 2 took \d+\.\d+ s; domains: \d+ fresh", said.stderr)


def test_all_mistakes_of_a_configuration_are_told_at_once(tmp_path: Path) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(TEST, "lanes = 40", "statistic_groups = []"))
    ended = domstats("sample", "--config", str(settings))
    assert (ended.returncode, ended.stdout) == (2, "")
    first, second = ended.stderr.splitlines()
    assert "lanes" in first
    assert "statistics_groups" in second


def test_one_of_two_hypervisors_that_is_away_is_told_of_and_costs_nothing_else(
    tmp_path: Path,
) -> None:
    away = f"qemu+unix:///system?socket={tmp_path}/none"
    ended = domstats("sample", "--connect", away, "--connect", TEST)

    assert ended.returncode == 0
    assert "running" in ended.stdout
    [line] = ended.stderr.splitlines()
    assert away in line


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["sample", "--rouns", "3"], "--rounds"),
        (["sampel"], "domstats --help"),
        (["sample", "--format", "inflx"], "influx"),
        (["sample", "--interval", "soon"], "--interval"),
        (["sample", "--connect", "nonsense"], "qemu:///system"),
        (["sample", "--connect", TEST, "--config", "x"], "leave one of them out"),
        (["sample", "--config", "/nonexistent"], "is the path right"),
        (["telegraf"], "--config"),
    ],
)
def test_a_mistake_in_usage_is_one_line_with_the_way_out(arguments: list[str], hint: str) -> None:
    assert hint in complaint(domstats(*arguments), 2)


@pytest.mark.parametrize(
    ("line", "hints"),
    [
        ("statistic_groups = []", ["statistic_groups", "statistics_groups"]),
        ('statistics_groups = ["cpu_totl"]', ["cpu_totl", "cpu_total"]),
        ('additional_statistics = ["vcpu_maping"]', ["vcpu_maping", "vcpu_mapping"]),
        ('series = "ful"', ["series", "full"]),
        ('lanes = "four"', ["lanes", "1 to 10"]),
        ('libvirt_uri = "nonsense"', ["libvirt_uri", "nonsense"]),
        ("lanes = = 4", ["line"]),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_with_file_option_value_and_way_out(
    tmp_path: Path, line: str, hints: list[str]
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(f"[[inputs.libvirt]]\n{line}\n")

    said = complaint(domstats("telegraf", "--config", str(settings)), 2)

    assert said.startswith("E! ")
    for hint in [str(settings), *hints]:
        assert hint in said


def test_settings_that_cannot_be_read_are_named(root: None, tmp_path: Path) -> None:
    secret = tmp_path / "domstats.toml"
    secret.write_text(libvirt_table(TEST))
    secret.chmod(0)
    said = complaint(domstats("telegraf", "--config", str(secret), prefix=as_nobody()), 2)
    assert str(secret) in said
    assert "ermission" in said
    absent = tmp_path / "absent.toml"
    assert str(absent) in complaint(domstats("telegraf", "--config", str(absent)), 2)


def as_nobody() -> tuple[str, ...]:
    return ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")


def test_no_libvirtd_is_told_with_what_to_do(tmp_path: Path) -> None:
    away = f"qemu+unix:///system?socket={tmp_path}/none"
    said = complaint(domstats("sample", "--connect", away), 1)
    assert away in said
    assert "systemctl start libvirtd" in said


def test_no_permission_is_told_with_what_to_do(bed: Any, tmp_path: Path) -> None:
    ended = domstats("sample", "--connect", bed.uri, prefix=as_nobody())
    said = complaint(ended, 1)
    assert bed.uri in said
    assert "Permission denied" in said
    assert "libvirt-sock-ro is enough" in said


def test_a_missing_python_binding_is_told_with_the_python_that_looked_for_it(
    tmp_path: Path,
) -> None:
    absent = "raise ModuleNotFoundError('No module named libvirt', name='libvirt')\n"
    (tmp_path / "libvirt.py").write_text(absent)
    path = f"{tmp_path}:{ROOT / 'plugin'}"
    said = complaint(domstats("sample", "--connect", TEST, PYTHONPATH=path), 1)
    assert "python3-libvirt" in said or "pip install libvirt-python" in said
    assert sys.executable in said
    assert f"it looked in {tmp_path}" in said or f", {tmp_path}" in said


def test_a_broken_python_binding_is_told_in_the_loaders_own_words(tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("import libvirtmod\n")
    (tmp_path / "libvirtmod.so").write_bytes(b"not a library")
    path = f"{tmp_path}:{ROOT / 'plugin'}"
    said = complaint(domstats("sample", "--connect", TEST, PYTHONPATH=path), 1)
    assert f"{tmp_path}/libvirtmod.so: file too short" in said


# --- The end of a child of Telegraf ---------------------------------------------------------------


@pytest.fixture
def child(bed: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a child as Telegraf does, and waits for a round."""
    settings = tmp_path / "domstats.toml"
    running = []

    def begin(*options: str) -> subprocess.Popen[bytes]:
        settings.write_text(libvirt_table(bed.uri, *options))
        process = subprocess.Popen(
            [*DOMSTATS, "telegraf", "--config", str(settings)],
            stdin=subprocess.PIPE,
            stdout=(tmp_path / "stdout").open("wb"),
            stderr=(tmp_path / "stderr").open("wb"),
        )
        running.append(process)
        tick(process)
        wait_for("a round", lambda: b"domstats_round" in (tmp_path / "stdout").read_bytes())
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


def tick(process: Any) -> None:
    process.stdin.write(b"\n")
    process.stdin.flush()


def hung_guest(bed: Any) -> None:
    bed.guests[5].hang()


def frozen_libvirtd(bed: Any) -> None:
    bed.libvirtd.freeze()


def nothing(bed: Any) -> None:
    pass


@pytest.mark.parametrize("trouble", [nothing, hung_guest, frozen_libvirtd])
@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT"])
def test_a_child_ends_when_telegraf_wants_it_whatever_hangs(
    bed: Any, child: Callable[..., Any], tmp_path: Path, trouble: Callable[[Any], None], how: str
) -> None:
    process = child("process_watch = false", "deadline = 30")
    trouble(bed)
    tick(process)
    began = time.monotonic()
    if how == "end of input":
        process.stdin.close()
    else:
        process.send_signal(signal.Signals[how])
    status = process.wait(PATIENCE)
    print(f"ended after {time.monotonic() - began:.2f} s")
    assert status == 0
    said = (tmp_path / "stderr").read_text()
    assert len([line for line in said.splitlines() if " samples " not in line]) <= 1
    assert "Traceback" not in said
    assert (tmp_path / "stdout").read_bytes().endswith(b"\n")
