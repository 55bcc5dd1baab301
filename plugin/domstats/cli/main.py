"""The command ``domstats``.

Each error is one line on stderr. Status 2: usage or configuration; 1: no hypervisor could be
sampled; 0: else. The process ends with ``os._exit``, because threads may be stuck in a hypervisor.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

try:
    from ..agents.adapter import ErrorOnce
except ImportError as missing:  # before anything else, as Telegraf's child has to say it too
    sys.exit(
        f"E! domstats: {missing}: domstats needs msgspec for Python {sys.version.split()[0]};"
        f" it was looked for in {', '.join(sys.path)}"
    )
from ..errors import ConfigError, DomstatsError
from ..shown import say

USAGE, FAILED, INTERRUPTED = 2, 1, 130


def main() -> NoReturn:
    """The entry point."""
    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Obey a command line.

    :return: the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a table is shown in any locale
            stream.reconfigure(errors="backslashreplace")
    try:
        return _obey(arguments)
    except ConfigError as error:
        for text in error.mistakes:
            say(text)
        return USAGE
    except DomstatsError as error:
        say(str(error))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the latter is how rich tells of a closed pipe
        return 0
    except OSError as error:
        say(f"cannot write: {error.strerror or error}")
        return FAILED
    except Exception as error:
        ErrorOnce(say)("this went wrong", error)
        return FAILED


def _obey(arguments: Sequence[str]) -> int:
    if len(arguments) == 3 and list(arguments[:2]) == ["telegraf", "--config"]:
        # As Telegraf starts it, and holds it for ever: without click, which takes 1.3 MiB.
        from ..agents import telegraf_child

        return telegraf_child.run(arguments[2])
    try:
        return _obey_people(arguments)
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        raise DomstatsError(
            f"this command needs click and rich ({missing}); install them beside domstats:"
            f" {sys.executable} -m pip install click rich"
        ) from None


def _obey_people(arguments: Sequence[str]) -> int:
    from . import commands, completion

    instruction = "" if arguments else os.environ.get(completion.VARIABLE, "")
    if instruction:  # a shell asks, for which click's own main() would look
        return commands.complete(instruction)
    return commands.obey(arguments)
