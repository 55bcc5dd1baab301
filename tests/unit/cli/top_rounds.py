"""Two rounds of a few domains, of which some hang, for the tests of ``domstats top``."""

from __future__ import annotations

from typing import Any

from domstats.model import DomainSample, Round, Sample, Status

URI = "qemu:///system"


def domain(name: str, second: int, cpu: float, **more: Any) -> DomainSample:
    """One that has used so many CPUs since it was started at second 0."""
    stats = {
        "state.state": 1,
        "cpu.time": int(second * cpu * 1e9),
        "vcpu.current": 2,
        "vcpu.0.time": int(second * cpu * 1e9),
        "vcpu.0.delay": int(second * 0.1 * 1e9),
        "balloon.current": 2 << 20,
        "balloon.maximum": 4 << 20,
        "balloon.available": 2 << 20,
        "balloon.usable": 1 << 20,
        "balloon.last-update": 1000,
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.rd.bytes": second * 4096,
        "block.0.rd.reqs": second * 10,
        "block.0.rd.times": second * 20_000_000,
        "net.count": 1,
        "net.0.name": "vnet0",
        "net.0.rx.bytes": second * 2048,
    }
    given = {"stats": stats, "status": Status.FRESH, "at_s": float(second), **more}
    return DomainSample(name, name, **given)


def sample(second: int, *domains: DomainSample, uri: str = URI) -> Sample:
    hung = sum(each.status is Status.UNRESPONSIVE for each in domains)
    round_ = Round(duration_s=0.25, domains=len(domains), unresponsive=hung)
    return Sample(uri, (1000 + second) * 10**9, domains, round_, node_cpus=4)


def hung(name: str, since_s: int) -> DomainSample:
    return DomainSample(
        name,
        name,
        Status.UNRESPONSIVE,
        {"state.state": 1},
        missing=frozenset({"block"}),
        since_ns=since_s * 10**9,
        reason="its process is stopped",
    )


OFF = DomainSample("off", "off", Status.FRESH, {"state.state": 5}, active=False)


TWO_ROUNDS = tuple(
    sample(s, domain("idle", s, 0), domain("busy", s, 1.5), hung("db", 960), hung("mq", 990), OFF)
    for s in (2, 4)
)
