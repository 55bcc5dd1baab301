"""The schema for people: docs/metrics.md, and rows for a table on a terminal.

``python -m domstats.output.metrics_table`` prints the page; a test holds it and the file together.
This module must not know anything that the schema does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from ..model import GROUP_OF_WORD
from . import job_lists, origins, schema, virt_schema
from .device_tables import DISK_TAGS, FIGURE_TABLES, INTERFACE_TAGS, INTERFACES, FigureRow
from .disk_rows import DISK_ROWS, MEMORY_AGE
from .guest_agents import AGENT_LISTS
from .host_tables import HOST, HOST_TABLES, STORAGE
from .job_tables import JOB_FIELDS, JOB_MEASUREMENT
from .line_totals import TOTAL_MEASUREMENTS, has_total, total_field
from .origins import Cost
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
    :param cost: of ``origins.Cost``; empty for our own.
    :param since: the first libvirt that has all of its keys; empty for our own.
    """

    agent: str
    name: str
    source: str
    type: str
    kind: str
    unit: str
    description: str
    when: str
    cost: str = ""
    since: str = ""


def metrics() -> Iterator[Metric]:
    """Everything that can be sent, Telegraf's first."""
    for row in schema.KEYS:
        for field in (row.field, *row.twins, *row.own_twins):
            yield Metric(
                "telegraf", f"{row.measurement} {field}", row.pattern, FIELD_TYPES[row.wire],
                row.kind.value, row.unit, row.description, _when(row, field),
                origins.cost(row.pattern, row.group).value, origins.since(row.pattern),
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
    yield from _agent_metrics()
    yield from _derived_metrics()
    yield from _figure_metrics()
    yield from _host_metrics()
    for disk in DISK_ROWS:
        yield Metric(
            "collectd", f"{virt_schema.OWN_PLUGIN}/{_collectd_name(disk.type, disk.instance)}",
            disk.key, "derive" if disk.counter else "gauge",
            "counter" if disk.counter else "gauge", disk.unit, disk.description,
            f"ExtraStats {disk.selector}",
            origins.cost(disk.key, "block").value, origins.since(disk.key),
        )  # fmt: skip
    yield from _job_metrics()
    for row_ in virt_schema.VALUE_LISTS:
        yield Metric(
            "collectd", f"virt/{_collectd_name(row_.type, row_.instance)}", ", ".join(row_.keys),
            "derive" if row_.counter else "gauge", "counter" if row_.counter else "gauge",
            row_.unit, row_.description, f"ExtraStats {row_.selector}" if row_.selector else "",
            _cost_of(row_).value, origins.since_all(*row_.keys),
        )  # fmt: skip
    for list_ in virt_schema.OWN_VALUE_LISTS:
        yield Metric(
            "collectd",
            f"{virt_schema.OWN_PLUGIN}/{_collectd_name(list_.type, list_.instance)}",
            "",
            "derive" if list_.counter else "gauge", "counter" if list_.counter else "gauge",
            list_.unit, list_.description, "ReportRound",
        )  # fmt: skip


def _derived_metrics() -> Iterator[Metric]:
    """What is worked out of counters: sums of devices, and rates."""
    for row in schema.KEYS:
        if has_total(row):
            yield Metric(
                "telegraf", f"{TOTAL_MEASUREMENTS[row.group]} {total_field(row)}", row.pattern,
                FIELD_TYPES[row.wire], row.kind.value, row.unit, _of_all(row),
                f"totals {row.group}", origins.cost(row.pattern, row.group).value,
                origins.since(row.pattern),
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


def _agent_metrics() -> Iterator[Metric]:
    """What guest agents tell, for both agents."""
    for measurement, fields in _AGENT_TABLES:
        for own in fields:
            yield Metric(
                "telegraf", f"{measurement} {own.field}", "", FIELD_TYPES[own.wire],
                own.kind.value, own.unit, own.description, "guest_agent",
            )  # fmt: skip
    for row_of_agent in AGENT_LISTS:
        yield Metric(
            "collectd",
            f"{virt_schema.OWN_PLUGIN}/{_collectd_name(row_of_agent.type, row_of_agent.instance)}",
            "", "gauge", "gauge", row_of_agent.unit, row_of_agent.description, "GuestAgent",
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


_AGENT_TABLES = (
    (schema.AGENT_MEASUREMENT, schema.AGENT_FIELDS),
    (schema.FILE_SYSTEM_MEASUREMENT, schema.FILE_SYSTEM_FIELDS),
)

#: What virDomainGetJobStats costs, and since when there is one.
_OF_JOBS = (Cost.MONITOR.value, "1.0.3")


def _job_metrics() -> Iterator[Metric]:
    own = f"{virt_schema.OWN_PLUGIN}/"
    yield Metric(
        "collectd", f"{own}gauge-{job_lists.instance(False, 'operation')}", "job.operation",
        "gauge", "gauge", "1", "what the job does, as libvirt's number", "Jobs",
        *_OF_JOBS,
    )  # fmt: skip
    for job in JOB_FIELDS:
        wire = FIELD_TYPES[schema.Wire[job.wire]]
        yield Metric(
            "telegraf", f"{JOB_MEASUREMENT} {job.name}", f"job.{job.name}", wire, "gauge",
            job.unit, job.description, "jobs", *_OF_JOBS,
        )  # fmt: skip
        if job.wire == "TEXT":
            continue
        name = _collectd_name(job_lists.type_of(job), job_lists.instance(False, job.name))
        unit = "s" if job.unit == "ms" else job.unit
        yield Metric(
            "collectd", f"{own}{name}", f"job.{job.name}", "gauge", "gauge", unit,
            job.description, "Jobs", *_OF_JOBS,
        )  # fmt: skip
    yield Metric(
        "collectd", f"virt/{_collectd_name(job_lists.TYPE, job_lists.PARAMETER)}", "job.*",
        "derive", "gauge", "libvirt's", _JOB_STATS_TEXT,
        f"ExtraStats {' or '.join(virt_schema.JOB_STATS)}", *_OF_JOBS,
    )  # fmt: skip


#: Since when there is what the host's figures come from.
_HOST_SINCE = {
    "virNodeGetCPUStats": "0.9.3",
    "virNodeGetMemoryStats": "0.9.3",
    "virStoragePoolGetInfo": "0.4.1",
    "its admin interface": "2.0.0",
}


def _host_metrics() -> Iterator[Metric]:
    for table in HOST_TABLES:
        since = _HOST_SINCE.get(table.source, "")
        source = table.source if since else ""
        of_source = (Cost.FREE.value if since else "", since)
        for row in table.rows:
            yield Metric(
                "telegraf", f"{table.measurement} {row.field}", source, FIELD_TYPES[row.wire],
                row.kind.value, row.unit, row.description, "host", *of_source,
            )  # fmt: skip
            if row.type:
                yield Metric(
                    "collectd",
                    f"{virt_schema.OWN_PLUGIN}/{_collectd_name(row.type, row.instance)}",
                    source, "derive" if row.kind is schema.Kind.COUNTER else "gauge",
                    row.kind.value, "ms" if row.divide > 1 else row.unit, row.description, "Host",
                    *of_source,
                )  # fmt: skip


def _when(row: schema.Key, field: str) -> str:
    if row.kvm:
        return "kvm_statistics"
    if row.mapping:
        return "vcpu_mapping"
    return "" if row.telegraf and field not in row.own_twins else 'series = "full"'


def _collectd_name(type_: str, instance: str) -> str:
    return f"{type_}-{instance}" if instance else type_


def _cost_of(row: virt_schema.ValueListRow) -> Cost:
    """What a value list costs on a local hypervisor, if nothing else needs its group."""
    group = _group_of(row)
    together = (
        key
        for other in virt_schema.VALUE_LISTS
        if (other.selector, _group_of(other)) == (row.selector, group)
        for key in other.keys
    )
    if origins.DIRECT.issuperset(together):
        return Cost.CALL
    return origins.cost(row.keys[0], group)


def _group_of(row: virt_schema.ValueListRow) -> str:
    return GROUP_OF_WORD[row.keys[0].split(".", 1)[0]]


def _in_collectd() -> dict[str, str]:
    """By key: the value lists that are made of it, as the page has them."""
    names: dict[str, list[str]] = {}
    for row in virt_schema.VALUE_LISTS:
        for key in row.keys:
            name = f"`{_collectd_name(row.type, _without_device(row.instance))}`"
            if name not in names.setdefault(key, []):
                names[key].append(name)
    for disk in DISK_ROWS:
        names.setdefault(disk.key, []).append(f"`{disk.type}` ({disk.selector})")
    event = names.pop("perf.<event>")
    names.update({row.pattern: event for row in schema.KEYS if row.group == "perf"})
    return {key: ", ".join(of_key) for key, of_key in names.items()}


def _without_device(instance: str) -> str:
    """A type instance without what tells devices apart: the page has that elsewhere."""
    return "" if "{" in instance and "flush" not in instance else instance.replace("-{device}", "")


def page() -> str:
    """docs/metrics.md."""
    beside = (*_jobs_part(), *_figures_part(), *_host_part(), *_agent_part())
    telegraf = (*_telegraf_part(), _TOTALS_TEXT, *_rates_part(), *beside)
    return "\n".join((*telegraf, *_collectd_part()))


_INTRODUCTION = """\
# Metrics

<!-- Generated by `python -m domstats.output.metrics_table`; change output/schema.py instead. -->

Everything that domstats sends. It comes from libvirt's bulk statistics, whose keys are in the
tables; `<n>` is an index, and indexes may have holes. Which of them a domain has depends on the
hypervisor, on its version and on the domain: see [drivers](drivers.md).

**Since** is the first libvirt that has the key; QEMU, the kernel or the guest may have to be newer.
**Cost** is what a round pays for it:

{costs}
A group is asked for as a whole, so what one of its keys costs all of them cost. A group that no
output needs is not asked for.

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

_HOST_TEXT = """\
With `host = true`, and the tag `hypervisor`, the connection URI. Of each line the timestamp is the
time at which its values were found, by threads of their own that no round waits for. What has not
been found since the round before has no line.
Sums are of the domains that are sampled; a domain that does not answer counts with the state, vCPUs
and memory that it had. A sum of vCPUs or memory of which a part is not known is left out. Rates are
as above; `guests_measured` says how many domains are in them.
"""

_STORAGE_TEXT = """\
With `host = true`, and the tag `hypervisor`. libvirt gives the sizes of a pool's last refresh
(`virsh pool-refresh`), and waits for one that is under way: while that hangs, there are no lines of
pools. A mount has the space that its last probe found; mounts are known where `storage_watch` is on
and the group block is asked for.
"""

_HOST_OF_COLLECTD_TEXT = """\

With `Host true`, of collectd's own host, as above for Telegraf: each value list has the time at
which it was found. `{name}` is the pool's name, or the mount point.
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

_JOBS_TEXT = """\
With `jobs = true`. A line for each domain with a job in each round while it runs, with the tag
`status` = `running`, and one with the figures of a job that has ended: `completed`, `failed` or
`cancelled`. Which jobs leave figures, libvirt decides: those that completed, and backups however
they end; a migration's are at its destination then, as the domain is. The tag `operation` is
`migration_out`, `migration_in`, `backup`, `save`, `restore`, `dump`, `snapshot`, `snapshot_revert`,
`snapshot_delete`, `start` or `unknown`. A job has those of the fields that libvirt tells of it,
under libvirt's names; parameters that are not in the table are sent too. Of an incoming migration
nothing is known while it goes on. Copies of single disks (`virsh blockcopy`) are no jobs of the
domain.

What had ended before the first round is not sent. libvirt forgets the figures when the next job
begins, when it is started anew, and when collectd's `virt` with `job_stats_completed` has read
them.
"""

_JOB_STATS_TEXT = "figures of the job that runs, or once of the last one that has ended"

_JOBS_OF_COLLECTD_TEXT = """\

With `Jobs true`, under the domain's host, as above for Telegraf: `job_…` while a job runs, and
`completed_job_…` once when it has ended, also if it failed. The operation is libvirt's number:
1 start, 2 save, 3 restore, 4 migration in, 5 migration out, 6 snapshot, 7 its revert, 8 dump,
9 backup, 10 deletion of a snapshot.
"""

_AGENT_TEXT = """\
With `guest_agent = true`. A line for each running domain whose guest agent is connected, each
`guest_agent_interval`, with the time at which its answer came. What the agent does not tell is left
out. All texts are the guest's own, cut at 255 characters. For alerts: `responsive` below 1.
"""

_FILE_SYSTEM_TEXT = """\
With `guest_agent = true`. A line for each file system that is mounted in the guest, up to 256 of a
domain. Tags: `mountpoint`; `fstype`; `device`, the domain's disks that it lies on (`vda`, as in
`libvirt_block`; several with commas); `guest_device`, what the guest calls it (`vda1`, `dm-0`).
Agents before 3.0 and libvirt before 5.7 tell no sizes: then there is `mounted` alone. Where one
file system is mounted over another, there is one line for that mount point, of the upper one.
"""

_AGENT_OF_COLLECTD_TEXT = """\

With `GuestAgent true`, under the domain's host, once each `GuestAgentInterval`. `{mountpoint}` is
`root` for `/`, and `var_log` for `/var/log`; where two mount points would be the same, both end in
`~` and eight hexadecimal digits.

With `ExtraStats fs_info` as well, plugin `virt` notifies of each file system when its agent has
answered: type `file_system`, severity okay, message `File system information`, and with it
`mountpoint`, `name`, `fstype`, `ndevAlias` and, for each disk, `devAlias`, as `virt` does in each
round. collectd wants the type to be known when Python sends it, and its own types.db does not have
it: name `collectd.types.db`, which lies in the package, with `TypesDB`, beside collectd's own file.
The log says once that it is missing, with the line to add.
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
- `job_stats-<parameter>` (DERIVE) tells of the job that runs (`ExtraStats job_stats_background`),
  or once of the last one that has ended (`job_stats_completed`), of guests that run: the parameters
  listed at `domstats_job`, as libvirt has them, and `operation`, libvirt's number of it. A text
  (`errmsg`) becomes a notification. virt takes the figures of a completed job away from all others
  who ask libvirt for them; ours are left there. So ours are sent once more after a restart of
  collectd, and not at all where virt was quicker.
- `disk_error` is of guests that stand still for the error: QEMU tells of no other's, so virt, which
  asks those that run, sends none.
- The costs are those on a local hypervisor. Over a network everything comes in bulk, and what says
  call there costs what its group does.
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


def _own_name(row: Optional[virt_schema.OwnValueList]) -> str:
    return f"`{_collectd_name(row.type, row.instance)}`" if row else ""


def _telegraf_part() -> Iterator[str]:
    in_collectd = _in_collectd()
    costs = _table(("cost", "what it is"), ((c.value, t + ".") for c, t in origins.COSTS.items()))
    yield _INTRODUCTION.replace("{costs}", "\n".join(costs))
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
            ("field", "key", "collectd", "type", "kind", "unit", "cost", "since", "what"),
            (
                *(
                    (
                        f"`{field}`" + ("" if _when(row, field) in ("", "vcpu_mapping") else "+"),
                        f"`{row.pattern}`", in_collectd.get(row.pattern, ""), FIELD_TYPES[row.wire],
                        row.kind.value, row.unit, origins.cost(row.pattern, row.group).value,
                        origins.since(row.pattern), row.description,
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
        of_own = {row.source: row for row in virt_schema.OWN_VALUE_LISTS}
        yield from _table(
            ("field", "collectd", "type", "kind", "unit", "what"),
            (
                (
                    f"`{own.field}`", _own_name(of_own.get(own.field)), FIELD_TYPES[own.wire],
                    own.kind.value, own.unit, own.description,
                )
                for own in fields
            ),
        )  # fmt: skip


def _of_all(row: schema.Key) -> str:
    return f"of all devices: {row.description.partition(';')[0]}"


def _totals_of(measurement: str) -> Iterator[tuple[str, ...]]:
    """Rows of the table of a measurement that has totals."""
    for row in schema.KEYS:
        if has_total(row) and TOTAL_MEASUREMENTS[row.group] == measurement:
            yield (
                f"`{total_field(row)}`+", f"`{row.pattern}`", "", FIELD_TYPES[row.wire],
                row.kind.value, row.unit, origins.cost(row.pattern, row.group).value,
                origins.since(row.pattern), f"{_of_all(row)} (`totals`)",
            )  # fmt: skip


def _rates_part() -> Iterator[str]:
    for number, table in enumerate(RATE_TABLES):
        yield f"### {table.measurement}+\n"
        yield _RATES_TEXT if number == 0 else "With `rates = true`.\n"
        if table.tag:
            yield f"Tag `{table.tag}`.\n"
        yield from _table(
            ("field", "collectd", "type", "kind", "unit", "what"),
            (
                (
                    f"`{row.field}`",
                    f"`{_collectd_name(row.type, row.instance)}`" if row.type else "",
                    "float", "gauge", row.unit, row.description,
                )
                for row in table.rows
            ),
        )  # fmt: skip


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


def _jobs_part() -> Iterator[str]:
    yield f"### {JOB_MEASUREMENT}+\n"
    yield _JOBS_TEXT
    yield from _table(
        ("field", "type", "unit", "what"),
        (
            (f"`{row.name}`", FIELD_TYPES[schema.Wire[row.wire]], row.unit, row.description)
            for row in JOB_FIELDS
        ),
    )


def _host_part() -> Iterator[str]:
    for measurement, text in ((HOST, _HOST_TEXT), (STORAGE, _STORAGE_TEXT)):
        yield f"### {measurement}+\n"
        yield text
        for table in HOST_TABLES:
            if table.measurement == measurement:
                tags = ", ".join(f"`{tag}`" for tag, _ in table.tags)
                source = f" ({table.source})" if table.source else ""
                yield f"Of {table.what}{source}" + (f"; tags {tags}:\n" if tags else ":\n")
                yield from _table(
                    ("field", "type", "kind", "unit", "what"),
                    (
                        (
                            f"`{row.field}`", FIELD_TYPES[row.wire], row.kind.value, row.unit,
                            row.description,
                        )
                        for row in table.rows
                    ),
                )  # fmt: skip


def _agent_part() -> Iterator[str]:
    for (measurement, fields), text in zip(_AGENT_TABLES, (_AGENT_TEXT, _FILE_SYSTEM_TEXT)):
        yield f"### {measurement}+\n"
        yield text
        yield from _table(
            ("field", "type", "kind", "unit", "what"),
            (
                (f"`{own.field}`", FIELD_TYPES[own.wire], own.kind.value, own.unit, own.description)
                for own in fields
            ),
        )


def _collectd_part() -> Iterator[str]:
    yield _COLLECTD_TEXT
    rows = [
        (
            f"`{_collectd_name(row.type, row.instance)}`", row.selector,
            ", ".join(f"`{key}`" for key in row.keys) + _calculation(row), _group_of(row),
            row.per.value, "counter" if row.counter else "gauge", row.unit,
            _cost_of(row).value, origins.since_all(*row.keys), row.description,
        )
        for row in virt_schema.VALUE_LISTS
    ]  # fmt: skip
    name = _collectd_name(job_lists.TYPE, job_lists.PARAMETER)
    rows.append(
        (
            f"`{name}`", " or ".join(virt_schema.JOB_STATS), "`job.*` or `job.completed.*`", "",
            "parameter", "gauge", "libvirt's", *_OF_JOBS, _JOB_STATS_TEXT,
        )
    )  # fmt: skip
    yield from _table(
        ("type and instance", "ExtraStats", "values", "group", "for each", "kind", "unit",
         "cost", "since", "what"),
        rows,
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
    yield _JOBS_OF_COLLECTD_TEXT
    yield from _table(
        ("type and instance", "data source", "unit", "what"),
        (
            (f"`{name.split('/', 1)[1]}`", "GAUGE", unit, description)
            for agent, name, _, _, _, unit, description, when, *_ in _job_metrics()
            if agent == "collectd" and when == "Jobs"
        ),
    )
    yield from _own_collectd_part()
    yield from _host_of_collectd_part()


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
        ("type and instance", "ExtraStats", "key", "data source", "unit", "cost", "since", "what"),
        (
            *(
                (
                    f"`{_collectd_name(row.type, row.instance)}`", row.selector, f"`{row.key}`",
                    "DERIVE" if row.counter else "GAUGE", row.unit,
                    origins.cost(row.key, "block").value, origins.since(row.key), row.description,
                )
                for row in DISK_ROWS
            ),
            (
                "`duration-memory_age`", MEMORY_AGE, "`balloon.last-update`", "GAUGE", "s",
                origins.cost("balloon.last-update", "balloon").value,
                origins.since("balloon.last-update"),
                "how old the guest's own figures of its memory are",
            ),
        ),
    )  # fmt: skip
    yield _AGENT_OF_COLLECTD_TEXT
    yield from _table(
        ("type and instance", "data source", "unit", "what"),
        (
            (f"`{_collectd_name(row.type, row.instance)}`", "GAUGE", row.unit, row.description)
            for row in AGENT_LISTS
        ),
    )


def _host_of_collectd_part() -> Iterator[str]:
    yield _HOST_OF_COLLECTD_TEXT
    yield from _table(
        ("type and instance", "data source", "unit", "what"),
        (
            (
                f"`{_collectd_name(row.type, row.instance)}`",
                "DERIVE" if row.kind is schema.Kind.COUNTER else "GAUGE",
                "ms" if row.divide > 1 else row.unit, row.description,
            )
            for table in HOST_TABLES
            for row in table.rows
            if row.type
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
