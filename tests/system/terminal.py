"""A real terminal (tmux) with the command ``domstats`` in it."""

import contextlib
import shlex
import subprocess
from pathlib import Path
from typing import Any, Callable

from tests.system.agents.program import find
from tests.system.configurations import DOMSTATS, ROOT
from tests.system.waiting import wait_for


class Terminal:
    """80 columns and 24 lines, until ``end``. Raises Absent.

    :param words: what follows ``domstats``.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self._tmux = [find("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        environment = f"PYTHONPATH={shlex.quote(str(ROOT / 'plugin'))} LANG=C.UTF-8"
        # What libraries of the tests' own process say of its terminal does not hold for this one.
        started = f"env -u COLUMNS -u LINES {environment} {shlex.join([*DOMSTATS, *words])}"
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
