"""The schema for people: docs/metrics.md, and rows for a table on a terminal.

``python -m domstats.output.metrics_table`` prints the page; a test holds it and the file together.
This module must not know anything that the schema does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import schema, virt_schema
from .device_tables import DISK_TAGS, FIGURE_TABLES, INTERFACE_TAGS, INTERFACES, FigureRow
from .disk_rows import DISK_ROWS, MEMORY_AGE
from .line_totals import TOTAL_MEASUREMENTS, has_total, total_field
from .rate_tables import RATE_TABLES

#: The type of a field, by what libvirt sends.
FIELD_TYPES: dict[schema.Wire, str] = {
    schema.Wire.UNSIGNED: "unsigned",
    schema.Wire.SIGNED: "integer",
    schema.Wire.NATURAL: "integer",
    schema.Wire.FLAG: "integer",
    schema.Wire.DOUBLE: "float",
    schema.Wire.TEXT: "string",
    schema.Wire.ANY: "as it comes",
}


class Metric(NamedTuple):
    """One line of the table.

    :param agent: ``telegraf`` or ``collectd``.
    :param name: measurement and field, or type and type instance.
    :param source: the key, or keys, that it comes from; empty for our own.
    :param when: what has to be switched on for it; empty if nothing.
    """

    agent: str
    name: str
    source: str
    type: str
    kind: str
    unit: str
    description: str
    when: str


def metrics() -> Iterator[Metric]:
    """Everything that can be sent, Telegraf's first."""
    for row in schema.KEYS:
        for field in (row.field, *row.twins, *row.own_twins):
            yield Metric(
                "telegraf", f"{row.measurement} {field}", row.pattern, FIELD_TYPES[row.wire],
                row.kind.value, row.unit, row.description, _when(row, field),
            )  # fmt: skip
    for measurement, fields in (
        (schema.ROUND_MEASUREMENT, schema.ROUND_FIELDS),
        (schema.DOMAIN_MEASUREMENT, schema.DOMAIN_FIELDS),
        (schema.EVENT_MEASUREMENT, schema.EVENT_FIELDS),
    ):
        for own in fields:
            yield Metric(
                "telegraf", f"{measurement} {own.field}", "", FIELD_TYPES[own.wire],
                own.kind.value, own.unit, own.description, 'series = "full"',
            )  # fmt: skip
    for row in schema.KEYS:
        if has_total(row):
            yield Metric(
                "telegraf", f"{TOTAL_MEASUREMENTS[row.group]} {total_field(row)}", row.pattern,
                FIELD_TYPES[row.wire], row.kind.value, row.unit, _of_all(row),
                f"totals {row.group}",
            )  # fmt: skip
    for table in RATE_TABLES:
        for rate in table.rows:
            yield Metric(
                "telegraf", f"{table.measurement} {rate.field}", "", "float", "gauge", rate.unit,
                rate.description, "rates",
            )  # fmt: skip
            if rate.type:
                yield Metric(
                    "collectd",
                    f"{virt_schema.OWN_PLUGIN}/{_collectd_name(rate.type, rate.instance)}",
                    "", "gauge", "gauge", rate.unit, rate.description, "Rates",
                )  # fmt: skip
    yield from _figure_metrics()
    for disk in DISK_ROWS:
        yield Metric(
            "collectd", f"{virt_schema.OWN_PLUGIN}/{_collectd_name(disk.type, disk.instance)}",
            disk.key, "derive" if disk.counter else "gauge",
            "counter" if disk.counter else "gauge", disk.unit, disk.description,
            f"ExtraStats {disk.selector}",
        )  # fmt: skip
    for row_ in virt_schema.VALUE_LISTS:
        yield Metric(
            "collectd", f"virt/{_collectd_name(row_.type, row_.instance)}", ", ".join(row_.keys),
            "derive" if row_.counter else "gauge", "counter" if row_.counter else "gauge",
            row_.unit, row_.description, f"ExtraStats {row_.selector}" if row_.selector else "",
        )  # fmt: skip
    for list_ in virt_schema.OWN_VALUE_LISTS:
        yield Metric(
            "collectd",
            f"{virt_schema.OWN_PLUGIN}/{_collectd_name(list_.type, list_.instance)}",
            "",
            "derive" if list_.counter else "gauge", "counter" if list_.counter else "gauge",
            list_.unit, list_.description, "ReportRound",
        )  # fmt: skip


