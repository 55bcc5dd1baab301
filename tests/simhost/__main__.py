"""`python -m tests.simhost`: run a simulated libvirtd on a unix socket until it is ended.
Prints one line of JSON when clients may connect."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys

from . import keys, wire
from .control import Orders
from .model import Hypervisor, Shape
from .server import Limits, Server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simhost", description=__doc__)
    add = parser.add_argument
    add("--socket", required=True, metavar="PATH", help="where clients connect")
    add("--control", metavar="PATH", help="where tests give orders (JSON lines)")
    add("--domains", type=int, default=100, metavar="N")
    add("--seed", type=int, default=0, metavar="N", help="for uuids, counters and picks")
    add("--hostname", default="simhost")
    add("--lib-version", type=int, default=Hypervisor.lib_version, metavar="N", help="libvirt's")
    shape, limits = Shape(), Limits()
    group = parser.add_argument_group("domains")
    add = group.add_argument
    add("--vcpus", type=int, default=shape.vcpus)
    add("--disks", type=int, default=shape.disks)
    add("--backing", type=int, default=shape.backing, help="backing images below each disk")
    add("--interfaces", type=int, default=shape.interfaces)
    add("--iothreads", type=int, default=shape.iothreads)
    add("--kvm", action="store_true", help="the KVM statistics of libvirt 9, 42 a vCPU")
    add("--storage", default=shape.storage, metavar="NAME", help="where the disks lie")
    add(
        "--folder",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a storage is mounted, for disks' paths; may be repeated",
    )
    add("--no-balloon-driver", action="store_true", help="guests without memory statistics")
    group = parser.add_argument_group("server")
    add = group.add_argument
    add("--workers", type=int, default=limits.workers)
    add("--priority-workers", type=int, default=limits.priority_workers)
    add("--client-requests", type=int, default=limits.client_requests)
    add("--message-max", type=int, default=wire.MESSAGE_MAX, metavar="BYTES")
    add("--keepalive-interval", type=float, default=limits.keepalive_interval, metavar="S")
    add("--keepalive-count", type=int, default=limits.keepalive_count)
    add("--job-wait", type=float, default=limits.job_wait, metavar="S")
    add("--cost", type=float, default=limits.cost, help="1: groups take their measured time")
    add("--groups", default="", help="stats groups it knows, with commas; all by default")
    add("--hosts", type=int, default=1, metavar="N", help="more hosts alike, on TCP ports")
    add("--until-eof", action="store_true", help="end when standard input ends")
    return parser.parse_args()


def _hypervisor(options: argparse.Namespace, seed: int) -> Hypervisor:
    shape = Shape(
        vcpus=options.vcpus,
        disks=options.disks,
        backing=options.backing,
        interfaces=options.interfaces,
        iothreads=options.iothreads,
        kvm=options.kvm,
        storage=options.storage,
        balloon_driver=not options.no_balloon_driver,
    )
    hypervisor = Hypervisor(
        seed=seed,
        hostname=options.hostname,
        lib_version=options.lib_version,
        default_shape=shape,
    )
    for text in options.folder:
        name, _, path = text.partition("=")
        hypervisor.storage(name).folder = path
    if options.groups:
        named = (keys.GROUPS[group] for group in options.groups.split(","))
        hypervisor.supported_groups = sum(named)
    for _ in range(options.domains):
        hypervisor.add()
    return hypervisor


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(
        workers=options.workers,
        priority_workers=options.priority_workers,
        client_requests=options.client_requests,
        message_max=options.message_max,
        keepalive_interval=options.keepalive_interval,
        keepalive_count=options.keepalive_count,
        job_wait=options.job_wait,
        cost=options.cost,
    )


async def _serve(options: argparse.Namespace) -> None:
    server = Server(_hypervisor(options, options.seed), _limits(options))
    await server.listen(options.socket)
    if options.control:
        await Orders(server).listen(options.control)
    ports, others = [], []
    if options.hosts > 1:
        others = [
            Server(_hypervisor(options, options.seed + number), _limits(options))
            for number in range(1, options.hosts)
        ]
        ports = [await each.listen_on_tcp() for each in (server, *others)]
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)  # thousands of templates live for ever: look seldom
    ready = {"ready": True, "epoch": server.epoch, "pid": os.getpid(), "ports": ports}
    print(json.dumps(ready), flush=True)
    if options.until_eof:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(sys.stdin.fileno(), end)
        await ended
    else:
        await asyncio.Event().wait()


def main() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))


main()
