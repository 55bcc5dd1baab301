"""``domstats top``: what is shown of samples, in which order, and what keys do."""

from __future__ import annotations

import io
import queue
from typing import Any, Callable, Optional

import pytest
from domstats.cli import main as cli
from domstats.cli.top_command import Poller
from domstats.cli.top_figures import Book, Row, ordered
from domstats.cli.top_lines import Table, duration, host_lines, spark
from domstats.config.settings import Settings
from domstats.model import Round, Sample

from tests.unit.cli.top_rounds import TWO_ROUNDS, URI, domain, sample
from tests.unit.fake_sampler import FakeSampler
from tests.unit.rows import each_row


def book(*rounds: Sample) -> Book:
    found = Book(URI)
    for each in rounds:
        found.read(each)
    return found


# --- Figures ------------------------------------------------------------------------------------


def test_two_rounds_make_rates() -> None:
    row = next(row for row in book(*TWO_ROUNDS).rows if row.name == "busy")
    assert (row.cpu, row.steal, row.memory) == (150, 10, 1 << 30)
    assert (row.read, row.received, row.latency) == (4096, 2048, 0.002)
    assert (row.memory_age, row.is_stale) == (4, False)
    assert row.history == (150.0,)


def test_pressure_is_the_worst_of_the_three() -> None:
    waits = {"pressure.cpu.some_avg10": 3.5, "pressure.io.some_avg10": 40.25}
    found = book(sample(2, domain("busy", 2, 1, beside=waits)))
    assert found.rows[0].pressure == 40.25
    assert "40.2" in Table(120, several=False).line(found.rows[0])


def test_the_host_sums_up_its_running_domains() -> None:
    host = book(*TWO_ROUNDS).host
    assert (host.domains, host.running, host.hung, host.cpus, host.vcpus) == (5, 4, 2, 4, 4)
    assert (host.cpu, host.allotted) == (150, 4 << 30)


def test_a_hypervisor_that_is_away_has_its_error_and_no_rows() -> None:
    away = Sample(URI, 1, (), Round(connected=False, error=f"{URI}: no libvirtd"))
    found = book(*TWO_ROUNDS, away)
    assert (found.rows, found.host.error) == ([], f"{URI}: no libvirtd")


def test_a_domain_that_is_gone_is_forgotten() -> None:
    found = book(*TWO_ROUNDS, sample(6, domain("idle", 6, 0)))
    assert [row.name for row in found.rows] == ["idle"]
    assert found.of("busy") is None


@each_row(
    ("how", "names"),
    [
        ({"by": "CPU"}, ["db", "mq", "busy", "idle", "off"]),
        ({"by": "CPU", "reverse": True}, ["db", "mq", "idle", "busy", "off"]),
        ({"by": "name"}, ["db", "mq", "busy", "idle", "off"]),
        ({"by": "name", "reverse": True}, ["db", "mq", "off", "idle", "busy"]),
        ({"by": "memory", "with_off": False}, ["db", "mq", "busy", "idle"]),
        ({"by": "disk", "part": "D"}, ["db", "idle"]),
    ],
)
def test_those_that_hang_stand_first_the_longest_at_the_top(how: Any, names: list[str]) -> None:
    assert [row.name for row in ordered(book(*TWO_ROUNDS).rows, **how)] == names


# --- Lines --------------------------------------------------------------------------------------


def test_the_table_fits_80_columns() -> None:
    table = Table(80, several=False)
    rows = ordered(book(*TWO_ROUNDS).rows, "CPU")
    assert [table.title("CPU"), *(table.line(row) for row in rows[1:4])] == [
        "Domain        State      CPU %  Steal  Memory Read/s Writ/s  Laten Recv/s Sent/s",
        "mq            HUNG 14s       -      -       -      -      -      -      -      -",
        "busy          running    150.0   10.0    1.0G   4.0K      -  2.0ms   2.0K      -",
        "idle          running      0.0   10.0    1.0G   4.0K      -  2.0ms   2.0K      -",
    ]


