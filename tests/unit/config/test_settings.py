"""What a user writes into a configuration, right or wrong, in either agent's vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from domstats.config.collectd import from_nothing
from domstats.config.options import (
    COLLECTD_OPTIONS,
    DROP_TYPES,
    EXTRA_STATS,
    NOT_BOTH,
    OPTIONS,
    OWN_EXTRA_STATS,
    SAFE_BUDGET,
    TELEGRAF_GENERIC,
    TELEGRAF_GROUPS,
    TELEGRAF_OPTIONS,
    Option,
)
from domstats.config.pages import FILES
from domstats.config.settings import Parsed, Settings, share_budget
from domstats.config.telegraf import for_uri, parse_telegraf, read_telegraf, seconds
from domstats.domain_xml.labels import METADATA_NAMESPACE, known, of_metadata, of_operator
from domstats.errors import ConfigError
from domstats.model import EVENT_KINDS, GROUPS, MONITOR_FREE_GROUPS
from domstats.output.disk_rows import OWN_EXTRA_STATS as REPORTED_OWN_EXTRA_STATS
from domstats.output.schema import RESERVED_TAGS
from domstats.output.virt_schema import EXTRA_STATS as REPORTED_EXTRA_STATS
from domstats.output.virt_schema import VALUE_LISTS
from domstats.selection import (
    Entries,
    Selection,
    domain_entries,
    entries,
    entries_with_globs,
)

from tests.blocks import BLOCK, block, line, parsed_block
from tests.unit.rows import each_row

ROOT = Path(__file__).resolve().parents[3]
FILE = "/etc/telegraf/domstats.toml"


def toml(*tables: str) -> Parsed:
    text = "".join(f"[[inputs.libvirt]]\n{table}\n" for table in tables)
    return parse_telegraf(text.encode(), FILE)


def table(text: str = "") -> Settings:
    (settings,) = toml(text).settings
    return settings


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_telegraf(text.encode(), FILE)
    return one_line_of(caught.value)


def refused_block(*lines: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed_block(*lines)
    return one_line_of(caught.value)


def one_line_of(error: ConfigError) -> str:
    message = str(error)
    assert message.isprintable(), "a message is one line without control characters"
    assert len(message) < 900  # collectd's log holds a thousand bytes
    return message


# --- Every option, right and wrong --------------------------------------------------------------

#: For each key: TOML value, the field, what it is then.
RIGHT_TOML: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "libvirt_uri": (
        ('"test:///default"', "uri", "test:///default"),
        ('"qemu+ssh://root@node-1:22/system?keyfile=/k"', "uri", None),
        ('""', "uri", "qemu:///system"),
    ),
    "domains": (
        ('["a", "b"]', "selection.domains", Entries(exact=frozenset("ab"))),
        ("[]", "selection.domains", Entries()),
        ('["a*", "/b/"]', "selection.domains", domain_entries(["a*", "/b/"])),
        (
            '["label:mine=a*"]\nlabel_xpath = { mine = "/domain/name" }',
            "selection.domains",
            domain_entries(["label:mine=a*"], ["mine"]),
        ),
        ('["label:title=a"]', "labels", (known("title"),)),
        ('["label:title=a"]', "unsent_labels", frozenset({"title"})),
        ('["label:title=a"]\nlabels = ["title"]', "unsent_labels", frozenset()),
        ('["label:title=a"]\nseries = "telegraf"', "labels", (known("title"),)),
    ),
    "domains_exclude": (
        ('["a*"]', "selection.other_domains", domain_entries(["a*"], ignored=True)),
        ("[]", "selection.other_domains", Entries()),
    ),
    "block_devices": (
        ('["a:vd*"]', "selection.block_devices", entries_with_globs(["a:vd*"])),
    ),
    "block_devices_exclude": (
        ('["/:sd/"]', "selection.other_block_devices", entries(["/:sd/"], ignored=True)),
    ),
    "interface_devices": (
        ('["a:vnet0"]', "selection.interface_devices", entries(["a:vnet0"])),
    ),
    "interface_devices_exclude": (
        ('["a:v*"]', "selection.other_interface_devices", entries_with_globs(["a:v*"], True)),
    ),
    "totals": (
        ('["block"]', "totals", frozenset({"block"})),
        ("[]", "totals", frozenset()),
        ('["block"]\nseries = "telegraf"', "totals", frozenset()),
    ),
    "fields_include": (
        ('["libvirt_cpu:*"]', "selection.fields", entries_with_globs(["libvirt_cpu:*"])),
    ),
    "fields_exclude": (
        ('["path"]', "selection.other_fields", entries_with_globs(["*:path"], ignored=True)),
    ),
    "max_series": (("40000", "max_series", 40000),),
    "statistics_groups": (
        ('["state", "block"]', "groups", frozenset({"state", "block"})),
        ('[]\nadditional_statistics = ["vcpu_mapping"]', "groups", frozenset()),
    ),
    "additional_statistics": (
        ('["vcpu_mapping"]', "vcpu_mapping", True),
        ("[]", "vcpu_mapping", False),
    ),
    "labels": (
        ('["nova_project", "title"]', "labels", (known("nova_project"), known("title"))),
        ("[]", "labels", ()),
    ),
    "label_xpath": (
        (
            '{ machine = "/domain/os/type/@machine" }',
            "labels",
            (of_operator("machine", "/domain/os/type/@machine", {}),),
        ),
        (
            '{ x = "/domain/metadata/a:x" }\nlabel_namespaces = { a = "urn:a" }',
            "labels",
            (of_operator("x", "/domain/metadata/a:x", {"a": "urn:a"}),),
        ),
    ),
    "label_namespaces": (('{ a = "urn:a" }', "labels", ()),),
    "label_refresh": (("60", "label_refresh", 60.0), ('"1h"', "label_refresh", 3600.0)),
    "events": (
        ('["lifecycle", "io_error"]', "events", ("lifecycle", "io_error")),
        ("[]", "events", ()),
        ('["lifecycle"]\nseries = "telegraf"', "events", ()),
    ),
    "series": (('"telegraf"', "series", "telegraf"), ('"full"', "series", "full")),
    "guest_agent": (("true", "guest_agent", True), ("false", "guest_agent", False)),
    "guest_agent_interval": (
        ("300", "guest_agent_interval", 300.0),
        ('"2m"', "guest_agent_interval", 120.0),
    ),
    "kvm_statistics": (("true", "kvm_statistics", True), ("true", "groups", frozenset(GROUPS))),
    "inactive": (("false", "inactive", False),),
    "interval": (
        ("5", "interval", 5.0),
        ('"1m30s"', "interval", 90.0),
        ('"500ms"', "interval", 0.5),
        ('"1h"', "interval", 3600.0),
    ),
    "every": (
        ('{ dirtyrate = "1m", iothread = 30 }', "every", {"dirtyrate": 60.0, "iothread": 30.0}),
        ("{}", "every", {}),
    ),
    "idle_refresh": (("0", "idle_refresh", 0.0), ('"2m"', "idle_refresh", 120.0)),
    "fast_interval": (("1", "fast_interval", 1.0), ('"500ms"', "fast_interval", 0.5)),
    "lanes": (("1", "lanes", 1), ("10", "lanes", 10)),
    "chunk_size": (("1", "chunk_size", 1), ("256", "chunk_size", 256)),
    "deadline": (("7.5", "deadline", 7.5), ('"1s"', "deadline", 1.0)),
    "soft_deadline": (("0.05", "soft_deadline", 0.05),),
    "stuck_budget": (("1", "stuck_budget", 1), ("10", "stuck_budget", 10)),
    "quarantine_groups": (
        ('["state"]', "quarantine_groups", frozenset({"state"})),
        ("[]", "quarantine_groups", frozenset()),
    ),
    "process_watch": (("false", "process_watch", False),),
    "storage_watch": (("false", "storage_watch", False),),
    "occupancy_watch": (("false", "occupancy_watch", False),),
    "rates": (("true", "rates", True),),
    "host": (("true", "host", True), ('true\nseries = "telegraf"', "host", False)),
    "admin_uri": (
        ('"libvirtd:///system"', "admin_uri", "libvirtd:///system"),
        ('"virtqemud:///system?socket=/s"', "admin_uri", "virtqemud:///system?socket=/s"),
    ),
    "pressure": (("true", "figures", frozenset({"pressure"})),),
    "interface_details": (
        ("true", "figures", frozenset({"interface_details"})),
        ("true", "xml_details", frozenset({"nics"})),
    ),
    "disk_throttle": (
        ("true", "figures", frozenset({"disk_throttle"})),
        ("true", "xml_details", frozenset({"throttles"})),
    ),
    "device_tags": (
        ('["disk", "interface"]', "device_tags", frozenset({"disk", "interface"})),
        ('["disk"]', "xml_details", frozenset({"disks"})),
        ('["interface"]', "xml_details", frozenset({"nics"})),
    ),
    "jobs": (("true", "job_values", {"running_job", "completed_job"}),),
}

#: For each key: TOML value, and words that the message has.
WRONG_TOML: dict[str, tuple[tuple[str, str], ...]] = {
    "libvirt_uri": (
        ("5", "found 5"),
        ('"qemu"', "found 'qemu'"),
        ('"qemu+carrier-pigeon://x/"', "connection URI"),
        ('"qemu+pigeon://x/system"', "transports are unix, ssh"),
        ('"qemu:///a b"', "connection URI"),
        ('"qemu:///system\\n"', "\\n"),
    ),
    "domains": (
        ('"a"', "as a list"),
        ("[1]", "found 1"),
        ('[""]', "found ''"),
        ('["/(/"]', "no regular expression"),
        ('["label:titel=a"]', "NAME is any of kubevirt_name, "),
        ('["label:title="]', "allowed is label:NAME=TEXT"),
        ('["label:title=/(/"]', "no regular expression"),
        (f'["{"{a,b}" * 7}*"]', "at most 64 alternatives"),
    ),
    "domains_exclude": (('["/(/"]', "option domains_exclude: "), ('"a"', "as a list")),
    "block_devices": (('["/(/"]', "option block_devices: "), ('"a"', "as a list")),
    "block_devices_exclude": (('[""]', "found ''"),),
    "interface_devices": (('["/(/"]', "option interface_devices: "),),
    "interface_devices_exclude": (("[7]", "found 7"),),
    "totals": (('["disks"]', "any of vcpu, interface, block"), ('"block"', "as a list")),
    "fields_include": (('["/(/"]', "option fields_include: "),),
    "fields_exclude": (('[""]', "found ''"),),
    "max_series": (("0", "from 1 to 1000000000"), ('"many"', "found 'many'")),
    "statistics_groups": (
        ('["blocks"]', "did you mean block?"),
        ('["state", "state"]', "each at most once"),
        ('"state"', "as a list"),
        ('["vm"]', "found 'vm'"),
        ("[]", "nothing to gather"),
    ),
    "additional_statistics": (
        ('["vcpu_maping"]', "did you mean vcpu_mapping?"),
        ('["vcpu_mapping", "vcpu_mapping"]', "each at most once"),
    ),
    "labels": (
        ('["nova_projekt"]', "did you mean nova_project?"),
        ('["title", "title"]', "each at most once"),
        ('"title"', "as a list"),
    ),
    "label_xpath": (
        ('"/domain/title"', "a table of names and texts"),
        ("{ x = 1 }", "found {'x': 1}"),
        ('{ x = "/domain/[" }', "(label 'x')"),
        ('{ x = "/domain/metadata/a:x" }', "the prefix a has no namespace, known are nova"),
        ('{ x = "/domain/nowhere[a:x]" }', "the prefix a has no namespace"),
        ('{ x = "/domain/nowhere[document(\'/etc/passwd\')]" }', "no function document"),
        ('{ x = "$$x" }', "no variables"),
        ('{ x = "" }', "XPath"),
        ('{ title = "/domain/name" }', "none that there is already"),
        ('{ "a b" = "/domain/name" }', "letters, digits and underscores"),
    ),
    "label_namespaces": (
        ('["urn:a"]', "a table of names and texts"),
        ('{ "a b" = "urn:a" }', "a prefix of letters"),
        ('{ a = "" }', "the namespace that it stands for"),
    ),
    "label_refresh": (("9", "10 to 86400"), ('"often"', "found 'often'")),
    "events": (
        ('["lifecycles"]', "did you mean lifecycle?"),
        ('["agent", "agent"]', "each at most once"),
        ('"lifecycle"', "as a list"),
    ),
    "series": (('"influx"', "one of full, telegraf"), ("true", "found True")),
    "kvm_statistics": (('"yes"', "true or false"), ("1", "found 1")),
    "guest_agent": (('"yes"', "true or false"), ("1", "found 1")),
    "guest_agent_interval": (("0.5", "1 to 86400"), ('"often"', "1 to 86400")),
    "inactive": (('"no"', "true or false"),),
    "interval": (
        ("0", "0.1 to 86400"),
        ("nan", "found nan"),
        ('"10 s"', "found '10 s'"),
        ('"1.2.3s"', "found '1.2.3s'"),
        ("true", "found True"),
        ("9" * 400, "found 999"),
    ),
    "lanes": (
        ("0", "from 1 to 10"),
        ("11", "20 workers"),
        ("2.5", "found 2.5"),
        ("true", "found True"),
        ('"4"', "found '4'"),
    ),
    "chunk_size": (("0", "from 1 to 256"), ("257", "from 1 to 256")),
    "every": (
        ("60", "found 60"),
        ("{ dirtyrat = 60 }", "did you mean dirtyrate?"),
        ("{ state = 60 }", "found 'state'"),
        ("{ perf = 0 }", "each with 1 to 86400 seconds"),
        ('{ perf = "often" }', "found 'often'"),
    ),
    "idle_refresh": (("-1", "0 to 3600"), ('"never"', "found 'never'")),
    "fast_interval": (("0.1", "0.2 to 3600"), ('"fast"', "found 'fast'")),
    "deadline": (("0", "0.1 to 3600"), ("inf", "found inf"), ("[]", "found []")),
    "soft_deadline": (("0.01", "0.05 to 3600"), ('"soon"', "found 'soon'")),
    "stuck_budget": (("0", "from 1 to 10"), ("11", "half of them stay theirs")),
    "quarantine_groups": (('["block"]', "any of state, interface, perf, memory"),),
    "process_watch": (("0", "true or false"),),
    "storage_watch": (("0", "true or false"),),
    "occupancy_watch": (("0", "true or false"),),
    "rates": (('"yes"', "true or false"),),
    "host": (('"yes"', "true or false"),),
    "admin_uri": (("true", "found True"), ('"libvirtd"', "connection URI")),
    "pressure": (('"cpu"', "true or false"),),
    "interface_details": (("1", "true or false"),),
    "disk_throttle": (("1", "true or false"),),
    "device_tags": (('["disks"]', "did you mean disk?"), ("true", "as a list")),
    "jobs": (("1", "true or false"),),
}

#: For each option: the line's values, the field, what it is then.
RIGHT_COLLECTD: dict[str, tuple[tuple[tuple[Any, ...], str, Any], ...]] = {
    "Connection": ((("test:///default",), "uri", "test:///default"),),
    "Domain": ((("web",), "selection.domains", Entries(exact=frozenset({"web"}))),),
    "DomainMatch": (
        (("web-*",), "selection.domains", domain_entries(["web-*"])),
        (("label:nova_name=a",), "labels", (known("nova_name"),)),
        (("label:nova_name=a",), "unsent_labels", frozenset({"nova_name"})),
        (
            ("label:metadata=a",),
            "labels",
            (of_metadata(METADATA_NAMESPACE, "/instance/name/text()"),),
        ),
    ),
    "DropTypes": (
        (("if_errors disk_ops",), "drop_types", frozenset({"if_errors", "disk_ops"})),
        (("If_Errors",), "drop_types", frozenset({"if_errors"})),
    ),
    "Totals": ((("block", "vcpu"), "totals", frozenset({"block", "vcpu"})),),
    "MaxSeries": (((40000.0,), "max_series", 40000), (("5",), "max_series", 5)),
    "BlockDevice": (
        (("web:vda",), "selection.block_devices", Entries(exact=frozenset({"web:vda"}))),
    ),
    "InterfaceDevice": (
        (("web:vnet0",), "selection.interface_devices", Entries(exact=frozenset({"web:vnet0"}))),
    ),
    "IgnoreSelected": (
        ((True,), "selection.domains.ignored", True),
        (("false",), "selection.domains.ignored", False),
        (("on",), "selection.block_devices.ignored", True),
        (("Yes",), "selection.interface_devices.ignored", True),
    ),
    "HostnameFormat": (
        (("uuid",), "hostname_format", ("uuid",)),
        (("name", "uuid"), "hostname_format", ("name", "uuid")),
        (("hostname name",), "hostname_format", ("hostname", "name")),
        (("UUID",), "hostname_format", ("uuid",)),
        (
            ("metadata",),
            "labels",
            (of_metadata(METADATA_NAMESPACE, "/instance/name/text()"),),
        ),
    ),
    "PluginInstanceFormat": (
        (("none",), "plugin_instance_format", ()),
        (("name", "uuid"), "plugin_instance_format", ("name", "uuid")),
        (("name", "none", "uuid"), "plugin_instance_format", ("name",)),
        (("name", "none", "metadata"), "labels", ()),
        (
            ("name metadata",),
            "labels",
            (of_metadata(METADATA_NAMESPACE, "/instance/name/text()"),),
        ),
    ),
    "HostnameMetadataNS": ((("urn:a",), "labels", ()),),
    "HostnameMetadataXPath": ((("/a/@b",), "labels", ()),),
    "GuestAgent": (((True,), "guest_agent", True), (("no",), "guest_agent", False)),
    "GuestAgentInterval": (((300.0,), "guest_agent_interval", 300.0),),
    "MetadataRefresh": (
        ((60.0,), "label_refresh", 60.0),
    ),
    "Events": (
        (("lifecycle io_error",), "events", ("lifecycle", "io_error")),
        (("Lifecycle", "watchdog"), "events", ("lifecycle", "watchdog")),
    ),
    "Hostname": ((("node-1",), "hostname", "node-1"),),
    "InterfaceFormat": (
        (("address",), "interface_format", "address"),
        (("address",), "wants_devices", True),
        (("Number",), "interface_format", "number"),
    ),
    "BlockDeviceFormat": ((("source",), "block_device_format", "source"),),
    "BlockDeviceFormatBasename": ((("true",), "block_device_format_basename", True),),
    "ReportBlockDevices": ((("off",), "report_block_devices", False),),
    "ReportNetworkInterfaces": (((False,), "report_network_interfaces", False),),
    "ExtraStats": (
        (("disk  vcpu",), "extra_stats", frozenset({"disk", "vcpu"})),
        (("disk", "perf"), "extra_stats", frozenset({"disk", "perf"})),
        (("vcpupin",), "by_classic_calls.vcpu", frozenset({"affinity"})),
        (("vcpu", "vcpupin"), "by_classic_calls.vcpu", frozenset({"vcpus", "affinity"})),
        (("pcpu",), "by_classic_calls.cpu_total", frozenset({"info", "modes"})),
        (("domain_state",), "inactive", True),
        (("DISK disk",), "extra_stats", frozenset({"disk"})),
        (("disk_timed",), "extra_stats", frozenset({"disk_timed"})),
        (("memory_age",), "by_classic_calls", {"cpu_total": {"info"}}),  # bulk alone tells it
    ),
    "ReportRound": (((False,), "report_round", False),),
    "RefreshInterval": (((60.0,), "interval", 10.0), ((0.0,), "interval", 10.0)),
    "PersistentNotification": (((True,), "persistent_notification", True),),
    "Instances": (((5.0,), "lanes", 5), ((128.0,), "lanes", SAFE_BUDGET)),
    "Interval": (((2.5,), "interval", 2.5), (("30",), "interval", 30.0)),
    "Every": (
        (("Perf", 60.0), "every", {"perf": 60.0}),
        (("balloon", "1m"), "every", {"balloon": 60.0}),
    ),
    "IdleRefresh": (((0.0,), "idle_refresh", 0.0), (("2m",), "idle_refresh", 120.0)),
    "FastInterval": (((1.0,), "fast_interval", 1.0), (("500ms",), "fast_interval", 0.5)),
    "Lanes": (((3.0,), "lanes", 3), (("3",), "lanes", 3)),
    "ChunkSize": (((8.0,), "chunk_size", 8),),
    "Deadline": (((5.0,), "deadline", 5.0), (("500ms",), "deadline", 0.5)),
    "SoftDeadline": (((1.0,), "soft_deadline", 1.0),),
    "StuckBudget": (((10.0,), "stuck_budget", 10),),
    "QuarantineGroups": ((("state perf",), "quarantine_groups", frozenset({"state", "perf"})),),
    "ProcessWatch": ((("no",), "process_watch", False),),
    "StorageWatch": (((False,), "storage_watch", False),),
    "OccupancyWatch": (((False,), "occupancy_watch", False),),
    "Jobs": (((True,), "job_values", {"running_job", "completed_job"}),),
    "Rates": (
        ((True,), "rates", True),
        ((True,), "by_classic_calls", {}),  # what rates need only the bulk call tells
        ((True,), "groups", frozenset({"vcpu", *block().groups})),
    ),
    "Host": (
        ((True,), "host", True),
        ((True,), "inactive", True),  # how many are shut off shows in a list of all
        ((True,), "groups", block().groups),
    ),
    "AdminConnection": ((("virtqemud:///system",), "admin_uri", "virtqemud:///system"),),
    "Pressure": (((True,), "figures", frozenset({"pressure"})),),
    "InterfaceDetails": (((True,), "figures", frozenset({"interface_details"})),),
    "DiskThrottle": (((True,), "figures", frozenset({"disk_throttle"})),),
}

#: For each option: the line's values, and words that the message has.
WRONG_COLLECTD: dict[str, tuple[tuple[tuple[Any, ...], str], ...]] = {
    "Connection": (((), "exactly one value"), ((5.0,), "found 5.0"), (("",), "found ''")),
    "Domain": (
        (("",), "found ''"),
        (("/(/",), "no regular expression"),
        ((42.0,), "found 42.0"),
        (("a", "b"), "exactly one value"),
        ((b"\xff",), "UTF-8"),
    ),
    "DomainMatch": (
        (("",), "found ''"),
        (("label:title",), "allowed is label:NAME=TEXT"),
        (("/(/",), "no regular expression"),
    ),
    "DropTypes": ((("if_error",), "did you mean if_errors?"), (("",), "at least one")),
    "Totals": ((("disk",), "any of vcpu, interface, block"),),
    "MaxSeries": (((0.0,), "from 1 to 1000000000"), ((2.5,), "found 2.5")),
    "BlockDevice": ((("/[/",), "no regular expression"),),
    "InterfaceDevice": ((("/*/",), "no regular expression"),),
    "IgnoreSelected": ((("perhaps",), "true or false"), ((1.0,), "found 1.0")),
    "HostnameFormat": (
        (("nam",), "did you mean name?"),
        ((), "at least one"),
        (("name name",), "each at most once"),
    ),
    "PluginInstanceFormat": ((("meta",), "did you mean metadata?"),),
    "HostnameMetadataNS": ((("",), "found ''"), ((1.0,), "found 1.0")),
    "HostnameMetadataXPath": (
        (("/instance[",), "XPath"),
        (("/nova:instance/nova:name",), "it can have none"),
        (("",), "found ''"),
    ),
    "GuestAgent": (((2.0,), "true or false"),),
    "GuestAgentInterval": (((0.5,), "1 to 86400"),),
    "MetadataRefresh": (((9.0,), "10 to 86400"),),
    "Events": (
        (("crash",), "any of lifecycle, io_error, watchdog"),
        (("agent agent",), "each at most once"),
        (("",), "at least one"),
    ),
    "Hostname": (((7.0,), "found 7.0"), (("",), "found ''")),
    "InterfaceFormat": ((("mac",), "one of name, address, number"),),
    "BlockDeviceFormat": ((("path",), "one of target, source"), ((True,), "found True")),
    "BlockDeviceFormatBasename": (((0.0,), "true or false"),),
    "ReportBlockDevices": ((("maybe",), "true or false"),),
    "ReportNetworkInterfaces": (((), "exactly one value"),),
    "ExtraStats": ((("dsk",), "did you mean disk?"), (("",), "at least one")),
    "ReportRound": ((("maybe",), "true or false"),),
    "RefreshInterval": (((-1.0,), "0 to 2147483647"), (("often",), "found 'often'")),
    "PersistentNotification": ((("maybe",), "true or false"),),
    "Instances": (((0.0,), "from 1 to 128"), ((129.0,), "from 1 to 128")),
    "Interval": (((0.0,), "0.1 to 86400"),),
    "Every": (
        (("perf",), "a group and seconds"),
        (("perf", 60.0, 70.0), "a group and seconds"),
        (("balon", 60.0), "did you mean balloon?"),
        (("perf", "often"), "found 'often'"),
    ),
    "IdleRefresh": (((3601.0,), "0 to 3600"),),
    "FastInterval": (((0.0,), "0.2 to 3600"),),
    "Lanes": (((11.0,), "20 workers"), ((2.5,), "found 2.5"), ((True,), "found True")),
    "ChunkSize": (((0.0,), "from 1 to 256"),),
    "Deadline": (((float("nan"),), "found nan"),),
    "SoftDeadline": ((("x",), "found 'x'"),),
    "StuckBudget": (((11.0,), "half of them stay theirs"),),
    "QuarantineGroups": ((("cpu_total",), "any of state, interface, perf, memory"),),
    "ProcessWatch": (((2.0,), "true or false"),),
    "StorageWatch": (((2.0,), "true or false"),),
    "OccupancyWatch": (((2.0,), "true or false"),),
    "Jobs": ((("no idea",), "true or false"),),
    "Rates": (((2.0,), "true or false"),),
    "Host": (((2.0,), "true or false"),),
    "AdminConnection": ((("libvirtd",), "connection URI"), ((1.0,), "found 1.0")),
    "Pressure": (((2.0,), "true or false"),),
    "InterfaceDetails": (((2.0,), "true or false"),),
    "DiskThrottle": (((2.0,), "true or false"),),
}


def each(cases: dict[str, Any]) -> list[Any]:
    return [(name, *case) for name, several in cases.items() for case in several]


def test_every_option_of_the_table_has_right_and_wrong_values_here() -> None:
    assert set(RIGHT_TOML) == set(WRONG_TOML) == set(TELEGRAF_OPTIONS)
    assert set(RIGHT_COLLECTD) == set(WRONG_COLLECTD) == set(COLLECTD_OPTIONS)
    assert all(option.telegraf or option.collectd for option in OPTIONS)
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)


def field(settings: Settings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@each_row(("key", "value", "path", "expected"), each(RIGHT_TOML))
def test_a_right_value_in_telegrafs_file_counts(
    key: str, value: str, path: str, expected: Any
) -> None:
    settings = table(f"{key} = {value}")
    if expected is None:
        expected = value.strip('"')
    assert field(settings, path) == expected


@each_row(("key", "value", "words"), each(WRONG_TOML))
def test_a_wrong_value_in_telegrafs_file_is_told_with_its_place_and_what_is_allowed(
    key: str, value: str, words: str
) -> None:
    message = refused(f"[[inputs.libvirt]]\n[[inputs.libvirt]]\n{key} = {value}\n")
    assert message.startswith(f"{FILE}: [[inputs.libvirt]] table 2, option {key}: found ")
    assert ", allowed is " in message
    assert words in message


@each_row(("name", "values", "path", "expected"), each(RIGHT_COLLECTD))
def test_a_right_value_in_collectds_block_counts_however_the_name_is_written(
    name: str, values: tuple[Any, ...], path: str, expected: Any
) -> None:
    assert field(block(line(name, *values)), path) == expected
    assert field(block(line(name.lower(), *values)), path) == expected


@each_row(("name", "values", "words"), each(WRONG_COLLECTD))
def test_a_wrong_value_in_collectds_block_is_told_with_its_place_and_what_is_allowed(
    name: str, values: tuple[Any, ...], words: str
) -> None:
    message = refused_block(line(name.upper(), *values))
    assert message.startswith(f"{BLOCK}, option {name}: found ")
    assert words in message


# --- Telegraf's file ----------------------------------------------------------------------------


def test_an_empty_table_is_telegrafs_defaults() -> None:
    settings = table()
    assert settings == Settings() == for_uri("qemu:///system")
    assert settings.groups == frozenset(TELEGRAF_GROUPS)
    assert settings.inactive
    assert settings.quarantine_groups == MONITOR_FREE_GROUPS
    assert settings.stuck_budget > settings.lanes


def test_each_table_is_a_hypervisor() -> None:
    parsed = toml("", 'libvirt_uri = "test:///default"\nlanes = 2')
    assert [each.uri for each in parsed.settings] == ["qemu:///system", "test:///default"]
    assert [each.lanes for each in parsed.settings] == [4, 2]
    assert parsed.warnings == []


def test_a_single_table_is_taken_too() -> None:
    (settings,) = parse_telegraf(b"[inputs.libvirt]\nlanes = 2\n", FILE).settings
    assert settings.lanes == 2


def test_an_unknown_option_is_told_with_the_nearest_right_name() -> None:
    assert "did you mean libvirt_uri?" in refused('[[inputs.libvirt]]\nlibvirt_url = "x"')
    assert "did you mean chunk_size?" in refused("[[inputs.libvirt]]\nchunksize = 1")
    assert "allowed are libvirt_uri, domains" in refused("[[inputs.libvirt]]\nzzzzzzz = 1")


def test_a_label_cannot_have_the_name_of_a_tag_or_field() -> None:
    text = b'[[inputs.libvirt]]\nlabel_xpath = { uuid = "/domain/uuid" }'
    with pytest.raises(ConfigError, match="a label 'uuid', allowed is a name that no other tag"):
        parse_telegraf(text, FILE, RESERVED_TAGS)


def test_labels_with_the_series_of_telegrafs_own_plugin_have_no_effect_and_say_so() -> None:
    parsed = toml('series = "telegraf"\nlabels = ["title"]')
    assert parsed.settings[0].labels == ()
    assert "option labels: it has no effect with series telegraf" in parsed.warnings[0]


@each_row("key", sorted(TELEGRAF_GENERIC))
def test_what_telegraf_itself_acts_on_is_sent_to_its_own_configuration(key: str) -> None:
    message = refused(f"[[inputs.libvirt]]\n{key} = 1")
    assert f"option {key}: found here, allowed is " in message
    assert key not in TELEGRAF_OPTIONS


@each_row(
    ("key", "words"),
    [
        ("tags", "is on [[inputs.execd]] in Telegraf's own configuration: it is Telegraf"),
        ("always_include_global_tags", "is on [agent] in Telegraf's own"),
        ("flush_interval", "is on [agent] or on an output"),
        ("metric_buffer_limit", "is on [agent] or on an output"),
        ("period", "on plugins other than inputs"),
        ("time_source", "is nowhere: Telegraf 1.39 refuses it on [[inputs.execd]]"),
    ],
)
def test_where_an_option_of_telegrafs_own_belongs_is_told(key: str, words: str) -> None:
    assert words in refused(f"[[inputs.libvirt]]\n{key} = 1")


def test_labels_by_which_telegraf_chooses_plugins_are_told_from_ours() -> None:
    message = refused('[[inputs.libvirt]]\n[inputs.libvirt.labels]\nrole = "host"')
    assert "option labels: found a table, by which Telegraf's --select chooses plugins" in message
    assert "[inputs.execd.labels]" in message


def test_a_byte_order_mark_at_the_head_is_no_error() -> None:
    (settings,) = parse_telegraf(b"\xef\xbb\xbf[[inputs.libvirt]]\nlanes = 2\n", FILE).settings
    assert settings.lanes == 2


@each_row(
    ("uri", "words"),
    [
        ("qemu+ssh://h/system?keyfile=/k&known_hosts=/h", ["known_hosts has", "UserKnownHosts"]),
        ("QEMU+SSH://h/system?Known_Hosts=/h", ["known_hosts has", "qemu+libssh2://"]),
        ("xen+ssh://h/?sshauth=agent;known_hosts_verify=auto", ["sshauth have", "StrictHostKey"]),
        ("qemu+ssh://h/system?keyfile=/k&no_verify=1&no_tty=1&command=/x", []),
        ("qemu+libssh2://h/system?known_hosts=/h", []),
        ("qemu+libssh://h/system?known_hosts=/h", []),
        ("qemu:///system", []),
    ],
)
def test_what_of_a_uri_never_reaches_ssh_is_told_with_the_way_to_do_it(
    uri: str, words: list[str]
) -> None:
    for told in (toml(f'libvirt_uri = "{uri}"'), parsed_block(line("Connection", uri))):
        assert len(told.warnings) == bool(words)
        assert all(word in text for word in words for text in told.warnings)


# --- Variables ----------------------------------------------------------------------------------


def with_environment(text: str, **environment: str) -> Settings:
    content = f"[[inputs.libvirt]]\n{text}\n".encode()
    (settings,) = parse_telegraf(content, FILE, environment=environment).settings
    return settings


def test_variables_are_replaced_in_texts_lists_and_tables_but_not_in_keys() -> None:
    settings = with_environment(
        """
