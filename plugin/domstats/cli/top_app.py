"""The screen of ``domstats top``: what is typed, and what is drawn where.

Only lines that are on the screen are drawn, so that a thousand domains cost what forty do. It must
not know how hypervisors are asked: samples arrive as messages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Callable, ClassVar, Optional

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from ..model import Sample
from ..shown import one_line
from .cells import left
from .top_figures import ORDERS, Book, Row, ordered
from .top_lines import Table, host_lines, page

#: A line, and how it is drawn.
Line = tuple[str, str]

HELP = """\
domstats top: what every domain of the hypervisors does, the latest round

  up down PgUp PgDn Home End   move            Enter   a domain's own page
  P  sort by CPU               M  memory       D  disk (bytes)
  S  steal                     L  latency      N  network
  W  pressure (waiting)        A  name         R  the other way round
  /  only names with this in them; Esc shows all again
  o  show or hide domains that do not run
  e  what was logged and what happened         Space   a round now
  h ? this page                                q  quit (Esc goes back)

Domains that do not answer stand first, with HUNG and for how long; what can be known without
their monitor goes on. Their own page says why.

  CPU %    of one physical CPU: 250 is two and a half
  Steal    percent of the time in which its vCPUs were ready and had no CPU
  Press    percent of the last 10 s in which something of it waited (PSI)
  Memory   what the guest uses; ? if its figures are older than a minute (Age)
  Laten    how long a request to its disks takes on average
  -        not known, or not yet: rates need two rounds
"""

#: The key of each order.
_KEYS = {
    "P": "CPU",
    "M": "memory",
    "S": "steal",
    "W": "pressure",
    "D": "disk",
    "L": "latency",
    "N": "network",
    "A": "name",
}
_HINT = "h help  Enter domain  / filter  P CPU  M mem  D disk  L latency  N net  q quit"


class Arrived(Message):
    """A round of a hypervisor is over."""

    def __init__(self, number: int, sample: Sample) -> None:
        super().__init__()
        self.number = number
        self.sample = sample


class Logged(Message):
    """The sampler of a hypervisor has logged a line."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__()
        self.number = number
        self.text = text


class Lines(ScrollView, can_focus=True):
    """Lines that scroll, one of them chosen if there is a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
    ]

    def __init__(self, has_cursor: bool) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()
        self._has_cursor = has_cursor
        self.cursor = 0
        self.moved: Callable[[int], None] = lambda cursor: None

    def show(self, lines: Sequence[Line], cursor: Optional[int] = None) -> None:
        """Draw these, with the cursor where it was or there."""
        self._lines = lines
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, len(lines) - 1))
        widest = max((len(text) for text, _ in lines), default=0)
        self.virtual_size = Size(0 if self._has_cursor else widest, len(lines))
        if self._has_cursor:
            self._reveal()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        width, number = self.size.width, y + scroll_y
        if number >= len(self._lines):
            return Strip.blank(width)
        text, style = self._lines[number]
        is_chosen = self._has_cursor and number == self.cursor
        drawn = Style.parse(f"{style} reverse" if is_chosen else style)
        return Strip([Segment(left(text[scroll_x:], width), drawn)], width)

    def action_move(self, by: int) -> None:
        if not self._has_cursor:
            self.scroll_relative(y=by, animate=False)
            return
        self.cursor = max(0, min(self.cursor + by, len(self._lines) - 1))
        self.moved(self.cursor)
        self._reveal()
        self.refresh()

    def action_move_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - 1))

    def _reveal(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)


class Page(Screen[None]):
    """Lines over the whole screen, made anew after each round."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,backspace,h,question_mark,e", "app.pop_screen", show=False)
    ]

    def __init__(self, lines: Callable[[], list[str]]) -> None:
        super().__init__()
        self._make = lines
        self._lines = Lines(has_cursor=False)

    def compose(self) -> ComposeResult:
        yield self._lines
        yield Static("Esc goes back", classes="foot", markup=False)

    def on_mount(self) -> None:
        self.draw()
        self._lines.focus()

    def draw(self) -> None:
        width = max(20, self.app.size.width)
        self._lines.show(
            [
                (part, "")
                for line in self._make()
                for part in textwrap.wrap(line, width, subsequent_indent="    ") or [""]
            ]
        )


