"""Imports point one way: cli, agents, sampling; engine, hypervisor, config; the ground.

Modules that no rule names may come and go; what they reach is held to the rules all the same. They
are found by walking the tree, under names without the package's own: ``engine``, ``output.schema``.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from tests.project.source_trees import PACKAGE, statements, tree


def _named(path: Path) -> str:
    """A file's module; a folder's ``__init__`` goes by the name of the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_named(path): path for path in sorted(PACKAGE.rglob("*.py"))}

#: The folders, and the modules beside them, from the ground up: each may import what stands in the
#: same row or below, of the other folders of its own row none.
ROWS: tuple[frozenset[str], ...] = (
    frozenset({"model", "host_sample", "errors", "shown"}),
    frozenset(
        {
            "selection",
            "globs",
            "domain_choice",
            "events",
            "round_settings",
            "drivers",
            "rates",
            "host_totals",
            "output",
        }
    ),
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
GROUND = frozenset({"model", "host_sample", "errors", "shown", "rates", "host_totals"})
#: Who may import libvirt itself.
BORDER = frozenset({"hypervisor.binding"})
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
    for node in statements(tree(path)):
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


@functools.cache
def reached(module: str) -> frozenset[str]:
    """The modules of the package that come with a module."""
    found: set[str] = set()
    new = set(ours(module))
    while new:
        found |= new
        new = {name for module in new for name in ours(module)} - found
    return frozenset(found)


def row(module: str) -> int:
    """How far above the ground a module stands, by its folder or by itself."""
    (found,) = (number for number, names in enumerate(ROWS) if module.split(".")[0] in names)
    return found


def test_every_folder_is_there_with_something_to_check() -> None:
    assert {name for name in MODULES if (PACKAGE / name).is_dir()} == FOLDERS
    assert all(sum(name.startswith(f"{folder}.") for name in MODULES) > 1 for folder in FOLDERS)
    assert set().union(*ROWS) == {name.split(".")[0] for name in MODULES}
    assert "libvirt" in others("hypervisor.binding")
    assert "sampling.sampler" in ours("agents.adapter")
    assert {"model", "errors", "hypervisor.connection"} <= reached("sampling.sampler")


def test_nobody_imports_from_above() -> None:
    for module in MODULES:
        above = {name for name in ours(module) - {"__init__"} if row(name) > row(module)}
        assert not above, module


def test_folders_of_one_row_do_not_know_each_other() -> None:
    for module in MODULES:
        neighbours = ROWS[row(module)] & FOLDERS - {module.split(".")[0]}
        assert not {name for name in ours(module) if name.split(".")[0] in neighbours}, module


def test_output_knows_samples_and_nothing_else() -> None:
    for module in MODULES:
        if module.startswith("output"):
            allowed = GROUND | {name for name in MODULES if name.startswith("output")}
            assert reached(module) <= allowed, module


def test_sampling_does_not_know_what_becomes_of_samples() -> None:
    for module in MODULES:
        if row(module) <= row("sampling") and not module.startswith("output"):
            assert not {name for name in reached(module) if name.startswith("output")}, module


def test_errors_and_samples_stand_at_the_bottom() -> None:
    assert reached("errors") == set()
    assert reached("host_sample") == set()
    assert reached("model") <= {"errors", "host_sample"}


def test_no_module_takes_what_another_keeps_to_itself() -> None:
    for module in MODULES:
        mine = {name for name in imported(module) if name.startswith("domstats")}
        names = {name.rpartition(".")[2] for name in mine}
        kept = {name for name in names if name.startswith("_") and not name.startswith("__")}
        assert not kept, module


def test_imports_make_no_circle() -> None:
    assert [module for module in MODULES if module in reached(module)] == []


def test_only_the_border_imports_libvirt() -> None:
    assert {name for name in MODULES if others(name) & {"libvirt", "libvirtmod"}} == BORDER


def test_only_the_xpaths_of_labels_import_lxml() -> None:
    assert [name for name in MODULES if "lxml" in others(name)] == ["domain_xml.xpaths"]


def test_only_its_adapter_imports_collectd() -> None:
    assert [name for name in MODULES if "collectd" in others(name)] == ["collectd_plugin"]


def test_collectd_needs_nothing_of_the_command_line() -> None:
    for module in ("collectd_plugin", *reached("collectd_plugin")):
        assert not others(module) & COMMAND_LINE_ONLY, module


def test_no_module_hides_one_that_it_would_import() -> None:
    assert not {"collectd", "libvirt", "telegraf"} & set(MODULES)
    assert "libvirt" not in {module.split(".")[-1] for module in MODULES}


def test_no_test_file_needs_another_one() -> None:
    tests = PACKAGE.parents[1] / "tests"
    found = {}
    for path in tests.rglob("*.py"):
        if not re.search(r"(?<!def )\btest_\w", path.read_text("utf-8")):
            continue  # most say the name of no test but where they define it
        for node in statements(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                if any((path.parent / f"{name}.py").exists() or "tests" in names
                       for name in names if name.startswith("test_")):  # fmt: skip
                    found[path.name] = node.module
    assert found == {}


def test_unit_tests_lie_in_the_folders_of_what_they_test() -> None:
    unit = Path(__file__).parents[1] / "unit"
    assert all(any((unit / folder).glob("test_*.py")) for folder in FOLDERS)
