"""What is sent of rates: one table for line protocol, for collectd and for docs/metrics.md.

Data. What each number is ``rates`` says and works out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Optional

import msgspec

if TYPE_CHECKING:
    from ..rates import DomainRates


class RateRow(msgspec.Struct, frozen=True):
    """A field of a measurement, and the value list that is the same.

    :param source: the attribute of ``rates``' struct.
    :param field: its name in line protocol.
    :param type: collectd's, of the stock types.db; empty for what collectd works out by itself, of
        the counters that plugin virt sends.
    :param instance: the type instance; ``{device}`` is the vCPU's number, the disk or the NIC.
    """

    source: str
    field: str
    unit: str
    description: str
    type: str = ""
    instance: str = ""


class RateTable(msgspec.Struct, frozen=True):
    """A measurement.

    :param each: the attribute of ``DomainRates`` with one struct for each device; empty for what
        the domain has once.
    :param tag: the tag that tells devices apart.
    :param name: the attribute of a device's struct that is the tag's value.
    :param key: the key of which each device has one.
    :param group: the stats group of a device, where its XML may give it tags.
    """

    measurement: str
    rows: tuple[RateRow, ...]
    each: str = ""
    tag: str = ""
    name: str = ""
    key: str = ""
    group: str = ""


def _nic_rows() -> Iterator[RateRow]:
    for way in ("received", "sent"):
        for what, unit in (("bytes", "bytes/s"), ("packets", "1/s"), ("errors", "1/s")):
            yield RateRow(f"{way}_{what}", f"{way}_{what}_per_s", unit, f"{what} {way}")
        yield RateRow(f"{way}_drops", f"{way}_drops_per_s", "1/s", f"packets {way} and dropped")


RATE_TABLES: tuple[RateTable, ...] = (
    RateTable(
        "domstats_cpu",
        (
            RateRow("cpu_percent", "percent", "%", "CPU time, of one physical CPU",
                    "gauge", "cpu_percent"),
            RateRow("cpu_percent_of_vcpus", "percent_of_vcpus", "%", "the same, of its vCPUs",
                    "percent", "cpu_of_vcpus"),
            RateRow("cpu_percent_of_host", "percent_of_host", "%",
                    "the same, of the host's physical CPUs", "percent", "cpu_of_host"),
            RateRow("halt_poll_percent", "halt_poll_percent", "%",
                    "of one physical CPU, what KVM spent on polling for halted vCPUs",
                    "gauge", "halt_poll_percent"),
        ),
    ),
    RateTable(
        "domstats_memory",
        (
            RateRow("memory_used", "used", "bytes",
                    "memory that the guest uses: available without usable", "memory", "guest_used"),
            RateRow("memory_age_s", "age_s", "s", "how old the guest's own figures of it are",
                    "duration", "memory_age"),
        ),
    ),
    RateTable(
        "domstats_vcpu",
        (
            RateRow("percent", "percent", "%", "CPU time, of one physical CPU",
                    "percent", "vcpu-{device}"),
            RateRow("steal_percent", "steal_percent", "%",
                    "time in which it was ready to run and had no physical CPU",
                    "percent", "steal-vcpu-{device}"),
        ),
        each="vcpus", tag="vcpu_id", name="number", key="vcpu.<n>.time", group="vcpu",
    ),
    RateTable(
        "domstats_disk",
        (
            RateRow("read_bytes", "read_bytes_per_s", "bytes/s", "read"),
            RateRow("written_bytes", "written_bytes_per_s", "bytes/s", "written"),
            RateRow("reads", "reads_per_s", "1/s", "reads"),
            RateRow("writes", "writes_per_s", "1/s", "writes"),
            RateRow("flushes", "flushes_per_s", "1/s", "flushes"),
            RateRow("read_latency_s", "read_latency_s", "s", "what a read took, on average",
                    "latency", "read-{device}"),
            RateRow("write_latency_s", "write_latency_s", "s", "what a write took, on average",
                    "latency", "write-{device}"),
            RateRow("flush_latency_s", "flush_latency_s", "s", "what a flush took, on average",
                    "latency", "flush-{device}"),
            RateRow("queue", "queue", "1", "requests under way, on average (Little's law)",
                    "queue_length", "{device}"),
        ),
        each="disks", tag="device", name="name", key="block.<n>.name", group="block",
    ),
    RateTable(
        "domstats_nic", tuple(_nic_rows()),
        each="nics", tag="device", name="name", key="net.<n>.name", group="interface",
    ),
)  # fmt: skip


class RateGroup(msgspec.Struct, frozen=True):
    """The rates of a domain, or of one of its devices, that belong together.

    :param device: the vCPU's number, the disk's or the NIC's name; empty for the domain's own.
    :param values: by field; those that are not known are left out.
    """

    table: RateTable
    device: str
    values: tuple[tuple[RateRow, float], ...]


def groups_of(rates: DomainRates) -> Iterator[RateGroup]:
    """What there is to send of a domain."""
    for table in RATE_TABLES:
        sources: tuple[Any, ...] = getattr(rates, table.each) if table.each else (rates,)
        for source in sources:
            known: list[tuple[RateRow, float]] = []
            for row in table.rows:
                value: Optional[float] = getattr(source, row.source)
                if value is not None:
                    known.append((row, value))
            if known:
                device = str(getattr(source, table.name)) if table.name else ""
                yield RateGroup(table, device, tuple(known))


def most_of(keys: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """What a domain with these keys can have at most: by measurement, how many lines and fields."""
    patterns = [_INDEX.sub(".<n>.", key) for key in keys]
    for table in RATE_TABLES:
        devices = patterns.count(table.key) if table.key else 1
        if devices:
            yield table.measurement, devices, devices * len(table.rows)


def most_of_lists(keys: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The same in collectd: by type, how many value lists, each of one value."""
    patterns = [_INDEX.sub(".<n>.", key) for key in keys]
    for table in RATE_TABLES:
        devices = patterns.count(table.key) if table.key else 1
        for row in table.rows:
            if row.type and devices:
                yield row.type, devices


_INDEX = re.compile(r"\.[0-9]+\.")