def _figure_metrics() -> Iterator[Metric]:
    """What is known of devices and control groups, for both agents."""
    for table in FIGURE_TABLES:
        for row in table.rows:
            kind = "counter" if row.counter else "gauge"
            yield Metric(
                "telegraf", f"{table.measurement} {row.field}", "", _figure_type(row), kind,
                row.unit, row.description, table.option,
            )  # fmt: skip
            if row.type:
                yield Metric(
                    "collectd",
                    f"{virt_schema.OWN_PLUGIN}/{_collectd_name(row.type, row.instance)}",
                    "", "derive" if row.counter else "gauge", kind, row.unit, row.description,
                    table.collectd_option,
                )  # fmt: skip


def _figure_type(row: FigureRow) -> str:
    return "integer" if row.whole else "float"


def _when(row: schema.Key, field: str) -> str:
    if row.kvm:
        return "kvm_statistics"
    if row.mapping:
        return "vcpu_mapping"
    return "" if row.telegraf and field not in row.own_twins else 'series = "full"'


def _collectd_name(type_: str, instance: str) -> str:
    return f"{type_}-{instance}" if instance else type_


def page() -> str:
    """docs/metrics.md."""
    parts = (*_telegraf_part(), _TOTALS_TEXT, *_rates_part(), *_figures_part(), *_collectd_part())
    return "\n".join(parts)


_INTRODUCTION = """\
# Metrics

<!-- Generated by `python -m domstats.output.metrics_table`; change output/schema.py instead. -->

Everything that domstats sends. It comes from libvirt's bulk statistics, whose keys are in the
tables; `<n>` is an index, and indexes may have holes. Which of them a domain has depends on the
hypervisor, on its version and on the domain.

## Telegraf: measurements, tags, fields

Measurements, tags, fields and their types are those of Telegraf's own `inputs.libvirt` (1.39).
Lines marked with + are in the full series only: `series = "telegraf"` leaves them out, and with
them the tags `uuid` and `device`, metadata labels, and keys that are not in the tables.

- Every measurement but `domstats_round` has the tags `domain_name`, `uuid`+ and the metadata
  labels+ that were asked for. `device`+ is the name of the NIC or disk itself, since indexes move
  when a device before it is unplugged.
- Integers keep their type for good, as libvirt has it on the wire: `unsigned` fields end in `u`
  (Telegraf's InfluxDB output makes integers of them, unless told otherwise), `integer` fields in
  `i`. A value that the type cannot hold is clamped to its largest or smallest; a negative value
  of an unsigned field is left out: there libvirt says that it does not know. So are floats that
  are infinite or not a number.
- InfluxDB keeps no field that is called `time`, and refuses a line that has no other. CPU time is
  therefore sent as `time`, as `inputs.libvirt` does, and as `time_ns`+.
- Two things are right here where `inputs.libvirt` is wrong. A domain that does not run has no
  `libvirt_cpu`: libvirt 9.0 answers with the CPU time of libvirtd itself, and it sends that. And
  `vcpu_id` of `libvirt_cpu_affinity` is the vCPU's own number, also where others are unplugged:
  it counts through there.
- `halted` is a boolean in libvirt, which `inputs.libvirt` makes an integer of. Its `halted_i` is
  always 0, since it looks for a text; here it is the same as `halted`.
- What line protocol cannot carry in a text is written as an escape sequence: newline, carriage
  return, vertical tab, form feed and NUL as `\\n`, `\\r`, `\\v`, `\\f`, `\\0`, two characters each;
  in tags also a tab as `\\t`, and a backslash at the end or before a double quote as `\\x5c`; half
  a surrogate pair as `\\udc80`. An empty tag is left out, and one beyond 4,096 bytes is cut.
- **Keys that are not in the tables**+ (a newer libvirt) get their place by rule: the words before
  the last index name the measurement, those after it the field, and each index becomes a tag
  named by the words before it. So `block.0.job.2.speed` would be field `speed` of
  `libvirt_block_job` with the tags `block_id` and `job_id`, and `block.0.new-thing` field
  `new_thing` of `libvirt_block`. Integers become unsigned fields, booleans, floats and texts stay
  what they are.
"""

