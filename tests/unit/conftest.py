"""What holds for the unit tests alone."""

import sys

import pytest


def pytest_collectstart() -> None:
    """Before the first test file is read, and not where others run the tests (xdist)."""
    # pytest works on the asserts of all plugins' packages, which costs more than to import this
    # one. Its finder is an object, those of Python are classes.
    finders = [finder for finder in sys.meta_path if isinstance(finder, type)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "meta_path", finders)
        from hypothesis import HealthCheck, settings

    # How long an example may take depends on the machine, and what else runs on it. Each run tries
    # others, so a few are enough.
    settings.register_profile(
        "any machine",
        deadline=None,
        max_examples=10,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("any machine")
