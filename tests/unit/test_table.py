"""The table that a person reads."""

from __future__ import annotations

import io
from typing import Any

import pytest
from domstats.model import DomainSample, Round, Sample, Stats, Status
from domstats.table import NAME_LIMIT, STATES, print_rows, print_samples
from hypothesis import given, settings
from hypothesis import strategies as st

UUID = "11111111-2222-4333-8444-555555555555"
SECOND = 1_000_000_000

WEB: Stats = {
    "state.state": 1,
    "vcpu.current": 2,
    "cpu.time": 90 * SECOND,
    "balloon.current": 1024 * 1024,
    "balloon.maximum": 2 * 1024 * 1024,
    "block.count": 2,
    "block.0.rd.bytes": 1024,
    "block.1.rd.bytes": 1024,
    "block.0.wr.bytes": 5 * 1024**2,
    "net.0.rx.bytes": 3 * 1024**3,
    "net.0.tx.bytes": 10,
}


def a_sample(*domains: DomainSample, time_ns: int = 100 * SECOND, **round_: Any) -> Sample:
    return Sample("qemu:///system", time_ns, domains, Round(duration_s=0.25, **round_))


def a_domain(**changes: Any) -> DomainSample:
    return DomainSample(
        **{"uuid": UUID, "name": "web", "status": Status.FRESH, "stats": WEB, **changes}
    )


def shown(*samples: Sample, before: Any = None) -> str:
    file = io.StringIO()
    print_samples(samples, before or {}, file)
    return file.getvalue()


def row(text: str, name: str = "web") -> list[str]:
    (found,) = (line for line in text.split("\n") if line.startswith(name))
    return found.split()


def test_a_domain_is_a_row_with_all_that_one_wants_to_know() -> None:
    text = shown(a_sample(a_domain()))
    assert text.startswith("qemu:///system  1 domain in 0.25 s\nDomain")
    assert " ".join(row(text)) == (
        "web running 2 90.0 s 1.0 GiB 2.0 GiB 2.0 KiB 5.0 MiB 3.0 GiB 10 B fresh"
    )


def test_after_the_first_round_cpu_time_is_a_percentage() -> None:
    before = a_sample(a_domain())
    now = a_sample(a_domain(stats={**WEB, "cpu.time": 95 * SECOND}), time_ns=110 * SECOND)
    assert row(shown(now, before={now.uri: before}))[3:5] == ["50.0", "%"]


@pytest.mark.parametrize("cpu_time", [5, 90 * SECOND])
def test_a_domain_that_was_started_anew_has_seconds_again(cpu_time: int) -> None:
    before = a_sample(a_domain(stats={**WEB, "cpu.time": 91 * SECOND}))
    now = a_sample(a_domain(stats={**WEB, "cpu.time": cpu_time}), time_ns=110 * SECOND)
    assert row(shown(now, before={now.uri: before}))[4] == "s"


def test_memory_is_what_the_guest_uses_if_it_says_so() -> None:
    stats = {**WEB, "balloon.available": 1000 * 1024, "balloon.unused": 900 * 1024}
    assert row(shown(a_sample(a_domain(stats=stats))))[5:7] == ["100", "MiB"]


def test_a_domain_that_hangs_says_since_when_and_why() -> None:
    hung = a_domain(
        status=Status.UNRESPONSIVE,
        stats={"state.state": 1},
        since_ns=70 * SECOND,
        reason="process stopped",
    )
    assert "unresponsive for 30 s: process stopped" in shown(a_sample(hung))


def test_a_partial_domain_says_what_is_missing() -> None:
    partial = a_domain(status=Status.PARTIAL, missing=frozenset({"block", "balloon"}))
    assert "partial: no balloon, block" in shown(a_sample(partial))


@pytest.mark.parametrize(("number", "word"), [*enumerate(STATES), (99, "99"), (-1, "-1")])
def test_states_are_words(number: int, word: str) -> None:
    assert word in shown(a_sample(a_domain(stats={"state.state": number})))


def test_a_domain_that_is_not_started_is_shut_off() -> None:
    assert "shut off" in shown(a_sample(a_domain(stats={}, active=False)))


def test_each_hypervisor_has_a_table() -> None:
    other = Sample("test:///default", 1, (), Round(duration_s=0.0))
    text = shown(a_sample(a_domain()), other)
    assert "test:///default  0 domains in 0.00 s" in text


def test_a_hypervisor_that_cannot_be_asked_says_why() -> None:
    assert "is libvirtd running?" in shown(
        a_sample(connected=False, error="no socket:\nis libvirtd running?")
    )


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    hostile = a_domain(
        name="\x1b[31m[bold]:smile:\n\u202e\x00",
        status=Status.UNRESPONSIVE,
        reason="\x1b]0;owned\x07",
    )
    text = shown(a_sample(hostile))
    assert "\\x1b[31m[bold]:smile:\\n\\u202e\\x00" in text
    assert "\\x1b]0;owned\\x07" in text
    assert "\x1b" not in text


def test_a_long_name_is_cut_and_a_pipe_gets_whole_rows() -> None:
    text = shown(a_sample(a_domain(name="x" * 300), a_domain(name="y" * NAME_LIMIT)))
    assert "x" * (NAME_LIMIT - 1) + "…" in text
    assert row(text, "y")[0] == "y" * NAME_LIMIT
    assert len([line for line in text.split("\n") if "running" in line]) == 2


@settings(deadline=None)
@given(
    st.text(max_size=300),
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(WEB)), st.just("balloon.unused"), st.text(max_size=9)),
        st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=5)),
        max_size=5,
    ),
    st.sampled_from(Status),
)
def test_any_domain_can_be_shown(name: str, stats: Stats, status: Status) -> None:
    assert shown(a_sample(a_domain(name=name, stats=stats, status=status)))


def test_rows_of_text_are_a_table() -> None:
    file = io.StringIO()
    print_rows(("A", "B"), [("[red]x", "y" * 200)], file)
    assert "[red]x" in file.getvalue()
    assert "y" * 200 in file.getvalue(), "a pipe gets whole rows"
