"""What is looked at beside the rounds arrives in samples, and no round waits for it for long."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from domstats.config.settings import Settings
from domstats.model import DeviceDetails, Devices, DomainSample, Nic, Round, Sample, Status
from domstats.sampling.beside import beside_of
from domstats.sampling.guest_looks import GuestLooks
from msgspec import UNSET

SETTINGS = Settings(pressure=True, interface_details=True)


class Looker:
    """Stands for the host's files: a look ends when the test lets it."""

    def __init__(self) -> None:
        self.trouble = ""
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.under_way = threading.Event()
        self.looks: list[Any] = []
        self.fails = False

    def look(self, guests: Collection[Any], now: float) -> dict[str, dict[str, float]]:
        self.looks.append(list(guests))
        self.under_way.set()
        self.goes_on.wait()
        if self.fails:
            raise RuntimeError("no such look")
        number = float(len(self.looks))
        found: dict[str, dict[str, float]] = {}
        for guest in guests:
            uuid, word = (guest, "pressure") if isinstance(guest, str) else (guest[0], "nic")
            found[uuid] = {word: number}
        return found


class World:
    def __init__(self) -> None:
        self.pressure, self.interfaces = Looker(), Looker()
        self.log: list[tuple[str, str]] = []
        self.looks = GuestLooks(
            SETTINGS,
            lambda level, text: self.log.append((level, text)),
            self.pressure,  # type: ignore[arg-type]
            self.interfaces,  # type: ignore[arg-type]
        )

    def round(self, *domains: DomainSample) -> list[Any]:
        self.looks.begin()
        sample = Sample("qemu:///system", 1, domains, Round())
        self.looks.add_to(sample)
        return [domain.beside for domain in domains]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.pressure.goes_on.set()
    world.looks.close()


def domain(uuid: str = "u1", **fields: Any) -> DomainSample:
    devices = Devices(details=DeviceDetails(nics=(Nic(name=f"vnet-{uuid}"),)))
    return DomainSample(uuid, uuid, Status.FRESH, {}, devices=devices, **fields)


def test_what_was_found_comes_with_the_second_sample_of_a_running_domain(world: World) -> None:
    gone, off = domain("u2"), domain("u3", active=False)
    gone.status = Status.GONE
    assert world.round(domain(), gone, off) == [UNSET, UNSET, UNSET]
    assert world.round(domain()) == [{"pressure": 1.0, "nic": 1.0}]
    assert world.pressure.looks == [["u1"]]
    assert world.interfaces.looks == [[("u1", (Nic(name="vnet-u1"),))]]


def test_a_look_that_takes_long_holds_up_no_round_and_its_findings_come_later(
    world: World,
) -> None:
    world.round(domain())
    world.pressure.goes_on.clear()
    assert world.round(domain()) == [UNSET]
    assert world.round(domain()) == [UNSET]
    assert len(world.pressure.looks) == 1, "no second look while one is under way"
    world.pressure.goes_on.set()
    assert world.looks._thread.idle.wait(10.0)
    assert world.round(domain()) != [UNSET]


def test_trouble_is_said_once(world: World) -> None:
    world.pressure.trouble = "this user may not read /a/cpu.pressure: the files have to be"
    for _ in range(3):
        world.round(domain())
    world.pressure.trouble = world.pressure.trouble.replace("/a/", "/b/")
    world.round(domain())
    assert [level for level, _ in world.log] == ["warning"]
    assert world.log[0][1].startswith("qemu:///system: this user may not read /a/cpu.pressure")


def test_a_look_that_fails_is_reported_and_the_next_one_is_tried(world: World) -> None:
    world.round(domain())
    world.pressure.fails = True
    assert world.round(domain()) == [UNSET]
    world.pressure.fails = False
    assert world.round(domain()) != [UNSET]
    assert [level for level, _ in world.log] == ["error"]


def test_who_wants_nothing_of_it_or_asks_another_host_has_no_looks() -> None:
    def kinds(**settings: Any) -> list[str]:
        found = beside_of(Settings(**settings), lambda level, text: None)
        return [type(each).__name__ for each in found]

    assert kinds() == []
    assert kinds(pressure=True) == kinds(interface_details=True) == ["GuestLooks"]
    assert kinds(pressure=True, uri="qemu+ssh://host/system") == []
