"""What a user is told, with what to do, when a hypervisor cannot be reached or asked at all.

Pure: libvirt's own words and facts of the interpreter in, one line out. It must not know libvirt's
module, connections, or who asks.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import NamedTuple

from ..shown import one_line

#: Characters of the folders that an interpreter looks in, and of an import error's own words.
_MOST = 400

_MONITOR = "org.libvirt.unix.monitor"

#: A sign in libvirt's message, and the remedy to tell with it; the first sign found counts.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        "Unable to get system bus connection",
        "libvirtd asks polkit over D-Bus whether this user may monitor, and no D-Bus runs there, as"
        ' in most containers: start dbus and polkit, or set auth_unix_ro = "none" in its'
        " configuration (libvirtd.conf, virtqemud.conf), or run domstats as root",
    ),
    (
        "org.libvirt.unix.manage",
        "this is libvirt's socket for writing, and domstats only reads: leave the socket out of the"
        " URI, or name libvirt-sock-ro",
    ),
    (
        "access denied by policy",
        f"polkit does not let this user monitor: allow it the action {_MONITOR} in"
        " /etc/polkit-1/rules.d, or run domstats as root",
    ),
    (
        _MONITOR,
        f"polkit wants a password before this user may monitor: allow it the action {_MONITOR} in"
        " /etc/polkit-1/rules.d, or run domstats as root",
    ),
    (
        "Permission denied (",
        "ssh does not let this user in: it needs a key without a passphrase that the host accepts;"
        " try ssh to that host once, as the user that domstats runs as",
    ),
    (
        "Host key verification failed",
        "ssh does not know that host yet: try ssh to it once, as the user that domstats runs as, or"
        " set UserKnownHostsFile for it in ~/.ssh/config of that user",
    ),
    (
        "Permission denied",
        "this user may not open that socket. To read, libvirt-sock-ro is enough, which everybody"
        " may open unless its mode was changed (SocketMode of libvirtd-ro.socket under systemd,"
        " else unix_sock_ro_perms in libvirtd.conf): open it again, leave another socket out of the"
        " URI, or run domstats as root",
    ),
    (
        "authentication",
        "the server did not accept who asks: https://libvirt.org/auth.html tells how names,"
        " passwords (auth.conf) and certificates are set up",
    ),
    (
        "Failed to connect socket",
        "is libvirtd (or virtqemud) running? systemctl start libvirtd, or virtqemud.socket; in a"
        " container, its folder /run/libvirt must be mounted",
    ),
    ("Connection refused", "is libvirtd running there, and does it listen?"),
    (
        "CA certificate",
        "a URI with a host and no transport means TLS, which needs certificates on both hosts"
        " (https://libvirt.org/kbase/tlscerts.html); over ssh it is qemu+ssh://HOST/system",
    ),
    (
        "no connection driver",
        "libvirt there has no driver of the URI's name; see https://libvirt.org/uri.html",
    ),
    ("URI", "see https://libvirt.org/uri.html for the URI's form"),
)


def why_unreachable(uri: str, text: str) -> str:
    """Why a hypervisor cannot be reached, and what to do, as far as that is known.

    :param text: libvirt's message, in one line.
    """
    for sign, remedy in _REMEDIES:
        if sign in text:
            return f"{uri}: {text}: {remedy}"
    return f"{uri}: {text}"


def why_no_agents(uri: str, text: str) -> str:
    """Why guest agents cannot be asked, and what to do.

    :param text: libvirt's message, in one line.
    """
    return (
        f"{uri}: no guest agent can be asked: {text}: that needs a connection that is not"
        " read-only; let this user manage domains (polkit's org.libvirt.unix.manage, or the group"
        " libvirt: both are as much as root), leave libvirt-sock-ro out of the URI, or switch the"
        " guest agent off; everything else is sampled"
    )


class Interpreter(NamedTuple):
    """A Python, as it is known inside.

    :param program: the program that runs it (/proc/self/exe); empty if that is not known.
    :param executable: what it takes for its own program: within collectd, the first ``python3``
        in PATH, or nothing.
    :param prefix: where it has its libraries; of a virtual environment, that one's folder.
    :param base_prefix: where the interpreter was installed.
    :param path: the folders in which it looks for modules.
    """

    version: str
    program: str
    executable: str
    prefix: str
    base_prefix: str
    path: tuple[str, ...]


def this_interpreter() -> Interpreter:
    """The Python that runs this."""
    try:
        program = os.readlink("/proc/self/exe")
    except OSError:
        program = ""
    return Interpreter(
        version=platform.python_version(),
        program=program,
        executable=sys.executable or "",
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        path=tuple(sys.path),
    )


def why_no_libvirt(error: ImportError, python: Interpreter) -> str:
    """Why libvirt-python could not be imported, by which Python, and what to do.

    :param error: what the import raised.
    """
    who = _described(python)
    if error.name == "libvirt" and isinstance(error, ModuleNotFoundError):
        looked = one_line(", ".join(folder or "." for folder in python.path), _MOST)
        remedy = _installed(python)
        return f"libvirt-python is not installed for {who}: {remedy}; it looked in {looked}"
    own = one_line(str(error), _MOST)
    return (
        f"libvirt-python cannot be loaded by {who}: {own}: it was made for another Python or"
        f" another libvirt, or is damaged; install it again: {_installed(python)}"
    )


def _described(python: Interpreter) -> str:
    """Which Python it is, by what a user can see of it."""
    is_program = os.path.realpath(python.executable) == python.program
    if python.executable and (is_program or not python.program):
        return f"this Python ({python.executable}, version {python.version})"
    program = python.program or "this program"
    return f"the Python in {program} (version {python.version}, libraries in {python.prefix})"


def _installed(python: Interpreter) -> str:
    """How libvirt-python gets to where this Python looks."""
    if python.base_prefix == "/usr" and _sees_packages_of_the_system(python):
        return "apt install python3-libvirt, or dnf install python3-libvirt"
    return (
        f"{python.prefix}/bin/python3 -m pip install libvirt-python (which needs libvirt's headers,"
        " pkg-config and a C compiler)"
    )


def _sees_packages_of_the_system(python: Interpreter) -> bool:
    """Whether it is no virtual environment, or one that has the system's packages too."""
    return python.prefix == python.base_prefix or any(
        folder.endswith("-packages")
        and folder.startswith(f"{python.base_prefix}/")
        and not folder.startswith(f"{python.prefix}/")
        for folder in python.path
    )
