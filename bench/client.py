"""A process that makes one round at each line on its standard input, and says what it cost.

``python -m bench.client KIND URI`` is one; ``Client`` starts it. A process of its own for each
kind keeps their CPU time, memory and threads apart, and lets the rounds of several take turns.
The kinds are in ``KINDS``: ours in its forms, and the bare libvirt-python calls beneath.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from bench import proc

ROOT = Path(__file__).parents[1]

#: What a call to collectd's Values.dispatch() costs, as ``python -m bench dispatch`` measures it.
DISPATCH_S = 7e-6
LANES = 4
#: Groups that domains without I/O threads and measured dirty rate are asked for once a minute.
IDLE = frozenset({"iothread", "dirtyrate"})
#: What a read for collectd asks in bulk and of each domain, without ExtraStats and with them; the
#: group balloon once a minute where guests report no statistics, as here.
COLLECTD_CALLS = ("--groups", "state,interface,block", "--calls", "info")
COLLECTD_EXTRA_CALLS = (
    "--groups", "state,interface,block,perf", "--calls", "info", "getCPUStats", "vcpus",
)  # fmt: skip
#: Calls for each domain that can be made beside the bulk calls, with their arguments.
CLASSIC: dict[str, tuple[Any, ...]] = {"info": (), "getCPUStats": (True,), "vcpus": ()}

Round = Callable[[], dict[str, Any]]


class Cost(NamedTuple):
    """What a round cost.

    :param wall_s: from its request to its complete output.
    :param cpu_s: of the client's process.
    :param found: what the kind tells besides: domains, bytes, value lists.
    """

    wall_s: float
    cpu_s: float
    found: dict[str, Any]


class Client:
    """A client of some kind in a process of its own, from ``with`` to the end of it."""

    def __init__(self, kind: str, uri: str, *options: str) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugin'}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client", kind, uri, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            text=True,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def round(self) -> Cost:
        """Make a round.

        :raises RuntimeError: when the process has ended; its error is on stderr.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a client of the benchmark has ended")
        return Cost(**json.loads(line))

    def usage(self) -> proc.Usage:
        return proc.usage([self.pid])


# --- in the process


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.client")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("uri")
    parser.add_argument("--groups", help="stats groups with commas; else those of Telegraf")
    parser.add_argument("--calls", nargs="*", default=(), choices=sorted(CLASSIC))
    parser.add_argument("--extra", default="", help="ExtraStats, for value lists")
    given = parser.parse_args()
    make_round = KINDS[given.kind](given)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        found = make_round()
        cost = Cost(time.perf_counter() - began, time.process_time() - cpu, found)
        print(json.dumps(cost._asdict()), flush=True)
    os._exit(0)


def _settings(given: argparse.Namespace) -> Any:
    import msgspec
    from domstats.config.telegraf import for_uri

    settings = for_uri(given.uri)
    changes: dict[str, Any] = {"deadline": 600.0}
    if given.groups:
        changes["groups"] = frozenset(given.groups.split(","))
    return msgspec.structs.replace(settings, **changes)


def _told(sample: Any) -> dict[str, Any]:
    made = sample.round
    is_complete = made.connected and made.fresh == made.domains > 0
    return {"domains": made.domains, "calls": made.calls, "complete": is_complete}


def _sampler(given: argparse.Namespace) -> Round:
    """A round of ours, and nothing made of it."""
    from domstats.sampling.sampler import Sampler

    sampler = Sampler(_settings(given), lambda level, text: print(text, file=sys.stderr))

    def make_round() -> dict[str, Any]:
        return _told(sampler.sample())

    return make_round


def _lines(given: argparse.Namespace) -> Round:
    """A round of ours as line protocol, as Telegraf's child makes it."""
    from domstats.agents.telegraf_execd import writer
    from domstats.sampling.sampler import Sampler

    settings = _settings(given)
    sampler = Sampler(settings, lambda level, text: print(text, file=sys.stderr))
    lines, null = writer(settings), os.open(os.devnull, os.O_WRONLY)
    gc.disable()  # as the child does, which looks for garbage every ten minutes

    def make_round() -> dict[str, Any]:
        written = 0

        def take(part: Any) -> None:
            nonlocal written
            written += os.write(null, lines.take(part))

        sample = sampler.sample(take=take)
        written += os.write(null, lines.encode(sample))
        return {**_told(sample), "bytes": written}

    return make_round


class _ConfigNode(NamedTuple):
    """collectd's Config, as it hands over a ``<Module>`` block."""

    key: str
    values: tuple[Any, ...]
    children: tuple[Any, ...] = ()


