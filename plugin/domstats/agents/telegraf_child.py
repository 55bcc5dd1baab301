"""The command ``domstats telegraf``: a configuration's hypervisors, sampled at Telegraf's ticks.

It is there for as long as the host is, so it must not import what only people need. What it does
need is imported here, in the main thread: memory that an import frees in a thread stays with it.
"""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
from typing import Optional

from ..config.telegraf import read_telegraf
from ..errors import ConfigError
from ..output.schema import RESERVED_TAGS
from ..sampling.sampler import Sampler
from .telegraf_execd import run as answer_ticks
from .telegraf_execd import stderr_log

#: The exit status of a wrong configuration.
USAGE = 2


#: Descriptors of the child itself, and of a hypervisor: three connections of it.
_OWN, _OF_HYPERVISOR = 64, 10


def _allow_descriptors(wanted: int) -> None:
    """Let this process have so many, if its limit is lower and may be raised."""
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(path: str, interval: Optional[float] = None) -> int:
    """Answer ticks until the end of input, or a signal.

    :param path: of the configuration.
    :param interval: seconds between rounds that nobody ticks for.
    :return: the exit status.
    """
    log = stderr_log(sys.stderr.fileno())
    try:
        parsed = read_telegraf(path, RESERVED_TAGS)
    except ConfigError as error:
        for text in error.mistakes:
            log("error", f"domstats: {text}")
        return USAGE
    for text in parsed.warnings:
        log("warning", f"domstats: {text}")
    _allow_descriptors(_OWN + _OF_HYPERVISOR * len(parsed.settings))
    stdin, stdout, stderr = (file.fileno() for file in (sys.stdin, sys.stdout, sys.stderr))
    # A round makes some objects for each of thousands of domains, and none of them in cycles: to
    # look for cycles in it takes up to a fifth of the CPU time. The hypervisors' loops do, between
    # rounds.
    gc.disable()
    try:
        answer_ticks(parsed.settings, stdin, stdout, stderr, interval, Sampler)
    finally:
        gc.enable()
    return 0
