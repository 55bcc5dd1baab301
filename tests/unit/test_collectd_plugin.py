"""The module in collectd: what collectd calls, and what it gets. collectd is made up here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import msgspec
import pytest
from domstats import collectd_plugin
from domstats.agents.collectd_daemon import Daemon
from domstats.agents.collectd_output import collectd_options
from domstats.collectd_plugin import (
    LINE_BYTES,
    NOT_KNOWN,
    register_plugin,
)
from domstats.config.collectd import MODULE
from domstats.config.collectd_conf import read
from domstats.config.settings import Settings
from domstats.errors import ConfigError
from domstats.model import (
    Change,
    DomainSample,
    FileSystem,
    GuestAgent,
    Round,
    Sample,
    Status,
)

from tests.unit.fake_sampler import FakeSampler
from tests.unit.rows import each_row

UUID = "11111111-2222-4333-8444-555555555555"
PATIENCE_S = 60.0
#: The arguments of Values.dispatch() in the order of collectd-python(5).
DISPATCHED = (
    "type", "values", "plugin_instance", "type_instance", "plugin", "host", "time", "interval",
)  # fmt: skip


def option(key: str, *values: Any) -> Any:
    return SimpleNamespace(key=key, values=values, children=())


class FakeValues:
    def __init__(self, collectd: FakeCollectd) -> None:
        self._collectd = collectd

    def dispatch(self, *values: Any) -> None:
        parts = dict(zip(DISPATCHED, values))
        if parts["type"] in self._collectd.unknown_types:
            raise TypeError(f"Dataset {parts['type']} not found")
        self._collectd.dispatched.append(parts)


class FakeNotification:
    def __init__(self, collectd: FakeCollectd, parts: dict[str, Any]) -> None:
        self._collectd = collectd
        self._parts = parts

    def dispatch(self) -> None:
        self._collectd.notified.append(self._parts)


class FakeCollectd:
    """collectd's Python module, as far as ``man collectd-python`` describes it."""

    NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY = 1, 2, 4

    class CollectdError(Exception):
        """What a callback raises to say that it failed."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, str]] = []
        self.dispatched: list[dict[str, Any]] = []
        self.notified: list[dict[str, Any]] = []
        self.unknown_types: set[str] = set()
        self.reads: dict[str, tuple[Callable[[], None], Optional[float]]] = {}
        self.callbacks: dict[str, Callable[..., None]] = {}
        self.names: set[Optional[str]] = set()

    def register_config(self, callback: Any, data: Any = None, name: Any = None) -> None:
        self.callbacks["config"] = callback
        self.names.add(name)

    def register_init(self, callback: Any, data: Any = None, name: Any = None) -> None:
        self.callbacks["init"] = callback
        self.names.add(name)

    def register_shutdown(self, callback: Any, data: Any = None, name: Any = None) -> None:
        self.callbacks["shutdown"] = callback
        self.names.add(name)

    def register_read(
        self, callback: Any, interval: Optional[float] = None, data: Any = None, name: str = ""
    ) -> None:
        assert name not in self.reads, "every callback needs a unique identifier"
        self.reads[name] = (callback, interval)

    def error(self, text: str) -> None:
        self.logged.append(("error", text))

    def warning(self, text: str) -> None:
        self.logged.append(("warning", text))

    def info(self, text: str) -> None:
        self.logged.append(("info", text))

    def debug(self, text: str) -> None:
        self.logged.append(("debug", text))

    def get_dataset(self, name: str) -> list[tuple[Any, ...]]:
        if name in self.unknown_types:
            raise TypeError(f"Dataset {name} not found")
        return [("value", "gauge", 0.0, None)]

    class Unsigned(int):
        """A number of collectd's without a sign."""

    def Values(self) -> FakeValues:
        return FakeValues(self)

    def Notification(self, **parts: Any) -> FakeNotification:
        return FakeNotification(self, parts)

    # -- what collectd does

    def configure(self, *lines: Any) -> None:
        self.callbacks["config"](SimpleNamespace(key="Module", values=(MODULE,), children=lines))

    def init(self) -> None:
        self.callbacks["init"]()

    def shutdown(self) -> None:
        self.callbacks["shutdown"]()

    def read(self, number: int = 1) -> None:
        self.reads[f"domstats-{number}"][0]()


