"""Domains chosen by glob, uuid and label among hundreds, over the wire."""

from __future__ import annotations

from typing import Any

from domstats.config.telegraf import from_table
from domstats.model import Sample
from domstats.output.line_protocol import LineProtocol

from tests.simhost import SimHost
from tests.simhost.model import NOVA

from .conftest import wait_until
from .watched import Watched, by_name, complete

DOMAINS = 400
#: Domain number n of the simulated host belongs to project<n % 20>.
PROJECTS = 20
NO_SUPPORT = 3


def watched(host: SimHost, *, label_refresh: float = 300.0, **table: Any) -> Watched:
    """What a table of Telegraf's samples, with no watches."""
    settings = from_table(table)
    kept = {name: getattr(settings, name) for name in ("selection", "labels", "unsent_labels")}
    return Watched(host, label_refresh=label_refresh, **kept)


def names(numbers: range) -> set[str]:
    return {f"guest-{number:05}" for number in numbers}


def until_complete(sampler: Watched, expected: set[str]) -> Sample:
    samples: list[Sample] = []

    def is_complete() -> bool:
        samples.append(sampler.round())
        return complete(samples[-1]) == expected

    wait_until(is_complete)
    return samples[-1]


def calls(host: SimHost, *names: str) -> int:
    counted = host.control.statistics()["calls"]
    return sum(counted.get(name, 0) for name in names)


def test_a_glob_and_a_uuid_choose_and_what_is_excluded_is_not_sampled():
    with SimHost(domains=30) as host:
        with watched(host) as everybody:
            uuid = by_name(everybody.round())["guest-00025"].uuid
        table: dict[str, Any] = {"domains": ["guest-0000?", uuid], "domains_exclude": ["*-00003"]}
        with watched(host, **table) as sampler:
            sample = until_complete(sampler, names(range(10)) - {"guest-00003"} | {"guest-00025"})
            assert len(sample.domains) == 10


def test_a_label_chooses_among_hundreds_and_a_steady_round_asks_for_no_xml():
    by_label: dict[str, Any] = {"domains": ["label:nova_project=project7"]}
    with SimHost(domains=DOMAINS) as host, watched(host, **by_label) as sampler:
        expected = names(range(7, DOMAINS, PROJECTS))
        sample = until_complete(sampler, expected)
        assert all(domain.labels == {} for domain in sample.domains), "nobody asked for tags"
        assert "nova_project" not in LineProtocol().encode(sample).decode()

        def is_quiet() -> bool:
            host.control.reset_statistics()
            for _ in range(3):
                assert complete(sampler.round()) == expected
            return calls(host, "DomainGetXMLDesc", "DomainGetMetadata") == 0

        wait_until(is_quiet)  # of those that were chosen the XML is read once more


def test_a_domain_that_gets_the_label_is_sampled_and_one_that_loses_it_is_not():
    with SimHost(domains=40) as host:
        # No event tells of it, so that the XML of those that are not sampled has to be renewed too.
        host.control.fail("ConnectDomainEventCallbackRegisterAny", 10**6, NO_SUPPORT, "none here")
        with watched(host, label_refresh=0.5, domains=["label:nova_project=project7"]) as sampler:
            until_complete(sampler, names(range(7, 40, PROJECTS)))
            host.control.set_metadata("guest-00009", NOVA, owned_by("project7"))
            host.control.set_metadata("guest-00007", NOVA, owned_by("project8"))
            until_complete(sampler, {"guest-00009", "guest-00027"})


def test_while_no_xml_can_be_read_whom_a_label_would_choose_is_not_sampled_and_others_are():
    with SimHost(domains=20) as host:
        host.control.delay(1000.0, "DomainGetXMLDesc")
        with watched(host, domains=["guest-00003", "label:nova_project=project7"]) as sampler:
            for _ in range(3):
                assert complete(sampler.round()) == {"guest-00003"}


def owned_by(project: str) -> str:
    return (
        f'<nova:instance xmlns:nova="{NOVA}"><nova:owner><nova:project>{project}</nova:project>'
        "</nova:owner></nova:instance>"
    )
