"""Lines of InfluxDB's protocol read back: by the parser of the system tests and, from Python 3.10
on, by one that others wrote too. The two have to agree."""

from __future__ import annotations

from typing import Any

from tests.system.agents.lines import parse_line as parse_line_as_we_do

try:
    from line_protocol_parser import parse_line as parse_line_as_others_do
except ImportError:
    parse_line_as_others_do = None


def parse_line(line: str) -> dict[str, Any]:
    """Its ``measurement``, ``tags``, ``fields`` and ``time``; raises an error for no such line."""
    point = parse_line_as_we_do(line)
    found = {
        "measurement": point.measurement,
        "tags": point.tags,
        "fields": {name: field.value for name, field in point.fields.items()},
        "time": point.time,
    }
    if parse_line_as_others_do is not None:
        assert found == parse_line_as_others_do(line)
    return found
