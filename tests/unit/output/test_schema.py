"""The table, libvirt's documented keys, docs/metrics.md and what is sent are one and the same."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
from domstats.domain_xml.device_details import LIMITS, MOUNT_WORDS, PLACE_WORDS
from domstats.host_sample import (
    DaemonLoad,
    HostSample,
    MountReport,
    NodeCpu,
    NodeMemory,
    Pool,
)
from domstats.model import (
    GROUP_OF_WORD,
    GROUPS,
    Change,
    DeviceDetails,
    Devices,
    DomainEvent,
    DomainSample,
    FileSystem,
    GuestAgent,
    Nic,
    Round,
    Sample,
    Status,
    Value,
)
from domstats.output import job_lists, metrics_table, origins, schema, virt_schema
from domstats.output.device_tables import (
    DISK_TAGS,
    FIGURE_TABLES,
    INTERFACE_TAGS,
    interface_tags,
)
from domstats.output.disk_rows import DISK_ROWS, MEMORY_AGE, OWN_EXTRA_STATS
from domstats.output.guest_agents import AGENT_LISTS
from domstats.output.host_tables import HOST_TABLES
from domstats.output.job_tables import JOB_FIELDS
from domstats.output.line_filter import LineFilter
from domstats.output.line_protocol import LineProtocol
from domstats.output.line_totals import TOTALS
from domstats.output.rate_tables import RATE_TABLES
from domstats.output.schema import Key, Wire, place, row_by_rule
from domstats.output.value_lists import CollectdOptions, ValueLists
from domstats.output.virt_schema import Per

from tests.line_parsers import parse_line
from tests.unit.output.value_lists_told import one_by_one
from tests.unit.rows import each_row

HERE = Path(__file__).resolve().parent
#: Cost, and libvirt's version, of some.
ORIGINS = {
    "libvirt_state state": ("free", "1.2.8"),
    "libvirt_cpu haltpoll_fail_time": ("monitor", "7.6.0"),
    "libvirt_vcpu delay": ("monitor", "7.2.0"),
    "libvirt_vcpu cpu_id": ("call", "0.1.4"),
    "libvirt_vm <statistic>_{cur,sum,max}": ("monitor", "8.9.0"),
    "libvirt_block rd_bytes": ("files", "1.2.9"),
    "libvirt_perf page_faults_min": ("free", "3.2.0"),
    "virt/virt_cpu_total": ("call", "1.2.9"),
    "virt/memory-total": ("call", "1.2.9"),
    "virt/memory-actual_balloon": ("monitor", "1.2.9"),
    "virt/ps_pagefaults": ("monitor", "2.1.0"),
    "virt/perf-perf_{event}": ("free", "1.3.3"),
    "virt/if_octets-{device}": ("free", "1.2.9"),
}
DOCS = HERE.parents[2] / "docs" / "metrics.md"
UUID = "11111111-2222-4333-8444-555555555555"

PRESSURE, INTERFACES, THROTTLE = FIGURE_TABLES
FIGURES = frozenset(table.option for table in FIGURE_TABLES)

#: A value that libvirt might send, by wire type.
VALUES: dict[Wire, Value] = {
    Wire.UNSIGNED: 7,
    Wire.SIGNED: 1,
    Wire.NATURAL: 1,
    Wire.FLAG: True,
    Wire.DOUBLE: 0.5,
    Wire.TEXT: "0,1",
    Wire.ANY: 7,
}


def concrete(pattern: str) -> str:
    """A key as a server would send it."""
    key = pattern.replace(schema.INDEX, "0").replace(schema.STATISTIC, "exits")
    return key.replace("{cur,sum,max}", "sum")


@functools.cache
def everything() -> Sample:
    """A domain that has every key of the tables, beside one that hangs."""
    stats = {concrete(row.pattern): VALUES[row.wire] for row in schema.KEYS}
    stats.update({f"job.{row.name}": VALUES[Wire[row.wire]] for row in JOB_FIELDS})
    stats.update({"job.type": 1, "job.operation": 5})
    domain = DomainSample(
        UUID,
        "all",
        Status.FRESH,
        stats,
        devices=Devices(
            details=DeviceDetails(
                nics=(Nic(name="vnet0"),),
                throttles={"vda": {row.field: 1 for row in THROTTLE.rows}},
            )
        ),
        beside={
            **{f"pressure.cpu.{row.field}": 1 for row in PRESSURE.rows},
            **{f"interface.0.{row.field}": 1 for row in INTERFACES.rows},
        },
    )
    hung = DomainSample(UUID.replace("1", "9"), "hung", Status.UNRESPONSIVE, {}, False, since_ns=1)
    return Sample(
        uri="qemu:///system",
        time_ns=10**18,
        domains=(domain, hung),
        round=Round(),
        node_cpus=2,
        changes=(Change(UUID, "all", True, 1),),
        events=(
            DomainEvent(
                1, UUID, "all", "io_error", "paused", "enospc", "failure", "ua-vda", "/vda",
                dict.fromkeys(("actual", "threshold", "excess", "dropped", "gap_ms"), 1),
            ),
        ),
        host=HostSample(
            NodeCpu(2, 70, 70, 70, 70),
            NodeMemory(2, 4, 3, 2, 1),
            DaemonLoad(2, *range(10)),
            (Pool(2, "images", "dir", "/images", 2, 3, 2, 1),),
        ),
        mounts=(MountReport(2, "/nfs", "nfs4", "answers", 1, 0.0, 0.1, 3, 2, 1),),
        agents=(
            GuestAgent(
                UUID, "all", 1, os_id="debian", os_version="12", hostname="a", users=1,
                filesystems=(FileSystem("vda1", "/", "ext4", ("vda",), 10, 5),),
            ),
        ),
    )


def earlier() -> Sample:
    """The same, ten seconds before, when less had been counted."""
    domains = [
        msgspec.structs.replace(
            domain,
            stats={
                key: value - 5 if isinstance(value, int) and value == 7 else value
                for key, value in domain.stats.items()
            },
        )
        for domain in everything().domains
    ]
    sample = everything()
    return msgspec.structs.replace(
        sample,
        domains=tuple(domains),
        time_ns=sample.time_ns - 10**10,
        host=HostSample(NodeCpu(1, 60, 60, 60, 60)),
    )


@functools.cache
def sent_fields() -> set[tuple[str, str]]:
    writer = LineProtocol(
        kvm_statistics=True,
        rates=True,
        jobs=True,
        host=True,
        figures=FIGURES,
        tagged=("disk", "interface"),
    )
    writer.encode(earlier())
    totals = LineProtocol(wanted=LineFilter(totals=frozenset(TOTALS)))
    written = writer.encode(everything()) + totals.encode(everything())
    lines = written.decode().splitlines()
    return {(p["measurement"], field) for p in map(parse_line, lines) for field in p["fields"]}


@functools.cache
def sent_types() -> set[tuple[str, str, str]]:
    found = set()
    for selectors, rates in (virt_schema.EXTRA_STATS, True), (OWN_EXTRA_STATS, False):
        options = CollectdOptions(
            extra_stats=selectors, rates=rates, jobs=True, host=True, figures=FIGURES
        )
        lists = ValueLists(options)
        list(lists.translate(earlier(), 10.0))
        found.update(
            (part.plugin, part.type, part.type_instance)
            for part in one_by_one(lists.translate(everything(), 10.0))
        )
    return found


def documented_fields() -> set[tuple[str, str]]:
    """Measurement and field of each line in the page's first part."""
    found = set()
    measurement = ""
    for line in DOCS.read_text().split("## collectd")[0].splitlines():
        if line.startswith("### "):
            measurement = line[4:].rstrip("+")
        elif line.startswith("| `"):
            field = line.split("`")[1].replace("{cur,sum,max}", "sum")
            found.add((measurement, field.replace(schema.STATISTIC, "exits")))
    return found


