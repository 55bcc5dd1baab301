"""What the user hears of storage: once when something begins, and once when it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator


class StorageNotices:
    """What was told last of storage that does not answer, and of storage that may not be probed."""

    def __init__(self) -> None:
        self._silent: frozenset[str] = frozenset()
        self._blind: frozenset[str] = frozenset()

    def of_silent(
        self, silent: Collection[str], still_silent: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        """Lines for the log, each a level and a text, at a round's end.

        :param silent: the storages for which domains went without their disks in the round.
        :param still_silent: those that do not answer now, whoever needs them.
        """
        for storage in sorted(frozenset(silent) - self._silent):
            yield (
                "warning",
                f"storage {storage} does not answer: until it does, disks on it have no sizes"
                " (with libvirt 11.9 or newer no counters either)",
            )
        known = self._silent.union(silent)
        self._silent = known.intersection(still_silent)
        for storage in sorted(known - self._silent):
            yield "info", f"storage {storage} answers again"

    def of_blind(self, blind: Collection[str]) -> Iterator[tuple[str, str]]:
        """The same of the mounts that this process may not probe now."""
        before, self._blind = self._blind, frozenset(blind)
        for mount in sorted(self._blind - before):
            yield (
                "warning",
                f"no permission to probe storage {mount}; if it hangs, disk queries can freeze a"
                " domain or two: run as root, or mount with allow_other",
            )
        for mount in sorted(before - self._blind):
            yield "info", f"storage {mount} can be probed now, or holds no disks any more"
