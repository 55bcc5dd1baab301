"""Guest agents: who is asked, over which connection, and what one that hangs costs others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from domstats.config.settings import Settings
from domstats.engine.agent_book import CALLS_MOST, STUCK_S
from domstats.hypervisor.guest_answers import FILE_SYSTEMS_MOST, TEXT_MOST
from domstats.model import FileSystem, GuestAgent, Sample, Status
from domstats.output.line_protocol import LineProtocol
from domstats.output.value_lists import CollectdOptions, ValueLists
from domstats.sampling.agent_look import AgentLook
from domstats.sampling.sampler import Sampler

from tests.line_parsers import parse_line
from tests.simhost import SimHost, wire
from tests.simhost.conftest import wait_until

INTERVAL_S = 60.0
#: All that may be asked over a connection that is not read-only: it opens, finds a domain, asks.
QUERIES = {
    "ConnectOpen",
    "ConnectClose",
    "ConnectSupportsFeature",
    "ConnectRegisterCloseCallback",
    "ConnectUnregisterCloseCallback",
    "DomainLookupByUUID",
    "DomainGetState",
    "DomainGetXMLDesc",
    "DomainGetGuestInfo",
    "DomainGetFSInfo",
}


def said(
    *file_systems: tuple[str, str, str], hostname: str = "web", total: int = 1000, used: int = 250
) -> list[list[Any]]:
    """An answer of virDomainGetGuestInfo: mount point, name and type of each file system."""
    text, number, bytes_ = wire.STRING, wire.UINT, wire.ULLONG
    parameters: list[list[Any]] = [
        ["user.count", number, 2],
        ["os.id", text, "debian"],
        ["os.version-id", text, "12"],
        ["hostname", text, hostname],
        ["fs.count", number, len(file_systems)],
    ]
    for n, (mountpoint, name, fstype) in enumerate(file_systems):
        parameters += [
            [f"fs.{n}.name", text, name],
            [f"fs.{n}.mountpoint", text, mountpoint],
            [f"fs.{n}.fstype", text, fstype],
            [f"fs.{n}.total-bytes", bytes_, total],
            [f"fs.{n}.used-bytes", bytes_, used],
            [f"fs.{n}.disk.count", number, 1],
            [f"fs.{n}.disk.0.alias", text, "vda"],
        ]
    return parameters


ROOT = said(("/", "vda1", "ext4"))


class Time:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rounds:
    """Rounds of a host with guest agents; ``time`` is that of the agents' pace alone."""

    def __init__(self, uri: str) -> None:
        self.time = Time()
        self.log: list[str] = []
        # Patient with domains and not waiting for their disks: none is late on a busy machine.
        settings = Settings(
            uri=uri,
            guest_agent=True,
            guest_agent_interval=INTERVAL_S,
            soft_deadline=2.0,
            storage_watch=False,
        )
        self._sampler = Sampler(settings, lambda level, text: self.log.append(text))
        self.look = AgentLook(settings, lambda level, text: self.log.append(text), clock=self.time)
        self._sampler._beside = (self.look,)
        self.found: dict[str, GuestAgent] = {}

    def round(self) -> Sample:
        sample = self._sampler.sample(60.0)
        assert sample.round.connected
        self.found.update((agent.name, agent) for agent in sample.agents)
        return sample

    def until(self, *names: str, responsive: bool = True) -> None:
        """Make rounds until these agents were reported so."""

        def is_found() -> bool:
            self.round()
            found = [self.found.get(name) for name in names]
            return all(agent is not None and agent.responsive is responsive for agent in found)

        wait_until(is_found)

    def later(self, seconds: float) -> None:
        """Some time passes, in which no call is under way."""
        wait_until(lambda: not self.look.under_way)
        self.time.now += seconds

    def asked_anew(self, host: SimHost, names: list[str]) -> None:
        """Make rounds, as many intervals apart as it takes, until all agents were asked."""

        def are_asked() -> bool:
            self.later(10 * INTERVAL_S)
            self.round()
            return all(host.control.agent_calls(names).values())

        wait_until(are_asked)

    def warnings(self) -> list[str]:
        return [text for text in self.log if "guest agent" in text]

    def close(self) -> None:
        self._sampler.close()


