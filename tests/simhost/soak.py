"""Hundreds of rounds against a simulated host that never comes to rest: `make soak`.

Guests hang and heal, come and go, are renamed; connections break; all that at random moments of
rounds. What must hold in every round is checked, and what it cost is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from domstats.config.settings import Settings
from domstats.model import DomainSample, Sample, Status
from domstats.sampling.sampler import Sampler

from tests.simhost import SimHost, keys

#: Domains whose every counter is compared with the truth, in each round.
CHECKED = 40
#: How often something is done to a guest, or to all connections.
ACTS_PER_S = 5.0
#: Rounds between two lines that say how it goes.
TOLD_EACH = 25
#: Seconds by which this process's two clocks may disagree.
CLOCKS = 0.05


class Unrest(threading.Thread):
    """Does things to guests at random moments, and remembers when each was last touched."""

    def __init__(self, host: SimHost, hung: int, seed: int) -> None:
        super().__init__(name="unrest", daemon=True)
        self._control = host.control
        self._random = random.Random(seed)
        self._most_hung = hung
        self._over = threading.Event()
        self.lock = threading.Lock()
        self.hung: set[str] = set()
        self.touched: dict[str, float] = {}
        self.names = {domain["name"] for domain in self._control.domains()}
        self.done: Counter[str] = Counter()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.wait(self._random.expovariate(ACTS_PER_S)):
                with self.lock:
                    self._act()
        except BaseException as error:  # told by the main thread
            self.failure = error

    def end(self) -> None:
        """Stop, and heal everybody."""
        self._over.set()
        self.join()
        self._control.heal()
        if self.failure is not None:
            raise self.failure

    def were_well(self, since: float) -> set[str]:
        """The domains that were there and answered all the time since then."""
        with self.lock:
            return {
                name
                for name in self.names - self.hung
                if self.touched.get(name, float("-inf")) < since
            }

    def _act(self) -> None:
        what = self._random.choices(
            ("hang", "heal", "add", "remove", "rename", "drop"), (90, 80, 10, 10, 10, 1)
        )[0]
        if what == "hang" and len(self.hung) >= self._most_hung:
            what = "heal"
        if what == "heal" and not self.hung:
            what = "hang"
        self.done[what] += 1
        getattr(self, f"_{what}")()

    def _touch(self, name: str) -> str:
        self.touched[name] = time.monotonic()
        return name

    def _one(self) -> str:
        return self._touch(self._random.choice(sorted(self.names - self.hung)))

    def _hang(self) -> None:
        self.hung.update(self._control.hang([self._one()]))

    def _heal(self) -> None:
        name = self._touch(self._random.choice(sorted(self.hung)))
        self._control.heal([name])
        self.hung.discard(name)
        self._touch(name)

    def _add(self) -> None:
        for name in self._control.add(count=1):
            self.names.add(self._touch(name))

    def _remove(self) -> None:
        name = self._one()
        self._control.remove([name])
        self.names.discard(name)

    def _rename(self) -> None:
        old = self._one()
        new = self._touch(f"{old.partition('~')[0]}~{self.done['rename']}")
        self._control.rename(old, new)
        self.names.discard(old)
        self.names.add(new)

    def _drop(self) -> None:
        self._control.drop_connections()


class Costs:
    """What this process held at the end of each round."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.descriptors: list[int] = []
        self.memory: list[int] = []

    def note(self) -> None:
        self.threads.append(threading.active_count())
        self.descriptors.append(len(os.listdir("/proc/self/fd")))
        with open("/proc/self/statm") as statm:
            self.memory.append(int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20)

    def latest(self) -> str:
        return (
            f"{self.threads[-1]} threads, {self.descriptors[-1]} descriptors,"
            f" {self.memory[-1]} MiB"
        )


def check_values(host: SimHost, sample: Sample, domain: DomainSample, offset: float) -> None:
    """No counter is older than the sample's timestamp, nor from the future."""
    then = sample.time_ns / 1e9 - offset - host.epoch
    for key, value in domain.stats.items():
        if keys.moves(key):
            least = host.expected(domain.uuid, key, then - CLOCKS)
            most = host.expected(domain.uuid, key)
            assert isinstance(value, int)
            assert least <= value <= most, (domain.name, domain.status, key, value, least, most)


def soak(domains: int, hung: int, rounds: int, seed: int, watches: bool) -> None:
    """Make the rounds; raises AssertionError for what must not be."""
    chance = random.Random(seed)
    costs, durations = Costs(), []
    complete: list[float] = []
    lines: Counter[str] = Counter()
    with SimHost(domains=domains, seed=seed) as host:
        settings = Settings(uri=host.uri, process_watch=watches, storage_watch=watches)
        sampler = Sampler(settings, lambda level, text: lines.update([level]))
        offset = time.time() - time.monotonic()
        sampler.sample(60.0)
        unrest = Unrest(host, hung, seed)
        unrest.start()
        try:
            for number in range(rounds):
                began = time.monotonic()
                parts: list[Sample] = []
                sample = sampler.sample(20.0, take=parts.append)  # as the agents do
                early = [domain for part in parts for domain in part.domains]
                well = unrest.were_well(began)
                by_name = {domain.name: domain for domain in (*sample.domains, *early)}
                missed = [
                    name for name in well if name not in by_name or not by_name[name].stats
                ]
                assert sample.round.connected, (number, sample.round.error)
                why = Counter(by_name[name].reason for name in missed if name in by_name)
                assert not missed, (number, len(missed), why, sample.round)
                for domain in chance.sample(list(by_name.values()), CHECKED):
                    check_values(host, sample, domain, offset)
                fresh = sum(by_name[name].status is Status.FRESH for name in well)
                complete.append(fresh / len(well))
                durations.append(sample.round.duration_s)
                costs.note()
                assert sample.round.stuck_calls <= settings.stuck_budget, sample.round
                if (number + 1) % TOLD_EACH == 0:
                    print(
                        f"{number + 1} rounds: the last {TOLD_EACH} took"
                        f" {statistics.median(durations[-TOLD_EACH:]):.2f} s in the median,"
                        f" {max(durations[-TOLD_EACH:]):.2f} s at most; {costs.latest()}",
                        flush=True,
                    )
        finally:
            unrest.end()
        held = host.control.statistics()["workers"]["most"]
        sampler.close()
    print(f"{rounds} rounds of about {domains} domains; done to them: {dict(unrest.done)}")
    print(f"round:       median {statistics.median(durations):.3f} s, most {max(durations):.3f} s")
    print(f"complete:    median {statistics.median(complete):.2%} of those that were well all the")
    print(f"             round, least {min(complete):.2%}; with a sample: all, always")
    print(f"last round:  {sample.round}")
    print(f"server:      at most {held} of 20 workers busy")
    print(f"log lines:   {dict(lines)}")
    for name, values in vars(costs).items():
        early, late = values[len(values) // 4], values[-1]
        print(f"{name + ':':<12} {early} after a quarter, {late} at the end, most {max(values)}")
    most = settings.lanes + settings.stuck_budget + 10
    assert max(costs.threads) <= most, costs.threads
    assert max(costs.descriptors[len(costs.descriptors) // 4 :]) <= 3 * most + 20
    assert costs.memory[-1] <= 1.25 * costs.memory[len(costs.memory) // 4] + 16, costs.memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=5000)
    parser.add_argument("--hung", type=int, default=50, help="how many hang at once, at most")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-watches", action="store_true", help="as with a remote host")
    given = parser.parse_args()
    soak(given.domains, given.hung, given.rounds, given.seed, not given.no_watches)


if __name__ == "__main__":
    main()
