"""The programs in the project's documents, to be run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "docs" / "library.md"

_PROGRAM = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs(document: Path = LIBRARY) -> dict[str, str]:
    """The text of each Python program by the name in its first line."""
    return dict(_PROGRAM.findall(document.read_text()))


def load(name: str, document: Path = LIBRARY) -> SimpleNamespace:
    """What a program defines."""
    scope = {"__name__": name}
    exec(compile(programs(document)[name], f"{document.name}:{name}", "exec"), scope)
    return SimpleNamespace(**scope)
