"""A Sample as collectd's value lists, under the names of collectd's plugin virt.

A function of samples but for two small memories: each domain's last CPU time, since a percentage
needs two, and its identifier, since that costs more to make than to look up. Both forget a domain
with the sample that does not have it. This module must not know collectd's Python module,
configuration files or libvirt.

Every part of an identifier is valid: ``/`` is replaced as collectd itself does (a leading one is
dropped, others become ``_``), and control characters become ``_``. Beyond 127 bytes of UTF-8,
where collectd cuts silently, a part is cut at a character's boundary and ends in ``~`` and eight
hexadecimal digits that depend on the whole text, so that two long names stay two. Two domains
whose names only differ in what was replaced get the same ending, both that were changed.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import (
    Callable,
    NamedTuple,
    Optional,
)

import msgspec

from . import schema
from .errors import ConfigError
from .model import STATE_RUNNING, DomainSample, Sample, Stats, Status, Value
from .schema import Per, Rule, ValueListRow

PLUGIN = "virt"

#: Bytes that collectd holds of each part of an identifier.
PART_BYTES = 127
#: Bytes that collectd holds of a notification's message.
MESSAGE_BYTES = 255

#: A DERIVE is a signed 64-bit integer in collectd.
DERIVE_MAX = 2**63 - 1

HOSTNAME_FIELDS = ("name", "uuid", "hostname", "metadata")
PLUGIN_INSTANCE_FIELDS = ("name", "uuid", "hostname", "metadata", "none")
INTERFACE_FORMATS = ("name", "address", "number")
BLOCK_DEVICE_FORMATS = ("target", "source")

Wanted = Callable[[str, str], bool]


def _everything(domain_name: str, device: str) -> bool:
    return True


class CollectdOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of ``<Plugin virt>`` say of names and selection.

    :param hostname_format: HostnameFormat, of ``HOSTNAME_FIELDS``.
    :param plugin_instance_format: PluginInstanceFormat, of ``PLUGIN_INSTANCE_FIELDS``; ``none``
        ends it.
    :param hostname: collectd's global Hostname; empty leaves the host of ``hostname`` and of
        host-level value lists to collectd.
    :param metadata_label: which of a domain's labels is its ``metadata``.
    :param interface_format: InterfaceFormat, of ``INTERFACE_FORMATS``.
    :param block_device_format: BlockDeviceFormat, of ``BLOCK_DEVICE_FORMATS``.
    :param block_device_format_basename: BlockDeviceFormatBasename.
    :param wants_block: called with a domain's name and the disk under ``block_device_format``.
    :param wants_interface: called with a domain's name and the NIC under ``interface_format``
        (a number is its digits alone, as in InterfaceDevice).
    :param extra_stats: selectors of ExtraStats, of ``schema.EXTRA_STATS``; others send nothing.
    :param report_round: also tell of the rounds and of domains that hang, as plugin domstats.
    :param round_instance: the plugin instance of the rounds, to tell hypervisors apart.
    """

    hostname_format: tuple[str, ...] = ("name",)
    plugin_instance_format: tuple[str, ...] = ("none",)
    hostname: str = ""
    metadata_label: str = "metadata"
    interface_format: str = "name"
    block_device_format: str = "target"
    block_device_format_basename: bool = False
    wants_block: Wanted = _everything
    wants_interface: Wanted = _everything
    report_block_devices: bool = True
    report_network_interfaces: bool = True
    extra_stats: frozenset[str] = frozenset()
    report_round: bool = True
    round_instance: str = ""

    def __post_init__(self) -> None:
        """Refuse what the writer could not obey.

        :raises ConfigError: for a format that does not exist.
        """
        for option, seen, allowed in (
            ("HostnameFormat", self.hostname_format, HOSTNAME_FIELDS),
            ("PluginInstanceFormat", self.plugin_instance_format, PLUGIN_INSTANCE_FIELDS),
            ("InterfaceFormat", (self.interface_format,), INTERFACE_FORMATS),
            ("BlockDeviceFormat", (self.block_device_format,), BLOCK_DEVICE_FORMATS),
        ):
            for word in seen:
                if word not in allowed:
                    raise ConfigError(f"{option} is {word!r}; allowed are {', '.join(allowed)}")


class ValueList(NamedTuple):
    """What collectd dispatches at once.

    :param host: empty for collectd's own.
    :param values: one for each data source of the type: integers for DERIVE, floats for GAUGE.
    :param time_s: seconds since the epoch.
    """

    host: str
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    values: tuple[float, ...]
    time_s: float


