"""What collectd's Values.dispatch() costs, in a real collectd: ``python -m bench dispatch``.

``client.DISPATCH_S``, with which ``scale`` stands in for collectd, comes from here.
"""

from __future__ import annotations

import argparse
import re
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import agents, report
from tests.system.agents.program import Program
from tests.system.waiting import wait_for

#: Runs in collectd: dispatches as our plugin does, and logs the median of some rounds.
MODULE = """\
import statistics, time, collectd

def read():
    values = collectd.Values()
    dispatch = values.dispatch
    costs = []
    for round_ in range(9):
        now = time.time()
        began = time.thread_time()
        for number in range(1000):
            dispatch("if_octets", (1, 2), "", "vnet0", "virt", f"guest-{number:05}", now, 0.0)
        costs.append((time.thread_time() - began) / 1000)
        time.sleep(0.1)
    collectd.info("dispatch took %.2f us" % (statistics.median(costs[1:]) * 1e6))

collectd.register_read(read, interval=60)
"""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench dispatch", description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="domstats-bench-") as name,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
    ):
        sink.bind(("127.0.0.1", 0))
        folder = Path(name)
        (folder / "dispatching.py").write_text(MODULE)
        plugins = f"""
LoadPlugin python
<Plugin python>
  ModulePath "{folder}"
  Import "dispatching"
</Plugin>
"""
        port = sink.getsockname()[1]
        text = agents.COLLECTD.format(folder=folder, port=port, plugins=plugins)
        (folder / "collectd.conf").write_text(text)
        with Program(folder, ["collectd", "-f", "-C", str(folder / "collectd.conf")]) as agent:
            told = re.compile(r"dispatch took ([0-9.]+) us")
            found = wait_for("figure of collectd", lambda: told.search(agent.log), 60)
    print(f"Values.dispatch(): {found[1]} us of CPU in the reading thread")
    report.write_json(given.json, {"dispatch_us": float(found[1])})
