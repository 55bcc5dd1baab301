"""libvirtd is killed and started again while an agent runs."""

import time
from pathlib import Path
from typing import Any, Callable

from tests.system.agents import Collectd, Telegraf
from tests.system.configurations import execd, libvirt_table, python_plugin
from tests.system.waiting import wait_for

#: In which a libvirtd that was just started answers also on a busy machine: if it did not, that
#: would be two lines more.
INTERVAL_S = 2.0


def told(log: str, word: str) -> list[str]:
    """What the log's lines say of the hypervisor's end and return, in their order.

    It may be slow afterwards, and lines say so: libvirt 12.8 takes seconds to meet eight guests
    again where the machine is busy.
    """
    lines = [line for line in log.splitlines() if word in line]
    kinds = ("Failed to connect", "answers again")
    found = [kind for line in lines for kind in kinds if kind in line]
    is_slow = any("did not answer within" in line for line in lines)
    return found[:1] + found[-1:] if is_slow and found.count(kinds[0]) == 1 else found


def test_telegraf_has_samples_again_after_libvirtd_and_two_lines_about_it(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri))
    telegraf = start(Telegraf, execd(settings), INTERVAL_S)

    def rounds(connected: bool, since: float = 0) -> list[int]:
        return [
            point.time
            for point in telegraf.points()
            if point.measurement == "domstats_round"
            and bool(point.fields["connected"].value) is connected
            and point.time > since * 1e9
        ]

    def sampled(since: float) -> set[str]:
        return {
            point.tags["domain_name"]
            for point in telegraf.points()
            if point.measurement == "libvirt_cpu" and point.time > since * 1e9
        }

    wait_for("two rounds", lambda: len(rounds(True)) >= 2)
    everybody = sampled(0)
    before = telegraf.log
    bed.libvirtd.kill()
    wait_for("three rounds without libvirtd", lambda: len(rounds(False)) >= 3)
    bed.libvirtd.start()
    back = time.time()
    wait_for("everybody's samples", lambda: sampled(back) >= everybody)
    wait_for("two more rounds", lambda: len(rounds(True, back)) >= 2)

    assert len(rounds(False, back)) <= 2
    lines = told(telegraf.log.removeprefix(before), "inputs.execd")
    assert lines == ["Failed to connect", "answers again"]
    assert "Traceback" not in telegraf.log


def test_collectd_has_samples_again_after_libvirtd_and_two_lines_about_it(
    bed: Any, start: Callable[..., Any]
) -> None:
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"'), INTERVAL_S)

    def rounds(connected: bool, since: float = 0) -> list[float]:
        rows = collectd.series("collectd").get("collectd/domstats/bool-connected", [])
        return [row.time for row in rows if row.values == (connected,) and row.time > since]

    def sampled(since: float) -> set[str]:
        return {
            name
            for name, rows in collectd.series().items()
            if "virt_cpu_total" in name and rows[-1].time > since
        }

    wait_for("two rounds", lambda: len(rounds(True)) >= 2)
    everybody = sampled(0)
    before = collectd.log
    bed.libvirtd.kill()
    wait_for("three rounds without libvirtd", lambda: len(rounds(False)) >= 3)
    bed.libvirtd.start()
    back = time.time()
    wait_for("everybody's samples", lambda: sampled(back) >= everybody)
    wait_for("two more rounds", lambda: len(rounds(True, back)) >= 2)

    assert len(rounds(False, back)) <= 2
    lines = told(collectd.log.removeprefix(before), "domstats")
    assert lines == ["Failed to connect", "answers again"]
    assert "Traceback" not in collectd.log
