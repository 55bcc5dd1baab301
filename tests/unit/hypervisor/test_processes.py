"""The process watch, with a /proc of plain files: who is said to be unable to answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from domstats.hypervisor import processes as watch_process
from domstats.hypervisor.processes import ProcessWatch

WEB = "11111111-2222-4333-8444-555555555555"
DB = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
QEMU = "/usr/bin/qemu-system-x86_64"


class Proc:
    """A /proc in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "meminfo").write_text("no process")
        (folder / "self").mkdir()

    def runs(self, pid: int, *arguments: str, **stat: str) -> None:
        """A process with this command line."""
        (self.folder / str(pid)).mkdir(exist_ok=True)
        self.file(pid, "cmdline").write_bytes(b"".join(os.fsencode(a) + b"\0" for a in arguments))
        self.is_in(pid, **stat)

    def guest(self, pid: int, uuid: str, state: str = "S", **stat: str) -> None:
        """A QEMU process as libvirt starts it."""
        name = "guest=web,debug-threads=on"
        rest = ("-S", "-machine", "pc", "-uuid", uuid, "-display", "none", "-device", "{}")
        self.runs(pid, QEMU, "-name", name, *rest, state=state, **stat)

    def is_in(
        self,
        pid: int,
        state: str = "S",
        start: str = "500",
        comm: str = "qemu-system-x86",
        pages: str = "0",
    ) -> None:
        """The state of its main thread from now on, and the memory of all."""
        after = [state, "1", *["0"] * 17, start, "0", pages, *["0"] * 28]
        self.file(pid, "stat").write_text(f"{pid} ({comm}) {' '.join(after)}\n")

    def had_turns(self, pid: int, turns: int) -> None:
        """How often its main thread was given a processor until now."""
        self.file(pid, "schedstat").write_text(f"123456 789 {turns}\n")

    def ends(self, pid: int) -> None:
        shutil.rmtree(self.folder / str(pid))

    def file(self, pid: int, name: str) -> Path:
        return self.folder / str(pid) / name


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path / "proc")


@pytest.fixture
def watch(proc: Proc) -> ProcessWatch:
    return ProcessWatch(str(proc.folder), patience=10)


def test_domains_whose_process_is_not_seen_are_counted(proc: Proc, watch: ProcessWatch) -> None:
    proc.guest(100, WEB)
    watch.look([WEB, DB], 0)
    assert watch.unseen([WEB, DB]) == 1
    assert watch.unseen([WEB]) == 0


