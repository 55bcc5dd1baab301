"""collectd's read threads, when there are more hypervisors than threads.

collectd reads all of its plugins in these threads (option ``ReadThreads``, 5), and the read of a
hypervisor that hangs holds one of them. So it is given up soon when not even a list of domains
comes, and what comes later is for the next read. Pure. It must not know collectd's module.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import msgspec

from ..config.settings import ROUND_SHARE, Settings

#: Seconds that each hypervisor has to give its list, at least.
_LEAST_S = 2.0


def share(hypervisors: Sequence[Settings], threads: int) -> tuple[list[Settings], str]:
    """Have reads of hypervisors that hang fit between the others.

    If all hang at once, their reads take no longer than an interval, as far as each of them has two
    seconds.

    :return: the settings, with ``list_within`` where needed, and what to tell the user; empty if
        there is nothing.
    """
    count = len(hypervisors)
    if count <= threads:
        return list(hypervisors), ""
    interval = min(each.interval for each in hypervisors)
    within = min(ROUND_SHARE * interval, max(_LEAST_S, interval * threads / count))
    settings = [msgspec.structs.replace(each, list_within=within) for each in hypervisors]
    fit = int(interval * threads / _LEAST_S)
    if fit >= count:
        return settings, ""
    return settings, (
        f"collectd reads {count} hypervisors with {threads} threads: if more than {fit} of them"
        " hang at once, other reads are late, those of other plugins too; set ReadThreads to"
        f" {ceil(count * _LEAST_S / interval)} or more in collectd.conf"
    )
