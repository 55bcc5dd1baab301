"""Every key that libvirt documents, with a value of its own: domstats beside inputs.libvirt."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import libvirt
import pytest
from domstats.config.options import OPTIONS, TELEGRAF_GROUPS
from domstats.output import schema

from tests.simhost import SimHost
from tests.system.agents import Telegraf
from tests.system.agents.lines import Point
from tests.system.configurations import GROUPS, execd, libvirt_table
from tests.system.waiting import wait_for

#: Names that need care in line protocol.
NAMES = ("plain", "shop, größe=7", 'a "b" c', "tab\there", "trailing\\")
#: A domain that does not run.
OFF = "off"
#: Domains of which one group alone is asked for, in one of the cases.
ALONE = {group: f"{group} alone" for group in TELEGRAF_GROUPS}
#: Of each kind of device: indexes with a hole.
INDEXES = (0, 2)

TYPES = {
    schema.Wire.UNSIGNED: libvirt.VIR_TYPED_PARAM_ULLONG,
    schema.Wire.SIGNED: libvirt.VIR_TYPED_PARAM_INT,
    schema.Wire.NATURAL: libvirt.VIR_TYPED_PARAM_INT,
    schema.Wire.FLAG: libvirt.VIR_TYPED_PARAM_BOOLEAN,
    schema.Wire.DOUBLE: libvirt.VIR_TYPED_PARAM_DOUBLE,
    schema.Wire.TEXT: libvirt.VIR_TYPED_PARAM_STRING,
    schema.Wire.ANY: libvirt.VIR_TYPED_PARAM_ULLONG,
}


def documented() -> Iterator[schema.Key]:
    """The rows of keys that libvirt sends in bulk."""
    for row in schema.KEYS:
        is_ours = row.pattern.endswith(".error") or ".info." in row.pattern or row.mapping
        if not is_ours:
            yield row


def said_by(number: int) -> dict[str, tuple[int, Any]]:
    """A value of its own for every key of a domain."""
    values = itertools.count(1000 * number + 1)
    said: dict[str, tuple[int, Any]] = {}
    for row in documented():
        patterns = [row.pattern]
        while any(schema.INDEX in pattern for pattern in patterns):
            patterns = [
                pattern.replace(schema.INDEX, str(index), 1)
                for pattern in patterns
                for index in INDEXES
            ]
        for pattern in patterns:
            key = pattern.replace(schema.STATISTIC, "exits").replace("{cur,sum,max}", "sum")
            value: Any = next(values)
            if row.wire is schema.Wire.TEXT:
                value = f"text {value}"
            elif row.wire is schema.Wire.FLAG:
                value = value % 2
            elif row.wire is schema.Wire.DOUBLE:
                value = value / 8
            said[key] = (TYPES[row.wire], value)
    said["state.state"] = (libvirt.VIR_TYPED_PARAM_INT, libvirt.VIR_DOMAIN_RUNNING)
    return said


@pytest.fixture(scope="module")
def host() -> Iterator[SimHost]:
    with SimHost(domains=0) as host:
        for number, name in enumerate((*NAMES, *ALONE.values(), OFF)):
            host.control.add(name, running=name != OFF)
            said = said_by(number)
            if name == OFF:
                said["state.state"] = (libvirt.VIR_TYPED_PARAM_INT, libvirt.VIR_DOMAIN_SHUTOFF)
            host.control.say(name, said)
        yield host


Name = tuple[str, tuple[tuple[str, str], ...], str]


def fields(points: list[Point]) -> dict[Name, tuple[Any, str]]:
    """Each field's value and type, by measurement, tags and name."""
    return {
        (point.measurement, tuple(sorted(point.tags.items())), name): (field.value, field.kind)
        for point in points
        for name, field in point.fields.items()
    }


#: Where the two differ, by the identifier of the difference in docs/migrating.md: measurement, tags
#: and field.
DIFFERENT: Mapping[str, Callable[[str, Mapping[str, str], str], bool]] = {
    "halted": lambda measurement, tags, field: field == "halted_i",
    "trailing-backslash": lambda measurement, tags, field: tags["domain_name"].startswith("trail"),
    # Of guests whose second of three vCPUs is unplugged they call the third the second.
    "vcpu-numbers": lambda measurement, tags, field: (
        field == "cpu_id" and tags["vcpu_id"] in ("1", "2")
    ),
    "cpu-time-off": lambda measurement, tags, field: (
        tags["domain_name"] == OFF and measurement.startswith("libvirt_cpu")
    ),
}