_ROUND_TEXT = """\
One line for each round, also when the hypervisor cannot be asked. The tag `hypervisor` is the
connection URI, the tag `version` that of domstats; an update makes it a new series, as all counters
begin anew then in any case. `tagexclude = ["version"]` on `[[inputs.execd]]` leaves it out, for
backends that make a path of all tags (Graphite).

For alerts: `connected` below 1, `unresponsive` above 0, `stuck_calls` above 0, `silent_storage`
above 0, `duration_s` near the interval. `unwatched_storage` above 0 is one to look at once: the log
names the mount and what to do.
"""

_DOMAIN_TEXT = """\
A line for each domain that is not wholly there in this round, and one when it is back: no line is
good news. For alerts: `responsive` below 1, `unresponsive_s` above what one tolerates.
"""

_EVENT_TEXT = """\
A line for each event of the kinds that `events` asks for, with the time at which we heard of it;
it comes with the next round. The tags are the domain's, `kind`, and `event`:

| kind | event | detail |
| --- | --- | --- |
| lifecycle | defined, undefined, started, suspended, resumed, stopped, shutdown, pmsuspended, \
crashed, rebooted | libvirt's detail: booted, migrated, restored, destroyed, crashed, io_error, … |
| io_error | ignored, paused, reported: what became of the guest | the reason, as enospc |
| watchdog | expired | what it did: reset, poweroff, pause, … |
| block_threshold | exceeded | |
| balloon | changed | |
| agent | connected, disconnected | domain_started, channel, unknown |
| device | added, removed, removal_failed | |
| metadata | changed | title, description, or the namespace of the element |
| any of these | dropped: beyond 20 at once, and one each 5 s, a domain's events of a kind are \
only counted | too many |
| stream | gap: the connection was lost, and what happened meanwhile is not known, but for starts \
and stops, which are inferred (`inferred`=1) | reconnected |
| stream | dropped: more than 10,000 events in one round | too many |

Kind `stream` has the tag `hypervisor` instead of a domain's.
"""

_TOTALS_TEXT = """\
### Totals in the place of devices+

With `totals = ["vcpu", "interface", "block"]` a domain has one line for all devices of a group,
not one for each: more fields of `libvirt_vcpu_total`, `libvirt_net_total` and
`libvirt_block_total`, which tell how many devices there are in any case. No line of a single device
is sent then, but for what has an option of its own (vcpu_mapping, rates). So no query that sums
over devices counts one twice.

- Counters are added up, and the sizes of disks; also `<statistic>_sum` of `kvm_statistics`. What
  does not add up (state, name, path, limits, thresholds) is left out.
- Only the devices that are selected count. Where a group was not answered in a round, it has no
  totals in it; where a domain hangs on storage, the counters go on, and there are no sizes.
- **A total does not go back while the domain runs.** What a device had counted stays in the total
  when it is unplugged; another device under the same name begins where the total is. The sums begin
  anew with the domain, and with the agent, then with the devices that there are.
"""

_TOTALS_OF_COLLECTD_TEXT = """\

With `Totals`, the value lists of disks, NICs and vCPUs (`virt_vcpu`) have the type instance
`total`, or `flush-total`: one for all devices that are selected. Sizes add up as well. `disk_error`
and `cpu_affinity` are still sent of each. A total does not go back when a device is unplugged, as
above for Telegraf.
"""

_RATES_TEXT = """\
With `rates = true`. It needs two samples of a domain: the time between them is that of the domain's
own answers, so a round that was late or missed makes no difference. Where a counter has begun anew
(a guest was started again, a disk replaced) there is no rate once. What is not known is left out.
"""

_RATES_OF_COLLECTD_TEXT = """\

With `Rates true`, under the domain's host, as above for Telegraf. Throughput and requests by the
second are not among them: collectd works these out of what plugin virt sends. A `percent` is 100 at
most, since types.db refuses more.
"""

