"""What a user has set for one hypervisor: ``Settings``, and what has to agree in them.

The two parsers that make them are ``telegraf`` and ``collectd``. Nothing here is started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ..domain_xml.device_details import DISKS, NICS, THROTTLES
from ..domain_xml.labels import Label
from ..errors import ConfigError
from ..model import FAST_GROUPS
from ..round_settings import RoundSettings
from ..selection import ALL, Selection
from ..shown import one_line
from .options import SAFE_BUDGET, TELEGRAF_GROUPS

#: The share of an interval that a round may take; the rest is for sending what it found.
ROUND_SHARE = 0.9


class Settings(RoundSettings, frozen=True, kw_only=True):
    """All that is set for one hypervisor. The defaults are those of Telegraf's vocabulary.

    :param kvm_statistics: whether the KVM statistics of the groups vcpu and vm are passed on.
    :param rates: whether what follows of counters by the second is sent too.
    :param jobs: whether the domains' jobs are asked for and sent.
    :param host: whether the host beside its guests is looked at and sent.
    :param admin_uri: the admin interface of libvirt's daemon; empty: it is not asked.
    :param inactive: whether domains that are defined and not started are listed too.
    :param wants_devices: whether anything of the domains' XML is needed (MAC addresses).
    :param guest_agent: whether guest agents are asked, over connections that are not read-only.
    :param guest_agent_interval: seconds between two questions to one.
    :param interval: seconds between rounds, as far as the agent does not say otherwise.
    :param fast_interval: seconds between rounds of the fast lane; None if there is none.
    :param interval_fixed: the user said that interval; else it is only a first guess.
    :param deadline: seconds after which a round ends with what it has; None: 0.9 of the interval.
    :param labels: what to take from the domains' metadata.
    :param unsent_labels: those of them that are needed to choose domains and not sent.
    :param label_refresh: seconds after which it is read again where no events tell of changes.
    :param pressure: whether the pressure of each domain's control group is sent too.
    :param interface_details: whether the speed of network interfaces is, and those that the bulk
        answer does not have.
    :param disk_throttle: whether the limits of disks are.
    :param device_tags: of which devices the XML gives tags: ``disk``, ``interface``.
    :param totals: the groups of whose devices a domain has one series together, not one for each.
    :param max_series: beyond so many series the user is warned; None: nobody counts.
    """

    groups: frozenset[str] = frozenset(TELEGRAF_GROUPS)
    kvm_statistics: bool = False
    rates: bool = False
    jobs: bool = False
    host: bool = False
    admin_uri: str = ""
    inactive: bool = True
    selection: Selection = ALL
    wants_devices: bool = False
    guest_agent: bool = False
    guest_agent_interval: float = 60.0

    interval: float = 10.0
    fast_interval: float | None = None
    interval_fixed: bool = False
    deadline: float | None = None
    process_watch: bool = True
    storage_watch: bool = True
    labels: tuple[Label, ...] = ()
    label_refresh: float = 300.0
    pressure: bool = False
    interface_details: bool = False
    disk_throttle: bool = False
    unsent_labels: frozenset[str] = frozenset()
    totals: frozenset[str] = frozenset()
    max_series: int | None = None

    # Telegraf's output
    series: str = "full"
    device_tags: frozenset[str] = frozenset()

    # collectd's output
    hostname_format: tuple[str, ...] = ("name",)
    plugin_instance_format: tuple[str, ...] = ()
    interface_format: str = "name"
    block_device_format: str = "target"
    block_device_format_basename: bool = False
    report_block_devices: bool = True
    report_network_interfaces: bool = True
    extra_stats: frozenset[str] = frozenset()
    drop_types: frozenset[str] = frozenset()
    report_round: bool = True
    persistent_notification: bool = False
    hostname: str = ""


    def round_deadline(self, interval: float | None = None) -> float:
        """Seconds after which a round ends with what it has.

        :param interval: seconds to the next round, where that is not known to be the one set.
        """
        if self.deadline is not None:
            return self.deadline
        return ROUND_SHARE * (self.interval if interval is None else interval)

    @property
    def wants_disk_sizes(self) -> bool:
        """Whether disks are asked for the sizes that the group block does not tell."""
        return not self.extra_stats.isdisjoint(("disk_allocation", "disk_physical"))

    @property
    def xml_details(self) -> frozenset[str]:
        """What is wanted of devices in the XML, of ``domain_xml.device_details``."""
        wanted = {
            DISKS: "disk" in self.device_tags,
            THROTTLES: self.disk_throttle,
            NICS: self.interface_details or "interface" in self.device_tags,
        }
        return frozenset(word for word, is_wanted in wanted.items() if is_wanted)

    @property
    def figures(self) -> frozenset[str]:
        """What is sent beside the statistics, of ``output.device_tables``."""
        words = ("pressure", "interface_details", "disk_throttle")
        return frozenset(word for word in words if getattr(self, word))

    @property
    def wants_disk_errors(self) -> bool:
        """Whether disks are asked for their errors."""
        return "disk_err" in self.extra_stats

    @property
    def job_values(self) -> frozenset[str]:
        """What is asked of the domains' jobs, of ``model.CLASSIC``."""
        return frozenset(
            value
            for value, selector in (
                ("running_job", "job_stats_background"),
                ("completed_job", "job_stats_completed"),
            )
            if self.jobs or selector in self.extra_stats
        )