# libvirt_uri = "$UNSET"
libvirt_uri = "${URI:-qemu:///session}"
domains = ["$A-1", "${A}-2", "web$", "$$A", "${1}"]
label_xpath = { a = "/domain/$A" }
interval = "${INTERVAL}"
lanes = "$LANES"
inactive = "${INACTIVE}"
""",
        A="vm",
        INTERVAL="7",
        LANES="3",
        INACTIVE="false",
    )
    assert settings.uri == "qemu:///session"
    names = {"vm-1", "vm-2", "web$", "$A", "${1}"}
    assert settings.selection.domains == Entries(exact=frozenset(names))
    assert settings.labels == (of_operator("a", "/domain/vm", {}),)
    assert (settings.interval, settings.lanes, settings.inactive) == (7.0, 3, False)
    assert with_environment('libvirt_uri = "$URI"', URI="").uri == "qemu:///system"


def test_variables_that_are_not_set_are_told_each_with_its_option() -> None:
    text = '[[inputs.libvirt]]\nlibvirt_uri = "$URI"\ndomains = ["${A}", "$B", "${C:?say it}"]'
    with pytest.raises(ConfigError) as caught:
        parse_telegraf(text.encode(), FILE, environment={})
    uri, a, b, c = mistakes_of(caught.value)
    place = f"{FILE}: [[inputs.libvirt]] table 1, option"
    assert uri.startswith(f"{place} libvirt_uri: found the variable URI, which is not set")
    assert a.startswith(f"{place} domains: found the variable A, which is not set")
    assert b.startswith(f"{place} domains: found the variable B, which is not set")
    assert c.endswith("option domains: found the variable C, which has to have a value: say it")


def test_a_variables_value_that_is_wrong_is_told_as_any_other() -> None:
    with pytest.raises(ConfigError, match="option lanes: found 99, allowed is"):
        with_environment('lanes = "$LANES"', LANES="99")
    with pytest.raises(ConfigError, match="option lanes: found 'many', allowed is"):
        with_environment('lanes = "$LANES"', LANES="many")


def test_a_variable_without_quotes_is_told_how_to_write_it() -> None:
    message = refused("[[inputs.libvirt]]\nlanes = ${LANES}\n")
    assert message.endswith('variables stand in quotes, as "${NAME}"')
    assert not refused("[[inputs.libvirt]]\nlanes = \n").endswith('"${NAME}"')


def test_times_may_be_written_as_telegraf_takes_them() -> None:
    assert table('interval = "10"').interval == 10
    assert table('interval = "0.5"').interval == 0.5
    assert table('interval = "1d"').interval == 86400


def test_a_table_of_tags_is_sent_to_telegrafs_own_configuration() -> None:
    assert "[[inputs.execd]]" in refused("[[inputs.libvirt]]\n[inputs.libvirt.tags]\na = 'b'")


@each_row(
    ("text", "words"),
    [
        ("", "has no [[inputs.libvirt]] table"),
        ("[inputs]", "has no [[inputs.libvirt]] table"),
        ("[agent]\ninterval = '1s'", "found 'agent'"),
        ("[[inputs.cpu]]", "found inputs.'cpu'"),
        ("inputs = 5", "found 5"),
        ("[inputs]\nlibvirt = [1]", "found [1]"),
        ('"a\\nb" = 2', "found 'a\\nb'"),
    ],
)
def test_a_file_that_is_something_else_is_told(text: str, words: str) -> None:
    message = refused(text)
    assert message.startswith(f"{FILE}: ")
    assert words in message


def mistakes_of(error: ConfigError) -> list[str]:
    assert str(error) == "\n".join(error.mistakes)
    assert all(text.isprintable() for text in error.mistakes)
    return list(error.mistakes)


def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_place() -> None:
    text = """
