"""A folded table checks every row, and its failure names each one that is wrong."""

from __future__ import annotations

import pytest

from tests.unit.rows import each_row


def failure(test) -> str:
    with pytest.raises(AssertionError) as caught:
        test()
    return str(caught.value)


def test_all_rows_that_are_wrong_are_named_and_no_others() -> None:
    @each_row(("number", "double"), [(1, 2), (2, 5), (3, 6), (4, "x")])
    def doubled(number, double):
        assert number * 2 == double, "odd"

    text = failure(doubled)
    assert text.startswith("2 of 4 rows:\n")
    assert "number=2 double=5\n" in text
    assert "number=4 double='x'\n" in text
    assert "AssertionError: odd" in text
    assert "number=1 " not in text
    assert "number=3 " not in text


def test_an_error_or_a_refusal_that_did_not_come_is_a_wrong_row_too() -> None:
    @each_row("text", ["1", "one"])
    def refused(text):
        with pytest.raises(ValueError, match="invalid literal"):
            int(text)

    @each_row("text", ["1", "one"])
    def taken(text):
        int(text)

    assert failure(refused).startswith("1 of 2 rows:\ntext='1'\n")
    assert failure(taken).startswith("1 of 2 rows:\ntext='one'\n")


def test_stacked_tables_are_checked_in_each_combination() -> None:
    seen = []

    @each_row("one", [1, 2])
    @each_row("other", "ab")
    def pair(one, other):
        seen.append((one, other))

    pair()
    assert seen == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


def test_a_table_without_rows_or_with_names_that_the_test_does_not_take_is_refused() -> None:
    with pytest.raises(AssertionError, match="a test of nothing"):
        each_row("one", [])
    with pytest.raises(AssertionError, match="does not take"):
        each_row("one", [1])(lambda other: None)
