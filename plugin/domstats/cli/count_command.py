"""``domstats metrics --config FILE``: how many series a configuration makes here, and of what.

It must not know how a command line is read, nor how writers count.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Protocol

import msgspec

from ..agents.collectd_output import collectd_options
from ..agents.telegraf_execd import writer
from ..config import config_file
from ..config.settings import Settings
from ..model import Sample
from ..output.series_count import Amount, Made, MadeByDomain, added, merged, most_first, total
from ..output.value_lists import ValueLists
from ..shown import one_line, write
from .sample_command import FAILED, Messages, Said, Wanted, Watched, hypervisors, one_round

#: Rounds that are made: a selection by label, addresses and files are known from the second on.
ROUNDS = 2
_PAUSE_S = 1.0
#: Domains that the table shows, cells of a name, and of a line.
_SHOWN, _NAME, _WIDTH = 20, 46, 80


class Counter(Protocol):
    """Counts series."""

    def take(self, sample: Sample) -> object:
        """Count what is sent of a sample."""

    def made(self) -> MadeByDomain:
        """What was counted."""


class Counted(NamedTuple):
    """The series of one hypervisor.

    :param agent: whose they are.
    :param made: by measurement or type.
    :param domains: name, uuid, and how much, most first.
    :param lacking: domains that lacked something, so that there may be more.
    """

    uri: str
    agent: str
    made: Made
    domains: Sequence[tuple[str, str, Amount]]
    max_series: Optional[int]
    lacking: int


def run(path: str, format_: str) -> int:
    """Count, and show what was found.

    :return: the exit status.
    :raises ConfigError: the configuration is wrong.
    """
    messages = Messages()
    said = Said(messages, verbose=False)
    agent = "collectd" if config_file.is_for_collectd(path) else "telegraf"
    settings, warnings = hypervisors(Wanted(path=path))
    for text in warnings:
        messages.say(text)
    counters = {Watched(each, said): counter(agent, each) for each in settings}
    latest: dict[Watched, Sample] = {}
    for number in range(ROUNDS):
        if number:
            time.sleep(_PAUSE_S)
        for watched, sample in one_round(list(counters)):
            watched.say(sample.round.error)
            if sample.round.connected:
                counters[watched].take(sample)
                latest[watched] = sample
    found = [
        _counted(agent, watched.settings, counters[watched].made(), sample)
        for watched, sample in latest.items()
    ]
    for counted in found:
        _show(counted) if format_ == "table" else write(_json(counted))
    return 0 if found else FAILED


def counter(agent: str, settings: Settings) -> Counter:
    """What counts the series that an agent's writer makes.

    :param agent: ``telegraf`` or ``collectd``.
    """
    return _Lists(settings) if agent == "collectd" else _Lines(settings)


class _Lines:
    """Counts what Telegraf's child makes."""

    def __init__(self, settings: Settings) -> None:
        self._writer = writer(settings, counts=True)

    def take(self, sample: Sample) -> None:
        self._writer.encode(sample)

    def made(self) -> MadeByDomain:
        return self._writer.made()


class _Lists:
    """Counts what collectd's plugin makes."""

    def __init__(self, settings: Settings) -> None:
        self._writer = ValueLists(collectd_options(settings))

    def made(self) -> MadeByDomain:
        return self._writer.made()

    def take(self, sample: Sample) -> None:
        for _ in self._writer.translate(sample, _PAUSE_S):
            pass


def _counted(agent: str, settings: Settings, made: MadeByDomain, sample: Sample) -> Counted:
    by_domain = list(made)
    names = {domain.uuid: domain.name for domain in sample.domains}
    domains = [(names.get(uuid, ""), uuid, total(merged(each))) for uuid, each in by_domain]
    domains.sort(key=lambda domain: (-domain[2].series, domain[0]))
    lacking = sample.round.partial + sample.round.unresponsive
    return Counted(
        settings.uri, agent, added(by_domain), domains, settings.max_series, lacking
    )


# --- Formats ------------------------------------------------------------------------------------


def _json(counted: Counted) -> bytes:
    made = total(counted.made)
    by = "measurement" if counted.agent == "telegraf" else "type"
    document = {
        "uri": counted.uri,
        "agent": counted.agent,
        "domains": len(counted.domains),
        "domains_lacking": counted.lacking,
        "max_series": counted.max_series,
        **_amount(counted.agent, made),
        f"by_{by}": [
            {by: maker.name, "from": maker.by, **_amount(counted.agent, amount)}
            for maker, amount in most_first(counted.made)
        ],
        "by_domain": [
            {"name": name, "uuid": uuid, **_amount(counted.agent, amount)}
            for name, uuid, amount in counted.domains
        ],
    }
    return msgspec.json.encode(document) + b"\n"


def _amount(agent: str, amount: Amount) -> Mapping[str, int]:
    lists = "lines" if agent == "telegraf" else "value_lists"
    return {lists: amount.lists, "series": amount.series}


def _show(counted: Counted) -> None:
    from .cells import cut
    from .table import print_rows  # rich takes its time

    made = total(counted.made)
    lists = "Lines" if counted.agent == "telegraf" else "Value lists"
    heading = f"{made.series:,} series of {_domains(len(counted.domains))}"
    if counted.max_series is not None:
        option = "max_series" if counted.agent == "telegraf" else "MaxSeries"
        more = "more than" if made.series > counted.max_series else "within"
        heading += f", {more} {option} ({counted.max_series:,})"
    print(cut(one_line(counted.uri), _WIDTH))
    print(heading)
    if counted.lacking:
        print(f"{_domains(counted.lacking)} without an answer to all: there may be more series")
    print()
    print_rows(
        ("Measurement" if counted.agent == "telegraf" else "Type", "From", lists, "Series", "%"),
        [
            (maker.name, maker.by, *_numbers(lists, amount), _share(amount, made))
            for maker, amount in most_first(counted.made)
        ],
        sys.stdout,
    )
    print()
    print_rows(
        ("Domain", lists, "Series", "%"),
        [
            (cut(one_line(name), _NAME), *_numbers(lists, amount), _share(amount, made))
            for name, _, amount in counted.domains[:_SHOWN]
        ],
        sys.stdout,
    )
    others = counted.domains[_SHOWN:]
    if others:
        series = sum(amount.series for _, _, amount in others)
        print(f"and {_domains(len(others))} more, with {series:,} series")
    print()
    sys.stdout.flush()


def _domains(number: int) -> str:
    return f"{number:,} domain{'' if number == 1 else 's'}"


def _numbers(lists: str, amount: Amount) -> tuple[str, str]:
    """Numbers in columns of a width, at its right."""
    return f"{amount.lists:,}".rjust(max(7, len(lists))), f"{amount.series:,}".rjust(9)


def _share(amount: Amount, made: Amount) -> str:
    return f"{100 * amount.series / made.series:.0f}".rjust(3) if made.series else ""
