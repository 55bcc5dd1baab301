"""Part of ``domstats check``: one hypervisor, by rounds as an agent makes them.

Every line that the sampler logs meanwhile is a finding, as it is one at 3 a.m.; what is slow, what
a watch cannot see and who does not answer come from the samples. It must not know configuration
files or agents.
"""

from __future__ import annotations

import queue
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Optional, Protocol

from ..agents.adapter import LogFunction
from ..config.settings import Settings, is_local
from ..hypervisor.processes import ProcessWatch
from ..model import DomainSample, Sample, Status
from ..shown import first_of, one_line
from .findings import Finding, Section

#: Whole rounds that are made, and times that each group is asked for alone.
ROUNDS = 3
#: Domains that one finding names.
_NAMED = 3
#: The share of the interval beyond which a round is worth a word: no room for a slower moment.
_CLOSE = 0.5
#: Seconds that a round of the check may take at most.
_MOST_S = 10.0


class Asked(Protocol):
    """What is used of ``sampling.sampler.Sampler``."""

    def sample(self, deadline: Optional[float] = None) -> Sample: ...

    def ask(
        self,
        callback: Callable[[Sample], None],
        *,
        deadline: Optional[float] = None,
        groups: Optional[Collection[str]] = None,
    ) -> int: ...

    def close(self) -> None: ...


class Checked(NamedTuple):
    """What became of it.

    :param sample: that of the last round.
    """

    section: Section
    findings: list[Finding]
    sample: Sample


def sampler(settings: Settings, log: LogFunction) -> Asked:
    """The sampler of a hypervisor; libvirt is imported with the first one."""
    from ..sampling.sampler import Sampler

    return Sampler(settings, log)


def check(settings: Settings, make: Callable[[Settings, LogFunction], Asked]) -> Checked:
    """Make some rounds and judge them.

    :param make: makes the sampler, ``sampler`` for a real one.
    """
    log: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    asked = make(settings, lambda level, text: log.put((level, text)))
    try:
        deadline = min(settings.round_deadline(), _MOST_S)
        rounds = [asked.sample(deadline)]
        while len(rounds) < ROUNDS and rounds[-1].round.connected:
            rounds.append(asked.sample(deadline))
        last = rounds[-1]
        costs = {} if _hangs(last) else _costs(asked, settings, deadline)
    finally:
        asked.close()
    logged = [log.get() for _ in range(log.qsize())]
    if not last.round.connected:
        return Checked(Section(settings.uri, ()), [_not_connected(last)], last)
    findings = [*_logged(settings.uri, logged), *_of_domains(last), *_of_time(settings, rounds)]
    rows = [
        ("hypervisor", _introduction(settings.uri, logged)),
        ("rights", "a read-only connection, which is all that is needed"),
        ("domains", _counted(last)),
        ("a round", _duration(settings, rounds)),
        ("groups", _listed_costs(costs) if costs else "not measured, since something hangs"),
    ]
    if is_local(settings.uri) and settings.process_watch:
        findings += _of_processes(settings.uri, last)
    return Checked(Section(settings.uri, rows), findings, last)


# --- What a round says --------------------------------------------------------------------------


def _hangs(sample: Sample) -> bool:
    """Whether anything hangs, so that no more is to be asked than has to be."""
    each = sample.round
    return not each.connected or bool(each.unresponsive or each.stuck_calls or each.silent_storage)


def _not_connected(sample: Sample) -> Finding:
    error = sample.round.error
    head = f"{sample.uri}: "
    return Finding(
        sample.uri,
        error[len(head) :] if error.startswith(head) else error,
        "nothing of this hypervisor is sampled",
        "what the message says; docs/messages.md has more on each",
        breaks=True,
    )


