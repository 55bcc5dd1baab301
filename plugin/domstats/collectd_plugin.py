"""The module that collectd's Python plugin imports: configuration in, value lists out.

collectd hands over each ``<Module>`` block, then calls ``init`` once, ``read`` at each interval in
threads of its own, and ``shutdown``. Each hypervisor has a read callback of its own, so that a
slow one delays nobody else's. No thread is started before ``init``, since collectd becomes a
daemon just before it.

It must not know what is sampled, or how values are named.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from .adapter import (
    LazySampler,
    LogFunction,
    MakeSampler,
    RoundDeadline,
    SamplerLike,
    Unexpected,
    release,
    sampler,
)
from .errors import ConfigError
from .model import FAST_GROUPS, Sample
from .settings import Settings, from_nothing, parse_collectd, share_budget
from .shown import cut_bytes, one_line
from .value_lists import Batch, CollectdOptions, Notification, ValueLists

#: What ``Import`` and ``<Module>`` call us.
MODULE = "domstats.collectd_plugin"
#: Bytes of a log line; collectd cuts at 1,023 with its own words before ours.
LINE_BYTES = 980
#: Seconds for which shutting down waits for samplers to close.
CLOSE_S = 0.7


def register_plugin(collectd: Any, make_sampler: MakeSampler = sampler) -> None:
    """Register with collectd.

    :param collectd: collectd's Python module.
    """
    plugin = _Plugin(collectd, make_sampler)
    collectd.register_config(plugin.configure, name=MODULE)
    collectd.register_init(plugin.start, name=MODULE)
    collectd.register_shutdown(plugin.stop, name=MODULE)


class _Plugin:
    """What collectd calls."""

    def __init__(self, collectd: Any, make_sampler: MakeSampler) -> None:
        self._collectd = collectd
        self._make_sampler = make_sampler
        self._log = collectd_log(collectd)
        self._blocks = 0
        self._settings: list[Settings] = []
        self._readers: list[_Reader] = []

    def configure(self, config: Any) -> None:
        """One ``<Module>`` block. One with a mistake is told of and not sampled; others are."""
        self._blocks += 1
        try:
            parsed = parse_collectd(config, f"collectd.conf, Module {MODULE} block {self._blocks}")
        except ConfigError as error:
            for text in error.mistakes:
                self._log("error", f"{text}; this block is not sampled")
            return
        except Exception as error:
            Unexpected(lambda text: self._log("error", text))("reading the configuration", error)
            return
        self._settings.extend(parsed.settings)
        for text in parsed.warnings:
            self._log("warning", text)

    def start(self) -> None:
        """Configuration is complete, and threads are allowed from here on."""
        settings = self._settings
        if not self._blocks:  # Import alone: the local hypervisor, as with LoadPlugin virt
            settings = from_nothing().settings
        settings, warnings = share_budget(settings)
        for text in warnings:
            self._log("warning", text)
        for number, hypervisor in enumerate(settings, 1):
            instance = hypervisor.uri if len(settings) > 1 else ""
            shared = LazySampler(hypervisor, self._log, self._make_sampler)
            options = collectd_options(hypervisor, instance)
            fast = hypervisor.fast_interval
            if fast is not None:
                self._read_fast(f"domstats-{number}-fast", fast, hypervisor, options, shared)
                options = msgspec.structs.replace(options, groups=options.groups - FAST_GROUPS)
            reader = _Reader(self._collectd, hypervisor, options, shared, self._log)
            self._readers.append(reader)
            interval = {"interval": hypervisor.interval} if hypervisor.interval_fixed else {}
            self._collectd.register_read(reader.read, name=f"domstats-{number}", **interval)

    def _read_fast(
        self,
        name: str,
        interval: float,
        settings: Settings,
        options: CollectdOptions,
        shared: LazySampler,
    ) -> None:
        """Register the read of a fast lane."""
        paced = msgspec.structs.replace(settings, deadline=None)
        fast = msgspec.structs.replace(options, groups=FAST_GROUPS, report_round=False)
        reader = _FastReader(self._collectd, paced, fast, shared, self._log, interval)
        self._collectd.register_read(reader.read, name=name, interval=interval)

    def stop(self) -> None:
        """End soon, whatever hangs."""
        closers = [threading.Thread(target=each.close, daemon=True) for each in self._readers]
        for closer in closers:
            closer.start()
        until = time.monotonic() + CLOSE_S
        for closer in closers:
            closer.join(max(0.0, until - time.monotonic()))
        release()  # collectd's own plugin virt may go on using libvirt when Python has ended


class _Reader:
    """Reads one hypervisor."""

    def __init__(
        self,
        collectd: Any,
        settings: Settings,
        options: CollectdOptions,
        shared: LazySampler,
        log: LogFunction,
        interval: float | None = None,
    ) -> None:
        self._collectd = collectd
        self._uri = settings.uri
        self._sampler = shared
        self._closed = False
        self._deadline = RoundDeadline(settings, interval)
        self._value_lists = ValueLists(options)
        self._values = collectd.Values()
        self._log = log
        self._unexpected = Unexpected(lambda text: log("error", text))

    def read(self, data: object = None) -> None:
        """A round. It never raises: collectd would call it less and less often."""
        try:
            self._deadline.tick(time.monotonic())
            complaint = self._deadline.complaint()
            if complaint:
                self._log("warning", f"{self._uri}: {complaint}")
            sample = self._ask(self._sampler.get())
            self._dispatch(self._value_lists.translate(sample, self._deadline.interval))
            for notification in self._value_lists.notifications(sample):
                self._notify(notification)
        except Exception as error:
            if not self._closed:
                self._unexpected(f"{self._uri}: a round failed", error)

    def close(self) -> None:
        """Let go of the hypervisor, without waiting for it."""
        self._closed = True
        self._sampler.close()

    def _ask(self, sampler: SamplerLike) -> Sample:
        return sampler.sample(self._deadline.seconds, take=self._dispatch_part)

    def _dispatch_part(self, part: Sample) -> None:
        """Hand over what is complete while the round goes on: nothing of it has to be kept."""
        self._dispatch(self._value_lists.take(part, self._deadline.interval))

    def _dispatch(self, batches: Iterable[Batch]) -> None:
        """Hand over their value lists. What collectd does not take costs nothing else."""
        dispatch = self._values.dispatch
        for host, plugin, plugin_instance, time_s, heads, values_of in batches:
            for (type_, instance, interval_s), values in zip(heads, values_of):
                if values is not None:
                    try:  # arguments in the order in which collectd-python(5) has them
                        dispatch(
                            type_, values, plugin_instance, instance, plugin, host, time_s,
                            interval_s,
                        )  # fmt: skip
                    except Exception as error:
                        self._unexpected(f"collectd does not take values of type {type_}", error)

    def _notify(self, notification: Notification) -> None:
        severity = {
            "okay": self._collectd.NOTIF_OKAY,
            "warning": self._collectd.NOTIF_WARNING,
        }.get(notification.severity, self._collectd.NOTIF_FAILURE)
        self._collectd.Notification(
            type=notification.type,
            message=notification.message,
            plugin_instance=notification.plugin_instance,
            type_instance=notification.type_instance,
            plugin=notification.plugin,
            host=notification.host,
            time=notification.time_s,
            severity=severity,
        ).dispatch()


class _FastReader(_Reader):
    """Reads one hypervisor's fast lane, at an interval of its own."""

    def _ask(self, sampler: SamplerLike) -> Sample:
        return sampler.sample_fast(self._deadline.seconds, take=self._dispatch_part)


