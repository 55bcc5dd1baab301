"""The dashboards and alert rules in the tree are what dashboards.make makes, and hold together.

What a dashboard must have is taken from Grafana's published schema (kinds/dashboard), what a rule
must have from the reader of its provisioning files; Grafana itself is not asked. Nor is Prometheus:
its rules are held to what its documents say.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dashboards import make
from dashboards.rules import RULES

#: Of the schema's panel: what must be there, and its type.
PANEL = {"id": int, "type": str, "title": str, "transparent": bool, "transformations": list,
         "options": dict, "fieldConfig": dict, "gridPos": dict, "targets": list,
         "datasource": dict, "repeatDirection": str}  # fmt: skip
DASHBOARD = {"uid": str, "title": str, "style": str, "editable": bool, "graphTooltip": int,
             "schemaVersion": int, "version": int, "timezone": str, "panels": list,
             "templating": dict, "time": dict, "refresh": str, "tags": list}  # fmt: skip
VARIABLE = {"name": str, "type": str, "hide": int, "skipUrlSync": bool}
BUILT_IN = {"timeFilter", "__interval", "col"}
DURATION = re.compile(r"\d+[smh]")


def dashboards() -> list[dict[str, Any]]:
    return [make.dashboard(database) for database in make.DATABASES]


def lacks(what: dict[str, Any], wanted: dict[str, type]) -> list[str]:
    return [name for name, kind in wanted.items() if not isinstance(what.get(name), kind)]


def test_the_files_in_the_tree_are_what_the_tables_make() -> None:
    for name, text in make.files().items():
        assert (make.FOLDER / name).read_text() == text, f"run python3 -m dashboards.make: {name}"


def test_a_dashboard_has_what_grafanas_schema_wants() -> None:
    for board in dashboards():
        assert lacks(board, DASHBOARD) == []
        assert 8 <= len(board["uid"]) <= 40
        for each in board["templating"]["list"]:
            assert lacks(each, VARIABLE) == []
            assert each["type"] in {"query", "datasource", "textbox"}
        for panel in board["panels"]:
            if panel["type"] != "row":
                assert lacks(panel, PANEL) == []
                assert panel["targets"]
                assert set(panel["fieldConfig"]) == {"defaults", "overrides"}


def test_panels_have_numbers_and_places_of_their_own() -> None:
    for board in dashboards():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= make.COLUMNS
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not taken & cells, panel["title"]
            taken |= cells
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)


def test_each_variable_in_a_query_is_one_of_the_dashboards() -> None:
    for board in dashboards():
        known = {each["name"] for each in board["templating"]["list"]} | BUILT_IN
        text = json.dumps([board["panels"], board["templating"]])
        used = set(re.findall(r"\$\{?(\w+)", text))
        assert {name for name in used if not name.startswith("tag_")} <= known


def test_a_rule_has_what_grafanas_provisioning_wants() -> None:
    uids: list[str] = []
    for database in make.BY_GRAFANA:
        [group] = make.grafana_rules(database)["groups"]
        assert group["name"]
        assert group["folder"]
        assert DURATION.fullmatch(group["interval"])
        for rule in group["rules"]:
            steps = [step["refId"] for step in rule["data"]]
            assert rule["condition"] in steps
            assert len(set(steps)) == len(steps)
            assert DURATION.fullmatch(rule["for"])
            assert rule["noDataState"] in {"OK", "NoData", "Alerting"}
            assert 1 <= len(rule["uid"]) <= 40
            # Provisioning would take it for a variable of the environment.
            assert "$" not in json.dumps([rule["annotations"], rule["labels"]])
            for step in rule["data"]:
                assert step["datasourceUid"] in {"__expr__", make.datasource(database)}
                assert step["model"].get("expression", "A") in steps
            uids.append(rule["uid"])
    assert len(set(uids)) == len(uids)


def test_a_rule_of_prometheus_names_the_guest_that_it_is_about() -> None:
    [group] = make.prometheus_rules()["groups"]
    assert group["rules"][0]["alert"] == "DomstatsGuestHung"
    for rule in group["rules"]:
        assert re.fullmatch(r"[A-Z]\w+", rule["alert"])
        assert DURATION.fullmatch(rule["for"])
        assert "$labels.host" in rule["annotations"]["summary"]


def test_each_database_has_all_rules_and_all_panels_but_those_that_say_so() -> None:
    titles = {
        database: {panel["title"] for panel in make.dashboard(database)["panels"]}
        for database in make.DATABASES
    }
    assert titles["influxdb"] - titles["prometheus"] == {"What is wrong with guests"}
    assert titles["influxdb"] - titles["graphite"] == {"What is wrong with guests"}
    for database in make.BY_GRAFANA:
        [group] = make.grafana_rules(database)["groups"]
        assert [rule["title"] for rule in group["rules"]] == [rule.title for rule in RULES]
