"""Jobs of real guests: a live migration between two libvirtds, as both agents tell of it on either
side, and beside collectd's own plugin."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
from domstats.config.settings import Settings
from domstats.model import Status
from domstats.sampling.sampler import Sampler

from tests.system.agents import Collectd, Telegraf
from tests.system.agents.lines import Point
from tests.system.bed import Bed, Guest, Migration, Shape
from tests.system.configurations import execd, libvirt_table, python_plugin, virt_plugin
from tests.system.waiting import wait_for

INTERVAL_S = 1.0
#: What hangs does so for good: a machine that has much else to do is not to be taken for that.
LONG_INTERVAL_S, PATIENT = 3.0, "soft_deadline = 2.0"
NATIVES = 3


@pytest.fixture(scope="module")
def beds(new_bed: Callable[[], Bed]) -> Iterator[tuple[Bed, Bed]]:
    """Two hosts, each with guests that stay."""
    with contextlib.ExitStack() as stack:
        source, destination = (stack.enter_context(new_bed()) for _ in range(2))
        for bed, name in ((source, "west"), (destination, "east")):
            bed.add(*(Shape(f"{name}-{number}", busy=True) for number in range(NATIVES)))
        yield source, destination


@pytest.fixture
def mover(beds: tuple[Bed, Bed]) -> Iterator[Guest]:
    """A guest on the first host that writes to its memory, so that a migration has much to do."""
    (guest,) = beds[0].add(Shape("mover", dirty=True))
    yield guest
    for bed in beds:
        with bed.connection() as connection:
            for domain in connection.listAllDomains():
                if domain.UUIDString() == guest.uuid:
                    if domain.isActive():
                        domain.destroy()
                    domain.undefine()
    beds[0].forget(guest)


def points(telegraf: Telegraf, measurement: str, **tags: str) -> list[Point]:
    return [
        point
        for point in telegraf.points()
        if point.measurement == measurement and tags.items() <= point.tags.items()
    ]


def numbers(found: list[Point], field: str) -> list[float]:
    return [float(point.fields[field].value) for point in found if field in point.fields]


def happened(telegraf: Telegraf, event: str) -> bool:
    """Whether that was told of the guest that moves, as part of its migration."""
    tags = {"domain_name": "mover", "kind": "lifecycle", "event": event}
    found = points(telegraf, "domstats_event", **tags)
    return "migrated" in [point.fields["detail"].value for point in found]


def assert_is_calm(telegraf: Telegraf, natives: str) -> None:
    """Nobody hung, no round was late, and who stayed has a sample of each round."""
    rounds = points(telegraf, "domstats_round")
    assert max(numbers(rounds, "unresponsive") + numbers(rounds, "stuck_calls")) == 0
    _, *took_s = numbers(rounds, "duration_s")  # the first one learns about QEMU
    assert max(took_s) < LONG_INTERVAL_S
    times = {point.time for point in rounds[:-1]}  # of the last one more may be on its way
    for number in range(NATIVES):
        name = f"{natives}-{number}"
        assert not points(telegraf, "domstats_domain", domain_name=name), name
        for measurement in ("libvirt_cpu", "libvirt_block", "libvirt_balloon"):
            got = {point.time for point in points(telegraf, measurement, domain_name=name)}
            assert got >= times, (name, measurement)


def test_a_migration_is_told_by_telegraf_on_both_sides_and_costs_nobody_a_sample(
    beds: tuple[Bed, Bed], mover: Guest, start: Callable[..., Any], tmp_path: Path
) -> None:
    agents = []
    for bed, name in zip(beds, ("source", "destination")):
        settings = tmp_path / f"{name}.toml"
        options = ("jobs = true", "rates = true", 'events = ["lifecycle"]', PATIENT)
        settings.write_text(libvirt_table(bed.uri, *options))
        agents.append(start(Telegraf, execd(settings), LONG_INTERVAL_S, name=name))
    source, destination = agents

    def progress() -> list[Point]:
        return points(source, "domstats_job", operation="migration_out", status="running")

    wait_for(
        "three rounds",
        lambda: all(len(points(agent, "domstats_round")) >= 3 for agent in agents),
    )
    assert not points(source, "domstats_job")
    with Migration(mover, *beds) as migration:
        wait_for("five rounds with the job", lambda: len(progress()) >= 5)
        mover_before = numbers(points(source, "libvirt_cpu", domain_name="mover"), "time")
        migration.finish()
    wait_for(
        "the figures at the destination",
        lambda: points(destination, "domstats_job", status="completed"),
    )
    wait_for(
        "rates of the guest where it is now",
        lambda: len(points(destination, "domstats_cpu", domain_name="mover")) >= 3,
    )

    elapsed = numbers(progress(), "time_elapsed")
    assert elapsed == sorted(set(elapsed))
    assert {point.tags["domain_name"] for point in progress()} == {"mover"}
    assert {point.tags["uuid"] for point in progress()} == {mover.uuid}
    processed = numbers(progress(), "data_processed")
    assert processed == sorted(processed)
    assert processed[-1] > processed[0]
    assert max(numbers(progress(), "memory_remaining")) > 0
    (figures,) = points(destination, "domstats_job")
    assert (figures.tags["operation"], figures.tags["status"]) == ("migration_in", "completed")
    assert float(figures.fields["time_elapsed"].value) >= elapsed[-1]
    assert 0 < float(figures.fields["downtime"].value) < 10_000
    assert figures.fields["data_remaining"].value == 0

    for agent, event in ((source, "stopped"), (destination, "started"), (destination, "resumed")):
        wait_for(event, partial(happened, agent, event))
    assert_is_calm(source, "west")
    assert_is_calm(destination, "east")
    for agent in agents:
        unwell = numbers(points(agent, "domstats_domain", domain_name="mover"), "responsive")
        assert set(unwell) <= {1}, "it is partial at most"
        assert "does not answer" not in agent.log

    assert mover_before == sorted(mover_before), "its counters go on"
    for agent in agents:  # where it arrives they begin anew, which is no rate
        percents = numbers(points(agent, "domstats_cpu", domain_name="mover"), "percent")
        assert min(percents) >= 0
        assert max(percents) < 250


def test_a_guest_whose_process_stops_during_its_migration_is_named_and_costs_nobody_a_sample(
    beds: tuple[Bed, Bed], mover: Guest
) -> None:
    """Without a look at processes: libvirt does not say of it that its monitor is occupied."""
    settings = Settings(uri=beds[0].uri, jobs=True, process_watch=False)
    log: list[str] = []
    with Sampler(settings, lambda level, text: log.append(text)) as sampler:

        def statuses() -> dict[str, Status]:
            return {domain.name: domain.status for domain in sampler.sample(10).domains}

        with Migration(mover, *beds) as migration:
            wait_for(
                "its job in a sample",
                lambda: any("job.type" in d.stats for d in sampler.sample(10).domains),
            )
            mover.hang()
            try:
                for _ in range(3):
                    found = statuses()
                    assert found.pop("mover") is Status.UNRESPONSIVE
                    assert set(found.values()) == {Status.FRESH}
            finally:
                mover.heal()
            wait_for("nobody who hangs", lambda: set(statuses().values()) == {Status.FRESH})
            migration.finish()
    assert sum("does not answer" in text for text in log) == 1
    assert sum("answers again" in text for text in log) == 1


# --- beside collectd's own plugin


OURS = 'PluginInstanceFormat "hostname"\nHostname "ours"\nReportRound false'


def job_stats(collectd: Collectd, host: str) -> dict[str, dict[str, list[float]]]:
    """By plugin and parameter: all values."""
    found: dict[str, dict[str, list[float]]] = {}
    for identifier, rows in collectd.series(host).items():
        _, plugin, name = identifier.split("/")
        if name.startswith("job_stats-"):
            found.setdefault(plugin, {})[name] = [row.values[0] for row in rows]
    return found


def has_sampled(collectd: Collectd, host: str, plugin: str, count: int) -> Callable[[], bool]:
    name = f"{host}/{plugin}/virt_cpu_total"
    return lambda: len(collectd.series(host).get(name, ())) >= count


def test_the_job_that_runs_has_the_identifiers_and_values_of_virt(
    beds: tuple[Bed, Bed], mover: Guest, start: Callable[..., Any]
) -> None:
    options = f'Connection "{beds[0].uri}"\nExtraStats "job_stats_background"\n'
    plugins = virt_plugin(options) + python_plugin(f"{options}{OURS}\nJobs true")
    collectd = start(Collectd, plugins, INTERVAL_S)
    for plugin in ("virt", "virt-ours"):
        wait_for("three rounds", has_sampled(collectd, "mover", plugin, 3))
    assert job_stats(collectd, "mover") == {}, "neither sends anything while there is no job"

    with Migration(mover, *beds) as migration:
        wait_for(
            "the job by both",
            lambda: all(
                len(job_stats(collectd, "mover").get(plugin, {}).get("job_stats-operation", ()))
                >= 5
                for plugin in ("virt", "virt-ours")
            ),
        )
        found = job_stats(collectd, "mover")
        migration.finish()
    theirs, ours = found["virt"], found["virt-ours"]
    assert set(ours) == set(theirs)
    constant = ("operation", "memory_total", "memory_page_size", "data_total", "disk_total")
    for name in constant:
        assert set(ours[f"job_stats-{name}"]) == set(theirs[f"job_stats-{name}"]), name
    for name in ("time_elapsed", "data_processed", "memory_normal_bytes"):
        mine, other = ours[f"job_stats-{name}"], theirs[f"job_stats-{name}"]
        assert mine == sorted(mine)
        assert max(min(mine), min(other)) <= min(max(mine), max(other)), name

    own = {
        identifier.split("/")[2]: [row.values[0] for row in rows]
        for identifier, rows in collectd.series("mover").items()
        if identifier.startswith("mover/domstats-ours/")
    }
    assert set(own["gauge-job_operation"]) == {5}
    assert own["duration-job_time_elapsed"] == sorted(own["duration-job_time_elapsed"])
    assert "Traceback" not in collectd.log
    assert not any(host.startswith("west") and job_stats(collectd, host)
                   for host in collectd.hosts())  # fmt: skip


def test_the_job_that_has_ended_has_the_identifiers_and_values_of_virt_and_is_left_there(
    beds: tuple[Bed, Bed], mover: Guest, start: Callable[..., Any]
) -> None:
    """One after the other, since virt takes the figures away."""
    with Migration(mover, *beds) as migration:
        time.sleep(1)  # so that it has something to tell
        migration.finish()
    options = f'Connection "{beds[1].uri}"\nExtraStats "job_stats_completed"\n'
    found = {}
    for name, plugins in (
        ("virt-ours", python_plugin(options + OURS)),
        ("virt", virt_plugin(options)),
    ):
        collectd = start(Collectd, plugins, INTERVAL_S, name=name)
        wait_for("five rounds", has_sampled(collectd, "mover", name, 5))
        collectd.stop()
        found[name] = job_stats(collectd, "mover")[name]
    assert found["virt-ours"] == found["virt"]
    assert {len(values) for values in found["virt"].values()} == {1}, "once"
    assert found["virt"]["job_stats-operation"] == [4]
