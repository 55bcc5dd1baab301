"""Storage that the storage watch cannot see is suspected by the evidence of calls alone."""

from __future__ import annotations

import pytest
from domstats.engine.suspicion import Suspicion

NFS = ("nfs",)
NEVER = float("-inf")


@pytest.fixture
def suspicion() -> Suspicion:
    return Suspicion()


@pytest.fixture
def suspect(suspicion: Suspicion) -> Suspicion:
    """Two domains hang on one storage."""
    suspicion.accuse("a", NFS, 10.0)
    suspicion.accuse("b", NFS, 11.0)
    return suspicion


def test_one_domain_that_hangs_makes_no_storage_suspect(suspicion: Suspicion) -> None:
    suspicion.accuse("a", NFS, 10.0)
    suspicion.accuse("a", NFS, 20.0)
    assert suspicion.has_evidence(NFS)
    assert not suspicion.is_suspect(NFS)
    assert not suspicion.spares("c", NFS, NEVER)


def test_two_domains_that_hang_on_a_storage_spare_the_others_there(suspect: Suspicion) -> None:
    assert suspect.spares("c", ("local", "nfs"), NEVER)
    assert not suspect.spares("d", ("local",), NEVER)
    assert suspect.suspects == 1
    assert not suspect.is_calm


def test_a_storage_is_suspect_only_while_two_domains_hang_there(suspect: Suspicion) -> None:
    suspect.exonerate("a", NFS)
    assert not suspect.is_suspect(NFS)
    suspect.exonerate("b", NFS)
    assert suspect.is_calm


def test_an_answer_to_a_call_made_after_the_last_hang_acquits_the_storage(
    suspect: Suspicion,
) -> None:
    suspect.answered(NFS, made=11.0)
    assert suspect.is_suspect(NFS)
    suspect.answered(NFS, made=11.1)
    assert suspect.is_calm


def test_one_canary_for_each_suspected_storage_is_asked_all_the_same(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", ("local",)), ("d", NFS), ("e", NFS)])
    assert suspect.is_canary("d")
    assert not suspect.is_canary("e")
    assert not suspect.spares("d", NFS, NEVER)
    assert suspect.spares("e", NFS, NEVER)


def test_a_canary_on_two_suspected_storages_is_spared_where_another_is_sent(
    suspect: Suspicion,
) -> None:
    for uuid in ("x", "y"):
        suspect.accuse(uuid, ("rbd",), 12.0)
    suspect.send_canaries([("c", NFS), ("d", ("nfs", "rbd"))])
    assert suspect.spares("d", ("nfs", "rbd"), NEVER)
    assert not suspect.spares("d", ("rbd",), NEVER)


def test_after_a_canary_that_hangs_no_other_is_sent(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", NFS)])
    suspect.accuse("c", NFS, 12.0)
    suspect.send_canaries([("d", NFS)])
    assert not suspect.is_canary("d")
    assert suspect.spares("d", NFS, NEVER)


def test_a_culprit_that_seems_back_makes_a_canary_worth_it_again(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", NFS)])
    suspect.accuse("c", NFS, 12.0)
    suspect.seems_back(NFS)
    suspect.send_canaries([("d", NFS)])
    assert suspect.is_canary("d")
    assert suspect.confirmed == {"nfs"}, "nobody has answered yet"
    suspect.answered(NFS, 13.0)
    assert not suspect.confirmed


def test_a_culprit_that_hangs_again_makes_a_canary_worth_it_no_more(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", NFS)])
    suspect.accuse("c", NFS, 12.0)
    suspect.seems_back(NFS)
    suspect.accuse("c", NFS, 13.0)
    suspect.send_canaries([("d", NFS)])
    assert not suspect.is_canary("d")


def test_canaries_are_those_of_one_round(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", NFS)])
    suspect.send_canaries([])
    assert not suspect.is_canary("c")


def test_a_domain_that_answered_about_its_disks_since_calls_are_stuck_is_not_spared(
    suspect: Suspicion,
) -> None:
    assert suspect.spares("c", NFS, answered_block=9.0, alert_since=9.0)
    assert not suspect.spares("c", NFS, answered_block=9.1, alert_since=9.0)


def test_where_the_storage_may_not_be_probed_only_an_answer_after_the_last_hang_counts(
    suspect: Suspicion,
) -> None:
    suspect.unprobed = frozenset(NFS)
    assert suspect.spares("c", NFS, answered_block=11.0, alert_since=9.0)
    assert not suspect.spares("c", NFS, answered_block=11.1, alert_since=9.0)


def test_one_domain_that_hangs_is_enough_where_the_storage_may_not_be_probed(
    suspicion: Suspicion,
) -> None:
    suspicion.unprobed = frozenset(NFS)
    suspicion.accuse("a", NFS, 10.0)
    assert suspicion.is_suspect(NFS)
    assert not suspicion.confirmed


def test_a_canary_that_hangs_confirms_that_its_storage_does(suspect: Suspicion) -> None:
    suspect.send_canaries([("c", NFS)])
    suspect.accuse("c", NFS, 12.0)
    assert suspect.confirmed == {"nfs"}
