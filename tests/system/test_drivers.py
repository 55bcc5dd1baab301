"""docs/drivers.md is right: what each driver gives, in bulk or by calls; and LXC beside virt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from domstats.model import GROUP_OF_WORD

from tests.system.agents import Collectd
from tests.system.agreement import At, differences
from tests.system.command_line import domstats
from tests.system.configurations import EXTRA_STATS, GROUPS, ROOT, libvirt_table, python_plugin
from tests.system.waiting import wait_for

#: Two containers of the same kind, one of them without a network card.
NIC, NO_NIC = "box-1", "box-2"

#: By a part of the identifier: how far ours may lie beyond virt's neighbouring values.
SLACK = {
    "memory-rss": 4 << 20,
    "memory-total": 4 << 20,
    "percent-virt_cpu_total": 5.0,
    "ps_cputime": 20_000_000,
}

NODE = """\
<node>
  <domain type='test'>
    <name>node-1</name><uuid>11111111-2222-4333-8444-000000000001</uuid>
    <memory>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os>
    <devices>
      <disk type='file'><source file='/images/a'/><target dev='vda'/></disk>
      <interface type='ethernet'><target dev='nic0'/></interface>
    </devices>
  </domain>
</node>
"""


def documented() -> dict[str, dict[str, str]]:
    """By driver, what the page says of each group."""
    lines = (ROOT / "docs" / "drivers.md").read_text().splitlines()
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    )
    return {
        driver: {row[0].split(" ")[0]: row[column] for row in rows}
        for column, driver in enumerate(head[1:], 1)
    }


def words(stats: dict[str, Any]) -> set[str]:
    """The groups of these keys, and ``vcpu_mapping``."""
    mapping = {"vcpu_mapping"} if any(key.endswith(".affinity") for key in stats) else set()
    return mapping | {
        GROUP_OF_WORD[key.split(".")[0]] for key in stats if not key.endswith((".affinity", ".cpu"))
    }


def given(folder: Path, uri: str) -> tuple[dict[str, str], str]:
    """By group, in what way some domain has it; and what domstats had to say."""
    import libvirt

    settings = folder / "domstats.toml"
    options = f"statistics_groups = {GROUPS}", 'additional_statistics = ["vcpu_mapping"]'
    settings.write_text(libvirt_table(uri, *options, "kvm_statistics = true"))
    ended = domstats("sample", "--config", str(settings), "--format", "json")
    domains = json.loads(ended.stdout)["domains"]
    assert {domain["status"] for domain in domains} == {"fresh"}
    ours = set().union(*(words(domain["stats"]) for domain in domains))
    connection = libvirt.openReadOnly(uri)
    try:
        bulk = set().union(*(words(stats) for _, stats in connection.getAllDomainStats()))
    except libvirt.libvirtError:
        bulk = set()
    finally:
        connection.close()
    ways = {group: "bulk" if group in bulk else "calls" for group in ours}
    return {row: ways.get(row, "–") for row in documented()["QEMU"]}, ended.stderr


def test_the_page_is_right_about_qemu(bed: Any, tmp_path: Path) -> None:
    found, _ = given(tmp_path, bed.uri)
    page = documented()["QEMU"]
    # Nothing on this machine has perf events or resource monitors.
    assert {page.pop(group).split(",")[0] for group in ("perf", "memory")} == {"bulk"}
    if not bed.accelerated:
        page.pop("vm")
    assert {group: found[group] for group in page} == {
        group: cell.split(",")[0] for group, cell in page.items()
    }


@pytest.mark.parametrize("uri", ["test:///default", "test:///NODE", "test+unix:///NODE"])
def test_the_page_is_right_about_test(bed: Any, tmp_path: Path, uri: str) -> None:
    node = bed.folder / "images" / "node.xml"
    node.write_text(NODE)
    uri = uri.replace("/NODE", str(node))
    if uri.startswith("test+unix"):
        uri += bed.uri[bed.uri.index("?") :]
    assert given(tmp_path, uri) == (documented()["test"], "")


@pytest.fixture(scope="module")
def containers(new_bed: Callable[[], Any], missing: Any) -> Iterator[Any]:
    with new_bed() as bed:
        from tests.system.bed.containers import DRIVER, Containers

        if not DRIVER.exists():
            missing("libvirt's LXC driver", "as root, tests/system/install test")
        with Containers(bed) as made:
            made.add(NIC, "veth7")
            made.add(NO_NIC)
            yield made


def test_the_page_is_right_about_lxc(containers: Any, tmp_path: Path) -> None:
    before = len(containers.bed.libvirtd.log)
    assert given(tmp_path, containers.uri) == (documented()["LXC"], "")
    # Each connection asks once for the bulk call, and this test did.
    log = containers.bed.libvirtd.log[before:]
    assert {line.split(": ")[-1] for line in log.splitlines() if "not supported" in line} == {
        "virDomainListGetStats",
        "virConnectGetAllDomainStats",
    }


def test_of_containers_collectd_gets_what_virt_sends_but_for_a_counter_that_is_none(
    containers: Any, start: Callable[..., Any]
) -> None:
    options = f'Connection "{containers.uri}"\nExtraStats "{EXTRA_STATS}"\n'
    ours = python_plugin(options + 'PluginInstanceFormat "hostname"\nHostname "ours"')
    theirs = f"LoadPlugin virt\n<Plugin virt>\n{options}</Plugin>\n"
    collectd = start(Collectd, theirs + ours)

    def series(plugin: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for name in (NIC, NO_NIC):
            for identifier, rows in collectd.series(name).items():
                host, of, rest = identifier.split("/", 2)
                if of == plugin:
                    found[f"{host}/{rest}"] = rows
        return found

    def both() -> bool:
        return all(
            len(series(plugin).get(f"{name}/virt_cpu_total", ())) >= 5
            for plugin in ("virt", "virt-ours")
            for name in (NIC, NO_NIC)
        )

    wait_for("five rounds of both", both)
    left_out = {f"{name}/swap_io-{way}" for name in (NIC, NO_NIC) for way in ("in", "out")}
    theirs_found, found = ({}, {})
    for plugin, into in (("virt", theirs_found), ("virt-ours", found)):
        for identifier, rows in series(plugin).items():
            for number in range(len(rows[0].values)):
                at = [At(row.time, row.values[number]) for row in rows]
                into[f"{identifier} {number}"] = at
    theirs_found = {
        name: at for name, at in theirs_found.items() if name.split(" ")[0] not in left_out
    }
    slack = {name: slack for name in found for begin, slack in SLACK.items() if begin in name}
    assert left_out <= series("virt").keys(), "virt calls memory in use a counter"
    assert differences(found, theirs_found, slack) == []
    assert "Traceback" not in collectd.log
