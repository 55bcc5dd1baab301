"""Guest agents of real guests, with QEMU's own agent and with ones that hang or lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import AbsentSystem, Shape
from tests.system.bed.fake_agent import FakeAgent, answer, file_system, plain
from tests.system.bed.linux import MOUNTPOINT
from tests.system.configurations import ROOT, execd, libvirt_table, python_plugin, virt_plugin
from tests.system.waiting import wait_for

OPTIONS = ("guest_agent = true", "guest_agent_interval = 1")

#: A module of collectd's Python plugin that writes down notifications with what goes with them.
LISTENER = """\
import json
import collectd

def write_down(told):
    row = [told.plugin, told.type, told.type_instance, told.host, told.severity, told.message]
    meta = {name: str(value) for name, value in (told.meta or {}).items()}
    with open(PATH, "a") as said:
        said.write(json.dumps([told.plugin_instance, row, list(meta.items())]) + "\\n")

collectd.register_notification(write_down)
"""


@pytest.fixture(scope="module")
def real(_bed_of_all: Any, missing: Any) -> Iterator[Any]:
    """A guest with a real agent, which takes some seconds to boot."""
    _bed_of_all.ensure(8)
    try:
        (guest,) = _bed_of_all.add(shape("real", "real"))
    except AbsentSystem as absent:
        missing(str(absent), "tests/system/install test")
    wait_for("its agent", lambda: has_agent(_bed_of_all, guest.name))
    yield guest
    guest.remove()


@pytest.fixture
def relays(real: Any, bed: Any) -> Callable[[int], list[Any]]:
    """``relays(2)`` starts two guests, each of whose agents a test may be."""
    return lambda count: bed.add(*(shape(f"relay-{number}", "relay") for number in range(count)))


def shape(name: str, agent: str) -> Shape:
    return Shape(name, nics=0, vcpus=1, agent=agent)


def has_agent(bed: Any, name: str) -> bool:
    with bed.connection() as connection:
        return "state='connected'" in connection.lookupByName(name).XMLDesc()


@pytest.fixture
def telegraf(bed: Any, start: Callable[..., Any], tmp_path: Path) -> Callable[[], Any]:
    """``telegraf()`` starts Telegraf with ours in it."""

    def started() -> Any:
        settings = tmp_path / "domstats.toml"
        settings.write_text(libvirt_table(bed.uri, *OPTIONS))
        return start(Telegraf, execd(settings), 1.0)

    return started


def points(telegraf: Any, measurement: str, guest: Any) -> list[Any]:
    return [
        point
        for point in telegraf.points()
        if point.measurement == measurement and point.tags.get("domain_name") == guest.name
    ]


def play(bed: Any, guest: Any, *arguments: Any, **options: Any) -> FakeAgent:
    """Be a guest's agent; libvirt knows of it when this returns."""
    path = guest.relay
    wait_for("the relay", path.exists)
    agent = FakeAgent(path, *arguments, **options)
    wait_for("the agent", lambda: has_agent(bed, guest.name))
    return agent


def test_telegraf_gets_the_file_systems_that_a_real_agent_tells(
    real: Any, telegraf: Callable[[], Any]
) -> None:
    running = telegraf()
    wait_for("file systems", lambda: len(points(running, "domstats_filesystem", real)) >= 2)
    last = points(running, "domstats_filesystem", real)[-1]
    tags = {name: last.tags.get(name) for name in ("mountpoint", "fstype", "device", "uuid")}
    assert tags == {
        "mountpoint": MOUNTPOINT,
        "fstype": "ext4",
        "device": "vda",
        "uuid": real.uuid,
    }
    total, used = (int(last.fields[name].value) for name in ("total_bytes", "used_bytes"))
    assert 0 < used < total < 8 * 2**20
    assert float(last.fields["used_percent"].value) == pytest.approx(100 * used / total)
    agent = points(running, "domstats_agent", real)[-1]
    assert int(agent.fields["responsive"].value) == 1
    assert agent.fields["guest_hostname"].value == "tiny"
    assert int(agent.fields["filesystems"].value) == 1
    times = [point.time for point in points(running, "domstats_filesystem", real)]
    assert times == sorted(set(times))


