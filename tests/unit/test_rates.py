"""Rates of hand-worked series, and what must not spoil them."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from domstats.model import DomainSample, Round, Sample, Status
from domstats.rates import DiskRates, DomainRates, NicRates, Rates, VcpuRates

from tests.unit.rows import each_row

S = 10**9
START_NS = 1_800_000_000 * S

DISK = {
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.rd.reqs": 100,
    "block.0.rd.bytes": 4096,
    "block.0.rd.times": 2 * S,
    "block.0.wr.reqs": 50,
    "block.0.wr.bytes": 8192,
    "block.0.wr.times": S,
    "block.0.fl.reqs": 5,
    "block.0.fl.times": S,
}


def domain(stats: dict[str, Any], at_s: float, uuid: str = "u", **fields: Any) -> DomainSample:
    return DomainSample(uuid, "web", Status.FRESH, dict(stats), at_s=at_s, **fields)


def sample(*domains: DomainSample, seconds: float = 0.0, connected: bool = True) -> Sample:
    """:param seconds: of the clock of the day, which may go anywhere."""
    time_ns = START_NS + int(seconds * S)
    return Sample("qemu:///system", time_ns, domains, Round(connected=connected), node_cpus=4)


def after(*series: tuple[float, dict[str, Any]]) -> DomainRates:
    """The rates with the last of some answers: when each was asked for, and what it was."""
    rates = Rates()
    found: Optional[DomainRates] = None
    for at_s, stats in series:
        found = rates.read(sample(domain(stats, at_s), seconds=at_s))["u"]
    assert found is not None
    return found


# --- what is worked out


def test_the_first_sample_has_no_rates_but_names_all_that_will_have_some() -> None:
    found = after((100.0, {"cpu.time": 5, **DISK, "net.count": 1, "net.0.name": "vnet0"}))
    assert (found.seconds, found.cpu_percent) == (None, None)
    assert found.disks == (DiskRates("vda"),)
    assert found.nics == ()  # it has counted nothing yet


def test_cpu_time_is_percent_of_one_cpu_of_its_vcpus_and_of_the_host() -> None:
    found = after(
        (100.0, {"cpu.time": 10 * S, "vcpu.current": 2}),
        (110.0, {"cpu.time": 25 * S, "vcpu.current": 2}),
    )
    assert found.seconds == 10.0
    assert found.cpu_percent == pytest.approx(150.0)
    assert found.cpu_percent_of_vcpus == pytest.approx(75.0)
    assert found.cpu_percent_of_host == pytest.approx(37.5)


def test_each_vcpu_has_its_own_percentage_and_what_was_stolen_from_it() -> None:
    found = after(
        (0.5, {"vcpu.current": 2, "vcpu.0.time": 0, "vcpu.0.delay": 0, "vcpu.3.time": S}),
        (4.5, {"vcpu.current": 2, "vcpu.0.time": 2 * S, "vcpu.0.delay": S, "vcpu.3.time": S}),
    )
    assert found.vcpus == (VcpuRates(0, 50.0, 25.0), VcpuRates(3, 0.0, None))


def test_halt_polling_counts_with_and_without_success() -> None:
    poll = ("cpu.haltpoll.success.time", "cpu.haltpoll.fail.time")
    found = after(
        (1.0, {"cpu.time": 0, poll[0]: 0, poll[1]: 0}),
        (11.0, {"cpu.time": 0, poll[0]: S, poll[1]: 2 * S}),
    )
    assert found.halt_poll_percent == pytest.approx(30.0)


def test_a_disk_has_throughput_requests_latency_and_a_queue() -> None:
    later = {
        **DISK,
        "block.0.rd.reqs": 300,  # 200 in 10 s, in 4 s: 20 ms each
        "block.0.rd.bytes": 4096 + 1_000_000,
        "block.0.rd.times": 6 * S,
        "block.0.wr.reqs": 60,  # 10 in 10 s, in 5 s: 500 ms each
        "block.0.wr.bytes": 8192 + 50_000,
        "block.0.wr.times": 6 * S,
        "block.0.fl.times": 2 * S,  # none has come back, and one has been taking 1 s
    }
    (disk,) = after((100.0, DISK), (110.0, later)).disks
    assert (disk.read_bytes, disk.written_bytes) == (100_000, 5_000)
    assert (disk.reads, disk.writes, disk.flushes) == (20, 1, 0)
    assert disk.read_latency_s == pytest.approx(0.02)
    assert disk.write_latency_s == pytest.approx(0.5)
    assert disk.flush_latency_s is None
    assert disk.queue == pytest.approx((4 + 5 + 1) / 10)


def test_a_nic_has_bytes_packets_errors_and_drops() -> None:
    counters = ("rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts", "rx.errs", "tx.errs", "rx.drop")
    first = {f"net.0.{counter}": 7 for counter in (*counters, "tx.drop")}
    later = {f"net.0.{counter}": 7 + 2 * at for at, counter in enumerate((*counters, "tx.drop"))}
    name = {"net.count": 1, "net.0.name": "vnet0"}
    (nic,) = after((1.0, {**name, **first}), (3.0, {**name, **later})).nics
    assert nic == NicRates("vnet0", 0, 1, 2, 3, 4, 5, 6, 7)


def test_memory_is_what_the_guest_uses_and_how_old_its_figures_are() -> None:
    found = after(
        (50.0, {
            "balloon.available": 1000, "balloon.usable": 400,
            "balloon.last-update": 1_800_000_000 + 20,
        }),
    )  # fmt: skip
    assert found.memory_used == 600 * 1024
    assert found.memory_age_s == pytest.approx(30.0)


@each_row(
    "stats",
    [
        {"balloon.available": 10, "balloon.usable": 11},
        {"balloon.available": 10},
        {"balloon.last-update": 0},
        {},
    ],
)
def test_a_guest_that_does_not_tell_has_no_memory_figures(stats: dict[str, Any]) -> None:
    found = after((50.0, {"state.state": 1, **stats}))
    assert (found.memory_used, found.memory_age_s) == (None, None)


# --- what must not spoil it


def test_a_late_round_counts_with_the_time_at_which_the_domain_was_asked() -> None:
    rates = Rates()
    rates.read(sample(domain({"cpu.time": 0}, 109.0), seconds=100))  # at the end of its round
    found = rates.read(sample(domain({"cpu.time": S}, 110.0), seconds=110))
    assert found["u"].cpu_percent == pytest.approx(100.0)


@each_row("step", [-3600.0, 3600.0])
def test_a_step_of_the_clock_changes_nothing(step: float) -> None:
    rates = Rates()
    rates.read(sample(domain({"cpu.time": 0}, 100.0), seconds=100))
    found = rates.read(sample(domain({"cpu.time": S}, 110.0), seconds=110 + step))
    assert found["u"].cpu_percent == pytest.approx(10.0)


def test_a_round_that_was_missed_makes_an_average_over_the_gap() -> None:
    rates = Rates()
    rates.read(sample(domain({"cpu.time": 0}, 100.0)))
    rates.read(sample(connected=False))  # libvirtd was away
    rates.read(sample(DomainSample("u", "web", Status.UNRESPONSIVE, {})))
    found = rates.read(sample(domain({"cpu.time": 3 * S}, 130.0)))
    assert (found["u"].seconds, found["u"].cpu_percent) == (30.0, 10.0)


def test_a_guest_that_was_started_anew_has_no_rates_once_not_even_of_a_disk_that_grew() -> None:
    grown = {**DISK, "block.0.rd.reqs": 999}
    rates = Rates()
    rates.read(sample(domain({"cpu.time": 9 * S, **DISK}, 100.0)))
    found = rates.read(sample(domain({"cpu.time": S, **grown}, 110.0)))["u"]
    assert (found.seconds, found.cpu_percent, found.disks[0].reads) == (None, None, None)
    found = rates.read(sample(domain({"cpu.time": 2 * S, **grown}, 120.0)))["u"]
    assert (found.cpu_percent, found.disks[0].reads) == (10.0, 0.0)


def test_a_disk_that_was_replaced_has_no_rates_once_and_the_domain_has() -> None:
    found = after(
        (100.0, {"cpu.time": 0, **DISK}),
        (110.0, {"cpu.time": S, **DISK, "block.0.wr.reqs": 3, "block.0.rd.reqs": 10_000}),
    )
    assert found.cpu_percent == pytest.approx(10.0)
    assert found.disks == (DiskRates("vda"),)


def test_a_hot_plug_that_moves_the_indexes_changes_nothing() -> None:
    moved = {
        key.replace("block.0.", "block.1."): value for key, value in DISK.items()
    } | {"block.count": 2, "block.0.name": "sda", "block.0.rd.reqs": 1}
    found = after((100.0, DISK), (110.0, {**moved, "block.1.rd.reqs": 110}))
    by_name = {disk.name: disk.reads for disk in found.disks}
    assert by_name == {"sda": None, "vda": 1.0}


def test_a_disk_that_is_copied_counts_once() -> None:
    copied = {**DISK, "block.count": 2, "block.1.name": "vda", "block.1.rd.reqs": 1}
    found = after((100.0, DISK), (110.0, {**copied, "block.0.rd.reqs": 200}))
    assert [(disk.name, disk.reads) for disk in found.disks] == [("vda", 10.0)]


def test_disks_that_an_answer_lacks_have_an_average_over_the_gap() -> None:
    later = {"cpu.time": 0, **DISK, "block.0.rd.reqs": 400}
    silent = {"cpu.time": 0}
    first = {"cpu.time": 0, **DISK}
    found = after((100.0, first), (110.0, silent), (120.0, silent), (130.0, later))
    assert (found.seconds, found.disks[0].reads) == (10.0, 10.0)


def test_a_disk_that_was_unplugged_and_plugged_in_again_is_new() -> None:
    without = {"block.count": 0}
    found = after((100.0, DISK), (110.0, without), (120.0, {**DISK, "block.0.rd.reqs": 9999}))
    assert found.disks == (DiskRates("vda"),)


def test_who_is_listed_no_more_is_forgotten_and_who_cannot_be_listed_is_not() -> None:
    rates = Rates()
    rates.read(sample(domain({"cpu.time": 0}, 1.0)))
    rates.read(sample())
    assert rates.read(sample(domain({"cpu.time": S}, 11.0)))["u"].cpu_percent is None


def test_nonsense_is_no_number() -> None:
    odd: dict[str, Any] = {"cpu.time": "a", "block.x.rd.reqs": 1, "block.0.rd.reqs": -1, "net.0": 5}
    found = after((1.0, odd), (2.0, odd))
    assert (found.cpu_percent, found.disks, found.nics) == (None, (), ())
