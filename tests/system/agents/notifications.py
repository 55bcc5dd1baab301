"""What a collectd was notified of, written down by a module of its Python plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_LISTENER = """\
import json
import collectd

NAMES = {collectd.NOTIF_FAILURE: "failure", collectd.NOTIF_OKAY: "okay"}

def write_down(told):
    with open(PATH, "a") as said:
        row = (told.plugin, told.plugin_instance, told.type, told.type_instance, told.host)
        severity = NAMES.get(told.severity, "warning")
        said.write(json.dumps([*row, severity, told.message]) + "\\n")

collectd.register_notification(write_down)
"""


class Notice(NamedTuple):
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    host: str
    severity: str
    message: str


class Notifications:
    """``configuration(plugins)`` has collectd write them into ``folder``; ``received()`` reads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._written = folder / "notifications"

    def configuration(self, plugins: str) -> str:
        """The part of collectd's configuration, with the module in it."""
        text = _LISTENER.replace("PATH", repr(str(self._written)))
        (self._folder / "listener.py").write_text(text)
        module = f'ModulePath "{self._folder}"\nImport "listener"\n</Plugin>'
        if "LoadPlugin python" in plugins:
            return plugins.replace("</Plugin>", module, 1)
        return f"{plugins}\nLoadPlugin python\n<Plugin python>\n{module}\n"

    def received(self, type: str = "domain_state") -> list[Notice]:
        """All of one type so far, or of any if it is empty, in their order."""
        lines = self._written.read_text().splitlines() if self._written.exists() else []
        notices = [Notice(*json.loads(line)) for line in lines]
        return [notice for notice in notices if type in ("", notice.type)]
