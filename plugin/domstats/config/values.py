"""From one raw value of a configuration to a checked one: times, URIs, words, numbers.

It must not know options by their names, nor either agent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from ..errors import ConfigError, Mistakes
from ..shown import shown
from .options import Kind, Option

_URI = re.compile(
    r"[a-z][a-z0-9.\-]*"  # driver
    r"(?:\+([a-z0-9]+))?"  # transport
    r"://(?:([^/?#@]*)@)?"  # user
    r"[^/?#@\s]*"  # host and port
    r"(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_TRANSPORTS = ("unix", "ssh", "libssh", "libssh2", "tcp", "tls", "ext")
_DURATION = re.compile(r"(?:[0-9.]+(?:ns|us|µs|ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0
}  # fmt: skip


def wrong_value(option: Option, value: object, why: str = "") -> ConfigError:
    return ConfigError(
        f"found {shown(value)}, allowed is {option.permitted()}" + (f" ({why})" if why else "")
    )


def _nearest(word: str, words: Sequence[str]) -> str:
    import difflib  # only a mistake needs it

    lower = {each.lower(): each for each in words}
    found = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=0.5)
    return lower[found[0]] if found else ""


def did_you_mean(word: str, words: Sequence[str]) -> str:
    nearest = _nearest(word, words)
    return f"did you mean {nearest}?" if nearest else ""


def to_uri(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise wrong_value(option, value)
    userinfo = re.match(r"[^/?#]*://([^/?#]*)@", value)
    if userinfo and ":" in userinfo.group(1):
        # The value is not shown: logs are read by more people than configurations.
        raise ConfigError(
            "found a URI with a password, allowed is one without: libvirt takes passwords from"
            " auth.conf (https://libvirt.org/auth.html)"
        )
    match = _URI.fullmatch(value)
    if match is None:
        raise wrong_value(option, value)
    transport = match.group(1)
    if transport and transport.lower() not in _TRANSPORTS:
        raise wrong_value(option, value, f"transports are {', '.join(_TRANSPORTS)}")
    return value


def _flag(option: Option, value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong_value(option, value)
    return value


def _within(option: Option, value: float, given: object) -> None:
    if not option.least <= value <= option.most:
        raise wrong_value(option, given, option.reason)


def _count(option: Option, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_value(option, value)
    _within(option, value, value)
    return value


def to_seconds(option: Option, value: object) -> float:
    if isinstance(value, str) and NUMBER.fullmatch(value):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        try:
            seconds = sum(float(n) * _UNITS[u] for n, u in _DURATION_PART.findall(value))
        except ValueError:  # two points in a number
            raise wrong_value(option, value) from None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            raise wrong_value(option, value) from None
    else:
        raise wrong_value(option, value)
    if math.isnan(seconds):
        raise wrong_value(option, value)
    _within(option, seconds, value)
    return seconds


def _word(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise wrong_value(option, value)
    if value not in option.allowed:
        raise wrong_value(option, value, did_you_mean(value, option.allowed))
    return value


def _text(option: Option, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise wrong_value(option, value)
    return value


def to_texts(option: Option, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise wrong_value(option, value, "as a list")
    mistakes = Mistakes()
    for each in value:
        with mistakes.at():
            if not isinstance(each, str):
                raise wrong_value(option, each)
    mistakes.end()
    return tuple(value)


def _words(option: Option, value: object) -> tuple[str, ...]:
    words = to_texts(option, value)
    mistakes = Mistakes()
    for index, word in enumerate(words):
        with mistakes.at():
            _word(option, word)
            if word in words[:index]:
                raise wrong_value(option, word, "each at most once")
    mistakes.end()
    return words


def _table_of_texts(option: Option, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise wrong_value(option, value)
    mistakes = Mistakes()
    for key, text in value.items():
        with mistakes.at():
            if not isinstance(text, str):
                raise wrong_value(option, {key: text})
    mistakes.end()
    return value


def _periods(option: Option, value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise wrong_value(option, value)
    mistakes = Mistakes()
    periods: dict[str, float] = {}
    for group, seconds in value.items():
        with mistakes.at():
            periods[_word(option, group)] = to_seconds(option, seconds)
    mistakes.end()
    return periods


CONVERT: Mapping[Kind, Callable[[Option, object], object]] = {
    Kind.URI: to_uri,
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.SECONDS: to_seconds,
    Kind.WORD: _word,
    Kind.WORDS: _words,
    Kind.ENTRIES: to_texts,
    Kind.TEXT: _text,
    Kind.TABLE: _table_of_texts,
    Kind.PERIODS: _periods,
}
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
