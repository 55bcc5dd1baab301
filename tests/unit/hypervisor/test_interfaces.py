"""What the host's kernel knows of guests' interfaces: from a tree as sysfs has it, and answers of
rtnetlink that are put together as linux/if_link.h says.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from domstats.hypervisor.interfaces import (
    LASTS_S,
    Functions,
    HostInterfaces,
    ask_functions,
    functions_of,
    request,
)
from domstats.model import Nic

TAP = Nic(name="vnet0", type="bridge")
FUNCTION = Nic(address="52:54:00:00:00:09", type="hostdev", pci="0000:03:10.1")
COUNTERS = {"rx_pkts": 1, "tx_pkts": 2, "rx_bytes": 3, "tx_bytes": 4, "rx_drop": 8, "tx_drop": 9}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for name, speed, index in ("vnet0", "10000", 5), ("ens1f0", "25000", 7), ("down", "-1", 8):
        device = tmp_path / "class" / "net" / name
        device.mkdir(parents=True)
        (device / "speed").write_text(f"{speed}\n")
        (device / "ifindex").write_text(f"{index}\n")
    card = tmp_path / "bus" / "pci" / "devices" / "0000:03:00.0"
    (card / "net" / "ens1f0").mkdir(parents=True)
    for number, address in enumerate(("0000:03:10.0", "0000:03:10.1")):
        function = card.parent / address
        function.mkdir()
        (function / "physfn").symlink_to("../0000:03:00.0")
        (card / f"virtfn{number}").symlink_to(f"../{address}")
    return tmp_path


def attribute(type_: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack("=HH", len(data) + 4, type_) + data + b"\0" * (-len(data) % 4)


def function(number: int, *, counts: bool = True) -> bytes:
    """IFLA_VF_INFO of a virtual function: address, VLAN, and its counters."""
    values = {type_: (type_ + 1) * counts for type_ in range(9) if type_ != 6}
    counters = [attribute(type_, struct.pack("=Q", value)) for type_, value in values.items()]
    parts = [
        attribute(1, struct.pack("=I32s", number, b"\x52\x54")),
        attribute(2, struct.pack("=III", number, 0, 0)),
        attribute(8 | 0x8000, *counters),
    ]
    return attribute(1 | 0x8000, *parts)


def answer(*functions: bytes, kind: int = 16) -> bytes:
    """A message of RTM_NEWLINK: name, functions, and something that is not ours."""
    link = struct.pack("=BxHiII", 0, 1, 7, 0, 0)
    body = link + attribute(3, b"ens1f0\0") + attribute(22, *functions) + attribute(30, b"\0" * 8)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def test_a_tap_has_the_speed_that_the_kernel_says_read_once_a_minute(sysfs: Path) -> None:
    host = HostInterfaces(str(sysfs))
    assert host.look([("u1", [TAP])], 0.0) == {"u1": {"interface.0.speed": 10000}}
    (sysfs / "class" / "net" / "vnet0" / "speed").write_text("100\n")
    assert host.look([("u1", [TAP])], LASTS_S - 1) == {"u1": {"interface.0.speed": 10000}}
    assert host.look([("u1", [TAP])], LASTS_S) == {"u1": {"interface.0.speed": 100}}


def test_what_has_no_speed_has_no_figure(sysfs: Path) -> None:
    names = ("down", "elsewhere", "", "..", "../../secret", "a" * 300)
    nics = [Nic(name=name, type="bridge") for name in names]
    assert HostInterfaces(str(sysfs)).look([("u1", nics)], 0.0) == {}


def test_an_interface_without_device_has_the_counters_of_its_virtual_function(sysfs: Path) -> None:
    asked: list[int] = []

    def ask(index: int) -> Functions:
        asked.append(index)
        return functions_of(answer(function(0), function(1)))

    other = Nic(type="hostdev", pci="0000:03:10.0")
    domains = [("u1", [TAP, FUNCTION]), ("u2", [other])]
    found = HostInterfaces(str(sysfs), ask).look(domains, 0.0)
    assert asked == [7], "one question for each card"
    expected = {f"interface.1.{word}": value for word, value in COUNTERS.items()}
    assert found["u1"] == {
        "interface.0.speed": 10000, "interface.1.speed": 25000, **expected
    }  # fmt: skip
    assert found["u2"]["interface.0.rx_bytes"] == 3


def test_a_vhost_user_interface_and_a_whole_card_have_none(sysfs: Path) -> None:
    nics = [
        Nic(address="52:54:00:00:00:0a", type="vhostuser", source="/run/ovs/a"),
        Nic(address="52:54:00:00:00:0b", type="hostdev", pci="0000:03:00.0"),
        Nic(address="52:54:00:00:00:0c", type="hostdev", pci="0000:99:00.0"),
    ]
    assert HostInterfaces(str(sysfs), lambda index: {}).look([("u1", nics)], 0.0) == {}


def test_functions_of_a_driver_that_does_not_count_are_left_out() -> None:
    """The kernel answers zeros then."""
    assert functions_of(answer(function(0, counts=False), function(3))) == {3: COUNTERS}


def test_what_is_no_answer_about_a_link_has_no_functions() -> None:
    whole = answer(function(0), function(1))
    assert functions_of(b"") == {}
    assert functions_of(answer(function(0), kind=2)) == {}
    assert all(functions_of(whole[:cut]).keys() <= {0, 1} for cut in range(len(whole)))
    for at in range(16, len(whole)):  # lengths that are wrong
        functions_of(whole[:at] + b"\xff" + whole[at + 1 :])


def test_the_question_is_one_message_and_the_kernel_answers_it() -> None:
    asked = request(1)
    assert int.from_bytes(asked[:4], sys.byteorder) == len(asked) == 40
    assert ask_functions(1) == {}, "lo has no virtual functions"
    assert ask_functions(2**30) == {}, "there is no such link"
