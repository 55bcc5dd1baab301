"""Other programs that a command runs, and what becomes of them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Optional


def ended(
    command: Sequence[str], seconds: float, folder: Optional[str] = None
) -> Optional[subprocess.CompletedProcess[str]]:
    """Run a program to its end, without input; None if it cannot be run, or takes longer.

    :param folder: where it runs; this process's folder else.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            cwd=folder,
        )
    except (OSError, subprocess.SubprocessError):
        return None
