"""Switched on and off: the configuration that a package has put beside an agent's own.

A package installs it where the agent does not look, or under a name that it passes over. Switched
on, there is a link to it under a name that the agent reads. It must not know what is in it, nor how
a command line is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from subprocess import CompletedProcess
from typing import NamedTuple

from ..errors import DomstatsError
from ..shown import one_line
from . import programs

#: Seconds for an agent to stop and start again. Telegraf gives its children 5 s to end.
_PATIENCE_S = 120.0
#: There, where systemd is the init system.
SYSTEMD = "/run/systemd/system"


class Switch(NamedTuple):
    """An agent's configuration that can be switched on and off.

    :param available: the path of what a package has installed.
    :param link: the path of what the agent reads.
    """

    agent: str
    available: str
    link: str

    @property
    def on(self) -> bool:
        """Whether the agent reads a file of that name, be it the package's or another."""
        return os.path.lexists(self.link)

    @property
    def linked(self) -> bool:
        """Whether what it reads is the package's."""
        return os.path.islink(self.link) and os.path.realpath(self.link) == os.path.realpath(
            self.available
        )


#: What packages install, and what the agent reads: Debian's first, then that of Fedora and RHEL,
#: whose collectd reads whatever is in its folder.
PLACES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "collectd": (
        (
            "/etc/collectd/collectd.conf.d/domstats.conf.available",
            "/etc/collectd/collectd.conf.d/domstats.conf",
        ),
        ("/etc/domstats/collectd.conf", "/etc/collectd.d/domstats.conf"),
    ),
    "telegraf": (
        (
            "/etc/telegraf/telegraf.d/domstats.conf.available",
            "/etc/telegraf/telegraf.d/domstats.conf",
        ),
        ("/etc/domstats/telegraf.conf", "/etc/telegraf/telegraf.d/domstats.conf"),
    ),
}


def switch_of(agent: str) -> Switch | None:
    """The switch that a package has installed for an agent. None where there is no such package."""
    for available, link in PLACES[agent]:
        if os.path.isfile(available):
            return Switch(agent, available, link)
    return None


def enable(agent: str) -> str:
    """Have an agent read the package's configuration.

    :return: what was done.
    :raises DomstatsError: it cannot be done.
    """
    switch = _installed(agent)
    if switch.linked:
        return f"{agent}: domstats was switched on already"
    if switch.on:
        raise DomstatsError(
            f"{switch.link} is there, and is not the package's: {agent} reads that file. Compare it"
            f" with {switch.available}, move it away, and try again"
        )
    try:
        folder, name = os.path.split(switch.available)
        beside = folder == os.path.dirname(switch.link)
        os.symlink(name if beside else switch.available, switch.link)
    except OSError as error:
        raise _denied(switch, error) from None
    return f"{agent}: domstats is switched on ({switch.link})"


def disable(agent: str) -> str:
    """Have an agent no longer read the package's configuration, which stays.

    :return: what was done.
    :raises DomstatsError: it cannot be done.
    """
    switch = _installed(agent)
    if not switch.on:
        return f"{agent}: domstats was switched off already"
    if not switch.linked:
        raise DomstatsError(
            f"{switch.link} is not the package's: {agent} reads that file. Move it away yourself,"
            " as it may hold settings that are nowhere else"
        )
    try:
        os.unlink(switch.link)
    except OSError as error:
        raise _denied(switch, error) from None
    return f"{agent}: domstats is switched off"


def restart(agent: str) -> tuple[bool, str]:
    """Restart an agent that runs as a service of systemd's, which has it read its configuration.

    :return: whether nothing went wrong, and what was done.
    """
    unit = f"{agent}.service"
    if not os.path.isdir(SYSTEMD):
        return True, f"restart {agent}, which reads its configuration when it starts"
    active = _systemctl("is-active", "--quiet", unit)
    if active is None or active.returncode:
        return True, f"{agent} does not run; to start it: systemctl start {agent}"
    done = _systemctl("restart", unit)
    if done is None:
        return False, f"{agent} could not be restarted; see: systemctl status {agent}"
    if done.returncode:
        said = one_line(" ".join(done.stderr.split()), 300)
        return False, f"{agent} could not be restarted ({said}); see: journalctl -u {agent}"
    return True, f"{agent} has been restarted"


def _installed(agent: str) -> Switch:
    switch = switch_of(agent)
    if switch is None:
        places = " nor ".join(available for available, _ in PLACES[agent])
        raise DomstatsError(
            f"there is neither {places}: install the package {agent}-domstats, or,"
            f" without packages, write the configuration that `domstats config {agent}` prints"
        )
    return switch


def _denied(switch: Switch, error: OSError) -> DomstatsError:
    remedy = "; do it as root" if os.geteuid() else ""
    return DomstatsError(f"{switch.link}: {error.strerror}{remedy}")


def _systemctl(*words: str) -> CompletedProcess[str] | None:
    return programs.ended(["systemctl", *words], _PATIENCE_S)
