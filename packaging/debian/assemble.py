"""Puts into debian/PACKAGE what each package has. Run by debian/rules, with the suite's own Python.

What a distribution does not have is carried along, so that nothing else finds it:

* msgspec, and tomli for it, as a package inside ours, ``domstats._bundled``. Agents load them, and
  in collectd's interpreter other plugins may have a msgspec of their own: both then run beside each
  other, since they have different names.
* what only the command uses (click, rich, textual), in a folder that only the command looks into.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

#: The program, and where it finds what is carried along for it.
COMMAND = '''\
#!/usr/bin/python3 -I
"""The command domstats."""

import sys

{paths}from domstats.cli.main import main

main()
'''
LIBRARY = "usr/lib/python3/dist-packages/domstats"
#: Ours, and what it replaces.
OURS = "domstats._bundled"
ON_AND_OFF = """\
## Switched on by `domstats enable {agent}`, off by `domstats disable {agent}`. Change this file;
## the one without .available is a link to it.
"""


def main() -> None:
    library = place("domstats", LIBRARY)
    shutil.copytree("plugin/domstats", library)
    if Path("bundled/msgspec").is_dir():
        bundle(library)
    unpacked = [unpack(*each) for each in (("commands", "domstats"), ("top", "domstats-top"))]
    command = place("domstats", "usr/bin/domstats")
    paths = [
        f'sys.path[:0] = ["/usr/lib/{package}"]{condition}'
        for there, package, condition in zip(
            unpacked, ("domstats", "domstats-top"), ("", ' if sys.argv[1:2] == ["top"] else []')
        )
        if there
    ]
    command.write_text(COMMAND.format(paths="".join(f"{line}\n" for line in [*paths, ""] if paths)))
    command.chmod(0o755)
    configurations()
    completions(command)
    shutil.copytree("dashboards", place("domstats", "usr/share/domstats/dashboards"))


def place(package: str, path: str) -> Path:
    """A path in a package, with its folder."""
    found = Path("debian", package, path)
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


# --- What is carried along ----------------------------------------------------------------------


def bundle(library: Path) -> None:
    """Carry msgspec along inside ours, and have ours import it there."""
    bundled = library / "_bundled"
    shutil.copytree("bundled/msgspec/src/msgspec", bundled / "msgspec")
    (bundled / "__init__.py").write_text('"""What the distribution does not have."""\n')
    for path in bundled.glob("msgspec/*.py"):
        renamed(path)
    for wheel in Path("bundled/library").glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(
                bundled, [each for each in file.namelist() if ".dist-info/" not in each]
            )
    compile_core(bundled / "msgspec")
    for path in library.rglob("*.py"):
        if bundled not in path.parents:
            renamed(path)


def renamed(path: Path) -> None:
    """Have a file import what is carried along in place of what it is made of."""
    text = path.read_text("utf-8")
    text = re.sub(
        r"^( *)import (msgspec|tomli)\b(?!\.)", rf"\1from {OURS} import \2", text, flags=re.M
    )
    text = re.sub(r"^( *)from (msgspec|tomli)\b", rf"\1from {OURS}.\2", text, flags=re.M)
    left = re.search(r"^ *import msgspec.*", text, flags=re.M)
    if left:
        sys.exit(f"{path}: {left.group()!r} cannot be renamed; write it as from msgspec import …")
    path.write_text(text, "utf-8")


def compile_core(folder: Path) -> None:
    """msgspec's part in C, under its new name."""
    text = (folder / "_core.c").read_text("utf-8")
    text, found = re.subn(
        r'((?:tp_name|m_name) = |PyImport_ImportModule\(|^ *)"msgspec\b(?=[."])',
        rf'\1"{OURS}.msgspec',
        text,
        flags=re.M,
    )
    text, in_struct = re.subn(r'("__module__", )"msgspec"', rf'\1"{OURS}.msgspec"', text)
    if found < 30 or in_struct != 1:
        sys.exit("msgspec/_core.c names itself in another way than it did")
    (folder / "_core.c").write_text(text, "utf-8")
    suffix = said("python3-config", "--extension-suffix")
    flags = " ".join(os.environ.get(name, "") for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS"))
    words = [
        "gcc",
        "-shared",
        "-fPIC",
        *shlex.split(flags),
        *shlex.split(said("python3-config", "--includes")),
    ]
    subprocess.run([*words, "-o", folder / f"_core{suffix}", folder / "_core.c"], check=True)
    for path in [*folder.glob("*.c"), *folder.glob("*.h"), *folder.glob("*.pyi")]:
        path.unlink()


def unpack(bundle: str, package: str) -> bool:
    """Carry wheels along in a folder of a package's own.

    :return: whether there are any.
    """
    wheels = sorted(Path("bundled", bundle).glob("*.whl"))
    for wheel in wheels:
        folder = place(package, f"usr/lib/{package}/x").parent
        with zipfile.ZipFile(wheel) as file:
            wanted = [
                each
                for each in file.namelist()
                if ".dist-info/" not in each or each.endswith("/METADATA")
            ]
            file.extractall(folder, [each for each in wanted if not each.endswith("LICENSE")])
        for path in folder.rglob("*.py"):  # none of them is started by its name
            text = path.read_bytes()
            if text.startswith(b"#!"):
                path.write_bytes(text.partition(b"\n")[2])
    return bool(wheels)


def said(*words: str) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


# --- What goes with the command -----------------------------------------------------------------


def configurations() -> None:
    """Both agents' files. What switches domstats on has a name that the agent passes over."""
    for agent, source, target in (
        (
            "collectd",
            "collectd.conf.d/domstats.conf",
            "collectd/collectd.conf.d/domstats.conf.available",
        ),
        ("telegraf", "telegraf/domstats.conf", "telegraf/telegraf.d/domstats.conf.available"),
    ):
        text = Path(source).read_text("utf-8").replace('["domstats", ', '["/usr/bin/domstats", ')
        head = ON_AND_OFF.format(agent=agent)
        place(f"{agent}-domstats", f"etc/{target}").write_text(head + text, "utf-8")
    shutil.copy("telegraf/domstats.toml", place("telegraf-domstats", "etc/telegraf/domstats.toml"))


def completions(command: Path) -> None:
    """What the command prints for each shell; it shows that what was put together runs, too."""
    for shell, path in (
        ("bash", "bash-completion/completions/domstats"),
        ("zsh", "zsh/vendor-completions/_domstats"),
        ("fish", "fish/vendor_completions.d/domstats.fish"),
    ):
        folders = [
            str(Path("debian/domstats", each).resolve())
            for each in ("usr/lib/domstats", LIBRARY + "/..")
        ]
        done = subprocess.run(
            [sys.executable, "-B", "-c", "from domstats.cli.main import main; main()"],
            env={
                **os.environ,
                "PYTHONPATH": ":".join(folders),
                "_DOMSTATS_COMPLETE": f"{shell}_source",
            },
            check=True,
            stdout=subprocess.PIPE,
        )
        place("domstats", f"usr/share/{path}").write_bytes(done.stdout)


if __name__ == "__main__":
    main()
