"""What rounds ask for, and how: the part of the settings that the engine heeds.

``config.settings`` has all of them, ``engine.actions`` what the engine is told besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import msgspec

from .model import GROUPS, MONITOR_FREE_GROUPS


class RoundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one hypervisor is sampled.

    :param uri: libvirt's connection URI.
    :param groups: the stats groups that have to be asked, by whatever query, and no others.
    :param by_classic_calls: groups that are not asked in bulk, with the values (of
        ``model.CLASSIC``) that are all that is needed of them: calls of each domain's own tell
        these, without the monitor.
    :param every: by group that not every round is to ask for: the seconds between two that do.
    :param idle_refresh: seconds after which a group that had nothing to tell of a domain is asked
        for again.
    :param vcpu_mapping: whether to ask which physical CPUs each vCPU may run on.
    :param lanes: monitor calls that may be under way at a time, at most.
    :param one_of_many: whether this process samples many hypervisors: then each has as few lanes,
        threads and connections as its rounds need.
    :param list_within: seconds in which it has to give its list of domains, or its round is over;
        None: as long as a round may take.
    :param chunk_size: domains in one of them at most.
    :param soft_deadline: seconds after which a call is taken for stuck; None: learned.
    :param stuck_budget: stuck calls at most before safe mode.
    :param quarantine_groups: what domains that do not answer are asked for.
    :param occupancy_watch: whether a monitor that is busy for long counts as hanging.
    :param events: the kinds of events to report, of ``model.EVENT_KINDS``.
    """

    uri: str = "qemu:///system"
    groups: frozenset[str] = frozenset(GROUPS)
    by_classic_calls: Mapping[str, frozenset[str]] = {}
    every: Mapping[str, float] = {}
    idle_refresh: float = 60.0
    vcpu_mapping: bool = False
    lanes: int = 4
    one_of_many: bool = False
    list_within: Optional[float] = None
    chunk_size: int = 64
    soft_deadline: Optional[float] = None
    stuck_budget: int = 6
    quarantine_groups: frozenset[str] = MONITOR_FREE_GROUPS
    occupancy_watch: bool = True
    events: tuple[str, ...] = ()
