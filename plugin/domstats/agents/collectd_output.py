"""What collectd's writer of value lists needs of the settings.

It must not know collectd's Python module, so that the command line can use it too.
"""

from __future__ import annotations

import socket

from ..config.settings import Settings
from ..output.device_tables import INTERFACES, THROTTLE
from ..output.series_count import SeriesLimit
from ..output.value_lists import CollectdOptions


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
        rates=settings.rates,
        host=settings.host,
        figures=_figures(settings),
        jobs=settings.jobs,
        guest_agent_interval=settings.guest_agent_interval,
        drop_types=settings.drop_types,
        totals=settings.totals,
        persistent_notification=settings.persistent_notification,
        round_instance=instance,
    )


def _figures(settings: Settings) -> frozenset[str]:
    """What is sent beside the statistics, without devices that are not reported."""
    hidden = set()
    if not settings.report_block_devices:
        hidden.add(THROTTLE)
    if not settings.report_network_interfaces:
        hidden.add(INTERFACES)
    return settings.figures - hidden


def series_limit(settings: Settings) -> SeriesLimit | None:
    """What warns of too many series, if the user wants that."""
    if settings.max_series is None:
        return None
    return SeriesLimit(
        settings.max_series,
        "MaxSeries",
        "leave out what you do not need (ExtraStats, Totals, DropTypes)",
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
