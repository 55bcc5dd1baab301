"""The option table: every option of every vocabulary, with names, kind, bounds and explanation.

Parsers, messages for wrong values, ready configurations and ``docs/options.md`` are made from it.
It is data: it must not know files, agents or how a value is used.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from ..domain_xml.labels import (
    LABELS,
    METADATA_LABEL,
    METADATA_NAMESPACE,
    METADATA_XPATH,
    NAMESPACES,
)
from ..model import EVENT_KINDS, GROUPS, MONITOR_FREE_GROUPS

#: The groups that Telegraf's ``statistics_groups`` knows.
TELEGRAF_GROUPS: tuple[str, ...] = tuple(group for group in GROUPS if group != "vm")

#: Stuck calls beyond this could take the server's management down: libvirtd has 20 workers, for
#: all its clients.
SAFE_BUDGET = 10


class Kind(enum.Enum):
    """What an option holds. In collectd words and entries are the values of one line."""

    URI = "connection URI"
    FLAG = "true or false"
    COUNT = "whole number"
    SECONDS = "seconds"
    WORD = "one of"
    WORDS = "any of"
    ENTRIES = "names"
    TEXT = "text"
    TABLE = "names and texts"
    PERIODS = "groups and seconds"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option, in each vocabulary that has it.

    :param key: its name in this package: the field of ``Settings``, where it is one.
    :param collectd: its name in a ``<Module>`` block, empty if collectd's vocabulary lacks it.
    :param telegraf: its key in an ``[[inputs.libvirt]]`` table, empty if Telegraf's lacks it.
    :param default: what counts without it, as text; ``None``: it is the field's in ``Settings``.
    :param allowed: the words that may be used.
    :param least: the least number allowed, ``most`` the greatest.
    :param reason: why a number beyond these is refused.
    :param text: what it does, for its user.
    :param example: what a ready configuration shows, if not the default.
    :param entry: what each of its entries is.
    :param ours: neither ``virt`` nor ``inputs.libvirt`` has it.
    """

    key: str
    kind: Kind
    text: str
    collectd: str = ""
    telegraf: str = ""
    default: str | None = None
    allowed: tuple[str, ...] = ()
    least: float = 0
    most: float = 0
    reason: str = ""
    example: Any = None
    entry: str = "a name or a /regular expression/"
    ours: bool = False

    def permitted(self) -> str:
        """What is allowed, for a message or a document."""
        if self.kind in (Kind.WORD, Kind.WORDS):
            return f"{'one' if self.kind is Kind.WORD else 'any'} of {', '.join(self.allowed)}"
        if self.kind is Kind.COUNT:
            return f"a whole number from {self.least:.0f} to {self.most:.0f}"
        if self.kind is Kind.SECONDS:
            return f"{self.least:g} to {self.most:g} seconds, as a number or a time as 1m30s"
        if self.kind is Kind.URI:
            return "a libvirt connection URI as qemu:///system or qemu+ssh://root@host/system"
        if self.kind is Kind.ENTRIES:
            return self.entry
        if self.kind is Kind.PERIODS:
            seconds = f"{self.least:g} to {self.most:g} seconds"
            return f"any of {', '.join(self.allowed)}, each with {seconds}"
        if self.kind is Kind.TABLE:
            return "a table of names and texts"
        return "a text" if self.kind is Kind.TEXT else "true or false"


# --- The table ----------------------------------------------------------------------------------

_DOMAIN = (
    "a name, a glob as web-*, a /regular expression/, a uuid, or label:NAME=TEXT where TEXT may be"
    " a glob or a /regular expression/"
)
_DEVICE = "domain:device, as it is, as a glob, or as a /regular expression/"
_FIELD = "measurement:field or a field alone, as it is, as a glob, or as a /regular expression/"
_BY_LABEL = (
    " Labels are read from the domain's XML, after it has been listed: until then, a domain for"
    " which a label decides is not sampled, and its events are not reported."
)

EXTRA_STATS: tuple[str, ...] = (
    "cpu_util",
    "disk",
    "disk_allocation",
    "disk_capacity",
    "disk_err",
    "disk_physical",
    "domain_state",
    "fs_info",
    "job_stats_background",
    "job_stats_completed",
    "memory",
    "pcpu",
    "perf",
    "vcpu",
    "vcpupin",
)

