"""What the agents' processes load, and what they say where a dependency is missing.

docs/dependencies.md says the same for people.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT

PATHS = [str(ROOT / "plugin"), *filter(None, sys.path)]

#: What only people and labels need.
NOT_FOR_AGENTS = ("click", "rich", "textual", "lxml", "pygments", "markdown_it")

BEGIN = f"""\
import sys
sys.path[:0] = {PATHS!r}
not_for_agents = {NOT_FOR_AGENTS!r}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

missing = frozenset(sys.argv[1].split())
sys.meta_path.insert(0, Missing())
"""

COLLECTD = (
    BEGIN
    + """
import types

calls, values = {}, []

class Values:
    def __init__(self, *parts, **more): pass
    def dispatch(self, *parts, **more): values.append(parts)

def register(kind):
    return lambda callback, *parts, **more: calls.setdefault(kind, callback)

collectd = types.ModuleType("collectd")
for kind in ("config", "init", "read", "shutdown"):
    setattr(collectd, f"register_{kind}", register(kind))
for level in ("error", "warning", "notice", "info", "debug"):
    setattr(collectd, level, lambda text: print(text, file=sys.stderr))
collectd.Values, collectd.CollectdError = Values, RuntimeError
sys.modules["collectd"] = collectd
import domstats.collectd_plugin as plugin

line = types.SimpleNamespace(key="Connection", values=("test:///default",), children=())
block = types.SimpleNamespace(key="Module", values=(plugin.__name__,), children=(line,))
calls["config"](block)
calls["init"]()
calls["read"]()
calls["shutdown"]()
print("sent:", len(values) > 10, end=" ")
print("loaded:", *(name for name in not_for_agents if name in sys.modules))
"""
)

COMMAND = (
    BEGIN
    + """
sys.argv[:2] = ["domstats"]
import domstats.cli.main as cli
status = cli.run(sys.argv[1:])
not_for_child = (*not_for_agents, "difflib", "domstats.cli.table")
print("loaded:", *(name for name in not_for_child if name in sys.modules))
sys.exit(status)
"""
)


def run(code: str, missing: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program in an interpreter of its own, which does not find some modules."""
    command = [sys.executable, "-c", code, missing, *arguments]
    return subprocess.run(
        command, input="\n", capture_output=True, text=True, check=False, timeout=120
    )


def test_a_round_in_collectd_loads_nothing_that_only_people_and_labels_need() -> None:
    done = run(COLLECTD, "")
    assert done.stdout.split("\n")[-2] == "sent: True loaded:", done.stdout + done.stderr


def test_a_round_of_telegrafs_child_loads_nothing_that_only_people_and_labels_need(
    tmp_path: Path,
) -> None:
    options = tmp_path / "domstats.toml"
    options.write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\n')
    done = run(COMMAND, "", "telegraf", "--config", str(options))
    assert "libvirt_block," in done.stdout, done.stderr
    assert done.stdout.split("\n")[-2] == "loaded:"


def test_agents_do_without_what_only_people_and_labels_need(tmp_path: Path) -> None:
    options = tmp_path / "domstats.toml"
    options.write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\n')
    missing = " ".join(NOT_FOR_AGENTS)
    child = run(COMMAND, missing, "telegraf", "--config", str(options))
    assert "libvirt_block," in child.stdout, child.stderr
    assert "sent: True" in run(COLLECTD, missing).stdout


def test_what_is_missing_is_named_in_one_line_with_what_to_do(tmp_path: Path) -> None:
    options = tmp_path / "domstats.toml"
    options.write_text('[[inputs.libvirt]]\nlabels = ["title"]\nlibvirt_uri = "test:///default"\n')
    child = ("telegraf", "--config", str(options))
    version = re.escape(sys.version.split()[0])
    for missing, arguments, said in (
        ("lxml", child, rf"E! domstats: {options}: .*option labels: labels need lxml, which Python"
         rf" {version} does not have here \(No module named 'lxml'\): install .*python3-lxml.*"),
        ("msgspec", child, rf"E! domstats: No module named 'msgspec': domstats needs msgspec for"
         rf" Python {version}; it was looked for in .*"),
        ("click", ("sample",), r"domstats: this command needs click and rich \(No module named"
         r" 'click'\); install .* -m pip install click rich"),
        ("rich", ("sample", "--connect", "test:///default"), r"domstats: this command needs click"
         r" and rich \(No module named 'rich.*'\); .*"),
        ("textual", ("top",), r"domstats: top needs textual \(No module named 'textual.*'\); .*"),
    ):  # fmt: skip
        done = run(COMMAND, missing, *arguments)
        assert re.fullmatch(said + r"\n", done.stderr), done.stderr
        assert done.returncode != 0
