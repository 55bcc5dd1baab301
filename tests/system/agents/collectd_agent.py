"""collectd, with what it reads written to files that a test can read back."""

from pathlib import Path
from typing import NamedTuple, Optional

from tests.system.agents.program import Program

TYPES = "/usr/share/collectd/types.db"
DATE = len("-2026-01-31")

CONFIGURATION = """\
Hostname "collectd"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "{types}"
Interval {interval}
CollectInternalStats false

LoadPlugin logfile
<Plugin logfile>
  LogLevel "info"
  File "stdout"
  Timestamp true
  PrintSeverity true
</Plugin>

LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>

{plugins}
"""


class Row(NamedTuple):
    """One value list: when it was dispatched, and a value for each data source of its type."""

    time: float
    values: tuple[float, ...]


#: That of a service: the Python that collectd embeds finds its modules by PATH, and another one
#: that comes first there has no libvirt.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Collectd(Program):
    """``plugins`` is the part of the configuration under test, written by the test.

    ``mode`` is ``-f`` to run until it is stopped, ``-T`` to test the configuration and end.
    """

    def __init__(
        self,
        folder: Path,
        plugins: str,
        interval: float = 1.0,
        mode: str = "-f",
        user: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "collectd.conf"
        text = CONFIGURATION.format(folder=folder, types=TYPES, interval=interval, plugins=plugins)
        configuration.write_text(text)
        command = ["collectd", mode, "-C", str(configuration)]
        super().__init__(folder, command, _ENVIRONMENT, user)

    def hosts(self) -> set[str]:
        """The host part of every identifier so far."""
        return {path.name for path in self._csv.glob("*")}

    def series(self, host: Optional[str] = None) -> dict[str, list[Row]]:
        """Everything dispatched so far by identifier (``host/plugin-instance/type-instance``).

        Limited to one host if that is given.
        """
        found: dict[str, list[Row]] = {}
        for path in sorted(self._csv.glob("*/*/*")):
            name = str(path.relative_to(self._csv))[:-DATE]
            if host is None or path.parts[-3] == host:
                found.setdefault(name, []).extend(_rows(path))
        return found

    def has_rounds(self, count: int) -> bool:
        """Whether something was dispatched so many times."""
        return max(map(len, self.series().values()), default=0) >= count

    @property
    def _csv(self) -> Path:
        return self.folder / "csv"


def _rows(path: Path) -> list[Row]:
    """The complete lines of a file; the last may be half written."""
    lines = path.read_text().split("\n")[1:-1]
    cells = [line.split(",") for line in lines]
    return [Row(float(time), tuple(map(float, values))) for time, *values in cells]
