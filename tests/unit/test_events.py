"""What is told of events: in words, not too many, and nothing lost without saying so."""

from __future__ import annotations

from domstats import events
from domstats.engine import event_book
from domstats.engine.event_book import BURST, PER_S, SETTLE_S, EventBook
from domstats.events import SOURCES, RawEvent, read
from domstats.model import EVENT_KINDS, DomainEvent
from domstats.output.schema import EVENT_FIELDS

from tests.unit.rows import each_row

S = 10**9


def news(source, *arguments, uuid="u1", name="web", number=7, at=1.0):
    return RawEvent(source, uuid, name, number, arguments, int(at * S))


def happened(event, *, uuid="u1", name="web", kind="lifecycle", number=7, at=1.0):
    return DomainEvent(int(at * S), uuid, name, kind, event, id=number)


def words(told):
    return [(event.name, event.kind, event.event, event.inferred) for event in told]


def started_book(*domains, kinds=("lifecycle",)):
    """A book that knows these domains (uuid, name, number) since second 1."""
    book = EventBook(kinds)
    book.subscribed()
    book.listed(domains, 1.0, 1 * S)
    return book


# --- words


@each_row(
    ("came", "kind", "event", "detail", "severity"),
    [
        (news(0, 2, 0), "lifecycle", "started", "booted", "okay"),
        (news(0, 5, 1), "lifecycle", "stopped", "destroyed", "okay"),
        (news(0, 5, 2), "lifecycle", "stopped", "crashed", "failure"),
        (news(0, 5, 3), "lifecycle", "stopped", "migrated", "okay"),
        (news(0, 3, 0), "lifecycle", "suspended", "paused", "warning"),
        (news(0, 3, 2), "lifecycle", "suspended", "io_error", "failure"),
        (news(0, 4, 0), "lifecycle", "resumed", "unpaused", "okay"),
        (news(0, 8, 0), "lifecycle", "crashed", "panicked", "failure"),
        (news(0, 5, 99), "lifecycle", "stopped", "99", "okay"),
        (news(0, 99, 1), "lifecycle", "99", "1", "okay"),
        (news(1), "lifecycle", "rebooted", "", "okay"),
        (news(3, 2), "watchdog", "expired", "reset", "warning"),
        (news(6, "/d", "ua-vda", 1, "enospc"), "io_error", "paused", "enospc", "failure"),
        (news(6, None, None, 2, None), "io_error", "reported", "", "failure"),
        (news(13, 65536), "balloon", "changed", "", "okay"),
        (news(18, 1, 2), "agent", "connected", "channel", "okay"),
        (news(18, 2, 0), "agent", "disconnected", "unknown", "okay"),
        (news(19, "ua-sda"), "device", "added", "", "okay"),
        (news(15, "ua-sda"), "device", "removed", "", "okay"),
        (news(22, "ua-sda"), "device", "removal_failed", "", "warning"),
        (news(23, 1, None), "metadata", "changed", "title", "okay"),
        (news(23, 2, "urn:a"), "metadata", "changed", "urn:a", "okay"),
        (news(24, "vda", "/d", 10, 5), "block_threshold", "exceeded", "", "warning"),
    ],
)
def test_an_event_is_told_in_words(came, kind, event, detail, severity):
    told = read(came)
    assert (told.kind, told.event, told.detail, told.severity) == (kind, event, detail, severity)
    assert (told.uuid, told.name, told.time_ns) == ("u1", "web", S)


def test_what_an_event_is_about_and_its_numbers_are_told_too():
    error = read(news(6, "/d.img", "ua-vda", 2, "enospc"))
    assert (error.device, error.path) == ("ua-vda", "/d.img")
    threshold = read(news(24, "vda", None, 10, 5))
    assert (threshold.device, threshold.path) == ("vda", "")
    assert threshold.numbers == {"threshold": 10, "excess": 5}
    assert read(news(13, 65536)).numbers == {"actual": 65536}


