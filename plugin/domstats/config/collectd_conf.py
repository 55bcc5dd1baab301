"""collectd's configuration file, read as collectd itself reads it: text in, nodes out.

collectd hands a Python plugin its own ``<Module>`` blocks only, without file and line. This reads
all of the configuration, for messages that name the place and for ``domstats sample --config``.
It must know neither libvirt nor our options, and runs nothing that stands in the file.

Source: src/liboconfig/scanner.l and parser.y, src/daemon/configfile.c and src/python.c of collectd
5.12. What collectd does with odd text is kept: a character that its scanner does not know is
skipped without a word, so that ``a.b`` without quotes is two values.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Union

import msgspec

from ..errors import ConfigError
from ..shown import one_line, shown

#: A quoted or bare text (bytes if it is not UTF-8), a number or a boolean, as collectd's Python
#: plugin hands them over.
Value = Union[str, bytes, float, bool]

#: How deep files may include each other, the first one counted.
MAX_DEPTH = 8
#: collectd's own interval in seconds, where none is set.
DEFAULT_INTERVAL_S = 10.0
#: In how many threads it reads, likewise.
READ_THREADS = 5


class Node(msgspec.Struct, frozen=True):
    """An option with its values, or a block with its values and children.

    :param file: the path of the file in which it stands, as it was given or included.
    :param line: the line on which it begins, from 1.
    """

    key: str
    values: tuple[Value, ...]
    children: tuple[Node, ...]
    file: str
    line: int

    @property
    def text(self) -> str:
        """Its only value if that is a text, else an empty text."""
        alone = self.values[0] if len(self.values) == 1 else ""
        return alone if isinstance(alone, str) else ""

    @property
    def place(self) -> str:
        """File and line, as messages show them."""
        return f"{one_line(self.file)}:{self.line}"

    def named(self, key: str) -> Iterator[Node]:
        """The children with this key; collectd's keys are not case-sensitive."""
        return (child for child in self.children if child.key.lower() == key.lower())


class Module(NamedTuple):
    """A ``<Module>`` block of ``<Plugin python>``.

    :param ignored: why collectd hands it to no module; empty if it does hand it over.
    """

    node: Node
    ignored: str


class CollectdConf(msgspec.Struct, frozen=True):
    """A whole configuration, the included files among it.

    :param nodes: everything on the top level, in collectd's order.
    :param hostname: the global Hostname; empty if none is set.
    :param interval: seconds between reads of Python modules that do not say otherwise.
    :param read_threads: in how many threads collectd reads.
    :param loaded: by name, where each plugin is loaded.
    :param imported: the names of imported Python modules, in order.
    :param modules: all ``<Module>`` blocks of ``<Plugin python>``, in order.
    """

    nodes: tuple[Node, ...]
    hostname: str
    interval: float
    read_threads: int
    loaded: Mapping[str, Node]
    imported: tuple[str, ...]
    modules: tuple[Module, ...]

    def blocks(self, module: str) -> list[Node]:
        """The ``<Module>`` blocks which collectd hands to a module, in its order."""
        wanted = module.lower()
        return [
            node for node, ignored in self.modules if not ignored and node.text.lower() == wanted
        ]


def read(path: str, folder: str = "", environment: Mapping[str, str] = os.environ) -> CollectdConf:
    """Read collectd's configuration with all that it includes.

    :param path: what collectd is given with ``-C``.
    :param folder: where relative paths begin; empty for the current folder.
    :param environment: what variables in paths of ``Include`` stand for.
    :raises ConfigError: a file cannot be read, or collectd would not take it.
    """
    nodes = _Files(folder, environment).included(path, None, 0, None)
    if not nodes:
        raise ConfigError(f"{one_line(path)}: is empty, and collectd does not start with it")
    return _meaning(tuple(nodes))


# --- Files --------------------------------------------------------------------------------------


