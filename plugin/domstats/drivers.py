"""What differs from one of libvirt's drivers to the next, and what shows that a monitor was asked.

Data and one question about it. To add a driver is to add its row.
"""

from __future__ import annotations

from typing import NamedTuple

from .model import Stats

#: The group whose question makes QEMU look at the domain's storage.
BLOCK = "block"


class Driver(NamedTuple):
    """What is known of a driver.

    :param has_monitors: it asks domains through monitors, which may be busy or hang.
    :param is_complete_in_bulk: the bulk answer has all that it knows: calls for each domain would
        add nothing to the groups.
    """

    has_monitors: bool = False
    is_complete_in_bulk: bool = False


#: By name, as virConnectGetType has it.
DRIVERS: dict[str, Driver] = {
    "QEMU": Driver(has_monitors=True, is_complete_in_bulk=True),
}

#: Any other.
OTHER = Driver()


def driver_named(name: str) -> Driver:
    """:param name: as virConnectGetType has it."""
    return DRIVERS.get(name, OTHER)


# --- what shows that a monitor was asked

#: By group: a key that only a monitor tells. libvirt skips the monitor for all groups of a domain
#: at once, so one of them is evidence for all.
_EVIDENCE: tuple[tuple[str, str], ...] = (
    ("balloon", "balloon.rss"),
    ("dirtyrate", "dirtyrate.calc_status"),
)

#: Groups of a domain with disks that show it and are never idle all together.
SHOWING = frozenset({"balloon", BLOCK})


def has_answered(stats: Stats) -> bool:
    """Whether an answer has something that only a monitor tells, as those of most groups do."""
    return "block.0.rd.reqs" in stats or any(key in stats for _, key in _EVIDENCE)


def shows_monitor(stats: Stats, groups: frozenset[str]) -> bool:
    """Whether an answer for these groups is one for which the monitor was asked.

    True as well when these groups leave no evidence.
    """
    if "block.0.rd.reqs" in stats and BLOCK in groups:
        return True  # as most have
    asked = False
    for group, key in _EVIDENCE:
        if group in groups:
            if key in stats:
                return True
            asked = True
    if BLOCK in groups and stats.get("block.count"):
        # Indexes may have holes, and drives may be empty.
        return any(key.endswith(".rd.reqs") for key in stats)
    return not asked
