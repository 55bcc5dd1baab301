"""What of a domain's lines is wanted, as far as the stats groups do not say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional

import msgspec


class LineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which fields and devices are written. It is asked when a domain's shape changes, not in each
    round.

    :param field: called with a measurement and a field; None: all are wanted.
    :param devices: by stats group: called with a domain's name and a device's.
    :param totals: the groups of whose devices there is one line together, not one for each.
    """

    field: Optional[Callable[[str, str], bool]] = None
    devices: Mapping[str, Callable[[str, str], bool]] = {}
    totals: frozenset[str] = frozenset()

    def wants_field(self, measurement: str, field: str) -> bool:
        """Whether a field is written."""
        return self.field is None or self.field(measurement, field)

    @property
    def depends_on_names(self) -> bool:
        """Whether a device's name may decide what is written without being written itself."""
        return self.field is not None or bool(self.devices)


EVERYTHING = LineFilter()
