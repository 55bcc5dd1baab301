"""The control channel: JSON lines on a unix socket, one request and one answer each. `Orders` is
the server's side, a method for each order; `Control` is the tests' side, with the same methods
and their documentation. Hypervisor clients never see any of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Union

from . import faults, keys, procedures, wire
from .model import Agent, Domain, Pool, Shape
from .server import Server

Names = Union[str, Iterable[str], None]


class ControlError(Exception):
    """The simulated host could not do what a test ordered."""


class Control:
    """Orders to a simulated host. Each returns when it is done; threads may share one. Raises
    ControlError.

    Domains are given by `names` (one or several), by `count` (so many, picked at random among
    those the order can apply to), or by `storage` (all with a disk there); none of them is all.
    Procedures are given by name ("ConnectGetAllDomainStats", see procedures.PROCEDURES), by
    number, or "*" for every one."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lines = self._socket.makefile("r", encoding="utf-8", errors="surrogateescape")
        self._turn = threading.Lock()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _order(self, order: str, **arguments) -> Any:
        if isinstance(arguments.get("names"), str):
            arguments["names"] = [arguments["names"]]
        elif arguments.get("names") is not None:
            arguments["names"] = list(arguments["names"])
        request = json.dumps({"order": order, **arguments}) + "\n"
        with self._turn:
            self._socket.sendall(request.encode())
            line = self._lines.readline()
        if not line:
            raise ControlError(f"the simulated host ended during {order}")
        answer = json.loads(line)
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["result"]

    # guests

    def hang(self, names: Names = None, count: int | None = None) -> list[str]:
        """Their monitors stop answering, as with SIGSTOP of QEMU. Gives their names."""
        return self._order("hang", names=names, count=count)

    def heal(self, names: Names = None, count: int | None = None) -> list[str]:
        """Hung guests answer again; calls stuck in them go on. Gives their names."""
        return self._order("heal", names=names, count=count)

    def hang_storage(self, storage: str = "local") -> None:
        """A mount stops answering: whoever looks at disks on it freezes the guest."""
        self._order("hang_storage", storage=storage)

    def heal_storage(self, storage: str = "local") -> None:
        """The mount is back, and so are the guests frozen by it."""
        self._order("heal_storage", storage=storage)

    def add_pool(self, name: str, path: str) -> None:
        """A new storage pool, which runs."""
        self._order("add_pool", name=name, path=path)

    def refresh_pool(self, name: str, hangs: bool = True) -> None:
        """A refresh of a storage pool hangs, or is over: whoever asks about it waits."""
        self._order("refresh_pool", name=name, hangs=hangs)

    def add(
        self,
        names: Names = None,
        count: int | None = None,
        running: bool = True,
        uuid: str | None = None,
        **shape,
    ) -> list[str]:
        """New domains, by name (any text, also a hostile one) or so many. `shape` overrides
        fields of model.Shape (vcpus=…, disks=…, storage=…). Gives their names."""
        return self._order("add", names=names, count=count, running=running, uuid=uuid, shape=shape)

    def remove(self, names: Names = None, count: int | None = None) -> list[str]:
        """Stop and undefine domains. Gives their names."""
        return self._order("remove", names=names, count=count)

    def rename(self, old: str, new: str) -> None:
        """The same uuid, another name."""
        self._order("rename", old=old, new=new)

    def say(self, name: str, said: dict[str, tuple[int, Any]]) -> None:
        """Have a domain answer in bulk with exactly these keys, and type and value of each."""
        self._order("say", name=name, said=said)

    def suspend(
        self, names: Names = None, count: int | None = None, reason: int = 1
    ) -> list[str]:
        """Pause domains, by a user or for another reason (virDomainPausedReason)."""
        return self._order("suspend", names=names, count=count, reason=reason)

    def resume(self, names: Names = None, count: int | None = None) -> list[str]:
        return self._order("resume", names=names, count=count)

    def stop(self, names: Names = None, count: int | None = None) -> list[str]:
        """Shut domains off; they stay defined."""
        return self._order("stop", names=names, count=count)

    def start(self, names: Names = None, count: int | None = None) -> list[str]:
        """Start domains that are shut off; each gets a new id."""
        return self._order("start", names=names, count=count)

    def set_metadata(self, name: str, uri: str, element: str | None) -> None:
        """Replace one metadata element of a domain, or take it away with None."""
        self._order("set_metadata", name=name, uri=uri, element=element)

    def set_agent(
        self,
        names: Names = None,
        connected: bool = True,
        mode: str = "answers",
        said: list[list[Any]] | None = None,
        unbounded: bool = False,
    ) -> list[str]:
        """Give domains a new guest agent; see model.Agent. Calls stuck in the old one end. Gives
        their names."""
        agent = {"connected": connected, "mode": mode, "unbounded": unbounded}
        return self._order("set_agent", names=names, agent={**agent, "said": said or []})

    def agent_calls(self, names: Names = None) -> dict[str, int]:
        """By domain's name, how often its present agent was asked."""
        return self._order("agent_calls", names=names)

    def refuse_writers(self, on: bool = True) -> None:
        """Let nobody open a connection that is not read-only."""
        self._order("refuse_writers", on=on)

    def set_disk_error(self, name: str, target: str, why: int) -> None:
        """A disk stands with an error (1 unspecified, 2 no space); 0 clears it."""
        self._order("set_disk_error", name=name, target=target, why=why)

    def hold_job(self, names: Names = None, count: int | None = None) -> list[str]:
        """Somebody else holds their job locks (a migration, say) without hanging."""
        return self._order("hold_job", names=names, count=count)

    def release_job(self, names: Names = None, count: int | None = None) -> list[str]:
        return self._order("release_job", names=names, count=count)

    def begin_migration(self, name: str, **figures: Any) -> None:
        """A job of the domain begins: a migration away from here, unless ``operation`` says
        otherwise. `figures` are what libvirt tells of it, by its names of parameters."""
        self._order("begin_migration", name=name, figures={"operation": 5, **figures})

    def end_migration(self, name: str, type: int = 3, **figures: Any) -> None:
        """It is completed (or failed, 4); `figures` are those that are others now."""
        self._order("end_migration", name=name, type=type, figures=figures)

    # answers

    def delay(self, seconds: float, procedure: str | int = faults.EVERY) -> None:
        """Each call of a procedure takes so much longer, in its worker; 0 ends it."""
        self._order("delay", seconds=seconds, procedure=procedure)

    def fail(
        self,
        procedure: str | int = faults.EVERY,
        times: int = faults.ENDLESS,
        code: int = wire.INTERNAL_ERROR,
        message: str = "simulated failure",
    ) -> None:
        """Answer the next calls of a procedure with an error of libvirt's code."""
        self._order("fail", procedure=procedure, times=times, code=code, message=message)

    def distort(
        self,
        mode: str,
        procedure: str | int = "ConnectGetAllDomainStats",
        times: int = faults.ENDLESS,
    ) -> None:
        """Spoil the next answers of a procedure; faults.MODES lists the ways. Those of
        faults.OF_RECORDS work for the bulk call only, the others for every procedure."""
        self._order("distort", mode=mode, procedure=procedure, times=times)

    def refuse_bulk(self, on: bool = True) -> None:
        """The bulk call is not supported, as by an old driver."""
        self._order("refuse_bulk", on=on)

    def support_groups(self, *groups: str) -> None:
        """Which stats groups the hypervisor knows; none given is all of them."""
        self._order("support_groups", groups=groups)

    def limit_messages(self, size: int = wire.MESSAGE_MAX) -> None:
        """The largest reply, in bytes, before it is refused as libvirtd refuses it."""
        self._order("limit_messages", size=size)

    def pace(self, cost: float) -> None:
        """Time the stats groups take: 1 is as measured in the real one, 0 none at all."""
        self._order("pace", cost=cost)

    def behave(self) -> None:
        """End every fault of answers; guests and storages stay as they are."""
        self._order("behave")

    # connections

    def answer_pings(self, on: bool = True) -> None:
        """Whether keepalive pings of clients are answered."""
        self._order("answer_pings", on=on)

    def drop_connections(self) -> int:
        """Break all open connections. Gives how many there were."""
        return self._order("drop_connections")

    def refuse_connections(self, on: bool = True) -> None:
        """Let nobody connect; open connections stay."""
        self._order("refuse_connections", on=on)

    def freeze(self, seconds: float) -> None:
        """The whole host stands still so long: reads nothing, answers nothing, this channel
        included. Returns at once; the next order waits. Time itself goes on."""
        self._order("freeze", seconds=seconds)

    # what clients did

    def statistics(self) -> dict[str, Any]:
        """A dict with: calls (by procedure name), writers_calls (of them, those over connections
        that are not read-only), errors (by code, as text), workers (busy,
        priority_busy, most, priority_most, queued, queued_most, held: by client's number how
        many), connections (open, ever, pids: of open ones, by client's number), frozen (names
        of guests frozen by clients' asking, once per freeze), hung (names), pings and pongs (of
        clients), keepalive_deaths, domains (how many), mistakes (errors of the simulation
        itself)."""
        return self._order("statistics")

    def asked(self, names: Names = None) -> dict[str, dict[str, int]]:
        """By domain's name, how often each stats group was asked for."""
        return self._order("asked", names=names)

    def reset_statistics(self) -> None:
        """Count anew from here on."""
        self._order("reset_statistics")

    def domains(self) -> list[dict[str, Any]]:
        """name, uuid, id, hung, frozen, storages and disk paths of each domain."""
        return self._order("domains")


