"""``make rpm``: RPM packages in dist/rpm/, for RHEL 9 (Python 3.9) or another.

    python -m release.rpm [--python 3.12] [--machine aarch64] [--dist .el10]

They consist of the source distribution and the bundle. The source package among them is what a
RHEL's own rpmbuild takes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import bundle, dist
from .sources import CHECKOUT, DIST, epoch, version

SPEC = CHECKOUT / "packaging" / "rpm" / "domstats.spec.in"
#: For which RHEL a Python is the system's own.
RHEL = {"3.9": ".el9", "3.12": ".el10"}


class Wanted(NamedTuple):
    """For whom the packages are.

    :param python: major and minor version of the system's Python.
    :param machine: as ``uname -m`` calls it.
    :param mark: what the release ends with, as RHEL's ``%{dist}``.
    """

    python: str
    machine: str
    mark: str


def build(target: Path, sdist: Path, made: Path, wanted: Wanted) -> list[Path]:
    """Make the packages.

    :param sdist: the source distribution.
    :param made: the bundle for that Python and machine.
    :return: their paths, the source package's among them.
    """
    if shutil.which("rpmbuild") is None:
        sys.exit("rpm: there is no rpmbuild; Debian has it in the package rpm, RHEL in rpm-build")
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        for source in (sdist, made):
            (top / "SOURCES").mkdir(exist_ok=True)
            shutil.copy(source, top / "SOURCES")
        spec = top / "domstats.spec"
        spec.write_text(filled_in(wanted, made), "utf-8")
        _rpmbuild(top, spec, wanted)
        target.mkdir(parents=True, exist_ok=True)
        built = sorted([*top.glob("RPMS/*/*.rpm"), *top.glob("SRPMS/*.rpm")])
        return [Path(shutil.copy(package, target)) for package in built]


def filled_in(wanted: Wanted, made: Path) -> str:
    """The spec file: version, date, and what is in the bundle."""
    bundled = [
        f"Provides:       bundled(python3dist({name})) = {found}"
        for name, found in bundle.pinned(wanted.python, wanted.machine)
        if name != "lxml"
    ]
    fields = {
        "VERSION": version(),
        "PYTHON": wanted.python,
        "BUNDLE": made.name,
        "BUNDLED": "\n".join(bundled),
        "DATE": time.strftime("%a %b %d %Y", time.gmtime(epoch())),
    }
    text = SPEC.read_text("utf-8")
    for name, value in fields.items():
        text = text.replace(f"@{name}@", value)
    return text


def _rpmbuild(top: Path, spec: Path, wanted: Wanted) -> None:
    command = ["rpmbuild", "-ba", "--nodeps", "--target", f"{wanted.machine}-linux"]
    macros = {
        "_topdir": str(top),
        "dist": wanted.mark,
        "python3_version": wanted.python,
        "__python3": sys.executable,
    }
    for name, value in macros.items():
        command += ["--define", f"{name} {value}"]
    done = subprocess.run(
        [*command, str(spec)],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nrpm: rpmbuild failed")
    for line in done.stdout.splitlines():
        if line.startswith("not tried"):
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default="3.9", help="the Python that RHEL has: 3.9 or 3.12")
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--dist", help="as .el9; by default the one that has this Python")
    given = parser.parse_args()
    mark = RHEL.get(given.python, "") if given.dist is None else given.dist
    wanted = Wanted(given.python, given.machine, mark)
    with tempfile.TemporaryDirectory() as temporary:
        wheel, sdist = dist.build(Path(temporary))
        made = bundle.build(Path(temporary), wheel, wanted.python, wanted.machine)
        for package in build(DIST / "rpm", sdist, made, wanted):
            print(package)


if __name__ == "__main__":
    main()