def test_every_kind_can_come_and_every_number_has_a_field():
    own = {events.MIGRATION, events.TUNABLE}
    assert {source.kind for source in SOURCES.values()} - own == set(EVENT_KINDS)
    numbers = {"actual", "threshold", "excess", "dropped", "gap_ms"}
    assert numbers <= {row.field for row in EVENT_FIELDS}


def test_only_what_somebody_needs_is_registered():
    assert events.wanted_sources((), wants_labels=False) == ()
    labels = set(events.wanted_sources((), wants_labels=True))
    assert labels == {0, 1, 15, 19, 20, 21, 22, 23}
    limits = set(events.wanted_sources((), wants_labels=True, wants_limits=True))
    assert limits == labels | {17}
    everything = set(events.wanted_sources(EVENT_KINDS, wants_labels=False))
    assert everything == set(SOURCES) - {17}


def test_of_changed_limits_the_xml_is_read_and_nobody_is_told():
    changed = read(news(17, {"blkdeviotune.total_iops_sec": 500}))
    assert events.meanings(changed) == (events.Meaning.CHANGED,)
    book = started_book(kinds=EVENT_KINDS)
    book.take_in(changed, 2.0)
    assert book.hand_out(3.0) == ()


# --- told once, and not too often


def test_an_event_is_told_once_and_only_if_its_kind_is_wanted():
    book = started_book()
    book.take_in(happened("started"), 2.0)
    book.take_in(happened("changed", kind="balloon"), 2.0)
    assert words(book.hand_out(3.0)) == [("web", "lifecycle", "started", False)]
    assert book.hand_out(4.0) == ()


def test_without_a_wanted_kind_nothing_is_told_even_after_a_gap():
    book = started_book(("u1", "web", 7), kinds=())
    book.take_in(happened("stopped"), 2.0)
    book.subscribed()
    book.listed([], 3.0, 3 * S)
    assert book.hand_out(30.0) == ()
    assert book.take_log() == []


def test_a_flood_of_one_domain_is_cut_short_counted_and_told_in_one_line():
    book = started_book(kinds=("lifecycle", "io_error"))
    for number in range(500):
        book.take_in(happened("paused", kind="io_error", at=2 + number / 1000), 2.0)
    book.take_in(happened("stopped", at=3), 2.5)
    book.take_in(happened("paused", kind="io_error", uuid="u2", name="db", at=4), 2.5)
    told = book.hand_out(3.0)
    floods = [event for event in told if event.uuid == "u1" and event.kind == "io_error"]
    assert len(floods) == BURST + 1
    assert (floods[-1].event, floods[-1].numbers) == ("dropped", {"dropped": 500 - BURST})
    assert ("web", "lifecycle", "stopped", False) in words(told)
    assert ("db", "io_error", "paused", False) in words(told)
    (line,) = book.take_log()
    assert "domain web" in line
    assert "io_error" in line
    book.take_in(happened("paused", kind="io_error"), 3.0)
    book.hand_out(3.5)
    assert book.take_log() == []  # it still goes on


def test_after_a_flood_a_domain_may_tell_again_as_time_goes_by():
    book = started_book(kinds=("io_error",))
    for _ in range(BURST + 5):
        book.take_in(happened("paused", kind="io_error"), 2.0)
    book.hand_out(2.0)
    book.take_in(happened("paused", kind="io_error"), 2.0 + 1.5 / PER_S)
    assert words(book.hand_out(10.0)) == [("web", "io_error", "paused", False)]


def test_events_that_nobody_fetches_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(event_book, "MOST_WAITING", 100)
    book = started_book()
    for number in range(110):
        book.take_in(happened("started", uuid=f"u{number}"), 2.0)
    told = book.hand_out(3.0)
    assert len(told) == 101
    (lost,) = [event for event in told if event.kind == events.STREAM]
    assert (lost.event, lost.numbers, lost.uuid) == ("dropped", {"dropped": 10}, "")
    assert len(book.take_log()) == 1


def test_a_kind_that_the_hypervisor_lacks_is_told_once_to_those_who_want_it():
    book = started_book(kinds=("watchdog",))
    for _ in range(3):
        book.unsupported("watchdog")
        book.unsupported("metadata")
    assert len(book.take_log()) == 1
    assert book.take_log() == []


