"""A writer that never uses what it worked out before, to hold the other one against."""

from __future__ import annotations

from typing import Any

from domstats.output.line_protocol import LineProtocol


class KeyByKey(LineProtocol):
    """Writes each domain as if its keys and texts had never been seen before."""

    def _recall(self, *_: Any) -> None:
        return None
