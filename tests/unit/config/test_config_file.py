"""A configuration that somebody names: which agent's it is, and what is sampled with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from domstats import collectd_plugin
from domstats.config import config_file
from domstats.config.collectd import MODULE
from domstats.config.pages import collectd_conf, telegraf_toml
from domstats.errors import ConfigError

from tests.unit.rows import each_row

PYTHON = f"""\
LoadPlugin python
<Plugin python>
  Import "{MODULE}"
{{}}
</Plugin>
"""


def written(folder: Path, text: str) -> str:
    path = folder / "configuration"
    path.write_text(text)
    return str(path)


def test_the_module_has_one_name() -> None:
    assert vars(config_file)["MODULE"] == vars(collectd_plugin)["MODULE"] == MODULE


@each_row(
    ("text", "toml"),
    [
        (telegraf_toml(), True),
        (collectd_conf(), False),
        ("", True),
        ("\ufeff# a comment\n\n[inputs]\n", True),
        ("inputs.libvirt = []", True),
        ('"inputs" = {}', True),
        ('Include "/etc/collectd/collectd.conf.d"\n', False),
        ("Interval 10\n", False),
        ("<Plugin python>\n", False),
    ],
)
def test_either_agents_configuration_is_known_by_its_first_line(text: str, toml: bool) -> None:
    assert config_file.is_toml(text.encode()) == toml


def test_the_ready_files_can_be_read(tmp_path: Path) -> None:
    for text in (telegraf_toml(), collectd_conf()):
        (settings,) = config_file.read(written(tmp_path, text)).settings
        assert settings.uri == "qemu:///system"


def test_blocks_in_included_files_count(tmp_path: Path) -> None:
    folder = tmp_path / "collectd.conf.d"
    folder.mkdir()
    block = f'<Module "{MODULE}">\nConnection "test:///default"\n</Module>'
    (folder / "domstats.conf").write_text(PYTHON.format(block))
    parsed = config_file.read(written(tmp_path, f'Interval 5\nInclude "{folder}"\n'))
    assert [each.uri for each in parsed.settings] == ["test:///default"]


def test_an_import_without_blocks_is_the_local_hypervisor(tmp_path: Path) -> None:
    (settings,) = config_file.read(written(tmp_path, PYTHON.format(""))).settings
    assert settings.uri == "qemu:///system"


def test_a_block_that_collectd_hands_to_nobody_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, PYTHON.format('<Module "domstats">\nInstances 1\n</Module>'))
    assert config_file.read(path).warnings == [
        f"{path}:4: collectd ignores <Module 'domstats'>: no Import has its name"
    ]


def test_a_configuration_without_the_module_says_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "LoadPlugin virt\n")
    with pytest.raises(ConfigError, match=r"has no Import 'domstats\.collectd_plugin'"):
        config_file.read(path)


def test_all_mistakes_of_all_blocks_come_with_their_place(tmp_path: Path) -> None:
    block = f'<Module "{MODULE}">\nInstances {{}}\nHost {{}}\n</Module>'
    path = written(tmp_path, PYTHON.format("\n".join([block.format(998, 1), block.format(999, 2)])))
    with pytest.raises(ConfigError) as caught:
        config_file.read(path)
    assert len(caught.value.mistakes) == 4
    assert [text.split(",")[0] for text in caught.value.mistakes] == [f"{path}:4"] * 2 + [
        f"{path}:8"
    ] * 2


def test_a_path_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="no such path"):
        config_file.read("a\0b")
    with pytest.raises(ConfigError, match="Is a directory"):
        config_file.read("/etc")