@pytest.fixture
def rounds(host: SimHost) -> Iterator[Rounds]:
    made = Rounds(host.uri)
    yield made
    host.control.set_agent(connected=False)
    made.close()


def held(host: SimHost) -> int:
    """Workers that are busy."""
    busy: int = host.control.statistics()["workers"]["busy"]
    return busy


def test_running_domains_whose_agent_is_connected_are_asked_and_no_others(
    host: SimHost, rounds: Rounds
) -> None:
    asked, absent, stopped, paused, *_ = sorted(each["name"] for each in host.control.domains())
    host.control.set_agent([asked, stopped, paused], said=ROOT)
    host.control.set_agent(absent, connected=False, said=ROOT)
    host.control.stop(stopped)
    host.control.suspend(paused)
    rounds.until(asked)
    calls = host.control.statistics()["calls"]
    wait_until(lambda: rounds.round() and host.control.statistics()["workers"]["busy"] == 0)
    assert set(rounds.found) == {asked}
    calls_of = host.control.agent_calls([asked, absent, stopped, paused])
    assert calls_of == {asked: 1, absent: 0, stopped: 0, paused: 0}
    assert calls["DomainGetGuestInfo"] == 1
    agent = rounds.found[asked]
    assert (agent.os_id, agent.os_version, agent.hostname) == ("debian", "12", "web")
    assert agent.users == 2
    assert agent.filesystems == (FileSystem("vda1", "/", "ext4", ("vda",), 1000, 250),)
    assert not rounds.warnings()
    host.control.start(stopped)


def test_over_connections_that_are_not_read_only_agents_are_queried_and_nothing_else(
    host: SimHost, rounds: Rounds
) -> None:
    host.control.set_agent(said=ROOT)
    names = [each["name"] for each in host.control.domains()]
    rounds.until(*names)
    for mode in ("silent", "dies", "nonsense", "limited"):
        host.control.set_agent(said=ROOT, mode=mode)
        rounds.asked_anew(host, names)
    host.control.fail("DomainGetGuestInfo", code=wire.NO_SUPPORT)
    host.control.set_agent(said=ROOT)
    rounds.later(100 * INTERVAL_S)
    wait_until(lambda: rounds.round() and host.control.statistics()["calls"].get("DomainGetFSInfo"))
    assert set(host.control.statistics()["writers_calls"]) <= QUERIES


def test_without_the_option_every_connection_is_read_only(host: SimHost) -> None:
    host.control.set_agent(said=ROOT)
    with Sampler(Settings(uri=host.uri)) as sampler:
        assert not sampler.sample(60.0).agents
    statistics = host.control.statistics()
    assert not statistics["writers_calls"]
    assert "DomainGetGuestInfo" not in statistics["calls"]
    host.control.set_agent(connected=False)


def test_an_agent_is_asked_once_in_its_interval_however_many_rounds_there_are(
    host: SimHost, rounds: Rounds
) -> None:
    host.control.set_agent(said=ROOT)
    names = [each["name"] for each in host.control.domains()]
    rounds.until(*names)
    for _ in range(3):
        rounds.round()
    assert set(host.control.agent_calls().values()) == {1}
    rounds.later(2 * INTERVAL_S)
    wait_until(
        lambda: rounds.round() and set(host.control.agent_calls().values()) == {2}
    )


