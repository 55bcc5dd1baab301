"""The panels of all dashboards, row by row. What a panel shows is the same in each database."""

from __future__ import annotations

from typing import NamedTuple

from dashboards.queries import (
    DOMAIN,
    Query,
    fields,
    of_domain,
    of_guest,
    of_host,
    of_round,
    of_values,
    on_host,
)


class Panel(NamedTuple):
    """What a panel shows.

    :ivar unit: as Grafana calls it.
    :ivar queries: of InfluxDB and Prometheus.
    :ivar graphite: the same as Graphite's targets; empty where collectd sends nothing of the kind.
    :ivar needs: the option (of Telegraf's child) without which there are no data.
    :ivar table: a query in InfluxQL of texts, which no other of the databases has.
    """

    title: str
    unit: str
    what: str
    queries: tuple[Query, ...]
    graphite: tuple[str, ...] = ()
    needs: str = ""
    table: str = ""


STATES = ("running", "paused", "shut_off", "crashed")
ROWS: dict[str, tuple[Panel, ...]] = {
    "Host": (
        Panel("Guests by standing", "short", "Fresh answered everything, partial lack some groups.",
              (of_round("domains", "fresh", "partial", "unresponsive"),),
              on_host("count-{domains,domains_fresh,domains_partial,domains_unresponsive}")),
        Panel("Guests by state", "short", "As libvirt has it.",
              (Query("domstats_host", tuple((f"domains_{state}", state) for state in STATES)),),
              on_host(f"count-domains_{{{','.join(STATES)}}}"), "host"),
        Panel("CPU of the host", "percent", "Of all physical CPUs.",
              (Query("domstats_host", tuple((f"cpu_{each}_percent", each)
                                            for each in ("user", "system", "iowait"))),),
              on_host("percent-cpu_{user,system,iowait}"), "host"),
        Panel("CPU of guests, share of the host", "percent", "Stacked it is what guests take of"
              " all physical CPUs.",
              (of_domain("domstats_cpu", "percent_of_host"),),
              of_guest("percent-cpu_of_host"), "rates"),
        Panel("vCPUs and physical CPUs", "short", "vCPUs of the guests that run.",
              (of_host("vcpus", "cpus"),), on_host("count-{vcpus,cpus}"), "host"),
        Panel("Overcommitment", "short", "vCPUs for each physical CPU; memory allotted to guests as"
              " a share of the host's: above 1 is more than there is.",
              (of_host("vcpu_overcommit", "memory_overcommit"),),
              on_host("gauge-{vcpu,memory}_overcommit"), "host"),
        Panel("Steal, the worst vCPU of each guest", "percent", "Share of the time in which a vCPU"
              " wanted to run and had no physical CPU.",
              (Query("domstats_vcpu", fields("steal_percent"), (DOMAIN,), "max", "max"),),
              ("groupByNode($prefix$domain.domstats.percent-steal-vcpu-*, -3, 'maxSeries')",),
              "rates"),
        Panel("Memory of the host", "bytes", "Allotted: what the balloons leave the guests.",
              (Query("domstats_host", (("memory_total", "total"), ("memory_free", "free"),
                                       ("memory_cached", "cached"),
                                       ("memory_allotted", "allotted"))),),
              on_host("memory-host_{total,free,cached}", "memory-guests_allotted"), "host"),
        Panel("Memory that guests take on the host", "kbytes", "Sum over their processes. In"
              " Graphite of all guests there, as collectd does not say on which host a guest is.",
              (Query("libvirt_balloon", fields("rss"), join="sum"),),
              ("alias(scale(sumSeries($prefix*.virt.memory-rss), 0.0009765625), 'all guests')",)),
        Panel("Workers of libvirt's daemon", "short", "Busy ones stay busy while they are stuck;"
              " when all are, nobody is answered.",
              (of_host("daemon_workers_busy", "daemon_workers_max", "daemon_jobs_waiting"),),
              on_host("count-daemon_workers_{busy,max}", "queue_length-daemon_jobs"), "admin_uri"),
    ),
    "Guest": (
        Panel("CPU, share of its vCPUs", "percent", "100 is all vCPUs busy.",
              (of_domain("domstats_cpu", "percent_of_vcpus"),),
              of_guest("percent-cpu_of_vcpus"), "rates"),
        Panel("Steal of each vCPU", "percent", "Wanted to run and had no physical CPU.",
              (of_domain("domstats_vcpu", "steal_percent", tags=("vcpu_id",)),),
              of_guest("percent-steal-vcpu-*"), "rates"),
        Panel("Pressure", "percent", "Share of the last ten seconds in which something of the guest"
              " waited for CPU, I/O or memory (PSI).",
              (of_domain("domstats_pressure", "some_avg10", tags=("resource",), reduce="max"),),
              of_guest("percent-pressure_{cpu,io,memory}_some_avg10"), "pressure"),
        Panel("Memory", "kbytes", "What it has, and what its process takes on the host.",
              (of_domain("libvirt_balloon", "current", "rss", reduce="last"),),
              ("aliasByNode(scale($prefix$domain.virt.memory-{total,rss}, 0.0009765625),"
               " -3, -1)",)),
        Panel("Age of the guest's memory figures", "s", "Only of guests whose balloon driver"
              " reports (memballoon with a period).",
              (of_domain("domstats_memory", "age_s", reduce="last"),),
              of_guest("duration-memory_age"), "rates"),
        Panel("File systems in the guest", "percent", "Used, as the guest agent says.",
              (of_domain("domstats_filesystem", "used_percent", tags=("mountpoint",),
                         reduce="last"),),
              of_guest("percent_bytes-used-*"), "guest_agent"),
        Panel("Network", "Bps", "By the interface on the host.",
              (of_domain("domstats_nic", "received_bytes_per_s=received",
                         "sent_bytes_per_s=sent", tags=("device",)),),
              of_values("if_octets-*", "rx", "tx"), "rates"),
        Panel("Network packets dropped", "pps", "By the interface on the host.",
              (of_domain("domstats_nic", "received_drops_per_s=received",
                         "sent_drops_per_s=sent", tags=("device",)),),
              of_values("if_dropped-*", "rx", "tx"), "rates"),
    ),
    "Storage": (
        Panel("Latency of disks", "s", "What a request took on average; nothing where there was"
              " none.",
              (of_domain("domstats_disk", "read_latency_s=read", "write_latency_s=write",
                         "flush_latency_s=flush", tags=("device",)),),
              of_guest("latency-{read,write,flush}-*"), "rates"),
        Panel("Requests under way", "short", "On average, by Little's law.",
              (of_domain("domstats_disk", "queue", tags=("device",)),),
              of_guest("queue_length-*"), "rates"),
        Panel("Throughput of disks", "Bps", "Of each disk.",
              (of_domain("domstats_disk", "read_bytes_per_s=read",
                         "written_bytes_per_s=written", tags=("device",)),),
              of_values("disk_octets-*", "read", "write"), "rates"),
        Panel("Requests of disks", "iops", "Of each disk.",
              (of_domain("domstats_disk", "reads_per_s=reads", "writes_per_s=writes",
                         tags=("device",)),),
              of_values("disk_ops-*", "read", "write"), "rates"),
        Panel("Size of disks", "bytes", "What the guest sees, and what it takes on the host.",
              (of_domain("libvirt_block", "capacity", "physical", tags=("device",),
                         reduce="last"),),
              of_guest("disk_{capacity,physical}-*", plugin="virt")),
        Panel("Storage pools", "bytes", "At the pool's last refresh; none while one hangs.",
              (Query("domstats_storage", fields("capacity", "allocation"), ("pool",),
                     where=("pool", "")),),
              on_host("bytes-pool_{capacity,allocation}-*"), "host"),
        Panel("Mounts: time of a probe", "s", "Of network and FUSE mounts with disks on them.",
              (Query("domstats_storage", fields("probe_s"), ("mount",), "max"),),
              on_host("duration-mount_probe-*"), "host"),
        Panel("Mounts: silent for", "s", "0 is well.",
              (Query("domstats_storage", fields("silent_s"), ("mount",), "max"),),
              on_host("duration-mount_silent-*"), "host"),
        Panel("Mounts: free space", "bytes", "Found by the last probe.",
              (Query("domstats_storage", fields("free"), ("mount",)),),
              on_host("bytes-mount_free-*"), "host"),
    ),
    "Jobs": (
        Panel("Jobs: duration so far", "ms", "Migrations, backups, saves, dumps and snapshots that"
              " run.",
              (Query("domstats_job", fields("time_elapsed"), (DOMAIN, "operation"),
                     where=("status", "running")),),
              ("aliasByNode(scale($prefix$domain.domstats.duration-job_time_elapsed, 1000),"
               " -3, -1)",),
              "jobs"),
        Panel("Jobs: still to transfer", "bytes", "What does not shrink does not come to an end: a"
              " guest that writes to its memory faster than it is sent.",
              (Query("domstats_job", (("memory_remaining", "memory"), ("disk_remaining", "disk")),
                     (DOMAIN, "operation"), where=("status", "running")),),
              of_guest("bytes-job_{memory,disk}_remaining"), "jobs"),
    ),
    "domstats": (
        Panel("Round duration", "s", "Near the interval it means that rounds come late.",
              (of_round("duration_s"),), on_host("duration-round")),
        Panel("Connected", "short", "0 when the hypervisor cannot be asked at all.",
              (of_round("connected", reduce="min"),), on_host("bool-connected")),
        Panel("Stuck calls, storage that is silent or not watched", "short", "All are 0 on a host"
              " that is well.",
              (of_round("stuck_calls", "silent_storage", "unwatched_storage"),),
              on_host("count-{stuck_calls,silent_storage,unwatched_storage}")),
        Panel("Errors, late answers, reconnects", "short", "Since the agent's start; in Graphite by"
              " the second.",
              (of_round("errors", "late_results", "reconnects"),),
              on_host("errors-calls", "total_events-{late_results,reconnects}")),
        Panel("Guests that do not answer", "s", "For how long; empty is good news.",
              (of_domain("domstats_domain", "unresponsive_s", reduce="max"),),
              of_guest("duration-unresponsive")),
        Panel("Guest agents that answer", "short", "0: the agent is connected and does not answer.",
              (of_domain("domstats_agent", "responsive", reduce="min"),),
              of_guest("bool-guest_agent"), "guest_agent"),
        Panel("What is wrong with guests", "short", "The last word of each that is, or was, not"
              " whole. The reasons are explained in docs/messages.md.", (),
              table='SELECT last("status") AS "status", "missing", "reason" FROM "domstats_domain"'
                    ' WHERE $timeFilter AND "host" =~ /^$host$/ AND "domain_name" =~ /^$domain$/'
                    ' GROUP BY "host", "domain_name"'),
    ),
}  # fmt: skip
