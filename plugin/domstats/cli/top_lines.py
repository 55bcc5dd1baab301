"""The lines of ``domstats top``: each hypervisor's, the table's, a domain's page.

Pure: rows in, texts of a given width out; all foreign text is made harmless here. Colour only says
again what the words say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Callable, NamedTuple, Optional

from ..model import DomainSample
from ..rates import DiskRates, DomainRates, NicRates, VcpuRates, number, sum_of_known
from ..shown import one_line
from .cells import bytes_text, cropped, cut, left, right, wrapped
from .top_figures import Host, Row, latency

_UNKNOWN = "-"
_BARS = "▁▂▃▄▅▆▇█"
#: Cells of a name.
_LEAST_NAME, _MOST_NAME = 13, 48
#: Lines of an error.
_ERROR_LINES = 3


class Column(NamedTuple):
    """A column of the table.

    :param order: by what one sorts to see its greatest first; empty for none.
    :param rank: the greater, the earlier it is left out where it is narrow.
    """

    title: str
    width: int
    cell: Callable[[Row], str]
    order: str = ""
    rank: int = 0


#: Units of time: each with its size in seconds, and up to where it is used.
_UNITS = (
    ("ms", 0.001, 0.9995),
    ("s", 1.0, 99.5),
    ("m", 60.0, 5970.0),
    ("h", 3600.0, 172_800.0),
    ("d", 86_400.0, 86_356_800.0),
)


def _percent(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:.1f}" if value < 999.95 else f"{value:.0f}"


def _rate(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else bytes_text(value, short=True)


def _memory(row: Row) -> str:
    if row.memory is None:
        return _UNKNOWN
    return bytes_text(row.memory, short=True) + ("?" if row.is_stale else "")


def duration(seconds: Optional[float]) -> str:
    """``0.4ms``, ``12ms``, ``1.5s``, ``42s``, ``12m``, ``3h``, ``2d``, ``7y``."""
    if seconds is None:
        return _UNKNOWN
    for unit, size, until in _UNITS:
        if seconds < until:
            amount = seconds / size
            return f"{amount:.{int(amount < 9.95 and size <= 1)}f}{unit}"
    return f"{seconds / 31_557_600:.0f}y"


def _state(row: Row) -> str:
    return row.state if row.hung_s is None else f"HUNG {duration(row.hung_s)}"


def spark(history: Sequence[float], width: int) -> str:
    """The latest values as bars, the highest of them filling its cell."""
    shown = history[-width:]
    most = max(shown, default=0)
    if most <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(7, int(8 * value / most))] for value in shown)


COLUMNS: tuple[Column, ...] = (
    Column("State", 9, _state),
    Column("Cpu %", 6, lambda row: _percent(row.cpu), "CPU"),
    Column("", 10, lambda row: spark(row.history, 10), rank=5),
    Column("Steal", 6, lambda row: _percent(row.steal), "steal", rank=1),
    Column("Press", 5, lambda row: _percent(row.pressure), "pressure", rank=2),
    Column("Memory", 7, _memory, "memory"),
    Column("Age", 5, lambda row: duration(row.memory_age), rank=4),
    Column("Read/s", 6, lambda row: _rate(row.read), "disk"),
    Column("Writ/s", 6, lambda row: _rate(row.written), "disk"),
    Column("Laten", 6, lambda row: duration(row.latency), "latency"),
    Column("Recv/s", 6, lambda row: _rate(row.received), "network"),
    Column("Sent/s", 6, lambda row: _rate(row.sent), "network"),
)
#: What stands at the left of its column.
_LEFT = ("State", "")


class Table:
    """The table in a width.

    :param several: whether there are several hypervisors, so that each row names its own.
    """

    def __init__(self, width: int, several: bool) -> None:
        self._width = width
        columns = [*COLUMNS]
        if several:
            columns.insert(0, Column("Host", 14, lambda row: cut(one_line(row.uri), 14)))
        while columns and self._room(columns) < _LEAST_NAME and any(each.rank for each in columns):
            columns.remove(max(columns, key=lambda each: each.rank))
        self._columns = columns
        self._name = max(6, min(_MOST_NAME, self._room(columns)))

    def _room(self, columns: Iterable[Column]) -> int:
        return self._width - sum(1 + column.width for column in columns)

    def title(self, by: str) -> str:
        """The titles; that by which the domains are sorted in capitals."""
        titles = [
            column.title.upper() if column.order == by else column.title for column in self._columns
        ]
        return self._line("DOMAIN" if by == "name" else "Domain", titles)

    def line(self, row: Row) -> str:
        name = cut(one_line(row.name), self._name)
        return self._line(name, [column.cell(row) for column in self._columns])

    def _line(self, name: str, cells: Sequence[str]) -> str:
        aligned = [left(name, self._name)]
        for column, cell in zip(self._columns, cells):
            place = left if column.title in (*_LEFT, "Host") else right
            aligned.append(place(cut(cell, column.width), column.width))
        return left(" ".join(aligned), self._width)


def host_lines(host: Host, width: int) -> list[str]:
    """A hypervisor: why it cannot be asked, or what is wrong there and what there is."""
    uri = cut(one_line(host.uri), max(20, width // 3))
    if host.error:
        head = f"{host.uri}: "
        error = host.error[len(head) :] if host.error.startswith(head) else host.error
        return wrapped(f"{uri}: {one_line(error)}", width, 2)[:_ERROR_LINES]
    cpus = f" of {100 * host.cpus}" if host.cpus else ""
    vcpus = f"{host.vcpus} vCPUs on {host.cpus}" if host.cpus else f"{host.vcpus} vCPUs"
    parts = [
        f"{host.running} run",
        f"CPU {_percent(host.cpu)}{cpus} %",
        vcpus,
        f"mem {bytes_text(host.allotted, short=True)}",
        f"{host.duration_s:.2f} s",
    ]
    wrong = [
        text
        for count, text in (
            (host.hung, f"{host.hung} HUNG"),
            (host.stuck_calls, f"{host.stuck_calls} STUCK"),
            (host.silent_storage, f"{host.silent_storage} SILENT STORAGE"),
        )
        if count
    ]
    return [cropped(", ".join([uri, *wrong, *parts]), width)]


# --- A domain's page ----------------------------------------------------------------------------


def page(row: Row, domain: DomainSample, rates: DomainRates, messages: Iterable[str]) -> list[str]:
    """Everything about one domain; its lines may be longer than a screen is wide."""
    lines = [f"{one_line(row.name)}   {_state(row)}", f"{row.uuid}   {one_line(row.uri)}"]
    if row.reason:
        lines.append(one_line(f"does not answer everything: {row.reason}", 400))
    if domain.missing:
        lines.append(f"missing: {', '.join(sorted(domain.missing))}")
    lines += ["", *_cpu_lines(rates, domain.beside or {}), "", *_memory_lines(row, domain)]
    lines += ["", *_disk_lines(domain, rates.disks)]
    lines += ["", *_nic_lines(domain, rates.nics)]
    if domain.labels:
        labels = (f"  {one_line(f'{key}: {text}', 200)}" for key, text in domain.labels.items())
        lines += ["", "Labels", *labels]
    about = [one_line(text, 300) for text in messages if row.name in text]
    if about:
        lines += ["", "What happened, the latest last", *(f"  {text}" for text in about)]
    return lines


def _cpu_lines(rates: DomainRates, beside: Mapping[str, float]) -> Iterator[str]:
    yield (
        f"CPU  {_percent(rates.cpu_percent)} % of one CPU,"
        f" {_percent(rates.cpu_percent_of_vcpus)} % of its vCPUs,"
        f" {_percent(rates.cpu_percent_of_host)} % of the host;"
        f" polling for halted vCPUs {_percent(rates.halt_poll_percent)} %"
    )
    if beside:
        waits = ", ".join(
            f"{resource} {_percent(beside.get(f'pressure.{resource}.some_avg10'))}"
            for resource in ("cpu", "io", "memory")
        )
        yield f"Pressure, % of the last 10 s in which something of it waited: {waits}"
    if rates.vcpus:
        yield f"  {'vCPU':>5} {'CPU %':>7} {'Steal %':>8}"
    for vcpu in rates.vcpus:
        yield _vcpu_line(vcpu)


def _vcpu_line(vcpu: VcpuRates) -> str:
    return f"  {vcpu.number:>5} {_percent(vcpu.percent):>7} {_percent(vcpu.steal_percent):>8}"


def _memory_lines(row: Row, domain: DomainSample) -> Iterator[str]:
    has, most, rss = (
        number(domain.stats, f"balloon.{key}") for key in ("current", "maximum", "rss")
    )
    kib = [
        _UNKNOWN if each is None else bytes_text(1024 * each, False)
        for each in (has, most, rss)
    ]
    age = (
        "the guest does not say how old its figures are"
        if row.memory_age is None
        else f"figures of {duration(row.memory_age)} ago{', STALE' if row.is_stale else ''}"
    )
    used = _UNKNOWN if row.memory is None else bytes_text(row.memory, False)
    yield f"Memory  {used} in use, has {kib[0]} of {kib[1]}, {kib[2]} on the host; {age}"


def _disk_lines(domain: DomainSample, disks: Sequence[DiskRates]) -> Iterator[str]:
    yield (
        f"{'Disk':<12} {'Read/s':>8} {'Writ/s':>8} {'Reads':>6} {'Writes':>6} {'Queue':>6}"
        f" {'Laten':>6} {'R':>6} {'W':>6} {'F':>6}"
    )
    for disk in disks:
        path = domain.devices.sources.get(disk.name, "")
        yield (
            f"{cut(one_line(disk.name), 12):<12} {_rate(disk.read_bytes):>8}"
            f" {_rate(disk.written_bytes):>8} {_percent(disk.reads):>6}"
            f" {_percent(disk.writes):>6} {_percent(disk.queue):>6} {duration(latency([disk])):>6}"
            f" {duration(disk.read_latency_s):>6} {duration(disk.write_latency_s):>6}"
            f" {duration(disk.flush_latency_s):>6}"
        )
        if path:
            yield f"    {one_line(path, 300)}"


def _nic_lines(domain: DomainSample, nics: Sequence[NicRates]) -> Iterator[str]:
    yield (
        f"{'NIC':<16} {'Recv/s':>8} {'Sent/s':>8} {'Pkts in':>8} {'out':>8} {'Errors':>7}"
        f" {'Drops':>7}  Address"
    )
    for nic in nics:
        errors = sum_of_known((nic.received_errors, nic.sent_errors))
        drops = sum_of_known((nic.received_drops, nic.sent_drops))
        yield (
            f"{cut(one_line(nic.name), 16):<16} {_rate(nic.received_bytes):>8}"
            f" {_rate(nic.sent_bytes):>8} {_percent(nic.received_packets):>8}"
            f" {_percent(nic.sent_packets):>8} {_percent(errors):>7} {_percent(drops):>7}"
            f"  {one_line(domain.devices.addresses.get(nic.name, ''), 40)}"
        )
