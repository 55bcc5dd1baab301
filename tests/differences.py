"""Every difference from the two peers, by the names that docs/migrating.md gives them.

With each stands the test that shows it in the real peer, or else where it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping

_BESIDE_VIRT = "tests/system/test_where_virt_differs.py::"
_KEYS_OF_VIRT = (
    "tests/system/test_every_key_of_virt.py::test_each_value_of_each_key_is_that_of_virt"
)
_BLOCKS = "tests/system/test_virt_options.py::test_the_same_block_gives_the_same"
_REFRESH = (
    f"{_BESIDE_VIRT}test_between_two_refreshes_virt_has_the_guests_and_devices_of_the_last_one"
)
_KEYS_OF_TELEGRAF = (
    "tests/system/test_every_key.py::"
    "test_each_field_of_each_documented_key_is_that_of_inputs_libvirt"
)
_TELEGRAF_OPTIONS = "tests/system/test_telegraf_configuration.py::"
#: `python -m bench resilience` measures it with real guests; its figures are in docs/resilience.md.
_MEASURED = "docs/resilience.md"
#: It is to be read in collectd's source.
_SOURCE = "collectd 5.12, src/virt.c"

FROM_VIRT: Mapping[str, str] = {
    "hung-guest": f"{_BESIDE_VIRT}test_one_hung_guest_silences_virt",
    "hung-storage": _MEASURED,
    "refresh": _REFRESH,
    "ghosts": _REFRESH,
    "paused-guests": _REFRESH,
    "cpu-percent": f"{_BESIDE_VIRT}test_cpu_percent_is_missing_after_each_refresh_of_virts",
    "long-names": f"{_BESIDE_VIRT}test_names_that_differ_beyond_127_bytes_are_one_to_virt",
    "no-metadata": _BLOCKS,
    "swap-io": _KEYS_OF_VIRT,
    "page-faults": _KEYS_OF_VIRT,
    "huge-pages": _KEYS_OF_VIRT,
    "disk-errors": _KEYS_OF_VIRT,
    "vcpu-numbers": _KEYS_OF_VIRT,
    "instances": (
        f"{_BESIDE_VIRT}test_with_two_instances_virt_has_each_domain_twice_whatever_its_tag"
    ),
    "extra-stats-lines": _BLOCKS,
    "notices-by-round": (
        "tests/unit/output/test_state_notices.py::"
        "test_a_change_is_notified_of_once_in_virts_words"
    ),
    "notices-of-others": _BLOCKS,
    "notices-at-start": (
        f"{_BESIDE_VIRT}"
        "test_virt_notifies_of_a_domain_that_is_defined_and_twice_of_one_that_starts"
    ),
    "notices-not-persistent": (
        f"{_BESIDE_VIRT}"
        "test_with_persistent_notification_virt_leaves_out_domains_that_are_not_persistent"
    ),
    "notices-suspended": _SOURCE,
    "file-systems": (
        "tests/system/test_guest_agent.py::"
        "test_collectd_is_notified_of_file_systems_as_by_virt_and_gets_their_sizes_besides"
    ),
    "completed-jobs": (
        "tests/system/test_jobs.py::"
        "test_the_job_that_has_ended_has_the_identifiers_and_values_of_virt_and_is_left_there"
    ),
    "own-values": (
        "tests/system/test_hung_guests.py::test_collectd_notifies_of_a_hung_guest_and_of_its_return"
    ),
    "one-timestamp": f"{_BESIDE_VIRT}test_one_hung_guest_silences_virt",
    "busy-monitor": (
        "tests/system/test_same_as_telegraf.py::"
        "test_the_full_series_adds_uuid_device_time_ns_and_rounds_and_nothing_else"
    ),
    "idle-memory": (
        "tests/system/test_idle_groups.py::"
        "test_collectd_gets_the_memory_of_guests_whose_balloon_tells_nothing"
    ),
    "file-lengths": (
        "tests/unit/engine/test_disk_sizes.py::"
        "test_all_are_asked_again_in_five_minutes_and_never_many_in_one_round"
    ),
    "remote-cpu-time": (
        "tests/unit/config/test_settings.py::"
        "test_over_a_network_nothing_is_asked_domain_by_domain_that_comes_in_bulk"
    ),
    "default-connection": _SOURCE,
    "regular-expressions": (
        "tests/unit/test_selection.py::test_an_entry_lists_what_it_names"
    ),
    "mistakes": (
        "tests/system/test_collectd_configuration.py::"
        "test_a_test_of_the_configuration_fails_for_a_wrong_option_as_with_virt"
    ),
}

FROM_INPUTS_LIBVIRT: Mapping[str, str] = {
    "hung-guest": "tests/system/test_every_key.py::test_one_hung_domain_silences_inputs_libvirt",
    "hung-storage": _MEASURED,
    "halted": _KEYS_OF_TELEGRAF,
    "cpu-time-off": _KEYS_OF_TELEGRAF,
    "vcpu-numbers": _KEYS_OF_TELEGRAF,
    "trailing-backslash": _KEYS_OF_TELEGRAF,
    "more-series": (
        "tests/system/test_same_as_telegraf.py::"
        "test_the_full_series_adds_uuid_device_time_ns_and_rounds_and_nothing_else"
    ),
    "precision": (
        f"{_TELEGRAF_OPTIONS}"
        "test_times_are_rounded_only_by_the_precision_that_the_printed_part_shows"
    ),
    "options-of-telegrafs": (
        f"{_TELEGRAF_OPTIONS}test_telegraf_takes_on_inputs_execd_what_we_send_there"
    ),
    "variables": f"{_TELEGRAF_OPTIONS}test_a_variable_that_is_not_set_is_in_telegrafs_log",
    "ssh-options": f"{_TELEGRAF_OPTIONS}test_libvirt_passes_no_known_hosts_on_to_ssh",
}
