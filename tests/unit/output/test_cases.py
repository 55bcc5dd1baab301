"""Golden cases: what libvirt answered, and exactly what each agent gets of it.

A folder under tests/cases is a test. It holds ``answer.json`` (each domain's stats by its name),
``sample.json`` (all that is not an answer: see ``the_sample``), and the expected output.
``DOMSTATS_UPDATE_CASES=1`` writes the expected files anew, to be read and committed. Where a
folder has ``inputs-libvirt.influx`` or ``virt-identifiers.txt``, those are recordings of the
agents' own plugins, which ours must equal in all that names a series.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import msgspec
from domstats.agents.telegraf_execd import line_filter
from domstats.config.telegraf import from_table
from domstats.host_sample import HostSample, MountReport
from domstats.model import Change, Devices, DomainEvent, DomainSample, Round, Sample, Status
from domstats.output import job_lists
from domstats.output.line_protocol import LineProtocol
from domstats.output.series_count import MadeByDomain, added
from domstats.output.value_lists import CollectdOptions, ValueLists

from tests.line_parsers import parse_line
from tests.unit.output.key_by_key import KeyByKey
from tests.unit.output.value_lists_told import one_by_one
from tests.unit.rows import each_row

CASES = Path(__file__).resolve().parents[2] / "cases"
UPDATE = os.environ.get("DOMSTATS_UPDATE_CASES") == "1"

every_case = each_row("case", sorted(CASES.iterdir()))


def described(case: Path) -> dict[str, Any]:
    text: dict[str, Any] = json.loads((case / "sample.json").read_text())
    return text


def the_sample(case: Path, *, before: bool = False) -> Sample:
    """The case's sample.

    :param before: the one an interval earlier, with the values of ``"before"``.
    """
    text = described(case)
    answers = json.loads((case / "answer.json").read_text())
    domains = []
    for number, (name, stats) in enumerate(answers.items(), start=1):
        fields = dict(text.get("domains", {}).get(name, {}))
        fields.setdefault("uuid", f"11111111-2222-4333-8444-{number:012d}")
        fields["status"] = Status(fields.get("status", "fresh"))
        fields["missing"] = frozenset(fields.get("missing", ()))
        fields["devices"] = msgspec.convert(fields.get("devices", {}), Devices)
        if before:
            stats = {**stats, **text.get("before", {}).get(name, {})}
        domains.append(DomainSample(name=name, stats=stats, **fields))
    time_ns = text.get("time_ns", 1_795_374_959_000_000_000)
    return Sample(
        uri=text.get("uri", "qemu:///system"),
        time_ns=time_ns - int(before) * 10_000_000_000,
        domains=tuple(domains),
        round=Round(**{"domains": len(domains), "fresh": len(domains), **text.get("round", {})}),
        node_cpus=text.get("node_cpus", 2),
        changes=() if before else tuple(Change(**change) for change in text.get("changes", ())),
        events=() if before else tuple(DomainEvent(**event) for event in text.get("events", ())),
        host=msgspec.convert(
            text.get("host_before" if before else "host"), Optional[HostSample]
        ),
        mounts=msgspec.convert(text.get("mounts", ()), tuple[MountReport, ...]),
    )


def the_line_options(case: Path) -> dict[str, Any]:
    """The writer's options; ``selected`` are options of Telegraf's that say what is wanted."""
    options = dict(described(case).get("line_protocol", {}))
    if "selected" in options:
        options["wanted"] = line_filter(from_table(options.pop("selected")))
    return options


@functools.cache
def the_lines(case: Path, series: str, writes: type[LineProtocol] = LineProtocol) -> str:
    """The line protocol of a sample whose domains were seen before."""
    writer = writes(series, version="1.2.3", **the_line_options(case))
    writer.encode(the_sample(case, before=True))
    return writer.encode(the_sample(case)).decode()


def in_parts(sample: Sample) -> tuple[list[Sample], Sample]:
    """The sample as a round hands it out: each domain alone while it goes on, and its end."""
    parts = [
        msgspec.structs.replace(sample, domains=(domain,), round=Round(), changes=(), events=())
        for domain in sample.domains
    ]
    rest = tuple(msgspec.structs.replace(domain, stats={}) for domain in sample.domains)
    return parts, msgspec.structs.replace(sample, domains=rest)


def the_lists(case: Path) -> ValueLists:
    options = dict(described(case).get("collectd", {}))
    for name in ("hostname_format", "plugin_instance_format"):
        if name in options:
            options[name] = tuple(options[name])
    for name in ("extra_stats", "figures", "totals", "drop_types"):
        options[name] = frozenset(options.get(name, ()))
    return ValueLists(CollectdOptions(**options))


def identifier(part: Any) -> str:
    """A value list's or notification's name, as collectd writes it."""
    plugin = f"{part.plugin}-{part.plugin_instance}" if part.plugin_instance else part.plugin
    type_ = f"{part.type}-{part.type_instance}" if part.type_instance else part.type
    return f"{part.host}/{plugin}/{type_}"


def the_values(case: Path) -> Iterator[str]:
    translator = the_lists(case)
    list(translator.translate(the_sample(case, before=True), 10.0))
    sample = the_sample(case)
    for values in one_by_one(translator.translate(sample, 10.0)):
        time = "" if values.time_s == sample.time_ns / 1e9 else f" at {values.time_s}"
        yield f"{identifier(values)} {' '.join(map(repr, values.values))}{time}"
    for notification in translator.notifications(sample):
        name = identifier(notification)
        yield f"{notification.severity} {name}: {notification.message}"


def hold(path: Path, got: str) -> None:
    if UPDATE:
        path.write_text(got)
    assert got == path.read_text(), f"{path} (DOMSTATS_UPDATE_CASES=1 writes it anew)"


@every_case
def test_influxdb_gets_the_full_series(case: Path) -> None:
    hold(case / "expected.influx", the_lines(case, "full"))


@every_case
def test_influxdb_gets_the_series_of_inputs_libvirt(case: Path) -> None:
    hold(case / "expected.telegraf.influx", the_lines(case, "telegraf"))


@every_case
def test_collectd_gets_the_value_lists_of_virt(case: Path) -> None:
    hold(case / "expected.collectd", "".join(f"{line}\n" for line in the_values(case)))


@every_case
@each_row("series", ["full", "telegraf"])
def test_the_compiled_form_writes_the_same(case: Path, series: str) -> None:
    assert the_lines(case, series) == the_lines(case, series, KeyByKey)


@every_case
@each_row("series", ["full", "telegraf"])
def test_a_sample_in_parts_gives_the_same_lines(case: Path, series: str) -> None:
    writer = LineProtocol(series, version="1.2.3", **the_line_options(case))
    for before in (True, False):
        parts, end = in_parts(the_sample(case, before=before))
        written = [writer.take(part) for part in parts] + [writer.encode(end)]
    assert b"".join(written).decode() == the_lines(case, series)


@every_case
def test_a_sample_in_parts_gives_the_same_value_lists(case: Path) -> None:
    whole, piecemeal = the_lists(case), the_lists(case)
    for before in (True, False):
        expected = list(one_by_one(whole.translate(the_sample(case, before=before), 10.0)))
        parts, end = in_parts(the_sample(case, before=before))
        batches = [each for part in parts for each in piecemeal.take(part, 10.0)]
        got = list(one_by_one([*batches, *piecemeal.translate(end, 10.0)]))
        assert sorted(got) == sorted(expected)


#: Cases with values that have no form in line protocol: their fields are counted all the same.
ODD_VALUES = frozenset(
    {"newer-libvirt", "unknown-values", "hostile-names", "devices-and-pressure"}
)


def counted(domains: MadeByDomain) -> dict[str, tuple[int, int]]:
    """Lists and series by measurement or type."""
    found: dict[str, tuple[int, int]] = {}
    for maker, amount in added(domains).items():
        lists, series = found.get(maker.name, (0, 0))
        found[maker.name] = lists + amount.lists, series + amount.series
    return found


@every_case
@each_row("series", ["full", "telegraf"])
def test_the_series_that_are_counted_are_those_that_are_written(case: Path, series: str) -> None:
    writer = LineProtocol(series, counts=True, **{**the_line_options(case), "rates": False})
    lines = writer.encode(the_sample(case)).decode().splitlines()
    written: dict[str, tuple[int, int]] = {}
    for point in map(parse_line, lines):
        number, fields = written.get(point["measurement"], (0, 0))
        if not point["measurement"].startswith("domstats_"):
            written[point["measurement"]] = number + 1, fields + len(point["fields"])
    made = counted(writer.made())
    for name, (number, fields) in written.items():
        assert made[name][1] >= fields
        if case.name not in ODD_VALUES:
            assert made[name] == (number, fields), name


@every_case
def test_the_value_lists_that_are_counted_are_those_that_are_sent(case: Path) -> None:
    translator = the_lists(case)
    list(translator.translate(the_sample(case, before=True), 10.0))
    batches = list(translator.translate(the_sample(case), 10.0))
    sent: dict[str, tuple[int, int]] = {}
    for each in one_by_one(batches):
        if each.plugin == "virt" and each.type != job_lists.TYPE:  # nobody knows which will be
            lists, series = sent.get(each.type, (0, 0))
            sent[each.type] = lists + 1, series + len(each.values)
    made = counted(translator.made())
    for name, (lists, series) in sent.items():
        # What depends on values (a percentage, what is only sent above zero) is counted always.
        assert made[name][0] >= lists
        assert made[name][1] >= series


@every_case
def test_a_parser_of_others_reads_every_line(case: Path) -> None:
    for line in the_lines(case, "full").splitlines():
        assert parse_line(line)["fields"]


def series_of(lines: str) -> dict[str, dict[str, str]]:
    """Field types by measurement and tags."""
    found = {}
    for line in lines.splitlines():
        head, fields, _ = line.split(" ")
        found[head] = {
            name: "string" if value.startswith('"') else value[-1]
            for name, value in (field.split("=", 1) for field in fields.split(",") if "=" in field)
        }
    return found


def test_series_and_types_are_those_that_telegraf_recorded() -> None:
    recorded = sorted(CASES.glob("*/inputs-libvirt.influx"))
    assert recorded
    for path in recorded:
        assert series_of(the_lines(path.parent, "telegraf")) == series_of(path.read_text())


def test_identifiers_are_those_that_collectd_recorded() -> None:
    recorded = sorted(CASES.glob("*/virt-identifiers.txt"))
    assert recorded
    for path in recorded:
        got = [line.split(" ")[0].partition("/")[2] for line in the_values(path.parent)]
        assert sorted(name for name in got if name.startswith("virt/")) == sorted(
            path.read_text().split()
        )