def documented_types() -> set[tuple[str, str, str]]:
    """Plugin, type and type instance of each line in the page's second part."""
    found = set()
    plugin = "virt"
    for line in DOCS.read_text().split("## collectd")[1].splitlines():
        if line.startswith("### Plugin "):
            plugin = line[len("### Plugin ") :]
        elif line.startswith("| `"):
            type_, _, instance = line.split("`")[1].partition("-")
            found.add((plugin, type_, instance))
    return found


def without_names(plugin: str, type_: str, instance: str) -> tuple[str, str, str]:
    """A type instance as the page has it, with placeholders."""
    rows: Iterable[tuple[str, str]] = (
        [
            *((row.type, row.instance) for row in virt_schema.VALUE_LISTS),
            (job_lists.TYPE, job_lists.PARAMETER),
        ]
        if plugin == "virt"
        else [
            *((row.type, row.instance) for table in HOST_TABLES for row in table.rows),
            *((row.type, row.instance) for row in DISK_ROWS),  # the longer ones first
            *((rate.type, rate.instance) for table in RATE_TABLES for rate in table.rows),
            *((row.type, row.instance) for table in FIGURE_TABLES for row in table.rows),
            *((row.type, row.instance) for row in AGENT_LISTS),
        ]
    )
    patterns = (
        known
        for type_of_row, known in rows
        if type_of_row == type_
        and re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(known)), instance)
    )
    return plugin, type_, next(patterns, instance)


