"""The table of collectd's value lists: what plugin ``virt`` sends, and ours beside it.

Data, and its form; ``schema`` has the keys that it is made of.
"""

from __future__ import annotations

import enum
from typing import Optional

import msgspec

from .schema import INDEX


class Per(str, enum.Enum):
    """What a value list is there for once each."""

    DOMAIN = "domain"
    DISK = "disk"
    NIC = "NIC"
    VCPU = "vCPU"
    EVENT = "perf event"


class Rule(str, enum.Enum):
    """How values come from the keys."""

    #: Each key's value, scaled; all must be there.
    PLAIN = "plain"
    #: As PLAIN, and sent only when one of them is above zero.
    ANY_POSITIVE = "any positive"
    #: As PLAIN, where there is one value list for each key: sent when one of all is above zero.
    FAMILY_POSITIVE = "family positive"
    #: Its growth since the domain's last sample as a share of the host's CPUs.
    PERCENT = "percent of the host's CPUs"
    #: One value list for each physical CPU: 1 when the text lists it, else 0.
    AFFINITY = "one for each physical CPU"


class ValueListRow(msgspec.Struct, frozen=True):
    """A value list of collectd's plugin virt.

    :param type: its type in types.db.
    :param instance: the type instance, with ``{device}``, ``{index}``, ``{cpu}`` or ``{event}``.
    :param keys: the key patterns whose values it has, in the type's order of data sources.
    :param selector: the word in ExtraStats that asks for it; empty for one that is always sent.
    :param counter: True where types.db says DERIVE, False for GAUGE.
    :param multiply: factor of the values, before ``divide``.
    :param divide: divisor of the values, without remainder for counters.
    :param fallback: the pattern that is used where the key's value is 0 or missing.
    :param always: also sent of a domain that does not run.
    :param needs_source: not sent of an empty drive.
    :param of_images: sent of a disk that is a qcow2 file if True, of any other if False, of every
        disk if None.
    :param unless: not sent of a device that has a key of this pattern: another row is.
    """

    type: str
    instance: str
    keys: tuple[str, ...]
    per: Per
    unit: str
    description: str
    selector: str = ""
    counter: bool = True
    rule: Rule = Rule.PLAIN
    multiply: int = 1
    divide: int = 1
    fallback: str = ""
    always: bool = False
    needs_source: bool = False
    of_images: Optional[bool] = None
    unless: str = ""


def _memory(instance: str, word: str, text: str) -> ValueListRow:
    return ValueListRow(
        "memory", instance, (f"balloon.{word}",), Per.DOMAIN, "bytes", text,
        selector="memory", counter=False, multiply=1024,
    )  # fmt: skip


def _nic(kind: str, word: str, unit: str, text: str) -> ValueListRow:
    keys = (f"net.{INDEX}.rx.{word}", f"net.{INDEX}.tx.{word}")
    return ValueListRow(f"if_{kind}", "{device}", keys, Per.NIC, unit, text)


def _disk_size(
    word: str,
    key: str,
    text: str,
    fallback: str = "",
    of_images: Optional[bool] = None,
    unless: str = "",
) -> ValueListRow:
    return ValueListRow(
        f"disk_{word}", "{device}", (f"block.{INDEX}.{key}",), Per.DISK, "bytes", text,
        selector=f"disk_{word}", counter=False, fallback=fallback and f"block.{INDEX}.{fallback}",
        needs_source=True, of_images=of_images, unless=unless and f"block.{INDEX}.{unless}",
    )  # fmt: skip


