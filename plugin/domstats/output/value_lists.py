"""A Sample as collectd's value lists, under the names of collectd's plugin virt.

A function of samples but for small memories: each domain's last CPU time, since a percentage needs
two, and what was worked out of its names, which is used again while its keys and texts are as in
its last sample, so that then only numbers are read. All forget a domain with the sample that does
not have it. This module must not know collectd's Python module, configuration files or libvirt.

Every part of an identifier is valid: ``/`` is replaced as collectd itself does (a leading one is
dropped, others become ``_``), and control characters become ``_``. Beyond 127 bytes of UTF-8,
where collectd cuts silently, a part is cut at a character's boundary and ends in ``~`` and eight
hexadecimal digits that depend on the whole text, so that two long names stay two. Two domains
whose names only differ in what was replaced get the same ending, both that were changed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

import msgspec

from ..errors import ConfigError
from ..model import (
    GROUPS,
    STATE_RUNNING,
    Change,
    Devices,
    DomainEvent,
    DomainSample,
    GuestAgent,
    Sample,
    Status,
    Value,
)
from . import guest_agents, state_notices, virt_schema
from .disk_rows import OWN_EXTRA_STATS
from .identity import (
    HOSTNAME_FIELDS,
    PLUGIN_INSTANCE_FIELDS,
    Identity,
    before_none,
    joined,
    valid_host,
    valid_part,
)
from .list_series import made_of
from .own_lists import Naming, OwnLists, within
from .remembered import Remembered
from .series_count import MadeByDomain, Recount, SeriesLimit
from .state_notices import DomainStates, StateNotice
from .virt_plans import (
    Device,
    Head,
    Layout,
    Part,
    Plan,
    Values,
    group_of,
    laid_out,
    named_parts,
    part_of,
    parts_of_vcpu,
    plain_values,
    plan_of,
    text_in,
    values_of,
)
from .virt_schema import Per, Rule

if TYPE_CHECKING:
    from .host_tables import HostGroup
    from .job_lists import JobLists, JobNotice
    from .list_totals import ListTotals

PLUGIN = "virt"
#: Bytes that collectd holds of a notification's message.
MESSAGE_BYTES = 255

#: The type of notifications about events, of the stock types.db: collectd wants one.
EVENT_TYPE = "total_events"
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
    :param extra_stats: selectors of ExtraStats, of ``EXTRA_STATS``; others send nothing.
    :param groups: the stats groups of whose keys there are value lists; of the others none.
    :param every: by group that not every sample has: the seconds between two that do.
    :param report_round: also tell of the rounds and of domains that hang, as plugin domstats.
    :param state_changes: also notify of domains whose state is another than in the round before.
    :param persistent_notification: PersistentNotification: of each domain's state in each round.
    :param rates: also what follows of counters, as plugin domstats; ``rate_tables``.
    :param figures: also what is known of devices and control groups beside the statistics, of
        ``device_tables``; likewise.
    :param jobs: also the jobs of domains, as plugin domstats; ``job_lists``.
    :param host: also what the host beside its guests does, likewise; ``host_tables``.
    :param guest_agent_interval: seconds between two answers of a guest agent.
    :param drop_types: types of value lists of plugin virt that are not sent.
    :param totals: the groups of whose devices there is one value list together, not one for each.
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
    groups: frozenset[str] = frozenset(GROUPS)
    every: Mapping[str, float] = {}
    report_round: bool = True
    state_changes: bool = True
    persistent_notification: bool = False
    rates: bool = False
    host: bool = False
    figures: frozenset[str] = frozenset()
    jobs: bool = False
    guest_agent_interval: float = 0.0
    drop_types: frozenset[str] = frozenset()
    totals: frozenset[str] = frozenset()
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


class Batch(NamedTuple):
    """Value lists of one host and plugin instance, to be dispatched one by one.

    :param host: empty for collectd's own.
    :param time_s: seconds since the epoch.
    :param heads: what each is called.
    :param values: those of each; None for one that there is not this time.
    """

    host: str
    plugin: str
    plugin_instance: str
    time_s: float
    heads: Sequence[Head]
    values: Sequence[Optional[Values]]


class Notification(NamedTuple):
    """What collectd notifies of.

    :param severity: ``failure``, ``warning`` or ``okay``, as in collectd's NOTIF_FAILURE.
    :param time_s: seconds since the epoch.
    :param meta: what goes with it.
    """

    severity: str
    message: str
    host: str
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    time_s: float
    meta: guest_agents.Meta = ()


class _Order(NamedTuple):
    """The keys of a domain in their order: what is told again of idle groups stands at the end.

    :param plan: the same one in whatever order they are.
    """

    keys: tuple[str, ...]
    plan: Plan


class _Known(NamedTuple):
    """What was worked out for a domain, and from what.

    :param running: what is sent while it runs, and how values are read for it.
    :param stopped: what is sent while it does not.
    """

    order: _Order
    name: str
    devices: Devices
    texts: tuple[Optional[Value], ...]
    node_cpus: int
    running: tuple[tuple[Head, ...], Layout]
    stopped: tuple[tuple[Head, ...], Layout]


_NO_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ValueLists:
    """Translates the samples of one hypervisor.

    :param options: names, selection and ExtraStats.
    :param limit: is given what domains make when that changes; None: nobody counts.
    :param writer: what this one is called there.
    """

    def __init__(
        self, options: CollectdOptions, limit: Optional[SeriesLimit] = None, writer: str = "rounds"
    ) -> None:
        self._options = options
        self._wants_metadata = "metadata" in (
            *options.hostname_format,
            *before_none(options.plugin_instance_format),
        )
        self._rows = _wanted_rows(options)
        self._wants_percent = any(row.rule is Rule.PERCENT for row in self._rows)
        # All hold what the last sample had, no more.
        self._known: Remembered[_Known] = Remembered()
        self._orders: dict[tuple[str, ...], _Order] = {}
        self._plans: dict[frozenset[str], Plan] = {}
        self._is_other = False
        self._cpu: dict[str, tuple[int, int]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._identities: dict[str, Identity] = {}
        self._own_lists: Optional[OwnLists] = None
        wants_own = options.rates or options.host or options.figures
        if wants_own or options.extra_stats & OWN_EXTRA_STATS:
            naming = Naming(self._disks_called, self._disk_called, self._interface_called)
            self._own_lists = OwnLists(
                options.extra_stats, options.figures, options.every, naming,
                rates=options.rates, host=options.host,
            )  # fmt: skip
        self._jobs = _job_lists(options)
        self._totals: Optional[ListTotals] = None
        if options.totals:
            from .list_totals import ListTotals  # few want them, and memory counts

            self._totals = ListTotals(options.totals, self._rows)
        self._recount = Recount(limit, writer) if limit is not None else None
        self._states: Optional[DomainStates] = None
        if options.state_changes:
            self._states = DomainStates(options.persistent_notification)
        #: Of the parts of this round: domains whose value lists have to wait for its end.
        self._postponed: dict[str, DomainSample] = {}

    def take(self, part: Sample, interval_s: float) -> Iterator[Batch]:
        """The value lists of domains that are complete while their round goes on.

        Those that were not in the sample before under the same name wait for the round's end: who
        they are for collectd can be told only beside all others. The round's sample, which has
        nothing more of the domains in its parts to tell, must be translated after them.
        """
        known = self._known.of(part.groups)
        for domain in part.domains:
            if self._is_identified(domain):
                identity = self._identities[domain.uuid]
                yield self._domain(domain, known.get(domain.uuid), identity, part, interval_s)
                yield from self._more(domain, identity, part)
            else:
                self._postponed[domain.uuid] = domain

    def translate(self, sample: Sample, interval_s: float) -> Iterator[Batch]:
        """All value lists of a sample, and those of its parts that had to wait for it.

        Exhaust it: a percentage needs the sample before.

        :param interval_s: the agent's interval, the time between two samples where their
            timestamps do not tell it.
        """
        identities = self._identify(sample.domains)
        known = self._known.of(sample.groups)
        postponed, self._postponed = self._postponed, {}
        for domain in sample.domains:
            whole = postponed.get(domain.uuid, domain)
            if whole.stats and domain.uuid in identities:
                identity = identities[domain.uuid]
                yield self._domain(whole, known.get(domain.uuid), identity, sample, interval_s)
                yield from self._more(whole, identity, sample)
        if self._totals is not None:
            self._totals.end(sample)
        if self._own_lists is not None:
            for group in self._own_lists.end(sample):
                yield _host_batch(self._hypervisor(), group)
            for domain in sample.domains if self._options.figures else ():
                if domain.uuid in identities:
                    beside = list(self._own_lists.beside(domain))
                    yield from _own_lists_batch(identities[domain.uuid], beside, sample)
        if self._jobs is not None:
            self._jobs.end(sample)
        if self._wants_percent:
            self._cpu = {each.uuid: self._cpu[each.uuid] for each in sample.domains
                         if each.uuid in self._cpu}  # fmt: skip
        is_other = self._known.end(sample.groups)
        is_other = is_other or self._is_other
        if self._recount is not None:
            self._recount.end(sample, is_other, self.made)
        if is_other:
            self._is_other = False
            self._orders = {each.order.keys: each.order for each in self._known}
            self._plans = {frozenset(keys): order.plan for keys, order in self._orders.items()}
        if self._options.report_round:
            yield from self._own(sample, identities, sample.time_ns / 1e9)
        for agent in sample.agents:
            if agent.uuid in identities:
                pace_s = max(interval_s, self._options.guest_agent_interval)
                yield _agent_batch(identities[agent.uuid], agent, pace_s)

    def _domain(
        self,
        domain: DomainSample,
        known: Optional[_Known],
        identity: Identity,
        sample: Sample,
        interval_s: float,
    ) -> Batch:
        """A domain's value lists."""
        stats = domain.stats
        known = self._recall(known, domain, sample.node_cpus)
        self._known.use(domain.uuid, known)
        state = stats.get("state.state", STATE_RUNNING)
        runs = domain.active and state == STATE_RUNNING
        if self._states is not None:
            self._states.now[domain.uuid] = state, stats.get("state.reason"), identity
        heads, layout = known.running if runs else known.stopped
        values = plain_values(layout, stats)
        if layout.others:
            values += tuple(
                [
                    self._percent(domain, sample, interval_s)
                    if entry.row.rule is Rule.PERCENT
                    else fixed or values_of(entry, stats)
                    for entry, fixed in layout.others
                ]
            )
        if self._wants_percent and isinstance(spent := stats.get("cpu.time"), int):
            self._cpu[domain.uuid] = (spent, sample.time_ns)
        host, instance = identity
        time_s = sample.time_ns / 1e9
        if self._totals is None:
            return Batch(host, PLUGIN, instance, time_s, heads, values)
        sent = self._totals.of(domain, heads, layout, values)
        return Batch(host, PLUGIN, instance, time_s, *sent)

    def _more(self, domain: DomainSample, identity: Identity, sample: Sample) -> Iterator[Batch]:
        """What goes under our own plugin's name of a domain's statistics, if that is wanted."""
        if self._own_lists is not None:
            yield from _own_lists_batch(
                identity, self._own_lists.of_answer(domain, sample), sample
            )
        if self._jobs is not None:
            host, instance = identity
            for plugin, heads, values in self._jobs.of(domain, identity):
                yield Batch(host, plugin, instance, sample.time_ns / 1e9, heads, values)

    def made(self) -> MadeByDomain:
        """The series of each domain of the last sample, by uuid."""
        last = self._known.by_uuid()
        shapes = ((uuid, [(k.running[1], k.order.keys) for k in known]) for uuid, known in last)
        return made_of(shapes, self._totals, self._options.rates)

    def notifications(self, sample: Sample) -> list[Notification]:
        """Of domains that began to hang, or are back; of events; of states that are others than in
        the round before.

        The sample must have been translated before.
        """
        is_needed = sample.changes or sample.events or sample.agents
        identities = self._identify(sample.domains) if is_needed else {}
        found = []
        for change in sample.changes:
            who = identities.get(change.uuid) or self._identity(change.name, change.uuid, "")
            found.append(_of_change(change, who, sample))
        for event in sample.events:
            who = self._hypervisor()
            if event.uuid:
                who = identities.get(event.uuid) or self._identity(event.name, event.uuid, "")
            found.append(_of_event(event, who))
        if "fs_info" in self._options.extra_stats:
            found += _file_system_notices(sample.agents, identities)
        if self._states is not None:
            found += [_of_state(notice, sample) for notice in self._states.end(sample)]
        if self._jobs is not None:
            found += [_of_job(notice, sample) for notice in self._jobs.notices]
        return found

    # -- who it is

    def _identify(self, domains: Sequence[DomainSample]) -> dict[str, Identity]:
        """Each domain's host and plugin instance, by uuid, no two the same by accident.

        One whose metadata is wanted and not known yet is left out: under another name it would be
        another host.
        """
        if len(domains) != len(self._names) or not all(
            (not each.stats and self._known.is_used(each.uuid)) or self._is_identified(each)
            for each in domains
        ):
            self._names = {each.uuid: named for each in domains if (named := self._named(each))}
            self._identities = self._told_apart(self._names)
        return self._identities

    def _is_identified(self, domain: DomainSample) -> bool:
        """Whether it is known who it is: it was in the sample before under the same name."""
        named = self._names.get(domain.uuid)
        return (
            named is not None
            and named[0] == domain.name
            and (not self._wants_metadata or named == self._named(domain))
        )

    def _named(self, domain: DomainSample) -> Optional[tuple[str, str]]:
        """A domain's name and metadata; None if these are wanted and not known yet."""
        label = self._options.metadata_label
        if self._wants_metadata and label not in domain.labels:
            return None
        return domain.name, domain.labels.get(label, "")

    def _told_apart(self, names: Mapping[str, tuple[str, str]]) -> dict[str, Identity]:
        """The identities of domains, from name and metadata of each by uuid."""
        texts: dict[str, tuple[str, str]] = {}
        found: dict[str, Identity] = {}
        first: dict[Identity, tuple[str, str]] = {}
        clashes: set[Identity] = set()
        for uuid, (name, metadata) in names.items():
            text = _texts(self._options, name, uuid, metadata)
            identity = Identity(valid_host(text[0]), valid_part(text[1]))
            texts[uuid], found[uuid] = text, identity
            if first.setdefault(identity, text) != text:
                clashes.add(identity)
        if clashes:
            for uuid, identity in found.items():
                if identity in clashes:
                    host, instance = texts[uuid]
                    found[uuid] = Identity(
                        valid_host(host, ending=host != identity.host),
                        valid_part(instance, ending=instance != identity.plugin_instance),
                    )
        return found

    def _identity(self, name: str, uuid: str, metadata: str) -> Identity:
        host, instance = _texts(self._options, name, uuid, metadata)
        return Identity(valid_host(host), valid_part(instance))

    def _hypervisor(self) -> Identity:
        """Who the hypervisor itself is."""
        return Identity(
            valid_host(self._options.hostname), valid_part(self._options.round_instance)
        )

    # -- what it has

    def _recall(
        self, known: Optional[_Known], domain: DomainSample, node_cpus: int
    ) -> _Known:
        """What is known of a domain, worked out anew if anything that it rests on is another."""
        keys = tuple(domain.stats)
        order = known.order if known and known.order.keys == keys else self._order(keys)
        plan = order.plan
        texts = tuple(map(domain.stats.get, plan.texts))
        if (
            known is None
            or known.order.plan is not plan
            or known.texts != texts
            or known.name != domain.name
            or known.node_cpus != node_cpus
            or (known.devices is not domain.devices and known.devices != domain.devices)
        ):
            self._is_other = True
            parts = list(self._parts(domain, plan, node_cpus))
            known = _Known(
                order,
                domain.name,
                domain.devices,
                texts,
                node_cpus,
                running=laid_out(parts),
                stopped=laid_out([part for part in parts if part.entry.row.always]),
            )
        return known if known.order is order else known._replace(order=order)

    def _order(self, keys: tuple[str, ...]) -> _Order:
        """These keys with their plan, the same for all domains that have them."""
        order = self._orders.get(keys)
        if order is None:
            self._is_other = True
            plan = self._plans.get(frozenset(keys))
            if plan is None:
                plan = self._plans[frozenset(keys)] = plan_of(keys, self._rows, self._options.every)
            order = self._orders[keys] = _Order(keys, plan)
        return order

    def _parts(self, domain: DomainSample, plan: Plan, node_cpus: int) -> Iterator[Part]:
        """All value lists that a domain can send."""
        devices = plan.devices
        for whole in devices[Per.DOMAIN]:
            for entry in whole.entries:
                yield part_of(entry, entry.row.instance)
        for vcpu in devices[Per.VCPU]:
            yield from parts_of_vcpu(vcpu, domain.stats, node_cpus)
        for event in devices[Per.EVENT]:
            yield from named_parts(event, "event", event.id)
        for disk, name in _once_each(domain, "block", devices[Per.DISK], self._disk_name):
            has_source = bool(_source(domain, disk))
            is_image = text_in(domain.stats, f"block.{disk.id}.name") in domain.devices.images
            for part in named_parts(disk, "device", name):
                row = part.entry.row
                if (has_source or not row.needs_source) and row.of_images in (None, is_image):
                    yield part
        for nic, name in _once_each(domain, "net", devices[Per.NIC], self._nic_name):
            yield from named_parts(nic, "device", name)

    def _percent(
        self, domain: DomainSample, sample: Sample, interval_s: float
    ) -> Optional[Values]:
        """The share of the host's CPUs since the domain's last sample, in percent."""
        before, since = self._cpu.get(domain.uuid, (0, 0))
        spent = domain.stats["cpu.time"]
        if not before or not isinstance(spent, int) or spent < before or not sample.node_cpus:
            return None
        elapsed_ns = sample.time_ns - since if sample.time_ns > since else interval_s * 1e9
        if elapsed_ns <= 0:
            return None
        return (100.0 * (spent - before) / (elapsed_ns * sample.node_cpus),)

    def _disk_name(self, domain: DomainSample, disk: Device) -> Optional[str]:
        """The disk's name by BlockDeviceFormat; None if it has none, or is not wanted."""
        if self._options.block_device_format == "target":
            return self._named_disk(domain, text_in(domain.stats, f"block.{disk.id}.name"))
        return self._named_disk(domain, _source(domain, disk))

    def _named_disk(self, domain: DomainSample, name: str) -> Optional[str]:
        """A disk's name, from its target or source."""
        if not name or not self._options.wants_block(domain.name, name):
            return None
        if self._options.block_device_format == "source" and (
            self._options.block_device_format_basename
        ):
            return posixpath.basename(name.rstrip("/")) or name
        return name

    def _disk_called(self, domain: DomainSample, target: str) -> Optional[str]:
        """A disk's name by BlockDeviceFormat, by its target; as of ``_disk_name``."""
        if self._options.block_device_format == "target":
            return self._named_disk(domain, target)
        return self._named_disk(domain, domain.devices.sources.get(target, ""))

    def _disks_called(self, domain: DomainSample, ids: Iterable[str]) -> dict[str, str]:
        """Names of disks by BlockDeviceFormat, by their indexes in the keys."""
        disks = [Device(each, 0, ()) for each in sorted(ids, key=lambda each: (len(each), each))]
        named = _once_each(domain, "block", disks, self._disk_name)
        return {disk.id: name for disk, name in named}

    def _interface_called(self, domain: DomainSample, name: str) -> Optional[str]:
        """An interface's name, if it is wanted, for what it has beside the statistics."""
        return name if self._options.wants_interface(domain.name, name) else None

    def _nic_name(self, domain: DomainSample, nic: Device) -> Optional[str]:
        """The NIC's name by InterfaceFormat; None if it is not known yet, or not wanted."""
        wanted = name = text_in(domain.stats, f"net.{nic.id}.name")
        if self._options.interface_format == "address":
            wanted = name = domain.devices.addresses.get(name, "")
        elif self._options.interface_format == "number":
            wanted, name = str(nic.number), f"interface-{nic.number}"
        if not name or not self._options.wants_interface(domain.name, wanted):
            return None
        return name

    # -- what we tell of our own work

    def _own(
        self, sample: Sample, identities: dict[str, Identity], time_s: float
    ) -> Iterator[Batch]:
        numbers = {row.source: getattr(sample.round, row.source) for row in _ROUND_ROWS}
        yield _own_batch(self._hypervisor(), _ROUND_ROWS, numbers, time_s)
        back = {change.uuid for change in sample.changes if change.responsive}
        for domain in sample.domains:
            hangs = domain.status is Status.UNRESPONSIVE
            if (hangs or domain.uuid in back) and domain.uuid in identities:
                since = domain.since_ns if hangs and domain.since_ns else sample.time_ns
                numbers = {
                    "responsive": not hangs,
                    "unresponsive_s": max(0, sample.time_ns - since) / 1e9,
                }
                yield _own_batch(identities[domain.uuid], _DOMAIN_ROWS, numbers, time_s)


