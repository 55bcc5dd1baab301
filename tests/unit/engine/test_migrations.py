"""A domain that is being migrated is asked while it answers, and is never taken for hung."""

from __future__ import annotations

from domstats.engine.migrations import EXPIRES_S, Migrations


def test_a_domain_that_is_copied_is_asked_as_ever() -> None:
    migrations = Migrations()
    migrations.goes_on("a", 1.0)
    assert "a" in migrations.under_way
    assert not migrations.standing_still


def test_a_domain_that_stands_still_is_not_asked_whatever_is_heard_of_its_copy() -> None:
    migrations = Migrations()
    migrations.handed_over("a", 1.0)
    migrations.goes_on("a", 2.0)
    assert migrations.standing_still == {"a"}


def test_a_domain_whose_call_came_back_is_asked_again_while_its_migration_goes_on() -> None:
    migrations = Migrations()
    migrations.handed_over("a", 1.0)
    migrations.answers("a")
    assert not migrations.standing_still
    assert "a" in migrations.under_way


def test_nothing_is_known_of_a_migration_that_is_over() -> None:
    migrations = Migrations()
    migrations.handed_over("a", 1.0)
    migrations.settled("a")
    migrations.settled("never migrated")
    assert not migrations.under_way
    assert not migrations.standing_still


def test_a_migration_of_which_nothing_is_heard_counts_as_over() -> None:
    migrations = Migrations()
    migrations.handed_over("a", 1.0)
    migrations.goes_on("b", 1.0)
    migrations.goes_on("b", 2.0)
    migrations.expire(1.0 + EXPIRES_S)
    assert set(migrations.under_way) == {"b"}
    assert not migrations.standing_still
