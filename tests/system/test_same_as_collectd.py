"""In one collectd, domstats and the C plugin virt tell the same of the same guests.

Both call themselves ``virt``, so ours gets a plugin instance here: our Hostname, ``ours``.
"""

from typing import Any, Callable

from tests.system.agents import Collectd
from tests.system.agents.collectd_agent import Row
from tests.system.agreement import At, differences
from tests.system.bed import Medium, Shape
from tests.system.configurations import EXTRA_STATS, python_plugin, virt_plugin
from tests.system.virt_values import by_data_source, slack_of
from tests.system.waiting import wait_for

OURS = 'PluginInstanceFormat "hostname"\nHostname "ours"'


def series(collectd: Collectd) -> tuple[dict[str, list[At]], dict[str, list[At]]]:
    """Theirs and ours, by identifier and the number of the data source."""
    theirs: dict[str, list[Row]] = {}
    ours: dict[str, list[Row]] = {}
    for identifier, rows in collectd.series().items():
        host, plugin, rest = identifier.split("/", 2)
        found = ours if plugin == "virt-ours" else theirs
        found[f"{host}/virt/{rest}"] = rows
    return by_data_source(theirs), by_data_source(ours)


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

    assert differences(ours_found, theirs, slack_of(ours_found)) == []
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
    assert differences(found, theirs, slack_of(found)) == []