class _Files:
    """Reads files and what they include."""

    def __init__(self, folder: str, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def included(self, path: str, pattern: str | None, depth: int, by: Node | None) -> list[Node]:
        """The nodes of a file, a folder or a pattern of such.

        :param pattern: which names count, as ``Filter`` has it.
        :param by: what includes it.
        :raises ConfigError: collectd would not start with it.
        """
        at = f"{by.place}: " if by else ""
        if depth >= MAX_DEPTH:
            raise ConfigError(
                f"{at}{shown(path)} is included {depth} deep, allowed is less than {MAX_DEPTH};"
                " collectd does not start with it"
            )
        found: list[Node] = []
        for name in self._paths(path, at):
            if os.path.isdir(name):
                found += self._folder_of(name, pattern, depth)
            elif not os.path.isfile(name):
                if by is None:
                    raise ConfigError(f"{one_line(name)}: cannot be read: there is no such file")
                # collectd warns of one that is to be included, and goes on
            elif pattern is None or _matches(name, pattern):
                found += self._file(name, depth)
            else:
                raise ConfigError(
                    f"{at}{one_line(name)} does not match Filter {shown(pattern)}, and collectd"
                    " does not start then; name the folder, of which Filter chooses"
                )
        return found

    def _paths(self, path: str, at: str) -> list[str]:
        """What a path stands for, as wordexp(3) has it: variables, ``~``, patterns; sorted."""
        try:
            words = [] if _REFUSED.search(_VARIABLE.sub("", path)) else shlex.split(path)
        except ValueError:  # quotes that do not end
            words = []
        if not words:
            raise ConfigError(
                f"{at}found {shown(path)}, allowed is a path without commands, quotes that do not"
                " end, and |&;<>(){}"
            )
        found: list[str] = []
        for word in words:
            filled = _VARIABLE.sub(
                lambda match: self._environment.get(match.group(1) or match.group(2), ""), word
            )
            name = os.path.join(self._folder, os.path.expanduser(filled))
            found += glob.glob(name) or [name]
        return sorted(found, key=os.fsencode)

    def _folder_of(self, folder: str, pattern: str | None, depth: int) -> list[Node]:
        try:
            entries = sorted(os.listdir(folder), key=os.fsencode)
        except OSError as error:
            raise _unreadable(folder, error) from None
        found: list[Node] = []
        for entry in entries:
            name = f"{folder}/{entry}"
            if entry.startswith("."):
                continue
            if os.path.isdir(name):
                found += self._folder_of(name, pattern, depth)
            elif os.path.isfile(name) and (pattern is None or _matches(name, pattern)):
                found += self._file(name, depth)
        return found

    def _file(self, name: str, depth: int) -> Iterator[Node]:
        try:
            with open(name, "rb") as file:
                content = file.read()
        except OSError as error:
            raise _unreadable(name, error) from None
        for node in parse(content, name):
            if node.key.lower() == "include" and node.text:
                filters = [each.text for each in node.named("Filter") if each.text]
                pattern = filters[-1] if filters else None
                yield from self.included(node.text, pattern, depth + 1, node)
            else:
                yield node


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"{one_line(name)}: cannot be read: {error.strerror}; is the path right, and may this user"
        " read it?"
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(os.path.basename(name), pattern)


#: Commands, and what wordexp(3) refuses outside quotes.
_REFUSED = re.compile(r"[|&;<>(){}\n`]")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)


# --- What it means to collectd ------------------------------------------------------------------


def _meaning(nodes: tuple[Node, ...]) -> CollectdConf:
    loaded: dict[str, Node] = {}
    options: dict[str, Node] = {}
    interval = python_interval = DEFAULT_INTERVAL_S
    python: list[tuple[Node, bool]] = []
    for node in nodes:
        key = node.key.lower()
        name = _plugin(node)
        if key == "loadplugin" and name and name not in loaded:
            loaded[name] = node
            if name == "python":
                python_interval = _interval_of(node, interval)
        elif key == "plugin" and name:
            if name not in loaded and _is_true(options.get("autoloadplugin")):
                loaded[name] = node
                if name == "python":
                    python_interval = interval
            if name == "python":
                python.append((node, name in loaded))
        elif len(node.values) == 1:
            options[key] = node
            if key == "interval":
                interval = _number(node.values[0], interval)
    hostname, read_threads = options.get("hostname"), options.get("readthreads")
    threads = _number(read_threads.values[0], READ_THREADS) if read_threads else READ_THREADS
    return CollectdConf(
        nodes=nodes,
        hostname=hostname.text if hostname else "",
        interval=python_interval if "python" in loaded else interval,
        read_threads=max(1, int(min(threads, 10_000))),
        loaded=loaded,
        imported=_imported(python),
        modules=tuple(_modules(python)),
    )


