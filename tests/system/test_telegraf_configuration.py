"""What we say of Telegraf's own configuration, held against Telegraf itself, and variables."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from domstats.config.options import TELEGRAF_GENERIC
from domstats.config.pages import telegraf_execd

from tests.system.agents import Telegraf
from tests.system.agents.telegraf_agent import BUILT
from tests.system.configurations import DOMSTATS, execd, libvirt_table
from tests.system.waiting import wait_for

#: A right value of each key that we send elsewhere.
VALUES = {
    "alias": '"a"',
    "always_include_global_tags": "true",
    "always_include_local_tags": "true",
    "buffer_directory": '"/tmp"',
    "buffer_disk_sync": "true",
    "buffer_size": '"64KiB"',
    "buffer_strategy": '"memory"',
    "collection_jitter": '"1s"',
    "collection_offset": '"1s"',
    "command": '["true"]',
    "data_format": '"influx"',
    "data_type": '"float"',
    "delay": '"1s"',
    "drop": '["a"]',
    "drop_original": "true",
    "environment": '["A=1"]',
    "fielddrop": '["a"]',
    "fieldexclude": '["a"]',
    "fieldinclude": '["a"]',
    "fieldpass": '["a"]',
    "flush_interval": '"1s"',
    "flush_jitter": '"1s"',
    "grace": '"1s"',
    "id": '"a"',
    "influx_parser_type": '"upstream"',
    "log_level": '"debug"',
    "metric_batch_size": "1",
    "metric_buffer_limit": "1",
    "metricpass": "\"name == 'a'\"",
    "name_override": '"a"',
    "name_prefix": '"a"',
    "name_suffix": '"a"',
    "namedrop": '["a"]',
    "namedrop_separator": '"."',
    "namepass": '["a"]',
    "namepass_separator": '"."',
    "order": "1",
    "pass": '["a"]',
    "period": '"1s"',
    "precision": '"1s"',
    "restart_delay": '"1s"',
    "signal": '"STDIN"',
    "startup_error_behavior": '"retry"',
    "stop_on_error": "true",
    "tagdrop": '{ a = ["b"] }',
    "tagexclude": '["a"]',
    "taginclude": '["a"]',
    "tagpass": '{ a = ["b"] }',
    "tags": '{ a = "b" }',
    "time_source": '"metric"',
}
#: Keys of which Telegraf takes only one of two.
COLLIDING = ("drop", "pass", "fielddrop", "fieldpass", "tagexclude")
#: What every child of Telegraf's has to have.
NEEDED = {"command": '["true"]', "data_format": '"influx"'}


@pytest.fixture
def check(tmp_path: Path, missing: Any) -> Callable[[str], str]:
    """``check(text)`` has Telegraf read a configuration: what is wrong with it, or nothing."""
    if not os.access(BUILT, os.X_OK):
        missing("telegraf", "make .build/telegraf")

    def check(text: str) -> str:
        path = tmp_path / "telegraf.conf"
        path.write_text(f"{text}\n[[outputs.file]]\n")
        words = [str(BUILT), "config", "check", "--strict-env-handling", "--config", str(path)]
        found = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
        return found.stderr if found.returncode else ""

    return check


def on_execd(values: dict[str, str]) -> str:
    lines = (f"{key} = {value}" for key, value in {**NEEDED, **values}.items())
    return "[[inputs.execd]]\n" + "\n".join(lines)


def where(words: str) -> Iterator[tuple[str, str]]:
    return ((key, VALUES[key]) for key, text in TELEGRAF_GENERIC.items() if words in text)


def test_telegraf_takes_on_inputs_execd_what_we_send_there(check: Callable[[str], str]) -> None:
    assert set(VALUES) == set(TELEGRAF_GENERIC)
    told = dict(where("it is Telegraf that acts on it"))
    assert len(told) > 20
    together = {key: value for key, value in told.items() if key not in COLLIDING}
    assert check(on_execd(together)) == ""
    for key in COLLIDING:
        assert check(on_execd({key: told[key]})) == ""


def test_telegraf_takes_on_agent_and_on_an_output_what_we_send_there(
    check: Callable[[str], str],
) -> None:
    agent = {**dict(where("on [agent] in")), **dict(where("on [agent] or on an output"))}
    text = "\n".join(f"{key} = {value}" for key, value in agent.items())
    assert check(f"[agent]\n{text}\n{on_execd({})}") == ""
    output = "\n".join(f"{key} = {value}" for key, value in where("on [agent] or on an output"))
    assert check(f'{on_execd({})}\n[[outputs.file]]\nfiles = ["stdout"]\n{output}') == ""


@pytest.mark.parametrize("key", ["time_source", "always_include_global_tags"])
def test_telegraf_refuses_on_inputs_execd_what_we_say_that_it_does(
    check: Callable[[str], str], key: str
) -> None:
    assert "were not used" in check(on_execd({key: VALUES[key]}))
    assert "[[inputs.execd]] in" not in TELEGRAF_GENERIC[key]


def test_telegraf_refuses_time_source_on_its_own_plugin_too(check: Callable[[str], str]) -> None:
    assert "were not used" in check('[[inputs.libvirt]]\ntime_source = "metric"')


def test_telegrafs_labels_belong_on_inputs_execd(check: Callable[[str], str]) -> None:
    assert check(on_execd({}) + '\n[inputs.execd.labels]\nrole = "host"') == ""


def test_variables_stand_for_the_same_as_in_telegrafs_own_table(
    bed: Any, start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (guest.name for guest in bed.guests[:2])
    monkeypatch.setenv("BED_URI", bed.uri)
    settings = tmp_path / "domstats.toml"

    def table(guest: str) -> str:
        names = f'domains = ["${{NO_GUEST:-{guest}}}", "x$", "/^y$/"]'
        return libvirt_table("${BED_URI}", names)

    settings.write_text(table(ours))
    telegraf = start(Telegraf, execd(settings) + table(theirs))

    def guests() -> set[str]:
        states = (each for each in telegraf.points() if each.measurement == "libvirt_state")
        return {each.tags["domain_name"] for each in states}

    wait_for("both guests", lambda: guests() == {ours, theirs})


def test_a_variable_that_is_set_for_the_child_alone_counts(
    bed: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table("$CHILDS_URI"))
    telegraf = start(Telegraf, execd(settings, f'environment = ["CHILDS_URI={bed.uri}"]'))
    wait_for("points", lambda: {each.measurement for each in telegraf.points()} > {"libvirt_state"})


def test_a_variable_that_is_not_set_is_in_telegrafs_log(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table("$NOBODY_HAS_SET_THIS"))
    telegraf = start(Telegraf, execd(settings))
    wait_for("an error", lambda: "E! [inputs.execd] domstats: " in telegraf.log)
    assert (
        f"{settings}: [[inputs.libvirt]] table 1, option libvirt_uri: found the variable"
        " NOBODY_HAS_SET_THIS, which is not set in the environment"
    ) in telegraf.log


@pytest.mark.parametrize("is_set", [True, False])
def test_times_are_rounded_only_by_the_precision_that_the_printed_part_shows(
    bed: Any, start: Callable[..., Any], tmp_path: Path, is_set: bool
) -> None:
    settings = tmp_path / "domstats.toml"
    settings.write_text(libvirt_table(bed.uri))
    (shown,) = (line for line in telegraf_execd().splitlines() if "precision = " in line)
    telegraf = start(Telegraf, execd(settings, shown.strip(" #") if is_set else ""))
    points = wait_for("points", telegraf.points)
    assert is_set == all(point.time % 10**9 == 0 for point in points)


def test_libvirt_passes_no_known_hosts_on_to_ssh(tmp_path: Path, missing: Any) -> None:
    ssh, seen = tmp_path / "ssh", tmp_path / "seen"
    ssh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\nexit 1\n')
    ssh.chmod(0o755)
    uri = f"qemu+ssh://h/system?keyfile=/key&no_verify=1&known_hosts=/hosts&command={ssh}"
    sample = subprocess.run(
        [*DOMSTATS, "sample", "--connect", uri, "--format", "json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    words = seen.read_text().splitlines()
    assert "/key" in words
    assert "StrictHostKeyChecking=no" in words
    assert not [word for word in words if "/hosts" in word]
    assert not json.loads(sample.stdout)["round"]["connected"]
