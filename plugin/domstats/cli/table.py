"""What a person reads of a hypervisor: a table that keeps to the width and height there is.

Pure: pictures of hypervisors in, lines out. It must not know agents or libvirt; names and reasons
are foreign text. Name, state, CPU and what is wrong are always there. Where the width does not do
for everything, units are written shorter first, then names are, then columns are left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Optional, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..model import Status
from ..shown import one_line
from .cells import TIED, bytes_text, cropped, cut, left, right, wrapped
from .figures import Figures, Picture

#: Cells of a domain's name at most, and characters of what is wrong with it.
NAME_LIMIT = 64
TROUBLE_LIMIT = 200
#: Cells of a name below which it is not cut for other columns' sake.
_SHORT_NAME, _SHORTEST_NAME = 32, 20
#: What is no terminal gets lines as wide as is needed, up to this.
_MOST_WIDTH = 400
_GAP = "  "
_COLUMN_GAP = "   "
_INDENT = 4
_UNKNOWN = "-"

_STYLES: Mapping[Status, str] = {
    Status.FRESH: "",
    Status.PARTIAL: "yellow",
    Status.UNRESPONSIVE: "bold red",
    Status.GONE: "dim",
}

#: The columns with numbers, by the figure that they show, in their order.
_TITLES: Mapping[str, str] = {
    "cpu": "CPU",
    "vcpus": "vCPUs",
    "memory": "Memory",
    "memory_max": "of",
    "read": "Read",
    "written": "Written",
    "received": "Received",
    "sent": "Sent",
}
_RATES = ("read", "written", "received", "sent")
#: What is left out where it is narrow, one after the other.
_DROPPED: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            (),
            ("memory_max",),
            ("memory_max", "vcpus"),
            ("memory_max", "vcpus", "read", "written"),
            ("memory_max", "vcpus", *_RATES),
            ("memory_max", "vcpus", *_RATES, "memory"),
        ),
    )
)


class _Layout(NamedTuple):
    """A way to show the domains.

    :param dropped: how many of ``_DROPPED`` are left out.
    :param name: cells that a name has at least, if it is as long.
    :param beside: whether what is wrong stands in a column; else in a line below.
    """

    short: bool
    dropped: int
    name: int
    beside: bool


#: The best one first.
_LAYOUTS = (
    _Layout(False, 0, NAME_LIMIT, True),
    _Layout(False, 0, NAME_LIMIT, False),
    _Layout(True, 0, NAME_LIMIT, False),
    _Layout(True, 0, _SHORT_NAME, False),
    _Layout(True, 1, _SHORT_NAME, False),
    _Layout(True, 2, _SHORT_NAME, False),
    *(_Layout(True, dropped, _SHORTEST_NAME, False) for dropped in range(2, len(_DROPPED))),
)


def print_pictures(pictures: Sequence[Picture], note: str, file: TextIO) -> None:
    """Print each hypervisor's domains, as wide as the terminal is.

    :param note: what is to be said of all of them.
    """
    console = console_of(file)
    wide = console.is_terminal or "COLUMNS" in os.environ
    for line in lines(pictures, note, console.width if wide else _MOST_WIDTH):
        console.print(line, soft_wrap=True)


def console_of(file: TextIO) -> Console:
    """A console that takes texts as they are."""
    return Console(file=file, markup=False, highlight=False, emoji=False)


def lines(
    pictures: Sequence[Picture],
    note: str,
    width: int,
    height: Optional[int] = None,
) -> list[Text]:
    """The lines of a screen: a block for each hypervisor.

    :param height: lines at most; domains that are well are left out first, and counted.
    """
    blocks = [_Block(picture, note, width) for picture in pictures]
    room = _shares([block.height for block in blocks], height)
    return [line for block, share in zip(blocks, room) for line in block.lines(share)]


def print_rows(titles: Sequence[str], rows: Iterable[Sequence[str]], file: TextIO) -> None:
    """A plain table of texts without line breaks. A file or a pipe gets whole rows."""
    cells = [tuple(row) for row in rows]
    console = console_of(file)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        widths = [max(map(cell_len, column)) for column in zip(titles, *cells)]
        width = sum(widths) + len(_COLUMN_GAP) * (len(widths) - 1)
        if width <= _MOST_WIDTH:  # nothing to fold: rich would take ten times as long
            head, *body = (_COLUMN_GAP.join(map(left, row, widths)) for row in (titles, *cells))
            file.writelines(f"{line}\n" for line in (head, "─" * width, *body))
            return
        console.width = _MOST_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


# --- A hypervisor -------------------------------------------------------------------------------


class _Block:
    """One hypervisor on the screen: its URI, its domains, what they sum up to, an empty line."""

    def __init__(self, picture: Picture, note: str, width: int) -> None:
        self._width = width
        uri = cut(one_line(picture.sample.uri), max(8, width))
        self._head = [Text(uri, style="bold"), *map(Text, wrapped(note, width, 0))]
        self._foot: list[Text] = []
        self._titles: Optional[Text] = None
        self._rows: list[tuple[Status, list[Text]]] = []
        error = picture.sample.round.error
        if error:
            self._head += [Text(line, style="red") for line in wrapped(one_line(error), width, 0)]
        if picture.domains:
            self._titles, rows = _table(picture, width)
            self._rows = [(each.status, row) for each, row in zip(picture.domains, rows)]
        if picture.sample.round.connected:
            self._foot = [
                Text(line)
                for text in (_counted(picture), _sums(picture))
                for line in wrapped(text, width, 2)
            ]

    @property
    def height(self) -> int:
        """Lines that it takes as a whole."""
        return self._fixed + sum(len(row) for _, row in self._rows)

    @property
    def _fixed(self) -> int:
        return len(self._head) + bool(self._titles) + len(self._foot) + 1

    def lines(self, room: Optional[int]) -> Iterator[Text]:
        """The block in as many lines as there are at most."""
        yield from self._head
        if self._titles:
            yield self._titles
        shown: Sequence[int] = range(len(self._rows))
        if room is not None and room < self.height:
            shown = self._chosen(room - self._fixed - 1)
        for index in shown:
            yield from self._rows[index][1]
        left_out = Counter(
            status.value for index, (status, _) in enumerate(self._rows) if index not in shown
        )
        if left_out:
            others = f"and {_several(left_out)} not shown here".replace(TIED, " ")
            yield Text(cut(others, self._width), style="dim")
        yield from self._foot
        yield Text()

    def _chosen(self, room: int) -> Sequence[int]:
        """Which rows are shown in so many lines: those with trouble before the others."""
        order = sorted(range(len(self._rows)), key=lambda i: (self._rows[i][0] is Status.FRESH, i))
        chosen = []
        for index in order:
            room -= len(self._rows[index][1])
            if room < 0:
                break
            chosen.append(index)
        return sorted(chosen)


def _shares(wanted: Sequence[int], height: Optional[int]) -> list[Optional[int]]:
    """How many lines each block has: small ones what they want, large ones equal shares."""
    if height is None or sum(wanted) <= height:
        return [None] * len(wanted)
    shares = list(wanted)
    left, open_ = height, len(wanted)
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        shares[index] = min(wanted[index], max(0, left // open_))
        left, open_ = left - shares[index], open_ - 1
    return list(shares)


def _counted(picture: Picture) -> str:
    """How many domains there are, by state and by answer, and the round."""
    count = len(picture.domains)
    states = Counter(each.state for each in picture.domains)
    answers = Counter(each.status.value for each in picture.domains)
    round_ = picture.sample.round
    parts = [f"{count} domain{'' if count == 1 else 's'}"]
    if count:
        parts = [f"{parts[0]}: {_several(states)}", _several(answers)]
    parts.append(f"round of {round_.duration_s:.2f} s".replace(" ", TIED))
    if round_.stuck_calls:
        calls = "1 call is" if round_.stuck_calls == 1 else f"{round_.stuck_calls} calls are"
        parts.append(f"{calls} stuck in the hypervisor")
    return "; ".join(parts)


def _several(counted: Mapping[str, int]) -> str:
    most = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {what}".replace(" ", TIED) for what, count in most)


def _sums(picture: Picture) -> str:
    """All domains together."""
    sums = {}
    for key in _TITLES:
        known = [value for each in picture.domains if (value := getattr(each, key)) is not None]
        if known:
            sums[key] = sum(known)
    parts = []
    if "cpu" in sums:
        cpus = picture.sample.node_cpus
        of = f" of {100 * cpus} %" if picture.rates and cpus else ""
        parts.append(f"CPU {_cell('cpu', sums['cpu'], False, picture.rates)}{of}")
    if "memory" in sums:
        of = f" of {bytes_text(sums['memory_max'], False)}" if "memory_max" in sums else ""
        parts.append(f"memory {bytes_text(sums['memory'], False)}{of}")
    parts += [
        f"{_TITLES[key].lower()} {_cell(key, sums[key], False, picture.rates)}"
        for key in _RATES
        if key in sums
    ]
    parts = [part.replace(" ", TIED) for part in parts]
    when = "now" if picture.rates else "since they were started"
    return f"all of them {when}: {', '.join(parts)}" if parts else ""


# --- Its domains --------------------------------------------------------------------------------


class _Columns(NamedTuple):
    """The cells of all domains: the columns' titles first, then a list for each domain."""

    titles: list[str]
    rows: list[list[str]]

    def widths(self) -> list[int]:
        return [max(map(cell_len, column)) for column in zip(self.titles, *self.rows)]


