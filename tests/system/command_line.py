"""Commands, run as a person or a program runs them."""

import os
import subprocess
from collections.abc import Mapping, Sequence

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


def typed(command: str, environment: Mapping[str, str], within: Sequence[str] = ()) -> str:
    """What a line of shell prints on either stream; it has to succeed.

    :param within: words before the shell, of a program that runs it elsewhere.
    """
    done = subprocess.run(
        [*within, "sh", "-e", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout
