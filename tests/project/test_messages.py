"""docs/messages.md has the messages that the code can say, and no others."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from domstats.hypervisor.remedies import _REMEDIES

from tests.project.source_trees import PACKAGE, tree
from tests.unit.rows import each_row

ROOT = Path(__file__).resolve().parents[2]

#: Stands for whatever is filled in.
ANYTHING = "…"

#: What says messages, by module: functions, or names of constants. All their texts of several words
#: have to be on the page.
SPEAKERS: dict[str, tuple[str, ...]] = {
    "engine/notices.py": ("not_answered", "no_list", "answers", "turned", "of_silent", "of_blind"),
    "engine/samples.py": ("_why_partial", "_why_without_disks"),
    "engine/rounds.py": ("why_lacking",),
    "engine/stopped.py": ("_quarantine",),
    "engine/event_book.py": ("unsupported", "_log_dropping"),
    "engine/introduction.py": ("line",),
    "engine/agent_book.py": ("_log_lines",),
    "collectd_plugin.py": ("_has_notice_type",),
    "hypervisor/remedies.py": ("_REMEDIES", "why_no_libvirt", "why_no_agents"),
    "agents/adapter.py": ("complaint", "ErrorOnce"),
    "agents/read_threads.py": ("share",),
    "hypervisor/pressure.py": ("look", "_hindrance", "_read"),
    "sampling/guest_looks.py": ("_look",),
    "selection.py": ("listed",),
    "sampling/host_look.py": ("news", "_why_no_pools"),
    "output/series_count.py": ("_judge",),
    "sampling/engine_thread.py": ("_begin", "_call", "_log_fault"),
}


def template(node: ast.AST) -> str | None:
    """A text as it stands in the code, with ``…`` for what is filled in; None if it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            ANYTHING if isinstance(part, ast.FormattedValue) else template(part) or ""
            for part in node.values
        )
    return None


def templates(code: ast.AST) -> Iterator[str]:
    """All texts of a piece of code but its docstrings; of parts of f-strings, only the whole."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(code):
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr):
                skipped.add(first.value)
        if node not in skipped and (text := template(node)) is not None:
            yield text


def normal(text: str) -> str:
    return re.sub(r"(… ?)+", ANYTHING, " ".join(text.split()))


@functools.cache
def rows() -> list[tuple[str, str, str]]:
    page = (ROOT / "docs" / "messages.md").read_text("utf-8")
    found = re.findall(r"^\| `(.*?)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    return [(message, means, do) for message, means, do in found]


def pieces(text: str) -> list[str]:
    """What of a message is fixed."""
    return [piece.strip(" ,;:()") for piece in text.split(ANYTHING) if len(piece.split()) > 1]


@functools.cache
def said() -> str:
    """All texts of the code, a line each."""
    texts = {text for path in PACKAGE.rglob("*.py") for text in templates(tree(path))}
    return "\n".join(map(normal, texts))


@each_row("message", [message for message, _, _ in rows()])
def test_a_message_of_the_page_is_one_of_the_code(message: str) -> None:
    for piece in pieces(message):
        assert piece in said(), piece


def test_each_message_says_what_it_means_and_what_to_do() -> None:
    assert len(rows()) > 40
    for message, means, do in rows():
        assert means.strip(), message
        assert do.strip(), message


@each_row("module", SPEAKERS)
def test_what_the_code_can_say_is_on_the_page(module: str) -> None:
    page = normal(" ".join(message for message, _, _ in rows()))
    found: dict[str, ast.AST] = {}
    for node in ast.walk(tree(PACKAGE / module)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = node
    for name in SPEAKERS[module]:
        for text in map(normal, templates(found[name])):
            known = [piece for piece in pieces(text) if len(piece.split()) > 3]
            is_libvirts = any(sign == text for sign, _ in _REMEDIES)
            assert is_libvirts or not known or any(piece[:25] in page for piece in known), text
