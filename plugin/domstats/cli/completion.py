"""What a shell is offered when somebody presses the tab key, beside what click offers by itself.

It must not know what the commands do. Nothing here asks a hypervisor.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from ..errors import ConfigError

#: Says which shell wants what: ``bash_source``, ``zsh_complete``, …
VARIABLE = "_DOMSTATS_COMPLETE"
#: The hypervisors that every machine may have.
_URIS = ("qemu:///system", "test:///default")


def uris(context: click.Context, parameter: click.Parameter, begun: str) -> Sequence[str]:
    """Connection URIs, as far as they can be known without asking anybody."""
    return [uri for uri in _URIS if uri.startswith(begun)]


def files(
    context: click.Context, parameter: click.Parameter, begun: str
) -> Sequence[CompletionItem]:
    """Leaves it to the shell, which completes paths itself."""
    return [CompletionItem(begun, type="file")]


def complete(command: click.Command, name: str, instruction: str) -> int:
    """Print what a shell has asked for.

    :param name: of the command, as people type it.
    :param instruction: the value of ``VARIABLE``.
    :return: the exit status.
    :raises ConfigError: this is no instruction.
    """
    shell, _, wanted = instruction.partition("_")
    if get_completion_class(shell) is None or wanted not in ("source", "complete"):
        raise ConfigError(
            f"{VARIABLE}: {instruction!r} is none of bash_source, zsh_source, fish_source"
        )
    return shell_complete(command, {}, name, VARIABLE, instruction)
