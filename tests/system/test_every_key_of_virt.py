"""Every key that collectd's plugin virt makes a value of, with a value of its own: domstats beside
virt, both asking a simulated host."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable, Optional

import libvirt
import pytest
from domstats.output.schema import INDEX
from domstats.output.virt_schema import VALUE_LISTS

from tests.simhost import SimHost
from tests.system.agents import Collectd
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.virt_blocks import SELECTORS
from tests.system.waiting import wait_for

GUEST = "guest"
#: It stands still, since a disk of it has no space left.
STANDS = "stands still"
#: Of each kind of device: so many, from 0.
DEVICES = 2
DISKS = ("vda", "vdb")
#: The second of three is unplugged.
VCPUS = ("0", "2")
EVENTS = ("cmt", "cpu_cycles", "ref_cpu_cycles")
MEMORY_KIB = 123_456

#: What a disk says of its sizes in bulk and by virDomainGetBlockInfo, as `tests.simhost` has it.
SIZES = {
    f"block.{number}.{word}": (number + 1) * factor << 30
    for number in range(DEVICES)
    for word, factor in (("allocation", 1), ("capacity", 10), ("physical", 2))
}

#: Where the two differ, by the identifier of the difference in docs/migrating.md: the value lists
#: that it is about, and what virt sends where ours sends a number; None where it sends nothing.
DIFFERENT: Mapping[str, tuple[str, Callable[[float], Optional[float]]]] = {
    "swap-io": (r"swap_io-", lambda number: bits_of(number)),
    "page-faults": (r"ps_pagefaults", lambda number: bits_of(number)),
    "huge-pages": (r"memory-hugetlb_", lambda number: None),
    "disk-errors": (r"disk_error-", lambda number: None),
    "vcpu-numbers": (r"cpu_affinity-vcpu_2", lambda number: None),
}


def bits_of(value: float) -> float:
    """The bits of a floating point number, read as a whole number."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return float(bits)


def keys() -> Iterator[str]:
    """The keys that the value lists are made of, without those of our own."""
    for row in VALUE_LISTS:
        for pattern in row.keys:
            if not re.search(r"\.(error|affinity)$|\.info\.|^balloon\.used$", pattern):
                words = EVENTS if "<event>" in pattern else ("0", "1")
                words = VCPUS if pattern.startswith("vcpu.") else words
                for word in words:
                    yield pattern.replace(INDEX, word).replace("<event>", word)


def said() -> dict[str, tuple[int, Any]]:
    """A value of its own for every key."""
    numbers = itertools.count(7001, 1013)
    found = {key: (libvirt.VIR_TYPED_PARAM_ULLONG, next(numbers)) for key in keys()}
    for key, size in SIZES.items():
        found[key] = (libvirt.VIR_TYPED_PARAM_ULLONG, size)
    for key, number in (
        ("state.state", libvirt.VIR_DOMAIN_RUNNING),
        ("state.reason", libvirt.VIR_DOMAIN_RUNNING_BOOTED),
        ("balloon.current", MEMORY_KIB),
        ("balloon.maximum", MEMORY_KIB),
        ("balloon.last-update", 1_700_000_000),
        ("vcpu.current", DEVICES),
        ("vcpu.maximum", DEVICES + 1),
        ("net.count", DEVICES),
        ("block.count", DEVICES),
    ):
        found[key] = (libvirt.VIR_TYPED_PARAM_ULLONG, number)
    return found


@pytest.fixture
def host() -> Iterator[SimHost]:
    with SimHost(domains=0) as host:
        host.control.add(
            GUEST, vcpus=DEVICES, disks=DEVICES, interfaces=DEVICES, memory=MEMORY_KIB
        )
        [domain] = host.control.domains()
        texts = {}
        for number, path in enumerate(domain["paths"]):
            texts[f"net.{number}.name"] = f"tap{domain['uuid'].replace('-', '')[:8]}.{number}"
            texts[f"block.{number}.name"] = DISKS[number]
            texts[f"block.{number}.path"] = path
        text = {key: (libvirt.VIR_TYPED_PARAM_STRING, name) for key, name in texts.items()}
        host.control.say(GUEST, {**said(), **text})
        host.control.add(STANDS)
        host.control.set_disk_error(STANDS, DISKS[1], 2)
        host.control.suspend(STANDS, reason=libvirt.VIR_DOMAIN_PAUSED_IOERROR)
        yield host


def has_four(collectd: Collectd, name: str) -> bool:
    return len(collectd.series(GUEST).get(name, ())) >= 4


def test_each_value_of_each_key_is_that_of_virt(host: SimHost, start: Callable[..., Any]) -> None:
    options = f'Connection "{host.uri}"\nExtraStats "{SELECTORS}"\n'
    ours = 'PluginInstanceFormat "hostname"\nHostname "ours"\nReportRound false'
    collectd = start(Collectd, virt_plugin(options) + python_plugin(options + ours))

    def values(instance: str) -> dict[str, tuple[float, ...]]:
        return {
            f"{host}/{name}": rows[-1].values
            for identifier, rows in collectd.series().items()
            for host, plugin, name in [identifier.split("/")]
            if plugin == instance and len(rows) > 1
        }

    for plugin in ("virt", "virt-ours"):
        wait_for("four rounds", partial(has_four, collectd, f"{GUEST}/{plugin}/virt_cpu_total"))
    theirs, found = values("virt"), values("virt-ours")
    expected: dict[str, tuple[Optional[float], ...]] = {}
    shown = set()
    for name, numbers in found.items():
        expected[name] = numbers
        for difference, (pattern, of_virt) in DIFFERENT.items():
            if re.match(pattern, name.split("/")[1]):
                shown.add(difference)
                expected[name] = tuple(map(of_virt, numbers))
    for name in [name for name in theirs if "cpu_affinity-vcpu_1" in name]:
        assert theirs.pop(name) == found[name.replace("vcpu_1", "vcpu_2")], "counted through"
    assert theirs == {name: numbers for name, numbers in expected.items() if None not in numbers}
    assert shown == set(DIFFERENT)
    assert found[f"{STANDS}/disk_error-{DISKS[1]}"] == (2.0,)
    assert found[f"{GUEST}/swap_io-in"] == (said()["balloon.swap_in"][1],)
    assert "plugin: Array index out of bounds: tag_index = 11" in collectd.log
    values_of_keys = {number for numbers in found.values() for number in numbers}
    assert len(values_of_keys) > 60, "values of their own"