def _plugin(node: Node) -> str:
    """The plugin that ``LoadPlugin`` or ``Plugin`` names; collectd does not mind the case.

    ``libvirt`` is what collectd called ``virt`` once, and still takes.
    """
    name = node.values[0] if node.values else ""
    return "virt" if name == "libvirt" else name.lower() if isinstance(name, str) else ""


def _is_true(node: Node | None) -> bool:
    value = node.values[0] if node else False
    return value is True or (isinstance(value, str) and value.lower() in ("true", "yes", "on"))


def _number(value: Value, otherwise: float) -> float:
    """Seconds that are set; collectd takes numbers in quotes too."""
    if isinstance(value, (bool, bytes)):
        return otherwise
    try:
        number = float(value)
    except ValueError:
        return otherwise
    return number if number > 0 else otherwise


def _interval_of(load: Node, interval: float) -> float:
    """The interval that a ``<LoadPlugin>`` block sets for its plugin."""
    for node in load.named("Interval"):
        if len(node.values) == 1 and not isinstance(node.values[0], str):
            interval = _number(node.values[0], interval)
    return interval


def _imported(blocks: list[tuple[Node, bool]]) -> tuple[str, ...]:
    """The names that the ``<Plugin python>`` blocks import, in order.

    :param blocks: each with whether the plugin was loaded before it.
    """
    names = (each.text for block, usable in blocks if usable for each in block.named("Import"))
    return tuple(dict.fromkeys(filter(None, names)))


def _modules(blocks: list[tuple[Node, bool]]) -> Iterator[Module]:
    """The ``<Module>`` blocks of such blocks."""
    later = {name.lower() for name in _imported(blocks)}
    so_far: set[str] = set()
    for block, usable in blocks:
        for child in block.children:
            name = child.text.lower()
            if child.key.lower() == "import" and usable:
                so_far.add(name)
            elif child.key.lower() == "module":
                if not usable:
                    ignored = "LoadPlugin python does not stand before it"
                elif not name:
                    ignored = "its name is not one text in double quotes"
                elif name in so_far:
                    ignored = ""
                elif name in later:
                    ignored = "the Import of its module does not stand before it"
                else:
                    ignored = "no Import has its name"
                yield Module(child, ignored)


# --- The grammar --------------------------------------------------------------------------------


def parse(content: bytes, file: str) -> tuple[Node, ...]:
    """The options and blocks of one file; ``Include`` is a node like any other.

    :param file: what messages and nodes call the file.
    :raises ConfigError: collectd would not take it; the message names file and line.
    """
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise ConfigError(f"{one_line(file)}:{line}: found a NUL character, allowed is text")
    text = content.decode("utf-8", "surrogateescape")
    open_blocks: list[_Block] = [_Block("", (), 0, [])]
    for statement in _statements(_tokens(text), file):
        if isinstance(statement, _Block):
            open_blocks.append(statement)
        elif isinstance(statement, Node):
            open_blocks[-1].children.append(statement)
        else:
            block = open_blocks[-1]
            if len(open_blocks) == 1 or block.key != statement.key:
                raise ConfigError(
                    f"{one_line(file)}:{statement.line}: found </{statement.key}>, "
                    + (
                        "but no block has begun"
                        if len(open_blocks) == 1
                        else f"allowed is </{block.key}>, which begins on line {block.line}"
                    )
                )
            open_blocks.pop()
            if block.values or block.children:  # collectd drops the others
                open_blocks[-1].children.append(
                    Node(block.key, block.values, tuple(block.children), file, block.line)
                )
    if len(open_blocks) > 1:
        block = open_blocks[-1]
        raise ConfigError(f"{one_line(file)}:{block.line}: the block <{block.key}> does not end")
    return tuple(open_blocks[0].children)


