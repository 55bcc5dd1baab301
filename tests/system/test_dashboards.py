"""The dashboards' and the alert rules' queries, asked of the real databases that agents filled from
real guests, before a guest hangs, while it does, and after. ``domstats check`` and ``domstats top``
are asked in the same hang.

Variables are replaced as Grafana does it. Grafana itself is not here: that it draws what the
databases answer is not tested. Prometheus evaluates its rules itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn

import pytest

from dashboards import make
from dashboards.rules import RULES, WINDOW_S
from tests.system.agents import Graphite, InfluxDB
from tests.system.agents.program import Absent, find
from tests.system.bed import AbsentSystem
from tests.system.bed.cgroups import hierarchies
from tests.system.command_line import domstats
from tests.system.monitored_host import HOST, PROMETHEUS_RULES, Monitored, fill, start_all
from tests.system.terminal import Terminal
from tests.system.waiting import TooLate, wait_for

INSTALL = "as root, tests/system/install test"
HUNG = "domstats-guest-hung"
#: The guest that is made to hang.
VICTIM = "mail"
#: Seconds until a test gives up. Who hangs is known after half a minute, with the time for which
#: Prometheus waits before it fires.
PATIENCE_S = 300.0
#: Of a host that is well there is none of these.
ONLY_OF_TROUBLE = {"Guests that do not answer", "What is wrong with guests"}
PRESSURE = "Pressure"
#: As Grafana reduces a series to a number.
REDUCERS: dict[str, Callable[[list[float]], float]] = {
    "last": lambda values: values[-1],
    "min": min,
    "mean": statistics.fmean,
}


# --- what is asked ------------------------------------------------------------------------------


def influxql(query: str, window_s: int = 600) -> str:
    """As Grafana sends it, with all hosts and all guests."""
    query = query.replace("$timeFilter", f"time >= now() - {window_s}s and time <= now() + 60s")
    for name, value in (("$__interval", "10s"), ("$host", ".*"), ("$domain", ".*")):
        query = query.replace(name, value)
    assert "$" not in query.replace("/^.*$/", "")
    return query


def series_of(where: Any, database: str, query: str, window_s: int = 600) -> list[list[float]]:
    """The numbers of each series that a query gives, in the order of their times.

    :param where: has the databases by their names.
    """
    every = "*" if database == "graphite" else ".*"
    text = query.replace("$prefix", "")
    for name in ("$host", "$domain"):
        text = text.replace(name, every)
    if database == "graphite":
        return [values for values in where.graphite.render(text, window_s).values() if values]
    if database == "prometheus":
        return [[row["value"]] for row in where.prometheus.query(text)]
    rows = where.influxdb.query(influxql(query, window_s))
    return [
        [value]
        for row in rows
        for name, value in row.items()
        if name != "time" and (name == "status" or isinstance(value, (int, float)))
    ]


def empty(where: Any, database: str) -> set[str]:
    """Panels of which a query gives nothing."""
    board = make.dashboard(database)
    languages = {"influxdb": "query", "graphite": "target", "prometheus": "expr"}
    return {
        panel["title"]
        for panel in board["panels"]
        for target in panel.get("targets", [])
        if not series_of(where, database, target[languages[database]])
    }


def is_true(where: Any, database: str, uid: str) -> bool:
    """Whether a rule's condition is true of any series now, by what stands in its file."""
    number = [rule.uid for rule in RULES].index(uid)
    if database == "prometheus":
        rule = make.prometheus_rules()["groups"][0]["rules"][number]
        return bool(where.prometheus.query(rule["expr"]))
    rule = make.grafana_rules(database)["groups"][0]["rules"][number]
    steps = {step["refId"]: step["model"] for step in rule["data"]}
    query = steps["A"].get("query") or steps["A"]["target"]
    reducer = REDUCERS[steps["value"]["reducer"]]
    values = [reducer(each) for each in series_of(where, database, query, WINDOW_S)]
    [condition] = steps[rule["condition"]]["conditions"]
    [limit] = condition["evaluator"]["params"]
    if condition["evaluator"]["type"] == "gt":
        return any(value > limit for value in values)
    return any(value < limit for value in values)


def true_rules(where: Any, database: str) -> set[str]:
    return {rule.uid for rule in RULES if is_true(where, database, rule.uid)}


# --- a guest hangs ------------------------------------------------------------------------------