class OneDomain(FakeSampler):
    """Gives samples of one domain with these statistics, in a part."""

    def __init__(self, settings: Settings, log: Callable[[str, str], None]) -> None:
        super().__init__(settings, log)
        self.for_the_end = 0
        self.stats: dict[str, Any] = {"state.state": 1, "cpu.time": 5, "balloon.current": 1024}
        self.changes: tuple[Change, ...] = ()
        self.agents: tuple[GuestAgent, ...] = ()
        self.failure: Optional[Exception] = None
        self.connected = True
        self.closing: Callable[[], object] = lambda: None

    def samples(self, number: int) -> Sample:
        if self.failure is not None:
            raise self.failure
        domain = DomainSample(UUID, "web", Status.FRESH, dict(self.stats))
        this = Round(domains=1, connected=self.connected)
        sample = Sample(self.settings.uri, 1_500_000_000, (domain,), this, changes=self.changes)
        sample.agents = self.agents
        return sample

    def close(self) -> None:
        self.closing()
        super().close()


class World:
    """collectd with our plugin, and the samplers that it made."""

    def __init__(self, daemon: Daemon = NOT_KNOWN, loaded: Collection[str] = ()) -> None:
        self.collectd = FakeCollectd()
        self.samplers: list[OneDomain] = []
        register_plugin(self.collectd, self._make, daemon, loaded.__contains__)

    def _make(self, settings: Settings, log: Callable[[str, str], None]) -> OneDomain:
        self.samplers.append(OneDomain(settings, log))
        return self.samplers[-1]

    def virt(self) -> dict[str, Any]:
        """Values of plugin virt by type and instance."""
        return {
            "-".join(filter(None, (each["type"], each["type_instance"]))): each["values"]
            for each in self.collectd.dispatched
            if each["plugin"] == "virt"
        }


@pytest.fixture
def world() -> World:
    return World()


# --- Configuration ------------------------------------------------------------------------------


def test_callbacks_have_the_name_that_is_imported(world: World) -> None:
    assert world.collectd.names == {"domstats.collectd_plugin"}
    assert collectd_plugin.__name__ == MODULE


def test_each_block_is_a_hypervisor_with_a_read_of_its_own(world: World) -> None:
    world.collectd.configure(option("Connection", "test:///default"))
    world.collectd.configure(option("Connection", "qemu:///system"), option("Interval", 5.0))
    world.collectd.init()
    assert [interval for _, interval in world.collectd.reads.values()] == [None, 5.0]
    world.collectd.read(1)
    world.collectd.read(2)
    assert [each.settings.uri for each in world.samplers] == ["test:///default", "qemu:///system"]
    assert world.collectd.logged == []


def test_without_a_block_it_is_the_local_hypervisor_and_that_is_said(world: World) -> None:
    world.collectd.init()
    world.collectd.read()
    assert world.samplers[0].settings.uri == "qemu:///system"
    assert world.collectd.logged == [
        (
            "info",
            'domstats: there is no block <Module "domstats.collectd_plugin">: qemu:///system is'
            " sampled with the defaults; `domstats config collectd` prints a block with every"
            " option",
        )
    ]


def test_each_mistake_of_a_block_is_a_line_of_the_log(world: World) -> None:
    world.collectd.configure(option("HostnameFormat", "uuidd"), option("Lanes", 99.0))
    assert [level for level, _ in world.collectd.logged] == ["error", "error"]
    first, second = (text for _, text in world.collectd.logged)
    assert "block 1, option HostnameFormat: found 'uuidd'" in first
    assert "block 1, option Lanes: found 99" in second


def test_a_block_with_a_mistake_gets_one_clear_error_and_the_others_are_sampled(
    world: World,
) -> None:
    world.collectd.configure(option("HostnameFormat", "uuidd"))
    world.collectd.configure(option("Connection", "test:///default"))
    world.collectd.init()
    ((level, text),) = world.collectd.logged
    assert level == "error"
    assert text == (
        "domstats: collectd.conf, Module domstats.collectd_plugin block 1, option HostnameFormat:"
        " found 'uuidd', allowed is any of name, uuid, hostname, metadata (did you mean uuid?);"
        " this block is not sampled"
    )
    assert len(world.collectd.reads) == 1