class _Block(NamedTuple):
    """A block that has begun."""

    key: str
    values: tuple[Value, ...]
    line: int
    children: list[Node]


class _End(NamedTuple):
    """The end of a block."""

    key: str
    line: int


class _Token(NamedTuple):
    """A word of the file: ``kind`` is one of <, >, /, end of line, end, bare or value."""

    kind: str
    text: str
    line: int
    value: Value = ""


_EOL = "the end of the line"
_EOF = "the end of the file"


def _statements(tokens: Iterator[_Token], file: str) -> Iterator[Node | _Block | _End]:
    """Options, and where blocks begin and end."""
    read = _Reader(tokens, file)
    for token in tokens:
        if token.kind == _EOF:
            return
        if token.kind == _EOL:
            continue
        if token.kind != "<":
            key = read.key(token)
            values = read.values(_EOL)
            if not values:
                raise ConfigError(
                    f"{one_line(file)}:{token.line}: option {key} has no value, and needs one"
                )
            yield Node(key, values, (), file, token.line)
            continue
        name = next(tokens)
        if name.kind == "/":
            yield _End(read.key(next(tokens)), token.line)
            read.exactly(">")
        else:
            yield _Block(read.key(name), read.values(">"), token.line, [])
        read.exactly(_EOL)


class _Reader:
    """Takes from the words of a file what has to come next."""

    def __init__(self, tokens: Iterator[_Token], file: str) -> None:
        self._tokens = tokens
        self._file = one_line(file)

    def key(self, token: _Token) -> str:
        if token.kind != "bare":
            raise self._wrong(token, "a name of letters, digits and _")
        return token.text

    def values(self, until: str) -> tuple[Value, ...]:
        found: list[Value] = []
        for token in self._tokens:
            if token.kind == until:
                break
            if token.kind not in ("bare", "value"):
                raise self._wrong(token, f"a value or {until}")
            found.append(token.value)
        return tuple(found)

    def exactly(self, kind: str) -> None:
        token = next(self._tokens)
        if token.kind != kind:
            raise self._wrong(token, kind)

    def _wrong(self, token: _Token, allowed: str) -> ConfigError:
        found = shown(token.text) if token.text else token.kind
        hint = ""
        if token.kind == "/":
            hint = "; a value with / in it has to stand in double quotes"
        elif token.kind == _EOF:
            hint = "; the last line has to end with a line break too"
        return ConfigError(f"{self._file}:{token.line}: found {found}, allowed is {allowed}{hint}")


# --- The scanner --------------------------------------------------------------------------------

_BLANK = re.compile(r"(?:[ \t\b]+|#[^\n]*|\\\r?\n)+")
_LINE_END = re.compile(r"\r?\n")
_BLANKS_OF_LINE = re.compile(r"[ \t\b]*")
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
#: From after a quote to the first quote or broken line that nothing escapes.
_QUOTED = re.compile(r'(?:[^\\"]|\\[^\n])*')