class Story(NamedTuple):
    """What was found.

    :ivar empty: by database, panels without data while the guest hung.
    :ivar table: the rows of InfluxDB's table of what is wrong, while the guest hung.
    :ivar true: by database, rules that were true before, during and after the hang.
    :ivar fires: the alerts about it that Prometheus fired.
    :ivar check: the report of ``domstats check``.
    :ivar screen: the lines of ``domstats top``.
    """

    host: Monitored
    empty: dict[str, set[str]]
    table: list[dict[str, Any]]
    true: dict[str, list[set[str]]]
    fires: list[dict[str, Any]]
    check: dict[str, Any]
    screen: list[str]


@pytest.fixture(scope="module")
def story(
    new_bed: Callable[[], Any],
    missing: Callable[[str, str], NoReturn],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("monitored")
    folder.chmod(0o755)
    with contextlib.ExitStack() as running:
        bed, elsewhere = (running.enter_context(new_bed()) for _ in range(2))
        try:
            fill(running, bed, elsewhere)
            host = start_all(running, bed, folder)
            terminal = Terminal(folder, "top", "--connect", bed.uri, "--interval", "1")
        except (Absent, AbsentSystem) as absent:
            missing(str(absent), INSTALL)
        running.callback(terminal.end)
        yield told(host, terminal)


def told(host: Monitored, terminal: Terminal) -> Story:
    victim = next(guest for guest in host.bed.guests if guest.name == VICTIM)
    wait_for_data(host)
    true = {database: [true_rules(host, database)] for database in make.DATABASES}
    victim.hang()
    try:
        check, fires = until_all_have_noticed(host, terminal)
        screen = terminal.lines
        found = {database: empty(host, database) for database in make.DATABASES}
        [panel] = [each for each in make.dashboard("influxdb")["panels"] if each["type"] == "table"]
        table = host.influxdb.query(influxql(panel["targets"][0]["query"]))
        for database in make.DATABASES:
            true[database].append(true_rules(host, database))
    finally:
        victim.heal()

    def over() -> bool:
        return not any(is_true(host, database, HUNG) for database in make.DATABASES)

    wait_for("end of the alerts", over, PATIENCE_S)
    wait_for("end of Prometheus's alert", lambda: not firing(host), PATIENCE_S)
    for database in make.DATABASES:
        true[database].append(true_rules(host, database))
    return Story(host, found, table, true, fires, check, screen)


def wait_for_data(host: Monitored) -> None:
    """Until each panel has what it can have while all is well."""

    def there() -> bool:
        for guest in host.bed.guests:
            if guest.name in ("web", "db", VICTIM):
                guest.move_counters()  # else no disk has a latency
        return all(
            empty(host, database) <= ONLY_OF_TROUBLE | no_pressure() for database in make.DATABASES
        )

    # A panel that stays empty is one that the tests name.
    with contextlib.suppress(TooLate):
        wait_for("data", there, PATIENCE_S)


def firing(host: Monitored) -> list[dict[str, Any]]:
    """Alerts of Prometheus's that are no longer pending, about a guest that hangs."""
    return [
        alert
        for alert in host.prometheus.alerts()
        if alert["state"] == "firing" and alert["labels"]["alertname"] == "DomstatsGuestHung"
    ]


def until_all_have_noticed(
    host: Monitored, terminal: Terminal
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    looks: dict[str, Callable[[], Any]] = {
        database: partial(is_true, host, database, HUNG) for database in make.DATABASES
    }
    looks["top"] = lambda: any(VICTIM in line and "HUNG" in line for line in terminal.lines)
    looks["check"] = lambda: json.loads(
        domstats("check", "--config", str(host.settings), "--format", "json").stdout
    )
    looks["Prometheus fires"] = lambda: firing(host)
    found = {
        name: wait_for(f"word of the hung guest from {name}", look, PATIENCE_S)
        for name, look in looks.items()
    }
    return found["check"], found["Prometheus fires"]


def no_pressure() -> set[str]:
    """The panel is empty where the kernel measures none, or has no control groups of version 2."""
    measured = Path("/proc/pressure").exists()
    grouped = any((group / "cgroup.procs").exists() for group in hierarchies())
    return set() if measured and grouped else {PRESSURE}


@pytest.mark.parametrize("database", make.DATABASES)
def test_each_panel_has_data(story: Story, database: str) -> None:
    assert story.empty[database] <= no_pressure()


@pytest.mark.parametrize("database", make.DATABASES)
def test_the_rule_for_a_hung_guest_is_false_then_true_then_false(
    story: Story, database: str
) -> None:
    before, during, after = ({HUNG} & rules for rules in story.true[database])
    assert (before, during, after) == (set(), {HUNG}, set())


def test_prometheus_itself_fires_and_names_guest_and_host(story: Story) -> None:
    [alert] = story.fires
    assert alert["labels"]["severity"] == "critical"
    assert (alert["labels"]["domain_name"], alert["labels"]["host"]) == (VICTIM, HOST)
    assert alert["annotations"]["summary"] == f"A guest does not answer: {VICTIM} {HOST}"


def test_dashboards_alerts_check_and_top_say_which_guest_hangs(
    story: Story,
) -> None:
    assert story.screen[2].startswith(VICTIM)
    assert "1 HUNG" in story.screen[0]
    assert story.check["status"] == 1
    [finding] = [each for each in story.check["findings"] if VICTIM in each["what"]]
    assert "its process is stopped" in finding["what"]
    [row] = [row for row in story.table if row["domain_name"] == VICTIM]
    assert row["status"] == "unresponsive"
    assert "its process is stopped" in row["reason"]


def test_variables_have_hosts_and_guests(story: Story) -> None:
    host = story.host
    for each in make.influx_variables():
        assert host.influxdb.query(influxql(each["query"])), each["name"]
    for each in make.prometheus_variables():
        inside = re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"]["query"])
        assert inside
        selector, label = inside[1].replace("$host", ".*"), inside[2]
        values = host.prometheus.label_values(selector, label)
        assert {"host": HOST, "domain": VICTIM}[each["name"]] in values
    _prefix, hosts, domains = make.graphite_variables()
    assert in_paths(host.graphite, hosts) == {"collectd"}
    assert VICTIM in in_paths(host.graphite, domains)


def in_paths(graphite: Graphite, variable: dict[str, Any]) -> set[str]:
    """The values of a variable of Graphite's dashboard, as Grafana cuts them out of the paths."""
    pattern = variable["query"][len("expand($prefix") : -1]
    paths = graphite.render(pattern)
    return {name for path in paths for name in re.findall(variable["regex"].strip("/"), path)}


def test_what_the_agents_send_is_taken(story: Story) -> None:
    assert "E! [outputs" not in story.host.telegraf.log
    assert "Traceback" not in story.host.collectd.log


# --- each rule, and made-up values of its trouble -----------------------------------------------

#: What a host that is well sends, of which no rule is true: series and value.
WELL = {
    "domstats_domain,host=well,domain_name=c responsive": 1.0,
    "domstats_round,host=well,hypervisor=w connected": 1.0,
    "domstats_round,host=well,hypervisor=w duration_s": 0.2,
    "domstats_round,host=well,hypervisor=w partial": 0.0,
    "domstats_round,host=well,hypervisor=w silent_storage": 0.0,
    "domstats_round,host=well,hypervisor=w unwatched_storage": 0.0,
    "domstats_vcpu,host=well,domain_name=c,vcpu_id=0 steal_percent": 1.0,
    "domstats_disk,host=well,domain_name=c,device=vda read_latency_s": 0.001,
    "domstats_disk,host=well,domain_name=c,device=vda write_latency_s": 0.002,
    "domstats_memory,host=well,domain_name=c age_s": 5.0,
    "domstats_host,host=well,hypervisor=w vcpu_overcommit": 1.5,
}
#: What each rule is about.
TROUBLE = {
    "domstats-guest-hung": ("domstats_domain,host=n,domain_name=a responsive", 0.0),
    "domstats-storage-silent": ("domstats_round,host=n,hypervisor=q silent_storage", 1.0),
    "domstats-watch-blind": ("domstats_round,host=n,hypervisor=q unwatched_storage", 1.0),
    "domstats-round-late": ("domstats_round,host=n,hypervisor=q duration_s", 8.9),
    "domstats-partial": ("domstats_round,host=n,hypervisor=q partial", 2.0),
    "domstats-hypervisor-away": ("domstats_round,host=n,hypervisor=q connected", 0.0),
    "domstats-steal": ("domstats_vcpu,host=n,domain_name=a,vcpu_id=0 steal_percent", 30.0),
    "domstats-read-latency": ("domstats_disk,host=n,domain_name=a,device=vda read_latency_s", 0.3),
    "domstats-write-latency": (
        "domstats_disk,host=n,domain_name=a,device=vda write_latency_s",
        0.3,
    ),
    "domstats-memory-stale": ("domstats_memory,host=n,domain_name=a age_s", 900.0),
    "domstats-overcommit": ("domstats_host,host=n,hypervisor=q vcpu_overcommit", 5.0),
}


def test_each_rule_of_influxdb_is_true_in_the_trouble_that_it_is_about_and_only_then(
    start: Callable[..., Any],
) -> None:
    class Databases(NamedTuple):
        influxdb: InfluxDB

    where = Databases(start(InfluxDB))
    address = f"{where.influxdb.url}/write?db={where.influxdb.database}"

    def write(series: str, value: float) -> None:
        urllib.request.urlopen(address, f"{series}={value}".encode(), timeout=30).close()

    for series, value in WELL.items():
        write(series, value)
    assert [rule.uid for rule in RULES] == list(TROUBLE)
    for uid, (series, value) in TROUBLE.items():
        assert not is_true(where, "influxdb", uid), uid
        write(series, value)
        assert is_true(where, "influxdb", uid), uid


def test_each_rule_of_graphite_is_true_in_its_trouble_and_false_on_a_host_that_is_well(
    start: Callable[..., Any],
) -> None:
    class Databases(NamedTuple):
        graphite: Graphite

    where = Databases(start(Graphite))

    def rendered(path: str) -> Any:
        return where.graphite.render(path).get(path)

    def write(host: str, values: dict[str, float]) -> None:
        """``values`` by the rules' series."""
        paths = {f"{host}.domstats.{name.replace('*', '0')}": values[name] for name in values}
        lines = "".join(f"{path} {value} {int(time.time())}\n" for path, value in paths.items())
        with socket.create_connection(("127.0.0.1", where.graphite.port)) as carbon:
            carbon.sendall(lines.encode())
        for path in paths:
            wait_for(path, partial(rendered, path))

    fields = {series.rpartition(" ")[2]: value for series, value in WELL.items()}
    write("well", {rule.graphite: fields[rule.field] for rule in RULES})
    assert true_rules(where, "graphite") == set()
    write("ill", {rule.graphite: TROUBLE[rule.uid][1] for rule in RULES})
    assert true_rules(where, "graphite") == set(TROUBLE)


def metric(series: str) -> tuple[str, dict[str, str]]:
    """A series as Telegraf's output for Prometheus has it: name and labels."""
    head, _, field = series.rpartition(" ")
    measurement, *tags = head.split(",")
    return f"{measurement}_{field}", dict(tag.split("=") for tag in tags)


def input_series(series: str, value: float) -> dict[str, str]:
    name, labels = metric(series)
    written = ",".join(f'{label}="{of}"' for label, of in labels.items())
    return {"series": f"{name}{{{written}}}", "values": f"{value}x600"}


def cases(number: int) -> Iterator[dict[str, Any]]:
    """Of a rule, as promtool tests it: in its trouble it fires in its time, else it does not."""
    rule = make.prometheus_rules()["groups"][0]["rules"][number]
    series, value = TROUBLE[RULES[number].uid]
    _name, labels = metric(series)

    def filled(text: str) -> str:
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)

    fires = {
        "exp_labels": {**rule["labels"], **labels},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }
    well = [input_series(*each) for each in WELL.items()]
    for more, expected in ([input_series(series, value)], [fires]), ([], []):
        looks = {"eval_time": rule["for"], "alertname": rule["alert"], "exp_alerts": expected}
        yield {"interval": "10s", "input_series": well + more, "alert_rule_test": [looks]}


def test_each_rule_of_prometheus_fires_in_its_time_in_the_trouble_that_it_is_about_and_only_then(
    tmp_path: Path, missing: Callable[[str, str], NoReturn]
) -> None:
    try:
        promtool = find("promtool")
    except Absent as absent:
        missing(str(absent), INSTALL)
    path = tmp_path / "tests.yaml"
    every = [case for number in range(len(RULES)) for case in cases(number)]
    path.write_text(
        json.dumps(
            {"rule_files": [str(PROMETHEUS_RULES)], "evaluation_interval": "10s", "tests": every}
        )
    )
    for command in (["check", "rules", str(PROMETHEUS_RULES)], ["test", "rules", str(path)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
