"""For how long somebody has been in domains' monitors, as looks at them tell.

libvirt says so itself (state OCCUPIED), but not of a domain with a job under way: that is in state
JOB while somebody is in its monitor, with the time since the job began. So it is counted here, from
look to look. Pure: no thread, clock or libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.actions import Controls
from ..hypervisor.connection import CONTROL_JOB, CONTROL_OCCUPIED, Control

#: What is counted from the first look on: more than nothing.
_FIRST_S = 0.001
#: Seconds after which a domain that was not looked at again is forgotten.
_FORGET_S = 120.0


class Occupancy:
    """Of one hypervisor's domains."""

    def __init__(self) -> None:
        #: By uuid, of domains that were in state JOB: their first look as such, and their last.
        self._in_job: dict[str, tuple[float, float]] = {}

    def of(self, controls: Mapping[str, Control], now: float) -> Controls:
        """What a look has found, at ``now`` in seconds.

        A domain with a job counts as not occupied, and for how long somebody is in its monitor is
        told all the same; nobody knows whether it was the same one in all looks.
        """
        found: Controls = {}
        for uuid, control in controls.items():
            if control.state != CONTROL_JOB:
                self._in_job.pop(uuid, None)
                found[uuid] = (control.state == CONTROL_OCCUPIED, control.busy_s)
                continue
            first, _ = self._in_job.get(uuid, (now - _FIRST_S, now))
            self._in_job[uuid] = first, now
            found[uuid] = (False, now - first)
        self._in_job = {
            uuid: (first, last)
            for uuid, (first, last) in self._in_job.items()
            if now - last < _FORGET_S
        }
        return found
