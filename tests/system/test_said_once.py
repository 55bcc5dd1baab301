"""What is said once, with what to do: by real agents, of real libvirtds, to real users."""

import os
import subprocess
from typing import Any, Callable

from tests.system.configurations import DOMSTATS, ROOT


def by_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user without any rights runs it."""
    return subprocess.run(
        ["setpriv", "--reuid=nobody", "--clear-groups", *DOMSTATS, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugin")},
    )


def test_polkit_that_cannot_be_asked_is_told_with_what_to_do(new_bed: Callable[..., Any]) -> None:
    with new_bed(authentication="polkit") as bed:
        sockets = bed.folder / "sockets"
        bed.folder.chmod(0o711)
        uri = f"qemu+unix:///system?socket={sockets}/libvirt-sock-ro"
        ended = by_nobody("sample", "--connect", uri)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "Unable to get system bus connection" in line
    assert "start dbus and polkit" in line


def test_a_user_without_any_rights_may_sample(bed: Any) -> None:
    """As the remedies say: whoever only reads needs no group, and no socket but this one."""
    bed.folder.chmod(0o711)
    try:
        uri = f"qemu+unix:///system?socket={bed.folder}/sockets/libvirt-sock-ro"
        ended = by_nobody("sample", "--connect", uri)
    finally:
        bed.folder.chmod(0o700)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(guest.name in ended.stdout for guest in bed.guests)
