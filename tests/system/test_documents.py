"""What the documents give as configuration of Telegraf's or Prometheus's is one to them."""

import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT, Block, blocks, documents
from tests.system.agents import Collectd
from tests.system.agents.telegraf_agent import BUILT

#: Tables that only domstats reads have options that Telegraf's plugin has not.
TELEGRAFS = [
    block
    for document in documents()
    for block in blocks(document)
    if block.language == "toml"
    and any(words in block.text for words in ("inputs.execd", "libvirt.tags", "[[outputs."))
]
COLLECTDS = [
    block
    for document in documents()
    for block in blocks(document)
    if block.language == "collectd" and "write_graphite" in block.text
]
PROMETHEUS = [
    block for document in documents() for block in blocks(document) if block.language == "yaml"
]


def test_there_are_some() -> None:
    assert TELEGRAFS
    assert COLLECTDS
    assert PROMETHEUS


@pytest.mark.parametrize("block", TELEGRAFS, ids=[block.place for block in TELEGRAFS])
def test_telegraf_takes_it(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "telegraf.conf"
    path.write_text(f"{block.text}\n[[outputs.file]]\n")
    command = [str(BUILT), "config", "check", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(
        block.text.replace("]]\n", "]]\n  no_such_option = 1\n", 1) + "[[outputs.file]]\n"
    )
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert wrong.returncode != 0, "Telegraf looks at the options"


@pytest.mark.parametrize("block", PROMETHEUS, ids=[block.place for block in PROMETHEUS])
def test_prometheus_takes_it_with_the_rules(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    rules = ROOT / "dashboards" / "alerts-prometheus.yaml"
    text = block.text.replace("/etc/prometheus/alerts-prometheus.yaml", str(rules))
    for written, status in ((text, 0), (text.replace("job_name", "jobname"), 1)):
        path.write_text(written)
        command = ["promtool", "check", "config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize("block", COLLECTDS, ids=[block.place for block in COLLECTDS])
def test_collectd_takes_it(block: Block, tmp_path: Path) -> None:
    with Collectd(tmp_path / "right", block.text, mode="-T") as collectd:
        assert collectd.process.wait(60) == 0, collectd.log
    with Collectd(tmp_path / "wrong", block.text.replace("Port", "Prot"), mode="-T") as collectd:
        collectd.process.wait(60)
        assert "Prot" in collectd.log
