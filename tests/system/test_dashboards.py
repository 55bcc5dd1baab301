"""The dashboards' and the alert rules' queries, asked of the real databases that agents filled.

Variables are replaced as Grafana does it. Grafana itself is not here: that it draws what the
databases answer is not tested.
"""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Any, Callable

from dashboards import make
from tests.system.agents import Collectd, Graphite, InfluxDB, Telegraf
from tests.system.bed.shape import Shape
from tests.system.configurations import EXTRA_STATS, execd, libvirt_table, python_plugin
from tests.system.waiting import TooLate, wait_for

ACTIVE = 1  # VIR_CONNECT_LIST_DOMAINS_ACTIVE
#: Empty in this bed: its guests have no balloon driver, and none of them lacks anything in
#: Graphite, where no guest is made to hang.
EMPTY = {
    "influxdb": {"Age of the guest's memory figures"},
    "graphite": {"Age of the guest's memory figures", "Guests that do not answer"},
}
#: What a host that is well sends, of which no rule is true.
HEALTHY = """\
domstats_domain,host=well,domain_name=c responsive=1i
domstats_round,host=well,hypervisor=w connected=1i,duration_s=0.2,partial=0i,silent_storage=0i,unwatched_storage=0i
domstats_vcpu,host=well,domain_name=c,vcpu_id=0 steal_percent=1
domstats_disk,host=well,domain_name=c,device=vda read_latency_s=0.001,write_latency_s=0.002
domstats_memory,host=well,domain_name=c age_s=5
domstats_cpu,host=well,domain_name=c percent=50,percent_of_host=12.5
libvirt_vcpu,host=well,domain_name=c,vcpu_id=0 state=1i
"""  # noqa: E501
#: What each rule is about, as lines that must make it true.
TROUBLE = {
    "domstats-guest-hung": ["domstats_domain,domain_name=a responsive=0i"],
    "domstats-storage-silent": ["domstats_round,hypervisor=q silent_storage=1i"],
    "domstats-watch-blind": ["domstats_round,hypervisor=q unwatched_storage=1i"],
    "domstats-round-late": ["domstats_round,hypervisor=q duration_s=8.9"],
    "domstats-partial": ["domstats_round,hypervisor=q partial=2i"],
    "domstats-hypervisor-away": ["domstats_round,hypervisor=q connected=0i"],
    "domstats-steal": ["domstats_vcpu,domain_name=a,vcpu_id=0 steal_percent=30"],
    "domstats-read-latency": ["domstats_disk,domain_name=a,device=vda read_latency_s=0.3"],
    "domstats-write-latency": ["domstats_disk,domain_name=a,device=vda write_latency_s=0.3"],
    "domstats-memory-stale": ["domstats_memory,domain_name=a age_s=900"],
    "domstats-overcommit": [
        *(f"libvirt_vcpu,domain_name=a,vcpu_id={number} state=1i" for number in range(20)),
        "domstats_cpu,domain_name=a percent=50,percent_of_host=12.5",
    ],
}


def influxql(query: str, window_s: int = 600) -> str:
    """As Grafana sends it, with all hosts and all guests."""
    query = query.replace("$timeFilter", f"time >= now() - {window_s}s and time <= now() + 60s")
    for name, value in (("$__interval", "10s"), ("$host", ".*"), ("$domain", ".*")):
        query = query.replace(name, value)
    assert "$" not in query.replace("/^.*$/", "")
    return query


def numbers(influxdb: Any, query: str) -> list[float]:
    """The values of each series that the query gives."""
    rows = influxdb.query(influxql(query, make.WINDOW_S))
    return [
        value
        for row in rows
        for name, value in row.items()
        if name != "time" and isinstance(value, (int, float))
    ]


def found(graphite: Any, variable: dict[str, Any]) -> set[str]:
    """The values of a variable of Graphite's dashboard, as Grafana cuts them out of the paths."""
    pattern = variable["query"][len("expand($prefix") : -1]
    paths = graphite.render(pattern)
    return {name for path in paths for name in re.findall(variable["regex"].strip("/"), path)}