def test_stuck_agents_hold_a_few_workers_and_cost_no_round_and_no_other_agent_anything(
    host: SimHost, rounds: Rounds
) -> None:
    names = sorted(each["name"] for each in host.control.domains())
    stuck, well = names[:3], names[3:]
    host.control.set_agent(stuck, mode="stuck", said=ROOT)
    host.control.set_agent(well, said=ROOT)

    def all_are_known() -> bool:
        sample = rounds.round()
        assert {domain.status for domain in sample.domains} == {Status.FRESH}
        assert sample.round.stuck_calls == 0
        rounds.time.now += STUCK_S / 2
        return set(rounds.found) == set(names)

    wait_until(all_are_known)
    assert {name for name, agent in rounds.found.items() if not agent.responsive} == set(stuck)
    wait_until(lambda: held(host) == len(stuck))
    said_of = " ".join(rounds.warnings())
    assert [said_of.count(name) for name in stuck] == [1, 1, 1]
    host.control.set_agent(stuck, said=ROOT)
    rounds.asked_anew(host, stuck)
    rounds.until(*names)
    assert any("answer again" in text for text in rounds.warnings())
    wait_until(lambda: held(host) == 0)


def test_when_all_agents_hang_no_more_workers_are_held_than_the_limit(
    host: SimHost, rounds: Rounds
) -> None:
    host.control.set_agent(mode="stuck", said=ROOT)
    for _ in range(3 * CALLS_MOST):
        sample = rounds.round()
        assert {domain.status for domain in sample.domains} == {Status.FRESH}
        rounds.time.now += 2 * STUCK_S
    wait_until(lambda: held(host) == CALLS_MOST)
    rounds.round()
    wait_until(lambda: held(host) == CALLS_MOST)
    assert sum(host.control.agent_calls().values()) == CALLS_MOST
    assert sum("no other agent is asked" in text for text in rounds.log) == 1


@pytest.mark.parametrize("mode", ["silent", "dies", "nonsense"])
def test_an_agent_that_fails_is_reported_and_said_once(
    host: SimHost, rounds: Rounds, mode: str
) -> None:
    bad, good, *_ = sorted(each["name"] for each in host.control.domains())
    host.control.set_agent(bad, mode=mode, said=ROOT)
    host.control.set_agent(good, said=ROOT)
    rounds.until(bad, responsive=False)
    rounds.until(good)
    for _ in range(5):
        rounds.later(INTERVAL_S)
        rounds.until(good)
    (line,) = rounds.warnings()
    assert f"guest agents that do not answer: {bad};" in line


def test_an_agent_without_some_command_still_tells_its_file_systems(
    host: SimHost, rounds: Rounds
) -> None:
    name = host.control.domains()[0]["name"]
    host.control.set_agent(name, mode="limited", said=ROOT)
    rounds.until(name)
    assert [found.mountpoint for found in rounds.found[name].filesystems] == ["/"]
    assert host.control.agent_calls(name) == {name: 2}
    rounds.later(2 * INTERVAL_S)
    wait_until(lambda: rounds.round() and host.control.agent_calls(name) == {name: 3})


def test_a_server_without_the_newer_call_tells_file_systems_without_sizes(
    host: SimHost, rounds: Rounds
) -> None:
    name = host.control.domains()[0]["name"]
    host.control.set_agent(name, said=ROOT)
    host.control.fail("DomainGetGuestInfo", code=wire.NO_SUPPORT)
    rounds.until(name)
    assert rounds.found[name].filesystems == (FileSystem("vda1", "/", "ext4", ("vda",)),)


def test_a_monitor_that_hangs_leaves_the_agent_waiting_and_nobody_else(
    host: SimHost, rounds: Rounds
) -> None:
    hung, well, *_ = sorted(each["name"] for each in host.control.domains())
    host.control.set_agent([hung, well], said=ROOT)
    host.control.hold_job(hung)
    rounds.until(hung, responsive=False)  # it has waited for the job, as long as libvirt lets it
    rounds.until(well)
    host.control.release_job(hung)
    rounds.later(2 * INTERVAL_S)
    rounds.until(hung)


