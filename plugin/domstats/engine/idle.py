"""Which groups of a domain have nothing to tell, and so are not asked for in every round.

A domain without I/O threads has to be asked whether it has some, and one whose dirty rate nobody
measures says so in each round; each of these answers costs a command of its monitor. So what such
a group told last is told again for a while. A group with anything to tell is asked for always. Pure
decisions, without threads, clock or libvirt.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Optional

import msgspec

from ..drivers import BLOCK, SHOWING
from ..model import GROUP_OF_WORD, Stats, Value
from .pace import Rota

#: The key for which the process is looked at where balloon is not asked for.
RSS = "balloon.rss"

#: Of an idle group, the keys that are told again; of all others, all of them.
_TOLD_AGAIN: dict[str, frozenset[str]] = {"balloon": frozenset({"balloon.last-update", RSS})}
#: What else balloon tells where the guest's driver reports nothing: virDomainGetInfo has it.
_IN_INFO = frozenset({"balloon.current", "balloon.maximum"})


def _has_silent_driver(stats: Stats) -> bool:
    """Whether the guest's balloon driver has reported no statistics, so that balloon tells
    nothing but what libvirt and the process know anyway."""
    if stats.get("balloon.last-update", 0) != 0 or RSS not in stats:
        return False
    told = {key for key in stats if _group(key) == "balloon"}
    return told <= _IN_INFO | _TOLD_AGAIN["balloon"]


#: The groups that can be idle, and whether an answer shows that one is.
_SIGNS: dict[str, Callable[[Stats], bool]] = {
    # libvirt says nothing at all of a domain without I/O threads
    "iothread": lambda stats: stats.get("iothread.count", 0) == 0,
    # VIR_DOMAIN_DIRTYRATE_UNSTARTED
    "dirtyrate": lambda stats: stats.get("dirtyrate.calc_status") == 0,
    "balloon": _has_silent_driver,
}


class Idle(msgspec.Struct, frozen=True, eq=False):
    """What idle groups of a domain told last; shared by all domains that told the same.

    :param shows: groups whose answer shows that the monitor was asked.
    """

    groups: frozenset[str]
    stats: Stats
    shows: frozenset[str]

    def within(self, groups: frozenset[str]) -> tuple[Optional[Idle], frozenset[str]]:
        """Those of them that a query for ``groups`` need not ask for, and what it has to.

        What is left to be asked must show whether the monitor was asked: libvirt passes over one
        that is busy. If it does not, nothing is left out.
        """
        return _within(self, groups)

    def with_rss(self, rss_kib: Optional[int]) -> Optional[Idle]:
        """The same with the memory of the process as it is now; None if that is not known."""
        if rss_kib is None:
            return None
        return Idle(self.groups, {**self.stats, RSS: rss_kib}, self.shows)


class IdleGroups:
    """The idle groups of all domains.

    :ivar groups: those that can be idle.
    :param lasts_s: seconds for which a group that is idle is not asked for; 0: it always is.
    :param has_info: whether virDomainGetInfo is asked along with the group cpu_total: balloon is
        not idle else.
    """

    def __init__(self, lasts_s: float, *, has_info: bool) -> None:
        able = frozenset(_SIGNS) if has_info else frozenset(_SIGNS) - {"balloon"}
        self.groups: frozenset[str] = able if lasts_s else frozenset()
        self._lasts_s = lasts_s
        #: By uuid, and when they were found idle, the longest ago first.
        self._found: dict[str, tuple[Idle, float]] = {}
        self._rota = Rota(lasts_s)

    def begin(self, now: float) -> None:
        """A round begins: those who have been idle longest are asked for everything again.

        Some are before their time, spread over as many rounds as idleness lasts, so that all
        rounds cost the same.
        """
        due = self._rota.turns(len(self._found), now)
        for at, (uuid, (_, since)) in enumerate(list(self._found.items())):
            if at >= due and now - since < self._lasts_s:
                break
            del self._found[uuid]

    def of(self, uuid: str) -> Optional[Idle]:
        """The groups that this domain need not be asked for now."""
        found = self._found.get(uuid)
        return None if found is None else found[0]

    def learn(self, uuid: str, stats: Stats, asked: frozenset[str], now: float) -> None:
        """A domain has answered, for all of ``asked``."""
        known = self._found.get(uuid)
        if known is not None:
            if known[0].groups.isdisjoint(asked):
                return
            del self._found[uuid]
        shows = SHOWING if stats.get("block.count") else SHOWING - {BLOCK}
        if asked.isdisjoint(shows):
            return  # who knows whether the monitor was asked
        groups = frozenset(group for group in asked & self.groups if _SIGNS[group](stats))
        if groups:
            self._found[uuid] = _idle(groups, tuple(_told_again(stats, groups)), shows), now

    def forget(self, uuid: str) -> None:
        """The domain has been started anew: it may be another."""
        self._found.pop(uuid, None)


def _told_again(stats: Stats, groups: frozenset[str]) -> list[tuple[str, Value]]:
    """What is told again of an answer; the memory of the process is another in each."""
    return [
        (key, 0 if key == RSS else value)
        for key, value in stats.items()
        if (group := _group(key)) in groups and key in _TOLD_AGAIN.get(group or "", (key,))
    ]


def _group(key: str) -> Optional[str]:
    return GROUP_OF_WORD.get(key.split(".", 1)[0])


@lru_cache(maxsize=256)
def _idle(
    groups: frozenset[str], told: tuple[tuple[str, Value], ...], shows: frozenset[str]
) -> Idle:
    """The same object for all domains that tell the same."""
    return Idle(groups, dict(told), shows)


@lru_cache(maxsize=256)
def _within(idle: Idle, groups: frozenset[str]) -> tuple[Optional[Idle], frozenset[str]]:
    wanted = idle.groups & groups
    if "cpu_total" not in groups:  # along with which virDomainGetInfo is asked
        wanted -= {"balloon"}
    left = groups - wanted
    if not wanted or left.isdisjoint(idle.shows):
        return None, groups
    if wanted == idle.groups:
        return idle, left
    stats = {key: value for key, value in idle.stats.items() if _group(key) in wanted}
    return Idle(wanted, stats, idle.shows), left
