"""What an agent with domstats delivered, round by round, in one form for both agents.

``watching("Telegraf" or "collectd", ...)`` starts the agent with domstats in it. What it wrote is
read back into rounds: which guest gave what, and what the round said of itself. Nothing here
judges.
"""

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn, Optional

from tests.system.agents.collectd_agent import Collectd
from tests.system.agents.notifications import Notice, Notifications
from tests.system.agents.program import Absent
from tests.system.agents.telegraf_agent import Telegraf
from tests.system.configurations import DOMSTATS, MODULE_PATHS
from tests.system.waiting import wait_for

BOTH = ("Telegraf", "collectd")
INSTALL = "as root, tests/system/install test"

#: Aspects of a guest. What can be known of one whose monitor does not answer, what its monitor
#: tells without a look at its disks' files, and everything.
FREE = frozenset({"state", "cpu", "vcpu", "net"})
WITHOUT_SIZES = FREE | {"balloon", "block"}
FULL = WITHOUT_SIZES | {"sizes"}

#: For rounds of a second the soft deadline is a quarter of one, in which a healthy guest may fail
#: to answer on a machine that is busy with other tests. Of use where the watches name culprits.
PATIENT: dict[str, Any] = {"soft_deadline": 0.4}


class Seen(NamedTuple):
    """A round: its timestamp, the aspects delivered of each guest, what it said of itself.

    ``report`` goes by the fields of Telegraf's ``domstats_round``; ``responsive`` has the guests
    whose standing was reported.
    """

    time: float
    guests: dict[str, set[str]]
    report: dict[str, float]
    responsive: dict[str, bool]


#: Values by series, in the order of delivery: (time, value).
Counters = dict[str, list[tuple[float, float]]]


class Watched:
    """An agent with domstats in it."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent

    @property
    def log(self) -> str:
        text: str = self.agent.log
        return text

    def wait_for_rounds(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many more rounds have been delivered."""
        goal = self.count() + count
        wait_for(f"{count} more rounds", lambda: self.count() >= goal, seconds)

    def wait_for_round_after(self, moment: float, seconds: float = 60.0) -> None:
        """Wait until a round that began after this moment has been delivered."""
        wait_for("round", lambda: self.latest() > moment, seconds)

    def count(self) -> int:
        """Rounds delivered so far."""
        raise NotImplementedError

    def latest(self) -> float:
        """The timestamp of the last round delivered, 0 if there is none."""
        raise NotImplementedError

    def rounds(self) -> list[Seen]:
        """The rounds delivered so far, in the order of their timestamps."""
        raise NotImplementedError

    def counters(self) -> Counters:
        """Values that must never go back."""
        raise NotImplementedError

    def sampling_pid(self) -> int:
        """The process that samples."""
        raise NotImplementedError


# --- Telegraf -----------------------------------------------------------------------------------

#: Measurement, and a field that tells that the aspect is whole.
_MEASUREMENTS = {
    "libvirt_state": ("state", "state"),
    "libvirt_cpu": ("cpu", "time"),
    "libvirt_vcpu": ("vcpu", "time"),
    "libvirt_net": ("net", "rx_bytes"),
    "libvirt_balloon": ("balloon", "rss"),
    "libvirt_block": ("block", "rd_reqs"),
}
#: The same, of another aspect of the measurement.
_SIZES = {"libvirt_block": ("sizes", "capacity")}
_COUNTING = {
    "libvirt_cpu": ("time", "user", "system"),
    "libvirt_vcpu": ("time",),
    "libvirt_net": ("rx_bytes", "tx_bytes"),
    "libvirt_block": ("rd_bytes", "wr_bytes"),
}


