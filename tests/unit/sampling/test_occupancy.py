"""For how long monitors are busy, also those of domains with a job."""

from __future__ import annotations

import pytest
from domstats.hypervisor.connection import CONTROL_JOB, CONTROL_OCCUPIED, Control
from domstats.sampling.occupancy import Occupancy

OK = Control(0, 0.0)
OCCUPIED = Control(CONTROL_OCCUPIED, 7.0)
#: The job began long ago.
IN_JOB = Control(CONTROL_JOB, 3600.0)


def test_libvirt_says_for_how_long_a_monitor_is_occupied() -> None:
    assert Occupancy().of({"a": OCCUPIED, "b": OK}, 5.0) == {"a": (True, 7.0), "b": (False, 0.0)}


def test_of_a_domain_with_a_job_the_time_counts_from_the_first_look_on() -> None:
    occupancy = Occupancy()
    looks = [(5.0, IN_JOB), (6.0, IN_JOB), (8.0, IN_JOB), (9.0, OK), (10.0, IN_JOB)]
    found = [occupancy.of({"a": control}, at)["a"] for at, control in looks]
    assert [is_occupied for is_occupied, _ in found] == [False] * 5
    assert [seconds for _, seconds in found] == pytest.approx([0, 1, 3, 0, 0], abs=0.01)
    assert [bool(seconds) for _, seconds in found] == [True, True, True, False, True]


def test_a_domain_that_is_not_looked_at_for_long_begins_anew() -> None:
    occupancy = Occupancy()
    occupancy.of({"a": IN_JOB}, 0.0)
    occupancy.of({"b": IN_JOB}, 300.0)
    assert occupancy.of({"a": IN_JOB}, 301.0)["a"][1] < 0.01
