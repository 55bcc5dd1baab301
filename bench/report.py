"""Figures as a table on the terminal and in documents, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

Cell = Optional[object]


def table(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table in Markdown with aligned columns; None is an empty cell."""
    cells = [list(titles), *[["" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(titles))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (cells[0], ruler, *cells[1:]):
        first, *others = zip(row, widths)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join(lines)


def write_json(path: Optional[str], figures: dict[str, Any]) -> None:
    """Everything measured, if a file is named for it."""
    if path:
        Path(path).write_text(json.dumps(figures, indent=1) + "\n")


def ms(seconds: Optional[float], digits: int = 0) -> Optional[str]:
    return None if seconds is None else f"{seconds * 1000:.{digits}f}"


def mib(kib: Optional[float]) -> Optional[str]:
    return None if kib is None else f"{kib / 1024:.0f}"


def ratio(value: Optional[float], reference: Optional[float]) -> Optional[str]:
    return None if value is None or not reference else f"{value / reference:.2f}"
