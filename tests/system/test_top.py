"""``domstats top`` in a real terminal (tmux), with real guests, one of them hung."""

import contextlib
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest

from tests.system.agents.program import Absent, find
from tests.system.configurations import DOMSTATS, ROOT
from tests.system.waiting import wait_for


class Terminal:
    """A terminal of 80 columns and 24 lines with a command in it."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._tmux = [find("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        environment = f"PYTHONPATH={shlex.quote(str(ROOT / 'plugin'))} LANG=C.UTF-8"
        # What libraries of the tests' own process say of its terminal does not hold for this one.
        started = f"env -u COLUMNS -u LINES {environment} {shlex.join(command)}"
        line = f"{started}; echo ended with $?; sleep 1000"
        self._run("new-session", "-d", "-x", "80", "-y", "24", line)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, what: str, look: Callable[[], Any]) -> None:
        """Wait for something on the screen; what is there instead is in the error."""
        try:
            wait_for(what, look, 60)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines])) from None

    @property
    def lines(self) -> list[str]:
        return self._run("capture-pane", "-p").splitlines()

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    def first_is(self, begin: str) -> bool:
        return bool(self.lines) and self.lines[0].startswith(begin)

    def end(self) -> None:
        with contextlib.suppress(AssertionError):
            self._run("kill-server")


@pytest.fixture
def terminal(
    tmp_path: Path, missing: Callable[[str, str], NoReturn]
) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as running:

        def start(*words: str) -> Terminal:
            try:
                made = Terminal(tmp_path, [*DOMSTATS, *words])
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