def _wanted_rows(options: CollectdOptions) -> list[virt_schema.ValueListRow]:
    """The value lists that the options ask for."""
    return [
        row
        for row in virt_schema.VALUE_LISTS
        if group_of(row) in options.groups
        and row.type not in options.drop_types
        and (not row.selector or row.selector in options.extra_stats)
        and (options.report_block_devices or row.per is not Per.DISK)
        and (options.report_network_interfaces or row.per is not Per.NIC)
    ]


def _texts(options: CollectdOptions, name: str, uuid: str, metadata: str) -> tuple[str, str]:
    """Host and plugin instance as the options say, before they are made valid."""
    said = {
        "name": name,
        "uuid": uuid,
        "hostname": options.hostname,
        "metadata": metadata,
    }
    return (
        joined(options.hostname_format, said),
        joined(options.plugin_instance_format, said),
    )


_ROUND_ROWS = tuple(row for row in virt_schema.OWN_VALUE_LISTS if not row.of_domain)
_DOMAIN_ROWS = tuple(row for row in virt_schema.OWN_VALUE_LISTS if row.of_domain)


def _once_each(
    domain: DomainSample,
    word: str,
    devices: Iterable[Device],
    named: Callable[[DomainSample, Device], Optional[str]],
) -> Iterator[tuple[Device, str]]:
    """Devices with their names, no device and no name twice.

    While a disk is copied, libvirt lists the copy after it, under the same target.

    :param word: ``block`` or ``net``, the devices' first word in the keys.
    """
    targets: set[str] = set()
    names: set[str] = set()
    for device in devices:
        target = text_in(domain.stats, f"{word}.{device.id}.name")
        name = named(domain, device) if target not in targets else None
        if name is not None and name not in names:
            targets.add(target)
            names.add(name)
            yield device, name


