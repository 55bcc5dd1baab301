"""How the collectd that loaded us was started, as /proc tells it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from domstats.agents.collectd_daemon import Daemon, has_loaded, this_daemon

from tests.unit.rows import each_row


def started(folder: Path, words: Sequence[str], program: bytes = b"") -> Daemon:
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / "exe").write_bytes(program)
    return this_daemon(str(folder))


@each_row(
    ("words", "configuration", "tests"),
    [
        (["-C", "/etc/c.conf"], "/etc/c.conf", False),
        (["-f", "-C/etc/c.conf"], "/etc/c.conf", False),
        (["-fTCa.conf"], "a.conf", True),
        (["-t", "-C", "a.conf", "-C", "b.conf"], "b.conf", True),
        (["-P", "-T", "-C", "a.conf"], "a.conf", False),
        (["-f"], "/opt/collectd/etc/collectd.conf", False),
    ],
)
def test_the_configuration_file_is_the_one_of_the_command_line_or_the_compiled_in_one(
    tmp_path: Path, words: list[str], configuration: str, tests: bool
) -> None:
    program = b"\x7fELF\0Default: /etc/x.conf\0/opt/collectd/etc/collectd.conf\0/usr/lib\0"
    seen = started(tmp_path, ["/usr/sbin/collectd", *words], program)
    assert seen == Daemon(configuration, os.getcwd(), tests)


def test_a_program_that_is_no_collectd_says_nothing(tmp_path: Path) -> None:
    assert started(tmp_path, ["python3", "-m", "x"]).configuration == ""
    assert this_daemon(str(tmp_path / "none")) == Daemon()


def test_the_plugins_that_are_loaded_are_those_in_the_memory_map(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text(
        "7f0 r-xp 0 0:0 1 /usr/lib/collectd/virt.so\n7f1 r-xp 0 0:0 1 /usr/lib/libvirt.so\n"
    )
    assert has_loaded("virt", str(tmp_path))
    assert not has_loaded("cpu", str(tmp_path))
    assert not has_loaded("virt", str(tmp_path / "none"))
