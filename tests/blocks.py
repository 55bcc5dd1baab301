"""Blocks of collectd's configuration, as its Python module hands them over."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from domstats.config.collectd import parse_collectd
from domstats.config.settings import Parsed, Settings

BLOCK = "collectd.conf, Module domstats.collectd_plugin block 1"


def line(key: str, *values: Any, children: Iterable[Any] = ()) -> Any:
    """A line of collectd's configuration as its Python module hands it over."""
    return SimpleNamespace(key=key, values=values, children=tuple(children))


def block(*lines: Any) -> Settings:
    (settings,) = parsed_block(*lines).settings
    return settings


def parsed_block(*lines: Any) -> Parsed:
    return parse_collectd(line("Module", "domstats.collectd_plugin", children=lines), BLOCK)