def test_at_a_socket_that_is_read_only_the_log_says_once_what_is_missing_and_all_else_is_sampled(
    bed: Any, real: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(f"{bed.uri}-ro", *OPTIONS))
    running = start(Telegraf, execd(settings), 1.0)
    wait_for("the log", lambda: "no guest agent can be asked" in running.log)
    before = len(points_of_rounds(running))
    wait_for("rounds", lambda: len(points_of_rounds(running)) >= before + 4)
    assert running.log.count("no guest agent can be asked") == 1
    assert "leave libvirt-sock-ro out of the URI" in running.log
    assert points(running, "libvirt_block", real)
    assert not points(running, "domstats_agent", real)


def notices(folder: Path, ours: bool) -> set[str]:
    said = folder / "said"
    lines = said.read_text().splitlines() if said.exists() else []
    rows = [json.loads(line) for line in lines]
    found = [row for row in rows if row[1][1] == "file_system"]
    return {json.dumps(row[1:]) for row in found if bool(row[0]) == ours}


def listening(folder: Path, plugins: str) -> str:
    """The configuration, with a listener in it, and the type that fs_info needs."""
    (folder / "listener.py").write_text(LISTENER.replace("PATH", repr(str(folder / "said"))))
    types = f'TypesDB "{ROOT}/plugin/domstats/collectd.types.db"\n'
    return types + plugins.replace(
        "</Plugin>", f'ModulePath "{folder}"\nImport "listener"\n</Plugin>', 1
    )


def test_collectd_is_notified_of_file_systems_as_by_virt_and_gets_their_sizes_besides(
    bed: Any,
    start: Callable[..., Any],
    tmp_path: Path,
    real: Any,
) -> None:
    options = f'Connection "{bed.uri}"\nDomain "{real.name}"\nExtraStats "fs_info"\n'
    more = "GuestAgent true\nGuestAgentInterval 1\nPluginInstanceFormat uuid"
    ours = python_plugin(options + more)
    collectd = start(Collectd, listening(tmp_path, ours) + virt_plugin(options))
    wait_for("virt's notifications", lambda: notices(tmp_path, ours=False))
    wait_for("ours", lambda: notices(tmp_path, ours=True))
    assert notices(tmp_path, ours=True) == notices(tmp_path, ours=False)
    (notice,) = notices(tmp_path, ours=True)
    assert json.loads(notice)[1] == [
        ["mountpoint", MOUNTPOINT],
        ["name", "vda"],
        ["fstype", "ext4"],
        ["ndevAlias", "1"],
        ["devAlias", "vda"],
    ]
    name = f"{real.name}/domstats-{real.uuid}/df_complex-used-srv_with space"
    wait_for("sizes", lambda: len(collectd.series(real.name).get(name, ())) >= 2)
    assert 0 < collectd.series(real.name)[name][-1].values[0] < 8 * 2**20


def test_collectd_without_the_type_says_so_once_and_sends_all_else(
    bed: Any, start: Callable[..., Any], real: Any
) -> None:
    options = f'Connection "{bed.uri}"\nExtraStats "fs_info"\nGuestAgent true\nGuestAgentInterval 1'
    collectd = start(Collectd, python_plugin(options))
    name = f"{real.name}/domstats/bool-guest_agent"
    wait_for("values", lambda: len(collectd.series(real.name).get(name, ())) >= 3)
    assert collectd.log.count("collectd has no type file_system") == 1
    assert "collectd.types.db" in collectd.log


def nothing(command: str) -> None:
    """An agent that has greeted, and then says nothing any more."""