_FIGURE_TEXTS: dict[str, str] = {
    "pressure": """\
With `pressure = true`: how long the tasks of a domain's control group, which are QEMU's threads,
had to wait for a resource (PSI, Documentation/accounting/psi.rst of the kernel), of each running
domain on a local hypervisor. `resource` is cpu, io or memory. The group is the whole of the guest's
own, which systemd calls `machine-qemu….scope`, not the parts that libvirt makes in it for vCPUs and
the emulator. A domain that has no group of its own, a host without control groups of version 2 and
a kernel that does not measure pressure have none; the log says so once. The files are read beside
the rounds: a domain's first pressure comes with the second round that has it. `full_…` of cpu there
is from Linux 5.13 on.
""",
    INTERFACES: """\
With `interface_details = true`: a line for each network interface of a running domain's XML, also
for those that libvirt's statistics do not have, as they have no device on the host: `device` is the
MAC address then. Beside the domain's own, the tags are those of interfaces below. `speed` is what
the kernel says of the device on the host, of an SR-IOV interface what it says of the card. The
counters are those of SR-IOV interfaces (hostdev), which the kernel has where the card's driver
counts them; it is asked by rtnetlink, as `ip -s link` does. Those of vhost-user interfaces are with
the virtual switch, which is not asked. Speeds and counters are read beside the rounds, on a local
hypervisor only, speeds once a minute. This was tested without SR-IOV hardware, on made-up answers
of the kernel's form.
""",
    "disk_throttle": """\
With `disk_throttle = true`: the limits that are set for disks (`iotune`), from the domain's XML. A
disk has the limits that it has; one without any has no line. Of several throttle groups (libvirt 11
and later) the lowest limit counts.
""",
}

_TAGS_TEXT = """\
### Tags of devices+

With `device_tags`, lines of disks (`libvirt_block…`, `domstats_disk`, `domstats_disk_throttle`) and
of network interfaces (`libvirt_net`, `domstats_nic`) have more tags, from the domain's XML as it
was read last; what a device does not have is left out. They come with the first round in which the
XML is known, so a device may begin with a series without them. Mount points are those of this host,
and for files of a local hypervisor only; links on mounts that may hang are not followed.
"""

_FIGURES_OF_COLLECTD_TEXT = """\

With `Pressure true`, `InterfaceDetails true` and `DiskThrottle true`, as above for Telegraf. Of
pressure, `{device}` is the resource. An interface goes by its device on the host, else by its MAC
address, whatever InterfaceFormat says; InterfaceDevice and BlockDevice select. `if_…` are of SR-IOV
interfaces.
"""

_OWN_SELECTORS_TEXT = """\

With selectors of ExtraStats that are our own, as virt does not have them. `{at}` is the length of
the interval in seconds (disk_timed), or where the bin begins, in nanoseconds
(disk_latency_histogram). What libvirt does not send (most needs libvirt 12 and an option of the
disk's) is left out.
"""

_COLLECTD_TEXT = """\
## collectd: value lists

Types, type instances and values are those of collectd's own plugin `virt` (5.12), under its name:
`<host>/virt/<type>-<type instance>`. `{device}` is the disk (by BlockDeviceFormat) or the NIC (by
InterfaceFormat); a `/` in it is replaced as collectd does: a leading one is dropped, others
become `_`. A domain that does not run has `domain_state` only.

- A value list needs all its values. It is left out when libvirt does not send one, or says -1, or
  when a DERIVE is beyond 2^63-1.
- The parts of an identifier hold 127 bytes of UTF-8. A longer one is cut, and ends in `~` and
  eight hexadecimal digits made from the whole text; so do the identifiers of two domains that
  only differ in characters that had to be replaced.
- A NIC whose address is not known yet is left out with `InterfaceFormat address`, not sent under
  another name. A domain without metadata goes by its name with `HostnameFormat metadata`.
- `percent` takes the time between the two samples, not the interval, so a round that was missed
  does not double it. virt needs the same two samples.
- virt sends the bits of a floating point number as `swap_io` and `ps_pagefaults`; here they are
  the numbers.
- virt asks in each round for each disk's size in a call of its own, which looks at the file. Here
  only what the bulk answer does not tell is asked for so (the length of qcow2 files, and of files
  that were not written to), once in five minutes, and only where the storage watch looks: while
  storage hangs, that call makes libvirtd itself stand still. A file that somebody else makes longer
  meanwhile has its old length until then. In the first round after a disk was plugged in, its size
  is what the bulk answer says.
- Notifications of type `domain_state` tell of domains whose state is another than in the round
  before, in virt's words and severities; with `PersistentNotification` of each domain, each round.
  virt has them from libvirt's events, so it also tells of what began and ended between two rounds;
  here `Events lifecycle` does. Why a domain was shut off is known only where domains that do not
  run are listed: with `ExtraStats domain_state` or `PersistentNotification`.
- `disk_error` is of guests that stand still for the error: QEMU tells of no other's, so virt, which
  asks those that run, sends none.
"""