lanes = 4
[agent]
[[inputs.libvirt]]
  lanes = 99
  series = "fulll"
  labels = ["titel", "title", "title"]
  interval = 5
  deadline = 6
  fast_interval = 7
  every = { blokc = 60, perf = "x" }
  alias = "a"
  chunksize = 3
[[inputs.libvirt]]
[[inputs.libvirt]]
  label_xpath = { uuid = "/domain/uuid", a = "/domain[", b = "/domain/x:y" }
"""
    with pytest.raises(ConfigError) as caught:
        parse_telegraf(text.encode(), FILE, RESERVED_TAGS)
    first, third = (f"{FILE}: [[inputs.libvirt]] table {n}, option " for n in (1, 3))
    beginnings = [
        f"{FILE}: found 'lanes'",
        f"{FILE}: found 'agent'",
        f"{first}lanes: found 99",
        f"{first}series: found 'fulll'",
        f"{first}labels: found 'titel'",
        f"{first}labels: found 'title', allowed is any of",
        f"{first}every: found 'blokc'",
        f"{first}every: found 'x'",
        f"{first}alias: ",
        f"{first}'chunksize': there is no such option",
        f"{first}deadline: found 6 seconds",
        f"{first}fast_interval: found 7 seconds",
        f"{third}label_xpath: found a label 'uuid'",
        f"{third}label_xpath: found '/domain['",
        f"{third}label_xpath: found '/domain/x:y'",
    ]
    found = mistakes_of(caught.value)
    assert len(found) == len(beginnings)
    for text, beginning in zip(found, beginnings):
        assert text.startswith(beginning)


def test_a_mistake_in_the_namespaces_is_not_told_again_of_each_label_that_uses_them() -> None:
    for namespaces in ("5", '{ "x y" = "urn:x" }'):
        with pytest.raises(ConfigError) as caught:
            toml(f'label_namespaces = {namespaces}\nlabel_xpath = {{ a = "/domain/x:y" }}')
        (text,) = mistakes_of(caught.value)
        assert "option label_namespaces: found " in text


def test_all_mistakes_of_a_block_are_told_at_once_each_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed_block(
            line("Lanes", 99.0),
            line("Domain", "/(/"),
            line("Domain", "web"),
            line("HostnameFormat", "nmae uuidd"),
            line("Conection", "x"),
            line("Every", "blokc", 5.0),
            line("BlockDevice", children=[line("x")]),
            line("HostnameMetadataXPath", "/a["),
            line("SoftDeadline", 3.0),
            line("Deadline", 2.0),
        )
    beginnings = [
        "option Lanes: found 99",
        "option Domain: found ",
        "option HostnameFormat: found 'nmae'",
        "option HostnameFormat: found 'uuidd'",
        "option 'Conection': there is no such option, did you mean Connection?",
        "option Every: found 'blokc'",
        "option BlockDevice: found a block",
        "option HostnameMetadataXPath: found '/a['",
        "option SoftDeadline: found 3 seconds",
    ]
    found = mistakes_of(caught.value)
    assert len(found) == len(beginnings)
    for text, beginning in zip(found, beginnings):
        assert text.startswith(f"{BLOCK}, {beginning}")


def test_broken_toml_is_told_with_its_line() -> None:
    message = refused("[[inputs.libvirt]]\nlanes = \nchunk_size = 1\n")
    assert message.startswith(f"{FILE}: is not TOML: ")
    assert "line 2" in message


def test_text_that_is_not_utf8_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match="is not TOML: line 2 is not UTF-8"):
        parse_telegraf(b"[[inputs.libvirt]]\nlibvirt_uri = '\xff'\n", FILE)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_telegraf(str(path))
    with pytest.raises(ConfigError, match="no such path"):
        read_telegraf("a\0b")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "domstats.toml"
    path.write_text('[[inputs.libvirt]]\ndomains = ["größe"]\n', encoding="utf-8")
    (settings,) = read_telegraf(str(path)).settings
    assert settings.selection.wants_domain("größe")
    assert not settings.selection.wants_domain("other")


def test_a_long_value_is_cut_in_the_message() -> None:
    message = refused(f'[[inputs.libvirt]]\nseries = "{"x" * 10_000}"')
    assert len(message) < 300
    assert "xxx…" in message


def test_a_password_is_refused_and_not_repeated() -> None:
    message = refused('[[inputs.libvirt]]\nlibvirt_uri = "qemu+ssh://root:hunter2@host/system"')
    assert "password" in message
    assert "hunter2" not in message


@each_row(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "test:///default",
        "test+unix:///etc/node.xml",
        "xen:///",
        "lxc:///system",
        "esx://user@host:443/?no_verify=1",
        "qemu+tls://[::1]:16514/system?pkipath=/certs",
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        "qemu+libssh2://host/system",
        "qemu+tcp://h/system",
    ],
)
def test_uris_that_libvirt_knows_are_taken(uri: str) -> None:
    assert for_uri(uri).uri == uri


def test_times_that_contradict_each_other_are_refused() -> None:
    assert "at most the interval, which is 5 seconds" in refused(
        "[[inputs.libvirt]]\ninterval = 5\ndeadline = 6"
    )
    assert "less than deadline, which is 2 seconds" in refused(
        "[[inputs.libvirt]]\nsoft_deadline = 2\ndeadline = 2"
    )
    assert "option SoftDeadline" in refused_block(line("SoftDeadline", 3.0), line("Deadline", 2.0))
    assert table("deadline = 60").deadline == 60.0  # the agent's interval is not known here


# --- The budget of stuck calls ------------------------------------------------------------------


@each_row(("lanes", "budget"), [(1, 6), (4, 6), (6, 8), (8, 10), (10, 10)])
def test_more_lanes_have_a_greater_budget(lanes: int, budget: int) -> None:
    parsed = toml(f"lanes = {lanes}")
    assert parsed.settings[0].stuck_budget == budget
    assert parsed.warnings == []


def test_a_budget_that_is_not_more_than_lanes_is_warned_of() -> None:
    (text,) = toml("stuck_budget = 4").warnings
    assert text.startswith(f"{FILE}: [[inputs.libvirt]] table 1, option stuck_budget: 4 is not")
    (text,) = parsed_block(line("StuckBudget", 2.0)).warnings
    assert text.startswith(f"{BLOCK}, option StuckBudget: 2 is not more than Lanes")


def test_tables_for_the_same_hypervisor_share_what_its_server_can_bear() -> None:
    parsed = toml("", "", 'libvirt_uri = "test:///default"')
    assert [each.stuck_budget for each in parsed.settings] == [5, 5, 6]
    (text,) = parsed.warnings
    assert "qemu:///system is configured 2 times: all of them are the same" in text
    assert "each domain is sampled and sent 2 times; delete all but one" in text
    assert "each has a stuck budget of at most 5" in text


@each_row(
    ("one", "other"),
    [
        ("interval = 60", 'statistics_groups = ["cpu_total", "state"]\ninterval = 10'),
        ('domains = ["a", "b"]', 'domains = ["b", "c"]'),
        ('domains = ["a"]', ""),
    ],
)
def test_tables_that_overlap_are_told_what_is_sent_by_each(one: str, other: str) -> None:
    (text,) = toml(one, other).warnings
    assert "a domain that several of them select is sampled by each" in text
    assert "delete" not in text
    assert "each has a stuck budget of at most 5" in text


@each_row(
    ("one", "other"),
    [
        ('domains = ["a"]', 'domains = ["b"]'),
        ('statistics_groups = ["block"]', 'statistics_groups = ["cpu_total", "state"]'),
    ],
)
def test_tables_that_share_a_hypervisor_and_no_value_are_no_duplicates(
    one: str, other: str
) -> None:
    (text,) = toml(one, other).warnings
    assert text.endswith(
        "qemu:///system is configured 2 times: so that half of its server's workers stay free,"
        " each has a stuck budget of at most 5"
    )
    small = "lanes = 2\nstuck_budget = 3"
    assert toml(f"{one}\n{small}", f"{other}\n{small}").warnings == []


def test_from_nine_hypervisors_on_each_is_one_of_many() -> None:
    for number, many in ((1, False), (8, False), (9, True), (200, True)):
        tables = [f'libvirt_uri = "qemu+ssh://node{each}/system"' for each in range(number)]
        assert {each.one_of_many for each in toml(*tables).settings} == {many}


def test_duplicates_are_told_of_though_their_budgets_are_small() -> None:
    small = "lanes = 2\nstuck_budget = 3"
    (text,) = toml(small, small).warnings
    assert text.endswith("sampled and sent 2 times; delete all but one")


@each_row(
    ("one", "other", "said"),
    [
        ({"domain": ("/^a/",)}, {"domain": ("/^a/",)}, "all of them are the same"),
        ({"domain": ("/^a/",)}, {"domain": ("/^b/",)}, "several of them select"),
        ({"domain": ("a",)}, {"domain": ("b",), "ignored": True}, "several of them select"),
    ],
)
def test_blocks_of_expressions_may_overlap(
    one: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    hypervisors = [
        Settings(selection=Selection(domains=entries(each["domain"], "ignored" in each)))
        for each in (one, other)
    ]
    (text,) = share_budget(hypervisors)[1]
    assert said in text


@each_row("count", [2, 3, 10])
def test_any_number_of_tables_for_a_hypervisor_stay_within_half_of_its_workers(count: int) -> None:
    shared, _ = share_budget([Settings()] * count)
    assert sum(each.stuck_budget for each in shared) <= SAFE_BUDGET


def test_a_group_that_is_asked_less_often_must_be_asked_at_all_to_have_an_effect() -> None:
    parsed = toml('statistics_groups = ["state"]\nevery = { block = 60 }')
    assert "option every: block is not asked for at all" in parsed.warnings[0]


def test_a_fast_lane_has_to_be_faster_and_to_have_something_to_tell() -> None:
    message = refused("[[inputs.libvirt]]\ninterval = 5\nfast_interval = 5")
    assert "option fast_interval: found 5 seconds, allowed is less than interval" in message
    parsed = toml('statistics_groups = ["state", "block"]\nfast_interval = 1')
    assert "option fast_interval: nothing that the fast lane knows" in parsed.warnings[0]


# --- collectd's block ---------------------------------------------------------------------------


def test_an_empty_block_is_what_virt_does_without_options() -> None:
    settings = block()
    assert settings.uri == "qemu:///system"
    assert settings.groups == {"state", "cpu_total", "balloon", "block", "interface"}
    assert settings.by_classic_calls == {"cpu_total": {"info"}, "balloon": {"info"}}
    assert not settings.inactive
    assert not settings.vcpu_mapping
    assert not settings.wants_devices
    assert settings.hostname_format == ("name",)
    assert settings.plugin_instance_format == ()
    assert from_nothing().settings == [settings]


def test_lines_that_say_how_often_groups_are_asked_add_up() -> None:
    settings = block(line("Every", "perf", 60.0), line("Every", "balloon", 30.0))
    assert settings.every == {"perf": 60.0, "balloon": 30.0}


def test_memory_in_the_guest_is_what_only_the_monitor_knows() -> None:
    assert block(line("ExtraStats", "memory")).by_classic_calls == {"cpu_total": {"info"}}


@each_row("uri", ["qemu+ssh://root@node7/system", "qemu+tcp://node7/system"])
def test_over_a_network_nothing_is_asked_domain_by_domain_that_comes_in_bulk(uri: str) -> None:
    settings = block(line("Connection", uri), line("ExtraStats", "pcpu vcpu vcpupin"))
    assert settings.by_classic_calls == {}
    assert settings.vcpu_mapping


@each_row(
    ("lines", "groups"),
    [
        ((line("ReportBlockDevices", False),), {"state", "cpu_total", "balloon", "interface"}),
        ((line("ReportNetworkInterfaces", False),), {"state", "cpu_total", "balloon", "block"}),
        (
            (line("ReportBlockDevices", False), line("ExtraStats", "disk disk_capacity")),
            {"state", "cpu_total", "balloon", "interface"},
        ),
        (
            (line("ExtraStats", "vcpu"),),
            {"state", "cpu_total", "balloon", "interface", "block", "vcpu"},
        ),
        (
            (line("ExtraStats", "vcpupin perf"),),
            {"state", "cpu_total", "balloon", "interface", "block", "vcpu", "perf"},
        ),
        (
            (line("ExtraStats", "memory pcpu cpu_util disk domain_state"),),
            {"state", "cpu_total", "balloon", "interface", "block"},
        ),
    ],
)
def test_only_what_is_put_out_is_asked_for(lines: tuple[Any, ...], groups: set[str]) -> None:
    assert block(*lines).groups == groups


def test_lists_add_up_and_of_the_rest_the_last_line_counts() -> None:
    settings = block(
        line("Domain", "a"),
        line("Domain", "/^b/"),
        line("ExtraStats", "disk"),
        line("ExtraStats", "disk vcpu"),
        line("InterfaceFormat", "address"),
        line("InterfaceFormat", "name"),
    )
    assert [settings.selection.wants_domain(name) for name in ("a", "bb", "c")] == [
        True,
        True,
        False,
    ]
    assert settings.extra_stats == {"disk", "vcpu"}
    assert settings.interface_format == "name"


def test_lanes_win_over_instances() -> None:
    for lines in ([("Lanes", 2.0), ("Instances", 5.0)], [("Instances", 5.0), ("Lanes", 2.0)]):
        assert block(*(line(*each) for each in lines)).lanes == 2


def test_ignore_selected_counts_for_all_three_lists_wherever_it_stands() -> None:
    settings = block(line("IgnoreSelected", True), line("Domain", "a"), line("BlockDevice", "b:c"))
    assert not settings.selection.wants_domain("a")
    assert settings.selection.wants_domain("b")
    assert not settings.selection.wants_block_device("b", "c")
    assert settings.selection.wants_interface_device("b", "c")


def test_one_of_the_two_selectors_for_jobs_may_be_given_as_in_virt() -> None:
    wanted = {
        "job_stats_background": {"running_job"},
        "job_stats_completed": {"completed_job"},
        "disk": set(),
    }
    assert {word: block(line("ExtraStats", word)).job_values for word in wanted} == wanted
    with pytest.raises(ConfigError, match="allowed is one of the two, as in virt"):
        block(line("ExtraStats", "job_stats_background disk"), line("ExtraStats", NOT_BOTH[1]))


def test_fs_info_alone_switches_no_guest_agent_on_and_says_what_would() -> None:
    parsed = parsed_block(line("ExtraStats", "disk fs_info"))
    assert parsed.settings[0].extra_stats == {"disk"}
    assert not parsed.settings[0].guest_agent
    (warning,) = parsed.warnings
    for words in ("fs_info is ignored", "not read-only", "add GuestAgent true"):
        assert words in warning
    for lines in (
        (line("ExtraStats", "disk fs_info"), line("GuestAgent", True)),
        (line("GuestAgent", True), line("ExtraStats", "fs_info disk")),
    ):
        parsed = parsed_block(*lines)
        assert parsed.settings[0].extra_stats == {"disk", "fs_info"}
        assert parsed.settings[0].guest_agent
        assert not parsed.warnings


def test_the_guest_agent_is_switched_on_by_nothing_else() -> None:
    assert not Settings().guest_agent
    selectors = " ".join(word for word in EXTRA_STATS if word != NOT_BOTH[0])
    assert not block(line("ExtraStats", selectors)).guest_agent


def test_the_selectors_are_those_that_are_reported() -> None:
    assert set(EXTRA_STATS) == REPORTED_EXTRA_STATS
    assert set(OWN_EXTRA_STATS) == REPORTED_OWN_EXTRA_STATS


def test_pressure_of_guests_on_another_host_is_warned_of() -> None:
    parsed = parsed_block(line("Connection", "qemu+ssh://host/system"), line("Pressure", True))
    assert parsed.warnings == [
        f"{BLOCK}, option Pressure: it has no effect, for the guests' control groups are on another"
        " host"
    ]


def test_the_types_that_can_be_dropped_are_those_that_are_sent() -> None:
    assert set(DROP_TYPES) == {row.type for row in VALUE_LISTS}


def test_a_label_that_is_wrong_is_told_alone_not_with_whom_it_would_choose() -> None:
    text = 'domains = ["label:mine=a"]\nlabel_xpath = { mine = "/domain/[" }'
    with pytest.raises(ConfigError) as caught:
        table(text)
    (mistake,) = caught.value.mistakes
    assert "(label 'mine')" in mistake


def test_totals_of_what_is_not_asked_for_are_told() -> None:
    (text,) = toml('totals = ["block", "vcpu"]\nstatistics_groups = ["block"]').warnings
    assert text.endswith("table 1, option totals: vcpu is not asked for at all")
    (text,) = parsed_block(line("Totals", "vcpu", "block")).warnings
    assert text.endswith("option Totals: vcpu is not asked for at all")
    both = line("Totals", "vcpu"), line("ExtraStats", "vcpu")
    assert parsed_block(*both).warnings == []


def test_domain_means_in_collectd_what_it_means_to_virt() -> None:
    listed = block(line("Domain", "web-*"), line("DomainMatch", "db-?")).selection
    assert [listed.wants_domain(name) for name in ("web-*", "web-1", "db-1", "db-?")] == [
        True, False, True, True,
    ]  # fmt: skip
    ignored = block(
        line("IgnoreSelected", True), line("Domain", "web"), line("DomainMatch", "db-?")
    ).selection
    assert [ignored.wants_domain(name) for name in ("web", "db-1", "mail")] == [False, False, True]


def test_what_telegraf_lists_and_excludes_is_left_out() -> None:
    settings = table(
        'domains = ["web-*", "db"]\ndomains_exclude = ["*-2"]\n'
        'block_devices = ["*:vd*"]\nblock_devices_exclude = ["db:vda"]\n'
        'fields_include = ["libvirt_block:*"]\nfields_exclude = ["name"]'
    )
    chosen = settings.selection
    wanted = [name for name in ("web-1", "web-2", "db", "mail") if chosen.wants_domain(name)]
    assert wanted == ["web-1", "db"]
    disks = [("web-1", "vda"), ("web-1", "sda"), ("db", "vda"), ("db", "vdb")]
    assert [disk for disk in disks if chosen.wants_block_device(*disk)] == [disks[0], disks[3]]
    assert chosen.wants_field("libvirt_block", "rd_bytes")
    assert not chosen.wants_field("libvirt_block", "name")
    assert not chosen.wants_field("libvirt_cpu", "time")


def test_metadata_is_taken_from_where_the_options_of_virt_say() -> None:
    settings = block(
        line("HostnameFormat", "metadata"),
        line("HostnameMetadataNS", "urn:shop"),
        line("HostnameMetadataXPath", "/shop/@name"),
    )
    assert settings.labels == (of_metadata("urn:shop", "/shop/@name"),)


def test_who_is_to_be_notified_of_each_domains_state_gets_those_that_do_not_run_too() -> None:
    assert block(line("PersistentNotification", True)).inactive
    assert not block(line("PersistentNotification", False)).inactive


def test_an_unknown_option_of_collectd_is_told_with_the_nearest_right_name() -> None:
    assert refused_block(line("Conection", "x")) == (
        f"{BLOCK}, option 'Conection': there is no such option, did you mean Connection?"
    )
    assert "allowed are Connection, Domain" in refused_block(line("Zzzzz\n", "x"))


def test_a_block_in_place_of_a_value_is_told() -> None:
    assert "found a block" in refused_block(line("Domain", "x", children=[line("a", 1.0)]))


def test_the_uri_with_a_password_is_refused_in_collectd_too() -> None:
    assert "hunter2" not in refused_block(line("Connection", "qemu+tcp://a:hunter2@h/system"))


# --- Times on a command line --------------------------------------------------------------------


@each_row(("text", "value"), [("10", 10), ("0.5", 0.5), ("1m30s", 90), ("5s", 5)])
def test_a_time_is_written_as_in_the_configuration(text: str, value: float) -> None:
    assert seconds(text) == value


@each_row("text", ["", "ten", "-1", "0", "1e9", "nan", "5 s"])
def test_a_wrong_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        seconds(text)


# --- What is generated from the table -----------------------------------------------------------


@each_row("path", FILES)
def test_the_files_in_the_project_are_those_that_the_table_makes(path: str) -> None:
    made = FILES[path]()
    assert (ROOT / path).read_text(encoding="utf-8") == made, "run: python -m domstats.config.pages"


def test_the_ready_file_for_telegraf_is_the_defaults() -> None:
    (settings,) = read_telegraf(str(ROOT / "telegraf/domstats.toml")).settings
    assert settings == Settings()


def uncommented(text: str, options: Iterable[Option], name: str) -> str:
    """A ready configuration in which every option is switched on."""
    for option in options:
        text = text.replace(f"# {getattr(option, name)} = ", f"{getattr(option, name)} = ")
    # what is left of an array over several lines
    return "\n".join(
        line.replace("  # ", "  ", 1) if line.startswith(('  #   "', "  # ]")) else line
        for line in text.split("\n")
    )


def test_every_line_of_the_ready_file_for_telegraf_can_be_switched_on() -> None:
    text = uncommented(FILES["telegraf/domstats.toml"](), TELEGRAF_OPTIONS.values(), "telegraf")
    parsed = parse_telegraf(text.encode(), FILE)
    assert parsed.warnings == []
    names = ("nova_name", "nova_project", "nova_project_uuid")
    machine = of_operator("machine", "/domain/os/type/@machine", {"app": "https://example.org/app"})
    expected = Settings(
        interval_fixed=True,
        deadline=9.0,
        soft_deadline=2.0,
        labels=(*map(known, names), machine),
        events=EVENT_KINDS,
        every={"balloon": 60.0},
        fast_interval=1.0,
        device_tags=frozenset({"disk", "interface"}),
        host=True,
        admin_uri="libvirtd:///system",
        selection=Selection(
            other_domains=domain_entries(["test-*"], ignored=True),
            other_block_devices=entries_with_globs(["*:hd*"], ignored=True),
            other_interface_devices=entries_with_globs(["*:mgmt*"], ignored=True),
            other_fields=entries_with_globs(["libvirt_block:fl_*", "*:path"], ignored=True),
        ),
        totals=frozenset({"vcpu", "interface", "block"}),
        max_series=40000,
    )
    assert parsed.settings == [expected]


def test_every_line_of_the_ready_file_for_collectd_can_be_switched_on() -> None:
    text = FILES["collectd.conf.d/domstats.conf"]()
    lines = []
    for option in COLLECTD_OPTIONS.values():
        (found,) = (
            row.strip().lstrip("#")
            for row in text.split("\n")
            if row.strip().lstrip("#").startswith(f"{option.collectd} ") and "## " not in row
        )
        lines.append(line(option.collectd, *collectd_values(found)))
    settings = block(*lines)
    assert settings.extra_stats == frozenset(EXTRA_STATS) - {NOT_BOTH[0], "fs_info"}
    assert settings.lanes == Settings().lanes


def collectd_values(row: str) -> list[Any]:
    """The values of a line as collectd's parser has them."""
    flags = {"true": True, "false": False}
    return [
        quoted or (flags[bare] if bare in flags else float(bare))
        for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', row.split(" ", 1)[1])
    ]


def test_every_option_is_explained_in_the_docs_and_in_the_ready_files() -> None:
    page = FILES["docs/options.md"]()
    toml_file, conf = FILES["telegraf/domstats.toml"](), FILES["collectd.conf.d/domstats.conf"]()
    for option in OPTIONS:
        assert option.text in page
        first = option.text.split()[0]
        assert not option.telegraf or (option.telegraf in toml_file and first in toml_file)
        assert not option.collectd or (option.collectd in conf and first in conf)
