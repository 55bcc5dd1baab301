"""docs/migrating.md names each difference from the peers, and no other; each is seen somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from tests.differences import FROM_INPUTS_LIBVIRT, FROM_VIRT
from tests.unit.rows import each_row

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "migrating.md").read_text("utf-8")
LISTS = {"virt": FROM_VIRT, "inputs.libvirt": FROM_INPUTS_LIBVIRT}


def listed(peer: str) -> list[str]:
    """The names of the differences in a section of the page, in their order."""
    section = re.search(
        rf"^### Differences from {re.escape(peer)}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert section
    return re.findall(r"^- \*\*`([a-z-]+)`\*\*: \S", section[1], re.MULTILINE)


@each_row("peer", LISTS)
def test_the_page_and_the_tests_have_the_same_differences(peer: str) -> None:
    assert listed(peer) == list(LISTS[peer])


def is_there(seen: str) -> bool:
    """Whether a test exists; what is no test is a page, or the source of collectd."""
    path, is_test, name = seen.partition("::")
    if not is_test:
        return (ROOT / path).exists() or path.startswith("collectd 5.12, src/")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def test_each_difference_is_shown_by_a_test_or_says_where_it_was_seen() -> None:
    for differences in LISTS.values():
        assert [name for name, seen in differences.items() if not is_there(seen)] == []


def texts(*nodes: ast.AST | None) -> set[str]:
    found = (each for node in nodes if node is not None for each in ast.walk(node))
    return {
        each.value
        for each in found
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def names_in(path: str, table: str) -> set[str]:
    """The texts that are keys of a table in a test's module, or its blocks' ``differs``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == table:
            found |= texts(*node.value.keys) if isinstance(node.value, ast.Dict) else set()
        if isinstance(node, ast.keyword) and node.arg == table:
            found |= texts(node.value)
    return found


@each_row(
    ("path", "table", "known"),
    [
        ("tests/system/test_every_key.py", "DIFFERENT", FROM_INPUTS_LIBVIRT),
        ("tests/system/test_every_key_of_virt.py", "DIFFERENT", FROM_VIRT),
        ("tests/system/virt_blocks.py", "differs", FROM_VIRT),
    ],
)
def test_what_a_comparison_lets_pass_is_one_of_the_differences(
    path: str, table: str, known: Mapping[str, str]
) -> None:
    names = names_in(path, table)
    assert names
    assert names <= set(known)
