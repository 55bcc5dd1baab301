"""Scouts: storage that the storage watch may not probe is tried by a domain in each round.

A question about its disks freezes a domain whose storage hangs. Where nothing else tells whether it
does, one domain for each such storage is asked first, and the others follow when it has answered.
So storage that hangs freezes its scout and nobody else, until ``roster`` has drawn its conclusions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .roster import Member

_NOWHERE: frozenset[str] = frozenset()


class Scouts:
    """Who goes ahead in one round, on which storage.

    :param late: by call: the storages whose scouts were in it and were not back when their round
        ended. No round sends another one there until the call is back, or the scout is known to
        hang.
    """

    def __init__(self, late: Mapping[int, frozenset[str]] = {}) -> None:
        self._late = late
        #: By storage: the domain that was sent ahead and is not back.
        self._out: dict[str, str] = {}
        #: The storages of which a scout has told that they answer.
        self._well: set[str] = set()
        #: Scouts that came back and told nothing, as their monitors were busy.
        self._in_vain: set[str] = set()

    @property
    def are_out(self) -> bool:
        """Whether a scout is not back yet."""
        return bool(self._out)

    def is_out(self, uuid: str) -> bool:
        """Whether this domain is a scout that is not back yet."""
        return uuid in self._out.values()

    def first(self, members: list[Member]) -> list[Member]:
        """The domains in their order, but that the scouts go ahead."""
        if not self._out:
            return members
        return sorted(members, key=lambda member: not self.is_out(member.uuid))

    def waiting(self, uuids: Iterable[str], lies_on: Mapping[str, frozenset[str]]) -> set[str]:
        """Those of the domains that are to wait for a scout. The others may be asked for their
        disks now: scouts, who are chosen here where a storage has none, and who need none.

        :param uuids: domains that could be asked, the best scouts first.
        :param lies_on: by domain: the storages that cannot be probed.
        """
        waiting = set()
        late = frozenset().union(*self._late.values())
        for uuid in sorted(uuids, key=self._in_vain.__contains__):
            untold = lies_on.get(uuid, _NOWHERE) - self._well
            if not untold or self.is_out(uuid):
                continue
            without_scout = untold - self._out.keys() - late
            if without_scout:
                self._out.update(dict.fromkeys(without_scout, uuid))
            else:
                waiting.add(uuid)
        return waiting

    def sent_to(self, uuids: Collection[str]) -> frozenset[str]:
        """The storages on which one of these domains is a scout that is not back yet."""
        return frozenset(storage for storage, uuid in self._out.items() if uuid in uuids)

    def back(self, uuids: Collection[str], answered: Collection[str]) -> bool:
        """A call for these domains is back.

        :param answered: those of them that have answered about their disks.
        :returns: whether a scout was among them: who waits for it is to be looked at again.
        """
        back = self.sent_to(uuids)
        for storage in back:
            uuid = self._out.pop(storage)
            if uuid in answered:
                self._well.add(storage)
            else:
                self._in_vain.add(uuid)
        return bool(back)
