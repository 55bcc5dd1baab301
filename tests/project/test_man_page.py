"""domstats(1) and ``--help``: what both say, and that it fits a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Callable, NoReturn

import click
from domstats.cli import man_pages
from domstats.cli.commands import domstats

from tests.documents import ROOT
from tests.unit.rows import each_row

FILE = ROOT / "docs" / "man" / "domstats.1"
COLUMNS = 80


def helps() -> dict[str, str]:
    """What ``--help`` prints, by command."""
    top = click.Context(domstats, info_name="domstats", **domstats.context_settings)
    found = {"domstats": domstats.get_help(top)}
    for name, command in domstats.commands.items():
        context = click.Context(
            command, info_name=name, parent=top, terminal_width=COLUMNS, max_content_width=COLUMNS
        )
        found[name] = command.get_help(context)
    return found


def test_the_file_is_made_of_the_commands_as_they_are() -> None:
    assert FILE.read_text("utf-8") == man_pages.page(), "make man writes it anew"


@each_row(["name", "text"], helps().items())
def test_help_fits_80_columns_and_nothing_is_cut_off(name: str, text: str) -> None:
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert not any(line.endswith("...") for line in text.splitlines()[1:])


def test_every_command_and_option_is_on_the_page_and_it_fits_80_columns(
    missing: Callable[[str, str], NoReturn],
) -> None:
    groff = shutil.which("groff")
    if groff is None:
        missing("groff", "apt install groff-base")
    command = [groff, "-man", "-ww", "-Tutf8", "-P-cbou", f"-rLL={COLUMNS}n", str(FILE)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=True)
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert max(map(len, lines)) <= COLUMNS
    page = " ".join(" ".join(lines).split()).replace("\u2010", "-").replace("\u2212", "-")
    for name, command_ in domstats.commands.items():
        assert f"domstats {name} [OPTIONS]" in page
        for parameter in command_.params:
            if isinstance(parameter, click.Option):
                assert all(option in page for option in parameter.opts), parameter.opts


@each_row("text", [".TH begins", "'so /etc/shadow", "\\f[B] \\*[x]", 'a "b"'])
def test_a_text_of_an_option_is_shown_as_it_is(text: str) -> None:
    """None is taken for a request or an escape of roff's."""
    (line,) = (line for each in man_pages._term("-x", text) for line in each.splitlines()[-1:])
    assert not line.startswith((".", "'"))
    shown = line.replace("\\&", "").replace("\\(aq", "'").replace("\\(dq", '"')
    assert shown.replace("\\-", "-").replace("\\e", "\\") == text
