"""``domstats top``: a thread for each hypervisor asks it, and the screen never waits for any.

It must not know how a command line is read, nor what is drawn.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import Callable

import msgspec

from ..agents.adapter import LogFunction, SamplerLike, sampler
from ..config.settings import Settings, is_local
from ..errors import ConfigError
from ..model import Round, Sample
from .sample_command import LOCAL, Wanted, hypervisors, of_groups

#: What the screen shows is in these groups.
GROUPS = frozenset({"state", "cpu_total", "balloon", "vcpu", "interface", "block"})


def run(wanted: Wanted) -> int:
    """Show the hypervisors until somebody leaves.

    :return: the exit status.
    :raises ConfigError: the configuration or an option is wrong, or there is no terminal.
    """
    try:
        from .top_app import Arrived, Logged, Top
    except ImportError as error:
        raise ConfigError(
            f"top needs textual ({error}); install it beside domstats:"
            f" {sys.executable} -m pip install textual"
        ) from None
    if not all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigError("top needs a terminal; `domstats sample` prints into a file or a pipe")
    settings, warnings = hypervisors(wanted if wanted.path or wanted.uris else _local(wanted))
    pollers: list[Poller] = []

    def again() -> None:
        for poller in pollers:
            poller.again()

    def arrived(number: int, sample: Sample) -> None:
        app.post_message(Arrived(number, sample))

    def logged(number: int, level: str, text: str) -> None:
        app.post_message(Logged(number, text))

    app = Top([each.uri for each in settings], again, "; ".join(warnings))
    for number, each in enumerate(settings):
        pollers.append(
            Poller(
                _for_screen(each),
                wanted.interval,
                partial(arrived, number),
                partial(logged, number),
            )
        )
    for poller in pollers:
        poller.start()
    app.run()
    for poller in pollers:
        poller.end()
    return app.return_code or 0


def _local(wanted: Wanted) -> Wanted:
    return wanted._replace(uris=(LOCAL,))


def _for_screen(settings: Settings) -> Settings:
    """The settings, without what no screen shows, and with what it shows besides."""
    return msgspec.structs.replace(
        of_groups(settings, settings.groups & GROUPS),
        every={},
        wants_devices=True,
        vcpu_mapping=False,
        pressure=is_local(settings.uri),
    )


class Poller(threading.Thread):
    """Asks one hypervisor, again and again.

    :param interval: seconds from the beginning of a round to that of the next.
    :param arrived: is called with each sample, in this thread.
    """

    def __init__(
        self,
        settings: Settings,
        interval: float,
        arrived: Callable[[Sample], object],
        log: LogFunction,
        make: Callable[[Settings, LogFunction], SamplerLike] = sampler,
    ) -> None:
        super().__init__(name=f"domstats {settings.uri}", daemon=True)
        self._settings = settings
        self._interval = interval
        self._arrived = arrived
        self._log = log
        self._make = make
        self._wake = threading.Event()
        self._ended = False

    def again(self) -> None:
        """Ask now, or as soon as the round under way is over."""
        self._wake.set()

    def end(self) -> None:
        """Ask no more, without waiting for a round under way."""
        self._ended = True
        self._wake.set()

    def run(self) -> None:
        asked = self._make(self._settings, self._log)
        while not self._ended:
            began = time.monotonic()
            self._wake.clear()
            self._arrived(self._sample(asked))
            self._wake.wait(max(0.0, self._interval - (time.monotonic() - began)))
        asked.close()

    def _sample(self, asked: SamplerLike) -> Sample:
        try:
            return asked.sample()
        except Exception as error:
            uri = self._settings.uri
            failed = Round(connected=False, error=f"{uri}: a round failed: {error!r}")
            return Sample(uri, time.time_ns(), (), failed)
