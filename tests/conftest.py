"""What holds for every test: what a machine lacks is said once, and in CI it may lack nothing."""

import gc
import os
import sys
from collections import Counter
from typing import Any, Callable, NoReturn

import pytest

MISSING = "missing: "

os.environ.pop("COLUMNS", None)  # how wide the screen is, each test says

# What pytest makes of the asserts takes each worker longer than all imports do: it is kept, also
# where PYTHONDONTWRITEBYTECODE is set. Git ignores it.
sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def missing() -> Callable[[str, str], NoReturn]:
    """``missing(component, remedy)`` skips the test for want of a component of the machine."""

    def skip(component: str, remedy: str) -> NoReturn:
        pytest.skip(f"{MISSING}{component}; {remedy}")

    return skip


def _forbids_skips() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def pytest_collection_finish() -> None:
    """What pytest has made of thousands of tests lives to the end: no collection looks at it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """In CI a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and _forbids_skips():
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped in CI: {report.longrepr[2]}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each missing component, with the number of tests it cost."""
    reasons = Counter(
        report.longrepr[2].split(MISSING, 1)[1]
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]
    )
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"NOT TESTED ({tests} tests): {reason}", yellow=True)