class Notification(NamedTuple):
    """What collectd notifies of.

    :param severity: ``failure`` or ``okay``, as in collectd's NOTIF_FAILURE and NOTIF_OKAY.
    :param time_s: seconds since the epoch.
    """

    severity: str
    message: str
    host: str
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    time_s: float


class _Identity(NamedTuple):
    """Who a domain is for collectd: host and plugin instance."""

    host: str
    plugin_instance: str


class _Entry(NamedTuple):
    """A value list that a domain with certain keys can have.

    :param keys: the keys of its values, without indexes.
    :param fallback: the key for a value of 0, or an empty text.
    :param family: the keys of which one must be above zero.
    """

    row: ValueListRow
    keys: tuple[str, ...]
    fallback: str
    family: tuple[str, ...]


class _Device(NamedTuple):
    """A vCPU, disk, NIC or perf event among a domain's keys, and its value lists.

    :param id: its index in the keys; of a perf event its name.
    :param number: its place among those that there are, from 1.
    """

    id: str
    number: int
    entries: tuple[_Entry, ...]


#: All that a domain with certain keys can send, worked out once for all domains that have them.
_Plan = dict[Per, tuple[_Device, ...]]

#: A row, its type instance, and its values.
_Found = tuple[ValueListRow, str, tuple[float, ...]]

#: Physical CPUs of which an affinity is told at most; a bound for a server's text.
MOST_CPUS = 8192

_NO_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_PART = re.compile(r"[/\x00-\x1f\x7f-\x9f]")
_EVENT_KEY = "perf."
_EVENT_PATTERN = "perf.<event>"


@lru_cache(maxsize=16384)
def valid_part(text: str, ending: bool = False) -> str:
    """A text as one part of an identifier, valid for collectd and its write plugins.

    :param text: any text, a domain's name or a path.
    :param ending: add the ending that tells it from other texts, also if it is short enough.
    """
    whole = text.encode("utf-8", "backslashreplace")
    part = whole.decode("utf-8")
    part = "root" if part == "/" else _NO_PART.sub("_", part[part.startswith("/") :])
    if not ending and len(part.encode("utf-8")) <= PART_BYTES:
        return part
    unique = "~" + hashlib.blake2b(whole, digest_size=4).hexdigest()
    room = PART_BYTES - len(unique)
    return part.encode("utf-8")[:room].decode("utf-8", "ignore") + unique


def _valid_host(text: str, ending: bool = False) -> str:
    """As valid_part; a write plugin makes a folder of it, which must not be ``.`` or ``..``."""
    part = valid_part(text, ending)
    return "_" * len(part) if part in (".", "..") else part


