"""``make bundle``: everything for one Python and machine in a file, installed without a network.

    python -m release.bundle [--python 3.9] [--machine aarch64]

The wheels are those of packaging/bundle/requirements.txt, and pip compares their hashes. The same
commit makes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from . import dist, sbom
from .archive import tar_bytes
from .sources import CHECKOUT, DIST, epoch, version

PARTS = CHECKOUT / "packaging" / "bundle"
#: Wheels for any of these C libraries will do: Debian 11 has glibc 2.31, RHEL 9 has 2.34.
GLIBC_MINORS = range(5, 32)


def bundle_name(python: str, machine: str) -> str:
    return f"domstats-{version()}-py{python.replace('.', '')}-{machine}.tar"


def build(target: Path, own: Path, python: str, machine: str) -> Path:
    """Make the bundle. Exits with a message if a wheel cannot be had.

    :param own: the wheel of domstats itself.
    :param python: major and minor version.
    :param machine: as ``uname -m`` calls it.
    :return: the path of the file.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, f"domstats-{version()}")
        wheels = folder / "wheels"
        wheels.mkdir(parents=True)
        shutil.copy(own, wheels)
        _download(wheels, python, machine)
        for wheel in wheels.glob("*.whl"):
            _must_be_unpackable(wheel, wheel.name == own.name)
        for part in ("install", "unpack.py", "README.md"):
            shutil.copy(PARTS / part, folder)
        made_for = f"PYTHON_VERSION={python}\nMACHINE={machine}\n"
        (folder / "made-for").write_text(made_for, "utf-8")
        listed = sbom.of_wheels(sorted(wheels.glob("*.whl")), epoch())
        (folder / "sbom.cdx.json").write_bytes(listed)
        _checksums(folder)
        bundle = target / bundle_name(python, machine)
        bundle.write_bytes(tar_bytes(folder, folder.name, epoch()))
    return bundle


def _download(wheels: Path, python: str, machine: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(wheels)]
    command += ["--python-version", python, "--implementation", "cp"]
    for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    for minor in reversed(GLIBC_MINORS):
        command += ["--platform", f"manylinux_2_{minor}_{machine}"]
    command += ["--platform", f"manylinux2014_{machine}"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(requirements(python, machine))
        wanted.flush()
        if subprocess.run([*command, "--requirement", wanted.name], check=False).returncode:
            sys.exit("bundle: not every wheel could be had; pip has said why")


def pinned(python: str, machine: str) -> list[tuple[str, str]]:
    """Names and versions of what the bundle has for this Python and machine, besides ours."""
    pins = [line.split()[0] for line in requirements(python, machine).splitlines()]
    return [(name, found) for name, _, found in (pin.partition("==") for pin in pins)]


def requirements(python: str, machine: str) -> str:
    """What of the pinned requirements is for this Python and machine, for pip, without markers."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
    }
    kept = []
    text = (PARTS / "requirements.txt").read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        pinned, *hashes = line.split(" --hash=")
        if not pinned.strip() or pinned.startswith("#"):
            continue
        requirement = Requirement(pinned.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            hashes = [f"--hash={each.strip()}" for each in hashes]
            kept.append(" ".join([f"{requirement.name}{requirement.specifier}", *hashes]))
    return "\n".join(kept) + "\n"


def _must_be_unpackable(wheel: Path, ours: bool) -> None:
    """``unpack.py`` knows no other place for files than among the modules, but for our man page."""
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
    if not ours and any(folder.endswith(".data") for folder in folders):
        sys.exit(f"bundle: {wheel.name} has files that go elsewhere; teach unpack.py to place them")


def _checksums(folder: Path) -> None:
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", default=running, help="its version, such as 3.9")
    parser.add_argument("--machine", default=platform.machine(), help="as `uname -m` says it")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        own, _ = dist.build(Path(temporary))
        print(build(DIST, own, wanted.python, wanted.machine))


if __name__ == "__main__":
    main()
