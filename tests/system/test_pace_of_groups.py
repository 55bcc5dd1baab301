"""Groups at their own pace, and the fast lane, as they arrive from real guests in both agents."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

INTERVAL_S, FAST_S, SLOW_S = 1.0, 0.25, 4.0
ROUNDS = 12


def pace(times: Iterable[float]) -> float:
    """The median distance between moments, in seconds."""
    moments = sorted(times)
    return statistics.median(after - before for before, after in zip(moments, moments[1:]))


def telegraf_times(agent: Telegraf, guest: str) -> dict[str, set[float]]:
    """When each field of a guest came, by measurement and field; of domstats_round, too."""
    times: dict[str, set[float]] = defaultdict(set)
    for point in agent.points():
        if point.tags.get("domain_name", guest) == guest:
            for field in point.fields:
                times[f"{point.measurement} {field}"].add(point.time / 1e9)
    return times


def test_telegraf_gets_each_group_at_its_pace_and_the_fast_lane_of_a_hung_guest_too(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    options = [f"fast_interval = {FAST_S}", f"every = {{ block = {SLOW_S} }}"]
    settings.write_text(libvirt_table(bed.uri, *options))
    telegraf = start(Telegraf, execd(settings), INTERVAL_S)
    guest = bed.guests[0]

    def rounds(count: int) -> Callable[[], bool]:
        return lambda: len(telegraf_times(telegraf, guest.name)["domstats_round fresh"]) >= count

    wait_for("rounds", rounds(ROUNDS))
    times = telegraf_times(telegraf, guest.name)
    whole = times["domstats_round fresh"]
    assert times["libvirt_balloon rss"] <= whole
    assert times["libvirt_block rd_reqs"] <= whole
    assert pace(times["libvirt_balloon rss"]) == pytest.approx(INTERVAL_S, rel=0.3)
    assert pace(times["libvirt_block rd_reqs"]) == pytest.approx(SLOW_S, rel=0.3)
    for fast in ("libvirt_net rx_bytes", "libvirt_cpu time", "libvirt_state state"):
        assert pace(times[fast] - whole) == pytest.approx(FAST_S, rel=0.4)
    guest.hang()
    before = len(whole)
    wait_for("rounds with a hung guest", rounds(before + 6))
    hung_since = max(whole) + 2 * INTERVAL_S
    guest.heal()
    after = telegraf_times(telegraf, guest.name)["libvirt_cpu time"]
    assert pace(moment for moment in after if moment > hung_since) <= 1.4 * FAST_S


def test_collectd_gets_each_group_at_its_pace(bed: Any, start: Callable[..., Any]) -> None:
    options = [f'Connection "{bed.uri}"', f"FastInterval {FAST_S}", f'Every "block" {SLOW_S}']
    collectd = start(Collectd, python_plugin("\n".join(options)), INTERVAL_S)
    guest = bed.guests[0].name

    def times(kind: str) -> list[float]:
        rows = collectd.series(guest).get(f"{guest}/virt/{kind}", ())
        return [row.time for row in rows]

    wait_for("rounds", lambda: len(times("memory-total")) >= ROUNDS)
    nic = next(name for name in collectd.series(guest) if "/if_octets-" in name).rpartition("/")[2]
    assert pace(times("memory-total")) == pytest.approx(INTERVAL_S, rel=0.3)
    assert pace(times("disk_octets-vda")) == pytest.approx(SLOW_S, rel=0.3)
    for fast in (nic, "virt_cpu_total"):
        seen = times(fast)
        assert pace(seen) == pytest.approx(FAST_S, rel=0.4)
        assert seen == sorted(set(seen)), "no value twice or out of order"
    assert "Traceback" not in collectd.log
