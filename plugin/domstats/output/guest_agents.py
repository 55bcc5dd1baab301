"""What is sent of guest agents' answers: the tables, and the rows that an answer makes.

For both agents and for docs/metrics.md. All texts in an answer are a tenant's; their number and
length are bounded before they get here. It must not know either agent's form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union

import msgspec

from ..model import FileSystem, GuestAgent
from .identity import valid_part
from .schema import (
    AGENT_FIELDS,
    AGENT_MEASUREMENT,
    FILE_SYSTEM_FIELDS,
    FILE_SYSTEM_MEASUREMENT,
    FILE_SYSTEM_TAGS,
    OwnField,
)


class AgentList(msgspec.Struct, frozen=True):
    """A value list of plugin domstats, of a type that the stock types.db has.

    :param instance: ``{mountpoint}`` is that of a file system.
    :param source: the field of ``AGENT_FIELDS`` or ``FILE_SYSTEM_FIELDS``, or ``free_bytes``.
    """

    type: str
    instance: str
    source: str
    unit: str
    description: str

    @property
    def of_file_system(self) -> bool:
        return "{mountpoint}" in self.instance


AGENT_LISTS: tuple[AgentList, ...] = (
    AgentList("bool", "guest_agent", "responsive", "1", "0 while its guest agent does not answer"),
    AgentList("users", "guest", "users", "1", "users who are logged in"),
    AgentList("df_complex", "used-{mountpoint}", "used_bytes", "bytes",
              "of a file system in the guest, what is used"),
    AgentList("df_complex", "free-{mountpoint}", "free_bytes", "bytes", "the rest of it"),
    AgentList("percent_bytes", "used-{mountpoint}", "used_percent", "%",
              "what is used as a share of its size"),
)  # fmt: skip

#: The type of plugin virt's notifications of file systems, which the stock types.db lacks.
NOTICE_TYPE = "file_system"
NOTICE_MESSAGE = "File system information"
#: Names and values that go with a notification; a name may come more than once.
Meta = tuple[tuple[str, Union[str, int]], ...]

#: A program that is notified gets one line for each of them.
_NO_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class AgentLine(NamedTuple):
    """A line: tags beside the domain's own, and its fields with their values."""

    measurement: str
    tags: dict[str, str]
    fields: tuple[OwnField, ...]
    values: dict[str, Any]


def lines_of(agent: GuestAgent) -> Iterator[AgentLine]:
    """What an answer is in line protocol."""
    values = _agent_values(agent)
    yield AgentLine(AGENT_MEASUREMENT, {}, _known(AGENT_FIELDS, values), values)
    for found in _mounted(agent).values():
        tags = (found.mountpoint, found.fstype, ",".join(found.disks), found.name)
        values = _values(found)
        yield AgentLine(
            FILE_SYSTEM_MEASUREMENT,
            dict(zip(FILE_SYSTEM_TAGS, tags)),
            _known(FILE_SYSTEM_FIELDS, values),
            values,
        )


def value_lists_of(agent: GuestAgent) -> Iterator[tuple[str, str, float]]:
    """What an answer is in collectd: type, type instance, value."""
    values = _agent_values(agent)
    for row in AGENT_LISTS:
        if not row.of_file_system and values.get(row.source) is not None:
            # collectd takes no more users.
            yield row.type, row.instance, float(min(values[row.source], 65535))
    mounted = _mounted(agent)
    stems: dict[str, int] = {}
    for mountpoint in mounted:
        stems[_stem(mountpoint)] = stems.get(_stem(mountpoint), 0) + 1
    for mountpoint, found in mounted.items():
        is_alone = stems[_stem(mountpoint)] == 1
        values = _values(found)
        for row in AGENT_LISTS:
            if row.of_file_system and row.source in values:
                text = row.instance.format(mountpoint=_stem(mountpoint) if is_alone else mountpoint)
                yield row.type, valid_part(text, ending=not is_alone), float(values[row.source])


def notices_of(agent: GuestAgent) -> Iterator[Meta]:
    """What plugin virt's ``fs_info`` sends along with a notification, for each file system."""
    for found in agent.filesystems:
        yield (
            ("mountpoint", _printable(found.mountpoint)),
            ("name", _printable(found.name)),
            ("fstype", _printable(found.fstype)),
            ("ndevAlias", len(found.disks)),
            *(("devAlias", _printable(disk)) for disk in found.disks),
        )


def _known(fields: tuple[OwnField, ...], values: Mapping[str, Any]) -> tuple[OwnField, ...]:
    return tuple(row for row in fields if row.field in values)


def _mounted(agent: GuestAgent) -> dict[str, FileSystem]:
    """By mount point, what is seen there: of several the one that was mounted last."""
    return {found.mountpoint: found for found in agent.filesystems if found.mountpoint}


def _agent_values(agent: GuestAgent) -> dict[str, Any]:
    values: dict[str, Any] = {"responsive": agent.responsive}
    if agent.responsive:
        values["filesystems"] = len(_mounted(agent)) + agent.left_out
        texts = (
            ("guest_os", agent.os_id),
            ("guest_os_version", agent.os_version),
            ("guest_hostname", agent.hostname),
        )
        values.update((field, text) for field, text in texts if text)
        if agent.users is not None:
            values["users"] = agent.users
    return values


def _values(found: FileSystem) -> dict[str, Any]:
    values: dict[str, Any] = {"mounted": True}
    total, used = found.total_bytes, found.used_bytes
    if total is not None and used is not None:
        values.update(total_bytes=total, used_bytes=used, free_bytes=total - used)
        if total:
            values["used_percent"] = 100.0 * used / total
    return values


def _stem(mountpoint: str) -> str:
    """A mount point as it stands in a type instance, as collectd's plugin df has it."""
    return valid_part(mountpoint)


def _printable(text: str) -> str:
    return _NO_CONTROL.sub(" ", text)
