"""Where this package lies: what Telegraf starts, and where collectd's Python finds it.

Other programs start domstats for another user, in another folder, with another environment. So
what is found only by this user's environment has to be named to them. It must not know what
configurations look like.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple, Optional

from . import programs

#: The distribution's interpreter, as whose kin collectd's Python plugin looks for modules.
SYSTEM_PYTHON = "/usr/bin/python3"
#: Where else a daemon looks for one.
_DAEMON_PATH = "/usr/local/bin:/usr/bin:/bin"

#: What a child of Telegraf and collectd's module import; those that are not there are left out.
_NEEDED = ("domstats", "msgspec", "libvirt", "lxml", "tomli")

#: Seconds for an interpreter to say where it looks.
_PATIENCE_S = 30.0

_TELL = "import json, sys; print(json.dumps(sys.path))"
_TRY = """\
import sys
sys.path[:0] = sys.argv[1:]
import domstats.collectd_plugin, domstats.sampling.sampler
"""


class ForTelegraf(NamedTuple):
    """How Telegraf starts domstats.

    :param command: the words of the command, without the subcommand.
    :param python_path: the folders that the interpreter has to be told of.
    :param warning: why it will not work all the same; empty if it will.
    """

    command: tuple[str, ...]
    python_path: tuple[str, ...]
    warning: str


class ForCollectd(NamedTuple):
    """Where collectd's Python finds domstats.

    :param module_paths: for ``ModulePath`` lines, in this order: collectd puts each before all
        others, so that the last one counts first.
    :param warning: why it will not work all the same; empty if it will.
    """

    module_paths: tuple[str, ...]
    warning: str


def for_telegraf() -> ForTelegraf:
    """How Telegraf starts the command that runs now."""
    command = start_words(sys.argv[0], sys.executable)
    unknown = not_searched(_folders(_NEEDED), _search_path(sys.executable))
    closed = next(filter(None, map(closed_at, (command[0], sys.executable, *unknown))), "")
    return ForTelegraf(
        command,
        unknown,
        f"other users may not look into {closed}: Telegraf cannot start domstats there, unless it"
        " runs as you; install domstats where all may read it, as in /opt/domstats"
        if closed
        else "",
    )


def for_collectd() -> ForCollectd:
    """Where collectd's Python finds the package that runs now, and what it needs."""
    python = _system_python()
    if not python:
        return ForCollectd(
            tuple(reversed(_folders(_NEEDED))),
            "there is no python3 of the system, which collectd's Python plugin takes modules for",
        )
    paths = tuple(reversed(not_searched(_folders(_NEEDED), _search_path(python))))
    error = _trial(python, paths)
    return ForCollectd(
        paths,
        f"collectd's Python, {python}, cannot import domstats from there ({error}): install"
        f" domstats for that Python, with {python} -m venv --system-site-packages /opt/domstats"
        if error
        else "",
    )


def collectds_python(paths: Sequence[str]) -> tuple[str, str]:
    """The Python whose modules collectd takes, and why it cannot import domstats.

    :param paths: folders that it has to be told of, the first one counting first.
    :return: its path, empty if there is none; and what it says, empty if it can.
    """
    python = _system_python()
    if not python:
        return "", "there is no python3 of the system"
    return python, _trial(python, paths)


def start_words(argv0: str, interpreter: str) -> tuple[str, ...]:
    """The words that start what was started as ``argv0``.

    :param argv0: the script's path, or that of ``__main__.py`` with ``python -m``.
    """
    script = os.path.abspath(argv0)
    if Path(script).name != "__main__.py" and os.path.isfile(script) and os.access(script, os.X_OK):
        return (script,)
    return (interpreter, "-m", "domstats")


def not_searched(folders: Iterable[str], searched: Iterable[str]) -> tuple[str, ...]:
    """The folders that are not among those which an interpreter searches by itself."""
    known = {os.path.realpath(folder) for folder in searched}
    return tuple(folder for folder in folders if os.path.realpath(folder) not in known)


def closed_at(path: str) -> str:
    """The first folder or file on the way to a path that not everybody may use; else empty."""
    real = Path(os.path.realpath(path))
    for each in [*reversed(real.parents), real]:
        try:
            mode = each.stat().st_mode
        except OSError:
            return str(each)
        wanted = stat.S_IXOTH if each != real or not stat.S_ISDIR(mode) else stat.S_IROTH
        if not mode & wanted:
            return str(each)
    return ""


def _folders(modules: Sequence[str]) -> tuple[str, ...]:
    """The folders in which the modules lie, each once, the first module's first."""
    return tuple(dict.fromkeys(filter(None, map(_folder, modules))))


def _folder(module: str) -> str:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin or not os.path.isabs(spec.origin):
        return ""
    inside = Path(spec.origin)
    return str(inside.parent.parent if spec.submodule_search_locations else inside.parent)


def _system_python() -> str:
    if os.access(SYSTEM_PYTHON, os.X_OK):
        return SYSTEM_PYTHON
    return shutil.which("python3", path=_DAEMON_PATH) or ""


def _search_path(python: str) -> tuple[str, ...]:
    """Where an interpreter looks for modules by itself, whoever runs it and wherever."""
    done = _run(python, _TELL)
    if done is None or done.returncode:
        return ()
    found: list[str] = json.loads(done.stdout)
    return tuple(found)


def _trial(python: str, paths: Sequence[str]) -> str:
    """What an interpreter says when it imports what collectd will; empty if it can."""
    done = _run(python, _TRY, *paths)
    if done is None:
        return "it does not run"
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or ["it ends without a word"])[-1]


def _run(python: str, code: str, *words: str) -> Optional[CompletedProcess[str]]:
    """Run code as a daemon would: without this user's environment and folders (``-I``)."""
    return programs.ended([python, "-I", "-c", code, *words], _PATIENCE_S, "/")
