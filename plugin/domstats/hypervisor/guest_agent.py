"""A connection over which guest agents are asked, and nothing else is done.

libvirt takes questions to a guest agent only over a connection that is not read-only. This module
opens such connections, and they exist only where the user wants them (option GuestAgent). The only
calls made over one are those of ``CALLS``; all of them are queries, and a test holds that.

A connection belongs to one thread, and a call may block for as long as the guest likes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Optional

from ..domain_xml.agent_channel import has_agent
from ..errors import (
    AgentError,
    CallError,
    ConnectionLostError,
    NotAllowedError,
    UnsupportedError,
)
from .binding import libvirt
from .connection import KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_S, prepare_libvirt, words_of
from .guest_answers import Told, of_fs_info, of_guest_info
from .remedies import why_no_agents

#: libvirt's calls that are made, in libvirt-python's words. (isAlive asks the client alone.)
CALLS: tuple[str, ...] = (
    "setKeepAlive",
    "isAlive",
    "close",
    "lookupByUUIDString",
    "state",
    "XMLDesc",
    "guestInfo",
    "fsInfo",
)

#: virDomainGuestInfoTypes: logged in users, operating system, host name, file systems.
_USERS, _OS, _HOSTNAME, _FILE_SYSTEMS = 1, 2, 8, 16
_EVERYTHING = _USERS | _OS | _HOSTNAME | _FILE_SYSTEMS
_RUNNING = 1
#: virErrorNumber, for bindings that lack them.
_NO_SUPPORT, _NO_DOMAIN, _DENIED, _ACCESS_DENIED = 3, 42, 29, 88
_INTERNAL_ERROR, _NOT_VALID, _NO_AGENT, _UNRESPONSIVE = 1, 55, 74, 86


class AgentConnection:
    """Asks guest agents over a connection of its own, opened by the first question.

    :param uri: libvirt's connection URI.
    :param limited: uuids of domains whose agent cannot tell all of it, so that only file systems
        are asked for; connections share what they learn.
    :param keepalive: whether the server is pinged, as for ``Connection``.
    """

    def __init__(self, uri: str, limited: set[str], *, keepalive: bool = False) -> None:
        self.uri = uri
        self._limited = limited
        self._keepalive = keepalive
        self._conn: Optional[libvirt.virConnect] = None
        self._has_guest_info = True

    def ask(self, uuid: str) -> Optional[Told]:
        """Ask a domain's agent (virDomainGetGuestInfo, before libvirt 5.7 virDomainGetFSInfo).

        Both take the domain's agent job, which keeps nobody from its monitor, and when the agent
        has answered, its ordinary job for a moment, to find its disks. They wait for an agent that
        said that it is there, and then nothing, until the guest ends.

        :returns: None if the domain does not run, or its XML says that no agent is connected.

        Raises NotAllowedError if libvirt lets this user only read, AgentError if the agent does not
        answer, UnsupportedError if the driver has no agents, HypervisorError and CallError else.
        """
        conn = self._open()
        try:
            domain = conn.lookupByUUIDString(uuid)
            if domain.state(0)[0] != _RUNNING or not has_agent(domain.XMLDesc(0)):
                self._limited.discard(uuid)
                return None
            return self._told(uuid, domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (_NO_DOMAIN, _NOT_VALID, _NO_AGENT) and self._is_alive():
                return None  # it has ended, or its agent has gone, since the XML was read
            raise self._translated(error) from None
        except (ValueError, TypeError) as error:  # XML, or an answer, that cannot be read
            raise AgentError(f"its answer cannot be read: {error}") from None

    def close(self) -> None:
        """Close it; errors of a connection that is broken anyway do not matter."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(libvirt.libvirtError):
                conn.close()

    def _open(self) -> libvirt.virConnect:
        """The connection, opened if need be (virConnectOpen)."""
        if self._conn is not None:
            return self._conn
        prepare_libvirt(self._keepalive)
        try:
            conn = libvirt.open(self.uri)
        except libvirt.libvirtError as error:
            raise NotAllowedError(why_no_agents(self.uri, words_of(error))) from None
        if self._keepalive:
            with suppress(libvirt.libvirtError):
                conn.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        self._conn = conn
        self._has_guest_info = hasattr(libvirt.virDomain, "guestInfo")
        return conn

    def _told(self, uuid: str, domain: libvirt.virDomain) -> Told:
        if self._has_guest_info:
            try:
                return self._guest_info(uuid, domain)
            except libvirt.libvirtError as error:
                if error.get_error_code() != _NO_SUPPORT or not self._is_alive():
                    raise
                self._has_guest_info = False
        return of_fs_info(domain.fsInfo(0))

    def _guest_info(self, uuid: str, domain: libvirt.virDomain) -> Told:
        if uuid not in self._limited:
            try:
                return of_guest_info(domain.guestInfo(_EVERYTHING, 0))
            except libvirt.libvirtError as error:
                # One command that the agent lacks, or that is switched off in it, fails all.
                if error.get_error_code() != _INTERNAL_ERROR or not self._is_alive():
                    raise
        self._limited.discard(uuid)
        told = of_guest_info(domain.guestInfo(_FILE_SYSTEMS, 0))
        self._limited.add(uuid)
        return told

    def _translated(self, error: libvirt.libvirtError) -> Exception:
        code, text = error.get_error_code(), words_of(error)
        if not self._is_alive():
            self.close()
            return ConnectionLostError(f"{self.uri}: the connection is lost: {text}")
        if code in (_DENIED, _ACCESS_DENIED):
            self.close()
            return NotAllowedError(why_no_agents(self.uri, text))
        if code == _NO_SUPPORT:
            return UnsupportedError(f"{self.uri}: {text}")
        if code in (_UNRESPONSIVE, _INTERNAL_ERROR):
            return AgentError(text)
        return CallError(text)

    def _is_alive(self) -> bool:
        try:
            return self._conn is not None and bool(self._conn.isAlive())
        except libvirt.libvirtError:
            return False