def is_remote(uri: str) -> bool:
    """Whether a hypervisor is asked over a network, as far as its URI tells."""
    parts = urlsplit(uri)
    return bool(parts.hostname) or parts.scheme.partition("+")[2] not in ("", "unix")


def is_local(uri: str) -> bool:
    """Whether a hypervisor's guests are processes of this host, as far as its URI tells."""
    return not is_remote(uri) and urlsplit(uri).scheme.partition("+")[0] != "test"


class Parsed(NamedTuple):
    """The hypervisors of a configuration, and what its writer should hear of."""

    settings: list[Settings]
    warnings: list[str]


#: Checked values by ``Option.key``, those that were given only.
Given = dict[str, Any]


def as_fields(given: Given) -> dict[str, Any]:
    """The given values that are fields of ``Settings`` as they are."""
    fields = {key: value for key, value in given.items() if key in _FIELDS}
    for key in ("quarantine_groups", "extra_stats", "device_tags", "totals", "drop_types"):
        if key in fields:
            fields[key] = frozenset(fields[key])
    fields["interval_fixed"] = "interval" in given
    if "stuck_budget" not in given and "lanes" in fields:
        fields["stuck_budget"] = max(6, min(SAFE_BUDGET, fields["lanes"] + 2))
    return fields


_FIELDS = frozenset(Settings.__struct_fields__)


def check_times(settings: Settings, name: Callable[[str], str]) -> None:
    """:raises ConfigError: times that contradict each other."""
    found: list[str] = []
    deadline = settings.deadline
    if deadline is not None and settings.interval_fixed and deadline > settings.interval:
        found.append(
            f"option {name('deadline')}: found {deadline:g} seconds, allowed is at most the"
            f" interval, which is {settings.interval:g} seconds"
        )
    fast = settings.fast_interval
    if fast is not None and settings.interval_fixed and fast >= settings.interval:
        found.append(
            f"option {name('fast_interval')}: found {fast:g} seconds, allowed is less than"
            f" {name('interval')}, which is {settings.interval:g} seconds"
        )
    soft = settings.soft_deadline
    if soft is not None and deadline is not None and soft >= deadline:
        found.append(
            f"option {name('soft_deadline')}: found {soft:g} seconds, allowed is less than"
            f" {name('deadline')}, which is {deadline:g} seconds"
        )
    if found:
        raise ConfigError(*found)


#: Parameters of a URI that libvirt takes and never hands to the program ssh (only to libssh and
#: libssh2), and ssh's own option for each. Source: doRemoteOpen in src/remote/remote_driver.c.
_NOT_FOR_SSH: Mapping[str, str] = {
    "known_hosts": "UserKnownHostsFile",
    "known_hosts_verify": "StrictHostKeyChecking",
    "sshauth": "PreferredAuthentications",
}