def test_who_may_only_read_is_told_once_what_to_do_and_samples_all_else(
    host: SimHost, rounds: Rounds
) -> None:
    host.control.set_agent(said=ROOT)
    host.control.refuse_writers()
    for _ in range(4):
        sample = rounds.round()
        assert {domain.status for domain in sample.domains} == {Status.FRESH}
        rounds.later(INTERVAL_S)
    (line,) = rounds.warnings()
    for words in ("no guest agent can be asked", "access denied by policy", "unix.manage"):
        assert words in line
    assert host.control.statistics()["writers_calls"]["ConnectOpen"] <= 4
    host.control.refuse_writers(False)
    rounds.later(10 * INTERVAL_S)
    rounds.until(*(each["name"] for each in host.control.domains()))
    assert any("guest agents are asked again" in text for text in rounds.log)


HOSTILE = (
    'a\nb,c=d "e\\',
    "\x1b[31m\x00\u202e/",
    "${PATH}$(reboot)",
    "x" * 100_000,
    "/../../etc",
    "\\",
)


def test_what_a_guest_says_is_bounded_and_written_as_one_line_each(
    host: SimHost, rounds: Rounds
) -> None:
    name = host.control.domains()[0]["name"]
    mounts = [
        (f"{HOSTILE[n % 6]}{n}", HOSTILE[(n + 1) % 6], HOSTILE[(n + 2) % 6]) for n in range(200)
    ]
    host.control.set_agent(name, said=said(*mounts, hostname=HOSTILE[0]))
    sample = None

    def is_found() -> bool:
        nonlocal sample
        sample = rounds.round()
        return bool(sample.agents)

    wait_until(is_found)
    assert sample is not None
    (agent,) = sample.agents
    assert all(len(found.mountpoint) <= TEXT_MOST for found in agent.filesystems)
    lines = LineProtocol().encode(sample).decode().splitlines()
    ours = [parse_line(line) for line in lines if line.startswith("domstats_filesystem")]
    assert len(ours) == len({found.mountpoint for found in agent.filesystems})
    assert {line["tags"]["domain_name"] for line in ours} == {name}
    lists = ValueLists(CollectdOptions(extra_stats=frozenset({"fs_info"}), report_round=False))
    parts = [
        (head[0], head[1])
        for batch in lists.translate(sample, 10.0)
        for head in batch.heads
        if batch.plugin == "domstats"
    ]
    assert len(parts) == len(set(parts)), "no two value lists of one name"
    assert all(len(text.encode()) <= 127 for part in parts for text in part)
    assert not any(re.search(r"[/\x00-\x1f\x7f]", text) for part in parts for text in part)
    notices = [each for each in lists.notifications(sample) if each.type == "file_system"]
    assert len(notices) == 200
    texts = [value for each in notices for _, value in each.meta if isinstance(value, str)]
    assert not any(re.search(r"[\x00-\x1f\x7f]", text) for text in texts)


def test_ten_thousand_file_systems_cost_their_own_domain_alone(
    host: SimHost, rounds: Rounds
) -> None:
    many, beyond, well, *_ = sorted(each["name"] for each in host.control.domains())
    mounts = [(f"/{n}", f"vd{n}", "ext4") for n in range(10_000)]
    host.control.set_agent(many, said=said(*mounts))
    host.control.set_agent(beyond, said=said(*mounts), unbounded=True)
    host.control.set_agent(well, said=ROOT)
    rounds.until(well)
    rounds.until(many, beyond, responsive=False)


def test_more_file_systems_than_the_limit_are_counted(host: SimHost, rounds: Rounds) -> None:
    name = host.control.domains()[0]["name"]
    mounts = [(f"/{n}", f"vd{n}", "ext4") for n in range(FILE_SYSTEMS_MOST + 4)]
    host.control.set_agent(name, said=said(*mounts))
    rounds.until(name)
    agent = rounds.found[name]
    assert (len(agent.filesystems), agent.left_out) == (FILE_SYSTEMS_MOST, 4)


def test_closing_waits_for_no_agent(host: SimHost) -> None:
    host.control.set_agent(mode="stuck", said=ROOT)
    made = Rounds(host.uri)
    wait_until(lambda: made.round() and sum(host.control.agent_calls().values()) == 2)
    made.close()
    host.control.set_agent(connected=False)
