"""What a call asks: which groups in bulk, and what else by calls for each domain.

Groups in, the fields of a call out. Who is asked, and when, is decided in ``engine``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..domain_xml.disk_counters import COUNTERS, counted_disks
from ..drivers import BLOCK
from ..model import CLASSIC_OF_GROUP, MONITOR_FREE_GROUPS
from .actions import EngineSettings, Hints
from .disk_sizes import DiskSizes
from .rounds import Call, Query
from .xml_book import XmlBook

#: What stands for a group in the fast lane.
_CLASSIC_OF_FAST_LANE = {"cpu_total": frozenset({"cpu"})}


class Questions:
    """Words the calls of one hypervisor."""

    def __init__(
        self, settings: EngineSettings, hints: Hints, xml: XmlBook, sizes: DiskSizes
    ) -> None:
        self._settings = settings
        self._hints = hints
        self._xml = xml
        self._sizes = sizes

    def of_monitors(self, call: Call) -> None:
        """Fill in what a call asks that may ask monitors, for its groups."""
        groups, classic = call.groups, self._settings.by_classic_calls
        call.bulk = groups.difference(classic, (COUNTERS,))
        if COUNTERS in groups:
            call.counted = {
                uuid: counted_disks(self._xml.disks_seen(uuid), devices)
                for uuid in call.uuids
                if (devices := self._xml.devices.get(uuid)) is not None
            }
        if BLOCK in groups and self._sizes.are_wanted and self._hints.guards_storage:
            unseen = self._hints.on_blind()
            seen = [uuid for uuid in call.uuids if uuid not in unseen]
            call.sized = self._sizes.due(seen, self._xml.devices)
        call.classic = _of_groups(classic, groups) | self._of_mapping(groups)
        if self._settings.disk_errors and BLOCK in groups:
            call.classic |= {"errors"}
        if self._settings.job_values and groups != {BLOCK}:  # it has been asked for all else
            call.classic |= self._settings.job_values

    def answered_without_monitor(self, query: Query) -> frozenset[str]:
        """The groups of a query that a call without the monitor answers."""
        if query.fast:
            return query.groups
        quarantine, classic = self._settings.quarantine_groups, self._settings.by_classic_calls
        return (query.groups & quarantine) | query.groups.intersection(classic)

    def without_monitor(self, call: Call, query: Query) -> None:
        """Fill in what a call asks that asks no monitor, for its query."""
        groups, classic = query.groups, self._settings.by_classic_calls
        if query.fast:
            call.bulk = groups & MONITOR_FREE_GROUPS
            call.classic = _of_groups({**_CLASSIC_OF_FAST_LANE, **classic}, groups)
        else:
            call.bulk = groups & self._settings.quarantine_groups
            values = _of_groups({**CLASSIC_OF_GROUP, **classic}, groups)
            call.classic = values | self._of_mapping(groups)

    def _of_mapping(self, groups: frozenset[str]) -> frozenset[str]:
        """Where vCPUs are and may be, if that is wanted: with the group vcpu, else alone."""
        if not self._settings.vcpu_mapping:
            return frozenset()
        if "vcpu" in groups:
            return frozenset({"placement", "affinity"})
        is_alone = "vcpu" not in self._settings.groups and groups != {BLOCK}
        return frozenset({"affinity"}) if is_alone else frozenset()


def _of_groups(by_group: Mapping[str, frozenset[str]], groups: frozenset[str]) -> frozenset[str]:
    """The values of classic calls that stand for those of the groups that have some."""
    return frozenset().union(*(by_group[group] for group in groups.intersection(by_group)))
