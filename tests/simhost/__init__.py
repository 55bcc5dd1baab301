"""A simulated libvirtd that speaks libvirt's real wire protocol on a unix socket, for tests that
need thousands of domains, hangs and faults. Use it through an unmodified libvirt:

    with SimHost(domains=5000) as host:
        connection = libvirt.openReadOnly(host.uri)
        host.control.hang(count=3)
"""

from .control import Control, ControlError
from .host import SimHost

__all__ = ["Control", "ControlError", "SimHost"]