_OWN_TEXT = """\
### Plugin domstats

About the rounds, of collectd's own host; `bool-responsive` and `duration-unresponsive` under the
domain's host. A notification (`bool-responsive`, failure and okay) tells when a domain begins to
hang and when it is back. With `Events`, one of `total_events-<kind>` tells of each event, with the
time at which we heard of it: failure for crashes and I/O errors, warning for a domain that was
suspended, a watchdog, a threshold, and for events that may be missing (`total_events-stream`, of
collectd's own host), okay for all else. The tables of `domstats_event` above say what there is.
collectd's values are numbers, so the version of domstats is in its log alone, in the line that
begins the sampling of a hypervisor.
"""


def _telegraf_part() -> Iterator[str]:
    yield _INTRODUCTION
    measurements: dict[str, list[schema.Key]] = {}
    for row in schema.KEYS:
        measurements.setdefault(row.measurement, []).append(row)
    for measurement, rows in measurements.items():
        tags = [f"`{tag}`" for tag in rows[0].tags]
        if tags and rows[0].group in schema.DEVICE_NAMES:
            tags.append(f"`{schema.DEVICE_TAG}`+")
        yield f"### {measurement}\n"
        group = f"Group `{rows[0].group}`" if rows[0].group else "With vcpu_mapping"
        yield group + (f"; tags {', '.join(tags)}.\n" if tags else ".\n")
        yield from _table(
            ("field", "key", "type", "kind", "unit", "what"),
            (
                *(
                    (
                        f"`{field}`" + ("" if _when(row, field) in ("", "vcpu_mapping") else "+"),
                        f"`{row.pattern}`", FIELD_TYPES[row.wire], row.kind.value, row.unit,
                        row.description,
                    )
                    for row in rows
                    for field in (row.field, *row.twins, *row.own_twins)
                ),
                *_totals_of(measurement),
            ),
        )  # fmt: skip
    for measurement, text, fields in (
        (schema.ROUND_MEASUREMENT, _ROUND_TEXT, schema.ROUND_FIELDS),
        (schema.DOMAIN_MEASUREMENT, _DOMAIN_TEXT, schema.DOMAIN_FIELDS),
        (schema.EVENT_MEASUREMENT, _EVENT_TEXT, schema.EVENT_FIELDS),
    ):
        yield f"### {measurement}+\n"
        yield text
        yield from _table(
            ("field", "type", "kind", "unit", "what"),
            (
                (f"`{own.field}`", FIELD_TYPES[own.wire], own.kind.value, own.unit, own.description)
                for own in fields
            ),
        )


def _of_all(row: schema.Key) -> str:
    return f"of all devices: {row.description.partition(';')[0]}"


def _totals_of(measurement: str) -> Iterator[tuple[str, ...]]:
    """Rows of the table of a measurement that has totals."""
    for row in schema.KEYS:
        if has_total(row) and TOTAL_MEASUREMENTS[row.group] == measurement:
            yield (
                f"`{total_field(row)}`+", f"`{row.pattern}`", FIELD_TYPES[row.wire],
                row.kind.value, row.unit, f"{_of_all(row)} (`totals`)",
            )  # fmt: skip


