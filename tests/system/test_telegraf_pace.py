"""Tables with intervals of their own, beside Telegraf's own plugin; agents' first rounds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import Telegraf
from tests.system.configurations import execd, libvirt_table
from tests.system.delivered import BOTH, watching
from tests.system.waiting import wait_for

TICK_S, INTERVAL_S = 1.0, 3.0
ROUNDS = 5
#: A first guess of the interval is ten seconds, of which a round may take nine.
GUESS_S = 9.0


def moments(agent: Telegraf, guest: str) -> list[float]:
    """When a guest was sampled, in seconds since the epoch."""
    states = (point for point in agent.points() if point.measurement == "libvirt_state")
    return sorted({each.time / 1e9 for each in states if each.tags["domain_name"] == guest})


def distances(times: list[float]) -> list[float]:
    return [after - before for before, after in zip(times, times[1:])]


def test_each_table_is_sampled_at_its_own_interval_as_by_telegrafs_own_plugin(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    often, seldom, peers = (guest.name for guest in bed.guests[:3])
    interval = f'interval = "{INTERVAL_S:g}s"'
    settings = tmp_path / "domstats.toml"
    settings.write_text(
        libvirt_table(bed.uri, f'domains = ["{often}"]')
        + libvirt_table(bed.uri, f'domains = ["{seldom}"]', interval)
    )
    own = libvirt_table(bed.uri, f'domains = ["{peers}"]', interval)
    telegraf = start(Telegraf, execd(settings) + own, TICK_S)
    wait_for("rounds", lambda: len(moments(telegraf, peers)) > ROUNDS)
    wait_for("rounds", lambda: len(moments(telegraf, seldom)) > ROUNDS)
    assert statistics.median(distances(moments(telegraf, often))) == pytest.approx(TICK_S, abs=0.3)
    ours, theirs = moments(telegraf, seldom), moments(telegraf, peers)
    for times in (ours, theirs):
        assert statistics.median(distances(times)) == pytest.approx(INTERVAL_S, abs=0.3)
    # After the first, which is at once, both are sampled at the same ticks.
    apart = [min(abs(each - other) for other in theirs) for each in ours[1:-1]]
    assert statistics.median(apart) < TICK_S / 2
    assert len(ours) <= len(theirs) + 2


@pytest.mark.parametrize("agent", BOTH)
def test_the_first_round_of_an_agent_is_short_while_libvirtd_hangs(
    bed: Any, tmp_path: Path, missing: Any, agent: str
) -> None:
    bed.libvirtd.freeze()
    with watching(agent, tmp_path, bed.uri, missing, TICK_S) as watched:
        watched.wait_for_rounds(1)
        (first, *_) = watched.rounds()
        assert first.report["connected"] == 0
        assert first.report["duration_s"] < GUESS_S / 2
        bed.libvirtd.heal()
        guest = bed.guests[0].name
        wait_for("samples", lambda: any(guest in seen.guests for seen in watched.rounds()))
