"""Procedures that ask a domain's guest agent. They hold up nobody who wants its monitor; when the
agent has answered they take the ordinary job for a moment, to find the disks of file systems."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from . import wire, xdr
from .calls import Call, running_domain_of
from .model import RUNNING, Agent, Domain
from .monitor import lock_timeout, take_job

if TYPE_CHECKING:
    from .server import Server

FILE_SYSTEMS = 16  # of virDomainGuestInfoTypes
_PARAMETERS_MAX, _FSINFO_MAX = 2048, 256
GREETING_S = 0.2  # stands for the 5 s that libvirt waits for an agent to answer its greeting


async def guest_info(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    types = call.arguments.uint()
    agent = await _asked(server, domain, types)
    wanted = [each for each in agent.said if types != FILE_SYSTEMS or each[0].startswith("fs.")]
    if len(wanted) > _PARAMETERS_MAX and not agent.unbounded:
        detail = f"Too many parameters '{len(wanted)}' for limit '{_PARAMETERS_MAX}'"
        raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
    return xdr.array(wire.parameter(*each) for each in wanted)


async def fs_info(server: Server, call: Call) -> bytes:
    domain = running_domain_of(server, call)
    agent = await _asked(server, domain, FILE_SYSTEMS)
    said = {key: value for key, _, value in agent.said}
    count = said.get("fs.count", 0)
    if count > _FSINFO_MAX:
        detail = f"Too many mountpoints in fsinfo: {count} for limit {_FSINFO_MAX}"
        raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
    return xdr.array(_file_system(said, number) for number in range(count)) + xdr.uint(count)


def _file_system(said: dict[str, Any], number: int) -> bytes:
    texts = (said[f"fs.{number}.{word}"] for word in ("mountpoint", "name", "fstype"))
    disks = (said[key] for key in (f"fs.{number}.disk.0.alias",) if key in said)
    return b"".join(map(xdr.string, texts)) + xdr.array(map(xdr.string, disks))


async def _asked(server: Server, domain: Domain, types: int) -> Agent:
    """What the agent says, when it has. Raises Refusal."""
    agent = domain.agent
    if domain.state != RUNNING:
        raise wire.Refusal(wire.OPERATION_INVALID, "domain is not running")
    if agent is None:
        detail = "QEMU guest agent is not configured"
        raise wire.Refusal(wire.ARGUMENT_UNSUPPORTED, detail)
    if not agent.connected:
        raise _silence("QEMU guest agent is not connected")
    agent.calls += 1
    if agent.mode == "silent":
        await asyncio.sleep(GREETING_S)
        raise _silence("Guest agent is not responding: Guest agent not available for now")
    while agent.mode == "stuck" and domain.agent is agent and domain.running:
        await asyncio.sleep(0.005)
    if agent.mode == "dies" or domain.agent is not agent or not domain.running:
        raise _silence("Guest agent disappeared while executing command")
    if agent.mode == "nonsense":
        detail = "Malformed guest-get-fsinfo data array"
        raise wire.Refusal(wire.INTERNAL_ERROR, detail)
    if agent.mode == "limited" and types != FILE_SYSTEMS:
        detail = "unable to execute QEMU agent command 'guest-get-users': The command is disabled"
        raise wire.Refusal(wire.INTERNAL_ERROR, detail)
    if not await take_job(domain, "remoteDispatchDomainGetGuestInfo", server.job_wait):
        raise lock_timeout(domain)
    domain.end_job()
    return agent


def _silence(detail: str) -> wire.Refusal:
    return wire.Refusal(wire.AGENT_UNRESPONSIVE, detail)
