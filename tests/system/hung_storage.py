"""What agents deliver while storage under some guests hangs, and which guests it freezes."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.delivered import WITHOUT_SIZES, Counters, Seen, median_ms, within

#: From this libvirt on, a question about a disk's counters looks at its file, and so is not asked.
LOOKS_AT_FILES_FROM = 11_009_000
#: Calls that may be under way in the moment in which the storage hangs.
LANES = 4


@dataclass
class Story:
    """What an agent delivered while storage hung.

    :ivar kept: what a guest on it is to have all the while; see ``kept_by``.
    :ivar frozen: guests that were found frozen, in each look while it hung.
    """

    agent: str
    beside: list[str]
    on_it: list[str]
    kept: frozenset[str] = WITHOUT_SIZES
    froze: float = 0.0
    healed: float = 0.0
    frozen: list[set[str]] = field(default_factory=list)
    rounds: list[Seen] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)
    log: str = ""

    def during(self) -> list[Seen]:
        return within(self.rounds, self.froze, self.healed)

    def tell(self, what: str) -> None:
        during = self.during()
        stuck = max((seen.report["stuck_calls"] for seen in during), default=0)
        before = median_ms(within(self.rounds, 0, self.froze)[1:])
        print(
            f"{self.agent}, storage of 6 of 12 hung {what}: rounds before {before} ms,"
            f" while it hangs {median_ms(during)} ms; stuck calls at most {stuck:.0f}; frozen"
            f" guests {[len(look) for look in self.frozen[::4]]}"
        )


def kept_by(bed: Any) -> frozenset[str]:
    """The aspects of a guest that its hung storage does not cost, with the bed's libvirtd."""
    with bed.connection() as connection:
        has_counters = connection.getLibVersion() < LOOKS_AT_FILES_FROM
    return WITHOUT_SIZES if has_counters else WITHOUT_SIZES - {"block"}


class Frozen(threading.Thread):
    """Looks, until the end of ``with``, which guests wait for storage in QEMU's main loop.

    That loop holds the lock that each vCPU needs as soon as it leaves the guest: the guest stands.
    """

    def __init__(self, guests: list[Any]) -> None:
        super().__init__(daemon=True)
        self._pids = {guest.pid: guest.name for guest in guests}
        self._ended = threading.Event()
        self.looks: list[set[str]] = []

    def run(self) -> None:
        while not self._ended.wait(0.25):
            self.looks.append({name for pid, name in self._pids.items() if _waits(pid)})

    def __enter__(self) -> "Frozen":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer"


@contextlib.contextmanager
def frozen(bed: Any, story: Story) -> Iterator[None]:
    """Have the storage hang; it is healed whatever happens."""
    on_it = [guest for guest in bed.guests if guest.name in story.on_it]
    with Frozen(on_it) as looks:
        story.froze = time.time()
        try:
            bed.share.freeze()
            yield
        finally:
            story.healed = time.time()
            bed.share.heal()
    story.frozen = looks.looks
