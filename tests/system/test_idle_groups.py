"""Groups with nothing to tell: what they told is repeated, what they have to tell comes in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, NoReturn

import libvirt
import pytest

from tests.system.agents import Collectd, Telegraf
from tests.system.agents.collectd_agent import Row
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

    wait_for("rounds", lambda: len(measured()) >= ROUNDS)
    assert {status for _, status in measured()} == {UNSTARTED}
    rounds = [point.time for point in telegraf.points() if point.measurement == "domstats_round"]
    assert len(measured()) >= len(rounds) - 1, "it is in every round"
    with bed.connection() as connection:
        domain = connection.lookupByName(guest.name)
        domain.startDirtyRateCalc(1)
        wait_for("the measurement", lambda: is_measured(domain))
    done = time.time()
    wait_for("the dirty rate", lambda: MEASURED in {status for _, status in measured()})
    first = min(at for at, status in measured() if status == MEASURED)
    times = [at for at, _ in measured()]
    pause = max(later - earlier for earlier, later in zip(times, times[1:]))
    assert first - done <= REFRESH_S + 2 * pause
    wait_for("more rounds", lambda: measured()[-1][0] > first + 4 * INTERVAL_S)
    assert {status for at, status in measured() if at > first} == {MEASURED}


def is_measured(domain: libvirt.virDomain) -> bool:
    """Whether the dirty rate has been measured, as the domain itself says."""
    [(_, stats)] = domain.connect().domainListGetStats(
        [domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE
    )
    return bool(stats["dirtyrate.calc_status"] == MEASURED)


def test_collectd_gets_the_memory_of_guests_whose_balloon_tells_nothing(
    bed: Any, start: Callable[..., Any]
) -> None:
    options = [f'Connection "{bed.uri}"', 'ExtraStats "memory"', "IdleRefresh 3600"]
    collectd = start(Collectd, python_plugin("\n".join(options)), INTERVAL_S)
    guest = bed.guests[0]

    def rows(kind: str) -> list[Row]:
        return collectd.series(guest.name).get(f"{guest.name}/{kind}", [])

    def values(kind: str) -> list[float]:
        return [row.values[0] for row in rows(kind)]

    def times(kind: str) -> list[float]:
        return [row.time for row in rows(kind)]

    wait_for("rounds", lambda: len(values("virt/memory-total")) >= ROUNDS)
    with bed.connection() as connection:
        told = connection.lookupByName(guest.name).memoryStats()
    assert told.get("last_update", 0) == 0, "its balloon tells nothing"
    for kind, key in (("memory-total", "actual"), ("memory-actual_balloon", "actual")):
        assert set(values(f"virt/{kind}")) == {1024.0 * told[key]}
    # The last round's value lists may be on their way still.
    *rounds, _ = times("virt/memory-total")
    wait_for("the last one", lambda: times("virt/memory-rss")[-1:] >= rounds[-1:])
    assert set(rounds) <= set(times("virt/memory-rss"))
    assert values("virt/memory-rss")[-1] == pytest.approx(1024 * told["rss"], rel=0.1)
