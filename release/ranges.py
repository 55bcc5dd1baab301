"""``make ranges``: the unit tests with the oldest and the newest versions that setup.cfg allows.

    python -m release.ranges UV [PYTHON...]

For each Python, each end has an environment of its own, which is gone afterwards. What the tests
use besides is that of constraints.txt. textual needs a newer rich than the rest does, so `top` is
tested after everything else, with what it brings. Oldest means the oldest with a wheel for that
Python. libvirt-python is the system's where the Python has it, as it has to fit the system's
libvirt, else the newest, built from source.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .sources import CHECKOUT, required

ENDS = {"oldest": "lowest-direct", "newest": "highest"}
TESTS = ("tests/unit", "tests/project", "tests/command")
TOP = ("tests/unit/cli/test_top.py", "tests/command/test_top_screen.py")
#: What mypy and ruff look at does not depend on it.
NO_TESTS = ("mypy", "ruff", "lxml-stubs")


def main(uv: str, pythons: list[str]) -> None:
    failed = []
    for python in pythons:
        for end, resolution in ENDS.items():
            with tempfile.TemporaryDirectory() as folder:
                if not _passes(uv, python, end, resolution, Path(folder)):
                    failed.append(f"{end} with {python}")
    if failed:
        sys.exit(f"ranges: FAILED: {', '.join(failed)}")


def _passes(uv: str, python: str, end: str, resolution: str, folder: Path) -> bool:
    _run(python, "-m", "venv", "--system-site-packages", folder)
    inside = folder / "bin" / "python"
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", inside]
    tools = [each for each in required("test")[len(required()) :] if not each.startswith(NO_TESTS)]
    _run(*install, "--constraint", CHECKOUT / "constraints.txt", *tools)

    if subprocess.run(
        [inside, "-c", "import libvirt"], check=False, capture_output=True
    ).returncode:
        _run(*install, "libvirt-python")

    install += ["--upgrade", "--resolution", resolution, "--only-binary", ":all:"]
    _run(*install, *_wanted(required()))
    _run(inside, CHECKOUT / "tests" / "environment.py")
    _report(end, inside)
    pytest: list[str | Path] = [
        inside,
        "-m",
        "pytest",
        "--quiet",
        "--numprocesses",
        "auto",
        "--dist",
        "loadfile",
    ]
    passed = _tried(*pytest, *TESTS, *(f"--ignore={path}" for path in TOP))
    _run(*install, *_wanted(required("top")))
    _report(f"{end}, top", inside)
    return _tried(*pytest, *TOP) and passed


def _wanted(requirements: list[str]) -> list[str]:
    """Without libvirt's binding, which uv would install beside the system's."""
    return [each for each in requirements if not each.startswith("libvirt-python")]


def _report(end: str, python: Path) -> None:
    names = [each.partition(">")[0] for each in required("top")]
    code = (
        "import importlib.metadata as m, sys\n"
        "def version(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return '-'\n"
        "print('Python', sys.version.split()[0], *(f'{n} {version(n)}' for n in sys.argv[1:]))"
    )
    print(f"ranges: {end}:", flush=True, end=" ")
    _run(python, "-c", code, *names)


def _tried(*command: str | Path) -> bool:
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode == 0


def _run(*command: str | Path) -> None:
    if not _tried(*command):
        sys.exit(f"ranges: this failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or ["/usr/bin/python3"])
