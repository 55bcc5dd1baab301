"""What answers teach, late or not: who answers, how long that takes, what is idle, which devices.

Answers in, knowledge into the books whose it is. Nothing is decided or asked here.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..drivers import BLOCK, shows_monitor
from ..model import NO_DEVICES, Stats
from .disk_sizes import DiskSizes
from .idle import IdleGroups
from .pace import Pace
from .roster import Roster, Standing
from .rounds import Call
from .xml_book import XmlBook


class Lessons:
    """Of one hypervisor.

    :param free_groups: those that never need the monitor.
    :ivar has_monitors: whether the driver has monitors that can be busy (QEMU's has).
    """

    def __init__(
        self,
        free_groups: frozenset[str],
        pace: Pace,
        roster: Roster,
        xml: XmlBook,
        idle: IdleGroups,
        sizes: DiskSizes,
    ) -> None:
        self.has_monitors = True
        self._free_groups = free_groups
        self._pace = pace
        self._roster = roster
        self._xml = xml
        self._idle = idle
        self._sizes = sizes

    def learn_from(
        self, call: Call, records: Sequence[tuple[str, Stats]], now: float
    ) -> set[str]:
        """A call for monitors has answered: uuid and statistics of each domain.

        :returns: the domains whose monitors were asked, or have none.
        """
        if not call.stuck:
            self._pace.learn(now - call.made, len(call.uuids))
        answered = call.made if call.late else now  # a late one came after a wait for another
        with_block = BLOCK in call.groups
        groups = call.groups - self._free_groups
        learns_sizes = with_block and self._sizes.are_wanted
        learns_idle = not groups.isdisjoint(self._idle.groups)
        members, complete = self._roster.members, set()
        for uuid, stats in records:
            member = members.get(uuid)
            if member is None:
                continue
            self._xml.see(uuid, stats)  # devices may have been plugged in or out, or disks moved
            has_monitor = member.active and self.has_monitors
            if has_monitor and not shows_monitor(stats, groups):
                continue
            complete.add(uuid)
            if learns_idle and has_monitor:
                self._idle.learn(uuid, stats, call.groups, now)
            if learns_sizes:
                images = self._xml.devices.get(uuid, NO_DEVICES).images
                self._sizes.complete(uuid, stats, images, asked=uuid in call.sized, now=now)
            if call.late and member.standing is not Standing.RESPONSIVE:
                continue  # it has to answer in time once
            self._roster.answered(member, call.made, answered, with_block and member.active)
        return complete
