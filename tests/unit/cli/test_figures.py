"""The numbers that people look at: totals first, rates from the second round on."""

from __future__ import annotations

from typing import Any

from domstats.cli.figures import STATES, Figures, Meter
from domstats.model import DomainSample, Round, Sample, Stats, Status

from tests.unit.rows import each_row

UUID = "11111111-2222-4333-8444-555555555555"
SECOND = 1_000_000_000

WEB: Stats = {
    "state.state": 1,
    "vcpu.current": 2,
    "cpu.time": 90 * SECOND,
    "balloon.current": 1024 * 1024,
    "balloon.maximum": 2 * 1024 * 1024,
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.rd.bytes": 1024,
    "block.0.wr.bytes": 5 * 1024**2,
    "block.1.name": "vdb",
    "block.1.rd.bytes": 1024,
    "net.0.rx.bytes": 3 * 1024**3,
    "net.0.tx.bytes": 10,
}


def a_sample(*domains: DomainSample, seconds: int = 100, **round_: Any) -> Sample:
    return Sample("qemu:///system", seconds * SECOND, domains, Round(**round_))


def a_domain(stats: Stats = WEB, **changes: Any) -> DomainSample:
    return DomainSample(
        **{"uuid": UUID, "name": "web", "status": Status.FRESH, "stats": stats, **changes}
    )


def read(*samples: Sample) -> Figures:
    """What the only domain of the last sample has."""
    meter = Meter()
    for sample in samples:
        picture = meter.read(sample)
    assert picture.rates == (len(samples) > 1)
    (figures,) = picture.domains
    return figures


def test_the_first_round_has_totals() -> None:
    figures = read(a_sample(a_domain()))
    assert figures == Figures(
        name="web", state="running", status=Status.FRESH, cpu=90.0, vcpus=2,
        memory=1024**3, memory_max=2 * 1024**3,
        read=2048, written=5 * 1024**2, received=3 * 1024**3, sent=10, trouble="",
    )  # fmt: skip


def test_the_second_round_has_rates() -> None:
    later = {**WEB, "cpu.time": 95 * SECOND, "block.1.rd.bytes": 1124, "net.0.tx.bytes": 35}
    figures = read(a_sample(a_domain()), a_sample(a_domain(later), seconds=110))
    assert (figures.cpu, figures.read, figures.written, figures.sent) == (50.0, 10.0, 0.0, 2.5)


def test_a_domain_that_is_new_or_was_started_anew_has_no_rates_yet() -> None:
    anew = {**WEB, "cpu.time": 1, "net.0.tx.bytes": 0}
    figures = read(a_sample(a_domain()), a_sample(a_domain(anew), seconds=110))
    assert (figures.cpu, figures.sent, figures.read) == (None, None, None)
    figures = read(a_sample(), a_sample(a_domain(), seconds=110))
    assert (figures.cpu, figures.memory) == (None, 1024**3)


def test_a_group_that_was_silent_for_a_while_has_the_rate_since_it_was_told_last() -> None:
    silent = {key: value for key, value in WEB.items() if not key.startswith("block.")}
    later = {**WEB, "block.0.wr.bytes": 5 * 1024**2 + 2000}
    samples = [
        a_sample(a_domain()),
        a_sample(a_domain(silent), seconds=110),
        a_sample(a_domain(later), seconds=120),
    ]
    assert read(*samples[:2]).written is None
    assert read(*samples).written == 100.0


def test_a_disk_that_takes_anothers_place_is_not_taken_for_it() -> None:
    unplugged = {**WEB, "block.0.name": "vdb", "block.0.rd.bytes": 1524}
    del unplugged["block.1.rd.bytes"], unplugged["block.1.name"]
    figures = read(a_sample(a_domain()), a_sample(a_domain(unplugged), seconds=110))
    assert figures.read == 50.0


def test_a_round_that_found_no_hypervisor_is_not_the_first() -> None:
    meter = Meter()
    meter.read(Sample("x", 1, (), Round(connected=False, error="away")))
    assert not meter.read(a_sample(a_domain())).rates


def test_clocks_that_are_put_back_make_no_rates() -> None:
    assert read(a_sample(a_domain()), a_sample(a_domain(), seconds=90)).cpu is None


def test_domains_are_sorted_by_name() -> None:
    domains = [a_domain(name=name, uuid=name) for name in ("b", "c", "a")]
    assert [each.name for each in Meter().read(a_sample(*domains)).domains] == ["a", "b", "c"]


def test_memory_is_what_the_guest_uses_if_it_says_so() -> None:
    stats = {**WEB, "balloon.available": 1000 * 1024, "balloon.unused": 900 * 1024}
    assert read(a_sample(a_domain(stats))).memory == 100 * 1024**2


@each_row(("number", "word"), [*enumerate(STATES), (99, "state 99")])
def test_states_are_words(number: int, word: str) -> None:
    assert read(a_sample(a_domain({"state.state": number}))).state == word


def test_a_state_that_was_not_asked_for_is_told_as_far_as_it_is_known() -> None:
    assert read(a_sample(a_domain({}))).state == "active"
    assert read(a_sample(a_domain({}, active=False))).state == "shut off"
    assert read(a_sample(a_domain({}, status=Status.GONE))).state == "gone"


@each_row(
    ("changes", "trouble"),
    [
        (
            {"status": Status.UNRESPONSIVE, "since_ns": 70 * SECOND, "reason": "process stopped"},
            "unresponsive for 30 s: process stopped",
        ),
        ({"status": Status.UNRESPONSIVE, "missing": {"vcpu"}}, "unresponsive, no vcpu"),
        (
            {"status": Status.PARTIAL, "missing": {"block", "balloon"}, "reason": "busy"},
            "partial, no balloon, block: busy",
        ),
        ({"status": Status.GONE}, ""),
    ],
)
def test_what_is_wrong_is_told_with_what_is_missing_since_when_and_why(
    changes: Any, trouble: str
) -> None:
    assert read(a_sample(a_domain({}, **changes))).trouble == trouble
