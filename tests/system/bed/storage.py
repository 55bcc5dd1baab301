"""Storage that can be made to hang: a FUSE mount that passes all on to a folder beside it."""

import os
import signal
import subprocess

from tests.system.bed import processes
from tests.system.bed.enclosure import Enclosure
from tests.system.waiting import wait_for


class Storage:
    """A mount of ``bindfs`` at ``path``, seen by the bed's guests and by everybody outside alike.

    Its process lives in the bed's process namespace, so that it ends with the bed.

    :param options: more options of bindfs, as ``--no-allow-other``: then root alone may enter.
    """

    def __init__(self, enclosure: Enclosure, name: str, *options: str) -> None:
        behind = enclosure.folder / "storage" / f"{name}.real"
        self.path = enclosure.folder / "storage" / name
        behind.mkdir()
        self.path.mkdir()
        entering = ("nsenter", "--target", str(enclosure.init), "--pid", "--")
        with (enclosure.folder / f"{name}.log").open("wb") as log:
            entered = subprocess.Popen(
                [*entering, "bindfs", "-f", *options, str(behind), str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(f"mount of bindfs at {self.path}", lambda: os.path.ismount(self.path))
        self._pid = processes.children(entered.pid)[0]
        # It would stop with its child, and outlive the bed; without it process 1 adopts bindfs.
        entered.kill()
        entered.wait()

    def freeze(self) -> None:
        """From now on nothing that touches a file on it returns."""
        os.kill(self._pid, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self._pid, signal.SIGCONT)