class WatchedTelegraf(Watched):
    def count(self) -> int:
        path = self.agent.folder / "lines"
        return path.read_bytes().count(b"domstats_round,") if path.exists() else 0

    def latest(self) -> float:
        path = self.agent.folder / "lines"
        _, found, rest = path.read_bytes().rpartition(b"domstats_round,")
        line, ended, _ = rest.partition(b"\n")
        return int(line.rpartition(b" ")[2]) / 1e9 if found and ended else 0.0

    def rounds(self) -> list[Seen]:
        found: dict[int, Seen] = {}
        for point in self.agent.points():
            seen = found.setdefault(point.time, Seen(point.time / 1e9, defaultdict(set), {}, {}))
            name = point.tags.get("domain_name", "")
            if point.measurement == "domstats_round":
                for field, (kind, value) in point.fields.items():
                    if kind in "iuf":
                        seen.report[field] = float(value)
            elif point.measurement == "domstats_domain":
                seen.responsive[name] = bool(point.fields["responsive"].value)
            for aspects in (_MEASUREMENTS, _SIZES):
                aspect, field = aspects.get(point.measurement, ("", ""))
                if field in point.fields:
                    seen.guests[name].add(aspect)
        return [found[time] for time in sorted(found) if found[time].report]

    def counters(self) -> Counters:
        found: Counters = defaultdict(list)
        for point in self.agent.points():
            tags = ",".join(f"{key}={value}" for key, value in sorted(point.tags.items()))
            for field in _COUNTING.get(point.measurement, ()):
                if field in point.fields:
                    value = float(point.fields[field].value)
                    found[f"{point.measurement},{tags} {field}"].append((point.time / 1e9, value))
        return found

    def sampling_pid(self) -> int:
        [child] = wait_for("child of Telegraf", lambda: children(self.agent.pid))
        return child


def telegraf_toml(folder: Path, uri: str, **options: Any) -> Path:
    """A file of settings for ``domstats telegraf``."""
    path = folder / "domstats.toml"
    lines = ["[[inputs.libvirt]]", f'libvirt_uri = "{uri}"']
    lines += [f"{key} = {_toml(value)}" for key, value in options.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, (bool, int, float)) else f'"{value}"'


def telegraf_command(settings: Path) -> list[str]:
    """What Telegraf runs."""
    return [*DOMSTATS, "telegraf", "--config", str(settings)]


def telegraf_execd(folder: Path, uri: str, **options: Any) -> str:
    """The part of Telegraf's configuration that has domstats in it; it writes one file."""
    settings = telegraf_toml(folder, uri, **options)
    command = ", ".join(f'"{word}"' for word in telegraf_command(settings))
    return f"""\
[[inputs.execd]]
  command = [{command}]
  signal = "STDIN"
  restart_delay = "1s"
  data_format = "influx"
"""


# --- collectd -----------------------------------------------------------------------------------

_TYPES = {
    "domain_state": "state",
    "virt_cpu_total": "cpu",
    "virt_vcpu": "vcpu",
    "if_octets": "net",
    "memory-rss": "balloon",
    "disk_octets": "block",
    "disk_capacity": "sizes",
}
_REPORTS = {
    "duration-round": "duration_s",
    "count-calls": "calls",
    "count-domains": "domains",
    "count-domains_fresh": "fresh",
    "count-domains_partial": "partial",
    "count-domains_unresponsive": "unresponsive",
    "count-stuck_calls": "stuck_calls",
    "count-silent_storage": "silent_storage",
    "count-unwatched_storage": "unwatched_storage",
    "bool-connected": "connected",
}
_EXTRA = "cpu_util disk disk_capacity disk_physical domain_state memory pcpu vcpu"


class WatchedCollectd(Watched):
    def count(self) -> int:
        return sum(text.count("\n") - 1 for text in self._round_files())

    def latest(self) -> float:
        lines = [line for text in self._round_files() for line in text.split("\n")[1:-1]]
        return float(lines[-1].split(",")[0]) if lines else 0.0

    def _round_files(self) -> list[str]:
        files = self.agent.folder.glob("csv/*/domstats/duration-round-*")
        return [path.read_text() for path in sorted(files)]

    def rounds(self) -> list[Seen]:
        found: dict[int, Seen] = {}

        def seen_at(time: float) -> Seen:
            return found.setdefault(round(time * 1000), Seen(time, defaultdict(set), {}, {}))

        for identifier, rows in self.agent.series().items():
            host, plugin, kind = identifier.split("/", 2)
            if plugin == "domstats" and kind in _REPORTS:
                for row in rows:
                    seen_at(row.time).report[_REPORTS[kind]] = row.values[0]
            elif plugin == "domstats" and kind == "bool-responsive":
                for row in rows:
                    seen_at(row.time).responsive[host] = bool(row.values[0])
            elif plugin == "virt":
                aspect = _TYPES.get(kind) or _TYPES.get(kind.split("-", 1)[0])
                for row in rows if aspect else ():
                    seen_at(row.time).guests[host].add(str(aspect))
        return [found[time] for time in sorted(found) if found[time].report]

    def counters(self) -> Counters:
        found: Counters = {}
        for identifier, rows in self.agent.series().items():
            if identifier.split("/", 2)[2].startswith(
                ("virt_cpu_total", "virt_vcpu", "ps_cputime", "if_octets", "disk_octets")
            ):
                for number in range(len(rows[0].values)):
                    series = [(row.time, row.values[number]) for row in rows]
                    found[f"{identifier} {number}"] = series
        return found

    def notified(self) -> list[Notice]:
        """What collectd was notified of."""
        return Notifications(self.agent.folder).received("")

    def sampling_pid(self) -> int:
        pid: int = self.agent.pid
        return pid


