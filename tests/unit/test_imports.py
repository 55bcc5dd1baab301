"""Imports point one way: cli, agents, sampling; engine, hypervisor, config; the ground.

Modules that no rule names may come and go; what they reach is held to the rules all the same. They
are found by walking the tree, under names without the package's own: ``engine``, ``output.schema``.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "plugin" / "domstats"


def _named(path: Path) -> str:
    """A file's module; a folder's ``__init__`` goes by the name of the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_named(path): path for path in sorted(PACKAGE.rglob("*.py"))}

every_module = pytest.mark.parametrize("module", MODULES)

#: The folders, and the modules beside them, from the ground up: each may import what stands in the
#: same row or below, of the other folders of its own row none.
ROWS: tuple[frozenset[str], ...] = (
    frozenset({"model", "errors", "shown"}),
    frozenset({"selection", "events", "output"}),
    frozenset({"domain_xml"}),
    frozenset({"config", "engine", "hypervisor"}),
    frozenset({"sampling"}),
    frozenset({"agents", "library"}),
    frozenset({"cli", "collectd_plugin", "__init__"}),
    frozenset({"__main__"}),
)
FOLDERS = frozenset(
    {"agents", "cli", "config", "domain_xml", "engine", "hypervisor", "output", "sampling"}
)
#: What the ground is for output: of the rest of the package it knows nothing.
GROUND = frozenset({"model", "errors", "shown"})
#: Who may import libvirt itself.
BORDER = frozenset({"hypervisor.connection", "hypervisor.classic"})
#: What collectd's own Python need not have.
COMMAND_LINE_ONLY = frozenset({"click", "rich", "textual"})


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Every module that a module's file imports, anywhere in it, by full name.

    Each name of a ``from`` import counts as a module too: only the reader of the tree can tell.
    """
    path = MODULES[module]
    folder = ["domstats", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(found)


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


def row(module: str) -> int:
    """How far above the ground a module stands, by its folder or by itself."""
    (found,) = (number for number, names in enumerate(ROWS) if module.split(".")[0] in names)
    return found


def test_every_folder_is_there_with_something_to_check() -> None:
    assert {name for name in MODULES if (PACKAGE / name).is_dir()} == FOLDERS
    assert all(sum(name.startswith(f"{folder}.") for name in MODULES) > 1 for folder in FOLDERS)
    assert set().union(*ROWS) == {name.split(".")[0] for name in MODULES}
    assert "libvirt" in others("hypervisor.connection")
    assert "sampling.sampler" in ours("agents.adapter")
    assert {"model", "errors", "hypervisor.connection"} <= reached("sampling.sampler")


@every_module
def test_nobody_imports_from_above(module: str) -> None:
    assert not {other for other in ours(module) - {"__init__"} if row(other) > row(module)}


@every_module
def test_folders_of_one_row_do_not_know_each_other(module: str) -> None:
    folder = module.split(".")[0]
    neighbours = ROWS[row(module)] & FOLDERS - {folder}
    assert not {other for other in ours(module) if other.split(".")[0] in neighbours}


@every_module
def test_output_knows_samples_and_nothing_else(module: str) -> None:
    if module.startswith("output"):
        allowed = GROUND | {name for name in MODULES if name.startswith("output")}
        assert reached(module) <= allowed


@every_module
def test_sampling_does_not_know_what_becomes_of_samples(module: str) -> None:
    if row(module) <= row("sampling"):
        assert module.startswith("output") or not {
            name for name in reached(module) if name.startswith("output")
        }


def test_errors_and_samples_stand_at_the_bottom() -> None:
    assert reached("errors") == set()
    assert reached("model") <= {"errors"}


@every_module
def test_no_module_takes_what_another_keeps_to_itself(module: str) -> None:
    names = {name.rpartition(".")[2] for name in imported(module) if name.startswith("domstats")}
    assert not {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_imports_make_no_circle() -> None:
    assert [module for module in MODULES if module in reached(module)] == []


@every_module
def test_only_the_border_imports_libvirt(module: str) -> None:
    assert module in BORDER or not others(module) & {"libvirt", "libvirtmod"}


@every_module
def test_only_the_xpaths_of_labels_import_lxml(module: str) -> None:
    assert module == "domain_xml.xpaths" or "lxml" not in others(module)


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
    assert module.split(".")[-1] not in {"libvirt"}
