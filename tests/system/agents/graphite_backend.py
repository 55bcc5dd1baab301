"""Graphite: carbon-cache, which takes values as lines, and graphite-web, which shows them."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from tests.system.agents.program import Absent, Program, free_port
from tests.system.waiting import wait_for

CARBON = """\
[cache]
STORAGE_DIR = {folder}
LOCAL_DATA_DIR = {folder}/whisper
LOG_DIR = {folder}/log
PID_DIR = {folder}
CONF_DIR = {folder}
USER =
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
ENABLE_UDP_LISTENER = False
ENABLE_TAGS = False
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = 5000
"""

SCHEMAS = """\
[everything]
pattern = .*
retentions = 1s:1h
"""

# The settings of graphite-web, and a server around it: run as a script of its own, since both are
# installed for the distribution's interpreter only.
PYTHON = "/usr/bin/python3"
ATTEMPTS = 4
WEB = """\
import os, sys
sys.path.insert(0, {folder!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "web_settings"
import django
from django.core.management import call_command
django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)
from wsgiref.simple_server import make_server
from django.core.wsgi import get_wsgi_application
make_server("127.0.0.1", {port}, get_wsgi_application()).serve_forever()
"""

SETTINGS = """\
from graphite.settings import *
SECRET_KEY = "for this test alone"
ALLOWED_HOSTS = ["*"]
WHISPER_DIR = {folder!r} + "/whisper"
STANDARD_DIRS = [WHISPER_DIR]
STORAGE_DIR = INDEX_FILE_DIR = {folder!r}
INDEX_FILE = {folder!r} + "/index"
LOG_DIR = {folder!r} + "/log"
CARBONLINK_HOSTS = ["127.0.0.1:{query}"]
DATABASE = {folder!r} + "/web.db"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}}}}
"""


class Graphite:
    """Takes values at ``port`` and shows them by ``render``, from construction until ``stop``."""

    def __init__(self, folder: Path) -> None:
        if subprocess.run([PYTHON, "-c", "import graphite"], check=False).returncode != 0:
            raise Absent("graphite-web")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "whisper").mkdir()
        (folder / "log").mkdir()
        self.port, web, query = free_port(), free_port(), free_port()
        self._url = f"http://127.0.0.1:{web}"
        values = {"folder": str(folder), "line": self.port, "pickle": free_port(), "query": query}
        (folder / "carbon.conf").write_text(CARBON.format(**values))
        (folder / "storage-schemas.conf").write_text(SCHEMAS)
        (folder / "web_settings.py").write_text(SETTINGS.format(**values))
        (folder / "web.py").write_text(WEB.format(folder=str(folder), port=web))
        carbon = ["carbon-cache", f"--config={folder}/carbon.conf", "--nodaemon", "start"]
        self._carbon = Program(folder, carbon)
        self._web = Program(folder, [PYTHON, str(folder / "web.py")])
        wait_for("carbon at its port", self._takes_values)
        wait_for("answer of graphite-web", lambda: self.find("*") is not None)

    def __enter__(self) -> "Graphite":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._web.stop()
        self._carbon.stop()

    @property
    def log(self) -> str:
        return self._carbon.log + self._web.log

    def _takes_values(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionError:
            return False
        return True

    def find(self, pattern: str) -> Optional[list[str]]:
        """The nodes that match ``pattern``, None while it does not answer."""
        answer = self._get("metrics/find", query=pattern)
        return None if answer is None else [node["id"] for node in answer]

    def render(self, target: str, seconds: int = 600) -> dict[str, list[float]]:
        """The known values of every series that ``target`` matches, in the order of their times.

        :param seconds: how far to look back.
        """
        shown = self._render(target=target, format="json", **{"from": f"-{seconds}s"})
        return {
            series["target"]: [value for value, _time in series["datapoints"] if value is not None]
            for series in shown or []
        }

    def picture(self, targets: Sequence[str], seconds: int, **look: str) -> bytes:
        """A graph; ``look`` are parameters of graphite-web's renderer."""
        parameters = [*(("target", target) for target in targets), ("from", f"-{seconds}s")]
        address = f"{self._url}/render?{urllib.parse.urlencode([*parameters, *look.items()])}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            image: bytes = answer.read()
        return image

    def _render(self, **parameters: str) -> Any:
        # A file that carbon is making just now is an error to graphite-web.
        for _ in range(ATTEMPTS - 1):
            try:
                return self._get("render", **parameters)
            except RuntimeError:
                time.sleep(0.2)
        return self._get("render", **parameters)

    def _get(self, page: str, **parameters: str) -> Any:
        address = f"{self._url}/{page}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{address}: {error}: {error.read()[:2000]!r}") from error
        except urllib.error.URLError:
            return None
