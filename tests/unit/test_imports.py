"""Imports point one way: adapters, sampler, connection; translation, schema, model.

Modules that no rule names may come and go; what they reach is held to the rules all the same. They
are found by walking the tree, under names without the package's own: ``engine``, ``output.schema``.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "plugin" / "domstats"


def _named(path: Path) -> str:
    """A file's module; a folder's ``__init__`` goes by the name of the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_named(path): path for path in sorted(PACKAGE.rglob("*.py"))}

every_module = pytest.mark.parametrize("module", MODULES)

ADAPTERS = frozenset(
    {
        "collectd_plugin",
        "telegraf_execd",
        "telegraf_child",
        "cli",
        "commands",
        "sample_command",
        "top",
        "__main__",
    }
)
TRANSLATION = frozenset({"schema", "line_protocol", "value_lists", "metrics_table"})
#: Who may import libvirt itself.
BORDER = frozenset({"connection", "classic"})
#: What collectd's own Python need not have.
COMMAND_LINE_ONLY = frozenset({"click", "rich", "textual"})


def imported(module: str) -> Iterator[str]:
    """Every module that a module's file imports, anywhere in it, by full name.

    Each name of a ``from`` import counts as a module too: only the reader of the tree can tell.
    """
    path = MODULES[module]
    folder = ["domstats", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def ours(module: str) -> frozenset[str]:
    """The modules of the package that a module imports."""
    names = {name[len("domstats.") :] for name in imported(module) if name.startswith("domstats.")}
    return frozenset(names & set(MODULES) - {module})


def others(module: str) -> set[str]:
    """The packages of others that it imports."""
    return {name.split(".")[0] for name in imported(module)} - {"domstats", ""}


def reached(module: str) -> set[str]:
    """The modules of the package that come with a module."""
    found: set[str] = set()
    new = set(ours(module))
    while new:
        found |= new
        new = {name for module in new for name in ours(module)} - found
    return found


def test_there_is_something_to_check() -> None:
    named = {*ADAPTERS - {"top"}, *TRANSLATION, *BORDER, "sampler", "model", "errors"}
    assert named <= set(MODULES)
    assert "libvirt" in others("connection")
    assert "sampler" in ours("adapter")
    assert {"model", "errors", "connection"} <= reached("sampler")


@every_module
def test_nothing_below_the_adapters_reaches_one(module: str) -> None:
    if module not in ADAPTERS:
        assert not reached(module) & ADAPTERS


@every_module
def test_the_translation_knows_samples_and_nothing_else(module: str) -> None:
    if module in TRANSLATION:
        assert reached(module) <= TRANSLATION | {"model", "errors"}


@every_module
def test_sampling_does_not_know_what_becomes_of_samples(module: str) -> None:
    if module not in ADAPTERS | TRANSLATION:
        assert not reached(module) & TRANSLATION


@every_module
def test_the_border_does_not_know_who_calls_it(module: str) -> None:
    if module in BORDER:
        assert not {name for name in reached(module) if "sampler" in reached(name)}
        assert "sampler" not in reached(module)


def test_errors_and_samples_stand_at_the_bottom() -> None:
    assert reached("errors") == set()
    assert reached("model") <= {"errors"}


def test_imports_make_no_circle() -> None:
    assert [module for module in MODULES if module in reached(module)] == []


@every_module
def test_only_the_border_imports_libvirt(module: str) -> None:
    assert module in BORDER or not others(module) & {"libvirt", "libvirtmod"}


@every_module
def test_only_the_xpaths_of_labels_import_lxml(module: str) -> None:
    assert module == "xpaths" or "lxml" not in others(module)


@every_module
def test_only_its_adapter_imports_collectd(module: str) -> None:
    assert module == "collectd_plugin" or "collectd" not in others(module)


@every_module
def test_collectd_needs_nothing_of_the_command_line(module: str) -> None:
    if "collectd_plugin" in MODULES and module in {"collectd_plugin", *reached("collectd_plugin")}:
        assert not others(module) & COMMAND_LINE_ONLY


@every_module
def test_no_module_hides_one_that_it_would_import(module: str) -> None:
    assert module not in {"collectd", "libvirt", "telegraf"}
