"""The simulated libvirtd: sockets, clients, and the way of a call from its bytes to its answer.
What the answers say is decided elsewhere; here is who may be served when."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import socket
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from . import about_host, faults, keys, procedures, wire, xdr
from .calls import Call
from .model import Domain, Hypervisor
from .monitor import JOB_WAIT, Pace
from .records import Records
from .workers import PRIORITY_WORKERS, WORKERS, Job, Pool

CLIENT_REQUESTS = 5
KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 5.0, 5
LIFECYCLE_MESSAGE = 318


@dataclass
class Limits:
    """What libvirtd.conf sets, and how long simulated things take. `cost` scales the time of
    the stats groups (1 is as measured, 0 as fast as it goes)."""

    workers: int = WORKERS
    priority_workers: int = PRIORITY_WORKERS
    client_requests: int = CLIENT_REQUESTS
    message_max: int = wire.MESSAGE_MAX
    keepalive_interval: float = KEEPALIVE_INTERVAL
    keepalive_count: int = KEEPALIVE_COUNT
    job_wait: float = JOB_WAIT
    cost: float = 0.0


@dataclass
class Tally:
    """What clients did so far."""

    calls: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    writers_calls: Counter = field(default_factory=Counter)  # over connections not read-only
    connections: int = 0
    pings: int = 0
    pongs: int = 0
    keepalive_deaths: int = 0
    mistakes: list[str] = field(default_factory=list)  # the simulation's own


class Server:
    """One simulated host: the hypervisor, its clients and what is wrong with it."""

    def __init__(self, hypervisor: Hypervisor, limits: Limits | None = None) -> None:
        self.hypervisor: Hypervisor = hypervisor
        self.limits = limits or Limits()
        self.faults = faults.Faults()
        self.records = Records(hypervisor.seed)
        self.pool = Pool(self.limits.workers, self.limits.priority_workers)
        self.clients: dict[int, Client] = {}
        self.tally = Tally()
        self.epoch = time.monotonic()
        self._numbers = itertools.count(1)
        self._path = ""
        self._listener: asyncio.AbstractServer | None = None
        self._tcp: asyncio.AbstractServer | None = None
        hypervisor.on_event.append(self._lifecycle)

    @property
    def job_wait(self) -> float:
        return self.limits.job_wait

    @property
    def all_calm(self) -> bool:
        """Nothing but a domain itself can make its answer late."""
        return not self.limits.cost and not self.hypervisor.storage_hangs

    def tick(self) -> int:
        """The step of the counters that this moment lies in."""
        return keys.tick(time.monotonic() - self.epoch)

    async def listen(self, path: str) -> None:
        """Accept clients on a unix socket from now on."""
        self._path = path
        await self.accept()

    async def accept(self) -> None:
        """Accept connections (again)."""
        if self._listener is not None:
            return
        if os.path.exists(self._path):
            os.unlink(self._path)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(self._client, self._path, backlog=1000)

    async def listen_on_tcp(self) -> int:
        """Accept clients on a port of this machine's own as well; returns its number."""
        loop = asyncio.get_running_loop()
        listener = self._tcp = await loop.create_server(self._client, "127.0.0.1", 0)
        return listener.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def drop_connections(self) -> int:
        """Break every open connection, in the middle of whatever it does."""
        clients = list(self.clients.values())
        for client in clients:
            client.drop()
        return len(clients)

    def _client(self) -> Client:
        return Client(self, next(self._numbers))

    def _lifecycle(self, domain: Domain, event: int, detail: int) -> None:
        for client in self.clients.values():
            client.lifecycle(domain, event, detail)

    async def serve(self, client: Client, message: wire.Message) -> None:
        """One call, from a worker's view: from its arguments to the reply being sent."""
        number = message.procedure
        procedure = procedures.PROCEDURES.get(number)
        name = procedure.name if procedure else f"#{number}"
        self.tally.calls[name] += 1
        if client.may_write:
            self.tally.writers_calls[name] += 1
        delay = self.faults.delay(number)
        if delay:
            await asyncio.sleep(delay)
        mode = self.faults.distortion(number)
        call = Call(client, message, name, Pace(self.limits.cost))
        if mode is not None and number == procedures.BULK:
            call.distort_records = faults.OF_RECORDS.get(mode)
        try:
            refusal = self.faults.error(number)
            if refusal is not None:
                raise refusal
            body, status = await self._answer(procedure, call), wire.OK
        except wire.Refusal as refusal:
            self.tally.errors[refusal.code] += 1
            body, status = refusal.body(), wire.ERROR
        except Exception as mistake:
            traceback.print_exc()
            self.tally.mistakes.append(repr(mistake))
            own = wire.Refusal(wire.INTERNAL_ERROR, f"simhost: {mistake!r}")
            body, status = own.body(), wire.ERROR
        reply = message._replace(type=wire.REPLY, status=status, body=body)
        client.answer(reply, mode)

    async def _answer(self, procedure: procedures.Procedure | None, call) -> bytes:
        """Raises Refusal."""
        if call.message.program != wire.REMOTE_PROGRAM or call.message.version != 1:
            detail = f"Cannot find program {call.message.program} version {call.message.version}"
            raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
        if procedure is None:
            raise procedures.lacking(call.message.procedure)
        try:
            body = procedure.answer(self, call)
            if inspect.isawaitable(body):
                body = await body
        except xdr.Malformed:
            detail = "Unable to decode message payload"
            raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC) from None
        if len(body) + wire.HEADER_SIZE - wire.LENGTH_WORD > self.limits.message_max:
            detail = "Unable to encode message payload"
            raise wire.Refusal(wire.RPC, detail, wire.FROM_RPC)
        return body


