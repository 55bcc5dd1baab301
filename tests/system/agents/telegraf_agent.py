"""Telegraf, with what it gathers written to a file of lines that a test can read back."""

import os
from pathlib import Path

from tests.system.agents import lines
from tests.system.agents.lines import Point
from tests.system.agents.program import Absent, Program

# Where `make` puts it; the distribution has none.
BUILT = Path(__file__).parents[3] / ".build" / "telegraf"

CONFIGURATION = """\
[agent]
  interval = "{interval}s"
  flush_interval = "{interval}s"
  round_interval = true
  precision = "1ns"
  omit_hostname = true
  metric_buffer_limit = 1000000
  debug = true

[[outputs.file]]
  files = ["{folder}/lines"]
  data_format = "influx"
  influx_uint_support = true

{plugins}
"""


class Telegraf(Program):
    """``plugins`` is the part of the configuration under test, written by the test."""

    def __init__(
        self, folder: Path, plugins: str, interval: float = 1.0, user: str = ""
    ) -> None:
        if not os.access(BUILT, os.X_OK):
            raise Absent("telegraf")
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "telegraf.conf"
        configuration.write_text(
            CONFIGURATION.format(folder=folder, interval=f"{interval:g}", plugins=plugins)
        )
        command = [str(BUILT), "--config", str(configuration)]
        super().__init__(folder, command, user=user)

    def points(self) -> list[Point]:
        """Everything it has written so far, in the order of writing."""
        path = self.folder / "lines"
        return lines.parse(path.read_text()) if path.exists() else []