def _own_batch(
    who: Identity,
    rows: Iterable[virt_schema.OwnValueList],
    numbers: Mapping[str, float],
    time_s: float,
) -> Batch:
    return Batch(
        who.host,
        virt_schema.OWN_PLUGIN,
        who.plugin_instance,
        time_s,
        heads=[(row.type, row.instance, 0.0) for row in rows],
        values=[
            (int(numbers[row.source]) if row.counter else float(numbers[row.source]),)
            for row in rows
        ],
    )


def _own_lists_batch(
    who: Identity, lists: Sequence[tuple[Head, Values]], sample: Sample
) -> Iterator[Batch]:
    """Value lists of a domain under our own plugin's name; nothing if there are none."""
    if lists:
        heads, values = zip(*lists)
        host, instance = who
        yield Batch(host, virt_schema.OWN_PLUGIN, instance, sample.time_ns / 1e9, heads, values)


def _job_lists(options: CollectdOptions) -> Optional[JobLists]:
    """What sends jobs; None if nobody wants them."""
    job_stats = options.extra_stats.intersection(virt_schema.JOB_STATS)
    if not (job_stats or options.jobs):
        return None
    from .job_lists import JobLists  # few want them, and each agent's memory counts

    return JobLists(job_stats, options.jobs)


def _of_change(change: Change, who: Identity, sample: Sample) -> Notification:
    severity, text = _change_text(change, sample.time_ns)
    return Notification(
        severity, _message(text), who.host, virt_schema.OWN_PLUGIN, who.plugin_instance,
        "bool", "responsive", sample.time_ns / 1e9,
    )  # fmt: skip


