"""Debian packages of this checkout, in dist/deb/: `make deb`, or `make deb SUITE=bullseye`.

    python3 packaging/debian/build.py [SUITE]

Without a suite they are built for this machine's own Debian: on this machine if it has what that
takes, else in a root of that Debian (tests/matrix/root), as with a suite. The tree to build from is
laid out first: the files of the checkout, what has to be carried along for that suite, and debian/
with what differs between suites filled in. Its date is that of the last commit, so that the same
commit gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

CHECKOUT = Path(__file__).resolve().parents[2]
DEBIAN = CHECKOUT / "packaging/debian"
PINS = DEBIAN / "pins.txt"
RESULTS = CHECKOUT / "dist/deb"
BUILD = CHECKOUT / ".build"

#: What the packages are made of, beside packaging/debian.
SOURCES = (
    "plugin/domstats",
    "docs",
    "dashboards",
    "collectd.conf.d",
    "telegraf",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)

#: textual, and what it needs.
TOP = (
    "textual",
    "rich",
    "linkify-it-py",
    "markdown-it-py",
    "mdit-py-plugins",
    "mdurl",
    "platformdirs",
    "pygments",
    "typing-extensions",
    "uc-micro-py",
)
MSGSPEC, CLICK, RICH, TEXTUAL = (
    "python3-msgspec (>= 0.19)",
    "python3-click (>= 8)",
    "python3-rich (>= 12)",
    "python3-textual (>= 2)",
)
COMPILER = "python3-dev"
#: Who publishes packages has an address; the project has none.
MAINTAINER = "{} <{}>".format(
    os.environ.get("DEBFULLNAME", "The domstats authors"),
    os.environ.get("DEBEMAIL", "domstats@localhost.localdomain"),
)


class Suite(NamedTuple):
    """A release of Debian.

    :param mark: makes versions sort as the releases do.
    :param needs: packages of the distribution that domstats depends on, beside those of all suites.
    :param library: what is carried along for the library itself, which agents load.
    :param commands: what is carried along for the command.
    :param top: what is carried along for `domstats top`.
    """

    mark: str
    needs: tuple[str, ...]
    library: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    top: tuple[str, ...] = ()


SUITES = {
    "bullseye": Suite("~deb11u1", (), ("msgspec", "tomli"), ("click", "rich"), TOP),
    "bookworm": Suite("~deb12u1", (CLICK, RICH), ("msgspec",), (), TOP),
    "trixie": Suite("~deb13u1", (CLICK, RICH, MSGSPEC)),
    "sid": Suite("~sid1", (CLICK, RICH, MSGSPEC)),
}
#: Depended on in every suite.
NEEDS = ("python3-libvirt", "python3-lxml")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suite", nargs="?", choices=[*SUITES, ""], default="")
    parser.add_argument("--version", help="in place of the package's own")
    parser.add_argument("--twice", action="store_true", help="see that it gives the same bytes")
    parser.add_argument("--to", type=Path, default=RESULTS, help="the folder of the packages")
    wanted = parser.parse_args()
    name = wanted.suite or own_suite()
    folder = BUILD / "roots/out" / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="deb-") as work:
        trees = [lay_out(name, Path(work), wanted.version or own_version())]
        if wanted.twice:  # in another folder, which must not be seen either
            trees.append(Path(shutil.copytree(trees[0], Path(work) / "again" / trees[0].name)))
        build(trees, name, here=not wanted.suite and can_build(trees[0]))
        built = sorted(Path(work).glob("*.deb"))
        for package in built if wanted.twice else ():
            if package.read_bytes() != (Path(work) / "again" / package.name).read_bytes():
                fail(f"{package.name}: built twice, it is not the same both times")
        lint(built)
        wanted.to.mkdir(parents=True, exist_ok=True)
        for old in wanted.to.glob(f"*-1{SUITES[name].mark}_*.deb"):  # apt takes one version only
            old.unlink()
        for package in built:
            shutil.copy(package, wanted.to)
            digest = hashlib.sha256(package.read_bytes()).hexdigest()
            print(f"{wanted.to.resolve() / package.name}  {digest[:16]}")


def own_suite() -> str:
    """This machine's own release."""
    try:
        release = Path("/etc/os-release").read_text("utf-8")
    except OSError:
        release = ""
    found = re.search(r"^VERSION_CODENAME=(\w+)", release, re.M)
    name = found.group(1) if found else "sid"
    if "ID=debian" not in release.splitlines() or name not in SUITES:
        fail(f"this is none of Debian {', '.join(SUITES)}: name one, as in make deb SUITE=bookworm")
    return name


