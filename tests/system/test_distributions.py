"""What `make dist`, `make bundle` and `make rpm` make: the same bytes each time, and it works where
it is installed, without a network.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple, NoReturn

import pytest

from release import bundle, dist, rpm
from release.sources import tracked, version
from tests.system.agents.collectd_agent import TYPES
from tests.system.configurations import ROOT
from tests.system.waiting import wait_for

PYTHON = "{}.{}".format(*sys.version_info)
#: What a shell of root's has: nothing of the environment that the tests run in.
PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
COLLECTD = """\
Hostname "host"
Interval 1
BaseDir "{folder}"
TypesDB "{types}"
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
Include "{folder}/domstats.conf"
"""


class Made(NamedTuple):
    wheel: Path
    sdist: Path
    bundle: Path


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that an ordinary user may look into, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    """All of it, of this checkout, for this Python and machine."""
    wheel, sdist = dist.build(folder / "dist")
    return Made(wheel, sdist, bundle.build(folder / "dist", wheel, PYTHON, platform.machine()))


def without_network(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # type: ignore[call-overload]
        ["unshare", "--net", "--", *map(str, command)],
        **{
            "env": PLAIN,
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "stdin": None if "input" in options else subprocess.DEVNULL,
            **options,
        },
    )
    assert isinstance(done, subprocess.CompletedProcess)
    return done


@pytest.fixture(scope="module")
def installed(root: None, made: Made, folder: Path) -> Path:
    """The bundle, installed by its README's two commands, in a folder with a blank in its name."""
    subprocess.run(["tar", "xf", made.bundle], cwd=folder, check=True)
    target = folder / "o p t" / "domstats"
    done = without_network(folder / f"domstats-{version()}" / "install", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"domstats, version {version()}\n")
    return target


# --- Wheel and source distribution --------------------------------------------------------------


def test_wheel_and_source_distribution_are_the_same_bytes_each_time(
    made: Made, tmp_path: Path
) -> None:
    before = os.umask(0o077)  # whoever makes them, and wherever
    try:
        again = dist.build(tmp_path / "again")
    finally:
        os.umask(before)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made[:2]]