def _rates_part() -> Iterator[str]:
    for number, table in enumerate(RATE_TABLES):
        yield f"### {table.measurement}+\n"
        yield _RATES_TEXT if number == 0 else "With `rates = true`.\n"
        if table.tag:
            yield f"Tag `{table.tag}`.\n"
        yield from _table(
            ("field", "type", "kind", "unit", "what"),
            ((f"`{row.field}`", "float", "gauge", row.unit, row.description) for row in table.rows),
        )


def _figures_part() -> Iterator[str]:
    for table in FIGURE_TABLES:
        yield f"### {table.measurement}+\n"
        yield _FIGURE_TEXTS[table.option]
        yield f"Tag `{table.tag}`.\n"
        yield from _table(
            ("field", "type", "kind", "unit", "what"),
            (
                (
                    f"`{row.field}`", _figure_type(row), "counter" if row.counter else "gauge",
                    row.unit, row.description,
                )
                for row in table.rows
            ),
        )  # fmt: skip
    yield _TAGS_TEXT
    yield from _table(
        ("with", "tag", "what"),
        (
            (word, f"`{tag}`", text)
            for word, tags in (("disk", DISK_TAGS), ("interface", INTERFACE_TAGS))
            for tag, text in tags.items()
        ),
    )


def _collectd_part() -> Iterator[str]:
    yield _COLLECTD_TEXT
    yield from _table(
        ("type and instance", "ExtraStats", "values", "for each", "unit", "what"),
        (
            (
                f"`{_collectd_name(row.type, row.instance)}`", row.selector,
                ", ".join(f"`{key}`" for key in row.keys) + _calculation(row), row.per.value,
                row.unit, row.description,
            )
            for row in virt_schema.VALUE_LISTS
        ),
    )  # fmt: skip
    yield _TOTALS_OF_COLLECTD_TEXT
    yield _OWN_TEXT
    yield from _table(
        ("type and instance", "data source", "unit", "what"),
        (
            (
                f"`{_collectd_name(row.type, row.instance)}`",
                "DERIVE" if row.counter else "GAUGE", row.unit, row.description,
            )
            for row in virt_schema.OWN_VALUE_LISTS
        ),
    )  # fmt: skip
    yield _RATES_OF_COLLECTD_TEXT
    yield from _table(
        ("type and instance", "data source", "unit", "what"),
        (
            (f"`{_collectd_name(row.type, row.instance)}`", "GAUGE", row.unit, row.description)
            for table in RATE_TABLES
            for row in table.rows
            if row.type
        ),
    )
    yield from _own_collectd_part()


def _own_collectd_part() -> Iterator[str]:
    """Of devices and control groups."""
    yield _FIGURES_OF_COLLECTD_TEXT
    yield from _table(
        ("type and instance", "option", "data source", "unit", "what"),
        (
            (
                f"`{_collectd_name(row.type, row.instance)}`", table.collectd_option,
                "DERIVE" if row.counter else "GAUGE", row.unit,
                "received and sent" if row.pair else row.description,
            )
            for table in FIGURE_TABLES
            for row in table.rows
            if row.type
        ),
    )  # fmt: skip
    yield _OWN_SELECTORS_TEXT
    yield from _table(
        ("type and instance", "ExtraStats", "key", "data source", "unit", "what"),
        (
            *(
                (
                    f"`{_collectd_name(row.type, row.instance)}`", row.selector, f"`{row.key}`",
                    "DERIVE" if row.counter else "GAUGE", row.unit, row.description,
                )
                for row in DISK_ROWS
            ),
            (
                "`duration-memory_age`", MEMORY_AGE, "`balloon.last-update`", "GAUGE", "s",
                "how old the guest's own figures of its memory are",
            ),
        ),
    )  # fmt: skip


def _calculation(row: virt_schema.ValueListRow) -> str:
    text = f" × {row.multiply:,}" if row.multiply != 1 else ""
    text += f" ÷ {row.divide:,}" if row.divide != 1 else ""
    text += f", else `{row.fallback}`" if row.fallback else ""
    positive = row.rule in (virt_schema.Rule.ANY_POSITIVE, virt_schema.Rule.FAMILY_POSITIVE)
    return text + (", unless all are 0" if positive else "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
