"""A test that holds for each row of a table, and that names every row for which it does not.

``pytest.mark.parametrize`` makes a test of each row, and each test costs some milliseconds whatever
it checks. Here the whole table is one test.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any, Callable, Union

import pytest

_Test = Callable[..., None]


def each_row(names: Union[str, Iterable[str]], table: Iterable[Any]) -> Callable[[_Test], _Test]:
    """The test is run for each row, and fails once, with all rows that are wrong.

    :param names: what the row's values are called by the test; of a single one, its name alone.
    :param table: a tuple of values each; of a single name, the value itself.

    Tables may be stacked. A fixture is the same for all rows.
    """
    rows = list(table)
    assert rows, "a test of nothing"
    single = isinstance(names, str)
    keys = [names] if isinstance(names, str) else list(names)

    def folded(test: _Test) -> _Test:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def run(**others: Any) -> None:
            wrong: list[str] = []
            for row in rows:
                values = dict(zip(keys, (row,) if single else row))
                assert len(values) == len(keys), f"a row of another length: {row!r}"
                try:
                    test(**values, **others)
                except (Exception, pytest.fail.Exception) as error:
                    told = " ".join(f"{name}={value!r}" for name, value in values.items())
                    wrong.append(f"{told}\n    {_where(error)}{type(error).__name__}: {error}")
            assert not wrong, f"{len(wrong)} of {len(rows)} rows:\n" + "\n".join(wrong)

        left = [value for name, value in signature.parameters.items() if name not in keys]
        assert len(left) == len(signature.parameters) - len(keys), f"the test does not take {keys}"
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return folded


def _where(error: BaseException) -> str:
    """The line of the test that failed, which is the last one in its file."""
    found = ""
    trace = error.__traceback__
    file = trace.tb_next.tb_frame.f_code.co_filename if trace and trace.tb_next else ""
    while trace:
        if trace.tb_frame.f_code.co_filename == file:
            found = f"line {trace.tb_lineno}, "
        trace = trace.tb_next
    return found
