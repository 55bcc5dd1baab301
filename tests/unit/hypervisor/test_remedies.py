"""What a user is told when a hypervisor cannot be reached, or libvirt-python is not there."""

from __future__ import annotations

from domstats.hypervisor.remedies import (
    Interpreter,
    this_interpreter,
    why_no_libvirt,
    why_unreachable,
)

from tests.unit.rows import each_row

URI = "qemu:///system"


@each_row(
    ("text", "remedy"),
    [
        # As libvirt 9.0 words them; each was provoked with a real libvirtd.
        (
            "internal error: Unable to get system bus connection: Could not connect: No such file"
            " or directory",
            'auth_unix_ro = "none"',
        ),
        (
            "Failed to connect socket to '/run/libvirt/libvirt-sock-ro': Permission denied",
            "unix_sock_ro_perms",
        ),
        (
            "authentication unavailable: no polkit agent available to authenticate action"
            " 'org.libvirt.unix.manage'",
            "libvirt-sock-ro",
        ),
        ("authentication failed: access denied by policy", "org.libvirt.unix.monitor"),
        ("authentication failed: authentication failed", "auth.conf"),
        (
            "Failed to connect socket to '/var/run/libvirt/libvirt-sock-ro': No such file or"
            " directory",
            "systemctl start libvirtd",
        ),
        (
            "unable to connect to server at '127.0.0.1:1': Connection refused",
            "does it listen",
        ),
        (
            "Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory",
            "qemu+ssh://HOST/system",
        ),
        ("no connection driver available for foo:///system", "uri.html"),
        ("internal error: unexpected qemu URI path '/nope', try qemu:///system", "uri.html"),
        # As ssh words them.
        (
            "Cannot recv data: root@host: Permission denied (publickey,password).: Connection"
            " reset by peer",
            "try ssh",
        ),
        ("Cannot recv data: Host key verification failed.: Connection reset by peer", "try ssh"),
    ],
)
def test_what_libvirt_says_is_told_with_what_to_do(text: str, remedy: str) -> None:
    told = why_unreachable(URI, text)
    assert told.startswith(f"{URI}: {text}: ")
    assert remedy in told


def test_nobody_who_only_reads_is_sent_into_a_group_that_may_do_everything() -> None:
    for text in ("Permission denied", "authentication failed", "access denied by policy"):
        assert "group" not in why_unreachable(URI, text)


def test_what_nobody_knows_a_remedy_for_is_told_as_it_is() -> None:
    assert why_unreachable(URI, "the moon is full") == f"{URI}: the moon is full"


SYSTEM = Interpreter(
    version="3.11.2",
    program="/usr/bin/python3.11",
    executable="/usr/bin/python3.11",
    prefix="/usr",
    base_prefix="/usr",
    path=("/usr/lib/python3.11", "/usr/lib/python3/dist-packages"),
)
ABSENT = ModuleNotFoundError("No module named 'libvirt'", name="libvirt")


def test_without_libvirt_python_it_is_told_which_python_looked_where() -> None:
    told = why_no_libvirt(ABSENT, SYSTEM)
    assert "/usr/bin/python3.11" in told
    assert "3.11.2" in told
    assert "/usr/lib/python3.11, /usr/lib/python3/dist-packages" in told
    assert "apt install python3-libvirt" in told
    assert "pip" not in told


@each_row("executable", ["/home/me/.pyenv/shims/python3", ""])
def test_the_python_in_another_program_is_named_by_that_one(executable: str) -> None:
    """Within collectd ``sys.executable`` is whatever ``python3`` comes first in PATH."""
    told = why_no_libvirt(
        ABSENT, SYSTEM._replace(program="/usr/sbin/collectd", executable=executable)
    )
    assert "the Python in /usr/sbin/collectd (version 3.11.2, libraries in /usr)" in told
    assert "pyenv" not in told


def test_a_virtual_environment_needs_a_libvirt_python_of_its_own() -> None:
    alone = SYSTEM._replace(
        prefix="/opt/env", path=("/usr/lib/python3.11", "/opt/env/lib/python3.11/site-packages")
    )
    told = why_no_libvirt(ABSENT, alone)
    assert "/opt/env/bin/python3 -m pip install libvirt-python" in told
    assert "apt" not in told


def test_a_virtual_environment_with_the_systems_packages_needs_the_systems() -> None:
    sharing = SYSTEM._replace(
        prefix="/usr/local/env",
        path=("/usr/local/env/lib/python3.11/site-packages", "/usr/lib/python3/dist-packages"),
    )
    assert "apt install python3-libvirt" in why_no_libvirt(ABSENT, sharing)


def test_a_python_of_ones_own_is_not_served_by_the_distributions_package() -> None:
    own = SYSTEM._replace(prefix="/opt/python", base_prefix="/opt/python")
    assert "/opt/python/bin/python3 -m pip install" in why_no_libvirt(ABSENT, own)


@each_row(
    "error",
    [
        ImportError("/x/libvirtmod.so: undefined symbol: virFoo", name="libvirtmod"),
        ModuleNotFoundError("No module named 'libvirtmod'", name="libvirtmod"),
    ],
)
def test_a_libvirt_python_that_cannot_be_loaded_speaks_for_itself(error: ImportError) -> None:
    told = why_no_libvirt(error, SYSTEM)
    assert str(error) in told
    assert "not installed" not in told
    assert "install it again" in told


def test_a_path_of_any_length_and_content_is_one_line_that_keeps_the_remedy() -> None:
    told = why_no_libvirt(ABSENT, SYSTEM._replace(path=tuple(f"/a\n{n}" for n in range(1000))))
    assert "\n" not in told
    assert len(told) < 900
    assert "apt install" in told


def test_this_python_is_known() -> None:
    assert this_interpreter().program.startswith("/")
    assert "the Python in" not in why_no_libvirt(ABSENT, this_interpreter())
