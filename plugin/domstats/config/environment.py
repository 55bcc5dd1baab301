"""Variables in a text, replaced from the environment as Telegraf replaces them in its own tables.

Telegraf 1.38 and later look for them in texts only, after the file is parsed. They are Docker
Compose's: ``${NAME}``, ``$NAME``, ``${NAME:-default}``, ``${NAME-default}``, ``${NAME:+text}``,
``${NAME+text}``, ``${NAME:?message}``, ``${NAME?message}``, and ``$$`` for a plain ``$``. Anything
else with a ``$`` stays as it is, ``^web$`` and ``${1}`` among it.

There is one difference: Telegraf leaves a variable that is not set as text, or empty; here it is a
mistake, since such a text never means anything.

Source: config/envvar.go of Telegraf 1.39 and template/template.go of compose-go 1.20.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import ConfigError
from ..shown import one_line

_VARIABLE = re.compile(
    r"""\$(?:(?P<escaped>\$)
         |(?P<named>[_a-z][_a-z0-9]*)
         |\{(?:(?P<braced>[_a-z][_a-z0-9]*(?::?[-+?].*)?)\})?)""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_BRACED = re.compile(r"(\w+)(?:(:?[-+?])(.*))?", re.ASCII)


class _NoTemplateError(Exception):
    """It looks like a variable and is none: Telegraf leaves all of it alone."""


def replaced(text: str, environment: Mapping[str, str]) -> str:
    """The text with the values of its variables.

    :raises ConfigError: a variable is not set, or the text itself says that it must be.
    """
    unset: dict[str, str] = {}

    def of_match(match: re.Match[str]) -> str:
        seen: dict[str, str] = {}
        try:
            value = _value(match.group(), environment, seen)
        except _NoTemplateError:
            return match.group()
        unset.update(seen)
        return value

    try:
        result = _VARIABLE.sub(of_match, text)
    except RecursionError:
        raise ConfigError("found variables within variables, nested too deeply") from None
    if unset:
        raise ConfigError(*(_complaint(name, why) for name, why in unset.items()))
    return result


def _complaint(name: str, why: str) -> str:
    if why:
        return f"found the variable {name}, which has to have a value: {one_line(why, 200)}"
    return (
        f"found the variable {name}, which is not set in the environment: set it for Telegraf, or"
        f" with environment on [[inputs.execd]]; or write ${{{name}:-…}} with what counts without"
        " it, or $$ where a plain $ is meant"
    )


def _inner(text: str, environment: Mapping[str, str], unset: dict[str, str]) -> str:
    """A text within or behind a variable."""
    return _VARIABLE.sub(lambda match: _value(match.group(), environment, unset), text)


def _value(template: str, environment: Mapping[str, str], unset: dict[str, str]) -> str:
    """What stands in place of one match of ``_VARIABLE``, which may reach beyond its own brace.

    :param unset: gets variables without a value by their names, with a message where there is one.
    :raises _NoTemplateError: it is no variable.
    """
    end = _end(template)
    template, rest = template[:end], template[end:]
    match = _VARIABLE.match(template)
    if match is None:
        raise _NoTemplateError
    if match["escaped"]:
        return "$"
    parts = _BRACED.fullmatch(match["named"] or match["braced"] or "")
    if parts is None:
        raise _NoTemplateError
    name, operator, word = parts.groups()
    value = environment.get(name)
    has_value = bool(value) if operator and operator.startswith(":") else value is not None
    unset_in_word: dict[str, str] = {}
    other = _inner(word or "", environment, unset_in_word)
    takes_other = {"-": not has_value, "+": has_value}.get((operator or "?")[-1], False)
    if takes_other:
        unset.update(unset_in_word)
        value = other
    elif not has_value and (not operator or operator.endswith("?")):
        unset[name] = other
        return ""
    return (value or "") + _inner(rest, environment, unset)


def _end(template: str) -> int:
    """Where the brace ends that a template begins with; its length if nothing closes it."""
    depth = 0
    for match in re.finditer(r"\$\{|\}", template):
        depth += 1 if match.group() == "${" else -1
        if depth == 0:
            return match.end()
    return len(template)
