"""Labels of thousands of domains: read when they appear and when they change, in no round."""

from __future__ import annotations

import time

from domstats.domain_xml.labels import METADATA_XPATH, Label, known, of_metadata, of_operator
from domstats.model import Sample
from domstats.output.line_protocol import LineProtocol
from domstats.output.value_lists import CollectdOptions, ValueLists

from tests.simhost import SimHost
from tests.simhost.model import NOVA

from .conftest import wait_until
from .watched import Watched, by_name, complete

PROJECT = known("nova_project")
MARK = of_operator("mark", "/domain/metadata/m:mark", {"m": "urn:mark"})
#: What asks for a domain's XML or metadata.
ABOUT_XML = ("DomainGetXMLDesc", "DomainGetMetadata")
NO_SUPPORT = 3


def watched(host: SimHost, *labels: Label, **settings) -> Watched:
    return Watched(host, labels=labels, **settings)


def mark(text: str) -> str:
    return f'<mark xmlns="urn:mark">{text}</mark>'


def xml_calls(host: SimHost) -> int:
    calls = host.control.statistics()["calls"]
    return sum(calls.get(name, 0) for name in ABOUT_XML)


def all_labelled(sample: Sample) -> bool:
    return bool(sample.domains) and all(domain.labels for domain in sample.domains)


def until_labelled(sampler: Watched) -> Sample:
    """The first sample in which all domains have their labels."""
    samples: list[Sample] = []

    def is_labelled() -> bool:
        samples.append(sampler.round())
        return all_labelled(samples[-1])

    wait_until(is_labelled)
    return samples[-1]


def test_hundreds_of_domains_keep_their_labels_without_an_xml_call_in_a_steady_round():
    with SimHost(domains=240) as host, watched(host, PROJECT) as sampler:
        until_labelled(sampler)
        assert xml_calls(host) == 240
        host.control.reset_statistics()
        for _ in range(3):
            sample = sampler.round()
            assert len(complete(sample)) == 240
            assert all(domain.labels["nova_project"] for domain in sample.domains)
        assert xml_calls(host) == 0


def test_labels_are_tags_in_telegraf_and_metadata_is_the_host_in_collectd():
    metadata = of_metadata(NOVA, METADATA_XPATH)
    with SimHost(domains=3) as host, watched(host, PROJECT, metadata) as sampler:
        sample = until_labelled(sampler)
        labels = by_name(sample)["guest-00001"].labels
        assert labels["nova_project"].startswith("project")
        assert labels["metadata"].startswith("instance ")
        assert f",nova_project={labels['nova_project']}," in LineProtocol().encode(sample).decode()
        lists = ValueLists(CollectdOptions(hostname_format=("metadata", "name")))
        hosts = {batch.host for batch in lists.translate(sample, 10.0)}
        assert f"{labels['metadata']}:guest-00001" in hosts


def test_without_labels_nothing_is_taken_from_metadata():
    with SimHost(domains=3) as host, watched(host) as sampler:
        for _ in range(2):
            sample = sampler.round()
        assert [domain.labels for domain in sample.domains] == [{}] * 3


def test_a_label_that_changes_is_noticed_in_the_end_though_no_event_tells():
    with SimHost(domains=50) as host:
        host.control.fail("ConnectDomainEventCallbackRegisterAny", 10**6, NO_SUPPORT, "none here")
        with watched(host, MARK, label_refresh=0.5) as sampler:
            until_labelled(sampler)
            host.control.set_metadata("guest-00007", "urn:mark", mark("new"))

            def is_new() -> bool:
                return by_name(sampler.round())["guest-00007"].labels["mark"] == "new"

            wait_until(is_new)


def test_xml_that_takes_long_delays_no_sample():
    with SimHost(domains=20) as host:
        host.control.delay(1000.0, "DomainGetXMLDesc")
        with watched(host, PROJECT) as sampler:
            sample = sampler.round()
            assert len(complete(sample)) == 20
            assert not any(domain.labels for domain in sample.domains)


def test_a_domain_with_more_metadata_than_libvirt_can_send_is_asked_for_its_xml_once():
    with SimHost(domains=20) as host:
        for uri in ("urn:a", "urn:b", "urn:c"):
            host.control.set_metadata("guest-00003", uri, f'<x xmlns="{uri}">{"x" * 2**21}</x>')
        with watched(host, PROJECT) as sampler:
            sample = until_labelled(sampler)
            host.control.reset_statistics()
            for _ in range(3):
                sample = sampler.round()
            assert xml_calls(host) == 0
            assert len(complete(sample)) == 20
            assert by_name(sample)["guest-00003"].labels == {"nova_project": ""}


def test_megabytes_of_metadata_cost_one_domain_its_labels_and_no_disk():
    with SimHost(domains=20) as host:
        host.control.set_metadata("guest-00003", "urn:mark", mark("<a>x</a>" * 400_000))
        with watched(host, PROJECT) as sampler:
            sample = until_labelled(sampler)
            large = by_name(sample)["guest-00003"]
            assert large.labels == {"nova_project": ""}
            assert large.devices.sources
            assert len(complete(sample)) == 20
            others = [d for d in sample.domains if d.name != "guest-00003"]
            assert all(domain.labels["nova_project"] for domain in others)


def test_a_domain_that_is_started_with_other_metadata_has_only_its_own_xml_read_again():
    with SimHost(domains=120) as host, watched(host, MARK) as sampler:
        until_labelled(sampler)
        host.control.reset_statistics()
        host.control.stop(["guest-00007"])
        host.control.set_metadata("guest-00007", "urn:mark", mark("new"))
        host.control.start(["guest-00007"])
        wait_until(lambda: by_name(sampler.round())["guest-00007"].labels["mark"] == "new")
        for _ in range(3):
            sampler.round()
        assert 1 <= xml_calls(host) <= 4


def test_what_changed_while_the_connection_was_lost_is_noticed_though_no_event_told():
    with SimHost(domains=50) as host, watched(host, MARK, label_refresh=1.0) as sampler:
        until_labelled(sampler)
        host.control.drop_connections()
        host.control.set_metadata("guest-00007", "urn:mark", mark("new"))

        def is_new() -> bool:
            found = by_name(sampler.round()).get("guest-00007")
            return found is not None and found.labels["mark"] == "new"

        wait_until(is_new)

        def is_quiet() -> bool:
            host.control.reset_statistics()
            time.sleep(1.1)  # longer than XML lasts where nobody tells of changes
            sampler.round()
            sampler.round()
            return xml_calls(host) == 0

        wait_until(is_quiet)
