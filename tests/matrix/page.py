"""The table in docs/systems.md, from the results that `make matrix RECORD=1` keeps.

    python3 -m tests.matrix.page

writes it anew. What stands around it is written by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from tests.matrix.checks import GUESTS, TITLES, UNIT

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
PAGE = CHECKOUT / "docs/systems.md"

KINDS = (("Without guests", UNIT, "unit"), ("With real guests", GUESTS, "guests"))
VERSIONS = ("Python", "pip", "libvirt", "QEMU", "collectd", "Telegraf")

#: In the cell of what was not run, as there are no guests.
NONE = "–"
BEGIN = "<!-- from tests/matrix/results.json -->\n"
END = "<!-- end -->\n"


def record(found: Mapping[str, Any]) -> None:
    """Keep what these suites' stages have found in place of what they found before, and write."""
    results = stored()
    for name, each in found.items():
        kept = results.setdefault(name, {})
        for part in ("versions", "seconds", "checks"):
            kept[part] = {**kept.get(part, {}), **each[part]}
        kept["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    ordered = {name: results[name] for name in TITLES if name in results}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    write(ordered)


def write(results: Mapping[str, Any]) -> None:
    PAGE.write_text(page(results, PAGE.read_text("utf-8")), "utf-8")


def stored() -> dict[str, Any]:
    """The results that are kept, by suite."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return found


def page(results: Mapping[str, Any], text: str) -> str:
    """The page with its table made anew.

    :param text: the page as it is.
    """
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "".join(f"{line}\n" for line in _table(results))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _table(results: Mapping[str, Any]) -> Iterator[str]:
    every = list(results.values())
    yield _row("", (TITLES[name] for name in results))
    yield _row("---", ("---" for _ in results))
    for what in VERSIONS:
        yield _row(what, (each["versions"].get(what, NONE) for each in every))
    for title, checks, stage in KINDS:
        yield _row(f"**{title}**", ("" for _ in every))
        for check in checks:
            yield _row(check.title, (_count(each["checks"].get(check.title)) for each in every))
        yield _row("minutes", (_minutes(each["seconds"].get(stage)) for each in every))
    yield _row("tested", (each["date"] for each in every))


def _minutes(seconds: Optional[float]) -> str:
    return NONE if seconds is None else f"{seconds / 60:.1f}"


def _row(first: str, cells: Iterable[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def _count(counts: Any) -> str:
    """What came of a check, in a cell."""
    if not counts:
        return NONE
    return ", ".join(
        f"{number:,}" + (f" {kind}" if kind != "passed" else "") for kind, number in counts.items()
    )


if __name__ == "__main__":
    write(stored())
