"""What a domain costs in a round in which nothing is wrong: function calls are counted, not time.

The bounds are what it takes today and a little more. A change that goes beyond has to say why
each of thousands of domains shall pay for it in every round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import domstats
from domstats.domain_choice import DomainChoice
from domstats.engine.engine import PART
from domstats.model import DomainSample, Round, Sample, Status
from domstats.output.line_filter import LineFilter
from domstats.output.line_protocol import LineProtocol
from domstats.output.value_lists import CollectdOptions, ValueLists
from domstats.selection import Selection, domain_entries

from tests.unit.engine.world import World
from tests.unit.output.value_lists_told import one_by_one
from tests.unit.rows import each_row

ANSWER = Path(__file__).parents[1] / "cases" / "qemu-9.0" / "answer.json"
PACKAGE = str(Path(domstats.__file__).parent)
DOMAINS = 160
CHUNK = 16


def count_calls(action: Callable[[], Any]) -> float:
    """Calls of functions by the package's code, of its own and of others', for each domain."""
    found = [0]

    def profile(frame: Any, event: str, argument: Any) -> None:
        caller = frame if event == "c_call" else frame.f_back
        if event in ("call", "c_call") and caller and caller.f_code.co_filename.startswith(PACKAGE):
            found[0] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    assert found[0], f"nothing below {PACKAGE} was called: where is the package?"
    return found[0] / DOMAINS


def samples() -> Iterator[Sample]:
    """Round after round of domains whose counters move."""
    (answer,) = json.loads(ANSWER.read_text()).values()
    while True:
        for key, value in answer.items():
            if isinstance(value, int) and not key.startswith("state."):
                answer[key] = value + 1
        domains = tuple(
            DomainSample(f"u{number}", f"vm{number}", Status.FRESH, dict(answer))
            for number in range(DOMAINS)
        )
        yield Sample("qemu:///system", 1, domains, Round(), node_cpus=2)


def test_line_protocol_of_a_known_domain_is_filled_in_not_worked_out() -> None:
    writer, rounds = LineProtocol(), samples()
    for _ in range(2):
        writer.encode(next(rounds))
    part = next(rounds)
    assert count_calls(lambda: writer.take(part)) < 20


def test_a_value_list_of_a_known_domain_is_filled_in_not_worked_out() -> None:
    writer, rounds = ValueLists(CollectdOptions()), samples()
    for _ in range(2):
        lists = list(one_by_one(writer.translate(next(rounds), 10.0)))
    part = next(rounds)
    calls = count_calls(lambda: list(writer.take(part, 10.0)))
    assert calls < 20
    assert len(lists) / DOMAINS > 10


def test_keys_in_another_order_as_of_idle_groups_are_nothing_new_to_value_lists() -> None:
    writer, rounds = ValueLists(CollectdOptions()), samples()
    known = next(rounds)
    list(writer.translate(known, 10.0))
    for domain in known.domains:
        domain.stats = dict(reversed(domain.stats.items()))
    assert count_calls(lambda: list(writer.translate(known, 10.0))) < 25


@each_row("idle_s", [0.0, 600.0])
@each_row("watches", [(), ("storage", "process")])
def test_the_engine_decides_little_about_a_domain_that_is_well(
    watches: tuple[str, ...], idle_s: float
) -> None:
    storage = "/disks/one"
    world = World(
        DOMAINS, in_parts=True, watches=watches, storage=lambda number: storage, idle_refresh=idle_s
    )
    for guest in world.guests.values():
        guest.says = {"iothread.count": 0, "dirtyrate.calc_status": 0}
    world.rounds(3)
    assert count_calls(world.round) < 67


def test_a_domain_that_was_chosen_is_not_judged_again_in_each_round() -> None:
    texts = ["vm1*", "/[0-9]$/", "label:project=acme*"]
    choice = DomainChoice(Selection(domains=domain_entries(texts, ["project"])))
    listed = [(f"u{number}", f"vm{number}", True) for number in range(DOMAINS // 2)]
    listed += [(f"x{number}", f"vmx{number}y", True) for number in range(DOMAINS // 2)]
    labels = {f"x{number}": {"project": "acme"} for number in range(DOMAINS // 2)}
    for _ in range(2):
        assert len(choice.of(listed, labels)) == DOMAINS
    assert count_calls(lambda: choice.of(listed, labels)) < 3


def test_totals_of_devices_that_count_on_are_sums_of_slices() -> None:
    totals = frozenset({"vcpu", "interface", "block"})
    rounds = samples()
    lines = LineProtocol(wanted=LineFilter(totals=totals))
    lists = ValueLists(CollectdOptions(totals=totals, extra_stats=frozenset({"vcpu"})))
    for _ in range(2):
        known = next(rounds)
        lines.encode(known)
        list(lists.translate(known, 10.0))
    part = next(rounds)
    assert count_calls(lambda: lines.take(part)) < 165
    assert count_calls(lambda: list(lists.take(part, 10.0))) < 110


def test_answers_are_not_kept_once_they_are_written() -> None:
    world = World(DOMAINS, in_parts=True)
    world.rounds(2)
    asked = world.query()
    most = 0
    while asked not in world.samples:
        world._step(float("inf"))
        round_ = world.engine._rounds.get(asked)
        entries = round_.entries.values() if round_ else ()
        most = max(most, sum(bool(entry.stats) for entry in entries))
    assert 0 < most < PART + CHUNK