#: Selectors of our own, whose value lists go under plugin domstats.
OWN_EXTRA_STATS: tuple[str, ...] = (
    "disk_errors",
    "disk_latency_histogram",
    "disk_limits",
    "disk_threshold",
    "disk_timed",
    "memory_age",
)

#: The types of virt's value lists.
DROP_TYPES: tuple[str, ...] = (
    "cpu_affinity",
    "disk_allocation",
    "disk_capacity",
    "disk_error",
    "disk_octets",
    "disk_ops",
    "disk_physical",
    "disk_time",
    "domain_state",
    "if_dropped",
    "if_errors",
    "if_octets",
    "if_packets",
    "memory",
    "percent",
    "perf",
    "ps_cputime",
    "ps_pagefaults",
    "swap_io",
    "total_requests",
    "total_time_in_ms",
    "virt_cpu_total",
    "virt_vcpu",
)

#: Selectors of virt's ExtraStats that this version does not report: ignored with a warning.
#: Selectors that must not be given both: what they send has the same names.
NOT_BOTH: tuple[str, str] = ("job_stats_background", "job_stats_completed")

OPTIONS: tuple[Option, ...] = (
    Option(
        key="uri",
        kind=Kind.URI,
        collectd="Connection",
        telegraf="libvirt_uri",
        text="The hypervisor to sample, as a libvirt connection URI"
        " (https://libvirt.org/uri.html). The connection is read-only (the guest agent has others)."
        " A password in it is refused: libvirt takes credentials from its own auth.conf.",
    ),
    Option(
        key="domain_names",
        kind=Kind.ENTRIES,
        telegraf="domains",
        default="every domain",
        example=(),
        entry=_DOMAIN,
        text="The domains to sample; without it, or with an empty list, all of them. Each is a"
        " name, a glob (web-*), a /regular expression/ that matches anywhere in the name, a uuid,"
        " or label:NAME=TEXT, where TEXT may be a glob or a /regular expression/ and NAME any that"
        " the options labels and label_xpath know (label:nova_project=acme*). While there is a"
        " domain whose name is just that, a glob or label means that domain alone." + _BY_LABEL,
    ),
    Option(
        key="domains_exclude",
        kind=Kind.ENTRIES,
        telegraf="domains_exclude",
        default="none",
        example=("test-*",),
        entry=_DOMAIN,
        text="Domains not to sample, listed as in domains; what is in both is not sampled.",
        ours=True,
    ),
    Option(
        key="domain",
        kind=Kind.ENTRIES,
        collectd="Domain",
        default="every domain",
        example="/^web-/",
        text="A domain to sample (with IgnoreSelected: to leave out), by its exact name or a"
        " /regular expression/ that matches anywhere in it. May be given many times.",
    ),
    Option(
        key="domain_match",
        kind=Kind.ENTRIES,
        collectd="DomainMatch",
        default="every domain",
        example="label:nova_project=acme*",
        entry=_DOMAIN,
        text="As Domain, which means what it means to virt, and beside it: a domain to sample (with"
        " IgnoreSelected: to leave out) by a glob (web-*), its uuid, or label:NAME=TEXT, where TEXT"
        " may be a glob or a /regular expression/ and NAME is any of "
        + ", ".join((*LABELS, METADATA_LABEL))
        + " (as HostnameMetadataXPath finds it). May be given many times." + _BY_LABEL,
        ours=True,
    ),
    Option(
        key="block_devices",
        kind=Kind.ENTRIES,
        telegraf="block_devices",
        default="every disk",
        example=(),
        entry=_DEVICE,
        text="The disks to report, as domain:device, where the device is the disk's target (vda)."
        " Each may be a glob or a /regular expression/.",
        ours=True,
    ),
    Option(
        key="block_devices_exclude",
        kind=Kind.ENTRIES,
        telegraf="block_devices_exclude",
        default="none",
        example=("*:hd*",),
        entry=_DEVICE,
        text="Disks not to report, listed as in block_devices; what is in both is not reported.",
        ours=True,
    ),
    Option(
        key="interface_devices",
        kind=Kind.ENTRIES,
        telegraf="interface_devices",
        default="every interface",
        example=(),
        entry=_DEVICE,
        text="The network interfaces to report, as domain:device, where the device is the"
        " interface's name on the host (vnet0). Each may be a glob or a /regular expression/.",
        ours=True,
    ),
    Option(
        key="interface_devices_exclude",
        kind=Kind.ENTRIES,
        telegraf="interface_devices_exclude",
        default="none",
        example=("*:mgmt*",),
        entry=_DEVICE,
        text="Interfaces not to report, listed as in interface_devices; what is in both is not"
        " reported.",
        ours=True,
    ),
    Option(
        key="block_device",
        kind=Kind.ENTRIES,
        collectd="BlockDevice",
        default="every disk",
        example="/:hdb/",
        text="A disk to report (with IgnoreSelected: to leave out), as domain:device, exactly or"
        " as a /regular expression/. The device is what BlockDeviceFormat makes of it. May be"
        " given many times.",
    ),
    Option(
        key="interface_device",
        kind=Kind.ENTRIES,
        collectd="InterfaceDevice",
        default="every interface",
        example="web-1:vnet0",
        text="A network interface to report (with IgnoreSelected: to leave out), as"
        " domain:device, exactly or as a /regular expression/. The device is what"
        " InterfaceFormat makes of it. May be given many times.",
    ),
    Option(
        key="ignore_selected",
        kind=Kind.FLAG,
        collectd="IgnoreSelected",
        default="false",
        text="False: only what Domain, DomainMatch, BlockDevice and InterfaceDevice list is"
        " collected. True: all but that. A kind of which nothing is listed is collected in full"
        " either way.",
    ),
    Option(
        key="statistics_groups",
        kind=Kind.WORDS,
        telegraf="statistics_groups",
        allowed=TELEGRAF_GROUPS,
        default="all of them",
        example=TELEGRAF_GROUPS,
        text="The groups of statistics to ask for. An empty list means none of them. With cheap"
        " groups only (state, interface, perf, memory) the domains' monitors are never asked.",
    ),
    Option(
        key="additional_statistics",
        kind=Kind.WORDS,
        telegraf="additional_statistics",
        allowed=("vcpu_mapping",),
        default="none",
        example=(),
        text="More statistics: vcpu_mapping tells which physical CPUs each vCPU may run on"
        " (libvirt_cpu_affinity).",
    ),
    Option(
        key="series",
        kind=Kind.WORD,
        telegraf="series",
        allowed=("full", "telegraf"),
        text="full: what Telegraf's own plugin sends, and the tags uuid and device, and"
        " measurements about the rounds themselves. telegraf: only what Telegraf's own"
        " plugin sends.",
        ours=True,
    ),
    Option(
        key="label_names",
        kind=Kind.WORDS,
        telegraf="labels",
        allowed=tuple(LABELS),
        default="none",
        example=("nova_name", "nova_project", "nova_project_uuid"),
        text="Tags from the domains' metadata: what OpenStack (nova), oVirt, KubeVirt and libosinfo"
        " (os_id) leave there, and the domain's title. They are read when a domain appears and"
        " when they change, never in a round.",
        ours=True,
    ),
    Option(
        key="label_xpath",
        kind=Kind.TABLE,
        telegraf="label_xpath",
        default="none",
        example={"machine": "/domain/os/type/@machine"},
        text="Tags of your own, each an XPath 1.0 in the domain's XML (virsh dumpxml), as an inline"
        " table or below [inputs.libvirt.label_xpath]. Of several nodes the first counts. The"
        " prefixes " + ", ".join(NAMESPACES) + " are known, as in"
        " /domain/metadata/nova:instance/nova:package/@version.",
        ours=True,
    ),
    Option(
        key="label_namespaces",
        kind=Kind.TABLE,
        telegraf="label_namespaces",
        default="none",
        example={"app": "https://example.org/app"},
        text="More prefixes for label_xpath, and the namespaces that they stand for.",
        ours=True,
    ),
    Option(
        key="label_refresh",
        kind=Kind.SECONDS,
        collectd="MetadataRefresh",
        telegraf="label_refresh",
        least=10,
        most=86400,
        text="Seconds after which a domain's metadata are read again where the hypervisor sends no"
        " events that tell of changes. Not all domains' at once, but spread over as long again.",
        ours=True,
    ),
    Option(
        key="kvm_statistics",
        kind=Kind.FLAG,
        telegraf="kvm_statistics",
        text="Also send KVM's own statistics (libvirt 9 and later), about 50 of each vCPU and 16 of"
        " each domain. That is many: 100 domains of 8 vCPUs have 40,000.",
        ours=True,
    ),
    Option(
        key="totals",
        kind=Kind.WORDS,
        collectd="Totals",
        telegraf="totals",
        allowed=("vcpu", "interface", "block"),
        default="none",
        example=("vcpu", "interface", "block"),
        text="The devices of which a domain has one series together, not one for each: vCPUs, NICs,"
        " disks. Counters and sizes are added up, of the devices that are selected; nothing else of"
        " a device is sent. In Telegraf the sums are fields of libvirt_vcpu_total,"
        " libvirt_net_total and libvirt_block_total, in collectd the type instance is total. What a"
        " device has counted stays in the sum when it is unplugged, so that no sum goes back while"
        " the domain runs.",
        ours=True,
    ),
    Option(
        key="fields_include",
        kind=Kind.ENTRIES,
        telegraf="fields_include",
        default="every field",
        example=(),
        entry=_FIELD,
        text="The fields to send of what domains are and do, as measurement:field, or as a field of"
        " any measurement. Each may be a glob or a /regular expression/. Telegraf's fieldinclude on"
        " [[inputs.execd]] does the same later, when the field has been written and read again.",
        ours=True,
    ),
    Option(
        key="fields_exclude",
        kind=Kind.ENTRIES,
        telegraf="fields_exclude",
        default="none",
        example=("libvirt_block:fl_*", "path"),
        entry=_FIELD,
        text="Fields not to send, listed as in fields_include; what is in both is not sent.",
        ours=True,
    ),
    Option(
        key="drop_types",
        kind=Kind.WORDS,
        collectd="DropTypes",
        allowed=DROP_TYPES,
        default="none",
        example=("if_errors", "if_dropped"),
        text="Types of values about domains that are not sent. A filter chain of collectd's can"
        " drop them too, after they were made and handed over.",
        ours=True,
    ),
    Option(
        key="max_series",
        kind=Kind.COUNT,
        collectd="MaxSeries",
        telegraf="max_series",
        least=1,
        most=10**9,
        default="no limit",
        example=40000,
        text="Warn in the log when this hypervisor makes more series than so many, and say what"
        " makes most of them; again when they have grown by half, and when it is over. A series is"
        " a field of a line (collectd: a data source of a value list) about a domain. None is"
        " dropped. `domstats metrics --config FILE` counts them for you.",
        ours=True,
    ),
    Option(
        key="inactive",
        kind=Kind.FLAG,
        telegraf="inactive",
        text="Also send the state of domains that are defined and not started, as Telegraf's own"
        " plugin does.",
        ours=True,
    ),
    Option(
        key="events",
        kind=Kind.WORDS,
        collectd="Events",
        telegraf="events",
        allowed=EVENT_KINDS,
        example=EVENT_KINDS,
        text="The kinds of events to tell (collectd: notifications; Telegraf: domstats_event),"
        " each with the round in which it came: starts, stops and the like (lifecycle), I/O errors,"
        " watchdogs that expired, disks that were written beyond their threshold, memory balloons"
        " that changed, guest agents that came and went, devices plugged and unplugged, metadata"
        " changes. A domain that sends very many of a kind is cut short, and that is told too.",
        ours=True,
    ),
    Option(
        key="hostname_format",
        kind=Kind.WORDS,
        collectd="HostnameFormat",
        allowed=("name", "uuid", "hostname", "metadata"),
        text="What the host part of a domain's values is: the domain's name, its uuid, collectd's"
        " own Hostname, a text of its metadata, or several of them, joined by a colon. With"
        " metadata alone, a domain that has none goes by its name.",
    ),
    Option(
        key="plugin_instance_format",
        kind=Kind.WORDS,
        collectd="PluginInstanceFormat",
        allowed=("none", "name", "uuid", "hostname", "metadata"),
        default="none",
        example=("none",),
        text="What the plugin instance of a domain's values is: none, the domain's name, its uuid,"
        " collectd's own Hostname, a text of its metadata, or several of them, joined by a"
        " colon.",
    ),
    Option(
        key="metadata_namespace",
        kind=Kind.TEXT,
        collectd="HostnameMetadataNS",
        default=METADATA_NAMESPACE,
        text="In which of a domain's metadata elements HostnameFormat and PluginInstanceFormat"
        " metadata looks, by its XML namespace. OpenStack has written nova/1.1 since 2020.",
    ),
    Option(
        key="metadata_xpath",
        kind=Kind.TEXT,
        collectd="HostnameMetadataXPath",
        default=METADATA_XPATH,
        text="The XPath of the text or attribute in that element which is the metadata. The element"
        " stands alone and has lost its namespace, so the XPath has no prefixes.",
    ),
    Option(
        key="hostname",
        kind=Kind.TEXT,
        collectd="Hostname",
        default="that of collectd.conf, else the system's host name",
        example="node-1.example.org",
        text="collectd's own Hostname, where HostnameFormat or PluginInstanceFormat combine"
        " hostname with other words. It is read from collectd's configuration file; set it here"
        " where that cannot be read.",
        ours=True,
    ),
    Option(
        key="interface_format",
        kind=Kind.WORD,
        collectd="InterfaceFormat",
        allowed=("name", "address", "number"),
        text="What a network interface is called: by the host's name for it (vnet0), its MAC"
        " address, or its number in the domain.",
    ),
    Option(
        key="block_device_format",
        kind=Kind.WORD,
        collectd="BlockDeviceFormat",
        allowed=("target", "source"),
        text="What a disk is called: target is the domain's name for it (vda), source the path of"
        " its image.",
    ),
    Option(
        key="block_device_format_basename",
        kind=Kind.FLAG,
        collectd="BlockDeviceFormatBasename",
        text="With BlockDeviceFormat source: the last part of the path instead of the whole.",
    ),
    Option(
        key="report_block_devices",
        kind=Kind.FLAG,
        collectd="ReportBlockDevices",
        text="Whether disks are reported. Where not, they are not asked for either.",
    ),
    Option(
        key="report_network_interfaces",
        kind=Kind.FLAG,
        collectd="ReportNetworkInterfaces",
        text="Whether network interfaces are reported. Where not, they are not asked for either.",
    ),
    Option(
        key="extra_stats",
        kind=Kind.WORDS,
        collectd="ExtraStats",
        allowed=(*EXTRA_STATS, *OWN_EXTRA_STATS),
        default="none",
        example=tuple(word for word in EXTRA_STATS if word not in (NOT_BOTH[0], "fs_info")),
        text="More statistics than CPU time, memory, disk and network. Several lines add up."
        f" {NOT_BOTH[0]} and {NOT_BOTH[1]} exclude each other, as in virt. fs_info (notifications"
        " of the guests' file systems) needs GuestAgent true, and is ignored with a warning without"
        " it. Our own, which virt does not have: " + ", ".join(OWN_EXTRA_STATS)
        + "; what they ask for goes under plugin domstats.",
    ),
    Option(
        key="report_round",
        kind=Kind.FLAG,
        collectd="ReportRound",
        text="Also send values about the rounds themselves and about domains that do not answer,"
        " as plugin domstats beside plugin virt.",
        ours=True,
    ),
    Option(
        key="rates",
        kind=Kind.FLAG,
        collectd="Rates",
        telegraf="rates",
        text="Also send what follows of the counters by the second: CPU percent of one CPU, of the"
        " vCPUs and of the host, steal, halt polling, latency and queue of each disk, memory used"
        " and the age of its figures (in Telegraf also throughput and requests, which collectd"
        " works out by itself). In collectd all groups are then asked for in bulk, which costs"
        " more.",
        ours=True,
    ),
    Option(
        key="pressure",
        kind=Kind.FLAG,
        collectd="Pressure",
        telegraf="pressure",
        text="Also send the pressure (PSI) of each running domain's control group: for how much of"
        " the time its processes waited for CPU, I/O or memory. On a local hypervisor with control"
        " groups of version 2. The files are read beside the rounds, from the second round on.",
        ours=True,
    ),
    Option(
        key="interface_details",
        kind=Kind.FLAG,
        collectd="InterfaceDetails",
        telegraf="interface_details",
        text="Also send each network interface's link state and, on a local hypervisor, its speed,"
        " and those interfaces that have no device on the host: SR-IOV ones with the counters that"
        " the host's kernel has of them, vhost-user ones without. They go by their MAC address.",
        ours=True,
    ),
    Option(
        key="disk_throttle",
        kind=Kind.FLAG,
        collectd="DiskThrottle",
        telegraf="disk_throttle",
        text="Also send the limits that are set for disks (iotune, throttle groups), from the"
        " domains' XML. Limits that are changed while a domain runs are noticed by an event where"
        " Events or metadata are asked for, else when the XML is read again (MetadataRefresh,"
        " label_refresh).",
        ours=True,
    ),
    Option(
        key="device_tags",
        kind=Kind.WORDS,
        telegraf="device_tags",
        allowed=("disk", "interface"),
        default="none",
        example=("disk", "interface"),
        text="More tags from the domains' XML. disk: where each disk lies (pool and volume,"
        " protocol and hosts, mount point and file system), its bus, the length of its chain."
        " interface: type, source, model and MAC address of each network interface.",
        ours=True,
    ),
    Option(
        key="jobs",
        kind=Kind.FLAG,
        collectd="Jobs",
        telegraf="jobs",
        text="Also send the progress of the domains' jobs (migration, backup, save, dump, snapshot)"
        " while they run, and the figures of each when it has ended. That takes two more calls for"
        " each domain in each round, of which one may wait for the domain's monitor: it is made"
        " right after the monitor has answered.",
        ours=True,
    ),
    Option(
        key="host",
        kind=Kind.FLAG,
        collectd="Host",
        telegraf="host",
        example=True,
        text="Also send what the host beside its guests does: CPU and memory, domains by state,"
        " vCPUs and memory allotted to them, totals of the guests' CPU, disks and network by the"
        " second, storage pools, and the network and FUSE mounts that hold disks (domstats_host and"
        " domstats_storage; collectd: plugin domstats). Totals are of the domains that are sampled;"
        " in collectd those that are not started are listed too then.",
        ours=True,
    ),
    Option(
        key="admin_uri",
        kind=Kind.URI,
        collectd="AdminConnection",
        telegraf="admin_uri",
        default="none",
        example="libvirtd:///system",
        text="The admin interface of libvirt's daemon on this host, for its workers and clients:"
        " libvirtd:///system, or virtqemud:///system where daemons are modular. With host"
        " (collectd: Host) only. It is for root alone, and only read.",
        ours=True,
    ),
    Option(
        key="guest_agent",
        kind=Kind.FLAG,
        collectd="GuestAgent",
        telegraf="guest_agent",
        text="Ask the QEMU guest agents of running domains for the guests' file systems, with their"
        " sizes, and for operating system, host name and number of users. libvirt allows that over"
        " a connection that is not read-only alone, so this opens some, over which nothing but"
        " these queries is made; the user needs the right to manage domains. An agent that hangs"
        " holds up no round and no other agent; four calls to agents can be stuck at most. In"
        " collectd ExtraStats fs_info adds virt's notifications of file systems.",
        ours=True,
    ),
    Option(
        key="guest_agent_interval",
        kind=Kind.SECONDS,
        collectd="GuestAgentInterval",
        telegraf="guest_agent_interval",
        least=1,
        most=86400,
        text="Seconds between two questions to a guest agent, or the rounds' interval if that is"
        " longer. The agents are not asked all at once, but spread over it.",
        ours=True,
    ),
    Option(
        key="refresh_interval",
        kind=Kind.COUNT,
        collectd="RefreshInterval",
        least=0,
        most=2**31 - 1,
        default="60",
        example=60,
        text="Accepted for virt's sake and without effect: domains and devices are listed in every"
        " round, which is cheap here.",
    ),
    Option(
        key="persistent_notification",
        kind=Kind.FLAG,
        collectd="PersistentNotification",
        default="false",
        text="Send a notification of each domain's state in each round, not only when it is another"
        " than in the round before. (What begins and ends between two rounds is told by Events"
        " lifecycle alone.)",
    ),
    Option(
        key="instances",
        kind=Kind.COUNT,
        collectd="Instances",
        least=1,
        most=128,
        default="see Lanes",
        example=4,
        text="virt's name for Lanes, which wins where both are given. Domains need no tags for it."
        f" More than {SAFE_BUDGET} count as {SAFE_BUDGET}.",
    ),
    Option(
        key="interval",
        kind=Kind.SECONDS,
        collectd="Interval",
        telegraf="interval",
        least=0.1,
        most=86400,
        default="as the agent does",
        example=10,
        text="Seconds between two rounds of this hypervisor, where they are to differ from the"
        " others. In Telegraf, whose ticks say when (signal = STDIN): a round at the first tick at"
        " or after each multiple of it, so it cannot be shorter than Telegraf's interval, and is"
        " even only if it is a multiple of that.",
        ours=True,
    ),
    Option(
        key="every",
        kind=Kind.PERIODS,
        collectd="Every",
        telegraf="every",
        allowed=tuple(group for group in GROUPS if group != "state"),
        least=1,
        most=86400,
        default="all groups in every round",
        example={"balloon": 60.0},
        text="Groups that not every round is to ask for, and the seconds between two that do. For"
        " what costs much or changes little, as dirtyrate and iothread in Telegraf. A domain that"
        " does not answer just then, or appears later, has the group the next time.",
        ours=True,
    ),
    Option(
        key="idle_refresh",
        kind=Kind.SECONDS,
        collectd="IdleRefresh",
        telegraf="idle_refresh",
        least=0,
        most=3600,
        text="Seconds after which a domain is asked again for a group that has nothing to tell of"
        " it; what it told last is repeated until then. That spares commands of its monitor. Such"
        " groups are iothread without I/O threads, dirtyrate if it was never measured, and in"
        " collectd on a local hypervisor balloon if the guest's driver reports nothing (memory and"
        " rss are always of this round). 0 asks for them in every round.",
        ours=True,
    ),
    Option(
        key="fast_interval",
        kind=Kind.SECONDS,
        collectd="FastInterval",
        telegraf="fast_interval",
        least=0.2,
        most=3600,
        default="no fast lane",
        example=1.0,
        text="The fast lane: seconds between rounds of their own, beside the whole ones, for what"
        " is known without asking any domain's monitor: CPU time, network, state, perf, memory"
        " bandwidth. They cost little, and the same whatever hangs. In collectd these values then"
        " come from the fast lane alone.",
        ours=True,
    ),
    Option(
        key="lanes",
        kind=Kind.COUNT,
        collectd="Lanes",
        telegraf="lanes",
        least=1,
        most=SAFE_BUDGET,
        reason="libvirtd has 20 workers for all its clients",
        text="Calls under way at a time, each on a connection of its own. As many as the host has"
        " cores to spare; more than four gained nothing on two cores. With more than eight"
        " hypervisors, each has as few of them as its rounds need.",
        ours=True,
    ),
    Option(
        key="chunk_size",
        kind=Kind.COUNT,
        collectd="ChunkSize",
        telegraf="chunk_size",
        least=1,
        most=256,
        text="Domains asked in one call, at most. It is fewer where each lane has as many calls"
        " then (10 of 40 with four lanes), and more than 16 only of thousands that answer quickly.",
        ours=True,
    ),
    Option(
        key="deadline",
        kind=Kind.SECONDS,
        collectd="Deadline",
        telegraf="deadline",
        least=0.1,
        most=3600,
        default="nine tenths of the interval",
        example=9.0,
        text="Seconds after which a round ends with what it has, whatever hangs.",
        ours=True,
    ),
    Option(
        key="soft_deadline",
        kind=Kind.SECONDS,
        collectd="SoftDeadline",
        telegraf="soft_deadline",
        least=0.05,
        most=3600,
        default="learned from what calls took of late",
        example=2.0,
        text="Seconds after which a call is taken for stuck, and the domain that holds it up is"
        " looked for.",
        ours=True,
    ),
    Option(
        key="stuck_budget",
        kind=Kind.COUNT,
        collectd="StuckBudget",
        telegraf="stuck_budget",
        least=1,
        most=SAFE_BUDGET,
        reason="each stuck call holds one of the 20 workers that libvirtd has for all its clients,"
        " and half of them stay theirs",
        default="6, or two more than lanes",
        example=6,
        text="Calls that may be stuck in hung domains at a time. When it is spent, domains that are"
        " not known to answer are sampled without their monitor until a call comes back. It"
        " should be more than lanes.",
        ours=True,
    ),
    Option(
        key="quarantine_groups",
        kind=Kind.WORDS,
        collectd="QuarantineGroups",
        telegraf="quarantine_groups",
        allowed=tuple(group for group in GROUPS if group in MONITOR_FREE_GROUPS),
        text="The groups that a domain which does not answer is still asked for, as far as they are"
        " wanted at all. Only groups that libvirt answers without the domain's monitor.",
        ours=True,
    ),
    Option(
        key="process_watch",
        kind=Kind.FLAG,
        collectd="ProcessWatch",
        telegraf="process_watch",
        text="Look at the state of the local QEMU processes first: a stopped one is not asked, so"
        " that no call gets stuck in it.",
        ours=True,
    ),
    Option(
        key="storage_watch",
        kind=Kind.FLAG,
        collectd="StorageWatch",
        telegraf="storage_watch",
        text="Probe network and FUSE mounts that hold disks first: while one does not answer, its"
        " domains are not asked for their disks, because the question would freeze them.",
        ours=True,
    ),
    Option(
        key="occupancy_watch",
        kind=Kind.FLAG,
        collectd="OccupancyWatch",
        telegraf="occupancy_watch",
        text="Ask libvirt whether a domain's monitor has long been busy with somebody else's call"
        " before asking it too.",
        ours=True,
    ),
)

