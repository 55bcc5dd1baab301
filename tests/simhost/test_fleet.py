"""One child of Telegraf that polls forty hypervisors, four of which freeze."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.simhost import SimHost
from tests.simhost.conftest import wait_until

DOMAINS = 25
WELL, FROZEN = 36, 4
#: The child itself and libvirt's event loop; standard streams, pipes and what Python holds.
THREADS, DESCRIPTORS = 8, 24

ROUND = re.compile(
    r"domstats_round,hypervisor=(\S+),version=\S+ .*,domains=(\d+)i,.*,fresh=(\d+)i"
    r".*,lanes=(\d+)i.*,unresponsive=(\d+)i"
)


class Child:
    """Telegraf's child, and what its rounds have told."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: By URI: rounds in which all domains were fresh, and in which all but one were.
        self.complete: Counter[str] = Counter()
        self.lacking_one: Counter[str] = Counter()
        self.lanes: Counter[str] = Counter()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = ROUND.match(line.decode())
            if found:
                uri = found[1].replace("\\", "")
                domains, fresh, unresponsive = (int(found[group]) for group in (2, 3, 5))
                self.complete[uri] += fresh == domains == DOMAINS
                self.lacking_one[uri] += fresh + unresponsive == DOMAINS and unresponsive == 1
                self.lanes[found[4]] += 1

    def tick(self, uris: Iterable[str], lacks_one: Iterable[str] = ()) -> None:
        """Ask for a round, and wait until all of these hypervisors have had it."""
        assert self._process.stdin is not None
        wanted = [(self.complete, uri, self.complete[uri]) for uri in uris]
        wanted += [(self.lacking_one, uri, self.lacking_one[uri]) for uri in lacks_one]
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        wait_until(lambda: all(rounds[uri] > before for rounds, uri, before in wanted))

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[SimHost, SimHost]]:
    """Two processes, so that one can be stopped while the other goes on."""
    with SimHost(hosts=WELL, domains=DOMAINS) as well, SimHost(
        hosts=FROZEN, domains=DOMAINS, seed=1000
    ) as others:
        yield well, others


@pytest.fixture
def child(hosts: tuple[SimHost, SimHost], tmp_path: Path) -> Iterator[Child]:
    uris = [uri for each in hosts for uri in each.uris]
    tables = (f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\ndeadline = "60s"\n' for uri in uris)
    settings = tmp_path / "domstats.toml"
    settings.write_text("".join(tables))
    program = f"{sysconfig.get_path('scripts')}/domstats"
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(
        [program, "telegraf", "--config", str(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    ) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def test_those_that_freeze_delay_nobody_and_all_of_them_need_few_threads_and_connections(
    hosts: tuple[SimHost, SimHost], child: Child
) -> None:
    well, others = hosts
    everybody = [*well.uris, *others.uris]
    for _ in range(3):
        child.tick(everybody)
    assert child.lanes.keys() == {"1"}
    others.pause()
    try:
        for _ in range(5):
            child.tick(well.uris)
        # its own, and those of calls under way at a time: on a busy machine some come late
        assert child.threads <= 4 * len(everybody) + THREADS
        # a connection has a socket and a descriptor by which libvirt wakes its waiting thread
        assert child.descriptors <= 4 * len(everybody) + DESCRIPTORS
    finally:
        others.proceed()
    child.tick(everybody)


def test_a_hung_guest_on_one_costs_no_other_guest_a_round_and_a_lost_connection_none_either(
    hosts: tuple[SimHost, SimHost], child: Child
) -> None:
    well, _ = hosts
    first, *rest = well.uris
    child.tick(well.uris)
    well.control.hang(count=1)
    try:
        for _ in range(3):
            child.tick(rest, lacks_one=[first])
    finally:
        well.control.heal()
    before = child.complete[first]
    while child.complete[first] == before:
        child.tick(rest)
    assert well.control.drop_connections() > 0
    child.tick(well.uris)
    assert well.control.statistics()["mistakes"] == []
