"""Numbers and texts in the cells of a terminal: units, widths, line breaks.

Pure. It must not know what is shown.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

#: Between a number and its unit, where a line must not break; shown as a space.
TIED = "\N{NO-BREAK SPACE}"


def bytes_text(value: float, short: bool) -> str:
    """A number of bytes with a binary unit: ``1.2 MiB``, or short ``1.2M``."""
    if value < 0:
        return "?"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 999.5 or unit == "PiB":
            break
        amount /= 1024
    whole = unit == "B" or amount >= 99.95
    number = f"{amount:.0f}" if whole else f"{amount:.1f}"
    return number + (unit[0] if short else f" {unit}")


def cut(text: str, width: int) -> str:
    """At most so many cells, with the middle left out: names differ at either end."""
    if cell_len(text) <= width:
        return text
    tail_width = (width - 1) // 2
    head = set_cell_size(text, width - 1 - tail_width)
    tail = set_cell_size(text[::-1], tail_width)[::-1]
    return f"{head}…{tail}"


def cropped(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width)


def left(text: str, width: int) -> str:
    return set_cell_size(text, width)


def right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def wrapped(text: str, width: int, indent: int, first: int = 0) -> list[str]:
    """Lines of at most so many cells, all but the first indented."""
    width = max(width, indent + 20)
    found = [" " * first]
    for word in filter(None, text.split(" ")):
        is_begun = not found[-1].isspace() and found[-1] != ""
        if is_begun and cell_len(found[-1]) + 1 + cell_len(word) <= width:
            found[-1] += " " + word
            continue
        if is_begun:
            found.append(" " * indent)
        while cell_len(found[-1] + word) > width:  # a word that is longer than a line
            room = width - cell_len(found[-1])
            size = next(n for n in range(room, 0, -1) if cell_len(word[:n]) <= room)
            found[-1] += word[:size]
            word = word[size:]
            found.append(" " * indent)
        found[-1] += word
    return [line.replace(TIED, " ") for line in found if line.strip()]
