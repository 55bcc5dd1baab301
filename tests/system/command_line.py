"""The command ``domstats``, run as a person or a program runs it."""

import os
import subprocess

from tests.system.configurations import DOMSTATS, ROOT


def domstats(
    *arguments: str, prefix: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command as it ended.

    :param prefix: words before it, of a program that runs it.
    """
    return subprocess.run(
        [*prefix, *DOMSTATS, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugin"), "COLUMNS": "200", **environment},
    )
