"""What is sent of guest agents' answers."""

from __future__ import annotations

from domstats.model import FileSystem, GuestAgent
from domstats.output.guest_agents import lines_of, notices_of, value_lists_of


def agent(*filesystems: FileSystem, responsive: bool = True, left_out: int = 0) -> GuestAgent:
    return GuestAgent(
        "u", "web", 1, responsive, filesystems=filesystems, left_out=left_out, users=70_000
    )


def mounted(mountpoint: str, total: int | None = 1000, used: int | None = 250) -> FileSystem:
    return FileSystem("vda1", mountpoint, "ext4", ("vda", "vdb"), total, used)


def test_an_agent_that_does_not_answer_is_all_that_is_known() -> None:
    (line,) = lines_of(agent(responsive=False))
    assert line.values == {"responsive": False}
    assert list(value_lists_of(agent(responsive=False))) == [("bool", "guest_agent", 0.0)]


def test_a_file_system_has_a_line_and_three_value_lists() -> None:
    _, line = lines_of(agent(mounted("/var/log")))
    assert line.tags == {
        "mountpoint": "/var/log",
        "fstype": "ext4",
        "device": "vda,vdb",
        "guest_device": "vda1",
    }
    assert [row.field for row in line.fields] == [
        "mounted",
        "total_bytes",
        "used_bytes",
        "used_percent",
    ]
    assert list(value_lists_of(agent(mounted("/var/log"), mounted("/")))) == [
        ("bool", "guest_agent", 1.0),
        ("users", "guest", 65535.0),
        ("df_complex", "used-var_log", 250.0),
        ("df_complex", "free-var_log", 750.0),
        ("percent_bytes", "used-var_log", 25.0),
        ("df_complex", "used-root", 250.0),
        ("df_complex", "free-root", 750.0),
        ("percent_bytes", "used-root", 25.0),
    ]


def test_one_without_a_size_is_mounted_all_the_same() -> None:
    _, line = lines_of(agent(mounted("/", None, None)))
    assert [row.field for row in line.fields] == ["mounted"]
    assert len(list(value_lists_of(agent(mounted("/", None, None))))) == 2
    _, empty = lines_of(agent(mounted("/", 0, 0)))
    assert "used_percent" not in empty.values


def test_no_two_mount_points_are_the_same_value_list() -> None:
    paths = ("/", "/root", "root", "/a/b", "/a_b", "/" + "x" * 200, "/" + "x" * 201)
    names = [(kind, name) for kind, name, _ in value_lists_of(agent(*map(mounted, paths)))]
    assert len(names) == len(set(names)) == 2 + 3 * len(paths)


def test_of_file_systems_mounted_over_one_another_the_upper_one_is_seen() -> None:
    lines = list(lines_of(agent(mounted("/mnt", 10, 1), mounted("/mnt", 20, 2), left_out=3)))
    assert [line.values.get("total_bytes") for line in lines] == [None, 20]
    assert lines[0].values["filesystems"] == 4
    assert len(list(notices_of(agent(mounted("/mnt"), mounted("/mnt"))))) == 2


def test_what_goes_with_a_notification_is_on_one_line_each() -> None:
    hostile = FileSystem("a\nb", "/x\r\n\x1b[0m", "e\x00\u2028", ("vda",))
    (meta,) = notices_of(agent(hostile))
    assert meta == (
        ("mountpoint", "/x   [0m"),
        ("name", "a b"),
        ("fstype", "e  "),
        ("ndevAlias", 1),
        ("devAlias", "vda"),
    )
