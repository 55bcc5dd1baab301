"""Prometheus, which scrapes one address and evaluates the rules of a file."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.system.agents.program import Program, free_port
from tests.system.waiting import wait_for

CONFIGURATION = """\
global:
  scrape_interval: {interval:g}s
  evaluation_interval: {interval:g}s
rule_files: ["{rules}"]
scrape_configs:
  - job_name: domstats
    static_configs:
      - targets: ["127.0.0.1:{scraped}"]
"""


class Prometheus(Program):
    """Answers once constructed.

    :param scraped: the port on this host that has the metrics.
    :param rules: a file of rules, which say themselves how often they are looked at.
    :param interval: seconds between two scrapes.
    """

    def __init__(self, folder: Path, scraped: int, rules: Path, interval: float = 1.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/api/v1"
        configuration = folder / "prometheus.yml"
        text = CONFIGURATION.format(scraped=scraped, rules=rules, interval=interval)
        configuration.write_text(text)
        command = [
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__(folder, command)
        wait_for("answer of Prometheus", self._answers)

    def _answers(self) -> bool:
        try:
            self.query("up")
        except urllib.error.URLError:
            return False
        return True

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now, each series with its labels and its ``value``."""
        result = self._get("query", query=expression)["result"]
        return [{**each["metric"], "value": float(each["value"][1])} for each in result]

    def label_values(self, selector: str, label: str) -> list[str]:
        """The values that a label has among the series of a selector."""
        return list(self._get(f"label/{label}/values", **{"match[]": selector}))

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts of rules that are true now, each with ``labels`` and ``state``."""
        return list(self._get("alerts")["alerts"])

    def _get(self, page: str, **parameters: str) -> Any:
        address = f"{self._url}/{page}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]