_BYTE = r"(?:2(?:5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9])"
_PORT = (
    r"(?:6(?:5(?:5(?:3[0-5]|[0-2][0-9])|[0-4][0-9][0-9])|[0-4][0-9][0-9][0-9])"
    r"|[1-5][0-9][0-9][0-9][0-9]|[1-9][0-9]?[0-9]?[0-9]?)"
)
_IPV4 = rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}(?::{_PORT})?"
_HEX = "[0-9A-Fa-f]{1,4}"
_PART = rf"(?:{_HEX}:{_HEX}|{_IPV4})"
_IPV6 = (
    rf"(?:{_HEX}:){{6}}{_PART}",
    rf"::(?:{_HEX}:){{5}}{_PART}",
    rf"(?:{_HEX})?::(?:{_HEX}:){{4}}{_PART}",
    rf"(?:(?:{_HEX}:){{0,1}}{_HEX})?::(?:{_HEX}:){{3}}{_PART}",
    rf"(?:(?:{_HEX}:){{0,2}}{_HEX})?::(?:{_HEX}:){{2}}{_PART}",
    rf"(?:(?:{_HEX}:){{0,3}}{_HEX})?::{_HEX}:{_PART}",
    rf"(?:(?:{_HEX}:){{0,4}}{_HEX})?::{_PART}",
    rf"(?:(?:{_HEX}:){{0,5}}{_HEX})?::{_HEX}",
    rf"(?:(?:{_HEX}:){{0,6}}{_HEX})?::",
)


def _hexadecimal(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return float("inf")


def _address(text: str) -> str:
    return text


#: The words without quotes and what they mean. The longest counts, and of two the first.
_WORDS: tuple[tuple[str, re.Pattern[str], Callable[[str], Value]], ...] = (
    ("value", re.compile("true|yes|on"), lambda _: True),
    ("value", re.compile("false|no|off"), lambda _: False),
    ("bare", re.compile(_IPV4), _address),
    *(("bare", re.compile(each), _address) for each in _IPV6),
    *(("bare", re.compile(rf"\[{each}\](?::{_PORT})?"), _address) for each in _IPV6),
    ("value", re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-][0-9]+)?"), float),
    ("value", re.compile(r"0[xX][0-9a-fA-F]+"), _hexadecimal),
    ("value", re.compile(r"[+-]?[0-9]+"), float),
    ("bare", re.compile(r"[0-9A-Za-z_]+"), _address),
)


def _tokens(text: str) -> Iterator[_Token]:
    """The words of a file, the last of which is its end."""
    position, line, size = 0, 1, len(text)
    while position < size:
        blank = _BLANK.match(text, position)
        if blank is not None:
            line += text.count("\n", position, blank.end())
            position = blank.end()
            continue
        letter = text[position]
        end = _LINE_END.match(text, position)
        if end is not None:
            yield _Token(_EOL, "", line)
            position, line = end.end(), line + 1
        elif letter in "<>/":
            yield _Token(letter, letter, line)
            position += 1
        else:
            after, token = _word(text, position, line)
            if token is not None:
                yield token
            line += text.count("\n", position, after)
            position = after
    while True:
        yield _Token(_EOF, "", line)


def _word(text: str, position: int, line: int) -> tuple[int, _Token | None]:
    """A value and where it ends; None for a character that the scanner skips."""
    if text[position] == '"':
        end, quoted = _quoted(text, position)
        if not quoted:
            return position + 1, None
        value = _ESCAPED.sub(r"\1", quoted[1:-1])
        return end, _Token("value", text[position:end], line, _as_python_has_it(value))
    longest, found = position, None
    for kind, pattern, meaning in _WORDS:
        match = pattern.match(text, position)
        if match is not None and match.end() > longest:
            longest, found = match.end(), (kind, meaning)
    if found is None:
        return position + 1, None
    word = text[position:longest]
    kind, meaning = found
    return longest, _Token(kind, word, line, meaning(word))


def _quoted(text: str, start: int) -> tuple[int, str]:
    """A text in quotes, its quotes among it, with lines joined that end with a backslash.

    :return: where it ends, and the text: empty if it does not end.
    """
    parts: list[str] = []
    while start < len(text):
        match = _QUOTED.match(text, start + 1)
        assert match is not None
        end = match.end()
        if text.startswith('"', end):
            return end + 1, "".join(parts) + text[start : end + 1]
        if not text.startswith("\\\n", end):
            break
        parts.append(text[start:end])
        blanks = _BLANKS_OF_LINE.match(text, end + 2)
        assert blanks is not None
        start = blanks.end()  # the character there is part of the text, whatever it is
    return len(text), ""


def _as_python_has_it(text: str) -> Value:
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