def test_the_page_is_the_one_that_the_schema_makes() -> None:
    assert DOCS.read_text() == metrics_table.page(), "python -m domstats.output.metrics_table"


def test_every_field_that_is_sent_is_documented() -> None:
    assert sent_fields() <= documented_fields()


def test_every_documented_field_is_sent() -> None:
    assert documented_fields() <= sent_fields()


def test_every_value_list_that_is_sent_is_documented() -> None:
    assert {without_names(*names) for names in sent_types()} <= documented_types()


def test_every_documented_value_list_is_sent() -> None:
    assert documented_types() <= {without_names(*names) for names in sent_types()}


def test_the_terminal_table_has_all_that_the_page_has() -> None:
    rows = list(metrics_table.metrics())
    names = {row.name for row in rows}
    assert len({(row.name, row.source) for row in rows}) == len(rows)
    assert {f"{m} {f}" for m, f in documented_fields()} <= {
        name.replace(schema.STATISTIC, "exits").replace("{cur,sum,max}", "sum") for name in names
    }
    assert {f"{p}/{t}-{i}" if i else f"{p}/{t}" for p, t, i in documented_types()} <= names


def test_the_table_has_libvirts_documented_keys_and_no_others() -> None:
    lines = (HERE / "documented-keys.txt").read_text().splitlines()
    documented = {line for line in lines if not line.startswith("#")}
    assert {row.pattern for row in schema.KEYS} == documented


def test_of_each_key_it_is_known_since_when_libvirt_has_it_and_what_it_costs() -> None:
    of_key = {
        row.pattern: [
            (version, key)
            for version, keys in origins.SINCE
            for key in keys
            if row.pattern == key or (key.endswith(".") and row.pattern.startswith(key))
        ]
        for row in schema.KEYS
    }
    assert {pattern: found for pattern, found in of_key.items() if len(found) != 1} == {}
    used = {entry for found in of_key.values() for entry in found}
    assert {(version, key) for version, keys in origins.SINCE for key in keys} == used
    versions = [tuple(map(int, version.split("."))) for version, _ in origins.SINCE]
    assert versions == sorted(set(versions))
    for row in metrics_table.metrics():
        assert bool(row.cost) == bool(row.since) == bool(row.source), row.name


def test_what_a_value_costs_and_since_when_it_is_there() -> None:
    rows = {row.name: (row.cost, row.since) for row in metrics_table.metrics()}
    assert {name: rows[name] for name in ORIGINS} == ORIGINS


def test_each_pattern_stands_in_the_table_once() -> None:
    assert [p for p, n in Counter(row.pattern for row in schema.KEYS).items() if n > 1] == []


def test_no_two_keys_share_a_field() -> None:
    fields = Counter(
        (row.measurement, row.tags, field)
        for row in schema.KEYS
        for field in (row.field, *row.twins, *row.own_twins)
    )
    assert [place for place, n in fields.items() if n > 1] == []


@each_row("row", schema.KEYS)
def test_a_row_is_complete(row: Key) -> None:
    assert row.group in GROUPS or (row.group == "" and row.mapping)
    assert row.pattern.split(".").count(schema.INDEX) == len(row.tags)
    assert row.description
    assert row.kvm or bool(row.unit) == (row.wire is not Wire.TEXT)


def test_each_group_of_keys_is_one_that_libvirt_has() -> None:
    assert set(GROUP_OF_WORD.values()) == set(GROUPS)
    words = {row.pattern.split(".")[0]: row.group for row in schema.KEYS if row.group}
    assert words == GROUP_OF_WORD


def test_tags_and_limits_are_those_that_are_read_from_the_xml() -> None:
    assert [*DISK_TAGS] == [f"disk_{word}" for word in (*PLACE_WORDS, *MOUNT_WORDS)]
    assert {row.field for row in THROTTLE.rows} == set(LIMITS)
    assert interface_tags(Nic()).keys() == INTERFACE_TAGS.keys()


def test_value_lists_of_disks_are_made_of_keys_that_the_table_has() -> None:
    patterns = {row.pattern for row in schema.KEYS}
    assert {row.key for row in DISK_ROWS} | {row.told_by for row in DISK_ROWS} - {""} <= patterns
    assert {MEMORY_AGE} == OWN_EXTRA_STATS - {row.selector for row in DISK_ROWS}


