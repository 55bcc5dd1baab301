"""All domains together, beside what their host has: sums worked out by hand."""

from __future__ import annotations

from typing import Any, Optional

from domstats.host_sample import HostSample, NodeCpu, NodeMemory
from domstats.host_totals import GuestTotals, HostTotals
from domstats.model import DomainSample, Round, Sample, Status
from domstats.rates import Rates

S = 10**9
GIB = 1024**3
HOST = HostSample(memory=NodeMemory(1, total=8 * GIB))


def guest(uuid: str, state: int = 1, *, active: bool = True, **stats: Any) -> DomainSample:
    keys = {name.replace("_", "."): value for name, value in stats.items()}
    return DomainSample(uuid, uuid, Status.FRESH, {"state.state": state, **keys}, active)


def busy(uuid: str, at_s: float, spent_s: int, written: int, sent: int) -> DomainSample:
    found = guest(uuid, cpu_time=spent_s * S, block_count=1, net_count=1)
    found.stats.update({"block.0.name": "vda", "block.0.wr.bytes": written, "block.0.wr.reqs": 0})
    found.stats.update({"net.0.name": "vnet0", "net.0.tx.bytes": sent})
    found.at_s = at_s
    return found


class Rounds:
    """A hypervisor's rounds, one after another, of a host of four CPUs and 8 GiB."""

    def __init__(self) -> None:
        self.rates, self.totals = Rates(), HostTotals()

    def __call__(
        self,
        *domains: DomainSample,
        host: Optional[HostSample] = HOST,
        connected: bool = True,
        missing: tuple[DomainSample, ...] = (),
    ) -> Optional[GuestTotals]:
        """:param missing: domains that are there and did not answer in this round."""
        sample = Sample(
            "qemu:///system", S, (*domains, *missing), Round(connected=connected), 4, host=host
        )
        for domain in domains:
            self.totals.add(domain, self.rates.of(domain, sample))
        self.rates.end(sample)
        return self.totals.end(sample)


def of(*domains: DomainSample) -> GuestTotals:
    found = Rounds()(*domains)
    assert found is not None
    return found


def test_domains_are_counted_by_state() -> None:
    found = of(
        guest("a"),
        guest("b"),
        guest("paused", 3),
        guest("crashed", 6),
        guest("off", 5, active=False),
        DomainSample("not known yet", "", Status.UNRESPONSIVE, {}),
        guest("of a newer libvirt", 77),
    )
    assert (found.running, found.paused, found.crashed, found.shut_off) == (2, 1, 1, 1)
    assert found.unknown == 2
    assert (found.blocked, found.no_state, found.pmsuspended, found.shutting_down) == (0, 0, 0, 0)


def test_what_active_domains_have_is_set_against_what_there_is() -> None:
    two_gib = 2 * 1024**2  # in KiB
    found = of(
        guest("a", vcpu_current=4, balloon_current=two_gib),
        guest("b", 3, vcpu_current=2, balloon_current=two_gib),
        guest("off", 5, active=False, vcpu_current=64, balloon_current=64 * two_gib),
    )
    assert (found.cpus, found.vcpus, found.vcpu_overcommit) == (4, 6, 1.5)
    assert (found.memory, found.memory_overcommit) == (4 * GIB, 0.5)


def test_a_domain_that_does_not_answer_counts_with_what_it_had() -> None:
    rounds = Rounds()
    web = guest("web", vcpu_current=2, balloon_current=1024)
    rounds(web)
    silent = DomainSample("web", "web", Status.UNRESPONSIVE, {})
    found = rounds(guest("db", vcpu_current=3, balloon_current=1024), missing=(silent,), host=None)
    assert found is not None
    assert (found.running, found.vcpus, found.memory) == (2, 5, 2 * 1024**2)
    assert found.memory_overcommit == 2 / 8192


def test_a_part_of_a_sum_is_not_taken_for_the_sum() -> None:
    found = of(guest("a", vcpu_current=2, balloon_current=1024), guest("not asked"))
    assert found.vcpus is found.vcpu_overcommit is found.memory is found.memory_overcommit is None


def test_a_domain_that_is_gone_counts_no_more() -> None:
    rounds = Rounds()
    rounds(guest("a", vcpu_current=2), guest("b", vcpu_current=2))
    found = rounds(guest("a", vcpu_current=2))
    assert found is not None
    assert found.vcpus == 2


def test_rates_of_all_domains_are_summed() -> None:
    rounds = Rounds()
    rounds(busy("a", 1.0, 10, 0, 500), busy("b", 1.0, 10, 0, 0))
    # In ten seconds one CPU second and five; the other was asked two seconds after the first.
    found = rounds(busy("a", 11.0, 11, 5000, 1500), busy("b", 21.0, 20, 400, 0), guest("new"))
    assert found is not None
    assert (found.cpu_percent, found.cpu_percent_of_host) == (60.0, 15.0)
    assert (found.written_bytes, found.sent_bytes) == (520.0, 100.0)
    assert found.read_bytes is None
    assert found.measured == 2


def test_what_was_summed_is_not_summed_again() -> None:
    rounds = Rounds()
    for at_s, spent_s in ((0.0, 0), (10.0, 1), (20.0, 2), (30.0, 3)):
        found = rounds(busy("a", at_s + 1, spent_s, 0, 0))
    assert found is not None
    assert (found.cpu_percent, found.measured) == (10.0, 1)


def test_nothing_is_known_of_domains_while_the_hypervisor_is_away() -> None:
    rounds = Rounds()
    rounds(guest("a", vcpu_current=2))
    assert rounds(connected=False) is None
    found = rounds(missing=(DomainSample("a", "a", Status.PARTIAL, {}),))
    assert found is not None
    assert (found.running, found.vcpus) == (1, 2)


def test_the_hosts_cpu_time_is_shared_out_in_percent() -> None:
    totals = HostTotals()
    readings = [
        NodeCpu(1, user_ns=100, system_ns=50, idle_ns=1000, iowait_ns=30),
        NodeCpu(2, user_ns=160, system_ns=70, idle_ns=1120, iowait_ns=20),  # Linux took some back
        NodeCpu(3, user_ns=1, system_ns=1, idle_ns=1, iowait_ns=1),  # another boot
        NodeCpu(4, user_ns=2, system_ns=1, idle_ns=4, iowait_ns=None),
        NodeCpu(5, user_ns=2, system_ns=1, idle_ns=4, iowait_ns=None),  # too soon
    ]
    samples = [Sample("u", 1, (), Round(), host=HostSample(cpu)) for cpu in readings]
    shares = [totals.shares(sample) for sample in samples]
    found = [each and (each.time_ns, each.user, each.system, each.idle, each.iowait)
             for each in shares]  # fmt: skip
    assert found == [None, (2, 30.0, 10.0, 60.0, 0.0), None, (4, 25.0, 0.0, 75.0, 0.0), None]
    assert totals.shares(Sample("u", 1, (), Round())) is None
