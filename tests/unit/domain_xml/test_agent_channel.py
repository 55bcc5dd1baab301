"""Whether a domain's XML says that its guest agent is connected."""

from __future__ import annotations

import pytest
from domstats.domain_xml.agent_channel import CHANNEL, has_agent

from tests.unit.rows import each_row


def xml(*channels: str, metadata: str = "") -> str:
    targets = "".join(f"<channel type='unix'>{each}</channel>" for each in channels)
    return f"<domain><metadata>{metadata}</metadata><devices>{targets}</devices></domain>"


CONNECTED = f"<target type='virtio' name='{CHANNEL}' state='connected'/>"


@each_row(
    ("text", "expected"),
    [
        (xml(CONNECTED), True),
        (xml("<target type='virtio' name='com.redhat.spice.0'/>", CONNECTED), True),
        (xml(CONNECTED.replace("connected", "disconnected")), False),
        (xml(f"<target type='virtio' name='{CHANNEL}'/>"), False),
        (xml(CONNECTED.replace(CHANNEL, "org.example.0")), False),
        (xml(), False),
        (xml(metadata=f"<channel>{CONNECTED}</channel>"), False),
        (xml(metadata=f"<devices><channel>{CONNECTED}</channel></devices>"), False),
    ],
)
def test_only_a_connected_channel_of_the_agent_counts(text: str, expected: bool) -> None:
    assert has_agent(text) is expected


def test_xml_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no element found|not well-formed"):
        has_agent(f"<domain>{CHANNEL}")