def test_while_processes_are_searched_for_nobody_is_called_unseen(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.guest(100, WEB)
    goes_on = threading.Event()

    def late(proc: str) -> list[int]:
        goes_on.wait(10)
        return [100]

    monkeypatch.setattr(watch_process, "_pids", late)
    watch = ProcessWatch(str(proc.folder), patience=0)
    watch.look([WEB], 0)
    assert watch.unseen([WEB]) is None
    search = watch._search
    goes_on.set()
    assert search is not None
    assert search.done.wait(10)
    watch.look([WEB], 1)
    assert watch.unseen([WEB]) == 0


def test_a_proc_that_hides_other_users_processes_is_noticed(
    proc: Proc, watch: ProcessWatch
) -> None:
    assert watch.is_hidden()
    proc.runs(1, "/sbin/init")
    assert not watch.is_hidden()


def test_a_guest_that_runs_may_be_asked(proc: Proc, watch: ProcessWatch) -> None:
    proc.guest(100, WEB, "S")
    proc.guest(101, DB, "R")
    assert watch.look([WEB, DB], 0) == {}


@pytest.mark.parametrize("state", ["T", "t"])
def test_a_stopped_guest_is_not_asked_until_it_goes_on(
    proc: Proc, watch: ProcessWatch, state: str
) -> None:
    proc.guest(100, WEB, state)
    proc.guest(101, DB)
    assert watch.look([WEB, DB], 0) == {WEB: "stopped"}
    proc.is_in(100, "S")
    assert watch.look([WEB, DB], 10) == {}


def test_a_guest_that_stops_in_the_middle_of_a_round_is_seen_by_a_relook(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB)
    proc.guest(101, DB)
    watch.look([WEB, DB], 0)
    proc.is_in(100, "T")
    assert watch.relook([WEB], 0.1) == {WEB: "stopped"}
    assert watch.relook([DB], 0.1) == {}
    proc.is_in(101, "T")
    assert watch.relook([DB], 0.2) == {DB: "stopped"}  # a relook at one forgets no other


def test_a_guest_waiting_for_its_storage_is_not_asked_if_it_still_does_a_moment_later(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB, "D")
    assert watch.look([WEB], 0) == {}
    assert watch.relook([WEB], 0.01) == {}  # too soon to tell
    assert watch.relook([WEB], 0.06) == {WEB: "waiting"}
    assert watch.look([WEB], 10) == {WEB: "waiting"}
    proc.is_in(100, "S")
    assert watch.look([WEB], 20) == {}
    proc.is_in(100, "D")
    assert watch.look([WEB], 30) == {}


def test_a_busy_guest_met_waiting_twice_by_chance_is_asked(proc: Proc, watch: ProcessWatch) -> None:
    proc.guest(100, WEB, "D")
    proc.had_turns(100, 7)
    assert watch.look([WEB], 0) == {}
    proc.had_turns(100, 8)
    assert watch.look([WEB], 10) == {}
    assert watch.relook([WEB], 10.06) == {WEB: "waiting"}
    proc.had_turns(100, 9)
    assert watch.relook([WEB], 10.2) == {}


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_dead_guest_is_not_asked_while_its_process_is_left(
    proc: Proc, watch: ProcessWatch, state: str
) -> None:
    proc.guest(100, WEB)
    watch.look([WEB], 0)
    proc.is_in(100, state)
    proc.file(100, "cmdline").write_bytes(b"")  # as the kernel shows it
    assert [watch.look([WEB], now) for now in (10, 20)] == [{WEB: "gone"}] * 2
    proc.ends(100)
    assert watch.look([WEB], 30) == {}


def test_a_guest_started_anew_beside_its_dead_process_is_asked(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB)
    watch.look([WEB], 0)
    proc.is_in(100, "Z")
    proc.file(100, "cmdline").write_bytes(b"")
    proc.guest(200, WEB, start="900")
    assert watch.look([WEB], 10) == {}
    proc.is_in(200, "T", start="900")
    assert watch.look([WEB], 30) == {WEB: "stopped"}


def test_a_pid_used_again_by_another_process_says_nothing_of_the_guest(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB)
    watch.look([WEB], 0)
    proc.ends(100)
    proc.runs(100, "/bin/sleep", "9", state="T", start="777")
    assert watch.relook([WEB], 0.5) == {}
    assert watch.look([WEB], 10) == {}


def test_a_guest_that_was_restarted_is_found_again(proc: Proc, watch: ProcessWatch) -> None:
    proc.guest(100, WEB)
    watch.look([WEB], 0)
    proc.ends(100)
    proc.guest(200, WEB, "T", start="900")
    assert watch.look([WEB], 10) == {WEB: "stopped"}


def test_a_guest_whose_process_cannot_be_seen_is_asked(proc: Proc, watch: ProcessWatch) -> None:
    proc.guest(100, WEB, "T")
    proc.file(100, "stat").unlink()
    assert watch.look([WEB, DB], 0) == {}


def test_on_a_machine_without_proc_everybody_is_asked(tmp_path: Path) -> None:
    watch = ProcessWatch(str(tmp_path / "none"))
    assert watch.look([WEB], 0) == {}
    assert watch.relook([WEB], 1) == {}


@pytest.mark.parametrize("comm", ["a b) T (c", ") Z 1 2", "((", "qemu) T", ""])
def test_a_program_name_cannot_pretend_to_be_a_state(
    proc: Proc, watch: ProcessWatch, comm: str
) -> None:
    proc.guest(100, WEB, "S", comm=comm)
    proc.guest(101, DB, "T", comm=comm)
    assert watch.look([WEB, DB], 0) == {DB: "stopped"}


@pytest.mark.parametrize("text", ["", "100", "100 (qemu", "100 (qemu) T 1 2", ")", "\0\xff" * 500])
def test_a_stat_that_makes_no_sense_says_nothing(
    proc: Proc, watch: ProcessWatch, text: str
) -> None:
    proc.guest(100, WEB)
    watch.look([WEB], 0)
    proc.file(100, "stat").write_text(text)
    assert watch.look([WEB], 10) == {}


def test_two_processes_that_claim_one_domain_are_both_not_believed(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB, "S")
    proc.runs(666, "/home/mallory/qemu", "-name", "x", "-uuid", WEB, state="T")
    proc.guest(102, DB, "T")
    assert watch.look([WEB, DB], 0) == {DB: "stopped"}
    proc.is_in(100, "T")
    assert watch.look([WEB, DB], 60) == {DB: "stopped"}


def test_a_fake_ends_and_the_real_process_is_believed_again(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB, "T")
    proc.runs(666, "/home/mallory/qemu", "-name", "x", "-uuid", WEB)
    assert watch.look([WEB], 0) == {}
    proc.ends(666)
    assert watch.look([WEB], 60) == {WEB: "stopped"}


def test_a_fake_that_comes_later_does_not_replace_the_real_process(
    proc: Proc, watch: ProcessWatch
) -> None:
    proc.guest(100, WEB, "S")
    watch.look([WEB], 0)
    proc.runs(666, "/home/mallory/qemu", "-name", "x", "-uuid", WEB, state="T")
    assert watch.look([WEB], 10) == {}
    proc.guest(102, DB)
    assert watch.look([WEB, DB], 20) == {}  # seen now, as DB was searched for


@pytest.mark.parametrize(
    "arguments",
    [
        (QEMU, "-name", "-uuid", WEB),
        (QEMU, "-name", f"guest=-uuid {WEB},debug-threads=on"),
        (QEMU, "-name", "a", "-uuid", DB, "-device", "x", "-uuid", WEB),
        (QEMU, "-name", "a", "-uuid", "none", "-uuid", WEB),
        (QEMU, "-name", "a", "-uuid", WEB + "0"),
        (QEMU, "-name", "a", "-uuid"),
        (QEMU, "-name", "a", f"-uuid={WEB}"),
        (QEMU, "-name", "a", "-append", f"-uuid\n{WEB}"),
        ("grep", "-uuid", WEB),
        (f"-name\n-uuid\n{WEB}",),
        ("-uuid", WEB),
        (QEMU, "-name"),
        (),
    ],
)
def test_what_a_tenant_can_write_into_a_command_line_claims_no_domain(
    proc: Proc, watch: ProcessWatch, arguments: tuple[str, ...]
) -> None:
    proc.runs(100, *arguments, state="T")
    assert watch.look([WEB], 0) == {}


def test_an_old_libvirt_and_upper_case_are_understood(proc: Proc, watch: ProcessWatch) -> None:
    old = ("qemu-kvm", "-enable-kvm", "-name", "-uuid", "-S", "-M", "pc", "-uuid", DB.upper())
    proc.runs(100, *old, state="T")
    assert watch.look([DB], 0) == {DB: "stopped"}


def test_a_missing_process_is_searched_for_again_but_ever_less_often(
    proc: Proc, watch: ProcessWatch
) -> None:
    assert watch.look([WEB], 0) == {}
    proc.guest(100, WEB, "T")
    assert watch.look([WEB], 4) == {}
    assert watch.look([WEB], 5) == {WEB: "stopped"}


def test_a_domain_that_appears_is_found_though_another_one_is_long_missing(
    proc: Proc, watch: ProcessWatch
) -> None:
    for now in range(0, 300, 10):
        watch.look([WEB], now)
    proc.guest(101, DB, "T")
    assert watch.look([WEB, DB], 301) == {DB: "stopped"}


def test_a_domain_that_went_and_came_is_found_at_once(proc: Proc, watch: ProcessWatch) -> None:
    watch.look([WEB], 0)
    watch.look([], 2)
    proc.guest(100, WEB, "T")
    assert watch.look([WEB], 4) == {WEB: "stopped"}


class Wedged:
    """A process whose command line cannot be read, as `ps` meets them: reading it blocks."""

    def __init__(self, proc: Proc, pid: int) -> None:
        proc.guest(pid, "00000000-0000-4000-8000-000000000000")
        self.file = proc.file(pid, "cmdline")
        self.file.unlink()
        os.mkfifo(self.file)

    def release(self) -> None:
        # A writer that comes and goes is an end of file for who has it open to read.
        os.close(os.open(self.file, os.O_RDWR))
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.close(os.open(self.file, os.O_WRONLY | os.O_NONBLOCK))


def searchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "domstats-proc"]


