"""What the documents point to is there: pages, headings, files of the project."""

from __future__ import annotations

import re
from pathlib import Path

from tests.documents import ROOT, anchors, documents, in_backticks, links, name, prose
from tests.unit.rows import each_row

PACKAGE = ROOT / "plugin" / "domstats"
#: Where the documents' short names of files begin.
FOLDERS = (ROOT, PACKAGE, ROOT / "tests" / "system", ROOT / "tests" / "unit" / "engine")
#: A path in backticks that is meant to be one of the project's.
PATH = re.compile(
    r"(?:(?:docs|tests|plugin|bench|telegraf|collectd\.conf\.d)/[\w./-]*|[\w/-]+\.py)"
)
#: A page that is named without backticks.
PAGE = re.compile(r"\bdocs/[\w./-]+\.\w+")


def wrong_link(document: Path, link: str) -> str:
    """Why a link leads nowhere; empty if it leads somewhere."""
    if re.match(r"https?:", link):
        return ""
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return "no such file"
    return "" if not anchor or anchor in anchors(target) else "no such heading"


@each_row("document", documents())
def test_every_link_leads_to_a_page_and_a_heading(document: Path) -> None:
    wrong = {link: why for link in links(document) if (why := wrong_link(document, link))}
    assert not wrong, f"{name(document)}: {wrong}"


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    readme = ROOT / "README.md"
    assert wrong_link(readme, "docs/desing.md") == "no such file"
    assert wrong_link(readme, "docs/rights.md#who-may-write") == "no such heading"
    assert wrong_link(readme, "docs/rights.md#who-may-read") == ""
    assert wrong_link(readme, "#on-the-command-line") == ""


def mentioned(document: Path) -> set[str]:
    coded = {text for text in in_backticks(document) if PATH.fullmatch(text)}
    pages = {page.rstrip(".") for page in PAGE.findall(prose(document))}
    return coded | pages


@each_row("document", documents())
def test_every_file_that_is_mentioned_exists(document: Path) -> None:
    wrong = [
        path
        for path in sorted(mentioned(document))
        if not any((folder / path).exists() for folder in (*FOLDERS, document.parent))
    ]
    assert not wrong, f"{name(document)}: {wrong}"
