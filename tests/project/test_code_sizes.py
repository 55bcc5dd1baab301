"""No class or function of the package is longer than one can read."""

from __future__ import annotations

import ast

from tests.project.source_trees import PACKAGE, statements, tree

MOST_OF_CLASS = 400
MOST_OF_FUNCTION = 60
#: The engine schedules and judges: both touch everything, and would not be simpler apart.
MOST_OF = {"Engine": 900}


def test_no_class_is_beyond_400_lines_but_the_engine_and_no_function_beyond_60() -> None:
    found: dict[str, int] = {}
    longer = []
    for path in PACKAGE.rglob("*.py"):
        for node in statements(tree(path)):
            if isinstance(node, ast.ClassDef):
                most = MOST_OF.get(node.name, MOST_OF_CLASS)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                most = MOST_OF_FUNCTION
            else:
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found[node.name] = lines
            if lines > most:
                longer.append(f"{path.name}: {node.name} has {lines} lines of at most {most}")
    assert longer == []
    assert MOST_OF.keys() <= found.keys()
    assert len(found) > 500
