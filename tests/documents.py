"""The project's documents, taken apart: blocks of code, words in backticks, headings, links."""

from __future__ import annotations

import functools
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: What GitHub leaves out of a heading's anchor.
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


class Block(NamedTuple):
    """A fenced block.

    :param place: file and line, for messages.
    :param language: the word behind its fence; empty for shell commands.
    """

    place: str
    language: str
    text: str


def documents() -> list[Path]:
    """Every page that a user or a developer reads; a new one is among them by itself."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CHANGELOG.md"]
    return [*pages, *(ROOT / "tests").rglob("*.md")]


@functools.cache
def text_of(document: Path) -> str:
    return document.read_text("utf-8")


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path) -> list[Block]:
    text = text_of(document)
    found = []
    for each in _FENCE.finditer(text):
        line = text.count("\n", 0, each.start()) + 1
        found.append(Block(f"{name(document)}:{line}", each[2], textwrap.dedent(each[3])))
    return found


def prose(document: Path) -> str:
    """All but the fenced blocks."""
    return _FENCE.sub("", text_of(document))


def in_backticks(document: Path) -> Iterator[str]:
    for each in _CODE.finditer(prose(document)):
        yield " ".join(each[1].split())


def links(document: Path) -> list[str]:
    return _LINK.findall(_CODE.sub("", prose(document)))


@functools.cache
def anchors(document: Path) -> frozenset[str]:
    """What one can link to in a page, by GitHub's rules."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(prose(document)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = _NOT_IN_ANCHOR.sub("", plain.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return frozenset(found)
