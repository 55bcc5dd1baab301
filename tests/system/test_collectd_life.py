"""domstats as a well-behaved guest in collectd: threads, mistakes in the configuration, the end."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable

from tests.system.agents import Collectd
from tests.system.agents.collectd_agent import CONFIGURATION, TYPES
from tests.system.agents.program import find
from tests.system.configurations import python_plugin
from tests.system.waiting import wait_for

#: Another Python plugin, which writes down how many threads there are when it is configured.
WITNESS = """\
import collectd

def count(_config):
    status = open("/proc/self/status").read()
    with open(__file__ + ".threads", "w") as out:
        out.write(status.split("Threads:")[1].split()[0])

collectd.register_config(count)
"""


def threads_at_configuration(folder: Path) -> str:
    return (folder / "witness.py.threads").read_text()


def test_no_thread_is_started_before_collectds_init(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    plugin = python_plugin(f'Connection "{bed.uri}"').replace(
        "</Plugin>",
        f'ModulePath "{tmp_path}"\nImport "witness"\n<Module witness>\n</Module>\n</Plugin>',
    )

    collectd = start(Collectd, plugin)
    wait_for("samples", lambda: collectd.series("web-1"))

    assert threads_at_configuration(tmp_path) == "1"


def test_collectd_as_a_daemon_has_samples(bed: Any, tmp_path: Path) -> None:
    configuration = tmp_path / "collectd.conf"
    plugins = python_plugin(f'Connection "{bed.uri}"')
    configuration.write_text(
        CONFIGURATION.format(folder=tmp_path, types=TYPES, interval=1, plugins=plugins)
    )
    command = [find("collectd"), "-C", str(configuration)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pid = int(wait_for("the daemon", lambda: (tmp_path / "collectd.pid").read_text()))
    try:
        wait_for("samples", lambda: list(tmp_path.glob("csv/web-1/virt/virt_cpu_total-*")))
        wait_for(
            "more",
            lambda: len(next(tmp_path.glob("csv/web-1/virt/virt_cpu*")).read_text().split()) > 3,
        )
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for("its end", lambda: not Path(f"/proc/{pid}").exists())


def test_the_configuration_test_of_collectd_is_content(bed: Any, start: Callable[..., Any]) -> None:
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"'), 1.0, "-T")
    assert collectd.process.wait(60) == 0, collectd.log
    assert "[err" not in collectd.log


def test_collectd_ends_cleanly_while_a_call_is_stuck(bed: Any, start: Callable[..., Any]) -> None:
    watches = "ProcessWatch false\nOccupancyWatch false"
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"\n{watches}'))
    wait_for("samples", lambda: collectd.series("web-1"))
    bed.guests[5].hang()

    def stuck() -> bool:
        rows = collectd.series().get("collectd/domstats/count-stuck_calls", [])
        return bool(rows) and rows[-1].values[0] > 0

    wait_for("a stuck call", stuck)
    collectd.process.terminate()

    assert collectd.process.wait(60) == 0
    assert "Exiting normally" in collectd.log
    assert "Traceback" not in collectd.log


def test_a_bad_option_is_one_clear_line_and_collectd_runs_on(
    bed: Any, start: Callable[..., Any]
) -> None:
    collectd = start(
        Collectd,
        python_plugin(
            f'Connection "{bed.uri}"',
            f'Connection "{bed.uri}"\nHostnameFormat "name"\nInterfaceFormt "name"',
        ),
    )

    def rows() -> int:
        return len(collectd.series("web-1").get("web-1/virt/virt_cpu_total", ()))

    wait_for("samples of the other block", lambda: rows() >= 3)
    lines = [line for line in collectd.log.splitlines() if "domstats" in line and "[err" in line]
    [line] = lines
    assert "InterfaceFormt" in line
    assert "InterfaceFormat" in line
    text = (collectd.folder / "collectd.conf").read_text()
    second = text[: text.rindex("<Module")].count("\n") + 1
    assert f"{collectd.folder}/collectd.conf:{second}, Module" in line
    assert "Traceback" not in collectd.log


def test_a_hypervisor_that_is_away_at_the_start_is_one_line_and_sampled_when_it_is_there(
    bed: Any, start: Callable[..., Any]
) -> None:
    bed.libvirtd.kill()
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"'))
    wait_for(
        "three rounds in vain",
        lambda: len(collectd.series().get("collectd/domstats/bool-connected", ())) >= 3,
    )
    [line] = [line for line in collectd.log.splitlines() if "domstats" in line]
    assert "libvirtd" in line
    bed.libvirtd.start()
    wait_for("samples", lambda: collectd.series("web-1"))

    def lines() -> list[str]:
        return [line for line in collectd.log.splitlines() if "domstats" in line]

    wait_for("who samples what", lambda: any(" samples QEMU " in line for line in lines()))
    assert len(lines()) == 3, lines()