class ValueLists:
    """Translates the samples of one hypervisor.

    :param options: names, selection and ExtraStats.
    """

    def __init__(self, options: CollectdOptions) -> None:
        self._options = options
        self._rows = [
            row
            for row in schema.VALUE_LISTS
            if (not row.selector or row.selector in options.extra_stats)
            and (options.report_block_devices or row.per is not Per.DISK)
            and (options.report_network_interfaces or row.per is not Per.NIC)
        ]
        # Both hold what the last sample had, no more.
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._cpu: dict[str, tuple[int, int]] = {}

    def translate(self, sample: Sample, interval_s: float) -> Iterator[ValueList]:
        """All value lists of a sample. Exhaust it: a percentage needs the sample before.

        :param interval_s: the agent's interval, the time between two samples where their
            timestamps do not tell it.
        """
        identities = self._identities(sample.domains)
        time_s = sample.time_ns / 1e9
        plans: dict[tuple[str, ...], _Plan] = {}
        cpu: dict[str, tuple[int, int]] = {}
        for domain in sample.domains:
            keys = tuple(domain.stats)
            plan = plans.get(keys) or self._plans.get(keys)
            if plan is None:
                plan = _plan(keys, self._rows)
            plans[keys] = plan
            host, plugin_instance = identities[domain.uuid]
            for row, instance, values in self._domain(domain, plan, sample, interval_s):
                yield ValueList(
                    host, PLUGIN, plugin_instance, row.type, valid_part(instance), values, time_s
                )
            spent = domain.stats.get("cpu.time")
            if isinstance(spent, int):
                cpu[domain.uuid] = (spent, sample.time_ns)
            elif domain.uuid in self._cpu:
                cpu[domain.uuid] = self._cpu[domain.uuid]
        self._plans, self._cpu = plans, cpu
        if self._options.report_round:
            yield from self._own(sample, identities, time_s)

    def notifications(self, sample: Sample) -> list[Notification]:
        """A failure for each domain that began to hang, an okay for each that is back."""
        identities = self._identities(sample.domains)
        found = []
        for change in sample.changes:
            host, plugin_instance = identities.get(change.uuid) or self._identity(
                change.name, change.uuid, ""
            )
            seconds = max(0, sample.time_ns - change.since_ns) / 1e9
            if change.responsive:
                severity, message = "okay", f"domain {change.name} answers again"
                message += f", after {seconds:.0f} s"
            else:
                severity, message = "failure", f"domain {change.name} does not answer"
            if change.reason:
                message += f" ({change.reason})"
            found.append(
                Notification(
                    severity, _message(message), host, schema.OWN_PLUGIN, plugin_instance,
                    "bool", "responsive", sample.time_ns / 1e9,
                )
            )  # fmt: skip
        return found

    # -- who it is

    def _identities(self, domains: Iterable[DomainSample]) -> dict[str, _Identity]:
        """Each domain's host and plugin instance, by uuid, no two the same by accident."""
        label = self._options.metadata_label
        texts: dict[str, tuple[str, str]] = {}
        found: dict[str, _Identity] = {}
        first: dict[_Identity, tuple[str, str]] = {}
        clashes: set[_Identity] = set()
        for domain in domains:
            text = self._texts(domain.name, domain.uuid, domain.labels.get(label, ""))
            identity = _Identity(_valid_host(text[0]), valid_part(text[1]))
            texts[domain.uuid], found[domain.uuid] = text, identity
            if first.setdefault(identity, text) != text:
                clashes.add(identity)
        if clashes:
            for uuid, identity in found.items():
                if identity in clashes:
                    host, instance = texts[uuid]
                    found[uuid] = _Identity(
                        _valid_host(host, ending=host != identity.host),
                        valid_part(instance, ending=instance != identity.plugin_instance),
                    )
        return found

    def _identity(self, name: str, uuid: str, metadata: str) -> _Identity:
        host, instance = self._texts(name, uuid, metadata)
        return _Identity(_valid_host(host), valid_part(instance))

    def _texts(self, name: str, uuid: str, metadata: str) -> tuple[str, str]:
        """Host and plugin instance as the options say, before they are made valid."""
        said = {
            "name": name,
            "uuid": uuid,
            "hostname": self._options.hostname,
            "metadata": metadata,
        }
        return (
            _joined(self._options.hostname_format, said),
            _joined(self._options.plugin_instance_format, said),
        )

    # -- what it has

    def _domain(
        self, domain: DomainSample, plan: _Plan, sample: Sample, interval_s: float
    ) -> Iterator[_Found]:
        runs = domain.active and domain.stats.get("state.state", STATE_RUNNING) == STATE_RUNNING
        for whole in plan[Per.DOMAIN]:
            for entry in whole.entries:
                if runs or entry.row.always:
                    if entry.row.rule is Rule.PERCENT:
                        values = self._percent(domain, sample, interval_s)
                    else:
                        values = _values(entry, domain.stats)
                    if values is not None:
                        yield entry.row, entry.row.instance, values
        if not runs:
            return
        for vcpu in plan[Per.VCPU]:
            yield from _vcpu(vcpu, domain.stats, sample.node_cpus)
        for event in plan[Per.EVENT]:
            yield from _entries(event, domain.stats, "event", event.id)
        for disk, name in _once_each(domain, "block", plan[Per.DISK], self._disk_name):
            has_source = bool(_source(domain, disk))
            for found in _entries(disk, domain.stats, "device", name):
                if has_source or not found[0].needs_source:
                    yield found
        for nic, name in _once_each(domain, "net", plan[Per.NIC], self._nic_name):
            yield from _entries(nic, domain.stats, "device", name)

    def _percent(
        self, domain: DomainSample, sample: Sample, interval_s: float
    ) -> Optional[tuple[float, ...]]:
        """The share of the host's CPUs since the domain's last sample, in percent."""
        before, since = self._cpu.get(domain.uuid, (0, 0))
        spent = domain.stats["cpu.time"]
        if not before or not isinstance(spent, int) or spent < before or not sample.node_cpus:
            return None
        elapsed_ns = sample.time_ns - since if sample.time_ns > since else interval_s * 1e9
        if elapsed_ns <= 0:
            return None
        return (100.0 * (spent - before) / (elapsed_ns * sample.node_cpus),)

    def _disk_name(self, domain: DomainSample, disk: _Device) -> Optional[str]:
        """The disk's name by BlockDeviceFormat; None if it has none, or is not wanted."""
        if self._options.block_device_format == "target":
            name = _text(domain.stats, f"block.{disk.id}.name")
        else:
            name = _source(domain, disk)
        if not name or not self._options.wants_block(domain.name, name):
            return None
        if self._options.block_device_format == "source" and (
            self._options.block_device_format_basename
        ):
            return posixpath.basename(name.rstrip("/")) or name
        return name

    def _nic_name(self, domain: DomainSample, nic: _Device) -> Optional[str]:
        """The NIC's name by InterfaceFormat; None if it is not known yet, or not wanted."""
        wanted = name = _text(domain.stats, f"net.{nic.id}.name")
        if self._options.interface_format == "address":
            wanted = name = domain.devices.addresses.get(name, "")
        elif self._options.interface_format == "number":
            wanted, name = str(nic.number), f"interface-{nic.number}"
        if not name or not self._options.wants_interface(domain.name, wanted):
            return None
        return name

    # -- what we tell of our own work

    def _own(
        self, sample: Sample, identities: dict[str, _Identity], time_s: float
    ) -> Iterator[ValueList]:
        hypervisor = _Identity(
            _valid_host(self._options.hostname), valid_part(self._options.round_instance)
        )
        numbers = {row.source: getattr(sample.round, row.source) for row in _ROUND_ROWS}
        yield from _own_lists(hypervisor, _ROUND_ROWS, numbers, time_s)
        back = {change.uuid for change in sample.changes if change.responsive}
        for domain in sample.domains:
            hangs = domain.status is Status.UNRESPONSIVE
            if hangs or domain.uuid in back:
                since = domain.since_ns if hangs and domain.since_ns else sample.time_ns
                numbers = {
                    "responsive": not hangs,
                    "unresponsive_s": max(0, sample.time_ns - since) / 1e9,
                }
                yield from _own_lists(identities[domain.uuid], _DOMAIN_ROWS, numbers, time_s)


