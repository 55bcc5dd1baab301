"""What the documents give as Telegraf's own configuration is one to Telegraf itself."""

import subprocess
from pathlib import Path

import pytest

from tests.documents import Block, blocks, documents
from tests.system.agents.telegraf_agent import BUILT

#: Tables that only domstats reads have options that Telegraf's plugin has not.
TELEGRAFS = [
    block
    for document in documents()
    for block in blocks(document)
    if block.language == "toml" and ("inputs.execd" in block.text or "libvirt.tags" in block.text)
]


def test_there_are_some() -> None:
    assert TELEGRAFS


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
