"""Samples as tables that a person likes to read.

It must not know agents or libvirt; names and reasons in a sample are foreign text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from .model import DomainSample, Sample, Stats, Status
from .shown import one_line

#: virDomainState in words.
STATES: tuple[str, ...] = (
    "no state",
    "running",
    "blocked",
    "paused",
    "shutting down",
    "shut off",
    "crashed",
    "suspended",
)
#: Characters of a domain's name and of a reason.
NAME_LIMIT = 64
REASON_LIMIT = 120
#: Widths for what is no terminal: as wide as the table needs, within these.
_LEAST_WIDTH, _MOST_WIDTH = 80, 400

_STYLES: Mapping[Status, str] = {
    Status.FRESH: "green",
    Status.PARTIAL: "yellow",
    Status.UNRESPONSIVE: "bold red",
    Status.GONE: "dim",
}


def print_samples(samples: Sequence[Sample], before: Mapping[str, Sample], file: TextIO) -> None:
    """A table for each hypervisor.

    :param before: each hypervisor's sample of the round before, by URI; with it CPU time is shown
        as a percentage (of one physical CPU), without it in seconds since the domain's start.
    """
    _print([_hypervisor(sample, before.get(sample.uri)) for sample in samples], file)


def print_rows(titles: Sequence[str], rows: Iterable[Sequence[str]], file: TextIO) -> None:
    """A plain table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _print([table], file)


def _print(parts: Sequence[RenderableType], file: TextIO) -> None:
    console = Console(file=file, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        wide = console.options.update(width=_MOST_WIDTH)
        needed = max(Measurement.get(console, wide, part).maximum for part in parts)
        console.width = max(_LEAST_WIDTH, min(needed, _MOST_WIDTH))
    for part in parts:
        console.print(part)


def _hypervisor(sample: Sample, before: Optional[Sample]) -> RenderableType:
    title = Text(one_line(sample.uri), style="bold")
    if not sample.round.connected:
        return Text.assemble(title, "  ", (one_line(sample.round.error, REASON_LIMIT), "red"))
    count = len(sample.domains)
    title.append(f"  {count} domain{'' if count == 1 else 's'} in {sample.round.duration_s:.2f} s")
    if not count:
        return title
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Domain", overflow="fold")
    table.add_column("State")
    for number in ("vCPUs", "CPU", "Memory", "of", "Read", "Written", "Received", "Sent"):
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column("Answer")
    earlier = {domain.uuid: domain for domain in before.domains} if before else {}
    for domain in sample.domains:
        table.add_row(
            Text(one_line(domain.name, NAME_LIMIT)),
            _state(domain),
            _number(_first(domain.stats, "vcpu.current", "vcpu.maximum")),
            _cpu(domain, sample, earlier.get(domain.uuid), before),
            *_memory(domain.stats),
            *(_bytes(_sum(domain.stats, *each)) for each in _COUNTED),
            _answer(domain, sample.time_ns),
        )
    return Group(title, table, Text())


#: Prefix and end of the keys that each column adds up.
_COUNTED = (
    ("block.", ".rd.bytes"),
    ("block.", ".wr.bytes"),
    ("net.", ".rx.bytes"),
    ("net.", ".tx.bytes"),
)


def _state(domain: DomainSample) -> str:
    state = _first(domain.stats, "state.state")
    if state is None:
        return "" if domain.active else "shut off"
    return STATES[state] if 0 <= state < len(STATES) else str(state)


def _cpu(
    domain: DomainSample,
    sample: Sample,
    earlier: Optional[DomainSample],
    before: Optional[Sample],
) -> str:
    now = _first(domain.stats, "cpu.time")
    if now is None:
        return ""
    if earlier is None or before is None:
        return f"{now / 1e9:,.1f} s"
    then = _first(earlier.stats, "cpu.time")
    elapsed = sample.time_ns - before.time_ns
    if then is None or now < then or elapsed <= 0:
        return f"{now / 1e9:,.1f} s"
    return f"{100 * (now - then) / elapsed:.1f} %"


def _memory(stats: Stats) -> tuple[str, str]:
    """Used and greatest, of KiB in libvirt. What the guest uses, if it says so."""
    available, unused = _first(stats, "balloon.available"), _first(stats, "balloon.unused")
    used = _first(stats, "balloon.current")
    if available is not None and unused is not None and 0 <= unused <= available:
        used = available - unused
    greatest = _first(stats, "balloon.maximum")
    return tuple(  # type: ignore[return-value]
        _bytes(None if kib is None else kib * 1024) for kib in (used, greatest)
    )


def _answer(domain: DomainSample, now_ns: int) -> Text:
    text = domain.status.value
    if domain.status is Status.UNRESPONSIVE and domain.since_ns is not None:
        text += f" for {max(0, now_ns - domain.since_ns) / 1e9:,.0f} s"
    if domain.reason:
        text += f": {one_line(domain.reason, REASON_LIMIT)}"
    elif domain.missing:
        text += f": no {', '.join(sorted(domain.missing))}"
    return Text(text, style=_STYLES[domain.status])


def _first(stats: Stats, *keys: str) -> Optional[int]:
    for key in keys:
        value = stats.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _sum(stats: Stats, prefix: str, suffix: str) -> Optional[int]:
    values = [
        value
        for key, value in stats.items()
        if key.startswith(prefix)
        and key.endswith(suffix)
        and isinstance(value, int)
        and not isinstance(value, bool)
    ]
    return sum(values) if values else None


def _number(value: Optional[int]) -> str:
    return "" if value is None else str(value)


def _bytes(value: Optional[int]) -> str:
    """A number of bytes with a binary unit, in at most eight characters."""
    if value is None:
        return ""
    if value < 0:
        return "?"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1000 or unit == "PiB":
            break
        amount /= 1024
    whole = unit == "B" or amount >= 100
    return f"{amount:.0f} {unit}" if whole else f"{amount:.1f} {unit}"
