"""Whose guest agent is asked when, and what the log says of those that do not answer.

Pure: no thread, clock or libvirt. A few calls are under way at a time. One that lasts is *stuck*:
its domain is set aside until it is back, and others are asked in its place, up to ``CALLS_MOST``
calls, as each holds one of the server's workers.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Optional

import msgspec

from ..model import DomainSample, GuestAgent, Sample, Status
from ..shown import first_of, one_line

#: Calls under way at a time, if none is stuck, and in any case. With the six stuck calls that
#: rounds may have by default, half of libvirtd's 20 workers stay free.
CALLS, CALLS_MOST = 2, 4
#: Seconds after which a call counts as stuck.
STUCK_S = 5.0
#: An agent that has not answered is asked at longer distances, up to so many times the interval.
LESS_OFTEN_MOST = 8
#: Seconds until it is tried again when the hypervisor has refused twice; once: the interval.
PAUSE_S = 300.0
#: However many agents come and go, the log gets so many lines of a kind in so many seconds; and so
#: many names in a line, each of so many characters.
LINES_MOST, LINES_S, NAMED, NAME_MOST = 3, 3600.0, 5, 80

LogLine = tuple[str, str]


class _Agent(msgspec.Struct):
    """A domain's.

    :param due_s: when it is asked next.
    :param first: it has not been asked yet.
    :param asked_s: since when a call is under way; None if none is.
    :param failures: how often it has not answered since it last did.
    :param repeat_s: when to report again that it does not answer.
    """

    uuid: str
    name: str
    due_s: float
    first: bool = True
    asked_s: Optional[float] = None
    failures: int = 0
    is_silent: bool = False
    repeat_s: float = 0.0


class AgentBook:
    """The guest agents of one hypervisor.

    :param uri: of the hypervisor; log lines begin with it.
    :param interval_s: seconds between two questions to an agent.
    """

    def __init__(self, uri: str, interval_s: float) -> None:
        self._uri = uri
        self._interval_s = interval_s
        self._agents: dict[str, _Agent] = {}
        #: Whose calls are under way; a domain may have ended meanwhile.
        self._calls: dict[str, _Agent] = {}
        self._ready: deque[_Agent] = deque()
        self._found: list[GuestAgent] = []
        self._paused_until_s = 0.0
        self._said_silent: set[str] = set()
        #: By kind of log line: when the last ones were written.
        self._written: dict[str, deque[float]] = {}
        self._back: set[str] = set()
        self._refusal, self._said_refusal, self._refusals = "", "", 0
        self._is_full_said = False

    # -- what is asked

    def begin(self, now: float) -> None:
        """A round begins: who is due is ready to be asked, those that answer first."""
        if now < self._paused_until_s:
            self._ready.clear()
            return
        due = [
            agent for agent in self._agents.values() if agent.asked_s is None and agent.due_s <= now
        ]
        self._ready = deque(sorted(due, key=lambda agent: (agent.failures > 0, agent.due_s)))

    def threads(self, now: float) -> int:
        """How many threads there shall be."""
        return min(CALLS_MOST, CALLS + self.stuck(now)) if self._ready else 0

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def stuck(self, now: float) -> int:
        """How many calls are stuck."""
        return sum(1 for agent in self._calls.values() if _is_stuck(agent, now))

    def next(self, now: float) -> Optional[str]:
        """The uuid of a domain whose agent is to be asked now; None if there is none."""
        stuck = self.stuck(now)
        if self.under_way >= CALLS_MOST or self.under_way - stuck >= CALLS:
            return None
        while self._ready:
            agent = self._ready.popleft()
            if agent.asked_s is None and self._agents.get(agent.uuid) is agent:
                agent.asked_s = now
                self._calls[agent.uuid] = agent
                return agent.uuid
        return None

    # -- what comes back

    def answered(self, uuid: str, answer: Optional[GuestAgent], now: float) -> None:
        """A call is back.

        :param answer: None if no agent is connected, which is nothing to speak of.
        """
        agent = self._returned(uuid)
        if agent is None:
            return
        self._ask_again(agent, now, 1)
        agent.failures = 0
        if agent.is_silent:
            agent.is_silent = False
            if uuid in self._said_silent:
                self._back.add(uuid)
        if answer is not None:  # to see that there is no agent, one may ask without any right
            self._refusal, self._refusals = "", 0
            self._found.append(msgspec.structs.replace(answer, name=agent.name))

    def failed(self, uuid: str, now: float) -> None:
        """The agent has not answered, or nothing that can be read."""
        agent = self._returned(uuid)
        if agent is not None:
            self._refusal, self._refusals = "", 0
            agent.failures += 1
            self._ask_again(agent, now, min(LESS_OFTEN_MOST, 2 ** (agent.failures - 1)))
            self._silence(agent, now)

    def lost(self, uuid: str) -> None:
        """The connection was lost before there was an answer: it is asked again next round."""
        self._returned(uuid)

    def refused(self, uuid: str, why: str, now: float) -> None:
        """The hypervisor does not let anybody be asked: nobody is for a while."""
        self._returned(uuid)
        self._ready.clear()
        self._refusals += 1
        self._refusal = why
        self._paused_until_s = now + (self._interval_s if self._refusals == 1 else PAUSE_S)

    def end(self, sample: Sample, now: float) -> tuple[tuple[GuestAgent, ...], list[LogLine]]:
        """A round is over: what has been found since the last one, and what to log.

        :param sample: the round's; it says which domains there are.
        """
        if not sample.round.connected:
            return (), []
        self._learn(sample.domains, now)
        for agent in self._calls.values():
            if _is_stuck(agent, now):
                self._silence(agent, now)
        found, self._found = self._found, []
        found += [
            GuestAgent(agent.uuid, agent.name, sample.time_ns, responsive=False)
            for agent in self._agents.values()
            if agent.is_silent and agent.repeat_s <= now and self._repeats(agent, now)
        ]
        known = self._agents
        return tuple(each for each in found if each.uuid in known), list(self._log_lines(now))

    def _learn(self, domains: Iterable[DomainSample], now: float) -> None:
        """Forget who is not there any more. One that does not answer has no agent that could."""
        agents: dict[str, _Agent] = {}
        for domain in domains:
            if domain.active and domain.status in (Status.FRESH, Status.PARTIAL):
                uuid = domain.uuid
                agent = self._agents.get(uuid) or self._calls.get(uuid)
                agents[uuid] = agent or _Agent(uuid, domain.name, now)
                agents[uuid].name = domain.name
        self._agents = agents
        self._said_silent &= agents.keys()
        self._back &= agents.keys()

    def _returned(self, uuid: str) -> Optional[_Agent]:
        """The domain whose call is back; None if it is not there any more."""
        self._calls.pop(uuid).asked_s = None
        return self._agents.get(uuid)

    def _ask_again(self, agent: _Agent, now: float, intervals: int) -> None:
        """After so many intervals, or the first time a part of one: those that were asked one after
        another at first are spread over the interval from then on.
        """
        share = (zlib.crc32(agent.uuid.encode()) % 1000 + 1) / 1000 if agent.first else 1.0
        agent.first = False
        was_in_time = now - agent.due_s < self._interval_s
        last_s = agent.due_s if was_in_time else now
        agent.due_s = last_s + self._interval_s * share * intervals

    def _silence(self, agent: _Agent, now: float) -> None:
        if not agent.is_silent:
            agent.is_silent, agent.repeat_s = True, now
            self._back.discard(agent.uuid)

    def _repeats(self, agent: _Agent, now: float) -> bool:
        agent.repeat_s = now + self._interval_s
        return True

    # -- what the log says

    def _log_lines(self, now: float) -> Iterator[LogLine]:
        if self._refusal != self._said_refusal:
            self._said_refusal = self._refusal
            if self._refusal:
                yield "warning", self._refusal
            else:
                yield "info", f"{self._uri}: guest agents are asked again"
        silent = [
            each.uuid
            for each in self._agents.values()
            if each.is_silent and each.uuid not in self._said_silent
        ]
        if silent and self._may_write("silent", now):
            self._said_silent.update(silent)
            yield "warning", (
                f"{self._uri}: guest agents that do not answer: {self._names(silent)}; their file"
                " systems are missing until they do, and nothing else"
            )
        if self._back and self._may_write("back", now):
            yield "info", f"{self._uri}: guest agents that answer again: {self._names(self._back)}"
            self._said_silent -= self._back
            self._back.clear()
        is_full = self.stuck(now) >= CALLS_MOST
        if is_full and not self._is_full_said and self._may_write("full", now):
            yield "warning", (
                f"{self._uri}: {CALLS_MOST} calls to guest agents have not come back, and each"
                " holds a worker of libvirtd: no other agent is asked until one does"
            )
        self._is_full_said = is_full

    def _may_write(self, kind: str, now: float) -> bool:
        written = self._written.setdefault(kind, deque(maxlen=LINES_MOST))
        if len(written) == LINES_MOST and now - written[0] < LINES_S:
            return False
        written.append(now)
        return True

    def _names(self, uuids: Iterable[str]) -> str:
        names = [one_line(self._agents[uuid].name, NAME_MOST) for uuid in uuids]
        return first_of(sorted(names), NAMED)


def _is_stuck(agent: _Agent, now: float) -> bool:
    return agent.asked_s is not None and now - agent.asked_s > STUCK_S