@each_row("width", [20, 40, 60, 80, 120, 300])
def test_every_line_is_as_wide_as_the_screen_whatever_a_tenant_writes(width: int) -> None:
    hostile = Row(URI, "u", "evil\x1b[31m\n日本" * 30, "running", True, reason="x" * 500)
    for several in (False, True):
        line = Table(width, several).line(hostile)
        assert "\x1b" not in line
        assert "\n" not in line
    wide = max(len(Table(width, True).title("name")), len(Table(width, False).title("name")))
    assert wide == width


def test_a_hypervisors_line_says_what_is_wrong_first() -> None:
    assert host_lines(book(*TWO_ROUNDS).host, 100) == [
        "qemu:///system, 2 HUNG, 4 run, CPU 150.0 of 400 %, 4 vCPUs on 4, mem 4.0G, 0.25 s"
    ]
    away = Sample(URI, 1, (), Round(connected=False, error=f"{URI}: " + "no answer " * 50))
    lines = host_lines(book(away).host, 60)
    assert lines[0].startswith(f"{URI}: no answer")
    assert len(lines) == 3


def test_times_are_short() -> None:
    seconds = (None, 4e-4, 0.0123, 0.99949, 1.5, 42, 99.6, 3600, 7200, 86400, 18e4, 864e3, 1e9)
    assert [duration(each) for each in seconds] == [
        "-", "0.4ms", "12ms", "999ms", "1.5s", "42s", "2m", "60m", "2h", "24h", "2d", "10d", "32y",
    ]  # fmt: skip


def test_a_sparkline_fills_its_cells_by_the_highest() -> None:
    assert spark((0, 25, 50, 100), 10) == "▁▃▅█"
    assert spark((100, 0, 0), 2) == "▁▁"
    assert spark((), 10) == ""


# --- Asking -------------------------------------------------------------------------------------


def test_a_hypervisor_that_hangs_keeps_no_other_from_its_rounds() -> None:
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    stuck: list[FakeSampler] = []

    def make(settings: Settings, log: Callable[[str, str], None]) -> FakeSampler:
        made = FakeSampler(settings, log)
        if settings.uri == "stuck":
            made.go.clear()
            stuck.append(made)
        return made

    pollers = [
        Poller(Settings(uri=uri), 0.001, lambda each: arrived.put(each.uri), lambda *_: None, make)
        for uri in ("stuck", "well")
    ]
    for each in pollers:
        each.start()
    assert [arrived.get(timeout=30) for _ in range(5)] == ["well"] * 5
    for each in pollers:
        each.end()
    stuck[0].go.set()
    for each in pollers:
        each.join(30)
        assert not each.is_alive()
    assert stuck[0].closed.is_set()


def test_a_round_that_fails_is_shown_as_an_error() -> None:
    arrived: queue.SimpleQueue[Sample] = queue.SimpleQueue()

    def make(settings: Settings, log: Any) -> FakeSampler:
        made = FakeSampler(settings)
        made.failures.append(ValueError("no"))
        return made

    poller = Poller(Settings(uri=URI), 60, arrived.put, lambda *_: None, make)
    poller.start()
    assert "a round failed: ValueError('no')" in arrived.get(timeout=30).round.error
    poller.end()
    poller.join(30)


def test_without_a_terminal_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["top", "--connect", "test:///default"]) == 2
    assert "top needs a terminal" in capsys.readouterr().err


class NoTextual:
    """Finds no textual."""

    def find_spec(self, name: str, path: Any = None, target: Optional[Any] = None) -> None:
        if name == "textual" or name.startswith("textual."):
            raise ModuleNotFoundError("No module named 'textual'", name="textual")


def test_without_textual_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "textual"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "domstats.cli.top_app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoTextual(), *sys.meta_path])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert cli.run(["top"]) == 2
    assert "-m pip install textual" in capsys.readouterr().err
