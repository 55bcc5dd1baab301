"""The real agents and backends, each started with a given configuration and ended again.

    with Telegraf(folder, TELEGRAF_INPUTS) as telegraf:
        wait_for("three rounds", lambda: len(telegraf.times("web-1")) >= 3)

All of them end with the process that started them, even if that is killed. Nothing here knows
pytest or the package under test.
"""

from tests.system.agents.collectd_agent import Collectd
from tests.system.agents.graphite_backend import Graphite
from tests.system.agents.influxdb_backend import InfluxDB
from tests.system.agents.prometheus_backend import Prometheus
from tests.system.agents.telegraf_agent import Telegraf

__all__ = ["Collectd", "Graphite", "InfluxDB", "Prometheus", "Telegraf"]
