"""`python -m tests.simhost.record`, as root: ask a real libvirtd the questions of questions.py, on
the bed of the system tests, and keep its answers in recorded/ for test_recorded.py. To be run
again when the questions change or another libvirt is to be followed. Takes two minutes."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import uuid
from pathlib import Path
from typing import Any

from . import keys, questions, wire
from .questions import CALM, HUNG, NOBODY, OFF, RICH, WHILE_STUCK, Question

RECORDED = Path(__file__).with_name("recorded")
ANSWER_WAIT = 60.0  # seconds; more than libvirt waits for a job


class RawClient:
    """A connection that sends requests as bytes and gives replies as bytes."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_WAIT)
        self._socket.connect(path)
        self._splitter = wire.Splitter()
        self._serials = itertools.count(1)

    def ask(self, procedure: int, arguments: bytes) -> wire.Message:
        """Send one call and wait for its reply; events that come in between are dropped."""
        self.send(procedure, arguments)
        while True:
            message = self._splitter.take()
            if message is None:
                content = self._socket.recv(1 << 20)
                if not content:
                    raise ConnectionError("libvirtd closed the connection")
                self._splitter.feed(content)
            elif message.type == wire.REPLY:
                return message

    def send(self, procedure: int, arguments: bytes) -> None:
        call = wire.Message(
            wire.REMOTE_PROGRAM,
            wire.REMOTE_VERSION,
            procedure,
            wire.CALL,
            next(self._serials),
            wire.OK,
            arguments,
        )
        self._socket.sendall(wire.frame(call))


def ask_calm(path: str, domains: questions.Domains) -> dict[str, dict[str, Any]]:
    """Every question of CALM, by label its answer's status and body."""
    client = RawClient(path)
    return {label: _answer(client, question, domains) for label, question in CALM.items()}


def ask_while_stuck(path: str, domains: questions.Domains) -> dict[str, dict[str, Any]]:
    """Every question of WHILE_STUCK, once a bulk call is stuck in the hung domain."""
    stuck, client = _opened(path), _opened(path)
    question = CALM["bulk, rich"]
    stuck.send(question.procedure, question.arguments({RICH: domains[HUNG]}))
    occupied, pause = WHILE_STUCK["controlInfo, hung"], threading.Event()
    while not _answer(client, occupied, domains)["body"].startswith("00000002"):
        pause.wait(0.05)
    return {label: _answer(client, question, domains) for label, question in WHILE_STUCK.items()}


def _opened(path: str) -> RawClient:
    client = RawClient(path)
    for label in ("auth list", "open"):
        _answer(client, CALM[label], {})
    return client


def _answer(client: RawClient, question: Question, domains: questions.Domains) -> dict[str, Any]:
    reply = client.ask(question.procedure, question.arguments(domains))
    return {"status": reply.status, "body": reply.body.hex()}


def _identity(domain: Any) -> wire.Identity:
    return wire.Identity(domain.name(), domain.UUID(), domain.ID())


def _record(bed: Any) -> dict[str, Any]:
    from tests.system.bed import Shape

    rich, off, hung = bed.add(
        Shape("web-1", disks=2, nics=2, cdrom=True, iothread=True, balloon_period=5),
        Shape("off-1", disks=2, nics=2, cdrom=True, iothread=True),
        Shape("hung-1", iothread=True),
    )
    off.destroy()
    parts = {RICH: rich, OFF: off, HUNG: hung}
    with bed.connection() as connection:
        domains = {
            part: _identity(connection.lookupByUUIDString(guest.uuid))
            for part, guest in parts.items()
        }
        versions = {"libvirt": connection.getLibVersion(), "qemu": connection.getVersion()}
    domains[NOBODY] = wire.Identity("nobody", uuid.UUID(int=7).bytes, 4711)
    path = bed.uri.partition("socket=")[2]
    answers = ask_calm(path, domains)
    hung.hang()
    try:
        answers |= ask_while_stuck(path, domains)
    finally:
        hung.heal()
    return {
        "versions": versions,
        "accelerated": bed.accelerated,
        "domains": {
            part: {"name": of.name, "uuid": str(uuid.UUID(bytes=of.uuid)), "id": of.id}
            for part, of in domains.items()
        },
        "answers": answers,
    }


def main() -> None:
    from tests.system.bed import Bed

    with Bed() as bed:
        recording = _record(bed)
    version = recording["versions"]["libvirt"]
    path = RECORDED / f"libvirt-{version // 1_000_000}.{version // 1000 % 1000}.json"
    path.write_text(json.dumps(recording, indent=1) + "\n")
    print(f"{len(recording['answers'])} answers, {len(keys.GROUPS)} stats groups: {path}")


if __name__ == "__main__":
    main()