def collectd_plugin(folder: Path, uri: str, **options: Any) -> str:
    """The part of collectd's configuration that has domstats in it; it writes one file."""
    lines = "\n".join(
        f"    {''.join(word.capitalize() for word in key.split('_'))} {_toml(value)}"
        for key, value in options.items()
    )
    plugins = f"""\
LoadPlugin python
<Plugin python>
  {MODULE_PATHS}
  Import "domstats.collectd_plugin"
  <Module "domstats.collectd_plugin">
    Connection "{uri}"
    ExtraStats "{_EXTRA}"
{lines}
  </Module>
</Plugin>
"""
    return Notifications(folder).configuration(plugins)


# --- both ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def watching(
    name: str,
    folder: Path,
    uri: str,
    missing: Callable[[str, str], NoReturn],
    interval: float = 1.0,
    user: str = "",
    **options: Any,
) -> Iterator[Any]:
    """Start an agent with domstats in it, as ``user``; ``options`` go by Telegraf's names."""
    try:
        if name == "Telegraf":
            plugins = telegraf_execd(folder, uri, **options)
            with Telegraf(folder, plugins, interval, user=user) as telegraf:
                prefer_session(telegraf.pid)
                yield WatchedTelegraf(telegraf)
        else:
            plugins = collectd_plugin(folder, uri, **options)
            with Collectd(folder, plugins, interval, user=user) as collectd:
                prefer_session(collectd.pid)
                yield WatchedCollectd(collectd)
    except Absent as absent:
        missing(str(absent), INSTALL)


def prefer(bed: Any) -> None:
    """Have a bed's guests and libvirtd run before whatever else this machine is busy with.

    What hangs is tested, not what is slow. Where it is not allowed, nothing changes.
    """
    groups = Path("/sys/fs/cgroup")
    for name, weight in (("cpu.shares", "65536"), ("cpu.weight", "10000")):
        place = f"{bed.folder.name}.partition/{name}"
        for path in (*groups.glob(place), *groups.glob(f"*/{place}")):
            with contextlib.suppress(OSError):
                path.write_text(weight)
    prefer_session(bed.libvirtd.pid)


def prefer_session(pid: int) -> None:
    """The same for a program that leads a session, and for what it starts."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-10")


def children(pid: int) -> list[int]:
    """The processes that any thread of ``pid`` started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def within(rounds: Iterable[Seen], since: float, until: float = float("inf")) -> list[Seen]:
    """The rounds that began in this time."""
    return [seen for seen in rounds if since <= seen.time < until]


def lacking(rounds: Iterable[Seen], guests: Iterable[str], aspects: frozenset[str]) -> list[str]:
    """What was not delivered, in words: empty if of each guest all aspects were in each round."""
    names = list(guests)
    return [
        f"round at {seen.time:.3f}: {name} lacks {', '.join(sorted(lacks))}"
        for seen in rounds
        for name in names
        for lacks in [aspects - seen.guests.get(name, set())]
        if lacks
    ]


def skipped(rounds: list[Seen], interval: float = 1.0) -> list[str]:
    """Between which rounds an interval passed in which none began, in words."""
    return [
        f"no round between {before.time:.3f} and {after.time:.3f}"
        for before, after in zip(rounds, rounds[1:])
        if round((after.time - before.time) / interval) > 1
    ]


def going_back(counters: Counters) -> list[str]:
    """Series in which a time is not later than the one before, or a value smaller."""
    return [
        f"{name}: {before} then {after}"
        for name, values in counters.items()
        for before, after in zip(values, values[1:])
        if after[0] <= before[0] or after[1] < before[1]
    ]


def median_ms(rounds: Iterable[Seen]) -> Optional[int]:
    """What the rounds' duration was, in the median."""
    took = [seen.report["duration_s"] for seen in rounds]
    return round(1000 * statistics.median(took)) if took else None
