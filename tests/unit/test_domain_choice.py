"""Which of the listed domains are sampled, when names, uuids and labels decide."""

from __future__ import annotations

from collections.abc import Mapping

from domstats.domain_choice import DomainChoice
from domstats.model import FrozenDict
from domstats.selection import Selection, chosen, domain_entries, entries

UUID = "11111111-2222-4333-8444-555555555555"
LABELS = ("project", "title")


def domains(*names: str) -> list[tuple[str, str, bool]]:
    return [(UUID if name == "by-uuid" else f"u-{name}", name, True) for name in names]


def labels(**projects: str) -> Mapping[str, Mapping[str, str]]:
    """The labels of domains whose XML has been read."""
    return {f"u-{name}": FrozenDict({"project": text}) for name, text in projects.items()}


def wanted(
    choice: DomainChoice, *names: str, known: Mapping[str, Mapping[str, str]] = {}
) -> list[str]:
    return [name for _, name, _ in choice.of(domains(*names), known)]


def choice_of(*texts: str, exclude: tuple[str, ...] = ()) -> DomainChoice:
    return DomainChoice(
        Selection(
            domains=domain_entries(texts, LABELS),
            other_domains=domain_entries(exclude, LABELS, ignored=True),
        )
    )


def test_without_lists_the_list_is_passed_on_as_it_is() -> None:
    listed = domains("a", "b")
    assert DomainChoice(Selection()).of(listed, {}) is listed


def test_names_globs_expressions_and_uuids_choose_together_and_what_is_excluded_is_not() -> None:
    choice = choice_of("db", "web-*", "/mail$/", UUID.upper(), exclude=("web-2",))
    names = ("db", "db2", "web-1", "web-2", "my-mail", "by-uuid", "other")
    assert wanted(choice, *names) == ["db", "web-1", "my-mail", "by-uuid"]
    assert choice.wants("web-3", "u") is True
    assert choice.wants("web-2", "u") is False


def test_a_glob_that_is_the_name_of_a_domain_means_that_domain_for_as_long_as_there_is_it() -> None:
    choice = choice_of("web-*")
    assert wanted(choice, "web-1", "web-*") == ["web-*"]
    assert wanted(choice, "web-1", "web-2") == ["web-1", "web-2"]
    assert wanted(choice, "web-*", "web-2") == ["web-*"]


def test_a_domain_for_which_labels_decide_waits_until_they_are_known() -> None:
    choice = choice_of("db", "label:project=acme*")
    names = ("db", "a", "b")
    assert wanted(choice, *names) == ["db"]
    assert choice.waiting == {"u-a", "u-b"}
    assert wanted(choice, *names, known=labels(a="acme shop")) == ["db", "a"]
    assert (choice.waiting, choice.new) == ({"u-b"}, {"u-a"})
    assert wanted(choice, *names, known=labels(a="acme shop", b="other")) == ["db", "a"]
    assert choice.waiting == {"u-b"}, "its labels may change"
    assert choice.new == frozenset()
    assert (choice.wants("a", "u-a"), choice.wants("b", "u-b")) == (True, False)
    assert choice.wants("new", "u-new") is False, "nothing is known of it yet"


def test_labels_that_change_choose_anew() -> None:
    choice = choice_of("label:project=acme")
    assert wanted(choice, "a", "b", known=labels(a="acme", b="other")) == ["a"]
    assert wanted(choice, "a", "b", known=labels(a="other", b="acme")) == ["b"]
    assert (choice.waiting, choice.new) == ({"u-a"}, {"u-b"})


def test_while_the_xml_is_read_anew_what_was_decided_holds() -> None:
    choice = choice_of("label:project=acme")
    assert wanted(choice, "a", "b", known=labels(a="acme", b="other")) == ["a"]
    assert wanted(choice, "a", "b") == ["a"]


def test_domains_can_be_left_out_by_label_and_wait_as_well() -> None:
    choice = choice_of(exclude=("label:project=/^test/", "db"))
    assert wanted(choice, "a", "b", "db") == []
    assert choice.waiting == {"u-a", "u-b"}, "db is left out whatever its labels are"
    assert wanted(choice, "a", "b", "db", known=labels(a="acme", b="test 1")) == ["a"]


def test_both_lists_may_need_labels() -> None:
    choice = choice_of("label:project=acme*", exclude=("label:project=*test",))
    known = labels(a="acme", b="acme test", c="other")
    assert wanted(choice, "a", "b", "c", known=known) == ["a"]


def test_a_domain_without_the_label_has_an_empty_text() -> None:
    choice = choice_of("label:title=?*")
    assert wanted(choice, "a", known=labels(a="acme")) == []


def test_what_a_person_asks_for_narrows_what_the_configuration_lists() -> None:
    choice = DomainChoice(Selection(domains=entries(["/^web/"]), chosen=chosen(["web-1", "db"])))
    assert wanted(choice, "web-1", "web-2", "db") == ["web-1"]


def test_domains_that_are_gone_are_forgotten() -> None:
    choice = choice_of("label:project=acme")
    wanted(choice, "a", "b", known=labels(a="acme", b="other"))
    assert wanted(choice) == []
    assert choice.waiting == frozenset()
    assert choice.wants("a", "u-a") is False


def test_which_labels_match_nobody_is_known_when_all_are_read() -> None:
    texts = ("label:project=acme", "label:project=nobody")
    choice, listed = choice_of(*texts), domain_entries(texts, LABELS)
    wanted(choice, "a", "b", known=labels(a="acme"))
    assert choice.matched_labels(listed) is None
    wanted(choice, "a", "b", known=labels(a="acme", b="other"))
    assert choice.matched_labels(listed) == {"label:project=acme"}
