"""domstats: statistics of every domain of a libvirt hypervisor, for collectd and Telegraf.

As a library, these names are the package's public interface (docs/library.md): ``Hypervisor`` and
``AsyncHypervisor`` ask, ``Sample`` and what it consists of is the answer. They are imported when
they are used first, so that the agents' adapters import no more than they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import (
        ConfigError,
        DomstatsError,
        HypervisorError,
        NoSuchDomainError,
        QueryCancelledError,
    )
    from .library import AsyncHypervisor, DomainsUnresponsiveError, Hypervisor, Query
    from .model import Change, Devices, DomainEvent, DomainSample, Round, Sample, Status
    from .rates import DiskRates, DomainRates, NicRates, Rates, VcpuRates

#: The version: setup.cfg reads it here, and so does whoever tells it to users.
__version__ = "0.2.0"

__all__ = [
    "AsyncHypervisor",
    "Change",
    "ConfigError",
    "Devices",
    "DiskRates",
    "DomainEvent",
    "DomainRates",
    "DomainSample",
    "DomainsUnresponsiveError",
    "DomstatsError",
    "Hypervisor",
    "HypervisorError",
    "NicRates",
    "NoSuchDomainError",
    "Query",
    "QueryCancelledError",
    "Rates",
    "Round",
    "Sample",
    "Status",
    "VcpuRates",
]

_MODULES = {
    "library": ("AsyncHypervisor", "DomainsUnresponsiveError", "Hypervisor", "Query"),
    "model": ("Change", "Devices", "DomainEvent", "DomainSample", "Round", "Sample", "Status"),
    "rates": ("DiskRates", "DomainRates", "NicRates", "Rates", "VcpuRates"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    return getattr(import_module(f".{module}", __name__), name)