class Client(asyncio.Protocol):
    """One connection. Reads no further while the client has too many calls under way."""

    def __init__(self, server: Server, number: int) -> None:
        self.number = number
        self.pid = 0  # of the client's process
        self.read_only = self.may_write = False
        self._server = server
        self._splitter = wire.Splitter()
        self._transport: asyncio.Transport | None = None
        self._requests = 0
        self._throttled = False
        self._callbacks: dict[int, tuple[int, bytes | None]] = {}
        self._callback_numbers = itertools.count(1)
        self._keepalive: asyncio.TimerHandle | None = None
        self._pings_left = 0

    # asyncio's side

    def connection_made(self, transport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid = int.from_bytes(credentials[:4], sys.byteorder)
        transport.set_write_buffer_limits(high=1 << 30)
        self._server.clients[self.number] = self
        self._server.tally.connections += 1

    def connection_lost(self, error) -> None:
        self._server.clients.pop(self.number, None)
        self._transport = None
        if self._keepalive:
            self._keepalive.cancel()

    def data_received(self, content: bytes) -> None:
        self._splitter.feed(content)
        self._take_messages()

    # calls

    def _take_messages(self) -> None:
        while self._transport is not None and not self._throttled:
            try:
                message = self._splitter.take()
            except wire.BadFrame:
                self.drop()
                return
            if message is None:
                return
            self._heard()
            if message.program == wire.KEEPALIVE_PROGRAM:
                self._pinged(message)
            else:
                self._called(message)

    def _called(self, message: wire.Message) -> None:
        self._requests += 1
        if self._requests >= self._server.limits.client_requests:
            self._throttled = True
            assert self._transport is not None
            self._transport.pause_reading()
        self._server.pool.submit(
            Job(
                run=lambda: self._server.serve(self, message),
                priority=message.procedure in procedures.PRIORITY,
                client=self.number,
            )
        )

    def answer(self, reply: wire.Message, mode: str | None = None) -> None:
        """Send a reply, as it is or distorted, and read on."""
        self._requests -= 1
        if self._transport is None:
            return
        change, close = faults.OF_REPLIES.get(mode or "", (wire.frame, False))
        self._transport.write(change(reply))
        if close:
            self._transport.close()
            return
        if self._throttled:
            self._throttled = False
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._take_messages)

    def drop(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    # keepalive

    def start_keepalive(self) -> None:
        """The client wants to be pinged while it is silent."""
        if self._server.limits.keepalive_interval > 0:
            self._heard()
            self._schedule_ping()

    def _heard(self) -> None:
        self._pings_left = self._server.limits.keepalive_count
        if self._keepalive:
            self._schedule_ping()

    def _schedule_ping(self) -> None:
        if self._keepalive:
            self._keepalive.cancel()
        loop = asyncio.get_running_loop()
        self._keepalive = loop.call_later(self._server.limits.keepalive_interval, self._ping)

    def _ping(self) -> None:
        if self._transport is None:
            return
        if self._pings_left == 0:
            self._server.tally.keepalive_deaths += 1
            self.drop()
            return
        self._pings_left -= 1
        self._send_keepalive(wire.PING)
        self._schedule_ping()

    def _pinged(self, message: wire.Message) -> None:
        if message.procedure == wire.PING:
            self._server.tally.pings += 1
            if self._server.faults.answer_pings:
                self._send_keepalive(wire.PONG)
        elif message.procedure == wire.PONG:
            self._server.tally.pongs += 1

    def _send_keepalive(self, procedure: int) -> None:
        assert self._transport is not None
        self._transport.write(
            wire.frame(
                wire.Message(
                    wire.KEEPALIVE_PROGRAM,
                    wire.KEEPALIVE_VERSION,
                    procedure,
                    wire.EVENT,
                    0,
                    wire.OK,
                    b"",
                )
            )
        )

    # events

    def register(self, event: int, uuid: bytes | None) -> int:
        """Send events of this kind from now on, of one domain or of all."""
        number = next(self._callback_numbers)
        self._callbacks[number] = event, uuid
        return number

    def deregister(self, number: int) -> None:
        """Raises Refusal when there is no such callback."""
        if number not in self._callbacks:
            detail = f"domain event callback {number} not registered"
            raise wire.Refusal(wire.INTERNAL_ERROR, detail, wire.FROM_RPC)
        del self._callbacks[number]

    def lifecycle(self, domain: Domain, event: int, detail: int) -> None:
        """Tell the client, if it wants to know."""
        if self._transport is None:
            return
        for number, (kind, uuid) in self._callbacks.items():
            if kind != about_host.LIFECYCLE or uuid not in (None, domain.uuid_bytes):
                continue
            body = xdr.int32(number) + wire.identity(domain.identity)
            body += xdr.int32(event) + xdr.int32(detail)
            self._transport.write(
                wire.frame(
                    wire.Message(
                        wire.REMOTE_PROGRAM,
                        wire.REMOTE_VERSION,
                        LIFECYCLE_MESSAGE,
                        wire.EVENT,
                        0,
                        wire.OK,
                        body,
                    )
                )
            )