def test_the_source_distribution_has_what_git_has_and_the_wheel_the_package(made: Made) -> None:
    with tarfile.open(made.sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert files == {*tracked(), "PKG-INFO"}
    with zipfile.ZipFile(made.wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    name = f"domstats-{version()}"
    assert tops == {"domstats", f"{name}.dist-info", f"{name}.data"}


# --- The bundle ---------------------------------------------------------------------------------


def test_the_bundle_has_a_bill_of_materials_with_the_hash_of_each_wheel(made: Made) -> None:
    with tarfile.open(made.bundle) as archive:
        content = {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    document = json.loads(content["sbom.cdx.json"])
    listed = [document["metadata"]["component"], *document["components"]]
    hashes = {each["hashes"][0]["content"] for each in listed if "hashes" in each}
    wheels = {name: data for name, data in content.items() if name.endswith(".whl")}
    assert hashes == {hashlib.sha256(data).hexdigest() for data in wheels.values()}
    assert all(each["licenses"] for each in listed)
    assert "unknown" not in {each["licenses"][0].get("license", {}).get("name") for each in listed}
    assert [each["name"] for each in listed if "hashes" not in each] == ["libvirt-python"]


def test_a_bundle_samples_where_there_is_no_network(installed: Path) -> None:
    sampled = without_network(
        installed / "bin" / "domstats", "sample", "--connect", "test:///default"
    )
    assert "test:///default" in sampled.stdout, sampled.stderr
    known = without_network("man", installed / "share/man/man1/domstats.1")
    assert known.returncode == 0 or shutil.which("man") is None, known.stderr


def test_telegrafs_child_runs_out_of_a_bundle_as_an_ordinary_user(
    installed: Path, folder: Path
) -> None:
    options = folder / "domstats.toml"
    options.write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\nlabels = ["title"]\n')
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
    child = without_network(
        *nobody, installed / "bin" / "domstats", "telegraf", "--config", options, input="\n"
    )
    assert "\nlibvirt_block," in child.stdout, child.stderr
    assert "domstats_round,connected" in child.stdout or "domstats_round," in child.stdout


def test_collectd_loads_a_bundle_where_there_is_no_network(
    installed: Path, folder: Path, missing: Callable[[str, str], NoReturn]
) -> None:
    daemon = shutil.which("collectd", path=PLAIN["PATH"])
    if daemon is None:
        missing("collectd", "as root, tests/system/install test")
    printed = without_network(installed / "bin" / "domstats", "config", "collectd").stdout
    text = printed.replace('Connection "qemu:///system"', 'Connection "test:///default"')
    (folder / "domstats.conf").write_text(text)
    conf = folder / "collectd.conf"
    conf.write_text(COLLECTD.format(folder=folder, types=TYPES))
    process = subprocess.Popen(
        ["unshare", "--net", "--", daemon, "-f", "-C", str(conf)],
        env=PLAIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for("CPU time in files", lambda: [*(folder / "csv").rglob("virt/virt_cpu_total*")])
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert "test:///default: domstats" in said, said


def test_a_newer_bundle_takes_the_place_of_an_older_one_and_only_if_it_works(
    installed: Path, folder: Path, made: Made
) -> None:
    install = folder / f"domstats-{version()}" / "install"
    again = without_network(install, installed)
    assert again.returncode == 0, again.stderr
    assert f"is installed in {installed} already" in again.stdout
    assert not list(installed.parent.glob("*.old"))

    damaged = folder / "damaged"
    shutil.copytree(install.parent, damaged, dirs_exist_ok=True)
    (wheel,) = damaged.glob("wheels/click-*.whl")
    wheel.unlink()
    refused = without_network(damaged / "install", installed)
    assert refused.returncode == 1
    assert "the bundle is damaged" in refused.stderr

    sums = damaged / "SHA256SUMS"
    sums.write_text(re.sub(r".*wheels/click-.*\n", "", sums.read_text()))
    failed = without_network(damaged / "install", installed)
    assert failed.returncode == 1
    assert f"{installed} is as it was" in failed.stderr
    assert without_network(installed / "bin" / "domstats", "--version").returncode == 0


def test_a_bundle_says_why_it_cannot_be_installed_here(installed: Path, folder: Path) -> None:
    install = folder / f"domstats-{version()}" / "install"
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    no_libvirt = without_network(install, folder / "x", env={**PLAIN, "PYTHON": str(python)})
    assert "apt install python3-libvirt, or dnf install python3-libvirt" in no_libvirt.stderr
    python.write_text("#!/bin/sh\necho 3.6\n")
    other = without_network(install, folder / "x", env={**PLAIN, "PYTHON": str(python)})
    assert f"this bundle is for Python {PYTHON}, and {python} is Python 3.6" in other.stderr
    elsewhere = without_network(install, "/etc")
    assert "/etc is there, and is no installation of domstats" in elsewhere.stderr
    assert [done.returncode for done in (no_libvirt, other, elsewhere)] == [1, 1, 1]


# --- The play -----------------------------------------------------------------------------------


def test_the_play_switches_off_again_what_the_agent_does_not_start_with(
    made: Made, folder: Path, root: None, missing: Callable[[str, str], NoReturn]
) -> None:
    if shutil.which("ansible-playbook", path=PLAIN["PATH"]) is None:
        missing("ansible-playbook", "as root, tests/system/install test")
    etc = folder / "etc"
    (etc / "telegraf.d").mkdir(parents=True)
    (etc / "domstats.toml").write_text('[[inputs.libvirt]]\nlibvirt_uri = "test:///default"\n')
    restart = folder / "restart"  # an agent that does not start with it, only without
    switch = etc / "telegraf.d" / "domstats.conf"
    restart.write_text(f"#!/bin/sh\n[ ! -e {switch} ] || ! cp {switch} {folder}/started-with\n")
    restart.chmod(0o755)
    variables = {
        "bundle": made.bundle,
        "folder": folder / "opt",
        "etc": etc,
        "user": "nobody",
        "restart": restart,
        "staging": folder,
    }
    done = subprocess.run(
        ["ansible-playbook", "--inventory", "localhost,", "--connection", "local",
         "--extra-vars", json.dumps({name: str(value) for name, value in variables.items()}),
         ROOT / "packaging" / "ansible" / "domstats.yml"],
        env={**PLAIN, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert "It works, with" in done.stdout, done.stdout + done.stderr
    assert "it is switched off again" in done.stdout, done.stdout
    assert f"{folder}/opt/bin/domstats" in (folder / "started-with").read_text()
    assert not switch.exists()


# --- RPM packages -------------------------------------------------------------------------------


def test_rpm_packages_have_what_rhel_wants_where_it_wants_it(
    made: Made, folder: Path, missing: Callable[[str, str], NoReturn]
) -> None:
    """The spec runs its own check too: a round with what is in the build root."""
    if shutil.which("rpmbuild") is None:
        missing("rpmbuild", "as root, tests/system/install test")
    wanted = rpm.Wanted(PYTHON, platform.machine(), ".test")
    built = rpm.build(folder / "rpm", made.sdist, made.bundle, wanted)
    named = {path.name.replace(f"-{version()}-1.test", ""): path for path in built}
    machine = platform.machine()
    assert set(named) == {
        "domstats.src.rpm",
        *(f"{name}.{machine}.rpm" for name in
          ("domstats", "collectd-domstats", "telegraf-domstats", "domstats-top")),
    }  # fmt: skip

    def query(name: str, what: str) -> list[str]:
        command = ["rpm", "-qp", what, str(named[f"{name}.{machine}.rpm"])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    files = query("domstats", "--list")
    sitelib, private = f"/usr/lib/python{PYTHON}/site-packages", "/usr/lib64/domstats"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for path in (
        "/usr/bin/domstats",
        "/usr/share/man/man1/domstats.1",
        f"{sitelib}/domstats/collectd_plugin.py",
        f"{private}/library/msgspec/_core{suffix}",
        f"{private}/command/click/__init__.py",
    ):
        assert path in files
    outside = ("/usr/bin", "/usr/share/", sitelib, private)
    assert [path for path in files if not path.startswith(outside)] == []
    assert not [path for path in files if path.startswith(f"{private}/library/lxml")]
    requires = query("domstats", "--requires")
    assert {"python3-libvirt", "python3-lxml", f"python(abi) = {PYTHON}"} <= set(requires)
    assert not [each for each in requires if "dist(" in each]
    assert query("collectd-domstats", "--list") == ["/etc/domstats", "/etc/domstats/collectd.conf"]
    assert "collectd-python" in query("collectd-domstats", "--requires")
    assert "/etc/telegraf/domstats.toml" in query("telegraf-domstats", "--list")
    assert f"{private}/top/textual/app.py" in query("domstats-top", "--list")