# --- over a reconnect

GAP = ("", "stream", "gap", False)


def told_after(book, domains, *, at=10.0):
    """What is told after a new connection and its list, when everything has settled."""
    book.subscribed()
    book.listed(domains, at, int(at * S))
    return book.hand_out(at) + book.hand_out(at + SETTLE_S)


def test_the_first_list_and_further_ones_tell_nothing():
    book = started_book(("u1", "web", 7))
    book.listed([("u2", "db", 8)], 5.0, 5 * S)
    assert book.hand_out(20.0) == ()


def test_what_started_and_stopped_in_a_gap_is_inferred_and_the_gap_is_told():
    book = started_book(("u1", "web", 7), ("u2", "db", -1), ("u3", "mail", 9), ("u4", "old", 3))
    told = told_after(book, [("u1", "web", -1), ("u2", "db", 10), ("u3", "mail", 9)])
    assert words(told) == [
        GAP,
        ("web", "lifecycle", "stopped", True),
        ("db", "lifecycle", "started", True),
        ("old", "lifecycle", "stopped", True),
    ] or sorted(words(told)) == sorted(
        [
            GAP,
            ("web", "lifecycle", "stopped", True),
            ("db", "lifecycle", "started", True),
            ("old", "lifecycle", "stopped", True),
        ]
    )
    assert told[0].numbers == {"gap_ms": 9000}


def test_a_domain_that_was_started_anew_in_a_gap_has_stopped_and_started():
    book = started_book(("u1", "web", 7))
    told = told_after(book, [("u1", "web", 8)])
    assert words(told) == [
        GAP, ("web", "lifecycle", "stopped", True), ("web", "lifecycle", "started", True)
    ]  # fmt: skip


def test_an_event_of_the_new_connection_is_not_inferred_as_well():
    book = started_book(("u1", "web", 7))
    book.subscribed()
    book.take_in(happened("stopped", number=7), 9.0)
    book.listed([("u1", "web", -1)], 10.0, 10 * S)
    assert words(book.hand_out(20.0)) == [("web", "lifecycle", "stopped", False), GAP]


def test_an_event_that_comes_after_the_list_that_shows_it_is_told_once():
    book = started_book()
    book.subscribed()
    book.listed([("u1", "web", 7)], 10.0, 10 * S)
    assert words(book.hand_out(10.1)) == [GAP]
    book.take_in(happened("started", at=10.05), 10.2)
    assert words(book.hand_out(20.0)) == [("web", "lifecycle", "started", False)]


def test_a_list_that_is_older_than_an_event_of_the_new_connection_does_not_contradict_it():
    book = started_book()
    book.subscribed()
    book.take_in(happened("started"), 9.0)
    book.listed([], 10.0, 10 * S)
    assert ("web", "lifecycle", "stopped", True) not in words(book.hand_out(20.0))


def test_what_events_told_before_the_loss_is_not_inferred_after_it():
    book = started_book(("u1", "web", 7))
    book.take_in(happened("stopped"), 2.0)
    book.take_in(happened("started", number=8), 3.0)
    book.hand_out(4.0)
    assert words(told_after(book, [("u1", "web", 8)])) == [GAP]


def test_a_connection_that_is_lost_again_before_its_list_makes_one_gap():
    book = started_book(("u1", "web", 7))
    book.subscribed()
    assert words(told_after(book, [])) == [GAP, ("web", "lifecycle", "stopped", True)]


def test_only_the_gap_is_told_where_the_lifecycle_is_not_wanted():
    book = started_book(("u1", "web", 7), kinds=("io_error",))
    assert words(told_after(book, [])) == [GAP]


def test_a_fault_of_ours_is_a_gap_too():
    failed = started_book(("u1", "web", 7))
    book = EventBook(("lifecycle",))
    book.take_over(failed)
    book.listed([("u2", "db", 3)], 5.0, 5 * S)
    assert words(book.hand_out(10.0)) == [GAP]
