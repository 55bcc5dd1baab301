"""The alert rules for all databases, each threshold with its reason.

Grafana evaluates those for InfluxDB and Graphite, Prometheus its own.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboards.queries import DOMAIN

#: Rules look at the last five minutes.
WINDOW_S = 300


class Rule(NamedTuple):
    """Alert when the last five minutes of a field, reduced to one number, are beyond a threshold.

    :ivar tags: what tells series apart, beside the host.
    :ivar reduce: last, min, mean or median.
    :ivar graphite: the series in Graphite, below its prefix.
    :ivar lasts: for how long it must be so, as Grafana and Prometheus write times.
    :ivar needs: the option without which there are no data.
    :ivar silence: whether it is an alert too that there is no series at all.
    :ivar graphite_count: of a series that begins with the trouble, what counts it for a host in any
        case. carbon makes only some new series a minute, fifty by Debian's configuration.
    """

    uid: str
    title: str
    measurement: str
    field: str
    tags: tuple[str, ...]
    reduce: str
    above: bool
    threshold: float
    lasts: str
    graphite: str
    reason: str
    remedy: str
    severity: str = "warning"
    needs: str = ""
    silence: bool = False
    graphite_count: str = ""

    @property
    def influxql(self) -> str:
        groups = ", ".join(f'"{tag}"' for tag in ("host", *self.tags))
        return (
            f'SELECT {self.reduce}("{self.field}") FROM "{self.measurement}"'
            f" WHERE $timeFilter GROUP BY {groups}"
        )

    @property
    def promql(self) -> str:
        metric = f"{self.measurement}_{self.field}"
        window = f"{metric}[{WINDOW_S}s]"
        value = {
            "last": metric,  # a series that has ended has none
            "min": f"min_over_time({window})",
            "mean": f"avg_over_time({window})",
            "median": f"quantile_over_time(0.5, {window})",
        }[self.reduce]
        expression = f"{value} {'>' if self.above else '<'} {self.threshold:g}"
        return f"{expression} or absent({metric})" if self.silence else expression

    @property
    def target(self) -> str:
        """Graphite's. Grafana reduces it, but for the median."""
        series = f"aliasByNode(*.domstats.{self.graphite}, -3, -1)"
        if self.graphite_count:  # 1 without any, as a guest that answers
            count = f"offset(scale(*.domstats.{self.graphite_count}, -1), 1)"
            return f"group({series}, aliasByNode({count}, -3, -1))"
        return f"nPercentile({series}, 50)" if self.reduce == "median" else series


ROUND, DISK = ("hypervisor",), (DOMAIN, "device")
RULES = (
    Rule("domstats-guest-hung", "A guest does not answer",
         "domstats_domain", "responsive", (DOMAIN,), "last", False, 1, "20s", "bool-responsive",
         "A monitor that is busy for a moment answers again within two rounds.",
         "The reason is in domstats_domain and in the log: docs/messages.md.", "critical",
         graphite_count="count-domains_unresponsive"),
    Rule("domstats-storage-silent", "Storage does not answer",
         "domstats_round", "silent_storage", ROUND, "last", True, 0, "20s", "count-silent_storage",
         "A server that is switched over takes some seconds; longer than that, guests wait.",
         "The log names the storage; its server, its FUSE process, the network.", "critical"),
    Rule("domstats-watch-blind", "Storage cannot be watched",
         "domstats_round", "unwatched_storage", ROUND, "last", True, 0, "15m",
         "count-unwatched_storage",
         "Nothing is wrong yet: but if it hangs, asking freezes a guest or two.",
         "Mount it with allow_other, or run the agent as root: docs/rights.md."),
    Rule("domstats-round-late", "Rounds take nearly as long as the interval",
         "domstats_round", "duration_s", ROUND, "median", True, 8, "5m", "duration-round",
         "Of an interval of 10 s; the deadline is 9 s. With another interval, eight tenths of it.",
         "domstats check says what each group costs."),
    Rule("domstats-partial", "Guests lack some groups again and again",
         "domstats_round", "partial", ROUND, "min", True, 0, "10m", "count-domains_partial",
         "One round may be partial at any time; each round of five minutes is no accident.",
         "The reason is in domstats_domain: docs/messages.md."),
    Rule("domstats-hypervisor-away", "The hypervisor cannot be asked, or nothing is sent",
         "domstats_round", "connected", ROUND, "last", False, 1, "2m", "bool-connected",
         "A restart of libvirtd is over within two minutes.",
         "systemctl status libvirtd, and the agent's own log.", "critical", silence=True),
    Rule("domstats-steal", "A guest's vCPU waits for a physical CPU",
         "domstats_vcpu", "steal_percent", (DOMAIN, "vcpu_id"), "mean", True, 20, "10m",
         "percent-steal-vcpu-*",
         "From about a fifth on, people notice; short peaks are normal on a shared host.",
         "Move a guest away, or look for who takes the CPU: panel CPU of guests.", needs="rates"),
    Rule("domstats-read-latency", "Reads of a disk are slow",
         "domstats_disk", "read_latency_s", DISK, "mean", True, 0.1, "5m", "latency-read-*",
         "Flash takes below 1 ms, disks 10 ms: 100 ms is a queue, or storage in trouble.",
         "Compare guests on the same storage; limits of the disk (disk_throttle).", needs="rates"),
    Rule("domstats-write-latency", "Writes of a disk are slow",
         "domstats_disk", "write_latency_s", DISK, "mean", True, 0.1, "5m", "latency-write-*",
         "As of reads.",
         "Compare guests on the same storage; limits of the disk (disk_throttle).", needs="rates"),
    Rule("domstats-memory-stale", "A guest's memory figures are old",
         "domstats_memory", "age_s", (DOMAIN,), "last", True, 600, "5m", "duration-memory_age",
         "The balloon driver reports each few seconds, by the period in the XML; ten minutes is a"
         " driver that has stopped.",
         "In the guest its balloon driver, in its XML the period: docs/troubleshooting.md.",
         needs="rates"),
    Rule("domstats-overcommit", "Many vCPUs for the host's physical CPUs",
         "domstats_host", "vcpu_overcommit", ROUND, "last", True, 4, "30m", "gauge-vcpu_overcommit",
         "A choice of policy: four to one is common for mixed guests. Steal says if it hurts.",
         "Move guests away, or raise the threshold if steal stays low.", needs="host"),
)  # fmt: skip