#: What collectd's plugin virt sends, in its order; the two of huge pages from collectd 6 on, which
#: multiplies those counts by 1,024, and so do we. Its ``swap_io`` and ``ps_pagefaults`` carry the
#: bits of a floating point number, ours the numbers themselves.
VALUE_LISTS: tuple[ValueListRow, ...] = (
    ValueListRow("domain_state", "", ("state.state", "state.reason"), Per.DOMAIN, "1",
                 "state and reason", selector="domain_state", counter=False, always=True),
    ValueListRow("ps_cputime", "", ("cpu.user", "cpu.system"), Per.DOMAIN, "ns",
                 "CPU time in user mode and in the kernel", selector="pcpu",
                 rule=Rule.ANY_POSITIVE),
    ValueListRow("percent", "virt_cpu_total", ("cpu.time",), Per.DOMAIN, "%",
                 "CPU time as a share of all the host's CPUs", selector="cpu_util",
                 counter=False, rule=Rule.PERCENT),
    ValueListRow("virt_cpu_total", "", ("cpu.time",), Per.DOMAIN, "ns", "CPU time used"),
    ValueListRow("memory", "total", ("balloon.used",), Per.DOMAIN, "bytes",
                 "memory that the container uses (LXC)", counter=False, multiply=1024),
    ValueListRow("memory", "total", ("balloon.current",), Per.DOMAIN, "bytes",
                 "memory that the guest has now", counter=False, multiply=1024,
                 unless="balloon.used"),
    ValueListRow("virt_vcpu", "{index}", (f"vcpu.{INDEX}.time",), Per.VCPU, "ns",
                 "CPU time of the vCPU", selector="vcpu"),
    ValueListRow("cpu_affinity", "vcpu_{index}-cpu_{cpu}", (f"vcpu.{INDEX}.affinity",), Per.VCPU,
                 "1", "1 where the vCPU may run on the physical CPU", selector="vcpupin",
                 counter=False, rule=Rule.AFFINITY),
    _memory("actual_balloon", "current", "memory that the guest has now"),
    _memory("rss", "rss", "host memory of the domain's process"),
    _memory("unused", "unused", "memory that the guest leaves unused"),
    _memory("available", "available", "memory that the guest sees"),
    _memory("usable", "usable", "memory that the balloon can take without swapping"),
    _memory("disk_caches", "disk_caches", "memory that the guest can free without writing"),
    _memory("hugetlb_pgalloc", "hugetlb_pgalloc", "huge pages allocated, times 1,024"),
    _memory("hugetlb_pgfail", "hugetlb_pgfail", "huge pages not to be had, times 1,024"),
    ValueListRow("swap_io", "in", ("balloon.swap_in",), Per.DOMAIN, "KiB",
                 "read from the guest's swap", selector="memory", rule=Rule.FAMILY_POSITIVE),
    ValueListRow("swap_io", "out", ("balloon.swap_out",), Per.DOMAIN, "KiB",
                 "written to the guest's swap", selector="memory", rule=Rule.FAMILY_POSITIVE),
    ValueListRow("ps_pagefaults", "", ("balloon.minor_fault", "balloon.major_fault"), Per.DOMAIN,
                 "1", "page faults of the guest", selector="memory", rule=Rule.ANY_POSITIVE),
    ValueListRow("perf", "perf_{event}", ("perf.<event>",), Per.EVENT, "1",
                 "each perf event of the domain", selector="perf"),
    ValueListRow("disk_ops", "{device}", (f"block.{INDEX}.rd.reqs", f"block.{INDEX}.wr.reqs"),
                 Per.DISK, "1", "reads and writes"),
    ValueListRow("disk_octets", "{device}",
                 (f"block.{INDEX}.rd.bytes", f"block.{INDEX}.wr.bytes"), Per.DISK, "bytes",
                 "read and written"),
    ValueListRow("disk_time", "{device}",
                 (f"block.{INDEX}.rd.times", f"block.{INDEX}.wr.times"), Per.DISK, "ns",
                 "time spent on reads and writes", selector="disk"),
    ValueListRow("total_requests", "flush-{device}", (f"block.{INDEX}.fl.reqs",), Per.DISK, "1",
                 "flushes", selector="disk"),
    ValueListRow("total_time_in_ms", "flush-{device}", (f"block.{INDEX}.fl.times",), Per.DISK,
                 "µs", "time spent on flushes; virt, too, divides nanoseconds by 1,000 only",
                 selector="disk", divide=1000),
    ValueListRow("disk_error", "{device}", (f"block.{INDEX}.error",), Per.DISK, "1",
                 "1 for an error, 2 for no space left; of a guest that stands still for it",
                 selector="disk_err", counter=False, always=True),
    _disk_size("allocation", "info.allocation",
               "what virDomainGetBlockInfo says of a qcow2 file, and of a disk not written to"),
    _disk_size("allocation", "allocation", "how far the disk is written; else its size on the host",
               "physical", of_images=False, unless="info.allocation"),
    _disk_size("allocation", "physical", "of a qcow2 file: what it uses on the host",
               of_images=True, unless="info.allocation"),
    _disk_size("capacity", "capacity", "size that the guest sees"),
    _disk_size("physical", "info.physical", "the length of the file, likewise"),
    _disk_size("physical", "physical", "size on the host", of_images=False,
               unless="info.physical"),
    _disk_size("physical", "allocation", "of a qcow2 file: how far it was written",
               "physical", of_images=True, unless="info.physical"),
    _nic("octets", "bytes", "bytes", "received and sent"),
    _nic("packets", "pkts", "1", "packets received and sent"),
    _nic("errors", "errs", "1", "errors of receiving and of sending"),
    _nic("dropped", "drop", "1", "received and sent packets dropped"),
)  # fmt: skip