class Orders:
    """What a Control orders, done to a Server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hypervisor = server.hypervisor
        self._random = random.Random(server.hypervisor.seed)
        self._freeze = 0.0  # seconds to stand still once the answer is on its way

    async def listen(self, path: str) -> None:
        await asyncio.start_unix_server(self._connected, path, limit=1 << 24)

    async def _connected(self, reader, writer) -> None:
        while True:
            line = await reader.readline()
            if not line:
                writer.close()
                return
            answer = await self._obey(json.loads(line))
            writer.write((json.dumps(answer) + "\n").encode())
            if self._freeze:
                time.sleep(self._freeze)  # of the whole process, on purpose
                self._freeze = 0.0

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        order = request.pop("order")
        try:
            result = getattr(self, f"order_{order}")(**request)
            if inspect.isawaitable(result):
                result = await result
        except wire.Refusal as refusal:
            return {"error": refusal.detail}
        except Exception as error:  # whatever it is, the test that ordered it shall see it
            return {"error": f"{type(error).__name__}: {error}"}
        return {"result": result}

    def _each(self, names, count, do, applies=lambda domain: True) -> list[str]:
        chosen = self._choose(names, count, applies)
        for domain in chosen:
            do(domain)
        return [domain.name for domain in chosen]

    def _choose(self, names, count, applies) -> list[Domain]:
        if names is not None:
            return [self._hypervisor.by_name(name) for name in names]
        fitting = [domain for domain in self._hypervisor.domains.values() if applies(domain)]
        return fitting if count is None else self._random.sample(fitting, count)

    def order_hang(self, names, count):
        return self._each(names, count, self._hypervisor.hang, lambda d: d.running and not d.hung)

    def order_heal(self, names, count):
        return self._each(names, count, self._hypervisor.heal, lambda d: d.hung)

    def order_hang_storage(self, storage):
        self._hypervisor.hang_storage(storage)

    def order_heal_storage(self, storage):
        self._hypervisor.heal_storage(storage)

    def order_add_pool(self, name, path):
        self._hypervisor.pools[name] = Pool(name, path)

    def order_refresh_pool(self, name, hangs):
        pool = self._hypervisor.pools[name]
        if hangs:
            pool.refreshing = True
        else:
            pool.refreshed()

    def order_add(self, names, count, running, uuid, shape):
        if "perf_events" in shape:
            shape["perf_events"] = tuple(shape["perf_events"])
        wanted: Shape = replace(self._hypervisor.default_shape, **shape)
        all_names = names if names is not None else [None] * (1 if count is None else count)
        return [self._hypervisor.add(name, wanted, running, uuid).name for name in all_names]

    def order_remove(self, names, count):
        return self._each(names, count, self._hypervisor.remove)

    def order_rename(self, old, new):
        self._hypervisor.rename(self._hypervisor.by_name(old), new)

    def order_say(self, name, said):
        domain = self._hypervisor.by_name(name)
        domain.said = {key: tuple(told) for key, told in said.items()}
        domain.kept.clear()

    def order_suspend(self, names, count, reason):
        def suspend(domain: Domain) -> None:
            self._hypervisor.suspend(domain, reason)

        return self._each(names, count, suspend, lambda d: d.state == 1)

    def order_resume(self, names, count):
        return self._each(names, count, self._hypervisor.resume, lambda d: d.state == 3)

    def order_stop(self, names, count):
        return self._each(names, count, self._hypervisor.stop, lambda d: d.running)

    def order_start(self, names, count):
        return self._each(names, count, self._hypervisor.start, lambda d: not d.running)

    def order_set_metadata(self, name, uri, element):
        domain = self._hypervisor.by_name(name)
        if element is None:
            domain.metadata.pop(uri, None)
        else:
            domain.metadata[uri] = element

    def order_set_agent(self, names, agent):
        def give(domain: Domain) -> None:
            domain.agent = Agent(**agent)
            domain.changed()

        return self._each(names, None, give)

    def order_agent_calls(self, names):
        chosen = self._choose(names, None, lambda domain: domain.agent is not None)
        return {domain.name: domain.agent.calls for domain in chosen if domain.agent}

    def order_refuse_writers(self, on):
        self._server.faults.writers_refused = on

    def order_set_disk_error(self, name, target, why):
        errors = self._hypervisor.by_name(name).errors
        errors.pop(target, None)
        if why:
            errors[target] = why

    def order_hold_job(self, names, count):
        return self._each(names, count, lambda d: d.take_job("simhost"), lambda d: d.job is None)

    def order_release_job(self, names, count):
        return self._each(names, count, Domain.end_job, lambda d: d.job == "simhost")

    def order_begin_migration(self, name, figures):
        self._hypervisor.by_name(name).jobs.begin(figures)

    def order_end_migration(self, name, type, figures):
        self._hypervisor.by_name(name).jobs.end(type, figures)

    def order_delay(self, seconds, procedure):
        self._server.faults.delays[procedures.number_of(procedure)] = seconds

    def order_fail(self, procedure, times, code, message):
        refusal = wire.Refusal(code, message)
        self._server.faults.set_error(procedures.number_of(procedure), refusal, times)

    def order_distort(self, mode, procedure, times):
        number = procedures.number_of(procedure)
        if mode in faults.OF_RECORDS and number != procedures.BULK:
            raise ValueError(f"{mode} works for the bulk call only")
        self._server.faults.set_distortion(number, mode, times)

    def order_refuse_bulk(self, on):
        self._server.faults.bulk_refused = on

    def order_support_groups(self, groups):
        mask = sum(keys.GROUPS[group] for group in groups)
        self._hypervisor.supported_groups = mask or keys.ALL_GROUPS

    def order_limit_messages(self, size):
        self._server.limits.message_max = size

    def order_pace(self, cost):
        self._server.limits.cost = cost

    def order_behave(self):
        self._server.faults.clear()
        self._server.limits.message_max = wire.MESSAGE_MAX

    def order_answer_pings(self, on):
        self._server.faults.answer_pings = on

    def order_drop_connections(self):
        return self._server.drop_connections()

    async def order_refuse_connections(self, on):
        if on:
            self._server.refuse()
        else:
            await self._server.accept()

    def order_freeze(self, seconds):
        self._freeze = seconds

    def order_statistics(self):
        server, pool = self._server, self._server.pool
        return {
            "calls": dict(server.tally.calls),
            "errors": dict(server.tally.errors),
            "writers_calls": dict(server.tally.writers_calls),
            "workers": {
                "busy": pool.busy.ordinary,
                "priority_busy": pool.busy.priority,
                "most": pool.most.ordinary,
                "priority_most": pool.most.priority,
                "queued": pool.queued,
                "queued_most": pool.queued_most,
                "held": pool.held_by_client(),
            },
            "connections": {
                "open": len(server.clients),
                "ever": server.tally.connections,
                "pids": {number: client.pid for number, client in server.clients.items()},
            },
            "frozen": list(self._hypervisor.frozen_by_asking),
            "hung": [d.name for d in self._hypervisor.domains.values() if d.hung],
            "pings": server.tally.pings,
            "pongs": server.tally.pongs,
            "keepalive_deaths": server.tally.keepalive_deaths,
            "domains": len(self._hypervisor.domains),
            "mistakes": server.tally.mistakes,
        }

    def order_asked(self, names):
        return {
            domain.name: {
                group: sum(times for mask, times in domain.asked.items() if mask & bit)
                for group, bit in keys.GROUPS.items()
            }
            for domain in self._choose(names, None, lambda domain: True)
        }

    def order_reset_statistics(self):
        self._server.tally = type(self._server.tally)()
        self._server.pool.forget()
        self._hypervisor.frozen_by_asking.clear()
        for domain in self._hypervisor.domains.values():
            domain.asked.clear()

    def order_domains(self):
        return [
            {
                "name": domain.name,
                "uuid": domain.uuid,
                "id": domain.id,
                "hung": domain.hung,
                "frozen": domain.frozen_by is not None,
                "storages": sorted({disk.storage for disk in domain.disks if disk.storage}),
                "paths": [image.path for disk in domain.disks for image in disk.chain],
            }
            for domain in self._hypervisor.domains.values()
        ]


SHAPE_FIELDS = tuple(field.name for field in fields(Shape))
