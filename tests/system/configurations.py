"""The parts of the agents' configurations that the tests share, ours and those of the peers."""

import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What is run is what lies here, with the libraries of the interpreter that runs the tests; or what
#: the system's packages have installed.
INSTALLED = bool(os.environ.get("DOMSTATS_INSTALLED"))
DOMSTATS = ["/usr/bin/domstats"] if INSTALLED else [sys.executable, "-m", "domstats"]
#: Where collectd finds it. What is installed, it finds by itself.
MODULE_PATHS = "" if INSTALLED else f'''\
ModulePath "{sysconfig.get_paths()["purelib"]}"
ModulePath "{ROOT / "plugin"}"'''

EXTRA_STATS = (
    "disk vcpu memory domain_state pcpu cpu_util disk_physical disk_allocation disk_capacity"
)
GROUPS = (
    '["state", "cpu_total", "balloon", "vcpu", "interface", "block", "perf", "iothread",'
    ' "memory", "dirtyrate"]'
)


def libvirt_table(uri: str, *options: str) -> str:
    """An ``[[inputs.libvirt]]`` table, as Telegraf's own plugin and ours take it."""
    return "\n  ".join(["[[inputs.libvirt]]", f'libvirt_uri = "{uri}"', *options]) + "\n"


def execd(settings: Path, *options: str) -> str:
    """Ours as a child of Telegraf.

    :param settings: the path of ``domstats.toml``.
    """
    command = ", ".join(f'"{word}"' for word in [*DOMSTATS, "telegraf", "--config", str(settings)])
    lines = [
        "[[inputs.execd]]",
        f"command = [{command}]",
        'signal = "STDIN"',
        'restart_delay = "1s"',
        'data_format = "influx"',
        *options,
    ]
    return "\n  ".join(lines) + "\n"


def python_plugin(*blocks: str) -> str:
    """Ours in collectd, with a ``<Module>`` block for each of ``blocks``."""
    modules = "\n".join(
        f'<Module "domstats.collectd_plugin">\n{each}\n</Module>' for each in blocks
    )
    return f"""\
LoadPlugin python
<Plugin python>
{MODULE_PATHS}
Import "domstats.collectd_plugin"
{modules}
</Plugin>
"""


def virt_plugin(options: str) -> str:
    """collectd's own plugin."""
    return f"LoadPlugin virt\n<Plugin virt>\n{options}\n</Plugin>\n"


def write_graphite(port: int, *options: str) -> str:
    """collectd's output to a carbon of this host."""
    lines = "\n    ".join(options)
    return f"""\
LoadPlugin write_graphite
<Plugin write_graphite>
  <Node "here">
    Host "127.0.0.1"
    Port "{port}"
    Protocol "tcp"
    {lines}
  </Node>
</Plugin>
"""


def influxdb_output(url: str, database: str) -> str:
    """Telegraf's output to a database that is there."""
    return f"""
[[outputs.influxdb]]
  urls = ["{url}"]
  database = "{database}"
  skip_database_creation = true
"""