#: The selectors of ExtraStats for the job that runs, and for the last one that has ended; their
#: value lists have the names that libvirt gives the parameters of a job.
JOB_STATS: tuple[str, str] = ("job_stats_background", "job_stats_completed")

#: The selectors of ExtraStats that the table knows, those, and fs_info: notifications, and no
#: values; see ``guest_agents``.
EXTRA_STATS: frozenset[str] = frozenset(
    (*(row.selector for row in VALUE_LISTS if row.selector), *JOB_STATS, "fs_info")
)

#: The collectd plugin under which our own value lists and notifications go.
OWN_PLUGIN = "domstats"


class OwnValueList(msgspec.Struct, frozen=True):
    """A value list about our own work, of a type that the stock types.db has.

    :param source: the attribute of ``model.Round``, or the field of ``DOMAIN_FIELDS``.
    :param of_domain: it tells of one domain, not of the round.
    """

    type: str
    instance: str
    source: str
    counter: bool
    unit: str
    description: str
    of_domain: bool = False


OWN_VALUE_LISTS: tuple[OwnValueList, ...] = (
    OwnValueList("duration", "round", "duration_s", False, "s", "from beginning to end"),
    OwnValueList("count", "lanes", "lanes", False, "1", "calls that may be under way at once"),
    OwnValueList("count", "calls", "calls", False, "1", "bulk calls made"),
    OwnValueList("count", "domains", "domains", False, "1", "domains asked for"),
    OwnValueList("count", "domains_fresh", "fresh", False, "1",
                 "domains that answered everything"),
    OwnValueList("count", "domains_partial", "partial", False, "1",
                 "domains that lack some groups this time"),
    OwnValueList("count", "domains_unresponsive", "unresponsive", False, "1",
                 "domains whose monitor does not answer"),
    OwnValueList("count", "domains_gone", "gone", False, "1",
                 "domains that ended before they were asked"),
    OwnValueList("count", "stuck_calls", "stuck_calls", False, "1",
                 "calls that have not come back at the end"),
    OwnValueList("count", "silent_storage", "silent_storage", False, "1",
                 "storages that did not answer: disks on them have no sizes in this round"),
    OwnValueList("count", "unwatched_storage", "unwatched_storage", False, "1",
                 "mounts with disks on them that this user may not probe: see the log"),
    OwnValueList("total_events", "late_results", "late_results", True, "1",
                 "answers that came too late and were dropped"),
    OwnValueList("total_events", "reconnects", "reconnects", True, "1",
                 "connections opened anew after a loss"),
    OwnValueList("errors", "calls", "errors", True, "1",
                 "failed calls and failed attempts to connect"),
    OwnValueList("bool", "connected", "connected", False, "1",
                 "0 when the hypervisor cannot be asked at all"),
    OwnValueList("bool", "responsive", "responsive", False, "1",
                 "0 while a domain's monitor does not answer; sent of such domains only, and "
                 "once when one is back", of_domain=True),
    OwnValueList("duration", "unresponsive", "unresponsive_s", False, "s",
                 "for how long it has not answered; sent with bool-responsive", of_domain=True),
)  # fmt: skip