def test_types_are_those_of_the_stock_types_db() -> None:
    types = {row.type: row.counter for row in virt_schema.VALUE_LISTS}
    types.update({row.type: row.counter for row in virt_schema.OWN_VALUE_LISTS})
    types.update({job_lists.TYPE: True, **{job_lists.type_of(row): False for row in JOB_FIELDS}})
    types.update({row.type: False for table in RATE_TABLES for row in table.rows if row.type})
    types.update({row.type: row.counter for t in FIGURE_TABLES for row in t.rows if row.type})
    types.update({row.type: row.counter for row in DISK_ROWS})
    types.update({row.type: False for row in AGENT_LISTS})
    stock = dict(
        line.split(maxsplit=1)
        for line in (HERE / "types.db").read_text().splitlines()
        if not line.startswith("#")
    )
    for name, counter in types.items():
        sources = stock[name].split(",")
        assert {":DERIVE:" in source for source in sources} == {counter}, name
    lengths = {row.type: len(row.keys) for row in virt_schema.VALUE_LISTS}
    for figures in FIGURE_TABLES:
        lengths.update({row.type: 1 + bool(row.pair) for row in figures.rows if row.type})
    lengths.update({row.type: 1 for row in DISK_ROWS})
    assert lengths == {name: len(stock[name].split(",")) for name in lengths}


def test_value_lists_are_made_of_keys_that_the_table_has() -> None:
    patterns = {row.pattern for row in schema.KEYS}
    for row in virt_schema.VALUE_LISTS:
        assert row.per is Per.EVENT or patterns.issuperset(row.keys)


# -- where a concrete key belongs


def test_indexes_are_found_wherever_they_are() -> None:
    row, indexes = place("memory.bandwidth.monitor.10.node.3.bytes.local")
    assert (row.measurement, row.field, row.tags, indexes) == (
        "libvirt_memory_bandwidth_monitor_node",
        "bytes_local",
        ("memory_bandwidth_monitor_id", "controller_index"),
        ("10", "3"),
    )


def test_statistics_of_the_hypervisor_keep_their_names() -> None:
    vcpu, vm = place("vcpu.1.halt_exits.sum").row, place("vm.pages-2m.max").row
    assert (vcpu.measurement, vcpu.field, vcpu.kvm) == ("libvirt_vcpu", "halt_exits_sum", True)
    assert (vm.measurement, vm.field, vm.kvm) == ("libvirt_vm", "pages_2m_max", True)


@each_row(
    ("key", "measurement", "tags", "field"),
    [
        ("block.3.new-thing", "libvirt_block", ("block_id",), "new_thing"),
        ("block.3.job.1.speed", "libvirt_block_job", ("block_id", "job_id"), "speed"),
        ("net.0.rx.fifo.errs", "libvirt_net", ("interface_id",), "rx_fifo_errs"),
        ("vcpu.online", "libvirt_vcpu_total", (), "online"),
        ("state.since", "libvirt_state", (), "since"),
        ("gpu.count", "libvirt_gpu_total", (), "count"),
        ("gpu.0.mem.used", "libvirt_gpu", ("gpu_id",), "mem_used"),
        ("gpu.0.1.mem", "libvirt_gpu", ("gpu_id", "index_2"), "mem"),
        ("gpu.0", "libvirt_gpu", ("gpu_id",), "value"),
        ("7.x", "libvirt_", ("index_1",), "x"),
        ("temperature", "libvirt_temperature", (), "value"),
        ("odd key,a=b\n.c\"d", "libvirt_odd_key_a_b_", (), "c_d"),
        ("memory.bandwidth.monitor.0.load", "libvirt_memory_bandwidth_monitor",
         ("memory_bandwidth_monitor_id",), "load"),
        ("vcpu.0.1.sum", "libvirt_vcpu", ("vcpu_id", "index_2"), "sum"),
        ("block.²", "libvirt_block_total", (), "_"),
        ("", "libvirt_", (), "value"),
    ],
)  # fmt: skip
def test_a_key_that_nobody_knows_gets_a_place(
    key: str, measurement: str, tags: tuple[str, ...], field: str
) -> None:
    row = place(key).row
    assert (row.measurement, row.tags, row.field, row.known) == (measurement, tags, field, False)
    assert len(place(key).indexes) == len(tags)


def test_a_key_newer_than_telegraf_is_where_the_rule_had_put_it() -> None:
    """So a release that learns a key does not rename what users have by then."""
    for row in schema.KEYS:
        if not row.telegraf and not row.kvm:
            rule = row_by_rule(row.pattern)
            assert (rule.measurement, rule.tags, rule.field) == (
                row.measurement,
                row.tags,
                row.field,
            )


def test_a_server_that_invents_keys_does_not_fill_the_memory() -> None:
    for number in range(schema.PLACES_REMEMBERED + 1000):
        place(f"invented.x{number}")
    assert place.cache_info().currsize <= schema.PLACES_REMEMBERED


def test_labels_cannot_take_the_name_of_a_tag_or_field() -> None:
    assert {"domain_name", "uuid", "device", "vcpu_id", "name", "path"} <= schema.RESERVED_TAGS
