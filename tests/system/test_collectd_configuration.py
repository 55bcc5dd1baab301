"""What a real collectd makes of a configuration, and what its operator hears of mistakes in it.

libvirt's own test driver is enough here: no guest is needed.
"""

import ast
import random
import re
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
from domstats.config.collectd_conf import Node, parse
from domstats.errors import ConfigError

from tests.system.agents import Collectd
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.waiting import wait_for

MODULE = "domstats.collectd_plugin"
TEST = 'Connection "test:///default"'

#: A Python plugin that logs what collectd hands to it.
SHOW = """\
import collectd

def tree(node):
    return node.key, node.values, tuple(map(tree, node.children))

collectd.register_config(lambda config: collectd.info(f"TREE {tree(config)!a}"))
"""

#: What the reader of the configuration and collectd must agree about, whether or not it is wise.
SNIPPETS = (
    "x 1 010 0x1F 1.5 .5 -3 +4 1.5e+3 1e5 10s",
    "x true True yes no off offer on",
    "x 10.0.0.1 10.0.0.1:25826 256.1.1.1 ::1 fe80::1:2 [::1]:80 1:2:3:4:5:6:7:8 abcd: 1.2.3",
    'x "a\\"b\\\\c\\n" "" "#" a#b',
    "x = 'foo' a.b 1.5s ; 7",
    'x "one \\\n    two" \\\n three',
    'x "one\ntwo"',
    'x "a\\\n "\ny "c"',
    "x 1 # \\\ny 2",
    'x "a\\\r\n  b" \r\ny 2\r',
    'x "caf\u00e9" caf\u00e9',
    "<a>\n</a>\n<b 1>\n</b>\n<c>\n d 1\n <e 'f'>\n  g 2\n </e>\n</c>",
    'x "begun',
)
#: What collectd does not take.
REFUSED = ("x", "x /opt", "true 1", "<a 1>\nb 2\n</A>", "x 1 >", "<a 1> b 2\n</a>", "</a>")
#: Characters of which files are made at random.
LETTERS = 'aab0011..::-+""\\\\#  \n\t\r='
RANDOM_FILES = 40


def shape(node: Node) -> Any:
    return node.key, node.values, tuple(map(shape, node.children))


def errors(collectd: Any) -> list[str]:
    return [line for line in collectd.log.splitlines() if "domstats: " in line and "[err" in line]


def ours(collectd: Any) -> list[str]:
    return [line for line in collectd.log.splitlines() if "] domstats: " in line]