class Top(App[None]):
    """The application.

    :param uris: the hypervisors, in the order of the numbers in messages.
    :param again: has all hypervisors asked at once.
    """

    CSS = """
    Screen { background: transparent; }
    Static { height: auto; }
    .titles { text-style: bold; }
    .foot { dock: bottom; color: $text-muted; }
    Input { dock: bottom; height: 1; border: none; display: none; }
    Lines { background: transparent; scrollbar-size: 0 0; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"sort('{order}')", show=False) for key, order in _KEYS.items()),
        Binding("R", "reverse", show=False),
        Binding("o", "off", show=False),
        Binding("slash", "filter", show=False),
        Binding("escape", "all", show=False),
        Binding("enter", "domain", show=False),
        Binding("e", "messages", show=False),
        Binding("h,question_mark", "help", show=False),
        Binding("space", "again", show=False),
        Binding("q", "quit", show=False),
    ]

    def __init__(self, uris: Sequence[str], again: Callable[[], None], note: str = "") -> None:
        super().__init__(ansi_color=True)
        self.books = [Book(uri) for uri in uris]
        self._again = again
        self._note = note
        self._by = "CPU"
        self._reversed = False
        self._with_off = False
        self._part = ""
        self._rows: list[Row] = []
        self._chosen = ""
        self._hosts = Static(markup=False)
        self._titles = Static(classes="titles", markup=False)
        self._table = Lines(has_cursor=True)
        self._table.moved = self._moved
        self._foot = Static(classes="foot", markup=False)
        self._input = Input(placeholder="part of a name; Enter keeps it, Esc shows all")

    def compose(self) -> ComposeResult:
        yield self._hosts
        yield self._titles
        yield self._table
        yield self._foot
        yield self._input

    def on_mount(self) -> None:
        self._table.focus()
        self.draw()

    # --- what arrives

    def on_arrived(self, arrived: Arrived) -> None:
        self.books[arrived.number].read(arrived.sample)
        self.draw()
        if isinstance(self.screen, Page):
            self.screen.draw()

    def on_logged(self, logged: Logged) -> None:
        self.books[logged.number].messages.append(logged.text)

    def on_resize(self, resized: Resize) -> None:
        self.draw()

    # --- what is drawn

    def draw(self) -> None:
        """The whole screen, of what is known now."""
        width = self.size.width
        rows = [row for book in self.books for row in book.rows]
        self._rows = ordered(rows, self._by, self._reversed, self._part, self._with_off)
        table = Table(width, several=len(self.books) > 1)
        hosts = [line for book in self.books for line in host_lines(book.host, width)]
        hosts = hosts[: max(1, self.size.height // 3)]
        self._hosts.update("\n".join([*([one_line(self._note)] if self._note else []), *hosts]))
        self._titles.update(table.title(self._by))
        self._table.show([(table.line(row), _style(row)) for row in self._rows], self._at_chosen())
        self._foot.update(left(self._status() or _HINT, width))

    def _status(self) -> str:
        parts = []
        if self._part:
            parts.append(f"only names with {one_line(self._part, 30)}: Esc shows all")
        if self._reversed:
            parts.append("the other way round: R")
        chosen = next((row for row in self._rows if row.uuid == self._chosen), None)
        if chosen is not None and chosen.reason:
            parts.append(one_line(f"{chosen.name}: {chosen.reason}", 200))
        return "  ".join(parts)

    def _at_chosen(self) -> Optional[int]:
        """Where the domain is now that was chosen; None keeps the place."""
        at = (number for number, row in enumerate(self._rows) if row.uuid == self._chosen)
        return next(at, None) if self._chosen else None

    def _moved(self, cursor: int) -> None:
        self._chosen = self._rows[cursor].uuid if self._rows else ""
        self._foot.update(left(self._status() or _HINT, self.size.width))

    # --- what is typed

    def action_sort(self, by: str) -> None:
        assert by in ORDERS
        self._by, self._reversed, self._chosen = by, False, ""
        self._table.cursor = 0
        self.draw()

    def action_reverse(self) -> None:
        self._reversed = not self._reversed
        self.draw()

    def action_off(self) -> None:
        self._with_off = not self._with_off
        self.draw()

    def action_filter(self) -> None:
        self._input.display = True
        self._input.value = self._part
        self._input.focus()

    def action_all(self) -> None:
        self._part = ""
        self._leave_input()

    def on_input_changed(self, changed: Input.Changed) -> None:
        self._part = changed.value
        self.draw()

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        self._leave_input()

    def _leave_input(self) -> None:
        self._input.display = False
        self._table.focus()
        self.draw()

    def action_domain(self) -> None:
        if not self._rows:
            return
        row = self._rows[self._table.cursor]
        self._chosen = row.uuid
        self.push_screen(Page(lambda: self._page(row)))

    def _page(self, known: Row) -> list[str]:
        for book in self.books:
            row = next((each for each in book.rows if each.uuid == known.uuid), None)
            found = book.of(known.uuid)
            if row is not None and found is not None and row.uri == known.uri:
                return page(row, *found, book.messages)
        return [one_line(known.name), "", "This domain is not listed any more."]

    def action_messages(self) -> None:
        self.push_screen(Page(self._messages))

    def _messages(self) -> list[str]:
        lines = [one_line(text) for book in self.books for text in book.messages]
        return ["What was logged and what happened, the latest last", "", *(lines or ["Nothing."])]

    def action_help(self) -> None:
        self.push_screen(Page(HELP.splitlines))

    def action_again(self) -> None:
        self._again()

    def get_default_screen(self) -> Screen[Any]:
        return Screen(id="_default")


def _style(row: Row) -> str:
    if row.hung_s is not None:
        return "bold red"
    return "yellow" if row.reason else "" if row.active else "dim"