_ITS_OWN = "in Telegraf's own configuration"
_WHERE: Mapping[str, str] = {
    "execd": f"on [[inputs.execd]] {_ITS_OWN}: it is Telegraf that acts on it",
    "influx": f'"influx" alone, on [[inputs.execd]] {_ITS_OWN}',
    "agent": f"on [agent] {_ITS_OWN}; Telegraf has it for no single input",
    "outputs": f"on [agent] or on an output {_ITS_OWN}; for an input it means nothing",
    "others": f"{_ITS_OWN}, on plugins other than inputs; for an input it means nothing",
    "nowhere": "nowhere: Telegraf 1.39 refuses it on [[inputs.execd]] and on its own"
    " [[inputs.libvirt]]; each metric has the time at which its round began",
}

#: Keys that are Telegraf's own, which it cannot see in our file, and what is allowed of each.
TELEGRAF_GENERIC: Mapping[str, str] = {
    key: _WHERE[where]
    for where, keys in {
        "execd": "alias always_include_local_tags buffer_size collection_jitter collection_offset"
        " command drop environment fielddrop fieldexclude fieldinclude fieldpass influx_parser_type"
        " log_level metricpass name_override name_prefix name_suffix namedrop namedrop_separator"
        " namepass namepass_separator pass precision restart_delay signal startup_error_behavior"
        " stop_on_error tagdrop tagexclude taginclude tagpass tags",
        "influx": "data_format",
        "agent": "always_include_global_tags buffer_directory buffer_disk_sync buffer_strategy",
        "outputs": "flush_interval flush_jitter metric_batch_size metric_buffer_limit",
        "others": "data_type delay drop_original grace id order period",
        "nowhere": "time_source",
    }.items()
    for key in keys.split()
}
TELEGRAF_OPTIONS: Mapping[str, Option] = {o.telegraf: o for o in OPTIONS if o.telegraf}


# --- By the names of each vocabulary ------------------------------------------------------------

COLLECTD_OPTIONS: Mapping[str, Option] = {o.collectd: o for o in OPTIONS if o.collectd}
