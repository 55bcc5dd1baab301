"""Makes the files of this folder: Grafana's dashboards and alert rules, and Prometheus's rules.

    python3 -m dashboards.make

One table of panels (``panels``) serves all databases, so that what they show does not drift apart;
one table of rules (``rules``) has each threshold with its reason. To change a dashboard, change a
table, and run this again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dashboards.panels import ROWS, Panel
from dashboards.rules import RULES, WINDOW_S, Rule

FOLDER = Path(__file__).resolve().parent
DATABASES = ("influxdb", "graphite", "prometheus")
#: Those whose rules Grafana evaluates.
BY_GRAFANA = ("influxdb", "graphite")
COLUMNS = 24
#: How often rules are looked at.
EVERY = "10s"


def datasource(database: str) -> str:
    """The uid that the data source of the rules must have: rules have no variable for it."""
    return f"domstats-{database}"


# --- dashboards ---------------------------------------------------------------------------------


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


def prometheus_variables() -> list[dict[str, Any]]:
    found = {
        "host": ("Host", "label_values(domstats_round_connected, host)"),
        "domain": ("Guest", 'label_values(libvirt_state_state{host=~"$host"}, domain_name)'),
    }
    return [
        variable(name, label, query={"query": query, "refId": f"variable-{name}"},
                 definition=query, source="prometheus", allValue=".*")
        for name, (label, query) in found.items()
    ]  # fmt: skip


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


VARIABLES = {
    "influxdb": influx_variables,
    "graphite": graphite_variables,
    "prometheus": prometheus_variables,
}


def queries(panel: Panel, database: str) -> list[tuple[str, str]]:
    """A panel's queries in a database's language, each with the legend of its series."""
    if database == "graphite":
        return [(target, "") for target in panel.graphite]
    if database == "prometheus":
        return [each for query in panel.queries for each in query.promql()]
    if panel.table:
        return [(panel.table, "")]
    return [query.influxql() for query in panel.queries]


def target(database: str, panel: Panel, query: str, legend: str) -> dict[str, Any]:
    if database == "graphite":
        return {"target": query, "textEditor": True}
    if database == "prometheus":
        return {"expr": query, "legendFormat": legend, "range": True, "instant": False,
                "editorMode": "code"}  # fmt: skip
    form = "table" if panel.table else "time_series"
    return {"query": query, "rawQuery": True, "resultFormat": form, "alias": legend}


def shown(panel: Panel, database: str, number: int, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": database, "uid": "${datasource}"}
    graph = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    needs = f" Needs the option {panel.needs}." if panel.needs else ""
    return {
        "id": number, "type": "table" if panel.table else "timeseries", "title": panel.title,
        "description": panel.what + needs,
        "datasource": source, "gridPos": place, "transparent": False, "transformations": [],
        "repeatDirection": "h",
        "targets": [
            {"refId": chr(65 + at), **target(database, panel, *each), "datasource": source}
            for at, each in enumerate(queries(panel, database))
        ],
        "options": {"showHeader": True} if panel.table else graph,
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
        there = [panel for panel in row if queries(panel, database)]
        for number, panel in enumerate(there):
            place = {"x": number % 3 * 8, "y": y + number // 3 * 8, "w": 8, "h": 8}
            panels.append(shown(panel, database, len(panels) + 1, place))
        y += (len(there) + 2) // 3 * 8
    source = {"name": "datasource", "label": "Data source", "type": "datasource",
              "query": database, "current": {}, "options": [], "hide": 0, "regex": "",
              "skipUrlSync": False, "multi": False, "includeAll": False}  # fmt: skip
    return {
        "uid": f"domstats-{database}", "title": f"domstats ({database})", "tags": ["domstats"],
        "description": "Guests of libvirt hypervisors: docs/dashboards.md of domstats.",
        "schemaVersion": 36, "version": 1, "style": "dark", "editable": True, "graphTooltip": 1,
        "timezone": "browser", "time": {"from": "now-1h", "to": "now"}, "refresh": "30s",
        "annotations": {"list": []}, "links": [], "panels": panels,
        "templating": {"list": [source, *VARIABLES[database]()]},
    }  # fmt: skip


# --- rules --------------------------------------------------------------------------------------


def alert(rule: Rule, database: str) -> dict[str, Any]:
    """For Grafana: a query, its series reduced to a number each, the threshold."""

    def step(name: str, model: dict[str, Any], kind: str = "__expr__") -> dict[str, Any]:
        source = kind if kind == "__expr__" else datasource(kind)
        return {"refId": name, "datasourceUid": source,
                "relativeTimeRange": {"from": WINDOW_S, "to": 0},
                "model": {"refId": name, "datasource": {"type": kind, "uid": source},
                          **model}}  # fmt: skip

    if database == "graphite":
        model = {"target": rule.target, "textEditor": True}
        reducer = "last" if rule.reduce == "median" else rule.reduce
    else:  # InfluxDB has reduced them itself
        model = {"query": rule.influxql, "rawQuery": True, "resultFormat": "time_series"}
        reducer = "last"
    reduce = {"type": "reduce", "expression": "A", "reducer": reducer,
              "settings": {"mode": "dropNN"}}  # fmt: skip
    evaluator = {"type": "gt" if rule.above else "lt", "params": [rule.threshold]}
    threshold = {"type": "threshold", "expression": "value",
                 "conditions": [{"evaluator": evaluator}]}  # fmt: skip
    return {
        "uid": f"{rule.uid}-graphite" if database == "graphite" else rule.uid,
        "title": rule.title, "condition": "alert",
        "data": [step("A", model, database), step("value", reduce), step("alert", threshold)],
        "for": rule.lasts, "noDataState": "Alerting" if rule.silence else "OK",
        "execErrState": "Error", "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.title, "description": f"{rule.reason} {rule.remedy}"},
    }  # fmt: skip


def grafana_rules(database: str) -> dict[str, Any]:
    rules = [alert(rule, database) for rule in RULES]
    name = "domstats" if database == "influxdb" else f"domstats {database}"
    group = {"orgId": 1, "name": name, "folder": "domstats", "interval": EVERY}
    return {"apiVersion": 1, "groups": [{**group, "rules": rules}]}


def prometheus_rules() -> dict[str, Any]:
    rules = []
    for rule in RULES:
        which = " ".join(f"{{{{ $labels.{tag} }}}}" for tag in (*rule.tags, "host"))
        words = "".join(part.capitalize() for part in rule.uid.split("-"))
        rules.append({
            "alert": words, "expr": rule.promql, "for": rule.lasts,
            "labels": {"severity": rule.severity},
            "annotations": {"summary": f"{rule.title}: {which}",
                            "description": f"{rule.reason} {rule.remedy}"},
        })  # fmt: skip
    return {"groups": [{"name": "domstats", "interval": EVERY, "rules": rules}]}


def files() -> dict[str, str]:
    """Every file that this makes, by its name."""
    made = {f"{database}.json": dashboard(database) for database in DATABASES}
    made |= {f"alerts-{database}.yaml": grafana_rules(database) for database in BY_GRAFANA}
    made["alerts-prometheus.yaml"] = prometheus_rules()  # JSON is YAML
    return {name: json.dumps(what, indent=2) + "\n" for name, what in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
