"""What the agents pass on arrives in the databases that people look at."""

from pathlib import Path
from typing import Any, Callable

from tests.system.agents import Collectd, Graphite, InfluxDB, Telegraf
from tests.system.configurations import (
    execd,
    influxdb_output,
    libvirt_table,
    python_plugin,
    write_graphite,
)
from tests.system.waiting import wait_for

READ = 64 * 1024  # bytes that Guest.move_counters reads


def test_a_guests_cpu_disk_and_network_are_seen_in_influxdb(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    guest = bed.guests[0]
    guest.move_counters()
    influxdb = start(InfluxDB)
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri))
    output = influxdb_output(influxdb.url, influxdb.database)
    telegraf = start(Telegraf, execd(settings) + output)

    def column(field: str, measurement: str, **tags: str) -> list[Any]:
        where = " AND ".join(f"\"{tag}\" = '{value}'" for tag, value in tags.items())
        rows = influxdb.query(f'SELECT "{field}" FROM "{measurement}" WHERE {where}')
        return [row[field] for row in rows]

    def cpu() -> list[Any]:
        return column("time_ns", "libvirt_cpu", domain_name=guest.name)

    wait_for("four rounds in InfluxDB", lambda: len(cpu()) >= 4)
    assert cpu() == sorted(cpu())
    assert cpu()[-1] > cpu()[0]
    disk = column("rd_bytes", "libvirt_block", domain_name=guest.name, device="vda")
    assert disk[-1] >= READ
    [nic, *_] = guest.nics
    assert len(column("rx_bytes", "libvirt_net", uuid=guest.uuid, device=nic)) >= 3
    assert {row["domain_name"] for row in influxdb.query("SELECT * FROM libvirt_state")} == {
        each.name for each in bed.guests
    }
    assert "E! " not in telegraf.log


def test_a_guests_cpu_disk_and_network_are_seen_in_graphite(
    bed: Any, start: Callable[..., Any]
) -> None:
    guest = bed.guests[0]
    guest.move_counters()
    graphite = start(Graphite)
    output = write_graphite(graphite.port, "StoreRates false", "SeparateInstances false")
    collectd = start(Collectd, python_plugin(f'Connection "{bed.uri}"') + output)

    def seen(metric: str) -> list[float]:
        [values] = graphite.render(f"{guest.name}.{metric}").values() or [[]]
        return values

    cpu = wait_for(
        "four rounds in Graphite",
        lambda: (found := seen("virt.virt_cpu_total"))[3:] and found,
        60,
    )
    assert cpu == sorted(cpu)
    assert cpu[-1] > cpu[0]
    assert seen("virt.disk_octets-vda.read")[-1] >= READ
    assert len(seen(f"virt.if_octets-{guest.nics[0]}.rx")) >= 3
    assert "virt" in str(graphite.find(f"{guest.name}.*"))
    assert "Traceback" not in collectd.log
