"""In one collectd, domstats and the C plugin virt tell the same of the same guests.

Both call themselves ``virt``, so ours gets a plugin instance here: our Hostname, ``ours``.
With other options each plugin has a collectd of its own, with literally the same options.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any, Callable

import pytest

from tests.system.agents import Collectd
from tests.system.agreement import At, differences
from tests.system.bed import Medium, Shape
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


def rounds(collectd: Collectd, guest: str, count: int) -> Callable[[], bool]:
    """Whether both plugins have sampled this guest so often."""
    return lambda: all(
        len(collectd.series(guest).get(f"{guest}/{plugin}/virt_cpu_total", ())) >= count
        for plugin in ("virt", "virt-ours")
    )


def test_identifiers_and_values_are_those_of_the_plugin_virt(
    bed: Any, start: Callable[..., Any]
) -> None:
    bed.add(Shape("off"))[0].destroy()
    options = f'Connection "{bed.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    ours = python_plugin(options + OURS + "\nReportRound false")
    collectd = start(Collectd, virt_plugin(options) + ours)

    wait_for("five rounds of both", rounds(collectd, "web-1", 5))
    bed.guests[0].move_counters()
    wait_for("nine rounds of both", rounds(collectd, "web-1", 9))
    theirs, ours_found = series(collectd)

    slack = {name: slack_of(name) for name in ours_found}
    assert differences(ours_found, theirs, slack) == []
    assert "Traceback" not in collectd.log


#: A cloud-init seed; a read-only image; one that is written to later, and one that was long ago.
MEDIA = (
    Medium("raw", 374 * 1024, readonly=True),
    Medium("qcow2", 8 << 20, readonly=True),
    Medium("qcow2", 8 << 20),
    Medium("qcow2", 8 << 20),
    Medium("raw", 1 << 20),
    Medium("vmdk", 8 << 20),
)


def test_sizes_of_disks_that_were_not_written_to_are_those_of_virt(
    bed: Any, start: Callable[..., Any]
) -> None:
    (guest,) = bed.add(Shape("media", cdrom=True, media=MEDIA))
    seed, image, fresh, old, raw, other = guest.media
    guest.request(old, "write 5M 512k")
    guest.destroy()
    guest.start()  # QEMU has forgotten how far its file was written
    options = f'Connection "{bed.uri}"\nDomain "media"\nIgnoreSelected false\n'
    options += 'ExtraStats "disk_physical disk_allocation disk_capacity"\n'
    ours = python_plugin(options + OURS + "\nReportRound false")
    collectd = start(Collectd, virt_plugin(options) + ours)
    physical = f"media/virt-ours/disk_physical-{fresh}"

    def lengths() -> set[float]:
        """Of a round in which virt keeps the monitor busy there is none."""
        return {row.values[0] for row in collectd.series("media").get(physical, ())}

    wait_for("five rounds of both", rounds(collectd, "media", 5))
    wait_for("the size of a disk that was not written to", lengths)
    for disk, offset in ((fresh, "1M"), (old, "64k"), (raw, "512k"), (other, "2M")):
        guest.request(disk, f"write {offset} 64k")
    wait_for("twelve rounds of both", rounds(collectd, "media", 12))
    wait_for("its size when it is written to", lambda: len(lengths()) > 1)

    theirs, found = series(collectd)
    sizes = {
        name.split("/")[2].split(" ")[0]: [at.value for at in found[name]]
        for name in found
        if "/disk_allocation" in name or "/disk_physical" in name
    }
    assert sizes[f"disk_physical-{seed}"][0] == 374 * 1024
    assert set(sizes[f"disk_physical-{image}"]) == {196_616}
    assert len(set(sizes[f"disk_physical-{fresh}"])) == 2, "it grows when it is written to"
    assert len({name for name in sizes if name.startswith("disk_physical")}) == 7
    slack = {name: slack_of(name) for name in found}
    assert differences(found, theirs, slack) == []


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
        wait_for("three rounds", partial(each.has_rounds, 3))
    assert set(ours.series()) == set(theirs.series())
    assert "Traceback" not in ours.log