def is_known(name: Name) -> bool:
    measurement, tags, field = name
    return any(differs(measurement, dict(tags), field) for differs in DIFFERENT.values())


ALL_GROUPS = f"statistics_groups = {GROUPS}"
#: By what they are about: the options of each table.
TABLES: Mapping[str, list[tuple[str, ...]]] = {
    "nothing set": [()],
    "all groups": [("domains = []", ALL_GROUPS)],
    "all groups and the mapping": [(ALL_GROUPS, 'additional_statistics = ["vcpu_mapping"]')],
    "the mapping alone": [("statistics_groups = []", 'additional_statistics = ["vcpu_mapping"]')],
    "each group alone": [
        (f'domains = ["{domain}", "nobody"]', f'statistics_groups = ["{group}"]')
        for group, domain in ALONE.items()
    ],
    "two tables": [
        ('domains = ["plain", "shop, größe=7"]', 'statistics_groups = ["state", "block", "vcpu"]'),
        (f'domains = ["{OFF}", "tab\\there"]', 'statistics_groups = ["state", "interface"]'),
    ],
}


@pytest.mark.parametrize("tables", TABLES.values(), ids=TABLES)
def test_each_field_of_each_documented_key_is_that_of_inputs_libvirt(
    host: SimHost,
    start: Callable[..., Any],
    tmp_path: Path,
    tables: list[tuple[str, ...]],
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(
        "".join(libvirt_table(host.uri, *options, 'series = "telegraf"') for options in tables)
    )
    theirs = "".join(
        libvirt_table(host.uri, *options, "[inputs.libvirt.tags]", '  source = "theirs"')
        for options in tables
    )
    telegraf = start(Telegraf, theirs + execd(settings, "[inputs.execd.tags]", '  source = "ours"'))

    def of(source: str) -> list[Point]:
        found = []
        for point in telegraf.points():
            tags = dict(point.tags)
            if tags.pop("source", "") == source:
                found.append(point._replace(tags=tags))
        return found

    def has_two_rounds(source: str) -> bool:
        times = defaultdict(set)
        for point in of(source):
            times[point.tags["domain_name"]].add(point.time)
        return bool(times) and all(len(of_domain) >= 2 for of_domain in times.values())

    wait_for("two rounds of both", lambda: has_two_rounds("ours") and has_two_rounds("theirs"))
    assert "E! " not in telegraf.log
    our_fields, their_fields = fields(of("ours")), fields(of("theirs"))
    different = {
        name: (our_fields.get(name), their_fields.get(name))
        for name in our_fields.keys() | their_fields.keys()
        if our_fields.get(name) != their_fields.get(name) and not is_known(name)
    }
    assert different == {}
    assert sum(not is_known(name) for name in their_fields) > 10


def test_the_cases_have_each_option_and_group_of_inputs_libvirt() -> None:
    lines = [option for case in TABLES.values() for options in case for option in options]
    given = {line.partition(" =")[0] for line in lines}
    assert given | {"libvirt_uri"} == {
        option.telegraf for option in OPTIONS if option.telegraf and not option.ours
    }
    assert json.loads(GROUPS) == list(TELEGRAF_GROUPS)


def test_one_hung_domain_silences_inputs_libvirt(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    with SimHost(domains=3) as host:
        settings.write_text(libvirt_table(host.uri))
        theirs = libvirt_table(host.uri, "[inputs.libvirt.tags]", '  source = "theirs"')
        ours = execd(settings, "[inputs.execd.tags]", '  source = "ours"')
        telegraf = start(Telegraf, theirs + ours)

        def rounds(source: str) -> int:
            states = [point for point in telegraf.points() if point.measurement == "libvirt_state"]
            return len({point.time for point in states if point.tags["source"] == source})

        def wait(source: str, count: int) -> None:
            before = rounds(source)
            wait_for(f"{count} rounds of {source}", lambda: rounds(source) >= before + count)

        wait("theirs", 2)
        host.control.hang("guest-00001")
        wait("ours", 2)
        before = rounds("theirs")
        wait("ours", 3)
        assert rounds("theirs") == before
        host.control.heal()
