"""docs/fleet.md: its tables are what the writers make, its numbers what its settings give."""

from __future__ import annotations

import re

import msgspec.toml

from bench import series
from tests.documents import ROOT, blocks, text_of
from tests.unit.rows import each_row

PAGE = ROOT / "docs" / "fleet.md"
INTERVAL_S = 10
GUESTS = 200


def rows_of(agent: str) -> list[list[str]]:
    """The rows of one of the page's tables of series."""
    title = "| options | lines |" if agent == "telegraf" else "| options | value lists |"
    lines = re.sub(" +", " ", text_of(PAGE)).splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(title)) + 2
    count = len(series.CHOICES[agent])
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[begin:][:count]]


def block(title: str) -> str:
    [text] = [each.text for each in blocks(PAGE) if each.text.startswith(f"# {title}\n")]
    return text


def number(option: str, title: str) -> int:
    """What an option of a block is set to."""
    found = re.search(rf"^ *{option} (?:= )?(\d+)$", block(title), re.MULTILINE)
    assert found, option
    return int(found[1])


@each_row("agent", ["telegraf", "collectd"])
def test_the_tables_are_what_the_writers_make(agent: str) -> None:
    for row, page in zip(series.rows(agent, (1, 3)), rows_of(agent)):
        *one, first, third = row
        assert page[: len(one)] == one
        assert int(third) == 3 * int(first) == 3 * int(one[2])
        assert page[len(one) :] == [f"{count * int(first):,}" for count in series.COUNTS]


HOST = "/etc/telegraf/telegraf.conf, on each host"
SECOND = "/etc/telegraf/telegraf.conf, beside the database"


def test_what_the_second_telegraf_has_not_delivered_fits_into_its_buffer() -> None:
    host, second = (msgspec.toml.decode(block(title)) for title in (HOST, SECOND))
    undelivered = second["inputs"]["nats_consumer"][0]["max_undelivered_messages"]
    lines = undelivered * host["agent"]["metric_batch_size"]
    assert lines <= second["agent"]["metric_buffer_limit"]


def test_how_long_buffers_last_is_worked_out_of_the_blocks() -> None:
    one, two = (series.made("telegraf", series.CHOICES["telegraf"][0], count) for count in (1, 2))
    lines, size = one.lists, two.size - one.size
    lists, values, _ = series.made("collectd", series.CHOICES["collectd"][0], 1)
    page = " ".join(text_of(PAGE).split())
    buffer_s = number("metric_buffer_limit", HOST) / (GUESTS * lines) * INTERVAL_S
    assert f"{buffer_s // 60:.0f} minutes" == "11 minutes" in page
    assert 10_000 / (GUESTS * lines) * INTERVAL_S // 5 * 5 == 35
    assert "is 35 s of a host with 200 guests; 200,000 are 11 minutes" in page
    queue_s = (
        number("WriteQueueLimitHigh", "/etc/collectd/collectd.conf.d/fleet.conf")
        / (GUESTS * lists)
        * INTERVAL_S
    )
    assert queue_s // 60 == 20
    assert "200,000 are 20 minutes of a host" in page
    relay_s = number("MAX_QUEUE_SIZE", "/etc/carbon/carbon.conf, the relay") / (GUESTS * values / 2)
    assert round(relay_s * INTERVAL_S / 3600) == 1
    assert "500,000 are one hour of a host" in page
    assert round(GUESTS * size * 3600 / INTERVAL_S / 1e6, -1) == 170
    assert "170 MB an hour" in page
    assert round(1_000_000 / (2000 * lines)) == 36
    assert "1,000,000: 36 hosts with 2,000 guests" in page


def test_the_size_of_whispers_files_is_that_of_the_retentions() -> None:
    retentions = re.findall(r"^retentions = (.+)$", block("/etc/carbon/storage-schemas.conf"), re.M)
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 365 * 86_400}

    def seconds(text: str) -> int:
        return int(text[:-1]) * units[text[-1]]

    archives = [each.strip().split(":") for each in retentions[-1].split(",")]
    points = sum(seconds(total) // seconds(step) for step, total in archives)
    size = 16 + 12 * len(archives) + 12 * points
    assert f"{size:,} bytes with the retentions above" in " ".join(text_of(PAGE).split())
