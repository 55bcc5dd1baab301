"""Whether a domain has a guest agent that can be asked, from its live XML."""

from __future__ import annotations

from .disk_paths import parse_domain

#: The channel over which libvirt speaks with QEMU's guest agent.
CHANNEL = "org.qemu.guest_agent.0"


def has_agent(xml: str) -> bool:
    """Whether the guest has opened the agent's channel. Raises ValueError if it cannot be read.

    libvirt says ``connected`` as long as a program in the guest holds the channel open.
    """
    if CHANNEL not in xml:
        return False
    return any(
        target.get("name") == CHANNEL and target.get("state") == "connected"
        for target in parse_domain(xml).iterfind("devices/channel/target")
    )
