"""What is said once, with what to do: by real agents, of real libvirtds, to real users."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import domstats
import pytest

from tests.system import command_line
from tests.system.agents import Collectd, Telegraf
from tests.system.bed.shape import Shape
from tests.system.configurations import DOMSTATS, ROOT, execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

#: Runs a command as a user without any rights.
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")


def test_polkit_that_cannot_be_asked_is_told_with_what_to_do(new_bed: Callable[..., Any]) -> None:
    with new_bed(authentication="polkit") as bed:
        sockets = bed.folder / "sockets"
        bed.folder.chmod(0o711)
        uri = f"qemu+unix:///system?socket={sockets}/libvirt-sock-ro"
        ended = command_line.domstats("sample", "--connect", uri, prefix=NOBODY)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "Unable to get system bus connection" in line
    assert "start dbus and polkit" in line


def test_a_user_without_any_rights_may_sample(bed: Any) -> None:
    """As the remedies say: whoever only reads needs no group, and no socket but this one."""
    bed.folder.chmod(0o711)
    try:
        uri = f"qemu+unix:///system?socket={bed.folder}/sockets/libvirt-sock-ro"
        ended = command_line.domstats("sample", "--connect", uri, prefix=NOBODY)
    finally:
        bed.folder.chmod(0o700)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(guest.name in ended.stdout for guest in bed.guests)


def test_telegraf_logs_who_is_sampled_and_by_which_version_in_one_line(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri))
    telegraf = start(Telegraf, execd(settings))

    def introductions() -> list[str]:
        return [line for line in telegraf.log.splitlines() if " samples QEMU " in line]

    def versions() -> list[str]:
        rounds = [point for point in telegraf.points() if point.measurement == "domstats_round"]
        return [point.tags["version"] for point in rounds]

    wait_for("the line", introductions)
    before = len(versions())
    wait_for("three more rounds", lambda: len(versions()) >= before + 3)
    [line] = introductions()
    with bed.connection() as connection:
        number = connection.getLibVersion()
        running = len(connection.listAllDomains(1))
    assert f"(libvirt {number // 10**6}.{number // 1000 % 1000}.{number % 1000})" in line
    assert f"{bed.uri}: domstats {domstats.__version__} samples QEMU" in line
    assert f"{len(bed.guests)} domains ({running} running); process watch on, storage" in line
    assert " I! " in line
    assert set(versions()) == {domstats.__version__}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_user_from_whom_proc_hides_the_guests_learns_what_the_watch_cannot_see(
    bed: Any, open_folder: Path
) -> None:
    """A /proc of its own with hidepid, and a child of Telegraf in it that is nobody."""
    settings = open_folder / "domstats.toml"
    uri = f"qemu+unix:///system?socket={bed.folder}/sockets/libvirt-sock-ro"
    settings.write_text(libvirt_table(uri))
    inside = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    command = [*NOBODY, *DOMSTATS, "telegraf", "--config", str(settings)]
    child = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", inside, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugin")},
    )
    bed.folder.chmod(0o711)
    try:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write("\n")
        child.stdin.flush()
        line = child.stderr.readline()
    finally:
        bed.folder.chmod(0o700)
        child.communicate()
    assert line.startswith(f"I! {uri}: domstats ")
    assert re.search(
        r"process watch on, but sees 0 of \d+ processes \(/proc hides .*hidepid\)", line
    )


@pytest.mark.parametrize("agent", ["telegraf", "collectd"])
def test_an_entry_that_matches_nobody_is_logged_once_and_when_that_ends(
    agent: str, bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    known = bed.guests[0].name
    if agent == "telegraf":
        settings = tmp_path / "domstats.toml"
        chosen = f'domains = ["{known}", "{known.upper()}", "late"]'
        settings.write_text(libvirt_table(bed.uri, chosen))
        program = start(Telegraf, execd(settings))
        late = "'late'"
    else:
        chosen = f'Domain "{known}"\nDomain "{known.upper()}"\nDomain "/^late/"'
        program = start(Collectd, python_plugin(f'Connection "{bed.uri}"\n{chosen}'))
        late = "'/^late/'"

    def told() -> list[str]:
        return [line for line in program.log.splitlines() if " in the list of domains to " in line]

    def rounds() -> int:
        if agent == "telegraf":
            return sum(point.measurement == "domstats_round" for point in program.points())
        return len(program.series().get("collectd/domstats/bool-connected", ()))

    wait_for("three rounds", lambda: rounds() >= 3)
    [line] = told()
    unmatched = ", ".join(sorted([late, repr(known.upper())]))
    assert f"no domain matches {unmatched} in the list" in line
    [guest] = bed.add(Shape("late"))
    wait_for("the line that it is there", lambda: len(told()) == 2)
    assert f"a domain now matches {late} in" in told()[1]
    guest.remove()
    wait_for("the line that it is gone", lambda: len(told()) == 3)
    assert f"no domain matches {late} in" in told()[2]
    before = rounds()
    wait_for("two more rounds", lambda: rounds() >= before + 2)
    assert len(told()) == 3


def test_telegraf_logs_a_table_that_is_there_twice_and_a_deadline_beyond_the_interval_once(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    table = libvirt_table(bed.uri, "deadline = 20", 'statistics_groups = ["state"]')
    settings.write_text(2 * table)
    telegraf = start(Telegraf, execd(settings), 0.5)
    name = bed.guests[0].name

    def times() -> list[int]:
        points = [point for point in telegraf.points() if point.measurement == "libvirt_state"]
        return [point.time for point in points if point.tags["domain_name"] == name]

    wait_for("samples of both tables", lambda: len(times()) >= 30)
    [line] = [line for line in telegraf.log.splitlines() if "configured 2 times" in line]
    assert " W! " in line
    assert "each domain is sampled and sent 2 times; delete all but one" in line
    deadlines = [line for line in telegraf.log.splitlines() if "the deadline is 20 s" in line]
    assert len(deadlines) == 2  # of each table one
    assert all("rounds come late or not at all; set the deadline to" in line for line in deadlines)


def test_collectd_logs_that_it_is_its_own_python_that_lacks_libvirt(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """Not the one in PATH, which that Python takes for itself."""
    absent = "raise ModuleNotFoundError('No module named libvirt', name='libvirt')\n"
    (tmp_path / "libvirt.py").write_text(absent)
    plugin = python_plugin('Connection "test:///default"')
    first = f'ModulePath "{tmp_path}"\nImport "domstats'
    collectd = start(Collectd, plugin.replace('Import "domstats', first))

    def rounds() -> int:
        return len(collectd.series().get("collectd/domstats/bool-connected", ()))

    wait_for("three rounds", lambda: rounds() >= 3)
    [line] = [line for line in collectd.log.splitlines() if "libvirt-python" in line]
    assert re.search(r"not installed for the Python in /\S*collectd \(version 3\.\d+\.\d+", line)
    assert str(tmp_path) in line