def _lost_parameters(uri: str) -> str:
    """What to tell of parameters of a URI that have no effect; empty if there are none."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    given = [pair.partition("=")[0].lower() for pair in re.split("[&;]", parts.query)]
    lost = [word for word in _NOT_FOR_SSH if word in given]
    if transport != "ssh" or not lost:
        return ""
    options = " and ".join(_NOT_FOR_SSH[word] for word in lost)
    return (
        f"with {driver}+ssh, {' and '.join(lost)} {'has' if len(lost) == 1 else 'have'} no effect,"
        f" for libvirt passes no such thing on to ssh: set {options} for this host in ~/.ssh/config"
        f" of the user that samples, or write {driver}+libssh2:// or {driver}+libssh:// instead,"
        " where libvirt has them"
    )


def advice_on(settings: Settings, name: Callable[[str], str]) -> Iterator[str]:
    lost = _lost_parameters(settings.uri)
    if lost:
        yield f"option {name('uri')}: {lost}"
    if settings.admin_uri and not settings.host:
        yield f"option {name('admin_uri')}: it has no effect without {name('host')}"
    unasked = sorted(set(settings.every) - settings.groups)
    if unasked:
        yield f"option {name('every')}: {', '.join(unasked)} is not asked for at all"
    without = sorted(settings.totals - settings.groups)
    if without:
        yield f"option {name('totals')}: {', '.join(without)} is not asked for at all"
    if settings.fast_interval is not None and not settings.groups & (FAST_GROUPS - {"state"}):
        yield f"option {name('fast_interval')}: nothing that the fast lane knows is asked for"
    if settings.pressure and not is_local(settings.uri):
        yield (
            f"option {name('pressure')}: it has no effect, for the guests' control groups are on"
            " another host"
        )
    if settings.guest_agent and settings.series == "telegraf":
        yield (
            f"option {name('guest_agent')}: {name('series')} is telegraf, which has no measurements"
            " of guest agents, so none are sent"
        )
    if settings.stuck_budget <= settings.lanes and settings.stuck_budget < SAFE_BUDGET:
        yield (
            f"option {name('stuck_budget')}: {settings.stuck_budget} is not more than"
            f" {name('lanes')}, which is {settings.lanes}; one mass outage spends it in one go"
        )


#: More hypervisors than these are many for one process.
_FEW = 8


def share_budget(hypervisors: list[Settings]) -> tuple[list[Settings], list[str]]:
    """All hypervisors of a process share it; several settings for one URI share the stuck budget
    which its server can bear.

    :return: the settings, with smaller budgets where needed, and warnings that tell of them, and
        of what is sampled more than once.
    """
    if len(hypervisors) > _FEW:
        hypervisors = [msgspec.structs.replace(each, one_of_many=True) for each in hypervisors]
    by_uri: dict[str, list[int]] = {}
    for index, settings in enumerate(hypervisors):
        by_uri.setdefault(settings.uri, []).append(index)
    shared = list(hypervisors)
    notes: list[str] = []
    for uri, indexes in by_uri.items():
        if len(indexes) < 2:
            continue
        repeated = _repeated([hypervisors[i] for i in indexes])
        texts = [repeated] if repeated else []
        if sum(shared[i].stuck_budget for i in indexes) > SAFE_BUDGET:
            each = max(1, SAFE_BUDGET // len(indexes))
            for i in indexes:
                budget = min(shared[i].stuck_budget, each)
                shared[i] = msgspec.structs.replace(shared[i], stuck_budget=budget)
            texts.append(
                "so that half of its server's workers stay free, each has a stuck budget of at"
                f" most {each}"
            )
        if texts:
            name = one_line(uri, 200)
            notes.append(f"{name} is configured {len(indexes)} times: {'; '.join(texts)}")
    return shared, notes


def _repeated(same_uri: Sequence[Settings]) -> str:
    """What is sampled more than once, and what to do; empty if nothing can be."""
    first, *others = same_uri
    if all(each == first for each in others):
        return (
            f"all of them are the same, so each domain is sampled and sent {len(same_uri)} times;"
            " delete all but one"
        )
    if not any(_overlap(one, other) for one, other in combinations(same_uri, 2)):
        return ""
    return (
        "a domain that several of them select is sampled by each, and what they ask for alike is"
        " sent by each; if that is not meant, have them select other domains or groups"
    )


def _overlap(one: Settings, other: Settings) -> bool:
    """Whether a domain may be asked for the same by both."""
    if one.groups.isdisjoint(other.groups):
        return False
    lists = one.selection.domains, other.selection.domains
    are_names = all(
        each.exact and not (each.patterns or each.uuids or each.labels or each.ignored)
        for each in lists
    )
    return not are_names or not lists[0].exact.isdisjoint(lists[1].exact)
