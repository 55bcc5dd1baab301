"""``make pins``: which versions the tests use and the bundle has, for each Python from 3.9 on.

    constraints.txt                     all that the tests use; given to pip with --constraint
    packaging/bundle/requirements.txt   what the bundle has, with the hashes of the files

Both come from what setup.cfg requires, each with the newest versions that there are. uv resolves,
as it does so for all versions of Python at once: pip does for the one that runs it.
libvirt-python is in neither: it has to fit the libvirt of the system, and comes with it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from .sources import CHECKOUT, required

OLDEST_PYTHON = "3.9"
CONSTRAINTS = CHECKOUT / "constraints.txt"
BUNDLED = CHECKOUT / "packaging" / "bundle" / "requirements.txt"
#: Packages that are not pinned: the distribution's own are used.
SYSTEMS = {"libvirt-python"}
HEAD = "# {what}\n# Made by `make pins`; not to be edited.\n"


def main(uv: str) -> None:
    tests = _resolved(uv, _names(required("test", "top")))
    head = HEAD.format(what="What the tests use, for each Python.")
    CONSTRAINTS.write_text(head + tests, "utf-8")
    bundled = _resolved(
        uv,
        _names(required("top")),
        ["--generate-hashes", "--constraint", str(CONSTRAINTS), "--only-binary", ":all:"],
    )
    BUNDLED.parent.mkdir(parents=True, exist_ok=True)
    BUNDLED.write_text(HEAD.format(what="What the bundle has, for each Python.") + bundled, "utf-8")


def _names(requirements: list[str]) -> list[str]:
    return [each for each in requirements if not each.startswith(tuple(SYSTEMS))]


def _resolved(uv: str, requirements: list[str], options: list[str] | tuple[()] = ()) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".in") as wanted:
        wanted.write("\n".join(requirements) + "\n")
        wanted.flush()
        command = [uv, "pip", "compile", "--quiet", "--universal", "--no-header", "--no-annotate"]
        command += ["--python-version", OLDEST_PYTHON, *options, wanted.name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # uv has said why
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1])