def own_version() -> str:
    text = (CHECKOUT / "plugin/domstats/__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"', text, re.M)
    assert found
    return found.group(1)


# --- The tree to build from ---------------------------------------------------------------------


def lay_out(name: str, folder: Path, version: str) -> Path:
    """Everything that the build takes, in one folder.

    :return: that folder.
    """
    suite = SUITES[name]
    tree = folder / f"domstats-{version}"
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    for source in SOURCES:
        place, target = CHECKOUT / source, tree / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.copytree(place, target, ignore=left_out)
        else:
            shutil.copy(place, target)
    shutil.copytree(DEBIAN, tree / "debian", ignore=left_out)
    control = (tree / "debian/control.in").read_text("utf-8")
    (tree / "debian/control.in").unlink()
    (tree / "debian/control").write_text(filled_in(control, suite), "utf-8")
    overrides = (tree / "debian/lintian-overrides").read_text("utf-8")
    (tree / "debian/lintian-overrides").unlink()
    for package in re.findall(r"^Package: (.+)", control, re.M):
        (tree / f"debian/{package}.lintian-overrides").write_text(overrides, "utf-8")
    (tree / "debian/changelog").write_text(changelog(suite, version), "utf-8")
    for part in ("library", "commands", "top"):
        bundle(getattr(suite, part), tree / "bundled" / part)
    for archive in [*tree.glob("bundled/library/msgspec-*.tar.gz")]:
        with tarfile.open(archive) as file:
            file.extractall(tree / "bundled")
        (tree / "bundled" / archive.name[: -len(".tar.gz")]).rename(tree / "bundled/msgspec")
        archive.unlink()
    return tree


def filled_in(control: str, suite: Suite) -> str:
    build_needs = [*suite.needs, *([COMPILER] if suite.library else ["python3"])]
    fields = {
        "ARCHITECTURE": "any\n" if suite.library else "all\n",
        "MAINTAINER": MAINTAINER + "\n",
        "NEEDS": listed([*NEEDS, *suite.needs]),
        "BUILD_NEEDS": listed(build_needs),
        "TOP_NEEDS": listed([] if suite.top else [TEXTUAL]),
    }
    for field, value in fields.items():
        control = control.replace(f"@{field}@\n", value)
    return control


def listed(packages: Iterable[str]) -> str:
    """Packages as the last lines of a field of debian/control."""
    return "".join(f" {package},\n" for package in packages)


def changelog(suite: Suite, version: str) -> str:
    """Debian's own; what users see is in CHANGELOG.md, which is in the package too."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(epoch()))
    return (
        f"domstats ({version}-1{suite.mark}) unstable; urgency=medium\n\n"
        f"  * Release {version}. What is new is in /usr/share/doc/domstats/changelog.gz.\n\n"
        f" -- {MAINTAINER}  {date}\n"
    )


def epoch() -> int:
    """When this checkout was committed; of one without git, when its changelog was written."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told:
        return int(told)
    words = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return (
        int(done.stdout)
        if done.returncode == 0
        else int((CHECKOUT / "CHANGELOG.md").stat().st_mtime)
    )


# --- What is carried along ----------------------------------------------------------------------


def bundle(names: Iterable[str], folder: Path) -> None:
    """Copy sources and wheels, by the hashes that they are to have."""
    names = [*names]
    if not names:
        return
    folder.mkdir(parents=True)
    kept = BUILD / "deb-sources"
    pins = dict(pinned())
    if not {*pins.values()} <= by_digest(kept).keys():
        fetch(kept)
    found = by_digest(kept)
    for name in names:
        shutil.copy(found[pins[name]], folder)


def pinned() -> Iterator[tuple[str, str]]:
    """Names and sha256 of what may be carried along."""
    for line in PINS.read_text("utf-8").splitlines():
        found = re.match(r"([\w-]+)==\S+ --hash=sha256:(\w+)$", line)
        if found:
            yield found.group(1), found.group(2)


def by_digest(folder: Path) -> dict[str, Path]:
    """The files of a folder by their sha256."""
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*")}


def fetch(folder: Path) -> None:
    words = "-m pip --quiet --disable-pip-version-check download --no-deps --require-hashes"
    pip = [sys.executable, *words.split(), "--no-binary", "msgspec", "-r", str(PINS)]
    if subprocess.run([*pip, "--dest", str(folder)], check=False).returncode:
        fail("pip could not fetch what the packages carry along (packaging/debian/pins.txt)")


# --- The build ----------------------------------------------------------------------------------


#: Nobody reads manuals there, and to make man's index of them takes longer than the build.
QUICKLY = "-o Dpkg::Options::=--path-exclude=/usr/share/man/* -o Dpkg::Options::=--force-unsafe-io"


def can_build(tree: Path) -> bool:
    """Whether this machine has what the build of a tree takes."""
    tools = ("dpkg-buildpackage", "dpkg-checkbuilddeps")
    if not all(map(shutil.which, tools)):
        return False
    return not subprocess.run(
        tools[1:], check=False, cwd=tree, stderr=subprocess.DEVNULL
    ).returncode


def build(trees: Sequence[Path], suite: str, here: bool) -> None:
    """Make packages of trees that are alike, beside each.

    :param here: on this machine, and not in the suite's root.
    """
    settings = {"DEB_BUILD_OPTIONS": "noautodbgsym nocheck", "LC_ALL": "C.UTF-8"}
    work = trees[0].parent
    folders = [str(tree.relative_to(work)) for tree in trees]
    script = (
        'for tree in "$@"; do (cd "$tree" && dpkg-buildpackage --build=binary --no-sign) || exit'
        " 1; done"
    )
    words = ["sh", "-c", script, "sh", *folders]
    if not here:
        script = (
            f'cd "/out/{work.name}" && export DEBIAN_FRONTEND=noninteractive && apt-get -q update'
            f' && (cd "$1" && apt-get -q -y --no-install-recommends {QUICKLY} build-dep ./) && '
        ) + script
        words = ["tests/matrix/root", suite, "sh", "-c", script, "sh", *folders]
    log = work / "build.log"
    with open(log, "wb") as file:
        done = subprocess.run(
            words,
            check=False,
            cwd=work if here else CHECKOUT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    if done.returncode:
        sys.stderr.write("".join(log.read_text("utf-8", "replace").splitlines(True)[-30:]))
        fail(f"the packages for {suite} could not be built, status {done.returncode}")


def lint(packages: Iterable[Path]) -> None:
    """What lintian says, where it is installed; its errors end the build."""
    if shutil.which("lintian") is None:
        print(
            "build: no lintian on this machine, so nothing is said of the packages' form",
            file=sys.stderr,
        )
        return
    words = ["lintian", "--allow-root", "--fail-on", "error"]
    if subprocess.run([*words, *map(str, packages)], check=False).returncode:
        fail("lintian finds errors")


def fail(text: str) -> NoReturn:
    sys.exit(f"build: {text}")


if __name__ == "__main__":
    main()