def test_when_every_block_has_a_mistake_nothing_is_sampled(world: World) -> None:
    world.collectd.configure(option("Conection", "test:///default"))
    world.collectd.init()
    assert world.collectd.reads == {}
    world.collectd.shutdown()


def test_warnings_about_the_configuration_are_logged(world: World) -> None:
    world.collectd.configure(option("ExtraStats", "fs_info"))
    world.collectd.configure()
    world.collectd.init()
    levels = [level for level, _ in world.collectd.logged]
    assert levels == ["warning", "warning"]  # the selector, and two blocks for one server


def test_all_mistakes_of_a_block_are_told_a_line_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: Any, source: str) -> Any:
        raise ConfigError(f"{source}, option A: wrong", f"{source}, option B: wrong")

    monkeypatch.setattr(collectd_plugin, "parse_collectd", refuse)
    world.collectd.configure()
    source = f"domstats: collectd.conf, Module {MODULE} block 1, option"
    assert world.collectd.logged == [
        ("error", f"{source} A: wrong; this block is not sampled"),
        ("error", f"{source} B: wrong; this block is not sampled"),
    ]


def test_a_configuration_that_nobody_expected_does_not_raise_into_collectd(world: World) -> None:
    world.collectd.callbacks["config"](SimpleNamespace())
    ((level, text),) = world.collectd.logged
    assert (level, "unexpected AttributeError" in text) == ("error", True)


def test_nothing_is_started_before_init_and_no_thread_by_it(world: World) -> None:
    before = threading.active_count()
    world.collectd.configure()
    assert world.samplers == []
    world.collectd.init()
    assert threading.active_count() == before


# --- Beside collectd's own configuration file ---------------------------------------------------


HEAD = f"""\
Hostname "node-7"
Interval 3
LoadPlugin python
<Plugin python>
  Import "{MODULE}"
"""


def reads(folder: Path, text: str, *, tests: bool = False, loaded: Collection[str] = ()) -> World:
    """collectd that has read a configuration, and has called init."""
    (folder / "collectd.conf").write_text(text)
    world = World(Daemon("collectd.conf", str(folder), tests), loaded)
    for block in read(str(folder / "collectd.conf")).blocks(MODULE):
        world.collectd.configure(*block.children)
    world.collectd.init()
    return world


def block(*lines: str, name: str = MODULE) -> str:
    return "\n".join([f'  <Module "{name}">', *lines, "  </Module>", ""])


def test_a_mistake_is_told_with_the_file_and_line_of_its_block(tmp_path: Path) -> None:
    text = HEAD + block('Connection "test:///default"') + block('HostnameFormat "uuidd"')
    world = reads(tmp_path, text + "</Plugin>\n")
    ((level, line),) = world.collectd.logged
    assert level == "error"
    assert line.startswith(
        f"domstats: {tmp_path}/collectd.conf:9, Module {MODULE}, option HostnameFormat: found"
    )
    assert len(world.collectd.reads) == 1


def test_a_warning_is_told_with_the_file_and_line_too(tmp_path: Path) -> None:
    world = reads(tmp_path, HEAD + block('ExtraStats "fs_info"') + "</Plugin>\n")
    ((level, line),) = world.collectd.logged
    assert (level, f"{tmp_path}/collectd.conf:6, Module" in line) == ("warning", True)


@each_row("content", [None, "A\n", HEAD + block("Lanes 2") + "</Plugin>\n"])
def test_where_the_block_is_not_found_the_message_counts_blocks(
    tmp_path: Path, content: Optional[str]
) -> None:
    """No file, one that collectd would not take, one that has changed since."""
    if content is not None:
        (tmp_path / "collectd.conf").write_text(content)
    world = World(Daemon("collectd.conf", str(tmp_path)))
    world.collectd.configure(option("HostnameFormat", "uuidd"))
    world.collectd.init()
    ((_, line),) = world.collectd.logged
    assert line.startswith(f"domstats: collectd.conf, Module {MODULE} block 1, option")


