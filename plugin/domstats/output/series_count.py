"""How many series a hypervisor makes, and what makes most of them.

A series is what a database keeps over time: a field of a line, a data source of a value list.
Writers say what each domain makes when its shape changes, not in each round; this module
adds it up. It must not know keys or agents.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Optional

from ..model import Sample

#: Makers that a warning names.
_NAMED = 3
#: A warning is repeated when there are half as many more, and ends well below the limit, so that a
#: host at the limit does not fill the log.
_GROWN, _ENDED = 1.5, 0.9


class Maker(NamedTuple):
    """What makes series.

    :param name: a measurement of Telegraf's, or a type of collectd's.
    :param by: what asks for it: an option or a stats group, as the user knows it.
    """

    name: str
    by: str


class Amount(NamedTuple):
    """How much there is: lines or value lists, and series in them."""

    lists: int
    series: int


#: What a domain makes. Domains alike share one, which is not changed.
Made = Mapping[Maker, Amount]
#: What domains make, by uuid: several where rounds ask for other groups each.
MadeByDomain = Iterable[tuple[str, tuple[Made, ...]]]


def merged(several: tuple[Made, ...]) -> Made:
    """What a domain makes over rounds that ask for other groups each: what they share, once."""
    if len(several) == 1:
        return several[0]
    found: dict[Maker, Amount] = {}
    for made in several:
        for maker, (lists, series) in made.items():
            before = found.get(maker, _NOTHING)
            found[maker] = Amount(max(before.lists, lists), max(before.series, series))
    return found


def added(domains: MadeByDomain) -> dict[Maker, Amount]:
    """What all of them make."""
    alike: Counter[tuple[int, ...]] = Counter()
    examples: dict[tuple[int, ...], tuple[Made, ...]] = {}
    for _, several in domains:
        key = tuple(map(id, several))
        alike[key] += 1
        examples[key] = several
    found: dict[Maker, Amount] = {}
    for key, count in alike.items():
        for maker, (lists, series) in merged(examples[key]).items():
            before = found.get(maker, _NOTHING)
            found[maker] = Amount(before.lists + count * lists, before.series + count * series)
    return found


def total(made: Made) -> Amount:
    """All of it."""
    return Amount(
        sum(amount.lists for amount in made.values()),
        sum(amount.series for amount in made.values()),
    )


def most_first(made: Made) -> list[tuple[Maker, Amount]]:
    """What makes most series comes first."""
    return sorted(made.items(), key=lambda item: (-item[1].series, item[0]))


class SeriesLimit:
    """Warns when a hypervisor makes more series than its user wants. It drops none.

    :param most: how many are wanted.
    :param option: the limit's name in the agent's configuration.
    :param remedy: what the user can do about it.
    """

    def __init__(self, most: int, option: str, remedy: str) -> None:
        self._most = most
        self._option = option
        self._remedy = remedy
        #: By writer: what it made when it counted last.
        self._made: dict[str, dict[Maker, Amount]] = {}
        #: How many there were when the last warning was given; None: there is none.
        self._warned_of: Optional[int] = None
        self._log: list[tuple[str, str]] = []
        #: A fast lane has a thread of its own.
        self._lock = threading.Lock()

    def count(self, writer: str, domains: MadeByDomain) -> None:
        """Shapes of domains have changed: count again.

        :param writer: which of the hypervisor's writers it is that makes this.
        """
        made = added(domains)
        with self._lock:
            self._made[writer] = made
            self._judge(self._all())

    def _all(self) -> Made:
        found: dict[Maker, Amount] = {}
        for made in self._made.values():
            for maker, (lists, series) in made.items():
                before = found.get(maker, _NOTHING)
                found[maker] = Amount(before.lists + lists, before.series + series)
        return found

    def take_log(self) -> list[tuple[str, str]]:
        """What there is to log now: levels and texts."""
        with self._lock:
            log, self._log = self._log, []
        return log

    def _judge(self, made: Made) -> None:
        series = total(made).series
        warned_of = self._warned_of
        if series > self._most and (warned_of is None or series >= _GROWN * warned_of):
            self._warned_of = series
            named = ", ".join(
                f"{maker.name} ({maker.by}) {amount.series:,}"
                for maker, amount in most_first(made)[:_NAMED]
            )
            self._log.append((
                "warning",
                f"{series:,} series, more than {self._option} ({self._most:,}); all of them are"
                f" sent; most come from {named}; {self._remedy}, or raise {self._option}",
            ))  # fmt: skip
        elif warned_of is not None and series <= _ENDED * self._most:
            self._warned_of = None
            self._log.append(
                ("info", f"{series:,} series, no longer more than {self._option} ({self._most:,})")
            )


class Recount:
    """Has the series of one writer counted again when shapes of domains have changed.

    :param writer: as of ``SeriesLimit.count``.
    """

    def __init__(self, limit: SeriesLimit, writer: str) -> None:
        self._limit = limit
        self._writer = writer
        self._is_due = True

    def end(self, sample: Sample, is_other: bool, made: Callable[[], MadeByDomain]) -> None:
        """A sample is over.

        While domains lack groups their keys are not those that they usually have: no fewer are
        counted then.

        :param is_other: whether shapes have changed since the last one.
        """
        self._is_due = self._is_due or is_other
        round_ = sample.round
        if self._is_due and round_.connected and not (round_.partial or round_.unresponsive):
            self._is_due = False
            self._limit.count(self._writer, made())


_NOTHING = Amount(0, 0)
