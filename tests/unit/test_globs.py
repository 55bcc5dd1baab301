"""Globs mean what they mean in Telegraf's filters."""

from __future__ import annotations

import pytest
from domstats.errors import ConfigError
from domstats.globs import MOST_ALTERNATIVES, glob, is_glob

from tests.unit.rows import each_row


def matches(text: str, name: str) -> bool:
    return any(pattern.search(name) for pattern in glob(text))


@each_row(
    ("text", "matching", "others"),
    [
        ("web-*", ("web-", "web-1", "web-a\nb"), ("my-web-1", "Web-1", "web")),
        ("*", ("", "anything"), ()),
        ("db-?", ("db-1",), ("db-", "db-12")),
        ("[ab]*", ("a", "b7"), ("c", "")),
        ("[!ab]*", ("c",), ("a",)),
        ("vm[0-9]", ("vm7",), ("vmx",)),
        ("{web,db}-*", ("web-1", "db-1"), ("mail-1", "{web,db}-1")),
        ("*{,-{a,b}}", ("x", "x-a"), ()),
        (r"\*-?", ("*-1",), ("a-1",)),
        (r"\{a\}*", ("{a}1",), ("a1",)),
        ("a.b*", ("a.b1",), ("axb1",)),
        ("exactly", ("exactly",), ("exactly ", "inexactly")),
    ],
)
def test_a_glob_matches_whole_names(
    text: str, matching: tuple[str, ...], others: tuple[str, ...]
) -> None:
    assert [name for name in matching if not matches(text, name)] == []
    assert [name for name in others if matches(text, name)] == []


def test_braces_alone_make_no_glob() -> None:
    assert [is_glob(text) for text in ("a*", "a?", "a[b]", "{a,b}", "a", "")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_alternatives_are_bounded() -> None:
    assert len(glob("{a,b}" * 6)) == MOST_ALTERNATIVES
    with pytest.raises(ConfigError, match="at most 64 alternatives"):
        glob("{a,b}" * 7)


def test_no_name_makes_a_match_take_for_ever() -> None:
    """With a pattern that goes back over its stars this would not end in this century."""
    assert not matches("*a" * 30 + "*b", "a" * 4000)
