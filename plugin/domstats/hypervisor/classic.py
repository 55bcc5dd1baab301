"""The classic per-domain calls, under the bulk answer's keys.

What a driver does not send in bulk is filled in here, so that everything after sampling sees one
form; and what can be known of a domain without its monitor is asked here. Only ``connection``
uses it. libvirtError passes through: ``connection`` is the border.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Callable, NamedTuple

from ..domain_xml.describe import DiskTarget, device_names
from ..domain_xml.disk_counters import Disk
from ..domain_xml.untold_sizes import untold_disks
from ..model import PAUSED_IOERROR, STATE_PAUSED, STATE_RUNNING, STATE_SHUTOFF, Stats
from .binding import libvirt
from .jobs import add_jobs

#: A libvirt.virDomain, of whatever version.
Domain = Any

#: Errors that say that a driver, or a domain, does not have what was asked for.
_NOT_TO_BE_HAD: frozenset[int] = (
    frozenset()
    if libvirt is None
    else frozenset(
        {
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
            libvirt.VIR_ERR_OPERATION_INVALID,
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_INTERNAL_ERROR,
        }
    )
)

#: The same of a call that waits for the domain's monitor, and did so in vain.
_NOT_TOLD: frozenset[int] = (
    frozenset() if libvirt is None else _NOT_TO_BE_HAD | {libvirt.VIR_ERR_OPERATION_TIMEOUT}
)

#: What controlInfo says of a monitor in which a command is under way.
_OCCUPIED = 2
#: A monitor that has been at one command for so many milliseconds is not asked for counters.
_BUSY_MS = 250

#: Seconds for which the device names of a domain's XML serve.
_DEVICES_FOR_S = 60.0

#: virDomainMemoryStats' names, and the balloon group's.
_MEMORY_KEYS: dict[str, str] = {
    "actual": "balloon.current",
    "swap_in": "balloon.swap_in",
    "swap_out": "balloon.swap_out",
    "major_fault": "balloon.major_fault",
    "minor_fault": "balloon.minor_fault",
    "unused": "balloon.unused",
    "available": "balloon.available",
    "usable": "balloon.usable",
    "rss": "balloon.rss",
    "last_update": "balloon.last-update",
    "disk_caches": "balloon.disk_caches",
    "hugetlb_pgalloc": "balloon.hugetlb_pgalloc",
    "hugetlb_pgfail": "balloon.hugetlb_pgfail",
}

_INTERFACE_KEYS: tuple[str, ...] = (
    "rx.bytes",
    "rx.pkts",
    "rx.errs",
    "rx.drop",
    "tx.bytes",
    "tx.pkts",
    "tx.errs",
    "tx.drop",
)

#: virDomainBlockStatsFlags' names, and those of the bulk answer, in its order.
_COUNTER_KEYS: tuple[tuple[str, str], ...] = (
    ("rd_operations", "rd.reqs"),
    ("rd_bytes", "rd.bytes"),
    ("rd_total_times", "rd.times"),
    ("wr_operations", "wr.reqs"),
    ("wr_bytes", "wr.bytes"),
    ("wr_total_times", "wr.times"),
    ("flush_operations", "fl.reqs"),
    ("flush_total_times", "fl.times"),
)
_BLOCK_KEYS: tuple[str, ...] = ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes", "errors")
_BLOCK_SIZE_KEYS: tuple[str, ...] = ("capacity", "allocation", "physical")


class _Cached(NamedTuple):
    until: float
    disks: tuple[DiskTarget, ...]
    interfaces: tuple[str, ...]


class DeviceCache:
    """The device names of domains, read from their XML again after a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Cached] = {}

    def of(self, domain: Domain) -> tuple[tuple[DiskTarget, ...], tuple[str, ...]]:
        """The disks and the NICs' target devices, in the XML's order (virDomainGetXMLDesc)."""
        now, uuid = self._clock(), domain.UUIDString()
        known = self._known.get(uuid)
        if known is None or known.until < now:
            self._known = {key: value for key, value in self._known.items() if value.until >= now}
            try:
                disks, interfaces = device_names(domain.XMLDesc(0))
            except ValueError:
                disks, interfaces = (), ()
            known = self._known[uuid] = _Cached(now + _DEVICES_FOR_S, disks, interfaces)
        return known.disks, known.interfaces

    def forget(self, domain: Domain) -> None:
        """Read the XML again next time: a device of it has gone."""
        self._known.pop(domain.UUIDString(), None)


def state(domain: Domain) -> Stats:
    """The state group, for a driver without the bulk call (virDomainGetState)."""
    number, reason = domain.state()
    return {"state.state": number, "state.reason": reason}


