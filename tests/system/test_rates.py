"""What follows of counters by the second, as it arrives from real guests in both agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from tests.system.agents import Collectd, Telegraf
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

INTERVAL_S = 1.0
ROUNDS = 8


def test_telegraf_gets_rates_that_are_those_of_the_counters(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, "rates = true"))
    telegraf = start(Telegraf, execd(settings), INTERVAL_S)
    guest = bed.guests[0]

    def series(measurement: str, field: str) -> dict[int, float]:
        return {
            point.time: float(point.fields[field].value)
            for point in telegraf.points()
            if point.measurement == measurement
            and field in point.fields
            and point.tags.get("domain_name", guest.name) == guest.name
        }

    wait_for("rates", lambda: len(series("domstats_cpu", "percent")) >= ROUNDS)
    percent, spent = series("domstats_cpu", "percent"), series("libvirt_cpu", "time")
    took_s = series("domstats_round", "duration_s")
    held = 0
    for before, now in zip(sorted(spent), sorted(spent)[1:]):
        # A guest is asked at some time between the beginning of its round and the end.
        elapsed_s = (now - before) / 1e9
        if now in percent and elapsed_s > 2 * took_s[before]:
            used = 100 * (spent[now] - spent[before]) / 1e9
            least, most = used / (elapsed_s + took_s[now]), used / (elapsed_s - took_s[before])
            assert least - 0.001 <= percent[now] <= most + 0.001
            held += 1
    assert held
    assert max(percent.values()) > 0
    assert series("domstats_vcpu", "steal_percent")
    assert series("domstats_disk", "queue")
    assert series("domstats_disk", "writes_per_s")
    assert series("domstats_nic", "sent_bytes_per_s")


def test_collectd_gets_rates_beside_what_plugin_virt_has(
    bed: Any, start: Callable[..., Any]
) -> None:
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"\nRates true'), INTERVAL_S)
    guest = bed.guests[0]

    def values(kind: str) -> list[float]:
        rows = collectd.series(guest.name).get(f"{guest.name}/{kind}", [])
        return [row.values[0] for row in rows]

    wait_for("rates", lambda: len(values("domstats/percent-cpu_of_vcpus")) >= ROUNDS)
    for kind in ("percent-cpu_of_vcpus", "percent-cpu_of_host", "percent-vcpu-0"):
        assert all(0 <= value <= 100 for value in values(f"domstats/{kind}"))
    assert max(values("domstats/gauge-cpu_percent")) > 0
    assert values("domstats/percent-steal-vcpu-0")
    assert values("domstats/queue_length-vda")
    assert values("virt/virt_cpu_total")
    assert values("virt/disk_octets-vda")
