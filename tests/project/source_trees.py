"""The package's files, each parsed once for all tests that look at the code itself."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "plugin" / "domstats"

#: Where a statement holds others.
_BODIES = ("body", "orelse", "handlers", "finalbody", "cases")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement within, however deep; expressions are not looked into."""
    for name in _BODIES:
        inner = getattr(node, name, ())
        for statement in inner if isinstance(inner, list) else ():
            yield statement
            yield from statements(statement)