@each_row(
    "name", ["domstats", "domstats.collectd-plugin", "Domstats.Collectd", "collectd_plugin"]
)
def test_a_block_of_another_name_is_told_of_and_nothing_is_sampled_in_its_place(
    tmp_path: Path, name: str
) -> None:
    world = reads(tmp_path, HEAD + block("Interval 5", name=name) + "</Plugin>\n")
    ((level, line),) = world.collectd.logged
    assert level == "error"
    assert line == (
        f'domstats: {tmp_path}/collectd.conf:6: collectd ignores the block <Module "{name}">, since'
        " no Import has its name: what it configures is not sampled. Write <Module"
        f' "{MODULE}">, below Import "{MODULE}"'
    )
    assert world.collectd.reads == {}


def test_a_block_above_the_import_is_told_of(tmp_path: Path) -> None:
    text = HEAD.replace("  Import", block("Interval 5") + "  Import") + "</Plugin>\n"
    world = reads(tmp_path, text)
    ((level, line),) = world.collectd.logged
    assert (level, "the Import of its module does not stand before it" in line) == ("error", True)


def test_a_module_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = 'Import "domstats_shipper"\n' + block("A 1", name="domstats_shipper")
    strange = block("A 1", name="openstack_plugin")
    text = HEAD + theirs + strange + block("Interval 5") + "</Plugin>\n"
    assert reads(tmp_path, text).collectd.logged == []


VIRT = "LoadPlugin virt\n<Plugin virt>\n{}\n</Plugin>\n"


@each_row(
    ("ours", "theirs", "told"),
    [
        ("Interval 5", "", True),
        ("Interval 5", 'Connection "qemu:///system"\nRefreshInterval 30', True),
        ('Connection "xen:///"', 'Connection "xen:///"', True),
        ("Interval 5", 'Connection "xen:///"', False),
        ('PluginInstanceFormat "name"', "", False),
        ('PluginInstanceFormat "name"', 'PluginInstanceFormat "name"', True),
    ],
)
def test_virt_beside_us_is_told_of_where_identifiers_are_the_same(
    tmp_path: Path, ours: str, theirs: str, told: bool
) -> None:
    text = HEAD + block(ours) + "</Plugin>\n" + VIRT.format(theirs)
    assert reads(tmp_path, text).collectd.logged == []  # it could not be loaded
    lines = reads(tmp_path, text, loaded={"virt"}).collectd.logged
    assert [level for level, _ in lines] == ["warning"] * told
    if told:
        assert f"virt is loaded too ({tmp_path}/collectd.conf:10)" in lines[0][1]
        assert "Remove LoadPlugin virt" in lines[0][1]


def test_virt_beside_us_is_told_of_where_the_configuration_is_not_known() -> None:
    world = World(loaded={"virt"})
    world.collectd.configure()
    world.collectd.init()
    ((level, line),) = world.collectd.logged
    assert (level, "collectd's plugin virt is loaded too. Both" in line) == ("warning", True)


def test_the_first_round_knows_collectds_interval_and_names_its_hostname(tmp_path: Path) -> None:
    named = block('HostnameFormat "hostname" "name"')
    world = reads(tmp_path, HEAD + named + "</Plugin>\n")
    world.collectd.read()
    (sampler,) = world.samplers
    assert sampler.deadlines == [pytest.approx(2.7)]
    assert {each["host"] for each in world.collectd.dispatched if each["plugin"] == "virt"} == {
        "node-7:web"
    }


def test_a_test_of_the_configuration_fails_for_a_mistake_and_a_run_goes_on() -> None:
    for tests in (False, True):
        world = World(Daemon(tests=tests))
        try:
            world.collectd.configure(option("HostnameFormat", "uuidd"))
        except world.collectd.CollectdError:
            assert tests
        else:
            assert not tests
        assert len(world.collectd.logged) == 1


def test_a_test_of_the_configuration_fails_for_a_block_of_another_name(tmp_path: Path) -> None:
    text = HEAD + block("Interval 5", name="domstats") + "</Plugin>\n"
    world = reads(tmp_path, text, tests=True)
    ((read_once, _),) = world.collectd.reads.values()
    with pytest.raises(world.collectd.CollectdError, match="ignored"):
        read_once()


def test_a_test_of_the_configuration_fails_if_nothing_can_be_sampled() -> None:
    world = World(Daemon(tests=True))
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read()
    world.samplers[0].connected = False
    with pytest.raises(world.collectd.CollectdError, match="qemu:///system could not be sampled"):
        world.collectd.read()


# --- Reading ------------------------------------------------------------------------------------


