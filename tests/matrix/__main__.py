"""`make matrix`: the tests in each Debian, with its Python, libvirt, QEMU and collectd.

    python3 -m tests.matrix [--record] [--only unit|guests] [SUITE...]

In a root of each (tests/matrix/root) first all tests that need no guest, then those of `checks`
with real guests and domstats as its Debian packages install it. Needs nothing but Python's own
library. What was printed is in .build/roots/out/SUITE; --record keeps the results of stages that
passed, and makes the table in docs/systems.md of them. Where there can be no root here, that is
said and passed over; with CI=true it fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.matrix import page
from tests.matrix.checks import GUESTS, INTERPRETERS, TITLES, arguments, check_of

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / "tests/matrix/root"
INSIDE = "tests/matrix/inside"
CANNOT = 77  # its status where there can be no root here
#: A stage takes some minutes; one that hangs ends.
SECONDS = 1800

VERSIONS = """
import libvirt, pip, platform
number = libvirt.getVersion()
print(platform.python_version(), pip.__version__, end=" ")
print(number // 1000000, number // 1000 % 1000, number % 1000, sep=".")
"""


class Failed(Exception):
    """A stage of a suite's; the message is for people."""


class System:
    """Something to test in, and what was found there."""

    #: Methods, in the order in which one needs the other.
    stages: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.out = CHECKOUT / ".build/roots/out" / name
        self.out.mkdir(parents=True, exist_ok=True)
        self.failures: list[str] = []
        self.found: dict[str, Any] = {"versions": {}, "seconds": {}, "checks": {}}

    def make(self) -> str:
        """Have what is tested in be there.

        :return: why it cannot be, in words, else empty.
        """
        raise NotImplementedError

    def stage(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Run a command; raises Failed, with the end of what it printed."""
        log = self.out / f"{name}.log"
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                status: object = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                status = f"none within {SECONDS} s"
            finally:
                process.kill()  # in a root everything ends with it
                process.wait()
        took = round(time.monotonic() - began)
        say(f"{TITLES[self.name]}: {name}, {took} s{', FAILED' if status else ''}")
        if status:
            end = log.read_text("utf-8", "replace").splitlines()[-40:]
            where = f"status {status}; {log} ends:"
            raise Failed("\n".join([where, *end]))
        self.found["seconds"][name] = took

    def read(self, report: Path) -> None:
        """What pytest has found."""
        for case in ElementTree.parse(report).iter("testcase"):
            check = check_of(case.get("classname", ""))
            counts = self.found["checks"].setdefault(check.title, Counter())
            kinds = {child.tag for child in case}
            bad = kinds & {"failure", "error"}
            counts["failed" if bad else "skipped" if "skipped" in kinds else "passed"] += 1


class Debian(System):
    """A whole release in a root."""

    stages = ("versions", "packages", "unit", "guests")

    def make(self) -> str:
        update = ["apt-get", "-o", "APT::Update::Error-Mode=any", "-q", "update"]
        made = subprocess.run(
            [ROOT, self.name, *update],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not made.returncode:
            return ""
        reason = (made.stderr.strip().splitlines() or ["no reason told"])[-1]
        return reason if made.returncode == CANNOT else f"no packages can be had: {reason}"

    def _enter(self, stage: str, *arguments: str) -> None:
        self.stage(stage, [str(ROOT), self.name, INSIDE, stage, *arguments])

    def versions(self) -> None:
        self._enter("versions")
        lines = (self.out / "versions.log").read_text("utf-8").splitlines()
        self.found["versions"] = dict(line.split(": ", 1) for line in lines)

    def packages(self) -> None:
        folder = self.out / "packages"
        for old in folder.glob("*.deb"):
            old.unlink()
        build = "packaging/debian/build.py"
        self.stage("packages", [sys.executable, build, "--to", str(folder), self.name])

    def unit(self) -> None:
        report = self.out / "unit.xml"
        report.unlink(missing_ok=True)
        self._enter("unit")
        self.read(report)

    def guests(self) -> None:
        report = self.out / "guests.xml"
        report.unlink(missing_ok=True)
        self._enter("guests", *(word for check in GUESTS for word in arguments(check)))
        self.read(report)


class Interpreter(System):
    """A Python of this machine that is no release's."""

    stages = ("unit", "versions")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        places = Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}.*/bin/{name}")
        self._python = shutil.which(name) or next(map(str, places), "")
        self._venv = CHECKOUT / ".build/roots" / f"{name}.venv"

    def make(self) -> str:
        if not self._python:
            return f"no {self.name} on this machine"
        tried = subprocess.run(
            [self._python, "-c", "import libvirt, venv"], check=False, stderr=subprocess.DEVNULL
        )
        return f"{self._python} has no libvirt or no venv" if tried.returncode else ""

    def unit(self) -> None:
        report = self.out / "unit.xml"
        report.unlink(missing_ok=True)
        command = ["make", "unit", f"VENV={self._venv}", f"PYTHON={self._python}"]
        self.stage("unit", command, MAKEFLAGS="", PYTEST_ADDOPTS=f"--junitxml={report}")
        self.read(report)

    def versions(self) -> None:
        """The libvirt is that of the client library."""
        self.stage("versions", [str(self._venv / "bin/python"), "-c", VERSIONS])
        said = (self.out / "versions.log").read_text("utf-8")
        self.found["versions"] = dict(zip(("Python", "pip", "libvirt"), said.split()))


def say(text: str) -> None:
    print(f"matrix: {text}", flush=True)


def attempt(suite: System, stage: str) -> None:
    """Do this stage of a suite's, if it has it."""
    if stage not in suite.stages:
        return
    try:
        getattr(suite, stage)()
    except (Failed, OSError) as failed:
        suite.failures.append(f"{TITLES[suite.name]}, {stage}: {failed}")


def with_roots(names: Iterable[str]) -> tuple[list[System], bool]:
    """Those that can be tested here, and whether these are all."""
    suites = [Interpreter(name) if name in INTERPRETERS else Debian(name) for name in names]
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(lambda each: each.make(), suites))
    for suite, reason in zip(suites, reasons):
        if reason:
            say(f"NOT TESTED: {TITLES[suite.name]}: {reason}")
    return [suite for suite, reason in zip(suites, reasons) if not reason], not any(reasons)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suite", nargs="*", choices=[*TITLES, []], default=[])
    parser.add_argument(
        "--record", action="store_true", help="keep the results, for docs/systems.md"
    )
    parser.add_argument("--only", choices=("unit", "guests"), help="of the tests")
    wanted = parser.parse_args()
    # A shell that starts it in the background has it ignored, and so would all that is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    suites, complete = with_roots(wanted.suite or TITLES)
    say(f"{len(suites)} systems, {time.monotonic() - began:.0f} s")
    # What needs the processors goes one after the other; real guests mostly wait.
    with ThreadPoolExecutor() as pool:
        if wanted.only != "unit":
            pool.map(lambda suite: attempt(suite, "packages"), suites)
        for suite in suites if wanted.only != "guests" else ():
            attempt(suite, "unit")
    for suite in suites:
        attempt(suite, "versions")
    with ThreadPoolExecutor(2) as pool:
        if wanted.only != "unit":
            list(pool.map(lambda suite: attempt(suite, "guests"), suites))
    for suite in suites:
        print("\n".join(suite.failures), end="\n" if suite.failures else "")
    failed = any(suite.failures for suite in suites)
    say(f"{'FAILED' if failed else 'done'}, {time.monotonic() - began:.0f} s")
    if wanted.record:
        page.record({suite.name: suite.found for suite in suites})
    ci = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    return 1 if failed or (ci and not complete) else 0


if __name__ == "__main__":
    sys.exit(main())
