"""collectd's configuration file as collectd reads it; tests/system holds this against collectd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from domstats.config.collectd import parse_collectd
from domstats.config.collectd_conf import MAX_DEPTH, CollectdConf, Node, parse, read
from domstats.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rows import each_row

MODULE = "domstats.collectd_plugin"


def values(text: str) -> tuple[Any, ...]:
    """What the values of an option are to collectd."""
    (node,) = parse(f"Option {text}\n".encode(), "x.conf")
    return node.values


def shape(nodes: tuple[Node, ...]) -> list[Any]:
    return [(node.key, node.values, shape(node.children)) for node in nodes]


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "x.conf")
    return str(caught.value)


# --- Values -------------------------------------------------------------------------------------


@each_row(
    ("text", "expected"),
    [
        ("1 010 0x1F 1.5 .5 -3 +4 1.5e+3", (1.0, 10.0, 31.0, 1.5, 0.5, -3.0, 4.0, 1500.0)),
        ("true yes on false no off", (True, True, True, False, False, False)),
        ("True truely", ("True", "truely")),
        ('"true" "1"', ("true", "1")),
        ("name 10s 2001", ("name", "10s", 2001.0)),
        ("10.0.0.1 10.0.0.1:25826", ("10.0.0.1", "10.0.0.1:25826")),
        ("::1 ff18::efc0:4a42 [::1]:80", ("::1", "ff18::efc0:4a42", "[::1]:80")),
        (r'"a\"b\\c\n"', ('a"b\\cn',)),
        ('"two words" "" "ü"', ("two words", "", "ü")),
        ('"two\nlines"', ("two\nlines",)),
        ('"one \\\n    two"', ("one two",)),
        ("one \\\n two", ("one", "two")),
        ("one # two", ("one",)),
        ("one # two \\\n", ("one",)),
        ("one\ttwo\r", ("one", "two")),
        ("a.b = 'c' 1.5s 1.2.3", ("a", "b", "c", 1.5, "s", 1.2, 0.3)),
        ('"begun', ("begun",)),
        ("0x" + "f" * 400, (float("inf"),)),
    ],
)
def test_values_are_what_collectd_takes_them_for(text: str, expected: tuple[Any, ...]) -> None:
    seen = values(text)
    assert seen == expected
    assert [type(value) for value in seen] == [type(value) for value in expected]


def test_a_text_that_is_not_utf8_is_bytes_as_in_collectds_python() -> None:
    (node,) = parse(b'Option "caf\xe9" "caf\xc3\xa9"\n', "x.conf")
    assert node.values == (b"caf\xe9", "café")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_in_quotes_comes_back(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert values(f'"{escaped}" 1') == (text, 1.0)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_number_comes_back(number: float) -> None:
    assert values(f"{number:.12f}") == (pytest.approx(number, abs=1e-11),)


# --- Blocks -------------------------------------------------------------------------------------

Tree = list[tuple[str, tuple[Any, ...], list[Any]]]
keys = st.from_regex(r"[G-Zg-z_][0-9A-Za-z_]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("true", "yes", "on", "false", "no", "off", "Include")
)
arguments = st.lists(
    st.booleans()
    | st.integers(-9999, 9999).map(float)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    min_size=1,
    max_size=3,
).map(tuple)
trees = st.recursive(
    st.lists(st.tuples(keys, arguments, st.just([])), max_size=3),
    lambda inner: st.lists(st.tuples(keys, arguments, inner), max_size=3),
    max_leaves=12,
)


def written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value))
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lines(tree: Tree) -> str:
    text = ""
    for key, given_values, children in tree:
        head = " ".join([key, *map(written, given_values)])
        text += f"<{head}>\n{lines(children)}</{key}>\n" if children else f"  {head} # why\n\n"
    return text


@given(trees)
def test_any_tree_of_options_and_blocks_comes_back(tree: Tree) -> None:
    assert shape(parse(lines(tree).encode(), "x.conf")) == tree


@given(st.text(st.sampled_from('<>/"\\#\n\r \tab01.:true-') | st.characters(), max_size=60))
def test_any_text_is_nodes_or_one_message_with_file_and_line(text: str) -> None:
    said = ["x.conf:1: nothing"]
    try:
        parse(text.encode("utf-8", "surrogatepass"), "x.conf")
    except ConfigError as error:
        said.append(str(error))
    assert said[-1].startswith("x.conf:")
    assert "\n" not in said[-1]


def test_nodes_know_their_file_and_line() -> None:
    text = b'# head\nA "x\ny" \\\n 1\n\n<B "c">\n  D 1\n</B>\nE 2\n'
    a, b, e = parse(text, "x.conf")
    assert [each.place for each in (a, b, b.children[0], e)] == [
        "x.conf:2",
        "x.conf:6",
        "x.conf:7",
        "x.conf:9",
    ]


def test_an_empty_block_without_values_is_dropped_as_collectd_does() -> None:
    assert shape(parse(b"<A>\n</A>\n<B 1>\n</B>\n", "x.conf")) == [("B", (1.0,), [])]


def test_blocks_may_nest_as_deep_as_anybody_writes_them() -> None:
    depth = 2000
    (node,) = parse(b"<A 1>\n" * depth + b"</A>\n" * depth, "x.conf")
    assert node.line == 1


@each_row(
    ("text", "message"),
    [
        ("A 1\nB\n", "x.conf:2: option B has no value, and needs one"),
        (
            "A /opt\n",
            "x.conf:1: found '/', allowed is a value or the end of the line;"
            " a value with / in it has to stand in double quotes",
        ),
        (
            "A 1",
            "x.conf:1: found the end of the file, allowed is a value or the end of the line;"
            " the last line has to end with a line break too",
        ),
        ("true 1\n", "x.conf:1: found 'true', allowed is a name of letters, digits and _"),
        (
            "<A>\nB 1\n</C>\n",
            "x.conf:3: found </C>, allowed is </A>, which begins on line 1",
        ),
        ("</A>\n", "x.conf:1: found </A>, but no block has begun"),
        ("\n<A>\nB 1\n", "x.conf:2: the block <A> does not end"),
        ("<A\n", "x.conf:1: found the end of the line, allowed is a value or >"),
        ("<A> B 1\n", "x.conf:1: found 'B', allowed is the end of the line"),
        ("A\0 1\n", "x.conf:1: found a NUL character, allowed is text"),
    ],
)
def test_what_collectd_does_not_take_is_told_with_file_and_line(text: str, message: str) -> None:
    assert refused(text) == message


def test_a_file_name_cannot_forge_a_line_of_the_log() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"A\n", "x\ny.conf")
    assert "\n" not in str(caught.value)


# --- Files --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    return tmp_path


def options(conf: CollectdConf) -> list[str]:
    return [node.key for node in conf.nodes]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_files_folders_and_patterns_are_included_in_collectds_order(folder: Path) -> None:
    write(folder / "conf.d" / "b.conf", "B 1\n")
    write(folder / "conf.d" / "a.conf", "A 1\n")
    write(folder / "conf.d" / "c.old", "C 1\n")
    write(folder / "conf.d" / ".hidden.conf", "H 1\n")
    (folder / "conf.d" / "more").mkdir()
    write(folder / "conf.d" / "more" / "d.conf", "D 1\n")
    main = folder / "collectd.conf"

    write(main, f'X 1\nInclude "{folder}/conf.d/*.conf"\nY 1\n')
    assert options(read(str(main))) == ["X", "A", "B", "Y"]
    write(main, f'<Include "{folder}/conf.d">\n  Filter "*.conf"\n</Include>\nY 1\n')
    assert options(read(str(main))) == ["A", "B", "D", "Y"]
    write(main, f'Include "{folder}/conf.d/b.conf"\nInclude "{folder}/none/*"\nY 1\n')
    assert options(read(str(main))) == ["B", "Y"]


def test_an_included_node_knows_the_file_that_it_stands_in(folder: Path) -> None:
    part = write(folder / "conf.d" / "a.conf", "\n\nA 1\n")
    main = write(folder / "collectd.conf", f'Include "{folder}/conf.d"\n')
    (node,) = read(main).nodes
    assert node.place == f"{part}:3"


def test_relative_paths_begin_where_collectd_was_started(folder: Path) -> None:
    write(folder / "collectd.conf", 'Include "conf.d/*.conf"\n')
    write(folder / "conf.d" / "a.conf", "A 1\n")
    assert options(read("collectd.conf", str(folder))) == ["A"]


def test_variables_in_paths_are_filled_and_commands_are_refused(folder: Path) -> None:
    write(folder / "conf.d" / "a.conf", "A 1\n")
    main = write(folder / "collectd.conf", f'Include "{folder}/${{PART}}/$NAME"\n')
    assert options(read(main, environment={"PART": "conf.d", "NAME": "a.conf"})) == ["A"]
    for command in ("`touch x`", "$(touch x)", "a|b"):
        write(folder / "collectd.conf", f'A 1\nInclude "{command}"\n')
        with pytest.raises(ConfigError, match=r"collectd.conf:2: found .* allowed is a path"):
            read(main)


def test_files_include_each_other_as_deep_as_collectd_allows(folder: Path) -> None:
    for depth in range(MAX_DEPTH):
        write(folder / f"{depth}.conf", f'Include "{folder}/{depth + 1}.conf"\nA{depth} 1\n')
    write(folder / f"{MAX_DEPTH - 1}.conf", "Last 1\n")
    assert len(read(str(folder / "0.conf")).nodes) == MAX_DEPTH
    write(folder / f"{MAX_DEPTH - 1}.conf", f'Include "{folder}/0.conf"\n')
    with pytest.raises(ConfigError, match=rf"{MAX_DEPTH - 1}.conf:1: .* is included 8 deep"):
        read(str(folder / "0.conf"))


def test_a_filter_that_refuses_a_single_file_is_an_error_as_in_collectd(folder: Path) -> None:
    write(folder / "a.old", "A 1\n")
    main = write(
        folder / "collectd.conf", f'<Include "{folder}/a.old">\nFilter "*.conf"\n</Include>\n'
    )
    with pytest.raises(ConfigError, match="does not match Filter"):
        read(main)


def test_a_fifo_among_the_files_stalls_nobody(folder: Path) -> None:
    os.mkfifo(folder / "conf.d" / "a.conf")
    main = write(folder / "collectd.conf", f'Include "{folder}/conf.d"\nA 1\n')
    assert options(read(main)) == ["A"]


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.conf: cannot be read: there is no such file"):
        read(str(folder / "x.conf"))
    with pytest.raises(ConfigError, match=r"is empty, and collectd does not start"):
        read(write(folder / "collectd.conf", "# nothing\n"))


# --- What it means ------------------------------------------------------------------------------


def conf(folder: Path, text: str) -> CollectdConf:
    return read(write(folder / "collectd.conf", text))


def test_the_plugins_that_are_loaded_are_known_by_name(folder: Path) -> None:
    seen = conf(folder, "LoadPlugin CPU\n<LoadPlugin python>\nInterval 2\n</LoadPlugin>\n")
    assert list(seen.loaded) == ["cpu", "python"]
    assert seen.loaded["python"].line == 2
    assert list(conf(folder, "LoadPlugin libvirt\n").loaded) == ["virt"]
    automatic = "AutoLoadPlugin true\n<Plugin virt>\nA 1\n</Plugin>\n"
    assert list(conf(folder, automatic).loaded) == ["virt"]
    assert list(conf(folder, automatic.replace("true", "false")).loaded) == []


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("LoadPlugin python\n", 10.0),
        ("Interval 2\nLoadPlugin python\n", 2.0),
        ('Interval "2.5"\nLoadPlugin python\n', 2.5),
        ("LoadPlugin python\nInterval 2\n", 10.0),  # what is loaded keeps what was set before
        ("Interval 2\n<LoadPlugin python>\nInterval 5\n</LoadPlugin>\n", 5.0),
        ("Interval 0\nLoadPlugin python\n", 10.0),
        ("Interval 3\nA 1\n", 3.0),
    ],
)
def test_the_interval_is_the_one_that_python_modules_are_read_at(
    folder: Path, text: str, interval: float
) -> None:
    assert conf(folder, text).interval == interval


def test_the_number_of_read_threads_is_known(folder: Path) -> None:
    for text, threads in (("A 1\n", 5), ("ReadThreads 20\n", 20), ('ReadThreads "inf"\n', 10_000)):
        assert conf(folder, text).read_threads == threads


def test_the_last_hostname_counts(folder: Path) -> None:
    assert conf(folder, 'Hostname "a"\nHOSTNAME "b"\n').hostname == "b"
    assert conf(folder, "A 1\n").hostname == ""


def test_blocks_of_a_module_are_what_the_parser_of_settings_takes(folder: Path) -> None:
    seen = conf(
        folder,
        f'LoadPlugin python\n<Plugin python>\n  Import "{MODULE}"\n'
        f'  <Module "{MODULE}">\n    Connection "test:///default"\n    Interval 5\n  </Module>\n'
        f'</Plugin>\n<Plugin "python">\n  <Module "DOMSTATS.collectd_plugin">\n  </Module>\n'
        "</Plugin>\n",
    )
    first, second = seen.blocks(MODULE)
    assert (first.line, second.line) == (4, 10)
    assert seen.imported == (MODULE,)
    (settings,) = parse_collectd(first, first.place).settings
    assert (settings.uri, settings.interval) == ("test:///default", 5.0)


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("IMPORT <Module NAME>\nA 1\n</Module>", ""),
        (
            "<Module NAME>\nA 1\n</Module>\nIMPORT",
            "the Import of its module does not stand before it",
        ),
        ('IMPORT <Module "domstats">\nA 1\n</Module>', "no Import has its name"),
        (
            "IMPORT <Module domstats.collectd_plugin>\nA 1\n</Module>",
            "its name is not one text in double quotes",
        ),
    ],
)
def test_a_block_that_collectd_ignores_comes_with_the_reason(
    folder: Path, text: str, ignored: str
) -> None:
    body = text.replace("IMPORT", f'Import "{MODULE}"\n').replace("NAME", f'"{MODULE}"')
    seen = conf(folder, f"LoadPlugin python\n<Plugin python>\n{body}\n</Plugin>\n")
    (module,) = seen.modules
    assert module.ignored == ignored
    assert len(seen.blocks(MODULE)) == (not ignored)


def test_blocks_before_the_plugin_is_loaded_are_ignored(folder: Path) -> None:
    text = f'<Plugin python>\nImport "{MODULE}"\n<Module "{MODULE}">\nA 1\n</Module>\n</Plugin>\n'
    (module,) = conf(folder, text + "LoadPlugin python\n").modules
    assert module.ignored == "LoadPlugin python does not stand before it"
    (module,) = conf(folder, "AutoLoadPlugin true\n" + text).modules
    assert module.ignored == ""
