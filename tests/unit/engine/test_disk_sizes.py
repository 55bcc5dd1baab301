"""Sizes that the bulk answer does not tell: asked for once in a while, and true in between."""

from __future__ import annotations

import functools

from domstats.engine.disk_sizes import REFRESH_S, DiskSizes
from domstats.model import Devices

from tests.unit.rows import each_row

QCOW2 = frozenset({"vda"})


def answer(allocation=0, physical=200_704, *, path="/a", capacity=8 << 20, number=0):
    """A complete bulk answer about one disk."""
    return {
        "block.count": number + 1,
        f"block.{number}.name": "vda",
        f"block.{number}.path": path,
        f"block.{number}.rd.reqs": 0,
        f"block.{number}.allocation": allocation,
        f"block.{number}.capacity": capacity,
        f"block.{number}.physical": physical,
    }


def info(stats, number=0):
    """Allocation and physical size as virDomainGetBlockInfo has them; None if there are none."""
    keys = (f"block.{number}.info.allocation", f"block.{number}.info.physical")
    return tuple(stats[key] for key in keys) if keys[0] in stats else None


@functools.cache
def devices_of(images):
    """Of 2,000 domains."""
    return {f"u{number}": Devices(images=images) for number in range(2000)}


class Host:
    """Domains whose answers a test gives, and what came of it."""

    def __init__(self, most=500, images=QCOW2):
        self.sizes = DiskSizes(most)
        self.devices = devices_of(images)
        self.images = images
        self.now = 1000.0
        self.asked = {}

    def begin(self, seconds=10.0):
        self.now += seconds
        self.sizes.begin(self.now)

    def answers(self, stats, told=(0, 0), uuid="u0", number=0):
        """What becomes of an answer; ``told`` is what virDomainGetBlockInfo would say."""
        is_asked = uuid in self.sizes.due([uuid], self.devices)
        self.asked[uuid] = self.asked.get(uuid, 0) + is_asked
        if is_asked:
            stats[f"block.{number}.info.allocation"] = told[0]
            stats[f"block.{number}.info.physical"] = told[1]
        self.sizes.complete(uuid, stats, self.images, asked=is_asked, now=self.now)
        return info(stats, number)


def test_a_disk_that_was_not_written_to_is_asked_for_once_and_keeps_its_size():
    host = Host()
    for _ in range(5):
        host.begin()
        assert host.answers(answer(), (200_704, 196_616)) == (200_704, 196_616)
    assert host.asked == {"u0": 1}


def test_a_qcow2_file_that_grows_is_as_long_as_it_is_written():
    host = Host()
    host.begin()
    host.answers(answer(), (200_704, 196_616))
    host.begin()
    assert host.answers(answer(393_216, 331_776)) == (331_776, 393_216)
    assert host.asked == {"u0": 1}


def test_a_qcow2_file_written_at_its_beginning_since_the_start_keeps_its_length():
    host = Host()
    host.begin()
    host.answers(answer(331_776, 856_064), (856_064, 917_504))
    host.begin()
    assert host.answers(answer(360_448, 860_160)) == (860_160, 917_504)


def test_a_block_device_that_was_not_written_to_takes_nothing_until_it_is():
    host = Host(images=frozenset())
    host.begin()
    host.answers(answer(0, 16 << 20), (0, 16 << 20))
    host.begin()
    assert host.answers(answer(0, 16 << 20)) == (0, 16 << 20)
    assert host.answers(answer(4096, 16 << 20)) is None, "the bulk answer tells"


def test_a_file_that_is_written_exactly_as_far_as_it_takes_has_its_length():
    host = Host(images=frozenset())
    host.begin()
    host.answers(answer(0, 4096), (4096, 8 << 20))
    host.begin()
    assert host.answers(answer(65_536, 65_536)) == (65_536, 8 << 20)


@each_row("change", [{"path": "/b"}, {"capacity": 16 << 20}, {"number": 1}])
def test_another_file_or_another_size_is_asked_for_in_the_next_round(change):
    host = Host()
    host.begin()
    host.answers(answer(), (200_704, 196_616))
    host.begin()
    number = change.get("number", 0)
    same_disk = "number" in change  # under another number: a disk before it was plugged in
    expected = (200_704, 196_616) if same_disk else None
    assert host.answers(answer(**change), number=number) == expected
    host.begin()
    assert host.answers(answer(**change), (300, 400), number=number) == (expected or (300, 400))
    assert host.asked["u0"] == (1 if same_disk else 2)


def test_a_disk_of_which_nothing_is_to_be_had_is_not_asked_in_every_round():
    host = Host()
    for _ in range(3):
        host.begin()
        asked = bool(host.sizes.due(["u0"], host.devices))
        host.sizes.complete("u0", answer(), QCOW2, asked=asked, now=host.now)
        host.asked["u0"] = host.asked.get("u0", 0) + asked
    assert host.asked == {"u0": 1}


def test_all_are_asked_again_in_five_minutes_and_never_many_in_one_round():
    host = Host()
    uuids = [f"u{number}" for number in range(100)]
    per_round = []
    for _ in range(1 + int(REFRESH_S / 10)):
        host.begin()
        before = sum(host.asked.values())
        for uuid in uuids:
            assert host.answers(answer(), (1, 2), uuid) in {(1, 2), (200_704, 2)}
        per_round.append(sum(host.asked.values()) - before)
    assert per_round[0] == 100
    assert max(per_round[1:]) <= 4
    assert sum(per_round[1:]) == 100


def test_thousands_that_are_new_are_asked_over_some_rounds():
    host = Host(most=300)
    uuids = list(host.devices)[:1000]
    asked = []
    for _ in range(4):
        host.begin(1.0)
        due = host.sizes.due(uuids, host.devices)
        asked.append(len(due))
        for uuid in due:
            host.sizes.complete(uuid, answer(), QCOW2, asked=True, now=host.now)
    assert asked[0] == 300
    assert max(asked) <= 300
    assert sum(asked) >= 1000


def test_a_domain_that_starts_anew_is_asked_anew():
    host = Host()
    host.begin()
    host.answers(answer(), (200_704, 196_616))
    host.sizes.forget("u0")
    assert host.answers(answer(), (1, 2)) == (1, 2)


def test_a_domain_that_answers_no_more_is_forgotten():
    host = Host()
    host.begin()
    host.answers(answer(), (200_704, 196_616))
    host.begin(2 * REFRESH_S)
    assert list(host.sizes.due(["u0"], host.devices)) == ["u0"]
    stats = answer()
    host.sizes.complete("u0", stats, QCOW2, asked=False, now=host.now)
    assert info(stats) is None


def test_where_nobody_wants_to_know_nobody_is_asked():
    sizes = DiskSizes(0)
    sizes.begin(1.0)
    assert not sizes.are_wanted
    assert sizes.due(["u0"], {}) == {}
