"""The answers of the simulation beside those that a real libvirtd gave about the same guests."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.simhost import SimHost, wire
from tests.simhost.questions import (
    CALM,
    HUNG,
    OFF,
    RICH,
    WHILE_STUCK,
    Domains,
    essence,
)
from tests.simhost.record import RECORDED, ask_calm, ask_while_stuck

RECORDINGS = {path.stem: json.loads(path.read_text()) for path in RECORDED.glob("*.json")}
QUESTIONS = {**CALM, **WHILE_STUCK}

# What record.py has the bed make, in the simulation's terms.
SHAPES: dict[str, dict[str, Any]] = {
    RICH: {"disks": 2, "interfaces": 2, "cdrom": "hda", "iothreads": 1},
    OFF: {"disks": 2, "interfaces": 2, "cdrom": "hda", "iothreads": 1},
    HUNG: {"disks": 1, "interfaces": 1, "iothreads": 1},
}

Answers = dict[str, dict[str, Any]]


def _domains(recording: dict[str, Any]) -> Domains:
    return {
        part: wire.Identity(of["name"], uuid.UUID(of["uuid"]).bytes, of["id"])
        for part, of in recording["domains"].items()
    }


def _simulated(recording: dict[str, Any]) -> Answers:
    domains = _domains(recording)
    with SimHost(domains=0, job_wait=0.2) as host:
        for part, shape in SHAPES.items():
            of = recording["domains"][part]
            kvm = recording["accelerated"]
            host.control.add(
                of["name"], uuid=of["uuid"], kvm=kvm, balloon_driver=False, title="", **shape
            )
            new = next(d for d in host.control.domains() if d["name"] == of["name"])
            domains[part] = domains[part]._replace(id=new["id"])
        host.control.stop(domains[OFF].name)
        domains[OFF] = domains[OFF]._replace(id=-1)
        answers = ask_calm(host.socket, domains)
        host.control.hang(recording["domains"][HUNG]["name"])
        return answers | ask_while_stuck(host.socket, domains)


@pytest.fixture(scope="module")
def simulated() -> dict[str, Answers]:
    return {name: _simulated(recording) for name, recording in RECORDINGS.items()}


@pytest.mark.parametrize("label", QUESTIONS)
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_simulation_answers_as_the_real_one_did(simulated, name, label):
    def told(answers: Answers) -> Any:
        answer = answers[label]
        return essence(QUESTIONS[label], answer["status"], bytes.fromhex(answer["body"]))

    assert told(simulated[name]) == told(RECORDINGS[name]["answers"])


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_recording_is_of_other_questions(name):
    assert set(RECORDINGS[name]["answers"]) == set(QUESTIONS)


def test_there_is_a_recording():
    assert RECORDINGS