@pytest.fixture
def wedged(proc: Proc) -> Iterator[Wedged]:
    process = Wedged(proc, 1)
    yield process
    for thread in searchers():
        while thread.is_alive():
            process.release()
            thread.join(0.01)


def test_a_process_that_cannot_be_looked_at_holds_up_nobody(proc: Proc, wedged: Wedged) -> None:
    watch = ProcessWatch(str(proc.folder), patience=0)
    for pid, uuid in ((100, WEB), (101, DB)):
        proc.guest(pid, uuid, "T")
    everybody = {WEB: "stopped", DB: "stopped"}
    for now in range(0, 100, 5):  # each look returns at once; the search gets past the wedged one
        if watch.look([WEB, DB], now) == everybody:
            break
        for thread in searchers():
            thread.join(0.02)
    assert watch.look([WEB, DB], 100) == everybody
    assert len(searchers()) <= 1


def test_a_search_that_was_late_is_of_use_to_the_next_look(proc: Proc, wedged: Wedged) -> None:
    watch = ProcessWatch(str(proc.folder), patience=0)
    proc.guest(100, WEB, "T")
    assert watch.look([WEB], 0) == {}
    for thread in searchers():
        while thread.is_alive():
            wedged.release()
            thread.join(0.01)
    assert watch.look([WEB], 0.5) == {WEB: "stopped"}


