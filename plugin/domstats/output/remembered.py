"""What a writer has worked out for each domain, while domains' samples follow each other.

It must not know what that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """What the last sample needed, no more, by the groups that it was asked for, since a domain's
    keys differ with them; and what the present one needed so far.
    """

    def __init__(self) -> None:
        self._last: dict[frozenset[str], dict[str, T]] = {}
        self._used: dict[str, T] = {}
        self._groups: frozenset[str] = frozenset()

    def of(self, groups: frozenset[str]) -> Mapping[str, T]:
        """By uuid: what the last sample that was asked for these groups needed."""
        return self._last.get(groups, {})

    def use(self, uuid: str, what: T) -> None:
        """The present sample needs this for a domain."""
        self._used[uuid] = what

    def is_used(self, uuid: str) -> bool:
        """Whether the present sample has needed something for this domain."""
        return uuid in self._used

    def end(self, groups: frozenset[str]) -> bool:
        """The present sample is over: forget whom it had no need of.

        :returns: whether it needed something for more domains than the last one, or for fewer.
        """
        before = len(self.of(groups))
        self._groups = groups
        self._last[groups], self._used = self._used, {}
        return before != len(self._last[groups])

    def by_uuid(self) -> Iterator[tuple[str, list[T]]]:
        """Whom the last sample needed something for: that, and what is kept for other groups."""
        others = [needed for groups, needed in self._last.items() if groups != self._groups]
        for uuid, what in self.of(self._groups).items():
            yield uuid, [what, *(needed[uuid] for needed in others if uuid in needed)]

    def __iter__(self) -> Iterator[T]:
        for needed in self._last.values():
            yield from needed.values()