def _table(picture: Picture, width: int) -> tuple[Text, list[list[Text]]]:
    """The titles, and the lines of each domain."""
    for layout in _LAYOUTS:
        columns = _columns(picture, layout)
        widths = columns.widths()
        others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
        if others + min(widths[0], layout.name) <= width:
            break
    widths[0] = min(widths[0], NAME_LIMIT, max(6, width - others))
    texts = (0, 1, len(widths) - 1) if layout.beside else (0, 1)

    def line(cells: Sequence[str]) -> str:
        aligned = (
            left(cell, size) if index in texts else right(cell, size)
            for index, (cell, size) in enumerate(zip(cells, widths))
        )
        return cropped(_GAP.join(aligned).rstrip(), width)

    rows = []
    for domain, (name, *cells) in zip(picture.domains, columns.rows):
        style = _STYLES[domain.status]
        row = [Text(line([cut(name, widths[0]), *cells]), style=style)]
        if domain.trouble and not layout.beside:
            below = wrapped(_trouble(domain), width, _INDENT, _INDENT)
            row += [Text(each, style=style) for each in below]
        rows.append(row)
    return Text(line(columns.titles), style="bold"), rows


def _columns(picture: Picture, layout: _Layout) -> _Columns:
    dropped = _DROPPED[layout.dropped]
    known = {key for key in _TITLES for each in picture.domains if getattr(each, key) is not None}
    keys = [key for key in _TITLES if key == "cpu" or key in known - dropped]
    titles = ["Domain", "State", *(_TITLES[key] for key in keys)]
    rows = [
        [
            one_line(each.name),
            each.state,
            *(_cell(key, getattr(each, key), layout.short, picture.rates) for key in keys),
        ]
        for each in picture.domains
    ]
    if layout.beside:
        titles.append("Answer")
        for each, row in zip(picture.domains, rows):
            row.append(_trouble(each) or each.status.value)
    return _Columns(titles, rows)


def _trouble(domain: Figures) -> str:
    return one_line(domain.trouble, TROUBLE_LIMIT)


# --- Numbers ------------------------------------------------------------------------------------


def _cell(key: str, value: Optional[float], short: bool, rates: bool) -> str:
    if value is None:
        return _UNKNOWN
    if key == "vcpus":
        return str(value)
    if key == "cpu":
        return f"{value:.1f} %" if rates else _seconds(value)
    return bytes_text(value, short) + ("/s" if rates and key in _RATES else "")


def _seconds(value: float) -> str:
    return f"{value:,.1f} s" if value < 100_000 else f"{value / 3600:,.0f} h"