def is_true(influxdb: Any, uid: str) -> bool:
    """Whether the rule's condition is true of any series, by what stands in the file's model.

    Where it has math of several queries, each gives one series here.
    """
    [rule] = [rule for rule in make.alerts()["groups"][0]["rules"] if rule["uid"] == uid]
    steps = {step["refId"]: step["model"] for step in rule["data"]}
    found = {name: numbers(influxdb, steps[name]["query"]) for name in "AB" if name in steps}
    names = re.findall(r"last([AB])", steps["value"]["expression"])
    values = found[names[0]]
    if names[1:]:
        assert steps["value"]["expression"] == "${lastA} / ${lastB}"
        values = [one / other for one, other in zip(*found.values())]
    [condition] = steps[rule["condition"]]["conditions"]
    [limit] = condition["evaluator"]["params"]
    return any(
        value > limit if condition["evaluator"]["type"] == "gt" else value < limit
        for value in values
    )


def test_influxdb_answers_each_panel_and_alerts_while_a_guest_hangs(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    [off] = bed.add(Shape("switched-off"))
    off.destroy()  # its vCPUs and its memory are not to be counted
    with bed.connection() as connection:
        running = sum(domain.info()[3] for domain in connection.listAllDomains(ACTIVE))
    influxdb = start(InfluxDB)
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri, "rates = true"))
    output = f"""
[global_tags]
  host = "node-1"
[[outputs.influxdb]]
  urls = ["{influxdb.url}"]
  database = "{influxdb.database}"
  skip_database_creation = true
"""
    telegraf = start(Telegraf, execd(settings) + output)
    guest = bed.guests[0]

    def rounds() -> bool:
        return len(influxdb.query('SELECT "calls" FROM "domstats_round"')) > 3

    wait_for("four rounds in InfluxDB", rounds)
    assert not is_true(influxdb, "domstats-guest-hung")
    assert not is_true(influxdb, "domstats-hypervisor-away")
    [panel] = [each for each in make.ROWS["Host"] if each.title.startswith("vCPUs")]
    [(query, _legend)] = panel.influx
    assert {row["count"] for row in influxdb.query(influxql(query)) if row["count"]} == {running}
    guest.move_counters()
    wait_for(
        "latency",
        lambda: influxdb.query('SELECT "read_latency_s" FROM "domstats_disk"'),
    )
    guest.hang()
    try:
        wait_for("alert", lambda: is_true(influxdb, "domstats-guest-hung"), 30)
        empty = {
            panel.title
            for row in make.ROWS.values()
            for panel in row
            for query, _legend in panel.influx
            if not influxdb.query(influxql(query))
        }
    finally:
        guest.heal()
    assert empty == EMPTY["influxdb"]
    wait_for("end of the alert", lambda: not is_true(influxdb, "domstats-guest-hung"), 30)
    for each in make.influx_variables():
        assert influxdb.query(influxql(each["query"])), each["name"]
    assert "E! " not in telegraf.log


def test_each_rule_is_true_in_the_trouble_that_it_is_about_and_only_then(
    start: Callable[..., Any],
) -> None:
    influxdb = start(InfluxDB)
    address = f"{influxdb.url}/write?db={influxdb.database}"

    def write(lines: str) -> None:
        urllib.request.urlopen(address, lines.encode(), timeout=30).close()

    write(HEALTHY)
    assert [rule.uid for rule in make.RULES] == list(TROUBLE)
    for uid, lines in TROUBLE.items():
        assert not is_true(influxdb, uid), uid
        write("\n".join(lines))
        assert is_true(influxdb, uid), uid


def test_graphite_answers_each_panel(bed: Any, start: Callable[..., Any]) -> None:
    graphite = start(Graphite)
    output = f"""
LoadPlugin write_graphite
<Plugin write_graphite>
  <Node "here">
    Host "127.0.0.1"
    Port "{graphite.port}"
    Protocol "tcp"
  </Node>
</Plugin>
"""
    options = f'Connection "{bed.uri}"\nRates true\nExtraStats "{EXTRA_STATS}"'
    start(Collectd, python_plugin(options) + output)
    guest = bed.guests[0]

    def values(target: str) -> list[list[float]]:
        for name, value in (("$prefix", ""), ("$host", "*"), ("$domain", "*")):
            target = target.replace(name, value)
        assert "$" not in target
        return [series for series in graphite.render(target).values() if series]

    def empty() -> set[str]:
        return {
            panel.title
            for row in make.ROWS.values()
            for panel in row
            for target in panel.graphite
            if not values(target)
        }

    def only_what_must_be() -> bool:
        guest.move_counters()  # else no disk has a latency
        return empty() == EMPTY["graphite"]

    try:
        wait_for("data for each panel in Graphite", only_what_must_be, 60)
    except TooLate:
        assert empty() == EMPTY["graphite"]
    _prefix, host, domain = make.graphite_variables()
    assert found(graphite, host) == {"collectd"}
    assert guest.name in found(graphite, domain)
