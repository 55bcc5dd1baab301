"""How many series there are, what makes them, and when the user is warned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

from domstats.model import DomainSample, Round, Sample, Status
from domstats.output.line_filter import LineFilter
from domstats.output.line_protocol import LineProtocol
from domstats.output.remembered import Remembered
from domstats.output.series_count import (
    Amount,
    MadeByDomain,
    Maker,
    SeriesLimit,
    added,
    merged,
    most_first,
    total,
)
from domstats.output.value_lists import CollectdOptions, ValueLists

from tests.unit.rows import each_row

CASES = Path(__file__).resolve().parents[2] / "cases"
VCPU, BLOCK = Maker("libvirt_vcpu", "kvm_statistics"), Maker("libvirt_block", "group block")


def one(vcpu: int, block: int) -> MadeByDomain:
    return [("u", ({VCPU: Amount(1, vcpu), BLOCK: Amount(1, block)},))]


def limit(most: int = 1000) -> SeriesLimit:
    return SeriesLimit(most, "max_series", "leave out what you do not need")


def test_domains_alike_are_added_up() -> None:
    made, other = {VCPU: Amount(2, 10)}, {VCPU: Amount(1, 3), BLOCK: Amount(4, 20)}
    found = added([("a", (made,)), ("b", (made,)), ("c", (other,))])
    assert found == {VCPU: Amount(5, 23), BLOCK: Amount(4, 20)}
    assert total(found) == Amount(9, 43)
    assert most_first(found) == [(VCPU, Amount(5, 23)), (BLOCK, Amount(4, 20))]


def test_what_rounds_with_other_groups_share_is_counted_once() -> None:
    few, all_ = {VCPU: Amount(1, 3)}, {VCPU: Amount(1, 3), BLOCK: Amount(2, 8)}
    assert merged((few, all_)) == all_
    assert added([("a", (few, all_)), ("b", (few, all_))]) == {
        VCPU: Amount(2, 6), BLOCK: Amount(4, 16),
    }  # fmt: skip


def test_the_warning_comes_once_again_when_it_has_grown_by_half_and_at_its_end() -> None:
    told = limit()
    levels = []
    for series in (1000, 1001, 1400, 1501, 1502, 2251, 3378, 950, 901, 900, 900, 1001):
        told.count("rounds", one(series - 100, 100))
        levels.append([level for level, _ in told.take_log()])
    assert levels == [
        [], ["warning"], [], [], ["warning"], [], ["warning"], [], [], ["info"], [], ["warning"],
    ]  # fmt: skip


def test_the_warning_names_what_makes_most_and_what_to_do() -> None:
    told = limit()
    told.count("rounds", one(31000, 5000))
    assert told.take_log() == [
        (
            "warning",
            "36,000 series, more than max_series (1,000); all of them are sent; most come from"
            " libvirt_vcpu (kvm_statistics) 31,000, libvirt_block (group block) 5,000; leave out"
            " what you do not need, or raise max_series",
        )
    ]
    told.count("rounds", one(10, 10))
    assert told.take_log() == [("info", "20 series, no longer more than max_series (1,000)")]


def test_several_writers_of_one_hypervisor_count_together() -> None:
    told = limit()
    told.count("rounds", one(600, 0))
    told.count("fast", one(0, 500))
    ((_, text),) = told.take_log()
    assert text.startswith("1,100 series")
    told.count("fast", one(0, 10))
    assert [level for level, _ in told.take_log()] == ["info"]


# --- When writers count


def sample(*stats: Optional[dict[str, int]], partial: int = 0) -> Sample:
    """Domains with these statistics, of which so many lack something."""
    domains = tuple(
        DomainSample(f"u{number}", f"vm{number}", Status.FRESH, {**each})
        for number, each in enumerate(stats)
        if each is not None
    )
    return Sample("qemu:///system", 1, domains, Round(partial=partial))


class Watched(SeriesLimit):
    """A limit that says when it was asked to count, and how many there were."""

    def __init__(self) -> None:
        super().__init__(1, "max_series", "")
        self.counts: list[int] = []

    def count(self, writer: str, domains: MadeByDomain) -> None:
        self.counts.append(total(added(domains)).series)


SMALL, LARGE = {"cpu.user": 1}, {"cpu.user": 1, "cpu.system": 2}


def test_lines_are_counted_when_shapes_change_and_not_in_each_round() -> None:
    watched = Watched()
    writer = LineProtocol(limit=watched)
    for each in ([SMALL], [SMALL], [SMALL, LARGE], [SMALL, LARGE], [LARGE, LARGE], [None, LARGE]):
        writer.encode(sample(*each))
    assert watched.counts == [1, 3, 4, 2]


def test_value_lists_are_counted_when_shapes_change_and_not_in_each_round() -> None:
    watched = Watched()
    writer = ValueLists(CollectdOptions(), watched)
    cpu, both = {"cpu.time": 1}, {"cpu.time": 1, "balloon.current": 2}
    for each in ([cpu], [cpu], [cpu, both], [cpu, both], [both, both], [None, both]):
        list(writer.translate(sample(*each), 10.0))
    assert watched.counts == [1, 3, 4, 2]


def test_while_domains_lack_groups_the_count_stays_what_it_is() -> None:
    watched = Watched()
    writer = LineProtocol(limit=watched)
    writer.encode(sample(LARGE, LARGE))
    writer.encode(sample(SMALL, LARGE, partial=1))
    writer.encode(sample(SMALL, LARGE, partial=1))
    assert watched.counts == [4]
    writer.encode(sample(SMALL, LARGE))
    assert watched.counts == [4, 3]


def test_without_a_limit_nothing_is_counted() -> None:
    writer = LineProtocol()
    writer.encode(sample(LARGE))
    assert list(writer.made()) == [("u0", ({},))]


@each_row("wanted", [LineFilter(), LineFilter(totals=frozenset({"vcpu"}))])
def test_kvm_statistics_are_named_by_their_option(wanted: LineFilter) -> None:
    (answer,) = json.loads((CASES / "qemu-kvm-statistics" / "answer.json").read_text()).values()
    writer = LineProtocol(kvm_statistics=True, counts=True, wanted=wanted)
    writer.encode(sample(answer))
    makers = added(writer.made())
    if wanted.totals:
        assert Maker("libvirt_vcpu_total", "totals vcpu") in makers
        assert Maker("libvirt_vcpu", "kvm_statistics") not in makers
    else:
        assert makers[Maker("libvirt_vcpu", "kvm_statistics")] == Amount(0, 3)
        assert makers[Maker("libvirt_vcpu", "group vcpu")].lists == 1


def test_what_is_remembered_of_other_groups_counts_for_those_of_the_last_sample_only() -> None:
    remembered: Remembered[str] = Remembered()
    block, cpu = frozenset({"block"}), frozenset({"cpu"})
    for groups, needed in ((block, {"a": "1", "gone": "2"}), (cpu, {"a": "3", "b": "4"})):
        for uuid, what in needed.items():
            remembered.use(uuid, what)
        remembered.end(groups)
    assert list(remembered.by_uuid()) == [("a", ["3", "1"]), ("b", ["4"])]
