"""Variables in Telegraf's texts."""

from __future__ import annotations

import sys

import pytest
from domstats.config.environment import replaced
from domstats.errors import ConfigError

from tests.unit.rows import each_row

ENVIRONMENT = {"A": "one", "B_2": "two", "EMPTY": "", "TRICKY": "$A}"}


@each_row(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${A}", "one"),
        ("$A", "one"),
        ("$A/${B_2}-$A.", "one/two-one."),
        ("${A}b", "oneb"),
        ("${TRICKY}", "$A}"),  # a value is not looked at again
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${X:-x}", "x"),
        ("${X-x y:/-?}", "x y:/-?"),
        ("${X:-}", ""),
        ("${A:-x}", "one"),
        ("${X:-${A}}", "one"),
        ("${X:-${Y:-$A}-z}", "one-z"),
        ("${A:-$UNSET}", "one"),  # nobody needs it
        ("${X:-x}/${A}", "x/one"),
        ("${A:+set}", "set"),
        ("${X:+set}", ""),
        ("${EMPTY:+set}", ""),
        ("${EMPTY+set}", "set"),
        ("${A:?must}", "one"),
        ("${EMPTY?must}", ""),
    ],
)
def test_a_variable_is_replaced_by_its_value(text: str, expected: str) -> None:
    assert replaced(text, ENVIRONMENT) == expected


@each_row(
    ("text", "expected"),
    [
        ("/^web-.*$/", "/^web-.*$/"),
        ("web$", "web$"),
        ("$1 ${1} ${} ${", "$1 ${1} ${} ${"),
        ("^a$|^b$", "^a$|^b$"),
        ("$(id) $[1]", "$(id) $[1]"),
        ("${A-", "${A-"),
        ("${A b}", "${A b}"),
        ("${X:-x\ny}", "${X:-x\ny}"),
        ("${X:-${1}}", "${X:-${1}}"),
        ("$é", "$é"),
    ],
)
def test_a_dollar_sign_that_begins_no_variable_stays(text: str, expected: str) -> None:
    assert replaced(text, ENVIRONMENT) == expected


@each_row(("text", "expected"), [("$$A", "$A"), ("/x$$/", "/x$/"), ("$$$A", "$one")])
def test_two_dollar_signs_are_one(text: str, expected: str) -> None:
    assert replaced(text, ENVIRONMENT) == expected


@each_row(
    ("text", "names"),
    [
        ("$X", "X"),
        ("${X}", "X"),
        ("$Ab", "Ab"),
        ("${X:-$Y}", "Y"),
        ("${X-x}$Y", "Y"),
        ("$X $Y $X", "XY"),
        ("${EMPTY:-${Y}}", "Y"),
    ],
)
def test_variables_that_are_not_set_are_told_by_name(text: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replaced(text, ENVIRONMENT)
    told = caught.value.mistakes
    assert [text.split(",")[0] for text in told] == [
        f"found the variable {name}" for name in ([names] if names == "Ab" else names)
    ]
    assert all("is not set in the environment" in text for text in told)


@each_row("text", ["${X:?say it}", "${X?say it}", "${EMPTY:?say it}"])
def test_a_variable_that_must_be_set_is_told_with_its_message(text: str) -> None:
    with pytest.raises(ConfigError, match="which has to have a value: say it"):
        replaced(text, ENVIRONMENT)


def test_a_text_made_to_exhaust_us_is_refused() -> None:
    depth = sys.getrecursionlimit()
    with pytest.raises(ConfigError, match="nested too deeply"):
        replaced("${X:-" * depth + "}" * depth, ENVIRONMENT)