def test_however_many_processes_are_wedged_only_three_searches_hang_in_them(
    proc: Proc, wedged: Wedged
) -> None:
    more = [Wedged(proc, pid) for pid in range(2, 9)]
    try:
        watch = ProcessWatch(str(proc.folder), patience=0)
        for now in range(0, 1000, 5):
            watch.look([WEB], now)
        assert 1 <= len(searchers()) <= 4
    finally:
        for thread in searchers():
            while thread.is_alive():
                for process in (wedged, *more):
                    process.release()
                thread.join(0.01)


def test_the_real_proc_knows_nobody_by_a_made_up_uuid() -> None:
    assert ProcessWatch().look([WEB], 0) == {}


def test_the_memory_of_a_process_is_that_of_the_last_look(proc: Proc, watch: ProcessWatch) -> None:
    kib = os.sysconf("SC_PAGE_SIZE") // 1024
    proc.guest(7, WEB, pages="1000")
    watch.look({WEB, DB}, 0.0)
    assert watch.rss_kib(WEB) == 1000 * kib
    assert watch.rss_kib(DB) is None
    proc.is_in(7, pages="1001")
    watch.relook([WEB], 1.0)
    assert watch.rss_kib(WEB) == 1001 * kib
    proc.ends(7)
    watch.look({WEB}, 2.0)
    assert watch.rss_kib(WEB) is None


@pytest.mark.parametrize("pages", ["-1", "x"])
def test_no_memory_is_told_that_makes_no_sense(
    proc: Proc, watch: ProcessWatch, pages: str
) -> None:
    proc.guest(7, WEB, pages=pages)
    watch.look({WEB}, 0.0)
    assert watch.rss_kib(WEB) is None