def complete(domain: Domain, stats: Stats, groups: frozenset[str], devices: DeviceCache) -> None:
    """Add to ``stats`` the groups that the driver did not send in bulk.

    Each group whose keys are missing is asked for by its classic call; one that the driver does
    not have, or that fails for this domain, stays missing. Only a running domain has more than
    a state and its memory.
    """
    present = {key.split(".", 1)[0] for key in stats}
    running = stats.get("state.state") == STATE_RUNNING
    for group, prefix, needs_running, add in _GROUP_CALLS:
        if group in groups and prefix not in present and (running or not needs_running):
            try:
                add(domain, stats, devices)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _NOT_TO_BE_HAD:
                    raise
                devices.forget(domain)


def add_classic(domain: Domain, stats: Stats, wanted: frozenset[str]) -> bool:
    """Add values, of ``model.CLASSIC``, by calls that need no monitor and never block; but for the
    errors of disks and the job that runs, for which the monitor is asked if it has just answered.

    A domain that is not started has none but its affinities.

    :returns: False if the domain has ended meanwhile.
    """
    if stats.get("state.state") == STATE_SHUTOFF:
        wanted &= {"affinity"}
    try:
        for add in _calls_for(wanted):
            try:
                add(domain, stats, wanted)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _NOT_TO_BE_HAD:
                    raise
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise
    return True


def add_disk_counters(domain: Domain, stats: Stats, disks: Sequence[Disk]) -> bool:
    """Add the counters of disks, under the keys of the bulk answer, without a look at their files.

    Nothing is added for a domain that does not run, or whose monitor is busy with a command that
    takes longer than usual: this call would wait for it.

    :returns: False if the domain has ended meanwhile.
    """
    if not disks:
        return True
    counted: Stats = {"block.count": len(disks)}
    try:
        state, _, busy_ms = domain.controlInfo()
        if state == _OCCUPIED and busy_ms >= _BUSY_MS:
            return True
        for disk in disks:
            counted.update(_counters(domain, disk))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        if error.get_error_code() not in _NOT_TOLD:
            raise
        return True
    stats.update(counted)
    return True


def _counters(domain: Domain, disk: Disk) -> Stats:
    """A disk's name and counters; nothing of a disk that has none (vhost-user)."""
    try:
        values = domain.blockStatsFlags(disk.target)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _NOT_TO_BE_HAD:
            raise
        return {}
    counted: Stats = {f"block.{disk.number}.name": disk.target}
    if disk.path:
        counted[f"block.{disk.number}.path"] = disk.path
    for name, key in _COUNTER_KEYS:
        if name in values:
            counted[f"block.{disk.number}.{key}"] = values[name]
    return counted


def add_disk_sizes(domain: Domain, stats: Stats, images: frozenset[str]) -> bool:
    """Add the sizes of the disks of which a complete bulk answer does not tell them.

    They are ``block.<n>.info.allocation`` and ``block.<n>.info.physical``, in bytes.

    :param images: the targets of disks that are qcow2 files.
    :returns: False if the domain has ended meanwhile.
    """
    for target, keys in list(untold_disks(stats, images)):
        try:
            _, stats[keys.info_allocation], stats[keys.info_physical] = domain.blockInfo(target)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return False
            if error.get_error_code() not in _NOT_TOLD:
                raise
    return True


def _add_info(domain: Domain, stats: Stats, wanted: frozenset[str]) -> None:
    state_number, maximum, memory, vcpus, cpu_time = domain.info()
    stats["balloon.used" if "usage" in wanted else "balloon.current"] = memory
    stats["balloon.maximum"] = maximum
    stats["vcpu.current"] = vcpus
    if state_number != STATE_SHUTOFF:  # as it is if it has been stopped since it was listed
        stats["cpu.time"] = cpu_time


def _add_cpu_values(domain: Domain, stats: Stats, wanted: frozenset[str]) -> None:
    total = domain.getCPUStats(True)[0]
    for name, key in _CPU_KEYS:
        if name in total and ("cpu" in wanted or key != "cpu.time"):
            stats[key] = total[name]


def _add_vcpu_values(domain: Domain, stats: Stats, wanted: frozenset[str]) -> None:
    try:
        states, maps = domain.vcpus()
    except libvirt.libvirtError:
        if "affinity" not in wanted:
            raise
        # Of a domain that is not started. They are in the order of the vCPUs' numbers.
        states, maps = (), domain.vcpuPinInfo()
    if "vcpus" in wanted:
        stats.setdefault("vcpu.current", len(states))
    for number, state_number, cpu_time, cpu in states:
        if "vcpus" in wanted:
            stats[f"vcpu.{number}.state"] = state_number
            stats[f"vcpu.{number}.time"] = cpu_time
        if "placement" in wanted:
            stats[f"vcpu.{number}.cpu"] = cpu
    if "affinity" in wanted:
        # virDomainGetVcpus leaves out vCPUs that are not plugged in, here as in the states.
        numbers = [state[0] for state in states] or range(len(maps))
        for number, allowed in zip(numbers, maps):
            cpus = ",".join(str(cpu) for cpu, usable in enumerate(allowed) if usable)
            if cpus:
                stats[f"vcpu.{number}.affinity"] = cpus


