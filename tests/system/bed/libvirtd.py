"""The bed's libvirtd: waiting for it, and what may befall it."""

import os
import signal
from pathlib import Path

import libvirt

from tests.system.bed import processes
from tests.system.bed.enclosure import Enclosure
from tests.system.waiting import TooLate, wait_for

ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
HANGS_MS = 2000


def _is_settled(domain: libvirt.virDomain) -> bool:
    """Whether libvirtd has done with meeting this guest again, or does not get on with it."""
    state, _details, milliseconds = domain.controlInfo()
    if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED:
        return milliseconds > HANGS_MS
    return state != libvirt.VIR_DOMAIN_CONTROL_JOB


class Libvirtd:
    """The libvirtd of an enclosure, which starts it."""

    def __init__(self, enclosure: Enclosure, uri: str) -> None:
        self._enclosure = enclosure
        self._uri = uri

    @property
    def pid(self) -> int:
        """The id of its process as seen from outside; raises LookupError if it does not run."""
        for pid, command in self._enclosure.processes():
            if Path(command[0]).name == "libvirtd" and processes.state(pid) != "Z":
                return pid
        raise LookupError("libvirtd does not run")

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._enclosure.log("libvirtd")

    def wait_until_it_answers(self, seconds: float = 60.0) -> None:
        """Return when it accepts connections and has found its guests again."""

        def answers() -> bool:
            try:
                connection = libvirt.open(self._uri)
            except libvirt.libvirtError:
                return False
            try:
                return all(map(_is_settled, connection.listAllDomains(ACTIVE)))
            except libvirt.libvirtError:  # a guest ended between the list and the question
                return False
            finally:
                connection.close()

        try:
            wait_for("answer of the bed's libvirtd", answers, seconds)
        except TooLate as late:
            raise TooLate(f"{late}; it says: {self._enclosure.log('libvirtd')}") from None

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with -9; its guests run on."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_for("end of libvirtd", lambda: processes.has_ended(pid))

    def start(self) -> None:
        """Start it again after ``kill``, and wait until it answers."""
        self._enclosure.command("libvirtd")
        self.wait_until_it_answers()
