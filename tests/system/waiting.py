"""Waiting for something to come true, with a deadline."""

import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")


class TooLate(AssertionError):
    """What was waited for did not come in time."""


def wait_for(what: str, look: Callable[[], Optional[T]], seconds: float = 120.0) -> T:
    """Call ``look`` until it gives something true, and return that.

    Raises TooLate, saying ``what`` was waited for, after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TooLate(f"no {what} within {seconds:g} s")
        time.sleep(0.05)
