"""What differs from one of libvirt's drivers to the next, and what shows that a monitor was asked.

Data and one question about it. To add a driver is to add its row.
"""

from __future__ import annotations

from typing import NamedTuple

from .model import GROUPS, Stats

#: The group whose question makes QEMU look at the domain's storage.
BLOCK = "block"


#: Values that virDomainGetVcpus gives.
_OF_VCPUS = frozenset({"vcpus", "placement", "affinity"})


class Driver(NamedTuple):
    """What is known of a driver.

    :param has_monitors: it asks domains through monitors, which may be busy or hang.
    :param is_complete_in_bulk: the bulk answer has all that it knows: calls for each domain would
        add nothing to the groups.
    :param groups: those that it has; libvirtd logs an error for each call that a driver lacks.
    :param misnamed: keys under which its calls give something else than the key says.
    :param info_is_usage: virDomainGetInfo's memory is what the domain uses, not what it has.
    """

    has_monitors: bool = False
    is_complete_in_bulk: bool = False
    groups: frozenset[str] = frozenset(GROUPS)
    misnamed: frozenset[str] = frozenset()
    info_is_usage: bool = False

    def classic(self, wanted: frozenset[str]) -> frozenset[str]:
        """Those of ``model.CLASSIC`` that it has among these."""
        if self.info_is_usage and "info" in wanted:
            wanted = wanted - {"info"} | {"usage"}
        return wanted if "vcpu" in self.groups else wanted - _OF_VCPUS


_BY_CALLS = frozenset({"state", "cpu_total", "balloon", "interface", "block"})

#: By name, as virConnectGetType has it. docs/drivers.md has them for people.
DRIVERS: dict[str, Driver] = {
    "QEMU": Driver(has_monitors=True, is_complete_in_bulk=True),
    # What it calls swap_in is no counter: it is the memory and swap in use.
    "LXC": Driver(
        groups=_BY_CALLS, misnamed=frozenset({"balloon.swap_in"}), info_is_usage=True
    ),
    "TEST": Driver(groups=_BY_CALLS | {"vcpu"}),
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
