"""Globs as Telegraf's own filters have them: ``*``, ``?``, ``[ab]``, ``[!ab]``, ``{web,db}``.

A text is a glob if it has ``*``, ``?`` or ``[``. A backslash takes a special meaning away. Matching
takes no longer for any text than its length allows: names are the tenants'.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from re import Pattern

from .errors import ConfigError
from .shown import one_line, shown

#: Alternatives of one glob, with all combinations of its braces.
MOST_ALTERNATIVES = 64

_META = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BRACES = re.compile(r"(?<!\\)\{([^{}]*)\}")


def is_glob(text: str) -> bool:
    """Whether a text is a glob, as Telegraf decides it: braces alone make none."""
    return _META.search(text) is not None


# Kept, so that settings with the same glob are equal: Python before 3.11 translates it each time to
# other names of groups.
@functools.lru_cache(maxsize=1024)
def glob(text: str) -> tuple[Pattern[str], ...]:
    """Patterns of which one matches the whole of what the glob means.

    :raises ConfigError: it has too many alternatives, or a range that is none.
    """
    found = [text]
    while any(_BRACES.search(each) for each in found):
        found = [one for each in found for one in _alternatives(each)]
        if len(found) > MOST_ALTERNATIVES:
            raise ConfigError(
                f"found {shown(text)}, allowed is one with at most {MOST_ALTERNATIVES} alternatives"
            )
    try:
        return tuple(re.compile(_translated(each)) for each in dict.fromkeys(found))
    except re.error as exc:  # Python before 3.11 takes [z-a] for a mistake
        raise ConfigError(
            f"found {shown(text)}, allowed is a glob as web-*: {one_line(str(exc), 80)}"
        ) from None


def _alternatives(text: str) -> list[str]:
    """The text with each of what its first braces have inside."""
    braces = _BRACES.search(text)
    if braces is None:
        return [text]
    begin, end = text[: braces.start()], text[braces.end() :]
    return [begin + inside + end for inside in braces.group(1).split(",")]


def _translated(text: str) -> str:
    """A regular expression that does not go back over what a star has matched."""
    bracketed = _ESCAPED.sub(lambda match: f"[{match.group(1)}]", text)
    return r"\A" + fnmatch.translate(bracketed)
