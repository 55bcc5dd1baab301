"""Which domains and devices are wanted: collectd's lists, and Telegraf's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from domstats.errors import ConfigError
from domstats.selection import (
    ALL,
    MATCHED_TEXT,
    Selection,
    Unmatched,
    chosen,
    domain_entries,
    entries,
    unmatched,
)
from domstats.shown import one_line
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rows import each_row


@given(st.text(), st.text(), st.booleans())
def test_without_entries_everything_is_wanted(name: str, device: str, ignored: bool) -> None:
    selection = Selection(domains=entries([], ignored), block_devices=entries([], ignored))
    for each in (ALL, selection):
        assert each.wants_domain(name)
        assert each.wants_block_device(name, device)
        assert each.wants_interface_device(name, device)


@each_row("ignored", [False, True])
@each_row(
    ("entry", "name", "listed"),
    [
        ("web", "web", True),
        ("web", "web-1", False),
        ("web", "Web", False),
        ("/web/", "my-web-1", True),
        ("/^web/", "my-web-1", False),
        ("/^(a|b)$/", "b", True),
        ("/WEB/", "web", False),
        ("//", "//", True),
        ("//", "anything", False),
        ("/", "/", True),
        ("/var/lib", "/var/lib", True),
        ("/x", "x", False),
        ("/^[[:digit:]]+$/", "123", True),
        ("/^[[:digit:]]+$/", "12a", False),
        ("/^[[:alpha:][:digit:]_]+$/", "a_1", True),
        ("/^[^[:space:]]+$/", "a b", False),
        (r"/\<web\>/", "my web 1", True),
        (r"/\<web\>/", "myweb", False),
        (r"/a\\<b/", r"a\<b", True),
        ("/a.b/", "a\nb", True),
        ("/ü/", "grün", True),
        (r"/\./", "a", False),
    ],
)
def test_an_entry_lists_what_it_names(entry: str, name: str, listed: bool, ignored: bool) -> None:
    assert entries([entry], ignored).wants(name) is (listed != ignored)


def test_a_glob_uuid_or_label_that_matches_no_domain_is_told_and_when_that_ends() -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    listed = domain_entries([f"{uuid}", "web-*", "{db,sql}-?", "label:title=x*"], ["title"])
    told = Unmatched(listed)
    ((level, text),) = told.listed(["mail"], ["other"], frozenset())
    assert level == "warning"
    for entry in (uuid, "web-*", "{db,sql}-?", "label:title=x*"):
        assert f"'{entry}'" in text
    there = ["mail", "web-*", "sql-1"], [uuid], frozenset({"label:title=x*"})
    ((level, _),) = told.listed(*there)
    assert level == "info"
    assert told.listed(*there) == []


def test_of_labels_that_are_not_read_yet_nothing_is_told() -> None:
    assert Unmatched(domain_entries(["label:title=x"], ["title"])).listed(["a"], ["u"], None) == []


def test_several_entries_add_up() -> None:
    chosen = entries(["a", "/^b/", "c"])
    assert [chosen.wants(name) for name in ("a", "b1", "c", "d")] == [True, True, True, False]


def test_a_device_is_listed_with_its_domain() -> None:
    one = Selection(block_devices=entries(["web:vda"]))
    assert one.wants_block_device("web", "vda")
    assert not one.wants_block_device("web", "vdb")
    assert not one.wants_block_device("db", "vda")
    assert one.wants_interface_device("web", "vnet0"), "other lists are not touched"


def test_all_disks_of_a_name_can_be_left_out_on_every_domain() -> None:
    others = Selection(block_devices=entries(["/:hdb/"], ignored=True))
    assert others.wants_block_device("web", "hda")
    assert not others.wants_block_device("web", "hdb")
    assert not others.wants_block_device("db", "hdb")


def test_a_disk_can_be_chosen_by_its_path() -> None:
    path = "/var/lib/libvirt/images/b0.qcow2"
    assert Selection(block_devices=entries([f"b0:{path}"])).wants_block_device("b0", path)


@each_row("entry", ["", "/(/", "/[/", "/*/", "/a{2,1}/", "/(?P<n>/"])
def test_an_entry_that_means_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"^found '"):
        entries([entry])


def test_an_expression_sees_a_bounded_part_of_a_name() -> None:
    chosen = entries(["/x$/"])
    assert not chosen.wants("a" * MATCHED_TEXT + "x")
    assert chosen.wants("a" * (MATCHED_TEXT - 1) + "x")


@given(st.text(min_size=1), st.booleans())
def test_any_name_is_listed_by_itself(name: str, ignored: bool) -> None:
    if len(name) > 2 and name.startswith("/") and name.endswith("/"):
        return
    assert entries([name], ignored).wants(name) is not ignored


@given(st.text())
def test_any_expression_is_compiled_or_refused(expression: str) -> None:
    try:
        entries([f"/{expression}/"])
        message = ""
    except ConfigError as refused:
        message = str(refused)
    assert message == one_line(message), "no control characters"


# --- entries that match nobody


def test_entries_that_match_nobody_are_told_once_in_one_line() -> None:
    unmatched = Unmatched(entries(["web", "Web", "/^db-[0-9]+$/", "/^mail/"]))
    ((level, text),) = unmatched.listed(["web", "db-1"])
    assert level == "warning"
    assert text.startswith(
        "no domain matches '/^mail/', 'Web' in the list of domains to sample: is it spelled"
    )
    assert unmatched.listed(["db-1", "web"]) == []


@each_row("entry", ["web", "/^we/"])
def test_an_entry_whose_domain_goes_is_told_and_so_is_its_return(entry: str) -> None:
    unmatched = Unmatched(entries([entry]))
    assert unmatched.listed(["web", "db"]) == []
    ((level, text),) = unmatched.listed(["db"])
    assert (level, text.split(" in ")[0]) == ("warning", f"no domain matches {entry!r}")
    assert unmatched.listed([]) == []
    ((level, text),) = unmatched.listed(["web"])
    expected = f"a domain now matches {entry!r} in the list of domains to sample"
    assert (level, text) == ("info", expected)


def test_an_expression_that_matches_another_domain_now_has_not_changed() -> None:
    unmatched = Unmatched(entries(["/^web/"]))
    assert unmatched.listed(["web-1", "db"]) == []
    assert unmatched.listed(["db", "web-2"]) == []
    assert unmatched.listed(["web-2"]) == []


def test_a_host_without_domains_matches_no_entry() -> None:
    assert len(Unmatched(entries(["web"])).listed([])) == 1


def test_without_entries_nothing_is_told_or_looked_at() -> None:
    def names() -> Iterator[str]:
        raise AssertionError("nobody needs them")
        yield ""

    assert Unmatched(entries([])).listed(names()) == []


def test_an_expression_is_tried_on_what_is_new_alone() -> None:
    class Counted:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def search(self, name: str) -> bool:
            self.seen.append(name)
            return name == "web"

    pattern = Counted()
    wanted = msgspec.structs.replace(entries(["/x/"]), patterns=(pattern,))
    unmatched = Unmatched(wanted)
    unmatched.listed(["a", "b"])
    for names in (["a", "b"], ["b", "c"], ["web", "b"], ["web", "d"], ["web", "e"]):
        unmatched.listed(names)
    assert sorted(pattern.seen) == ["a", "b", "c", "web"]


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]).map(lambda n: {n, "x"})))
def test_what_is_told_adds_up_to_what_matches_nobody(lists: list[set[str]]) -> None:
    unmatched = Unmatched(entries(["a", "/[ab]/", "/c/"]))
    silent: set[str] = set()
    for names in lists:
        for level, text in unmatched.listed(names):
            named = {entry for entry in ("a", "/[ab]/", "/c/") if f"'{entry}'" in text}
            silent = silent | named if level == "warning" else silent - named
        expected = {"a"} - names
        expected |= {"/[ab]/"} if not names & {"a", "b"} else set()
        expected |= {"/c/"} if "c" not in names else set()
        assert silent == expected


def test_many_entries_that_match_nobody_are_one_bounded_line() -> None:
    ((_, text),) = Unmatched(entries([f"vm\n{n:03}" * 50 for n in range(100)])).listed([])
    assert "and 95 more" in text
    assert "\n" not in text
    assert len(text) < 700


def test_a_person_chooses_by_name_uuid_or_expression_among_what_is_configured() -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    selection = Selection(
        domains=entries(["web-1", "web-2", "db"]), chosen=chosen([uuid.upper(), "/^web/", "other"])
    )
    assert selection.wants_domain("db", uuid)
    assert selection.wants_domain("web-1", "x")
    assert not selection.wants_domain("db", "x")
    assert not selection.wants_domain("other", "x"), "it is not configured"


def test_what_a_person_chose_and_nobody_has_is_named() -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    texts = ["web-1", "/^db/", uuid, "absent", "/^no/"]
    assert unmatched(texts, [("web-1", "x"), ("db", "y"), ("z", uuid)]) == ["absent", "/^no/"]