def collectd_options(settings: Settings, instance: str = "") -> CollectdOptions:
    """What the writer of value lists needs of the settings.

    :param instance: the plugin instance of values about rounds.
    """
    return CollectdOptions(
        hostname_format=settings.hostname_format,
        plugin_instance_format=settings.plugin_instance_format or ("none",),
        hostname=_hostname(settings),
        interface_format=settings.interface_format,
        block_device_format=settings.block_device_format,
        block_device_format_basename=settings.block_device_format_basename,
        wants_block=settings.selection.wants_block_device,
        wants_interface=settings.selection.wants_interface_device,
        report_block_devices=settings.report_block_devices,
        report_network_interfaces=settings.report_network_interfaces,
        extra_stats=settings.extra_stats,
        every=settings.every,
        report_round=settings.report_round,
        round_instance=instance,
    )


def _hostname(settings: Settings) -> str:
    """collectd's Hostname, where a combination needs it; empty leaves it to collectd itself."""
    alone = settings.hostname_format == ("hostname",)
    needed = "hostname" in settings.plugin_instance_format or (
        "hostname" in settings.hostname_format and not alone
    )
    if settings.hostname or not needed:
        return settings.hostname
    name = socket.gethostname()
    try:
        found = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)
    except OSError:
        return name
    return found[0][3] or name


def collectd_log(collectd: Any) -> LogFunction:
    """collectd's log, one bounded line each."""
    levels = {"error": collectd.error, "warning": collectd.warning, "debug": collectd.debug}

    def log(level: str, text: str) -> None:
        line = cut_bytes(f"domstats: {one_line(text)}", LINE_BYTES)
        levels.get(level, collectd.info)(line)

    return log


try:
    import collectd as _collectd
except ImportError:  # not in collectd: somebody imports us for a test or for documentation
    pass
else:
    register_plugin(_collectd)
