"""What a real bash is offered when somebody presses the tab key."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from tests.documents import ROOT, in_backticks

#: Presses tab behind the words: what bash's own completion would show, and how it goes on.
PRESS = """
type -t _domstats_completion >/dev/null || exit 3
compopt() { printf 'compopt %s %s\n' "$@"; }
for line in "${LINES_TO_COMPLETE[@]}"; do
    read -ra COMP_WORDS <<< "${line}x"
    last=$(( ${#COMP_WORDS[@]} - 1 ))
    COMP_WORDS[last]=${COMP_WORDS[last]%x}
    COMP_CWORD=$last
    COMPREPLY=()
    _domstats_completion domstats
    echo "offered: ${COMPREPLY[*]}"
done
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which ``domstats`` is the one of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "domstats"
    script.write_text(
        f"#!/bin/sh\nexec env PYTHONPATH={shlex.quote(str(ROOT / 'plugin'))}"
        f' {shlex.quote(sys.executable)} -m domstats "$@"\n'
    )
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def source_line() -> str:
    """What the README has people put into their ~/.bashrc."""
    found = [text for text in in_backticks(ROOT / "README.md") if text.startswith("source <(")]
    (line,) = found
    return line


def test_bash_is_offered_commands_options_groups_uris_and_files(command: dict[str, str]) -> None:
    expected = {
        "domstats s": "offered: sample",
        "domstats sample --group b": "offered: balloon block",
        "domstats sample --connect q": "offered: qemu:///system",
        "domstats sample --dea": "offered: --deadline",
        "domstats config ": "offered: collectd telegraf",
        "domstats telegraf --config /et": "compopt -o default\noffered: ",
    }
    lines = f"LINES_TO_COMPLETE=({' '.join(map(shlex.quote, expected))})"
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{source_line()}\n{lines}\n{PRESS}"],
        env=command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{each}\n" for each in expected.values())
