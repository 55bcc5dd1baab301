"""The project's files as git knows them, its version, and how old what is made of it is."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DIST = CHECKOUT / "dist"


def version() -> str:
    """``domstats.__version__``, read without importing what the package needs."""
    text = (CHECKOUT / "plugin" / "domstats" / "__init__.py").read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise LookupError("domstats.__version__")


def tracked() -> list[str]:
    """Every file of the project: what git has, and what is new and not ignored."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted({name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()})


def epoch() -> int:
    """SOURCE_DATE_EPOCH, else when the last commit was made, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))


def copy_to(folder: Path) -> None:
    """The project's files, with modes and times that are the same on each machine."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, target)
        executable = os.access(CHECKOUT / name, os.X_OK)
        target.chmod(0o755 if executable else 0o644)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (epoch(), epoch()))


def required(*extras: str) -> list[str]:
    """What setup.cfg requires, with what these extras add, as requirements of pip's."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    texts = [setup["options"]["install_requires"]]
    texts += [setup["options.extras_require"][extra] for extra in extras]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(CHECKOUT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