@pytest.fixture
def hung(
    bed: Any, real: Any, relays: Callable[[int], list[Any]]
) -> Iterator[tuple[Any, Any, FakeAgent, FakeAgent]]:
    """Three guests' agents: one is well, one hangs after the greeting, one does not greet."""
    after, before = relays(2)
    with play(bed, after, nothing) as one, play(bed, before, greets=False) as other:
        yield real, (after, before), one, other


def test_agents_that_hang_cost_no_guest_a_sample_nor_another_agent_its_answer(
    hung: tuple[Any, Any, FakeAgent, FakeAgent], telegraf: Callable[[], Any]
) -> None:
    real, silent, after, _ = hung
    running = telegraf()

    def are_reported() -> bool:
        found = [points(running, "domstats_agent", guest) for guest in silent]
        return all(each and int(each[-1].fields["responsive"].value) == 0 for each in found)

    wait_for("agents that do not answer", are_reported)
    assert "guest-get-users" in after.asked, "it hangs in the middle of libvirt's questions"
    rounds_before = len(points_of_rounds(running))
    answers_before = len(points(running, "domstats_filesystem", real))
    wait_for("rounds", lambda: len(points_of_rounds(running)) >= rounds_before + 8)
    for point in points_of_rounds(running)[rounds_before:]:
        counts = {name: int(point.fields[name].value) for name in ("fresh", "domains")}
        assert counts["fresh"] == counts["domains"], "monitors answer, also of those guests"
        assert int(point.fields["stuck_calls"].value) == 0
    assert len(points(running, "domstats_filesystem", real)) > answers_before
    for guest in silent:
        assert len(points(running, "libvirt_block", guest)) >= 8
        assert not points(running, "domstats_domain", guest)
    named = [line for line in running.log.splitlines() if "guest agents that do not answer" in line]
    said = " ".join(named)
    assert [said.count(guest.name) for guest in silent] == [1, 1]


def points_of_rounds(telegraf: Any) -> list[Any]:
    return [point for point in telegraf.points() if point.measurement == "domstats_round"]


def test_an_agent_that_dies_while_it_is_asked_answers_again_when_it_is_back(
    bed: Any, relays: Callable[[int], list[Any]], telegraf: Callable[[], Any]
) -> None:
    (guest,) = relays(1)
    agent = play(bed, guest, nothing)
    running = telegraf()
    wait_for("a question", lambda: "guest-get-users" in agent.asked)
    agent.close()
    wait_for("its end", lambda: not has_agent(bed, guest.name))
    with play(bed, guest):
        wait_for("file systems", lambda: points(running, "domstats_filesystem", guest))
    (found,) = {point.tags["mountpoint"] for point in points(running, "domstats_filesystem", guest)}
    assert found == "/"


def test_ten_thousand_file_systems_with_hostile_names_cost_nobody_anything(
    bed: Any, real: Any, relays: Callable[[int], list[Any]], telegraf: Callable[[], Any]
) -> None:
    (liar,) = relays(1)
    lies = [
        [file_system(f"/{number}") for number in range(10_000)],
        [file_system("/" + "x" * 100_000, "a\nb,c=d \\"), file_system('/q"\n,= \\', "\x1b[31m")],
        "nonsense",
        [{"mountpoint": 7}],
    ]
    told = []

    def lie(command: str) -> bytes | None:
        if command != "guest-get-fsinfo":
            return plain(command)
        told.append(command)
        return answer(lies[len(told) % len(lies)])

    with play(bed, liar, lie):
        running = telegraf()
        wait_for("lies", lambda: len(told) > len(lies))
        wait_for("hostile names", lambda: points(running, "domstats_filesystem", liar))
    found = {point.tags["mountpoint"] for point in points(running, "domstats_filesystem", liar)}
    assert max(map(len, found)) <= 255
    assert points(running, "domstats_filesystem", real)
    assert "unexpected" not in running.log
    for point in points_of_rounds(running):
        assert point.fields["fresh"].value == point.fields["domains"].value
