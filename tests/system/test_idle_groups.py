"""Groups with nothing to tell: what they told is repeated, what they have to tell comes in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.bed import Shape
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

INTERVAL_S, REFRESH_S = 0.5, 4.0
ROUNDS = 10
#: virDomainDirtyRateStatus.
UNSTARTED, MEASURED = 0, 2


def test_a_dirty_rate_is_told_soon_after_it_was_measured_for_the_first_time(
    bed: Any,
    start: Callable[..., Any],
    tmp_path: Path,
    missing: Callable[[str, str], NoReturn],
) -> None:
    with bed.connection() as connection:
        if connection.getLibVersion() < 7_002_000:
            missing("a libvirtd that measures dirty rates", "libvirt 7.2 does")
    [guest] = bed.add(Shape("unmeasured"))
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, f"idle_refresh = {REFRESH_S}"))
    telegraf = start(Telegraf, execd(settings), INTERVAL_S)

    def measured() -> list[tuple[float, int]]:
        """When each point of its dirty rate came, and the state of the measurement in it."""
        return [
            (point.time / 1e9, int(point.fields["calc_status"].value))
            for point in telegraf.points()
            if point.measurement == "libvirt_dirtyrate"
            and point.tags["domain_name"] == guest.name
        ]

    wait_for("rounds", lambda: len(measured()) >= ROUNDS, 60)
    assert {status for _, status in measured()} == {UNSTARTED}
    rounds = [point.time for point in telegraf.points() if point.measurement == "domstats_round"]
    assert len(measured()) >= len(rounds) - 1, "it is in every round"
    with bed.connection() as connection:
        connection.lookupByName(guest.name).startDirtyRateCalc(1)
    began = max(time for time, _ in measured())
    wait_for("the dirty rate", lambda: MEASURED in {status for _, status in measured()}, 60)
    first = min(time for time, status in measured() if status == MEASURED)
    assert first - began <= REFRESH_S + 1.0 + 4 * INTERVAL_S
    wait_for("more rounds", lambda: measured()[-1][0] > first + 4 * INTERVAL_S, 60)
    assert {status for time, status in measured() if time > first} == {MEASURED}


def test_collectd_gets_the_memory_of_guests_whose_balloon_tells_nothing(
    bed: Any, start: Callable[..., Any]
) -> None:
    options = [f'Connection "{bed.uri}"', 'ExtraStats "memory"', "IdleRefresh 3600"]
    collectd = start(Collectd, python_plugin("\n".join(options)), INTERVAL_S)
    guest = bed.guests[0]

    def values(kind: str) -> list[float]:
        rows = collectd.series(guest.name).get(f"{guest.name}/{kind}", ())
        return [row.values[0] for row in rows]

    wait_for("rounds", lambda: len(values("virt/memory-total")) >= ROUNDS, 60)
    rounds = len(values("virt/memory-total"))
    with bed.connection() as connection:
        told = connection.lookupByName(guest.name).memoryStats()
    assert told.get("last_update", 0) == 0, "its balloon tells nothing"
    for kind, key in (("memory-total", "actual"), ("memory-actual_balloon", "actual")):
        assert set(values(f"virt/{kind}")) == {1024.0 * told[key]}
    assert len(values("virt/memory-rss")) >= rounds - 1
    assert values("virt/memory-rss")[-1] == pytest.approx(1024 * told["rss"], rel=0.1)