class _StandIn:
    """collectd's Python module, whose dispatch takes as long as the real one's."""

    NOTIF_OKAY, NOTIF_FAILURE = 4, 1

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}
        self.dispatched = 0
        self._spin_s = DISPATCH_S
        # What a call and the clock take; the least, as others may be at work.
        self._spin_s -= min(self._mean_dispatch_s() for _ in range(100)) - DISPATCH_S
        self.dispatched = 0

    def _mean_dispatch_s(self, count: int = 100) -> float:
        began = time.perf_counter()
        for _ in range(count):
            self.dispatch("", (), "", "", "", "", 0.0, 0.0)
        return (time.perf_counter() - began) / count

    def _register(self, callback: Any, name: str = "", **_: Any) -> None:
        self.callbacks[name] = callback

    def register_config(self, callback: Any, name: str) -> None:
        self.callbacks["config"] = callback

    def register_init(self, callback: Any, name: str) -> None:
        self.callbacks["init"] = callback

    def register_shutdown(self, callback: Any, name: str) -> None:
        pass

    register_read = _register

    def _log(self, text: str) -> None:
        print(text, file=sys.stderr)

    error = warning = info = debug = _log

    def Values(self) -> _StandIn:  # collectd's name for it
        return self

    def dispatch(self, *_: Any) -> None:
        until = time.perf_counter() + self._spin_s
        self.dispatched += 1
        while time.perf_counter() < until:
            pass


def _lists(given: argparse.Namespace) -> Round:
    """A read of ours in collectd, with a stand-in for collectd itself."""
    from domstats.collectd_plugin import register_plugin

    collectd = _StandIn()
    register_plugin(collectd)
    options = [_ConfigNode("Connection", (given.uri,)), _ConfigNode("Deadline", (600.0,))]
    if given.extra:
        options.append(_ConfigNode("ExtraStats", (given.extra,)))
    collectd.callbacks["config"](_ConfigNode("Module", ("domstats",), tuple(options)))
    collectd.callbacks["init"]()

    found = {"value_lists": 0}

    def make_round() -> dict[str, Any]:
        before, previous = collectd.dispatched, found["value_lists"]
        collectd.callbacks["domstats-1"]()
        found["value_lists"] = collectd.dispatched - before
        return {**found, "complete": found["value_lists"] == previous}

    return make_round


def _bulk(given: argparse.Namespace) -> Round:
    """One bulk call for all domains."""
    import libvirt

    connection, mask = _open(given.uri), _mask(given.groups)
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

    def make_round() -> dict[str, Any]:
        return {"domains": len(connection.getAllDomainStats(mask, flags))}

    return make_round


def _bare(given: argparse.Namespace) -> Round:
    """The calls that a round of ours consists of, on as many connections, and nothing else."""
    import libvirt
    from domstats.config.options import TELEGRAF_GROUPS
    from domstats.config.settings import Settings
    from domstats.engine.pace import chunk_size

    groups = given.groups or ",".join(group for group in TELEGRAF_GROUPS if group not in IDLE)
    mask, flags = _mask(groups), libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    control = _open(given.uri)
    chunks: queue.SimpleQueue[Optional[tuple[int, int]]] = queue.SimpleQueue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def carry() -> None:
        connection = _open(given.uri)
        domains = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        while True:
            chunk = chunks.get()
            assert chunk is not None
            answer = connection.domainListGetStats(domains[slice(*chunk)], mask, flags)
            for domain, _ in answer:
                for call in given.calls:
                    getattr(domain, call)(*CLASSIC[call])
            back.put(len(answer))

    for _ in range(LANES):
        threading.Thread(target=carry, daemon=True).start()

    def make_round() -> dict[str, Any]:
        count = len(control.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
        size = min(Settings().chunk_size, chunk_size(count, LANES, 0.0))
        begins = range(0, count, size)
        for begin in begins:
            chunks.put((begin, begin + size))
        return {"domains": sum(back.get() for _ in begins), "calls": len(begins)}

    return make_round


def _open(uri: str) -> Any:
    import libvirt

    return libvirt.openReadOnly(uri)


def _mask(groups: Optional[str]) -> int:
    from domstats.config.options import TELEGRAF_GROUPS
    from domstats.hypervisor.connection import _GROUP_BITS

    return sum(_GROUP_BITS[group] for group in (groups.split(",") if groups else TELEGRAF_GROUPS))


#: What makes the function that makes a round.
KINDS: dict[str, Callable[[argparse.Namespace], Round]] = {
    "sampler": _sampler,
    "lines": _lines,
    "lists": _lists,
    "bulk": _bulk,
    "bare": _bare,
}


@contextlib.contextmanager
def clients(uri: str, kinds: dict[str, tuple[str, ...]]) -> Iterator[dict[str, Client]]:
    """Clients by the names given: kind and options of each."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(Client(kind[0], uri, *kind[1:]))
            for name, kind in kinds.items()
        }


if __name__ == "__main__":
    main()
