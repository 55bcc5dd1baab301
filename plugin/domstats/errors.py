"""The package's own errors. Nothing above ``connection`` knows libvirtError.

Each message is one line for the user: what is wrong, where, and how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DomstatsError(Exception):
    """The base of all errors that this package raises."""


class ConfigError(DomstatsError):
    """Settings are unknown, of the wrong type or of a wrong value.

    :param mistakes: a message of one line for each. It names file, table and option, the value
        seen and what is allowed.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Mistakes:
    """Gathers the mistakes of a configuration, so that all of them are told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def at(self, place: str = "") -> Iterator[None]:
        """Keep what a ``ConfigError`` within it says, each message with the place before it."""
        try:
            yield
        except ConfigError as error:
            self._found.extend(place + text for text in error.mistakes)

    def end(self) -> None:
        """Everything has been looked at.

        :raises ConfigError: with all mistakes, if there are any.
        """
        if self._found:
            raise ConfigError(*self._found)


class HypervisorError(DomstatsError):
    """A hypervisor could not be asked: no daemon, no permission, a bad URI, a lost connection."""


class ConnectionLostError(HypervisorError):
    """A connection that was there is lost; a new one may be had at once."""


class NotAllowedError(HypervisorError):
    """The hypervisor can be reached, and this user may only read."""


class LibvirtMissingError(HypervisorError):
    """libvirt-python is not installed for this Python, or cannot be loaded."""


class NoSuchDomainError(DomstatsError):
    """None of the domains that a query chose exists."""


class QueryCancelledError(DomstatsError):
    """The query was cancelled, or the hypervisor closed, before it had an answer."""


class CallError(DomstatsError):
    """One call failed while the connection lives."""


class DomainGoneError(CallError):
    """The domain has ended since it was listed."""


class UnsupportedError(CallError):
    """The driver of this hypervisor does not have the call."""


class AgentError(CallError):
    """A domain's guest agent did not answer, or not in a way that can be read."""


class TooLargeError(CallError):
    """The answer would exceed the size that the server's protocol allows for a message."""