def _logged(uri: str, logged: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """What the log warns of, but for domains that do not answer, which the sample has."""
    for level, text in logged:
        text = text[len(uri) + 2 :] if text.startswith(f"{uri}: ") else text
        is_of_domains = text.startswith("domain ") or " domains do not answer" in text
        if level in ("warning", "error") and not is_of_domains:
            what, _, remedy = text.partition(": ")
            yield Finding(
                uri,
                what if remedy else text,
                "see docs/messages.md for this line; the agent's log has it too",
                remedy or "as the message says",
            )


def _introduction(uri: str, logged: Iterable[tuple[str, str]]) -> str:
    """What the line at the beginning of a log says, of the hypervisor and the watches."""
    for level, text in logged:
        _, samples, told = text.partition(" samples ")
        if level == "info" and samples:
            return told
    return "it did not say its version in time"


def _counted(sample: Sample) -> str:
    each = sample.round
    running = sum(domain.active for domain in sample.domains)
    counts = (
        ("answered everything", each.fresh),
        ("lack some groups", each.partial),
        ("do not answer", each.unresponsive),
    )
    how = ", ".join(f"{count} {words}" for words, count in counts if count)
    return f"{each.domains} ({running} running){': ' if how else ''}{how}"


def _of_domains(sample: Sample) -> Iterator[Finding]:
    if not sample.domains:
        yield Finding(
            sample.uri,
            "no domain is sampled",
            "there is nothing to send but figures of the rounds themselves",
            "virsh -r -c URI list --all shows what the hypervisor has; is there a list of domains"
            " in the configuration that leaves all out?",
        )
    for status, words, means, remedy in _STATUSES:
        by_reason: dict[str, list[DomainSample]] = {}
        for domain in sample.domains:
            if domain.status is status:
                by_reason.setdefault(domain.reason or "no reason is known", []).append(domain)
        for reason, domains in by_reason.items():
            names = first_of([_named(domain, sample) for domain in domains], _NAMED)
            verb = words if len(domains) > 1 else words.replace("do not", "does not")
            if status is Status.PARTIAL and len(domains) == 1:
                verb = "lacks groups"
            remedy = _REMEDIES.get(reason, remedy)
            yield Finding(sample.uri, f"{names} {verb}: {reason}", means, remedy)


_STATUSES = (
    (
        Status.UNRESPONSIVE,
        "do not answer",
        "state, CPU and network of it go on; disks and balloon are missing until it is back;"
        " other domains lose nothing",
        "docs/messages.md, Why a domain does not answer: look at its QEMU process and its storage",
    ),
    (
        Status.PARTIAL,
        "lack groups",
        "some of its values were missing in the last round",
        "if it lasts: docs/messages.md, Why a sample is partial",
    ),
)


#: Where the reason says what to do.
_REMEDIES = {
    "its process is stopped": "kill -CONT PID lets it go on (pgrep -f 'guest=NAME,' shows the PID"
    " of its QEMU); find out who stopped it: a debugger, the freezer, a person",
}


def _named(domain: DomainSample, sample: Sample) -> str:
    """With the time for which it has been seen so: since our own first round, so it may be more."""
    name = one_line(domain.name, 60)
    seconds = 0 if domain.since_ns is None else int((sample.time_ns - domain.since_ns) / 1e9)
    return f"{name} (for {seconds} s or longer)" if seconds > 0 else name


# --- Time ---------------------------------------------------------------------------------------


def _duration(settings: Settings, rounds: Collection[Sample]) -> str:
    durations = [sample.round.duration_s for sample in rounds]
    middle = statistics.median(durations)
    many = f" (the first {durations[0]:.2f})" if len(durations) > 1 else ""
    return f"{middle:.2f} s{many}, of an interval of {settings.interval:g} s"


def _of_time(settings: Settings, rounds: Collection[Sample]) -> Iterator[Finding]:
    durations = [sample.round.duration_s for sample in rounds]
    middle = statistics.median(durations)
    if middle <= _CLOSE * settings.interval or _hangs([*rounds][-1]):
        return
    yield Finding(
        settings.uri,
        f"a round takes {middle:.2f} s, and one is due each {settings.interval:g} s",
        "on a busier day domains at the end of a round lack values",
        "fewer groups or a longer time between those that cost most (every, Every), a longer"
        " interval, or more lanes",
    )


def _costs(asked: Asked, settings: Settings, deadline: float) -> dict[str, float]:
    """Seconds that a round takes for each group alone: the least of some."""
    costs: dict[str, float] = {}
    for group in sorted(settings.groups):
        found: list[float] = []
        for _ in range(ROUNDS):
            sample = _one(asked, group, deadline)
            if sample is None or _hangs(sample):
                return {}  # something has begun to hang: leave it alone
            found.append(sample.round.duration_s)
        costs[group] = min(found)
    return costs


def _one(asked: Asked, group: str, deadline: float) -> Optional[Sample]:
    answers: queue.SimpleQueue[Sample] = queue.SimpleQueue()
    asked.ask(answers.put, deadline=deadline, groups=(group,))
    try:
        return answers.get(timeout=deadline + 1)
    except queue.Empty:
        return None


def _listed_costs(costs: Mapping[str, float]) -> str:
    dearest = sorted(costs.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{group} {_ms(cost)}" for group, cost in dearest)
    return f"a round for one alone, in ms: {listed}"


def _ms(seconds: float) -> str:
    number = 1000 * seconds
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


# --- Watches ------------------------------------------------------------------------------------


def _of_processes(uri: str, sample: Sample) -> Iterator[Finding]:
    """What the process watch cannot see as this user."""
    running = {domain.uuid for domain in sample.domains if domain.active}
    watch = ProcessWatch()
    watch.look(running, time.monotonic())
    unseen = watch.unseen(running)
    if not unseen:
        return
    hidden = watch.is_hidden()
    yield Finding(
        uri,
        f"this user sees {len(running) - unseen} of {len(running)} QEMU processes"
        + (", as /proc hides those of other users (hidepid)" if hidden else ""),
        "a domain whose process is stopped is noticed by the call that gets stuck in it, which"
        " takes longer, and not before it is asked",
        "mount /proc with gid= of a group that the agent's user is in"
        if hidden
        else "run the agent where the QEMU processes are, not in a container of its own",
    )
