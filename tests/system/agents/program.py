"""A program in the foreground, in a folder of its own, with its output in a log."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional, TypeVar

T = TypeVar("T", bound="Program")


class Absent(Exception):
    """A program that is not on this machine."""


def find(name: str) -> str:
    """The path of the program ``name``; raises Absent. Looks where daemons lie as well."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Absent(name)
    return path


def free_port() -> int:
    """A port of the loopback device that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """Runs from construction until ``stop``, or the end of ``with``.

    :param user: who runs it, in none but his own group; its folder becomes his.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Optional[Mapping[str, str]] = None,
        user: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        become: tuple[str, ...] = ()
        if user:
            group = pwd.getpwnam(user).pw_gid
            become = ("--reuid", user, "--regid", str(group), "--clear-groups")
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, user, group)
        self._output = folder / f"{Path(command[0]).name}.log"
        self._command = ["setpriv", "--pdeathsig", "KILL", *become, "--"]
        self._command += [find(command[0]), *command[1:]]
        self._environment = {**os.environ, **(environment or {})}
        self.process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._output.open("ab") as output:
            return subprocess.Popen(
                self._command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._output.read_text(errors="replace")

    def freeze(self) -> None:
        """It stands still until ``thaw``, with all its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It ends at once, without a chance to write or send anything; ``restart`` follows."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """The same command in the same folder, after it has ended."""
        self.process = self._started()

    def stop(self, seconds: float = 20.0) -> None:
        """Ask it to end, and kill it and its children if it has not within ``seconds``."""
        self.process.terminate()
        self.thaw()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