def _of_event(event: DomainEvent, who: Identity) -> Notification:
    return Notification(
        event.severity, _message(_event_text(event)), who.host, virt_schema.OWN_PLUGIN,
        who.plugin_instance, EVENT_TYPE, event.kind, event.time_ns / 1e9,
    )  # fmt: skip


def _of_state(notice: StateNotice, sample: Sample) -> Notification:
    host, plugin_instance = notice.identity
    return Notification(
        notice.severity, notice.message, host, PLUGIN, plugin_instance, state_notices.TYPE, "",
        sample.time_ns / 1e9,
    )  # fmt: skip


def _of_job(notice: JobNotice, sample: Sample) -> Notification:
    host, plugin_instance = notice.identity
    return Notification(
        "okay", _message(notice.text), host, PLUGIN, plugin_instance, notice.type,
        notice.instance, sample.time_ns / 1e9,
    )  # fmt: skip


def _change_text(change: Change, now_ns: int) -> tuple[str, str]:
    """Severity and text of a domain that began to hang, or is back."""
    why = f" ({change.reason})" if change.reason else ""
    if change.responsive:
        seconds = max(0, now_ns - change.since_ns) / 1e9
        return "okay", f"domain {change.name} answers again, after {seconds:.0f} s{why}"
    return "failure", f"domain {change.name} does not answer{why}"


