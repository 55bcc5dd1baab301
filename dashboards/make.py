"""Makes the files of this folder: Grafana's dashboards and alert rules.

    python3 dashboards/make.py

One table of panels serves all databases, so that what they show does not drift apart; one table of
rules has each threshold with its reason. To change a dashboard, change a table, and run this again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
#: The uid that the data source of the rules must have: rules have no variable for it.
DATASOURCE = "domstats-influxdb"
COLUMNS = 24


class Panel(NamedTuple):
    """What a panel shows.

    :ivar unit: as Grafana calls it.
    :ivar influx: the series in InfluxQL, each with the name that it gets in the legend.
    :ivar graphite: the same as Graphite's targets; empty where collectd sends nothing of the kind.
    """

    title: str
    unit: str
    what: str
    influx: tuple[tuple[str, str], ...]
    graphite: tuple[str, ...] = ()
    kind: str = "timeseries"


class Rule(NamedTuple):
    """An alert: ``math`` of the last values of its queries, compared with the threshold.

    :ivar queries: in InfluxQL, named A, B, … in ``math``.
    :ivar lasts: for how long it must be so, as Grafana writes times.
    :ivar no_data: what it means that there is no series: OK or Alerting.
    """

    uid: str
    title: str
    queries: tuple[str, ...]
    above: bool
    threshold: float
    lasts: str
    reason: str
    remedy: str
    severity: str = "warning"
    no_data: str = "OK"
    math: str = "$A"


def series(
    values: str, measurement: str, *tags: str, where: str = "", legend: str = ""
) -> tuple[str, str]:
    """A series for each combination of tags, over time."""
    groups = "".join(f', "{tag}"' for tag in ("host", *tags))
    of_domain = """ AND "domain_name" =~ /^$domain$/""" if "domain_name" in tags else ""
    query = (
        f'SELECT {values} FROM "{measurement}" WHERE $timeFilter AND "host" =~ /^$host$/'
        f"{of_domain}{where} GROUP BY time($__interval){groups} fill(null)"
    )
    return query, legend or " ".join(["$col", *(f"$tag_{tag}" for tag in tags or ("host",))])


def over_domains(total: str, value: str, measurement: str, *tags: str) -> tuple[str, str]:
    """What comes of all domains of a host, each with the last value of an interval.

    The value has to be one that only running domains have.
    """
    groups = "".join(f', "{tag}"' for tag in ("host", "domain_name", *tags))
    query = (
        f'SELECT {total} FROM (SELECT last("{value}") AS "each" FROM "{measurement}"'
        f' WHERE $timeFilter AND "host" =~ /^$host$/ GROUP BY time($__interval){groups})'
        f' WHERE $timeFilter GROUP BY time($__interval), "host" fill(none)'
    )
    return query, "$tag_host"


def of_round(*fields: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        series(f'max("{field}")', "domstats_round", "hypervisor",
               legend=f"{field} $tag_host $tag_hypervisor")
        for field in fields
    )  # fmt: skip


def collectd(metric: str, host: str = "$domain", plugin: str = "domstats") -> str:
    return f"aliasByNode($prefix{host}.{plugin}.{metric}, -3, -1)"


def of_values(metric: str, *sources: str) -> tuple[str, ...]:
    """Of a type with several values: each is a node more."""
    return tuple(
        f"aliasByNode($prefix$domain.virt.{metric}.{source}, -4, -2, -1)" for source in sources
    )


def of_collectd(*metrics: str) -> tuple[str, ...]:
    return tuple(collectd(metric, "$host") for metric in metrics)


DOMAIN = "domain_name"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Host": (
        Panel("Guests by standing", "short", "Fresh answered everything, partial lack some groups.",
              of_round("domains", "fresh", "partial", "unresponsive"),
              of_collectd("count-domains*")),
        Panel("CPU of guests, share of the host", "percent", "Stacked it is what guests take of"
              " all physical CPUs. With rates.",
              (series('mean("percent_of_host")', "domstats_cpu", DOMAIN,
                      legend=f"$tag_{DOMAIN}"),),
              (collectd("percent-cpu_of_host"),)),
        Panel("vCPUs of running guests", "short", "Those online: beside the number of physical CPUs"
              " it is the overcommitment.",
              (over_domains('count("each")', "state", "libvirt_vcpu", "vcpu_id"),)),
        Panel("Memory that guests take on the host", "kbytes", "Sum over their processes. In"
              " Graphite of all guests there, as collectd does not say on which host a guest is.",
              (over_domains('sum("each")', "rss", "libvirt_balloon"),),
              ("alias(scale(sumSeries($prefix*.virt.memory-rss), 0.0009765625), 'all guests')",)),
        Panel("Steal, the worst vCPU of each guest", "percent", "Share of the time in which a vCPU"
              " wanted to run and had no physical CPU. With rates.",
              (series('max("steal_percent")', "domstats_vcpu", DOMAIN, legend=f"$tag_{DOMAIN}"),),
              ("groupByNode($prefix$domain.domstats.percent-steal-vcpu-*, -3, 'maxSeries')",)),
    ),
    "Guest": (
        Panel("CPU, share of its vCPUs", "percent", "100 is all vCPUs busy. With rates.",
              (series('mean("percent_of_vcpus")', "domstats_cpu", DOMAIN,
                      legend=f"$tag_{DOMAIN}"),),
              (collectd("percent-cpu_of_vcpus"),)),
        Panel("Steal of each vCPU", "percent", "With rates.",
              (series('mean("steal_percent")', "domstats_vcpu", DOMAIN, "vcpu_id"),),
              (collectd("percent-steal-vcpu-*"),)),
        Panel("Memory", "kbytes", "What it has, and what its process takes on the host.",
              (series('last("current") AS "current", last("rss") AS "rss"', "libvirt_balloon",
                      DOMAIN),),
              ("aliasByNode(scale($prefix$domain.virt.memory-{total,rss}, 0.0009765625),"
               " -3, -1)",)),
        Panel("Age of the guest's memory figures", "s", "Only of guests whose balloon driver"
              " reports (memballoon with a period). With rates.",
              (series('last("age_s") AS "age"', "domstats_memory", DOMAIN),),
              (collectd("duration-memory_age"),)),
        Panel("Network", "Bps", "By the interface on the host. With rates.",
              (series('mean("received_bytes_per_s") AS "received",'
                      ' mean("sent_bytes_per_s") AS "sent"', "domstats_nic", DOMAIN, "device"),),
              of_values("if_octets-*", "rx", "tx")),
        Panel("Network packets dropped", "pps", "With rates.",
              (series('mean("received_drops_per_s") AS "received",'
                      ' mean("sent_drops_per_s") AS "sent"', "domstats_nic", DOMAIN, "device"),),
              of_values("if_dropped-*", "rx", "tx")),
    ),
    "Storage": (
        Panel("Latency of disks", "s", "What a request took on average; nothing where there was"
              " none. With rates.",
              (series('mean("read_latency_s") AS "read", mean("write_latency_s") AS "write",'
                      ' mean("flush_latency_s") AS "flush"', "domstats_disk", DOMAIN, "device"),),
              (collectd("latency-{read,write,flush}-*"),)),
        Panel("Requests under way", "short", "On average, by Little's law. With rates.",
              (series('mean("queue") AS "queue"', "domstats_disk", DOMAIN, "device"),),
              (collectd("queue_length-*"),)),
        Panel("Throughput of disks", "Bps", "With rates.",
              (series('mean("read_bytes_per_s") AS "read",'
                      ' mean("written_bytes_per_s") AS "written"',
                      "domstats_disk", DOMAIN, "device"),),
              of_values("disk_octets-*", "read", "write")),
        Panel("Requests of disks", "iops", "With rates.",
              (series('mean("reads_per_s") AS "reads", mean("writes_per_s") AS "writes"',
                      "domstats_disk", DOMAIN, "device"),),
              of_values("disk_ops-*", "read", "write")),
        Panel("Size of disks", "bytes", "What the guest sees, and what it takes on the host.",
              (series('last("capacity") AS "capacity", last("physical") AS "physical"',
                      "libvirt_block", DOMAIN, "device"),),
              (collectd("disk_{capacity,physical}-*", plugin="virt"),)),
    ),
    "domstats": (
        Panel("Round duration", "s", "Near the interval it means that rounds come late.",
              of_round("duration_s"), of_collectd("duration-round")),
        Panel("Connected", "short", "0 when the hypervisor cannot be asked at all.",
              (series('min("connected")', "domstats_round", "hypervisor",
                      legend="$tag_host $tag_hypervisor"),),
              of_collectd("bool-connected")),
        Panel("Stuck calls, storage that is silent or not watched", "short", "All are 0 on a host"
              " that is well.",
              of_round("stuck_calls", "silent_storage", "unwatched_storage"),
              of_collectd("count-{stuck_calls,silent_storage,unwatched_storage}")),
        Panel("Errors, late answers, reconnects", "short", "Since the agent's start; in Graphite by"
              " the second.",
              of_round("errors", "late_results", "reconnects"),
              of_collectd("errors-calls", "total_events-*")),
        Panel("Guests that do not answer", "s", "For how long; empty is good news.",
              (series('max("unresponsive_s")', "domstats_domain", DOMAIN,
                      legend=f"$tag_{DOMAIN}"),),
              (collectd("duration-unresponsive"),)),
        Panel("What is wrong with guests", "short", "The last word of each that is, or was, not"
              " whole. The reasons are explained in docs/messages.md.",
              (('SELECT last("status") AS "status", "missing", "reason" FROM "domstats_domain"'
                ' WHERE $timeFilter AND "host" =~ /^$host$/ AND "domain_name" =~ /^$domain$/'
                ' GROUP BY "host", "domain_name"', ""),), kind="table"),
    ),
}  # fmt: skip


def last(value: str, measurement: str, *tags: str, reduce: str = "last") -> str:
    groups = ", ".join(f'"{tag}"' for tag in ("host", *tags))
    return f'SELECT {reduce}("{value}") FROM "{measurement}" WHERE $timeFilter GROUP BY {groups}'


#: Rules look at the last five minutes.
WINDOW_S = 300
RULES = (
    Rule("domstats-guest-hung", "A guest does not answer", (
        last("responsive", "domstats_domain", "domain_name"),), False, 1, "1m",
        "A monitor that is busy with a snapshot answers again within a minute.",
        "The reason is in domstats_domain and in the log: docs/messages.md.", "critical"),
    Rule("domstats-storage-silent", "Storage does not answer", (
        last("silent_storage", "domstats_round", "hypervisor"),), True, 0, "1m",
        "A server that is switched over takes some seconds; who waits longer has guests that wait.",
        "The log names the storage; its server, its FUSE process, the network.", "critical"),
    Rule("domstats-watch-blind", "Storage cannot be watched", (
        last("unwatched_storage", "domstats_round", "hypervisor"),), True, 0, "15m",
        "Nothing is wrong yet: but if it hangs, asking freezes a guest or two.",
        "Mount it with allow_other, or run the agent as root: docs/rights.md."),
    Rule("domstats-round-late", "Rounds take nearly as long as the interval", (
        last("duration_s", "domstats_round", "hypervisor", reduce="median"),), True, 8, "5m",
        "Of an interval of 10 s; the deadline is 9 s. With another interval, eight tenths of it.",
        "domstats check says what each group costs."),
    Rule("domstats-partial", "Guests lack some groups again and again", (
        last("partial", "domstats_round", "hypervisor", reduce="min"),), True, 0, "10m",
        "One round may be partial at any time; each round of five minutes is no accident.",
        "The reason is in domstats_domain: docs/messages.md."),
    Rule("domstats-hypervisor-away", "The hypervisor cannot be asked, or nothing is sent", (
        last("connected", "domstats_round", "hypervisor"),), False, 1, "2m",
        "A restart of libvirtd is over within two minutes.",
        "systemctl status libvirtd, and the agent's own log.", "critical", "Alerting"),
    Rule("domstats-steal", "A guest's vCPU waits for a physical CPU", (
        last("steal_percent", "domstats_vcpu", "domain_name", "vcpu_id", reduce="mean"),),
        True, 20, "10m",
        "From about a fifth on, people notice; short peaks are normal on a shared host.",
        "Move a guest away, or look for who takes the CPU: panel CPU of guests."),
    Rule("domstats-read-latency", "Reads of a disk are slow", (
        last("read_latency_s", "domstats_disk", "domain_name", "device", reduce="mean"),),
        True, 0.1, "5m",
        "Flash takes below 1 ms, disks 10 ms: 100 ms is a queue, or storage in trouble.",
        "Compare guests on the same storage; limits of the disk (disk_throttle)."),
    Rule("domstats-write-latency", "Writes of a disk are slow", (
        last("write_latency_s", "domstats_disk", "domain_name", "device", reduce="mean"),),
        True, 0.1, "5m",
        "As of reads.",
        "Compare guests on the same storage; limits of the disk (disk_throttle)."),
    Rule("domstats-memory-stale", "A guest's memory figures are old", (
        last("age_s", "domstats_memory", "domain_name"),), True, 600, "5m",
        "The balloon driver reports each few seconds, by the period in the XML; ten minutes is a"
        " driver that has stopped.",
        "In the guest its balloon driver, in its XML the period: docs/troubleshooting.md."),
    Rule("domstats-overcommit", "Many vCPUs for the host's physical CPUs", (
        'SELECT count("each") FROM (SELECT last("state") AS "each" FROM "libvirt_vcpu" WHERE'
        ' $timeFilter GROUP BY "host", "domain_name", "vcpu_id") WHERE $timeFilter GROUP BY "host"',
        'SELECT max("cpus") FROM (SELECT "percent" / "percent_of_host" AS "cpus" FROM'
        ' "domstats_cpu" WHERE $timeFilter) WHERE $timeFilter GROUP BY "host"'), True, 4, "30m",
        "A choice of policy: four to one is common for mixed guests. Steal says if it hurts. The"
        " number of CPUs follows from a guest's CPU time, as share of one and of all.",
        "Move guests away, or raise the threshold if steal stays low.", math="$A / $B"),
)  # fmt: skip


def variable(name: str, label: str, **more: Any) -> dict[str, Any]:
    """Several values may be chosen, or all: so Grafana escapes each for a regular expression."""
    usual = {"type": "query", "multi": True, "includeAll": True, "allValue": None, "refresh": 2,
             "sort": 1, "hide": 0, "skipUrlSync": False, "regex": "", "current": {}, "options": [],
             "datasource": {"type": more.pop("source", ""), "uid": "${datasource}"}}  # fmt: skip
    return {"name": name, "label": label, **usual, **more}


def influx_variables() -> list[dict[str, Any]]:
    hosts = 'SHOW TAG VALUES FROM "domstats_round" WITH KEY = "host"'
    domains = (
        'SHOW TAG VALUES FROM "libvirt_state" WITH KEY = "domain_name"'
        ' WHERE "host" =~ /^$host$/'
    )  # fmt: skip
    every = {"source": "influxdb", "allValue": ".*"}
    return [
        variable("host", "Host", query=hosts, definition=hosts, **every),
        variable("domain", "Guest", query=domains, definition=domains, **every),
    ]


def graphite_variables() -> list[dict[str, Any]]:
    prefix = {"name": "prefix", "label": "Prefix (with its dot)", "type": "textbox", "query": "",
              "current": {"text": "", "value": ""}, "options": [], "hide": 0,
              "skipUrlSync": False}  # fmt: skip
    found = {
        "host": ("Host", "expand($prefix*.domstats.duration-round)"),
        "domain": ("Guest", "expand($prefix*.virt.virt_cpu_total)"),
    }
    first = r"/([^.]+)\.(?:domstats|virt)\.[^.]+$/"
    return [prefix] + [
        variable(name, label, query=query, definition=query, regex=first, source="graphite",
                 allValue="*")
        for name, (label, query) in found.items()
    ]  # fmt: skip


def targets(panel: Panel, database: str) -> list[dict[str, Any]]:
    if database == "graphite":
        return [
            {"refId": chr(65 + number), "target": target, "textEditor": True}
            for number, target in enumerate(panel.graphite)
        ]
    form = "table" if panel.kind == "table" else "time_series"
    return [
        {"refId": chr(65 + number), "query": query, "rawQuery": True, "resultFormat": form,
         "alias": legend}
        for number, (query, legend) in enumerate(panel.influx)
    ]  # fmt: skip


def shown(panel: Panel, database: str, number: int, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": database, "uid": "${datasource}"}
    graph = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.what,
        "datasource": source, "gridPos": place, "transparent": False, "transformations": [],
        "repeatDirection": "h",
        "targets": [{**target, "datasource": source} for target in targets(panel, database)],
        "options": graph if panel.kind == "timeseries" else {"showHeader": True},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
    }  # fmt: skip


def dashboard(database: str) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False,
                       "gridPos": place, "panels": []})  # fmt: skip
        y += 1
        there = [panel for panel in row if targets(panel, database)]
        for number, panel in enumerate(there):
            place = {"x": number % 3 * 8, "y": y + number // 3 * 8, "w": 8, "h": 8}
            panels.append(shown(panel, database, len(panels) + 1, place))
        y += (len(there) + 2) // 3 * 8
    source = {"name": "datasource", "label": "Data source", "type": "datasource",
              "query": database, "current": {}, "options": [], "hide": 0, "regex": "",
              "skipUrlSync": False, "multi": False, "includeAll": False}  # fmt: skip
    own = graphite_variables() if database == "graphite" else influx_variables()
    return {
        "uid": f"domstats-{database}", "title": f"domstats ({database})", "tags": ["domstats"],
        "description": "Guests of libvirt hypervisors: docs/dashboards.md of domstats.",
        "schemaVersion": 36, "version": 1, "style": "dark", "editable": True, "graphTooltip": 1,
        "timezone": "browser", "time": {"from": "now-1h", "to": "now"}, "refresh": "30s",
        "annotations": {"list": []}, "links": [], "panels": panels,
        "templating": {"list": [source, *own]},
    }  # fmt: skip


def alert(rule: Rule) -> dict[str, Any]:
    """Each query, its last value, their math, the threshold."""

    def step(name: str, model: dict[str, Any], source: str = "__expr__") -> dict[str, Any]:
        kind = "influxdb" if source == DATASOURCE else source
        return {"refId": name, "datasourceUid": source,
                "relativeTimeRange": {"from": WINDOW_S, "to": 0},
                "model": {"refId": name, "datasource": {"type": kind, "uid": source},
                          **model}}  # fmt: skip

    data, math = [], rule.math
    for name, query in zip("AB", rule.queries):
        model = {"query": query, "rawQuery": True, "resultFormat": "time_series"}
        data.append(step(name, model, DATASOURCE))
        data.append(step(f"last{name}", {"type": "reduce", "expression": name, "reducer": "last"}))
        math = re.sub(rf"\${name}\b", f"${{last{name}}}", math)
    data.append(step("value", {"type": "math", "expression": math}))
    evaluator = {"type": "gt" if rule.above else "lt", "params": [rule.threshold]}
    conditions = [{"evaluator": evaluator}]
    threshold = {"type": "threshold", "expression": "value", "conditions": conditions}
    data.append(step("alert", threshold))
    return {
        "uid": rule.uid, "title": rule.title, "condition": "alert", "data": data,
        "for": rule.lasts, "noDataState": rule.no_data, "execErrState": "Error",
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.title, "description": f"{rule.reason} {rule.remedy}"},
    }  # fmt: skip


def alerts() -> dict[str, Any]:
    rules = [alert(rule) for rule in RULES]
    group = {"orgId": 1, "name": "domstats", "folder": "domstats", "interval": "1m"}
    return {"apiVersion": 1, "groups": [{**group, "rules": rules}]}


def files() -> dict[str, str]:
    """Every file that this makes, by its name."""
    made = {
        "influxdb.json": dashboard("influxdb"),
        "graphite.json": dashboard("graphite"),
        "alerts-influxdb.yaml": alerts(),  # JSON is YAML
    }
    return {name: json.dumps(what, indent=2) + "\n" for name, what in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
