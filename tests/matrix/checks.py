"""What is tested in each Debian, and what a page says of it."""

from __future__ import annotations

from typing import NamedTuple

#: From the oldest to the newest.
SUITES = {
    "bullseye": "Debian 11",
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "sid": "sid",
}
#: Between those of the suites; each is tested where the machine has it, without guests.
INTERPRETERS = {"python3.10": "Python 3.10", "python3.12": "Python 3.12"}
TITLES = {**SUITES, **INTERPRETERS}


class Check(NamedTuple):
    """Tests of one kind.

    :param place: the folder or file that they lie in, by which their results are found again.
    :param names: those of the file that are run, if not all.
    """

    title: str
    place: str
    names: tuple[str, ...] = ()


UNIT = (
    Check("unit tests", "tests/unit"),
    Check("sources, pages and packaging", "tests/project"),
    Check("the command, as a process and on a screen", "tests/command"),
    Check("against a simulated libvirtd", "tests/simhost"),
)
#: With real guests, and domstats as the packages install it.
GUESTS = (
    Check(
        "identifiers and values as of collectd's `virt`", "tests/system/test_same_as_collectd.py"
    ),
    Check(
        "measurements, tags, fields, types and values as of Telegraf's `inputs.libvirt`",
        "tests/system/test_same_as_telegraf.py",
        (
            "test_the_series_telegraf_tells_exactly_what_inputs_libvirt_tells",
            "test_the_full_series_adds_uuid_device_time_ns_and_rounds_and_nothing_else",
            "test_where_a_vcpu_is_unplugged_the_others_keep_their_own_numbers",
        ),
    ),
    Check(
        "one hung guest of twenty costs nobody else a sample, in collectd and in Telegraf",
        "tests/system/test_hung_guests.py",
        (
            "test_the_others_have_everything_in_every_interval",
            "test_a_hung_guest_gets_no_call_stuck_and_makes_no_round_longer",
            "test_a_hung_guest_keeps_state_cpu_time_vcpu_time_and_network",
            "test_a_hung_guest_is_reported",
            "test_collectd_notifies_of_a_hung_guest_and_of_its_return",
            "test_a_guest_that_is_back_is_complete_within_three_rounds",
            "test_no_value_is_out_of_order",
        ),
    ),
    Check(
        "storage hangs: nobody beside it misses anything, asking freezes no guest",
        "tests/system/test_storage_hung.py",
    ),
    Check(
        "agents of an ordinary user: the same, where the storage is closed to him",
        "tests/system/test_storage_not_probed.py",
    ),
    Check(
        "libvirtd is killed and started again, and samples go on",
        "tests/system/test_libvirtd_restarts.py",
    ),
)
CHECKS = UNIT + GUESTS


def arguments(check: Check) -> list[str]:
    """What pytest is given to run it."""
    return [f"{check.place}::{name}" for name in check.names] or [check.place]


def check_of(classname: str) -> Check:
    """To which check a test belongs, by the name of its class in JUnit's form."""
    place = classname.replace(".", "/")
    return next(
        check for check in CHECKS if f"{place}/".startswith(check.place.removesuffix(".py") + "/")
    )