def _host_batch(who: Identity, group: HostGroup) -> Batch:
    """What collectd gets of a host's figures, at the time at which they were found."""
    rows = [(row, value) for row, value in group.values if row.type]
    instances = [valid_part(row.instance.format(name=group.name)) for row, _ in rows]
    return Batch(
        who.host,
        virt_schema.OWN_PLUGIN,
        who.plugin_instance,
        group.time_ns / 1e9,
        heads=[(row.type, instance, 0.0) for (row, _), instance in zip(rows, instances)],
        values=[
            (value // row.divide if row.divide > 1 else within(row.type, float(value)),)
            for row, value in rows
        ],
    )


def _agent_batch(who: Identity, agent: GuestAgent, interval_s: float) -> Batch:
    """What a guest agent answered, at the time of its answer."""
    rows = list(guest_agents.value_lists_of(agent))
    heads = [(type_, instance, interval_s) for type_, instance, _ in rows]
    values = [(value,) for *_, value in rows]
    plugin, time_s = virt_schema.OWN_PLUGIN, agent.time_ns / 1e9
    return Batch(who.host, plugin, who.plugin_instance, time_s, heads, values)


def _file_system_notices(
    agents: Iterable[GuestAgent], identities: Mapping[str, Identity]
) -> Iterator[Notification]:
    """As plugin virt's selector ``fs_info``: one for each file system, with its names along."""
    for agent in agents:
        if agent.uuid in identities:
            host, instance = identities[agent.uuid]
            for meta in guest_agents.notices_of(agent):
                yield Notification(
                    "okay", guest_agents.NOTICE_MESSAGE, host, PLUGIN, instance,
                    guest_agents.NOTICE_TYPE, "", agent.time_ns / 1e9, meta,
                )  # fmt: skip


def _message(text: str) -> str:
    """A notification's message: one line, within what collectd holds."""
    encoded = _NO_CONTROL.sub(" ", text).encode("utf-8", "backslashreplace")
    return encoded[:MESSAGE_BYTES].decode("utf-8", "ignore")


def _event_text(event: DomainEvent) -> str:
    """An event for people, as: domain web-1: lifecycle stopped (crashed)."""
    about = [event.detail, event.device, event.path]
    about += [f"{name} {number}" for name, number in event.numbers.items()]
    about += ["inferred after a gap"] if event.inferred else []
    said = ", ".join(text for text in about if text)
    who = f"domain {event.name}: {event.kind}" if event.uuid else "events"
    return f"{who} {event.event}" + (f" ({said})" if said else "")


def _source(domain: DomainSample, disk: Device) -> str:
    """The file or device of a disk; empty for an empty drive, or one on a network."""
    target = text_in(domain.stats, f"block.{disk.id}.name")
    return domain.devices.sources.get(target) or text_in(domain.stats, f"block.{disk.id}.path")
