"""SimHost: a simulated host for the length of a `with` block, in a process of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import keys
from .control import Control

_ROOT = Path(__file__).resolve().parents[2]
_START = 60.0  # seconds; 10,000 domains take about two


class SimHost:
    """Runs `python -m tests.simhost` with the options given (underscores for dashes, True for
    a switch, a list for one that may be repeated), ready when the block begins and ended with
    it, or with this process, whatever happens.

    uri      what to open with libvirt
    uris     those of all hosts, where the option `hosts` wants several: all in that one process, so
             that `pause` freezes all of them; orders are for the first one
    socket   the path in it
    control  a Control to give orders with
    epoch    where the counters' time begins, on time.monotonic()"""

    def __init__(self, domains: int = 10, seed: int = 0, **options) -> None:
        self.seed = seed
        self._options = {"domains": domains, "seed": seed, **options}
        self._folder = ""
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> SimHost:
        self._folder = tempfile.mkdtemp(prefix="simhost-")
        self.socket = os.path.join(self._folder, "libvirt-sock")
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        control = getattr(self, "control", None)
        if control is not None:
            control.close()
        if self._process is not None:
            _end(self._process)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        orders = os.path.join(self._folder, "control")
        process = self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.simhost",
                *("--socket", self.socket, "--control", orders, "--until-eof"),
                *_as_arguments(self._options),
            ],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _START)
        line = process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError("the simulated host did not start; its error is on stderr")
        ready = json.loads(line)
        self.epoch: float = ready["epoch"]
        self.uris = [f"qemu+tcp://127.0.0.1:{port}/system" for port in ready["ports"]] or [self.uri]
        self.control = Control(orders)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def elapsed(self) -> float:
        """Seconds since the counters began."""
        return time.monotonic() - self.epoch

    def expected(self, uuid: str, key: str, elapsed: float | None = None) -> int:
        """A counter's true value, now or at an earlier `elapsed()`; see keys.expected."""
        return keys.expected(self.seed, uuid, key, self.elapsed() if elapsed is None else elapsed)

    def pause(self) -> None:
        """Stop the process (SIGSTOP) until `proceed`; orders wait as well."""
        os.kill(self.pid, signal.SIGSTOP)

    def proceed(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill it (-9) and start another on the same socket, with the domains as at first and
        counters that begin anew."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """Kill it (-9) and leave its socket lying there."""
        self.control.close()
        assert self._process is not None
        _end(self._process)
        control = os.path.join(self._folder, "control")
        if os.path.exists(control):
            os.unlink(control)


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def _as_arguments(options: dict) -> list[str]:
    arguments = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, (list, tuple)):
            for one in value:
                arguments += [flag, str(one)]
        elif value is not False and value is not None:
            arguments += [flag, str(value)]
    return arguments