def test_a_read_dispatches_the_values_of_virt_with_the_time_of_the_sample(world: World) -> None:
    world.collectd.init()
    world.collectd.read()
    assert world.virt() == {"virt_cpu_total": (5,), "memory-total": (1024 * 1024.0,)}
    first = world.collectd.dispatched[0]
    assert first["time"] == 1.5
    assert (first["host"], first["plugin_instance"]) == ("web", "")
    assert {each["plugin"] for each in world.collectd.dispatched} == {"virt", "domstats"}


def test_a_fast_lane_is_a_read_of_its_own_for_what_it_knows_and_the_rest_stays(
    world: World,
) -> None:
    world.collectd.configure(option("FastInterval", 1.0), option("Deadline", 5.0))
    world.collectd.init()
    whole, fast = world.collectd.reads["domstats-1"], world.collectd.reads["domstats-1-fast"]
    assert (whole[1], fast[1]) == (None, 1.0)
    fast[0]()
    assert world.virt().keys() == {"virt_cpu_total"}
    assert all(each["plugin"] == "virt" for each in world.collectd.dispatched)
    world.collectd.dispatched.clear()
    whole[0]()
    assert world.virt().keys() == {"memory-total"}
    assert any(each["plugin"] == "domstats" for each in world.collectd.dispatched)
    (sampler,) = world.samplers
    assert (sampler.fast_deadlines, sampler.deadlines) == ([pytest.approx(0.9)], [5.0])


def test_values_that_not_every_round_has_say_when_the_next_ones_come(world: World) -> None:
    world.collectd.configure(option("Every", "balloon", 60.0))
    world.collectd.init()
    world.collectd.read()
    intervals = {each["type"]: each["interval"] for each in world.collectd.dispatched}
    assert (intervals["memory"], intervals["virt_cpu_total"]) == (60.0, 0.0)


def test_rounds_of_several_hypervisors_are_told_apart(world: World) -> None:
    world.collectd.configure(option("Connection", "test:///default"))
    world.collectd.configure(option("Connection", "qemu:///system"))
    world.collectd.init()
    for number in (1, 2):
        world.collectd.read(number)
    instances = {
        each["plugin_instance"]
        for each in world.collectd.dispatched
        if each["plugin"] == "domstats"
    }
    assert len(instances) == 2


def test_report_round_false_leaves_only_what_virt_sends(world: World) -> None:
    world.collectd.configure(option("ReportRound", False))
    world.collectd.init()
    world.collectd.read()
    assert {each["plugin"] for each in world.collectd.dispatched} == {"virt"}


def test_a_type_that_collectd_does_not_know_costs_nothing_else(world: World) -> None:
    world.collectd.unknown_types = {"virt_cpu_total"}
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read()
    world.collectd.read()
    assert "memory-total" in world.virt()
    ((level, text),) = world.collectd.logged
    assert level == "error"
    assert "collectd does not take values of type virt_cpu_total" in text


def test_a_domain_that_hangs_is_notified_of(world: World) -> None:
    world.collectd.init()
    world.collectd.read()
    world.samplers[0].changes = (
        Change(UUID, "web", False, 1_000_000_000, "process stopped"),
        Change(UUID, "web", True, 1_000_000_000),
    )
    world.collectd.read()
    assert [each["severity"] for each in world.collectd.notified] == [1, 4]
    failure = world.collectd.notified[0]
    assert failure["host"] == "web"
    assert "process stopped" in failure["message"]


def test_a_read_never_raises_and_tells_each_kind_of_trouble_once(world: World) -> None:
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read()
    world.samplers[0].failure = ZeroDivisionError("x")
    for _ in range(5):
        world.collectd.read()
    ((level, text),) = world.collectd.logged
    assert level == "error"
    assert text.startswith("domstats: qemu:///system: a round failed: unexpected ZeroDivisionError")
    world.samplers[0].failure = None
    world.collectd.dispatched.clear()
    world.collectd.read()
    assert world.virt()


def test_a_sampler_that_cannot_be_made_is_told_once() -> None:
    collectd = FakeCollectd()

    def refuse(settings: Settings, log: Any) -> Any:
        raise RuntimeError("no libvirt")

    register_plugin(collectd, refuse)
    collectd.configure()
    collectd.init()
    collectd.read()
    collectd.read()
    assert len(collectd.logged) == 1


