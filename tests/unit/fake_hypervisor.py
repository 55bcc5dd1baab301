"""A hypervisor that blocks and fails as a test says, and connections to it without libvirt."""

from __future__ import annotations

import threading
import time
from collections import Counter

from domstats.hypervisor.connection import Control
from domstats.model import MONITOR_FREE_GROUPS

#: Longer than anything takes that does not hang.
LONG_S = 60.0

_STATS_OF_CLASSIC = {"affinity": ("vcpu.0.affinity", "0,1"), "info": ("cpu.time", 77)}


class Hypervisor:
    """What all connections of a test talk to."""

    def __init__(self):
        self.domains = [f"u{number}" for number in range(8)]
        self.has_monitors = True
        self.hung: dict[str, threading.Event] = {}
        self.busy_since: dict[str, float] = {}
        self.entered = threading.Semaphore(0)
        self.list_gate = threading.Event()
        self.list_gate.set()
        self.list_errors: list[Exception] = []
        self.errors: dict[str, Exception] = {}
        self.control_error: Exception | None = None
        self.connections: list[Connection] = []
        self.threads: dict[int, set[str]] = {}
        self.calls: Counter[str] = Counter()
        self.groups: set[frozenset[str]] = set()
        self.version = "QEMU 7.2.22 (libvirt 9.0.0)"
        self.version_gate = threading.Event()
        self.version_gate.set()

    def hang(self, *uuids):
        for uuid in uuids:
            self.hung[uuid] = threading.Event()

    def heal(self):
        hung, self.hung = self.hung, {}
        for event in hung.values():
            event.set()
        self.list_gate.set()
        self.version_gate.set()

    def wait_until_stuck(self, calls=1):
        for _ in range(calls):
            assert self.entered.acquire(timeout=LONG_S)


class Connection:
    """domstats.hypervisor.connection.Connection without libvirt."""

    hypervisor: Hypervisor

    def __init__(self, uri, watch=None, *, keepalive=False, shared=False):
        self.opened = 1
        self.closed = threading.Event()
        self.hypervisor.connections.append(self)
        self.hypervisor.threads[id(self)] = set()

    @property
    def has_monitors(self):
        return self.hypervisor.has_monitors

    def _called(self, name):
        self.hypervisor.calls[name] += 1
        self.hypervisor.threads[id(self)].add(threading.current_thread().name)

    def close(self):
        self.closed.set()

    def version(self):
        self._called("version")
        self.hypervisor.version_gate.wait(LONG_S)
        if isinstance(self.hypervisor.version, Exception):
            raise self.hypervisor.version
        return self.hypervisor.version

    def node_cpus(self):
        return 4

    def list_domains(self, inactive):
        self._called("list")
        self.hypervisor.list_gate.wait(LONG_S)
        if self.hypervisor.list_errors:
            raise self.hypervisor.list_errors.pop(0)
        return [(uuid, f"name of {uuid}", True) for uuid in self.hypervisor.domains]

    def stats(self, uuids, groups):
        if groups <= MONITOR_FREE_GROUPS:
            return [(uuid, {"state.state": 1}) for uuid in uuids]
        self._called("stats")
        self.hypervisor.groups.add(groups)
        records = []
        for uuid in uuids:
            error = self.hypervisor.errors.get(uuid)
            if error is not None:
                raise error
            event = self.hypervisor.hung.get(uuid)
            if event is not None:
                self.hypervisor.busy_since.setdefault(uuid, time.monotonic())
                self.hypervisor.entered.release()
                event.wait(LONG_S)
                self.hypervisor.busy_since.pop(uuid, None)
            stats = {"state.state": 1, "cpu.time": 1, "balloon.rss": 1, "block.count": 0}
            records.append((uuid, stats))
        return records

    def add_classic(self, records, wanted):
        for _, stats in records:
            stats.update(_STATS_OF_CLASSIC[value] for value in wanted if value in _STATS_OF_CLASSIC)
        return records

    def control(self, uuids):
        self._called("control")
        if self.hypervisor.control_error is not None:
            raise self.hypervisor.control_error
        now = time.monotonic()
        busy = dict(self.hypervisor.busy_since)
        return {
            uuid: Control(2, now - busy[uuid]) if uuid in busy else Control(0, 0.0)
            for uuid in uuids
        }

    def xml(self, uuid):
        self._called("xml")
        return "<domain/>"


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("domstats-")}
