"""The module that collectd's Python plugin imports: configuration in, value lists out.

collectd hands over each ``<Module>`` block, then calls ``init`` once, ``read`` at each interval in
threads of its own, and ``shutdown``. Each hypervisor has a read callback of its own, so that a
slow one delays nobody else's. No thread is started before ``init``, since collectd becomes a
daemon just before it.

It must not know what is sampled, or how values are named.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

try:
    import msgspec
except ImportError as missing:  # the only package that collectd's Python has to have beside ours
    raise ImportError(
        f"{missing}: domstats needs msgspec for Python {sys.version.split()[0]}, which collectd"
        " embeds; name the folder that has it with ModulePath, above the Import; it was looked for"
        f" in {', '.join(sys.path)}"
    ) from missing

from .agents.adapter import (
    ErrorOnce,
    LazySampler,
    LogFunction,
    MakeSampler,
    RoundDeadline,
    SamplerLike,
    release,
    sampler,
)
from .agents.collectd_daemon import Configuration, Daemon, has_loaded, this_daemon
from .agents.collectd_output import collectd_options, series_limit
from .agents.read_threads import share
from .config.collectd import MODULE, from_nothing, parse_collectd
from .config.settings import Parsed, Settings, share_budget
from .errors import ConfigError
from .model import FAST_GROUPS, Sample
from .output.disk_rows import OWN_EXTRA_STATS
from .output.guest_agents import NOTICE_TYPE, Meta
from .output.series_count import SeriesLimit
from .output.value_lists import Batch, CollectdOptions, Notification, ValueLists
from .shown import cut_bytes, one_line

#: Bytes of a log line; collectd cuts at 1,023 with its own words before ours.
LINE_BYTES = 980
#: Of a collectd of which nothing is known.
NOT_KNOWN = Daemon()
#: Seconds for which shutting down waits for samplers to close.
CLOSE_S = 0.7


def register_plugin(
    collectd: Any,
    make_sampler: MakeSampler = sampler,
    daemon: Daemon = NOT_KNOWN,
    has_loaded: Callable[[str], bool] = has_loaded,
) -> None:
    """Register with collectd.

    :param collectd: collectd's Python module.
    :param daemon: how collectd was started.
    :param has_loaded: tells whether collectd has loaded a plugin written in C.
    """
    plugin = _Plugin(collectd, make_sampler, daemon, has_loaded)
    collectd.register_config(plugin.configure, name=MODULE)
    collectd.register_init(plugin.start, name=MODULE)
    collectd.register_shutdown(plugin.stop, name=MODULE)


class _Plugin:
    """What collectd calls."""

    def __init__(
        self,
        collectd: Any,
        make_sampler: MakeSampler,
        daemon: Daemon,
        has_loaded: Callable[[str], bool],
    ) -> None:
        self._collectd = collectd
        self._make_sampler = make_sampler
        self._tests = daemon.tests
        self._has_loaded = has_loaded
        self._configuration = Configuration(daemon)
        self._log = collectd_log(collectd)
        self._blocks = 0
        self._settings: list[Settings] = []
        self._readers: list[_Reader] = []

    def configure(self, config: Any) -> None:
        """One ``<Module>`` block. One with a mistake is told of and not sampled; others are.

        :raises CollectdError: it has a mistake, and collectd tests its configuration.
        """
        self._blocks += 1
        try:
            parsed = self._parsed(config)
        except ConfigError as error:
            for text in error.mistakes:
                self._log("error", f"{text}; this block is not sampled")
            self._fail_test("a Module block has a mistake, which is told above")
        except Exception as error:
            ErrorOnce(lambda text: self._log("error", text))("reading the configuration", error)
            self._fail_test("a Module block cannot be read, as is told above")
        else:
            self._settings.extend(parsed.settings)
            for text in parsed.warnings:
                self._log("warning", text)

    def _parsed(self, config: Any) -> Parsed:
        """A block's settings; what is wrong with it names the file and line that it is in."""
        source = f"collectd.conf, Module {MODULE} block {self._blocks}"
        try:
            parsed = parse_collectd(config, source)
        except ConfigError:
            parsed = None
        if parsed is not None and not parsed.warnings:
            return parsed
        place = self._configuration.place(MODULE, self._blocks, config)
        return parse_collectd(config, f"{place}, Module {MODULE}" if place else source)

    def _fail_test(self, text: str) -> None:
        """Have a test of collectd's configuration end with a status that says so.

        When collectd runs, nothing is raised: it would not start.
        """
        if self._tests:
            raise self._collectd.CollectdError(f"domstats: {text}")

    def start(self) -> None:
        """Configuration is complete, and threads are allowed from here on."""
        settings, warnings = share_budget(self._all_settings())
        for text in warnings:
            self._log("warning", text)
        settings, text = share(settings, self._configuration.read_threads)
        if text:
            self._log("info", text)
        if self._has_loaded("virt"):
            text = self._configuration.beside(settings)
            if text:
                self._log("warning", text)
        for number, hypervisor in enumerate(settings, 1):
            self._register(number, hypervisor, hypervisor.uri if len(settings) > 1 else "")

    def _all_settings(self) -> list[Settings]:
        """The hypervisors to sample, with what collectd's own configuration says of defaults."""
        lost = self._configuration.misnamed(MODULE)
        for text in lost:
            self._log("error", text)
        if lost and self._tests:
            self._collectd.register_read(self._fail_read, name="domstats-test")
        settings = self._settings
        if not self._blocks and not lost:  # Import alone: the local hypervisor, as LoadPlugin virt
            settings = from_nothing().settings
            self._log(
                "info",
                f'there is no block <Module "{MODULE}">: {settings[0].uri} is sampled with the'
                " defaults; `domstats config collectd` prints a block with every option",
            )
        conf = self._configuration.conf
        if conf is None:
            return settings
        return [
            msgspec.structs.replace(
                each,
                interval=each.interval if each.interval_fixed else conf.interval,
                hostname=each.hostname or conf.hostname,
            )
            for each in settings
        ]

    def _fail_read(self, data: object = None) -> None:
        self._fail_test("a Module block is ignored, as is told above")

    def _register(self, number: int, hypervisor: Settings, instance: str) -> None:
        """Register the reads of one hypervisor.

        :param instance: the plugin instance of values about its rounds.
        """
        shared = LazySampler(hypervisor, self._log, self._make_sampler)
        options = collectd_options(hypervisor, instance)
        limit = series_limit(hypervisor)
        if hypervisor.fast_interval is not None:
            self._read_fast(f"domstats-{number}-fast", hypervisor, options, shared, limit)
            options = msgspec.structs.replace(options, groups=options.groups - FAST_GROUPS)
        reader = _Reader(self._collectd, hypervisor, options, shared, self._log, limit=limit)
        self._readers.append(reader)
        interval = {"interval": hypervisor.interval} if hypervisor.interval_fixed else {}

        def read_or_fail(data: object = None) -> None:
            reader.read()
            if not reader.connected:
                self._fail_test(f"{one_line(hypervisor.uri, 200)} could not be sampled")

        read = read_or_fail if self._tests else reader.read
        self._collectd.register_read(read, name=f"domstats-{number}", **interval)

    def _read_fast(
        self,
        name: str,
        settings: Settings,
        options: CollectdOptions,
        shared: LazySampler,
        limit: SeriesLimit | None,
    ) -> None:
        """Register the read of a fast lane."""
        interval = settings.fast_interval
        paced = msgspec.structs.replace(settings, deadline=None)
        fast = msgspec.structs.replace(
            options,
            groups=FAST_GROUPS,
            report_round=False,
            rates=False,
            host=False,
            figures=frozenset(),
            extra_stats=options.extra_stats - OWN_EXTRA_STATS,
            jobs=False,
            state_changes=False,
        )
        reader = _FastReader(self._collectd, paced, fast, shared, self._log, interval, limit)
        self._readers.append(reader)
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
        limit: SeriesLimit | None = None,
    ) -> None:
        self._collectd = collectd
        self._uri = settings.uri
        self._sampler = shared
        self._closed = False
        self.connected = False
        self._deadline = RoundDeadline(settings, interval)
        self._limit = limit
        self._value_lists = ValueLists(options, limit, "rounds" if interval is None else "fast")
        self._values = collectd.Values()
        self._log = log
        self._unexpected = ErrorOnce(lambda text: log("error", text))
        self._lacks_type = False

    def read(self, data: object = None) -> None:
        """A round. It never raises: collectd would call it less and less often."""
        try:
            self._deadline.tick(time.monotonic())
            complaint = self._deadline.complaint()
            if complaint:
                self._log("warning", f"{self._uri}: {complaint}")
            self.connected = False
            sample = self._ask(self._sampler.get())
            self.connected = sample.round.connected
            self._dispatch(self._value_lists.translate(sample, self._deadline.interval))
            for notification in self._value_lists.notifications(sample):
                self._notify(notification)
            for level, text in self._limit.take_log() if self._limit is not None else ():
                self._log(level, f"{self._uri}: {text}")
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
        if notification.type == NOTICE_TYPE and not self._has_notice_type():
            return
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
            **({"meta": self._meta(notification.meta)} if notification.meta else {}),
        ).dispatch()

    def _meta(self, meta: Meta) -> dict[str, Any]:
        """What goes with a notification, as collectd takes it."""
        unsigned = self._collectd.Unsigned
        return {
            _Name(name): unsigned(value) if isinstance(value, int) else value
            for name, value in meta
        }

    def _has_notice_type(self) -> bool:
        """Whether collectd knows the type of fs_info's notifications.

        Plugin virt sends them without; what comes from Python is checked.
        """
        if self._lacks_type:
            return False
        try:
            self._collectd.get_dataset(NOTICE_TYPE)
        except TypeError:
            self._lacks_type = True
            own = os.path.join(os.path.dirname(__file__), "collectd.types.db")
            self._log(
                "warning",
                f"collectd has no type {NOTICE_TYPE}, so ExtraStats fs_info sends no notifications:"
                f' write TypesDB "/usr/share/collectd/types.db" "{own}" in collectd.conf (the first'
                " is collectd's own); the file systems' sizes are sent all the same",
            )
        return not self._lacks_type


class _Name(str):
    """A name in a dict that may have it more than once, as collectd's meta data may."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class _FastReader(_Reader):
    """Reads one hypervisor's fast lane, at an interval of its own."""

    def _ask(self, sampler: SamplerLike) -> Sample:
        return sampler.sample_fast(self._deadline.seconds, take=self._dispatch_part)


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
    register_plugin(_collectd, daemon=this_daemon())
