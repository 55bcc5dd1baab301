"""Sums of counters of devices that come and go: they never go back while the domain runs."""

from __future__ import annotations

from typing import Optional

from domstats.model import DomainSample, Status
from domstats.output.running_sums import (
    REMEMBERED_GONE,
    Columns,
    GroupSum,
    RunningSum,
    RunningSums,
)
from hypothesis import given
from hypothesis import strategies as st


def sums(*rounds: dict[str, int]) -> list[int]:
    """The sum of one counter of devices in each round."""
    running: RunningSum[str] = RunningSum()
    return [
        running.of({name: {"rd": number} for name, number in devices.items()}).get("rd", 0)
        for devices in rounds
    ]


def test_what_a_device_had_counted_stays_in_the_sum_when_it_is_unplugged() -> None:
    assert sums({"vda": 10, "vdb": 5}, {"vda": 12}, {"vda": 15}, {}) == [15, 17, 20, 20]


def test_a_device_that_is_plugged_adds_what_it_counts() -> None:
    assert sums({"vda": 10}, {"vda": 10, "vdb": 0}, {"vda": 11, "vdb": 4}) == [10, 10, 15]


def test_another_device_under_the_same_name_begins_where_the_sum_is() -> None:
    assert sums({"vda": 10, "vdb": 50}, {"vda": 11, "vdb": 2}, {"vda": 11, "vdb": 3}) == [
        60, 63, 64,
    ]  # fmt: skip


def test_a_device_that_did_not_answer_in_one_round_counts_once() -> None:
    assert sums({"vda": 10, "vdb": 5}, {"vda": 10}, {"vda": 10, "vdb": 6}) == [15, 15, 16]


def test_if_one_counter_of_a_device_goes_back_all_of_them_have_begun_anew() -> None:
    running: RunningSum[str] = RunningSum()
    running.of({"vda": {"rd": 10, "wr": 10}})
    assert running.of({"vda": {"rd": 1, "wr": 12}}) == {"rd": 11, "wr": 22}


def test_a_counter_that_is_missing_once_is_where_it_was() -> None:
    running: RunningSum[str] = RunningSum()
    running.of({"vda": {"rd": 10, "wr": 20}})
    assert running.of({"vda": {"rd": 11}}) == {"rd": 11, "wr": 20}
    assert running.of({"vda": {"rd": 11, "wr": 21}}) == {"rd": 11, "wr": 21}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.dictionaries(st.sampled_from(["rd", "wr"]), st.integers(0, 99)),
        )
    )
)
def test_no_sum_ever_goes_back_and_none_is_less_than_what_is_there(
    rounds: list[dict[str, dict[str, int]]],
) -> None:
    running: RunningSum[str] = RunningSum()
    before: dict[str, int] = {}
    for present in rounds:
        now = running.of(present)
        for counter in before:
            assert now[counter] >= before[counter]
        for counter in ("rd", "wr"):
            assert now.get(counter, 0) >= sum(each.get(counter, 0) for each in present.values())
        before = now


def test_what_a_tenant_plugs_and_unplugs_without_end_takes_no_memory_without_end() -> None:
    running: RunningSum[str] = RunningSum()
    for number in range(5 * REMEMBERED_GONE):
        total = running.of({f"vnet{number}": {"rx": 1}})
        assert len(running._last) <= REMEMBERED_GONE + 1
    assert total == {"rx": 5 * REMEMBERED_GONE}


# --- Quicker while the same devices count on

#: What a server may answer, and what is none of it.
VALUES = st.one_of(st.integers(-1, 50), st.just("text"), st.just(1.5))
LAYOUTS = [
    Columns([("rd", "a"), ("rd", "b"), ("wr", "a"), ("wr", "b")]),
    Columns([("rd", "a"), ("wr", "a")]),
    Columns([("rd", "c"), ("rd", "b"), ("wr", "b")]),
    Columns([]),
]


@given(st.data())
def test_the_quick_sums_are_the_plain_ones(data: st.DataObject) -> None:
    quick: GroupSum[str] = GroupSum()
    plain: RunningSum[str] = RunningSum()
    for _ in range(data.draw(st.integers(1, 8))):
        columns = data.draw(st.sampled_from(LAYOUTS))
        now = tuple(data.draw(VALUES) for _ in columns.values)
        present: dict[str, dict[str, int]] = {device: {} for _, device in columns.values}
        for (counter, device), value in zip(columns.values, now):
            if type(value) is int and value >= 0:
                present[device][counter] = value
        assert dict(quick.of(columns, now)) == plain.of(present)


# --- When they begin anew


ONE_DISK = Columns([("rd", "vda")])


def domain(spent: Optional[int] = None, *, active: bool = True, uuid: str = "u") -> DomainSample:
    stats = {} if spent is None else {"cpu.time": spent}
    return DomainSample(uuid, "vm", Status.FRESH, {**stats}, active=active)


def count(all_sums: RunningSums[str], each: DomainSample, number: int) -> int:
    return dict(all_sums.begin(each)["block"].of(ONE_DISK, (number,)))["rd"]


def test_the_sums_of_a_domain_that_was_started_anew_begin_anew() -> None:
    all_sums: RunningSums[str] = RunningSums()
    assert count(all_sums, domain(1000), 50) == 50
    assert count(all_sums, domain(2), 7) == 7
    assert count(all_sums, domain(5), 3) == 10, "a device began anew, not the domain"


def test_cpu_time_that_is_counted_in_another_way_is_no_new_start() -> None:
    all_sums: RunningSums[str] = RunningSums()
    count(all_sums, domain(1_000_000), 50)
    assert count(all_sums, domain(990_000), 7) == 57


def test_a_domain_that_is_stopped_or_gone_is_forgotten() -> None:
    all_sums: RunningSums[str] = RunningSums()
    count(all_sums, domain(), 50)
    all_sums.begin(domain(active=False))
    assert count(all_sums, domain(), 7) == 7
    all_sums.end([domain()])
    assert count(all_sums, domain(), 3) == 10
    all_sums.end([domain(uuid="other")])
    assert count(all_sums, domain(), 2) == 2