def _add_disk_errors(domain: Domain, stats: Stats, _wanted: frozenset[str]) -> None:
    """QEMU stops a guest when a disk has an error to tell, and forgets it when the guest goes on:
    one that does not stand still for that has none."""
    if (stats.get("state.state"), stats.get("state.reason")) != (STATE_PAUSED, PAUSED_IOERROR):
        return
    indexes = [key[: -len(".rd.reqs")] for key in stats if key.endswith(".rd.reqs")]
    if indexes:
        errors = domain.diskErrors()
        for index in indexes:
            error = errors.get(stats.get(f"{index}.name"))
            if error:
                stats[f"{index}.error"] = error


_Add = Callable[[Domain, Stats, frozenset[str]], None]

#: The values that a call gives, and who makes it: virDomainGetInfo, virDomainGetCPUStats (total),
#: virDomainGetVcpus, virDomainGetDiskErrors, virDomainGetJobStats. What two of them give is the
#: later one's.
_CLASSIC_CALLS: tuple[tuple[frozenset[str], _Add], ...] = (
    (frozenset({"info", "usage"}), _add_info),
    (frozenset({"cpu", "modes"}), _add_cpu_values),
    (frozenset({"vcpus", "placement", "affinity"}), _add_vcpu_values),
    (frozenset({"errors"}), _add_disk_errors),
    (frozenset({"running_job", "completed_job"}), add_jobs),
)


@lru_cache(maxsize=64)
def _calls_for(wanted: frozenset[str]) -> tuple[_Add, ...]:
    """Who makes the calls for these values."""
    return tuple([add for names, add in _CLASSIC_CALLS if not wanted.isdisjoint(names)])


def _add_cpu(domain: Domain, stats: Stats, _devices: object) -> None:
    _add_cpu_values(domain, stats, frozenset({"cpu"}))


def _add_vcpus(domain: Domain, stats: Stats, _devices: object) -> None:
    _add_vcpu_values(domain, stats, frozenset({"vcpus"}))


def _add_balloon(domain: Domain, stats: Stats, _devices: object) -> None:
    stats["balloon.maximum"] = domain.info()[1]
    for name, value in domain.memoryStats().items():
        key = _MEMORY_KEYS.get(name)
        if key is not None:
            stats[key] = value


def _add_interfaces(domain: Domain, stats: Stats, devices: DeviceCache) -> None:
    _, interfaces = devices.of(domain)
    stats["net.count"] = len(interfaces)
    for index, device in enumerate(interfaces):
        values = domain.interfaceStats(device)
        stats[f"net.{index}.name"] = device
        _add_known(stats, f"net.{index}.", _INTERFACE_KEYS, values)


def _add_blocks(domain: Domain, stats: Stats, devices: DeviceCache) -> None:
    disks, _ = devices.of(domain)
    stats["block.count"] = len(disks)
    for index, disk in enumerate(disks):
        values = domain.blockStats(disk.name)
        stats[f"block.{index}.name"] = disk.name
        if disk.source:
            stats[f"block.{index}.path"] = disk.source
        _add_known(stats, f"block.{index}.", _BLOCK_KEYS, values)
        if disk.source:
            sizes = domain.blockInfo(disk.name)
            _add_known(stats, f"block.{index}.", _BLOCK_SIZE_KEYS, sizes)


def _add_known(stats: Stats, prefix: str, keys: Sequence[str], values: Sequence[int]) -> None:
    """Add the values that the driver knows: it says -1 for those that it does not."""
    for key, value in zip(keys, values):
        if value >= 0:
            stats[prefix + key] = value


_CPU_KEYS = (("cpu_time", "cpu.time"), ("user_time", "cpu.user"), ("system_time", "cpu.system"))

#: Group, the first word of its keys, whether only a running domain has it, and who adds it.
_GROUP_CALLS: tuple[tuple[str, str, bool, Callable[[Domain, Stats, DeviceCache], None]], ...] = (
    ("cpu_total", "cpu", True, _add_cpu),
    ("balloon", "balloon", True, _add_balloon),
    ("vcpu", "vcpu", True, _add_vcpus),
    ("interface", "net", True, _add_interfaces),
    ("block", "block", True, _add_blocks),
)
