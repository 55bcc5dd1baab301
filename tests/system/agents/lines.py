"""Lines of InfluxDB's protocol read into points that keep the type of each field.

Written from the format's description, independent of what writes lines in the package.
"""

import re
from typing import NamedTuple, Union

Value = Union[int, float, str, bool]


class Field(NamedTuple):
    """``kind`` is ``i`` or ``u`` for integers, ``f``, ``b``, or ``s`` for text."""

    kind: str
    value: Value


class Point(NamedTuple):
    """``time`` in nanoseconds."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Field]
    time: int


def parse(text: str) -> list[Point]:
    """Every complete line of ``text``; the last may be half written."""
    return [parse_line(line) for line in text.split("\n")[:-1] if line]


def parse_line(line: str) -> Point:
    """One line; raises ValueError if it is not well-formed."""
    series, rest = _split(line, " ", most=1)
    fields, time = _split(rest, " ", quotes=True)
    measurement, *tags = _split(series, ",")
    return Point(
        _unescape(measurement),
        {_unescape(name): _unescape(value) for name, value in (_split(tag, "=") for tag in tags)},
        {
            _unescape(name): _field(value)
            for name, value in (
                _split(field, "=", quotes=True) for field in _split(fields, ",", quotes=True)
            )
        },
        int(time),
    )


def _split(text: str, separator: str, *, quotes: bool = False, most: int = -1) -> list[str]:
    """Split where ``separator`` is not escaped nor, among fields, within quotes, ``most`` times."""
    parts: list[str] = []
    start, quoted, position = 0, False, 0
    while position < len(text) and len(parts) != most:
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter == '"':
            quoted = quotes and not quoted
        elif letter == separator and not quoted:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _unescape(text: str) -> str:
    for letter in ",= ":
        text = text.replace("\\" + letter, letter)
    return text


def _field(text: str) -> Field:
    if text.startswith('"'):
        return Field("s", re.sub(r'\\(["\\])', r"\1", text[1:-1]))
    if text in ("true", "false"):
        return Field("b", text == "true")
    if text[-1] in "iu":
        return Field(text[-1], int(text[:-1]))
    return Field("f", float(text))