_ROUND_ROWS = tuple(row for row in schema.OWN_VALUE_LISTS if not row.of_domain)
_DOMAIN_ROWS = tuple(row for row in schema.OWN_VALUE_LISTS if row.of_domain)


def _once_each(
    domain: DomainSample,
    word: str,
    devices: Iterable[_Device],
    named: Callable[[DomainSample, _Device], Optional[str]],
) -> Iterator[tuple[_Device, str]]:
    """Devices with their names, no device and no name twice.

    While a disk is copied, libvirt lists the copy after it, under the same target.

    :param word: ``block`` or ``net``, the devices' first word in the keys.
    """
    targets: set[str] = set()
    names: set[str] = set()
    for device in devices:
        target = _text(domain.stats, f"{word}.{device.id}.name")
        name = named(domain, device) if target not in targets else None
        if name is not None and name not in names:
            targets.add(target)
            names.add(name)
            yield device, name


def _own_lists(
    who: _Identity,
    rows: Iterable[schema.OwnValueList],
    numbers: Mapping[str, float],
    time_s: float,
) -> Iterator[ValueList]:
    for row in rows:
        value = int(numbers[row.source]) if row.counter else float(numbers[row.source])
        yield ValueList(
            who.host, schema.OWN_PLUGIN, who.plugin_instance, row.type, row.instance, (value,),
            time_s,
        )  # fmt: skip


def _joined(fields: Iterable[str], said: Mapping[str, str]) -> str:
    """The fields of a format with colons between; the name where there is no other text in it.

    Else all domains without metadata would be one for collectd.
    """
    wanted: list[str] = []
    for field in fields:
        if field == "none":
            break
        wanted.append(field)
    text = ":".join(said[field] for field in wanted)
    if "metadata" in wanted and not text.strip(":"):
        return said["name"]
    return text


def _message(text: str) -> str:
    """A notification's message: one line, within what collectd holds."""
    encoded = _NO_CONTROL.sub(" ", text).encode("utf-8", "backslashreplace")
    return encoded[:MESSAGE_BYTES].decode("utf-8", "ignore")


def _text(stats: Stats, key: str) -> str:
    """A text among the stats; empty if it is not there."""
    value = stats.get(key)
    return value if isinstance(value, str) else ""


