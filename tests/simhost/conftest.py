"""Fixtures of the simulated host's own tests, all of which use it through the real libvirt."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any, Callable

import pytest

from tests.simhost import SimHost

libvirt = pytest.importorskip("libvirt")

JOB_WAIT = 0.4  # stands for libvirt's 30 s
STORAGE = "shared"


def started(call: Callable, *arguments: Any) -> Future:
    """Begin a call in a thread of its own. It may never end: the thread is a daemon."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def wait_until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for something another process does; it is looked at often."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


class Clock:
    """The time as it is, until it stops: then nothing gets late or due any more."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        self._stopped_at = time.monotonic()


@pytest.fixture(scope="module")
def shared_host():
    """One host for a module's tests; each finds it well, by `host`."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    with SimHost(domains=12, job_wait=JOB_WAIT, iothreads=1, vcpus=2, storage=STORAGE) as host:
        yield host


@pytest.fixture
def host(shared_host):
    """The module's host: nobody hangs, no fault, nothing counted."""
    control = shared_host.control
    control.reset_statistics()
    yield shared_host
    control.behave()
    control.drop_connections()
    control.heal()
    control.heal_storage(STORAGE)
    control.resume()
    wait_until(lambda: control.statistics()["workers"]["busy"] == 0)
    assert control.statistics()["mistakes"] == []


@pytest.fixture
def connection(host):
    return libvirt.openReadOnly(host.uri)
