"""InfluxDB 1.x with a database of its own."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.system.agents.program import Program, free_port
from tests.system.waiting import wait_for

CONFIGURATION = """\
reporting-disabled = true
bind-address = "127.0.0.1:{control}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
"""


class InfluxDB(Program):
    """Answers at ``url`` once constructed, with an empty database ``domstats``."""

    database = "domstats"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        configuration = folder / "influxdb.conf"
        text = CONFIGURATION.format(folder=folder, port=port, control=free_port())
        configuration.write_text(text)
        super().__init__(folder, ["influxd", "run", "-config", str(configuration)])
        wait_for("answer of InfluxDB", self._create)

    def _create(self) -> bool:
        try:
            self.query(f"CREATE DATABASE {self.database}")
        except urllib.error.URLError:
            return False
        return True

    def query(self, statement: str, **options: str) -> list[dict[str, Any]]:
        """The rows that InfluxQL's ``statement`` gives, each by column, tags included.

        :param options: as the database's interface has them: ``epoch="ns"`` for times as numbers.
        """
        parameters = {"db": self.database, "q": statement, **options}
        values = urllib.parse.urlencode(parameters).encode()
        with urllib.request.urlopen(f"{self.url}/query", values, timeout=30) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row))}
            for series in result.get("series", [])
            for row in series["values"]
        ]