def _source(domain: DomainSample, disk: _Device) -> str:
    """The file or device of a disk; empty for an empty drive, or one on a network."""
    target = _text(domain.stats, f"block.{disk.id}.name")
    return domain.devices.sources.get(target) or _text(domain.stats, f"block.{disk.id}.path")


# -- values


def _entries(device: _Device, stats: Stats, word: str, name: str) -> Iterator[_Found]:
    """The value lists of a device, under its name."""
    for entry in device.entries:
        values = _values(entry, stats)
        if values is not None:
            yield entry.row, entry.row.instance.format(**{word: name}), values


def _vcpu(vcpu: _Device, stats: Stats, node_cpus: int) -> Iterator[_Found]:
    for entry in vcpu.entries:
        if entry.row.rule is Rule.AFFINITY:
            for cpu, allowed in _affinity(stats[entry.keys[0]], node_cpus):
                yield entry.row, entry.row.instance.format(index=vcpu.id, cpu=cpu), (allowed,)
        else:
            values = _values(entry, stats)
            if values is not None:
                yield entry.row, vcpu.id, values


def _values(entry: _Entry, stats: Stats) -> Optional[tuple[float, ...]]:
    """The values of a value list; None if one is missing, or is none that collectd can hold."""
    row = entry.row
    if entry.family and not any(_positive(stats.get(key)) for key in entry.family):
        return None
    values: list[float] = []
    for key in entry.keys:
        value = stats.get(key)
        if entry.fallback and not value:
            value = stats.get(entry.fallback)
        # libvirt's -1 says that it does not know. bool is an int; neither is a number here.
        if type(value) is not int or value < 0:
            return None
        if row.counter:
            value = value * row.multiply // row.divide
            if value > DERIVE_MAX:
                return None
            values.append(value)
        else:
            values.append(float(value * row.multiply))
    return tuple(values)


def _positive(value: Optional[Value]) -> bool:
    return isinstance(value, int) and value > 0


def _affinity(listed: Value, node_cpus: int) -> Iterator[tuple[int, float]]:
    """Each physical CPU, and whether the vCPU may run on it.

    :param listed: physical CPUs, as ``0,1,5``.
    :param node_cpus: how many the host has; 0 if that is not known.
    """
    words = listed.split(",") if isinstance(listed, str) else []
    allowed = {int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 6}
    for cpu in range(min(max(node_cpus, max(allowed, default=-1) + 1), MOST_CPUS)):
        yield cpu, float(cpu in allowed)


# -- plans


def _plan(keys: Sequence[str], rows: Sequence[ValueListRow]) -> _Plan:
    """What a domain with these keys can send of these rows."""
    # The keys by pattern and index: {"block.<n>.rd.reqs": {"0": "block.0.rd.reqs"}}.
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        known, indexes = schema.place(key)
        if len(indexes) < 2:
            found.setdefault(known.pattern, {})["".join(indexes)] = key
        if key.startswith(_EVENT_KEY):
            found.setdefault(_EVENT_PATTERN, {})[key[len(_EVENT_KEY) :]] = key
    plan: _Plan = {}
    for per in Per:
        entries: dict[str, list[_Entry]] = {}
        for row in rows:
            if row.per is per:
                for index, entry in _row_entries(row, rows, found):
                    entries.setdefault(index, []).append(entry)
        indexes_by_number = sorted(entries, key=lambda index: (len(index), index))
        plan[per] = tuple(
            _Device(index, number, tuple(entries[index]))
            for number, index in enumerate(indexes_by_number, start=1)
        )
    return plan


def _row_entries(
    row: ValueListRow, rows: Sequence[ValueListRow], found: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, _Entry]]:
    """A row's value lists, each with the index of its device."""
    alternatives = found.get(row.fallback, {}) if row.fallback else {}
    for index in found.get(row.keys[0], alternatives):
        concrete = [found.get(pattern, {}).get(index, "") for pattern in row.keys]
        fallback = alternatives.get(index, "")
        if not all(concrete) and not fallback:
            continue
        family: tuple[str, ...] = ()
        if row.rule is Rule.ANY_POSITIVE:
            family = tuple(concrete)
        elif row.rule is Rule.FAMILY_POSITIVE:
            members = [other.keys[0] for other in rows if other.type == row.type]
            family = tuple(found[member][index] for member in members if member in found)
        yield index, _Entry(row, tuple(concrete), fallback, family)
