"""``domstats top`` in a real terminal (tmux), with real guests, one of them hung."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents.program import Absent
from tests.system.terminal import Terminal


@pytest.fixture
def terminal(
    tmp_path: Path, missing: Callable[[str, str], NoReturn]
) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as running:

        def start(*words: str) -> Terminal:
            try:
                made = Terminal(tmp_path, *words)
            except Absent as absent:
                missing(str(absent), "as root, tests/system/install test")
            running.callback(made.end)
            return made

        yield start


def test_a_hung_guest_stands_first_and_the_screen_goes_on(
    bed: Any, terminal: Callable[..., Terminal]
) -> None:
    hung = bed.guests[3]
    screen = terminal("top", "--connect", bed.uri, "--interval", "0.5")
    screen.wait("all guests", lambda: len([line for line in screen.lines[2:-1] if line]) >= 8)
    screen.wait("rates", lambda: any("0B" in line for line in screen.lines[2:-1]))

    hung.hang()
    try:
        screen.wait("the hang", lambda: screen.lines[2].startswith(hung.name[:13]))
        screen.wait("its word", lambda: " HUNG " in screen.lines[2] and "1 HUNG" in screen.lines[0])
        first = screen.lines[2]
        screen.wait("another round", lambda: screen.lines[2] != first)
        screen.press("Home", "Enter")
        screen.wait("its page", lambda: screen.first_is(f"{hung.name}   HUNG"))
        assert any("its process is stopped" in line for line in screen.lines)
        screen.press("Escape")
        screen.wait("the table", lambda: screen.lines[1].startswith("Domain"))
    finally:
        hung.heal()
    screen.wait("the end of the hang", lambda: "HUNG" not in screen.lines[0])

    screen.resize(120, 30)
    screen.wait("a wider table", lambda: " Age " in screen.lines[1])
    screen.press("q")
    screen.wait("the end", lambda: "ended with 0" in screen.lines)


def test_while_libvirtd_hangs_keys_are_answered(
    bed: Any, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal(
        "top", "--connect", bed.uri, "--connect", "test:///default", "--interval", "0.5"
    )
    screen.wait("all guests", lambda: len([line for line in screen.lines[3:-1] if line]) >= 9)
    bed.libvirtd.freeze()
    try:
        screen.wait("its word", lambda: "the hypervisor did not answer" in " ".join(screen.lines))
        screen.press("h")
        screen.wait("the help", lambda: screen.first_is("domstats top: what every domain"))
        screen.press("Escape")
        screen.wait("the other's", lambda: any(each[:5] == "test " for each in screen.lines))
    finally:
        bed.heal()
    screen.wait("all guests again", lambda: len([each for each in screen.lines[3:-1] if each]) >= 9)
