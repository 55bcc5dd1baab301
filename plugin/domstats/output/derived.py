"""What is worked out of a hypervisor's samples beyond what libvirt says: rates by the second, and
the sums of all domains beside their host.

Both come from one reading of the counters. It is made of each domain as it goes by while its round
goes on; nothing of its statistics is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Optional

from ..model import DomainSample, Sample
from . import rate_tables
from .rate_tables import RateGroup

if TYPE_CHECKING:
    from ..host_totals import HostTotals
    from .host_tables import HostGroup


class Derived:
    """What is worked out for one writer, which makes it only if one of these is wanted.

    :param rates: whether each domain's rates are sent.
    :param host: whether the host's figures are.
    """

    def __init__(self, *, rates: bool, host: bool) -> None:
        self.sends_rates = rates
        from ..rates import Rates  # few want them, and each agent's memory counts

        self._rates = Rates()
        self._totals: Optional[HostTotals] = None
        if host:
            from ..host_totals import HostTotals

            self._totals = HostTotals()

    def of(self, domain: DomainSample, sample: Sample) -> Iterator[RateGroup]:
        """A domain of a sample, or of a part of it: its rates, if they are sent.

        Exhaust it. When all have been asked for, ``end`` is to be called.
        """
        found = self._rates.of(domain, sample)
        if self._totals is not None:
            self._totals.add(domain, found)
        if self.sends_rates:
            yield from rate_tables.groups_of(found)

    def end(self, sample: Sample) -> Iterator[HostGroup]:
        """A round is over, and this is its own sample: the host's figures, if they are sent.

        Exhaust it.
        """
        self._rates.end(sample)
        if self._totals is not None:
            from .host_tables import groups_of

            yield from groups_of(sample, self._totals.end(sample), self._totals.shares(sample))
