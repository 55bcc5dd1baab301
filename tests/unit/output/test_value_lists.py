"""collectd's value lists: valid identifiers from any text, and virt's conditions and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import pytest
from domstats.errors import ConfigError
from domstats.model import Change, Devices, DomainSample, Round, Sample, Stats, Status
from domstats.output.identity import PART_BYTES, valid_part
from domstats.output.value_lists import MESSAGE_BYTES, CollectdOptions, Notification, ValueLists
from domstats.output.virt_plans import DERIVE_MAX
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.output.value_lists_told import ValueList, one_by_one
from tests.unit.rows import each_row

UUID = "11111111-2222-4333-8444-555555555555"
TIME = 10**18
INTERVAL = 10.0

texts = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from('/.~-_ ,="\\\n\0\x85'), st.just("\ud800")),
    max_size=300,
)


def domain(stats: Stats, name: str = "web-1", **fields: Any) -> DomainSample:
    status = fields.pop("status", Status.FRESH)
    return DomainSample(fields.pop("uuid", UUID), name, status, stats, **fields)


def sample(*domains: DomainSample, **fields: Any) -> Sample:
    fields = {"uri": "qemu:///system", "time_ns": TIME, "round": Round(), **fields}
    return Sample(domains=domains, **fields)


def options(*extra_stats: str, **given_: Any) -> CollectdOptions:
    return CollectdOptions(extra_stats=frozenset(extra_stats), **{"report_round": False, **given_})


def lists(of: CollectdOptions, *domains: DomainSample) -> list[ValueList]:
    return list(one_by_one(ValueLists(of).translate(sample(*domains), INTERVAL)))


def named(found: Sequence[ValueList]) -> dict[str, tuple[float, ...]]:
    """Values by type and type instance."""
    return {
        f"{part.type}-{part.type_instance}" if part.type_instance else part.type: part.values
        for part in found
    }


def told(by: ValueLists, seen: Sample) -> dict[str, tuple[float, ...]]:
    return named(list(one_by_one(by.translate(seen, INTERVAL))))


def values(stats: Stats, *extra_stats: str, **fields: Any) -> dict[str, tuple[float, ...]]:
    return named(lists(options(*extra_stats), domain(stats, **fields)))


# -- identifiers


def assert_valid(part: str) -> None:
    assert "/" not in part
    assert part.isprintable() or not set(part) & set(map(chr, (*range(32), *range(127, 160))))
    assert len(part.encode("utf-8")) <= PART_BYTES


@given(name=texts, metadata=texts, device=texts, path=texts, data=st.data())
def test_every_part_is_valid_whatever_the_texts(
    name: str, metadata: str, device: str, path: str, data: st.DataObject
) -> None:
    fields = st.lists(st.sampled_from(["name", "uuid", "metadata"]), min_size=1, max_size=3)
    of = CollectdOptions(
        hostname_format=tuple(data.draw(fields)),
        plugin_instance_format=tuple(data.draw(fields)),
        block_device_format=data.draw(st.sampled_from(["target", "source"])),
        block_device_format_basename=data.draw(st.booleans()),
        extra_stats=frozenset({"disk"}),
        hostname=name,
        round_instance=path,
    )
    stats: Stats = {
        "cpu.time": 1,
        "block.0.name": device,
        "block.0.path": path,
        "block.0.fl.reqs": 1,
        "net.0.name": device,
        "net.0.rx.bytes": 1,
        "net.0.tx.bytes": 1,
    }
    hung = domain(stats, name, labels={"metadata": metadata}, status=Status.UNRESPONSIVE)
    translator = ValueLists(of)
    seen = sample(hung, changes=(Change(UUID, name, False, TIME, reason=path),))
    parts: list[Union[ValueList, Notification]] = [
        *one_by_one(translator.translate(seen, INTERVAL))
    ]
    parts += translator.notifications(seen)
    for part in parts:
        assert_valid(part.host)
        assert part.host not in (".", "..")
        assert_valid(part.plugin_instance)
        assert_valid(part.type_instance)
    (notification,) = translator.notifications(seen)
    assert len(notification.message.encode("utf-8")) <= MESSAGE_BYTES
    assert "\n" not in notification.message


@given(one=texts, two=texts)
def test_no_two_domains_become_one(one: str, two: str) -> None:
    found = lists(options(), domain({"cpu.time": 1}, one), domain({"cpu.time": 2}, two, uuid="u2"))
    assert len({part.host for part in found}) == len({one, two})


def test_a_name_without_anything_odd_stays_itself() -> None:
    assert valid_part("instance-0006f26c_ü.x") == "instance-0006f26c_ü.x"


@each_row(
    ("text", "part"),
    [
        ("/var/lib/x.img", "var_lib_x.img"),
        ("flush-/var/lib/x.img", "flush-_var_lib_x.img"),
        ("/", "root"),
        ("//", "_"),
        ("", ""),
    ],
)
def test_slashes_are_replaced_as_collectd_does(text: str, part: str) -> None:
    assert valid_part(text) == part


def test_long_names_that_begin_alike_stay_two() -> None:
    one, two = valid_part("ü" * 100 + "1"), valid_part("ü" * 100 + "2")
    assert one != two
    assert one[:50] == two[:50] == "ü" * 50


def test_only_the_name_that_was_changed_gets_an_ending() -> None:
    found = lists(
        options(),
        domain({"cpu.time": 1}, "team/app"),
        domain({"cpu.time": 2}, "team_app", uuid="u2"),
    )
    hosts = {part.values: part.host for part in found}
    assert hosts[2,] == "team_app"
    assert hosts[1,].startswith("team_app~")
    assert [part.host for part in lists(options(), domain({"cpu.time": 1}, "team/app"))] == [
        "team_app"
    ]


@each_row(
    ("fields", "host"),
    [
        (("name",), "web-1"),
        (("uuid",), UUID),
        (("hostname",), "node7"),
        (("metadata",), "shop"),
        (("name", "uuid"), f"web-1:{UUID}"),
        (("hostname", "metadata", "name"), "node7:shop:web-1"),
    ],
)
def test_the_host_is_what_hostname_format_says(fields: tuple[str, ...], host: str) -> None:
    of = options(hostname_format=fields, hostname="node7")
    (part,) = lists(of, domain({"cpu.time": 1}, labels={"metadata": "shop"}))
    assert (part.host, part.plugin_instance) == (host, "")


@each_row(
    ("fields", "instance"),
    [
        (("none",), ""),
        (("name",), "web-1"),
        (("uuid", "name"), f"{UUID}:web-1"),
        (("name", "none", "uuid"), "web-1"),
        (("hostname",), "node7"),
    ],
)
def test_the_plugin_instance_is_what_its_format_says(
    fields: tuple[str, ...], instance: str
) -> None:
    of = options(plugin_instance_format=fields, hostname_format=("hostname",), hostname="node7")
    (part,) = lists(of, domain({"cpu.time": 1}))
    assert (part.host, part.plugin_instance) == ("node7", instance)


def test_domains_without_metadata_do_not_become_one() -> None:
    of = options(hostname_format=("metadata",))
    nothing = {"metadata": ""}
    found = lists(
        of,
        domain({"cpu.time": 1}, labels=nothing),
        domain({"cpu.time": 2}, "web-2", uuid="u2", labels=nothing),
    )
    assert [part.host for part in found] == ["web-1", "web-2"]


@each_row("option", ["hostname_format", "plugin_instance_format"])
def test_a_domain_whose_metadata_is_not_known_yet_gets_no_name_that_it_will_not_keep(
    option: str,
) -> None:
    options: dict[str, Any] = {option: ("metadata",)}
    of = CollectdOptions(**options)
    known = domain({"cpu.time": 1}, labels={"metadata": "shop"})
    new = domain({"cpu.time": 2}, "web-2", uuid="u2", status=Status.UNRESPONSIVE)
    told = [part for part in lists(of, known, new) if part.host]
    assert {part.values for part in told} == {(1,)}


def test_the_host_is_left_to_collectd_where_its_name_is_not_known() -> None:
    (part,) = lists(options(hostname_format=("hostname",)), domain({"cpu.time": 1}))
    assert part.host == ""


@each_row(
    "wrong",
    [
        {"hostname_format": ("nme",)},
        {"plugin_instance_format": ("nme",)},
        {"interface_format": "nme"},
        {"block_device_format": "nme"},
    ],
)
def test_a_format_that_does_not_exist_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'nme'; allowed are"):
        CollectdOptions(**wrong)


# -- devices

NICS: Stats = {
    "net.0.name": "vnet0", "net.0.rx.bytes": 1, "net.0.tx.bytes": 2,
    "net.3.name": "vnet3", "net.3.rx.bytes": 3, "net.3.tx.bytes": 4,
}  # fmt: skip
DISKS: Stats = {
    "block.0.name": "vda", "block.0.path": "/images/a.raw",
    "block.0.rd.reqs": 1, "block.0.wr.reqs": 2,
    "block.1.name": "sda", "block.1.rd.reqs": 3, "block.1.wr.reqs": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("images", "written", "expected"),
    [
        ({"vda"}, 393216, {"disk_allocation-vda": (331776,), "disk_physical-vda": (393216,)}),
        ({"vda"}, 0, {"disk_allocation-vda": (331776,), "disk_physical-vda": (331776,)}),
        (set(), 393216, {"disk_allocation-vda": (393216,), "disk_physical-vda": (331776,)}),
        (set(), 0, {"disk_allocation-vda": (331776,), "disk_physical-vda": (331776,)}),
    ],
    ids=["qcow2, written to", "qcow2, untouched", "raw, written to", "raw, untouched"],
)
def test_the_sizes_of_disks_are_those_of_virt(images, written, expected):
    stats: Stats = {
        "block.0.name": "vda",
        "block.0.path": "/images/a",
        "block.0.allocation": written,
        "block.0.physical": 331776,
    }
    found = lists(
        options("disk_allocation", "disk_physical"),
        domain(stats, devices=Devices(images=frozenset(images))),
    )
    assert named(found) == expected


@pytest.mark.parametrize("images", [frozenset({"vda"}), frozenset()], ids=["qcow2", "raw"])
def test_what_was_asked_for_of_a_disks_size_goes_before_what_the_bulk_answer_says(images):
    stats: Stats = {
        "block.0.name": "vda",
        "block.0.path": "/dev/vg/a",
        "block.0.allocation": 4096,
        "block.0.physical": 331776,
        "block.0.info.allocation": 0,  # of a block device that was not written to
        "block.0.info.physical": 393216,
    }
    found = lists(
        options("disk_allocation", "disk_physical"),
        domain(stats, devices=Devices(images=images)),
    )
    assert named(found) == {"disk_allocation-vda": (0,), "disk_physical-vda": (393216,)}


def test_a_nic_is_named_by_its_place_among_those_there_are() -> None:
    found = named(lists(options(interface_format="number"), domain(NICS)))
    assert found == {"if_octets-interface-1": (1, 2), "if_octets-interface-2": (3, 4)}


def test_a_nic_whose_address_is_not_known_yet_waits_for_it() -> None:
    of = options(interface_format="address")
    devices = Devices(addresses={"vnet3": "52:54:00:00:00:03"})
    assert named(lists(of, domain(NICS))) == {}
    assert named(lists(of, domain(NICS, devices=devices))) == {
        "if_octets-52:54:00:00:00:03": (3, 4)
    }


@each_row(
    ("interface_format", "asked"),
    [("name", ["vnet0", "vnet3"]), ("address", ["52:54"]), ("number", ["1", "2"])],
)
def test_nics_are_selected_by_the_name_that_they_go_by(
    interface_format: str, asked: list[str]
) -> None:
    seen: list[tuple[str, str]] = []

    def wants(name: str, device: str) -> bool:
        seen.append((name, device))
        return False

    of = options(interface_format=interface_format, wants_interface=wants)
    assert lists(of, domain(NICS, devices=Devices(addresses={"vnet0": "52:54"}))) == []
    assert seen == [("web-1", device) for device in asked]


def test_disks_are_selected_by_the_name_that_they_go_by() -> None:
    def wants(name: str, device: str) -> bool:
        return (name, device) == ("web-1", "/images/a.raw")

    by_source = options(
        block_device_format="source", block_device_format_basename=True, wants_block=wants
    )
    assert named(lists(by_source, domain(DISKS))) == {"disk_ops-a.raw": (1, 2)}
    assert named(lists(options(wants_block=wants), domain(DISKS))) == {}


def test_devices_stay_out_where_they_are_switched_off() -> None:
    of = options("disk", report_block_devices=False, report_network_interfaces=False)
    assert named(lists(of, domain({**DISKS, **NICS, "cpu.time": 1}))) == {"virt_cpu_total": (1,)}


def test_a_drive_without_a_disk_has_no_size() -> None:
    stats: Stats = {**DISKS, "block.0.capacity": 5, "block.1.capacity": 6}
    assert values(stats, "disk_capacity").keys() == {
        "disk_ops-vda", "disk_ops-sda", "disk_capacity-vda",
    }  # fmt: skip


def test_the_copy_of_a_disk_is_not_the_disk() -> None:
    stats: Stats = {**DISKS, "block.1.name": "vda"}
    assert values(stats) == {"disk_ops-vda": (1, 2)}


# -- values


@given(number=st.one_of(st.integers(), st.integers(min_value=DERIVE_MAX - 1, max_value=2**64)))
def test_a_derive_is_what_collectd_can_hold(number: int) -> None:
    expected = {"virt_cpu_total": (number,)} if 0 <= number <= DERIVE_MAX else {}
    assert values({"cpu.time": number}) == expected


@each_row("value", [-1, "text", 1.5, True])
def test_what_is_no_number_is_left_out_and_its_partner_too(value: Any) -> None:
    assert values({**NICS, "net.0.tx.bytes": value}) == {"if_octets-vnet3": (3, 4)}


def test_a_gauge_takes_all_that_libvirt_can_send() -> None:
    assert values({"balloon.current": 2**64 - 1}) == {"memory-total": (float((2**64 - 1) * 1024),)}


def test_cpu_times_of_user_and_kernel_need_one_that_is_not_zero() -> None:
    assert "ps_cputime" not in values({"cpu.user": 0, "cpu.system": 0}, "pcpu")
    assert values({"cpu.user": 0, "cpu.system": 5}, "pcpu") == {"ps_cputime": (0, 5)}


def test_swap_and_page_faults_need_one_that_is_not_zero() -> None:
    none: Stats = {f"balloon.{w}": 0 for w in ("swap_in", "swap_out", "major_fault", "minor_fault")}
    assert values(none, "memory") == {}
    assert values({**none, "balloon.swap_out": 3, "balloon.major_fault": 4}, "memory") == {
        "swap_io-in": (0,), "swap_io-out": (3,), "ps_pagefaults": (0, 4),
    }  # fmt: skip
    assert values({"balloon.swap_in": 3}, "memory") == {"swap_io-in": (3,)}


def test_perf_events_keep_their_names() -> None:
    assert values({"perf.cpu_cycles": 5, "perf.brand_new": 6}, "perf") == {
        "perf-perf_cpu_cycles": (5,), "perf-perf_brand_new": (6,),
    }  # fmt: skip


@each_row(("node_cpus", "flags"), [(4, [1.0, 0.0, 1.0, 0.0]), (0, [1.0, 0.0, 1.0])])
def test_an_affinity_tells_of_every_cpu_of_the_host(node_cpus: int, flags: list[float]) -> None:
    seen = sample(domain({"vcpu.1.affinity": "0,2"}), node_cpus=node_cpus)
    found = told(ValueLists(options("vcpupin")), seen)
    assert found == {f"cpu_affinity-vcpu_1-cpu_{cpu}": (flag,) for cpu, flag in enumerate(flags)}


@each_row("listed", ["", "x", "9" * 5000, "-1", 5])
def test_an_affinity_that_is_none_tells_nothing(listed: Any) -> None:
    assert values({"vcpu.0.affinity": listed}, "vcpupin") == {}


@each_row(
    ("stats", "fields"),
    [({"state.state": 3}, {}), ({"state.state": 5}, {"active": False}), ({}, {"active": False})],
)
def test_a_domain_that_does_not_run_has_its_state_only(
    stats: Stats, fields: dict[str, Any]
) -> None:
    full: Stats = {**NICS, **DISKS, "cpu.time": 1, "vcpu.0.time": 1, "state.reason": 1, **stats}
    found = values(full, "domain_state", "vcpu", "disk", **fields)
    assert found.keys() == ({"domain_state"} if stats else set())


# -- percent of the host's CPUs


def percents(*spent_at: tuple[int, int], node_cpus: int = 4) -> list[float | None]:
    """The percentage of each sample, by its CPU time and its second."""
    translator = ValueLists(options("cpu_util"))
    found: list[float | None] = []
    for spent, second in spent_at:
        stats: Stats = {"cpu.time": spent} if spent >= 0 else {}
        seen = sample(domain(stats), node_cpus=node_cpus, time_ns=TIME + second * 10**9)
        values_ = told(translator, seen).get("percent-virt_cpu_total")
        found.append(values_[0] if values_ else None)
    return found


def test_a_percentage_needs_two_samples() -> None:
    assert percents((10**9, 0), (11 * 10**9, 10)) == [None, 25.0]


def test_a_percentage_takes_the_time_that_passed() -> None:
    assert percents((10**9, 0), (-1, 10), (21 * 10**9, 20)) == [None, None, 25.0]


def test_a_percentage_takes_the_interval_where_the_clock_stood() -> None:
    assert percents((10**9, 5), (11 * 10**9, 5), (21 * 10**9, 3)) == [None, 25.0, 25.0]


def test_a_domain_that_was_started_anew_has_no_percentage_at_first() -> None:
    assert percents((10**9, 0), (10, 10), (10**10 + 10, 20)) == [None, None, 25.0]


def test_a_percentage_needs_to_know_the_host() -> None:
    assert percents((10**9, 0), (11 * 10**9, 10), node_cpus=0) == [None, None]


def test_a_domain_that_vanished_is_forgotten() -> None:
    translator = ValueLists(options("cpu_util"))
    list(translator.translate(sample(domain({"cpu.time": 5}), node_cpus=1), INTERVAL))
    list(translator.translate(sample(node_cpus=1), INTERVAL))
    seen = sample(domain({"cpu.time": 9}), node_cpus=1)
    assert told(translator, seen) == {"virt_cpu_total": (9,)}


# -- our own work


def test_a_round_is_told_of_unless_that_is_switched_off() -> None:
    of = CollectdOptions(hostname="node7")
    told = lists(of)
    assert {(part.host, part.plugin, part.plugin_instance) for part in told} == {
        ("node7", "domstats", "")
    }
    assert lists(options()) == []


def test_a_domain_that_hangs_is_told_of_under_its_own_name() -> None:
    hung = domain({}, status=Status.UNRESPONSIVE, since_ns=TIME - 5 * 10**9)
    found = lists(options(report_round=True), hung)
    assert [(part.host, part.type, part.values) for part in found if part.host] == [
        ("web-1", "bool", (0.0,)), ("web-1", "duration", (5.0,)),
    ]  # fmt: skip


def test_a_notification_tells_when_a_domain_hangs_and_when_it_is_back() -> None:
    seen = sample(
        domain({}),
        changes=(
            Change(UUID, "web-1", False, TIME, "process stopped"),
            Change("gone", "web-9", True, TIME - 90 * 10**9),
        ),
    )
    found = ValueLists(options()).notifications(seen)
    assert [(part.severity, part.host, part.message) for part in found] == [
        ("failure", "web-1", "domain web-1 does not answer (process stopped)"),
        ("okay", "web-9", "domain web-9 answers again, after 90 s"),
    ]
    assert {part.time_s for part in found} == {TIME / 1e9}
