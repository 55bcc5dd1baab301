"""In one collectd, domstats and the C plugin virt tell the same of the same guests.

Both call themselves ``virt``, so ours gets a plugin instance here: our Hostname, ``ours``.
With other options each plugin has a collectd of its own, with literally the same options.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd
from tests.system.agreement import At, differences
from tests.system.bed import Shape
from tests.system.configurations import EXTRA_STATS, python_plugin, virt_plugin
from tests.system.waiting import wait_for

TICKS_NS = 2 * 10_000_000
OURS = 'PluginInstanceFormat "hostname"\nHostname "ours"'

#: By the beginning of the type and type instance: how far ours may lie beyond the neighbours.
SLACK = {
    "virt_cpu_total": TICKS_NS,  # virt has the process's clock ticks
    "ps_cputime": TICKS_NS,
    "percent-virt_cpu_total": 100.0,  # of a CPU that is used by fits and starts
    "memory-rss": 4096 * 1024,
}

#: Names that libvirt allows and others stumble over.
HOSTILE = (
    "a b, c=d",
    'say "hello" \\ bye',
    "100% %s%n $(id) `id`",
    "größe-日本-🐧",
    "hid..den",
    "dots.and:colons*?[x]",
)

#: The options of both plugins; then what only ours needs besides.
COMBINATIONS = {
    "plain": ("", ""),
    "our host, name as plugin instance": (
        'HostnameFormat "hostname"\nPluginInstanceFormat "name"',
        "",
    ),
    "name and uuid, NICs by address": (
        'HostnameFormat "name" "uuid"\nPluginInstanceFormat "uuid" "name"\n'
        'InterfaceFormat "address"',
        "",
    ),
    "our host and the name": (
        'HostnameFormat "hostname" "name"\nPluginInstanceFormat "none" "name"',
        'Hostname "collectd"',
    ),
    "some domains, NICs by number": (
        'Domain "web-1"\nDomain "/^sh.p,.gr/"\nDomain "/[[:digit:]]$/"\nInterfaceFormat "number"',
        "",
    ),
    "disks by source": ('BlockDeviceFormat "source"', ""),
    "disks by the source's last part": (
        'BlockDeviceFormat "source"\nBlockDeviceFormatBasename true\n'
        'BlockDevice "/web-1:.*vdb/"\nIgnoreSelected true',
        "",
    ),
    "all but some": (
        'Domain "/%s/"\nBlockDevice "/:vdb$/"\nInterfaceDevice "/^web-1:/"\n'
        'BlockDevice "guest-5:vda"\nIgnoreSelected true',
        "",
    ),
    "only some devices": (
        'BlockDevice "web-1:vda"\nInterfaceDevice "/^guest-.:nic/"\nIgnoreSelected false',
        "",
    ),
    "NICs by number, the second": (
        'InterfaceFormat "number"\nInterfaceDevice "web-1:2"\nIgnoreSelected true',
        "",
    ),
    "no disks": ("ReportBlockDevices false", ""),
    "no NICs": ("ReportNetworkInterfaces false", ""),
}


def series(collectd: Collectd) -> tuple[dict[str, list[At]], dict[str, list[At]]]:
    """Theirs and ours, by identifier and the number of the data source."""
    theirs: dict[str, list[At]] = defaultdict(list)
    ours: dict[str, list[At]] = defaultdict(list)
    for identifier, rows in collectd.series().items():
        host, plugin, rest = identifier.split("/", 2)
        found = ours if plugin == "virt-ours" else theirs
        for row in rows:
            for number, value in enumerate(row.values):
                if not math.isnan(value):
                    found[f"{host}/virt/{rest} {number}"].append(At(row.time, value))
    return theirs, ours


def slack_of(name: str) -> float:
    rest = name.split("/", 2)[2]
    return next((slack for begin, slack in SLACK.items() if rest.startswith(begin)), 0)


def test_identifiers_and_values_are_those_of_the_plugin_virt(
    bed: Any, start: Callable[..., Any]
) -> None:
    bed.add(Shape("off"))[0].destroy()
    # Of a disk that was never written to the bulk answer does not tell the length of the file.
    for guest in bed.guests:
        if guest.name != "off":
            guest.move_counters()
    options = f'Connection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    ours = python_plugin(options + OURS + "\nReportRound false")
    collectd = start(Collectd, virt_plugin(options) + ours)

    def rounds(count: int) -> Callable[[], bool]:
        return lambda: all(
            len(collectd.series("web-1").get(f"web-1/{plugin}/virt_cpu_total", ())) >= count
            for plugin in ("virt", "virt-ours")
        )

    wait_for("five rounds of both", rounds(5))
    bed.guests[0].move_counters()
    wait_for("nine rounds of both", rounds(9))
    theirs, ours_found = series(collectd)

    slack = {name: slack_of(name) for name in ours_found}
    assert differences(ours_found, theirs, slack) == []
    assert "Traceback" not in collectd.log


@pytest.fixture(scope="module")
def hostile(_bed_of_all: Any) -> Iterator[None]:
    """Guests with hostile names."""
    guests = _bed_of_all.add(*(Shape(name) for name in HOSTILE))
    yield
    for guest in guests:
        guest.remove()


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_options_of_virt_give_the_identifiers_that_virt_gives(
    bed: Any, hostile: None, start: Callable[..., Any], combination: str
) -> None:
    options, ours_only = COMBINATIONS[combination]
    options += f'\nConnection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    theirs = start(Collectd, virt_plugin(options), 0.5, name="theirs")
    ours = start(
        Collectd, python_plugin(f"{options}{ours_only}\nReportRound false"), 0.5, name="ours"
    )
    for each in (theirs, ours):
        wait_for(
            "three rounds",
            lambda each=each: max(map(len, each.series().values()), default=0) >= 3,
        )
    assert set(ours.series()) == set(theirs.series())
    assert "Traceback" not in ours.log
