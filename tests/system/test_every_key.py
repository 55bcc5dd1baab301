"""Every key that libvirt documents, with a value of its own: domstats beside inputs.libvirt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import libvirt
import pytest
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
        for number, name in enumerate((*NAMES, OFF)):
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


def is_known(name: Name) -> bool:
    """Whether the two differ here with a reason, which docs/metrics.md tells:

    - ``halted_i``: they look for a text, so theirs is 0 always;
    - a tag's backslash at its end: they drop it;
    - CPU time of a domain that does not run: libvirt 9.0 has libvirtd's own, which they send.
    """
    measurement, tags, field = name
    domain = dict(tags)["domain_name"]
    return (
        field == "halted_i"
        or domain.startswith("trailing")
        or (domain == OFF and measurement.startswith("libvirt_cpu"))
    )


TABLES = {
    "one table": [()],
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
    given = [options or (f"statistics_groups = {GROUPS}",) for options in tables]
    settings.write_text(
        "".join(libvirt_table(host.uri, *options, 'series = "telegraf"') for options in given)
    )
    theirs = "".join(
        libvirt_table(host.uri, *options, "[inputs.libvirt.tags]", '  source = "theirs"')
        for options in given
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
        states = [point.time for point in of(source) if point.measurement == "libvirt_state"]
        return len(set(states)) >= 2

    wait_for("two rounds of both", lambda: has_two_rounds("ours") and has_two_rounds("theirs"))
    assert "E! " not in telegraf.log
    our_fields, their_fields = fields(of("ours")), fields(of("theirs"))
    different = {
        name: (our_fields.get(name), their_fields.get(name))
        for name in our_fields.keys() | their_fields.keys()
        if our_fields.get(name) != their_fields.get(name) and not is_known(name)
    }
    assert different == {}
    domains = {dict(tags)["domain_name"] for _, tags, _ in their_fields}
    assert len(domains) == (4 if len(tables) > 1 else len(NAMES) + 1)
    assert sum(not is_known(name) for name in their_fields) > 100