def test_a_read_may_take_nine_tenths_of_the_interval(world: World) -> None:
    world.collectd.configure(option("Interval", 20.0))
    world.collectd.configure(option("Connection", "test:///default"), option("Deadline", 3.0))
    world.collectd.init()
    world.collectd.read(1)
    world.collectd.read(2)
    assert world.samplers[0].deadlines == [pytest.approx(18.0)]
    assert world.samplers[1].deadlines == [3.0]


def test_collectds_interval_is_learned_from_its_reads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 8.0])
    monkeypatch.setattr(collectd_plugin, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    world.collectd.init()
    for _ in range(3):
        world.collectd.read()
    assert world.samplers[0].deadlines == [pytest.approx(each) for each in (9.0, 3.6, 3.6)]


def test_a_deadline_longer_than_the_learned_interval_is_one_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr(collectd_plugin, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    world.collectd.configure(option("Connection", "test:///default"), option("Deadline", 30.0))
    world.collectd.init()
    for _ in range(20):
        world.collectd.read()
    ((level, text),) = world.collectd.logged
    assert level == "warning"
    assert "test:///default: the deadline is 30 s, and a round is due each 4 s: " in text


# --- The log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["error", "warning", "info", "debug"])
def test_what_the_sampler_logs_is_one_bounded_line_of_its_level(world: World, level: str) -> None:
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read()
    world.samplers[0].log(level, "guest 'a\n\0b' hangs " + "ü" * 2000)
    ((seen, text),) = world.collectd.logged
    assert seen == level
    assert text.startswith("domstats: guest 'a\\n\\x00b' hangs ü")
    assert len(text.encode()) <= LINE_BYTES


# --- The end ------------------------------------------------------------------------------------


def test_shutdown_closes_all_samplers(world: World) -> None:
    world.collectd.configure(option("Connection", "test:///default"))
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read(1)  # the other was never read
    world.collectd.shutdown()
    assert [each.closed.is_set() for each in world.samplers] == [True]


def test_shutdown_does_not_wait_for_what_is_stuck(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectd_plugin, "CLOSE_S", 0.05)
    world.collectd.configure(option("Connection", "test:///default"))
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read(1)
    world.collectd.read(2)
    stuck, closed = threading.Event(), threading.Event()

    def close() -> None:
        stuck.wait(PATIENCE_S)
        closed.set()

    world.samplers[0].closing = close
    world.collectd.shutdown()
    assert not closed.is_set()
    assert world.samplers[1].closed.is_set()
    stuck.set()


def with_guest_agent(world: World) -> None:
    """A round in which a guest agent has told of a file system on two disks."""
    found = FileSystem("vda1", "/", "ext4", ("vda", "vdb"), 100, 40)
    world.collectd.configure(option("GuestAgent", True), option("ExtraStats", "fs_info"))
    world.collectd.init()
    world.collectd.read()
    world.samplers[0].agents = (GuestAgent(UUID, "web", 2_000_000_000, filesystems=(found,)),)
    world.collectd.read()
    world.collectd.read()


def test_a_notification_of_a_file_system_has_the_names_that_virt_sends_along(
    world: World,
) -> None:
    with_guest_agent(world)
    told, _ = [each for each in world.collectd.notified if each["type"] == "file_system"]
    assert (told["plugin"], told["message"]) == ("virt", "File system information")
    assert told["severity"] == FakeCollectd.NOTIF_OKAY
    # As collectd goes through it, a name may come more than once.
    assert [(str(name), value) for name, value in told["meta"].items()] == [
        ("mountpoint", "/"),
        ("name", "vda1"),
        ("fstype", "ext4"),
        ("ndevAlias", 2),
        ("devAlias", "vda"),
        ("devAlias", "vdb"),
    ]
    assert isinstance(list(told["meta"].values())[3], FakeCollectd.Unsigned)


def test_a_collectd_without_the_type_of_such_notifications_is_told_so_once(world: World) -> None:
    world.collectd.unknown_types.add("file_system")
    with_guest_agent(world)
    assert not [each for each in world.collectd.notified if each["type"] == "file_system"]
    (line,) = [text for _, text in world.collectd.logged if "file_system" in text]
    assert "TypesDB" in line
    assert "df_complex" in {each["type"] for each in world.collectd.dispatched}


def test_a_fast_read_that_shutdown_overtook_says_nothing(world: World) -> None:
    world.collectd.configure(option("FastInterval", 1.0))
    world.collectd.init()
    fast, _ = world.collectd.reads["domstats-1-fast"]
    fast()
    world.collectd.shutdown()
    world.samplers[0].failure = RuntimeError("the sampler is closed")
    fast()
    assert world.collectd.logged == []


def test_a_read_that_shutdown_overtook_says_nothing(world: World) -> None:
    world.collectd.configure()
    world.collectd.init()
    world.collectd.read()
    world.collectd.shutdown()
    world.samplers[0].failure = RuntimeError("the sampler is closed")
    world.collectd.read()
    assert world.collectd.logged == []


# --- What it costs ------------------------------------------------------------------------------


def test_too_many_series_are_a_warning_once_and_all_are_sent(world: World) -> None:
    world.collectd.configure(option("MaxSeries", 1.0))
    world.collectd.init()
    for _ in range(3):
        world.collectd.read()
    ((level, text),) = world.collectd.logged
    assert level == "warning"
    assert text.startswith("domstats: qemu:///system: 2 series, more than MaxSeries (1); all of")
    assert {"virt_cpu_total", "memory-total"} <= set(world.virt())


def test_series_of_the_fast_lane_count_too(world: World) -> None:
    world.collectd.configure(option("MaxSeries", 1.0), option("FastInterval", 1.0))
    world.collectd.init()
    for name in ("domstats-1", "domstats-1-fast", "domstats-1"):
        world.collectd.reads[name][0]()
    ((_, text),) = world.collectd.logged
    assert "2 series, more than MaxSeries (1)" in text


def test_types_that_are_dropped_are_not_dispatched(world: World) -> None:
    world.collectd.configure(option("DropTypes", "memory"))
    world.collectd.init()
    world.collectd.read()
    assert set(world.virt()) == {"virt_cpu_total"}


# --- Names --------------------------------------------------------------------------------------


def test_the_options_of_names_and_selection_reach_the_writer() -> None:
    settings = Settings(
        interface_format="address",
        block_device_format="source",
        block_device_format_basename=True,
        report_block_devices=False,
        extra_stats=frozenset({"disk"}),
        report_round=False,
        totals=frozenset({"block"}),
        drop_types=frozenset({"memory"}),
    )
    options = collectd_options(settings, "here")
    for name in (
        "interface_format",
        "block_device_format",
        "block_device_format_basename",
        "report_block_devices",
        "report_network_interfaces",
        "extra_stats",
        "totals",
        "drop_types",
        "report_round",
        "hostname_format",
    ):
        assert getattr(options, name) == getattr(settings, name)
    assert options.round_instance == "here"
    assert options.wants_block("a", "b")
    assert options.plugin_instance_format == ("none",)


def test_devices_that_are_not_reported_have_no_figures_of_the_host_either() -> None:
    everything = Settings(pressure=True, interface_details=True, disk_throttle=True)
    assert collectd_options(everything).figures == everything.figures
    for option, hidden in (
        ("report_block_devices", "disk_throttle"),
        ("report_network_interfaces", "interface_details"),
    ):
        settings = msgspec.structs.replace(everything, **{option: False})
        assert everything.figures - collectd_options(settings).figures == {hidden}


@each_row(
    ("settings", "hostname"),
    [
        (Settings(), ""),
        (Settings(hostname_format=("hostname",)), ""),
        (Settings(hostname_format=("hostname", "name")), "node-1.example.org"),
        (Settings(plugin_instance_format=("hostname",)), "node-1.example.org"),
        (Settings(hostname_format=("hostname", "name"), hostname="said"), "said"),
    ],
)
def test_the_hosts_name_is_looked_up_only_where_a_combination_needs_it(
    settings: Settings, hostname: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(2, 1, 6, "node-1.example.org", ("127.0.0.1", 0))],
    )
    assert collectd_options(settings).hostname == hostname


def test_a_host_without_a_full_name_has_its_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError("no name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(socket, "gethostname", lambda: "node-1")
    assert collectd_options(Settings(plugin_instance_format=("hostname",))).hostname == "node-1"
