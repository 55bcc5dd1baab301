"""A guest agent that a test plays, behind a guest's relay: it answers as the test wants."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

#: What answers a command; None is no answer at all.
Answer = Callable[[str], Optional[bytes]]


def plain(command: str) -> Optional[bytes]:
    """A well agent's answers."""
    said: dict[str, Any] = {
        "guest-get-fsinfo": [file_system("/")],
        "guest-get-osinfo": {"id": "fake", "version-id": "1"},
        "guest-get-host-name": {"host-name": "fake"},
        "guest-get-users": [],
    }
    return answer(said.get(command, {}))


def answer(value: object) -> bytes:
    return json.dumps({"return": value}).encode() + b"\n"


def file_system(mountpoint: str, name: str = "vda") -> dict[str, Any]:
    return {
        "name": name,
        "mountpoint": mountpoint,
        "type": "ext4",
        "total-bytes": 1000,
        "used-bytes": 250,
        "disk": [],
    }


class FakeAgent:
    """Speaks on the channel from construction until ``close``; then the guest closes it.

    :param relay: ``Guest.relay``.
    :param respond: answers each command but the greeting.
    :ivar asked: the commands so far, the greeting among them.
    """

    def __init__(self, relay: Path, respond: Answer = plain, greets: bool = True) -> None:
        self.asked: list[str] = []
        self.respond = respond
        self.greets = greets
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(relay))
        self._socket.sendall(b"go\n")
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> FakeAgent:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the guest has ended
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        lines = self._socket.makefile("rb")
        try:
            for line in lines:
                self._heard(json.loads(line[line.index(b"{") :]))
        except (OSError, ValueError):  # it has been closed
            return

    def _heard(self, message: dict[str, Any]) -> None:
        command = message["execute"]
        self.asked.append(command)
        if command.startswith("guest-sync"):
            said = answer(message["arguments"]["id"]) if self.greets else None
        else:
            said = self.respond(command)
        if said is not None:
            self._socket.sendall(said)
