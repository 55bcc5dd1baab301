"""A domain's XML is read when it appears and when it changes; it is known until then."""

from __future__ import annotations

import pytest
from domstats.engine.xml_book import XmlBook
from domstats.model import Devices, Stats

DISK = Devices(targets=("vda",))


@pytest.fixture
def book() -> XmlBook:
    return XmlBook(is_wanted=True)


def read(book: XmlBook, *uuids: str, at: float = 0.0, most: int = 32) -> list[str]:
    """The next batch, read without trouble."""
    batch = book.next_batch(most, uuids)
    for uuid in batch:
        book.learned(uuid, DISK, {"owner": uuid}, at)
    book.returned(batch)
    return batch


def test_nothing_is_known_of_a_domain_before_its_xml_is_read(book: XmlBook) -> None:
    book.want("a")
    assert "a" not in book.devices
    assert "a" not in book.labels


def test_what_the_xml_says_is_known_until_the_domain_is_no_more(book: XmlBook) -> None:
    book.retain({"a", "b"})
    assert set(read(book, "a", "b")) == {"a", "b"}
    assert (book.devices["a"], book.labels["a"]) == (DISK, {"owner": "a"})
    book.retain({"b"})
    assert set(book.devices) == set(book.labels) == {"b"}
    assert not book.has_work


def test_nothing_is_read_that_nobody_needs() -> None:
    book = XmlBook(is_wanted=False)
    book.retain({"a"})
    book.changed("a")
    book.see("a", {"net.count": 1, "block.count": 0, "net.0.name": "vnet0"})
    assert not book.has_work
    assert not book.is_not_of(1)


def test_domains_are_read_in_batches_in_the_order_in_which_that_was_wanted(book: XmlBook) -> None:
    for uuid in "abcb":
        book.want(uuid)
    assert read(book, *"abc", most=2) == ["a", "b"]
    assert read(book, *"abc", most=2) == ["c"]


def test_a_domain_that_has_ended_before_its_turn_is_not_read(book: XmlBook) -> None:
    book.want("a")
    assert read(book, "b") == []
    book.want("a")
    assert read(book, "a") == ["a"]


def test_a_change_during_the_reading_has_the_xml_read_once_more(book: XmlBook) -> None:
    book.want("a")
    batch = book.next_batch(32, {"a"})
    book.changed("a")
    book.changed("a")
    assert not book.has_work
    book.returned(batch)
    assert read(book, "a") == ["a"]
    assert not book.has_work


def test_a_change_before_the_reading_begins_has_it_read_once(book: XmlBook) -> None:
    book.want("a")
    book.changed("a")
    assert read(book, "a") == ["a"]
    assert not book.has_work


def test_xml_that_could_not_be_read_is_read_again_when_its_domain_is_listed(book: XmlBook) -> None:
    book.retain({"a"})
    book.returned(book.next_batch(32, {"a"}))
    assert book.is_not_of(1)
    book.retain({"a"})
    assert book.has_work


def test_other_device_names_in_an_answer_mean_another_xml(book: XmlBook) -> None:
    stats: Stats = {"net.count": 1, "net.0.name": "vnet0", "block.count": 0}
    book.see("a", {**stats})
    book.see("a", {**stats})
    assert not book.has_work
    book.see("a", {**stats, "net.0.name": "vnet7"})
    assert read(book, "a") == ["a"]


class TestWhatMayHaveChangedUnheard:
    """Without events, XML is read again once it is old, by turns."""

    LASTS_S = 100.0

    @pytest.fixture
    def book(self) -> XmlBook:
        book = XmlBook(is_wanted=True, lasts_s=self.LASTS_S)
        book.retain({"a", "b", "c", "d"})
        read(book, "a", "b", "c", "d", at=0.0)
        book.renew(0.0)
        return book

    def rounds(self, book: XmlBook, begin: int, end: int) -> list[list[str]]:
        found = []
        for now in range(begin, end, 10):
            book.renew(float(now))
            found.append(read(book, "a", "b", "c", "d", at=float(now)))
        return found

    def test_young_xml_is_left_alone(self, book: XmlBook) -> None:
        assert not any(self.rounds(book, 10, 100))

    def test_old_xml_is_read_again_each_once_and_not_all_in_one_round(self, book: XmlBook) -> None:
        read_again = self.rounds(book, 10, 310)
        assert not any(read_again[:10])
        assert sorted(uuid for batch in read_again[:24] for uuid in batch) == ["a", "b", "c", "d"]
        assert max(map(len, read_again)) == 1

    def test_events_that_tell_of_changes_make_it_needless(self, book: XmlBook) -> None:
        book.subscribed(-1.0)
        assert not any(self.rounds(book, 110, 500))

    def test_what_was_read_before_the_events_began_is_read_once_more(self, book: XmlBook) -> None:
        book.subscribed(50.0)
        read_again = self.rounds(book, 60, 500)
        assert sorted(uuid for batch in read_again for uuid in batch) == ["a", "b", "c", "d"]

    def test_without_events_any_more_it_gets_old_again(self, book: XmlBook) -> None:
        book.subscribed(-1.0)
        book.unsubscribed()
        assert any(self.rounds(book, 110, 220))

    def test_a_successor_knows_from_when_on_events_came(self, book: XmlBook) -> None:
        book.subscribed(-1.0)
        successor = XmlBook(is_wanted=True, lasts_s=self.LASTS_S)
        successor.take_over(book)
        successor.retain({"a"})
        read(successor, "a", at=0.0)
        successor.renew(0.0)
        assert not any(self.rounds(successor, 110, 500))


def test_the_disks_of_the_last_answer_are_known_by_their_index(book: XmlBook) -> None:
    assert book.disks_seen("a") == []
    book.see("a", {"net.count": 0, "block.count": 1, "block.0.name": "vda", "block.0.path": "/d"})
    assert book.disks_seen("a") == [("vda", "/d")]
