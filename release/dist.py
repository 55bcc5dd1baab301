"""``make dist``: the wheel and the source distribution, twice the same bytes of the same commit.

The source distribution is what git has, with the metadata that pip looks for: setuptools would
leave out what is no part of the package, and the RPM packages are made from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .archive import gzipped, tar_bytes
from .sources import DIST, copy_to, epoch, version

#: In a process of its own: setuptools works in the folder it is in, and keeps much to itself.
_BUILD = """\
import os, sys
os.umask(0o022)
from setuptools import build_meta
build_meta.{step}(sys.argv[1])
"""


def wheel_name() -> str:
    return f"domstats-{version()}-py3-none-any.whl"


def sdist_name() -> str:
    return f"domstats-{version()}.tar.gz"


def build(target: Path) -> tuple[Path, Path]:
    """Make both files.

    :return: their paths: the wheel, the source distribution.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        sources = Path(temporary, f"domstats-{version()}")
        copy_to(sources)
        metadata = _pkg_info(sources, Path(temporary, "info"))
        _setuptools("build_wheel", sources, target)
        with tempfile.TemporaryDirectory() as clean:  # the wheel has left its traces in the other
            copy_to(Path(clean))
            Path(clean, "PKG-INFO").write_bytes(metadata)
            content = tar_bytes(Path(clean), f"domstats-{version()}", epoch())
    sdist = target / sdist_name()
    sdist.write_bytes(gzipped(content))
    return target / wheel_name(), sdist


def _pkg_info(sources: Path, target: Path) -> bytes:
    target.mkdir()
    _setuptools("prepare_metadata_for_build_wheel", sources, target)
    (found,) = target.glob("*.dist-info/METADATA")
    return found.read_bytes()


def _setuptools(step: str, sources: Path, target: Path) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", _BUILD.format(step=step), str(target.resolve())]
    done = subprocess.run(
        command, cwd=sources, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"setuptools failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    for path in build(DIST):
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