@pytest.fixture
def handed(start: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """``handed(text)`` is what collectd hands over of a block with that text; None if it fails."""
    (tmp_path / "show.py").write_text(SHOW)
    runs = iter(range(10_000))

    def handed(text: str) -> Any:
        plugin = (
            f'LoadPlugin python\n<Plugin python>\nModulePath "{tmp_path}"\nImport show\n'
            f"<Module show>\n{text}\n</Module>\n</Plugin>\n"
        )
        collectd = start(Collectd, plugin, 1.0, "-T", name=f"run-{next(runs)}")
        if collectd.process.wait(60) != 0:
            return None
        seen = re.search("TREE (.*)", collectd.log)
        return ast.literal_eval(seen.group(1)) if seen else ()

    return handed


def read(text: str) -> Any:
    """What our reader has of the same block."""
    try:
        (node,) = parse(f"<Module show>\n{text}\n</Module>\n".encode(), "x.conf")
    except ConfigError:
        return None
    return shape(node)


def test_the_reader_of_the_configuration_has_what_collectd_has(
    handed: Callable[[str], Any],
) -> None:
    for text in SNIPPETS:
        assert handed(text) is not None, text
        assert read(text) == handed(text), text
    for text in REFUSED:
        assert read(text) is handed(text) is None, text


def test_the_reader_agrees_with_collectd_about_files_made_at_random(
    handed: Callable[[str], Any],
) -> None:
    chosen = random.Random(13)
    taken = 0
    for _ in range(RANDOM_FILES):
        lines = (
            "k " + "".join(chosen.choice(LETTERS) for _ in range(chosen.randrange(1, 14)))
            for _ in range(2)
        )
        text = "\n".join([*lines, 'end "x"'])
        seen = read(text)
        assert seen == handed(text), repr(text)
        taken += seen is not None
    assert RANDOM_FILES / 4 < taken < RANDOM_FILES


def test_a_test_of_the_configuration_fails_for_a_wrong_option_as_with_virt(
    start: Callable[..., Any],
) -> None:
    wrong = f'{TEST}\nHostnameFormat "nome"'
    peer = start(Collectd, virt_plugin(wrong), 1.0, "-T", name="virt")
    collectd = start(Collectd, python_plugin(wrong, TEST), 1.0, "-T", name="ours")
    assert (peer.process.wait(60), collectd.process.wait(60)) == (1, 1)
    [line] = errors(collectd)
    assert "option HostnameFormat: found 'nome'" in line


def test_all_mistakes_of_all_blocks_are_told_with_the_included_file_and_its_line(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    wrong = 'HostnameFormat "nome"\nLanes 0', 'InterfaceFormt "name"'
    (folder / "domstats.conf").write_text("\n# head\n" + python_plugin(*wrong, TEST))
    collectd = start(Collectd, f'<Include "{folder}">\n  Filter "*.conf"\n</Include>')

    wait_for("samples of the right block", lambda: collectd.series("test"))
    first, too, second = errors(collectd)
    assert f"{folder}/domstats.conf:8, Module {MODULE}, option HostnameFormat" in first
    assert f"{folder}/domstats.conf:8, Module {MODULE}, option Lanes" in too
    assert f"{folder}/domstats.conf:12, Module {MODULE}, option 'InterfaceFormt'" in second


def test_a_block_of_another_name_is_told_of_and_fails_the_test_of_the_configuration(
    start: Callable[..., Any],
) -> None:
    plugin = python_plugin(TEST).replace(f'<Module "{MODULE}">', '<Module "domstats">')
    tested = start(Collectd, plugin, 1.0, "-T", name="tested")
    assert tested.process.wait(60) == 1
    collectd = start(Collectd, plugin, name="runs")
    wait_for("its read-loop", lambda: "entering read-loop" in collectd.log)
    for each in (tested, collectd):
        [line] = errors(each)
        assert 'collectd ignores the block <Module "domstats">' in line
        assert f'Write <Module "{MODULE}">' in line
    assert not collectd.series("test")


def test_without_any_block_it_is_said_what_is_sampled(start: Callable[..., Any]) -> None:
    collectd = start(Collectd, python_plugin())
    wait_for(
        "rounds", lambda: len(collectd.series().get("collectd/domstats/bool-connected", ())) >= 3
    )
    [line] = [line for line in ours(collectd) if "there is no block" in line]
    assert "qemu:///system is sampled with the defaults" in line


def test_virt_beside_us_is_told_of_once(start: Callable[..., Any]) -> None:
    collectd = start(Collectd, virt_plugin(TEST) + python_plugin(TEST))
    wait_for(
        "rounds", lambda: len(collectd.series().get("collectd/domstats/bool-connected", ())) >= 3
    )
    [line] = [line for line in ours(collectd) if "plugin virt is loaded too" in line]
    number = (collectd.folder / "collectd.conf").read_text().split("LoadPlugin virt")[0].count("\n")
    assert f"({collectd.folder}/collectd.conf:{number + 1})" in line
    assert "Remove LoadPlugin virt" in line


def test_virt_beside_us_with_other_identifiers_is_nothing_to_tell_of(
    start: Callable[..., Any],
) -> None:
    mine = python_plugin(f'{TEST}\nPluginInstanceFormat "name"')
    collectd = start(Collectd, virt_plugin(TEST) + mine)
    wait_for("both", lambda: {"test/virt", "test/virt-test"} <= prefixes(collectd))
    assert not [line for line in ours(collectd) if "virt is loaded" in line]
    assert "Value too old" not in collectd.log


def test_names_with_collectds_own_hostname_are_those_of_virt(start: Callable[..., Any]) -> None:
    named = f'{TEST}\nHostnameFormat "hostname" "name"\nPluginInstanceFormat "name"'
    peer = start(Collectd, virt_plugin(named), name="virt")
    collectd = start(Collectd, python_plugin(named), name="ours")
    for each in (peer, collectd):
        wait_for("values", partial(each.series, "collectd:test"))
        names = {name.rpartition("/")[0] for name in each.series("collectd:test")}
        assert names == {"collectd:test/virt-test"}


def prefixes(collectd: Any) -> set[str]:
    return {name.rpartition("/")[0] for name in collectd.series("test")}


def test_a_python_without_msgspec_is_told_with_its_version_and_path(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("raise ImportError('No module named msgspec')\n")
    plugin = python_plugin(TEST).replace("Import", f'ModulePath "{tmp_path}"\nImport', 1)
    collectd = start(Collectd, plugin, 1.0, "-T")
    assert collectd.process.wait(60) == 1
    [line] = [line for line in collectd.log.splitlines() if "needs msgspec" in line]
    assert re.search(r"for Python 3\.\d+\.\d+, which collectd embeds", line)
    assert str(tmp_path) in line


def test_collectd_with_a_fast_lane_ends_cleanly(start: Callable[..., Any]) -> None:
    collectd = start(Collectd, python_plugin(f"{TEST}\nFastInterval 0.2"))
    wait_for("both lanes", lambda: len(collectd.series("test")) > 2)
    collectd.process.terminate()
    assert collectd.process.wait(60) == 0
    assert errors(collectd) == []
    assert "Traceback" not in collectd.log
