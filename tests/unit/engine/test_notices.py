"""What the user hears: once when it begins, and once when it ends."""

from __future__ import annotations

from domstats.domain_choice import DomainChoice
from domstats.engine.actions import Log
from domstats.engine.notices import MOST_CHANGES, Moment, Notices, StorageNotices
from domstats.engine.roster import Event, Member, Turn
from domstats.selection import Selection, entries

BEGUN = Moment(100.0, 5_000_000_000)
WHY = "its monitor does not answer"

SILENT = (
    "warning",
    "storage /nfs does not answer: until it does, disks on it have no sizes (with libvirt 11.9 or"
    " newer no counters either)",
)
BACK = ("info", "storage /nfs answers again")


def test_silent_storage_is_told_once_and_its_end_once():
    told = StorageNotices()
    assert list(told.of_silent({"/nfs"}, {"/nfs"})) == [SILENT]
    assert list(told.of_silent({"/nfs"}, {"/nfs"})) == []
    assert list(told.of_silent((), {"/nfs"})) == []
    assert list(told.of_silent((), ())) == [BACK]
    assert list(told.of_silent((), ())) == []


def test_storage_that_is_back_at_the_end_of_its_only_round_is_told_with_its_end():
    assert list(StorageNotices().of_silent({"/nfs"}, ())) == [SILENT, BACK]


def test_a_mount_that_may_not_be_probed_is_told_with_what_it_means_and_what_to_do():
    told = StorageNotices()
    [(level, text)] = told.of_blind(["/fuse"])
    assert level == "warning"
    assert text == (
        "no permission to probe storage /fuse; if it hangs, disk queries can freeze a domain or"
        " two: run as root, or mount with allow_other"
    )
    assert list(told.of_blind(["/fuse"])) == []
    assert list(told.of_blind([])) == [
        ("info", "storage /fuse can be probed now, or holds no disks any more")
    ]


# --- the hypervisor and its domains


class Heard:
    """Notices, and the lines that they gave."""

    def __init__(self, *selected: str) -> None:
        self.lines: list[Log] = []
        self.selection = Selection(domains=entries(selected))
        self.notices = Notices("qemu:///system", self.lines.append, self.selection)

    def listed(self, *names: str) -> None:
        domains = [(f"uuid of {name}", name, True) for name in names]
        self.notices.listed(domains, DomainChoice(self.selection))

    def take(self) -> list[tuple[str, str]]:
        lines, self.lines[:] = list(self.lines), []
        return [(line.level, line.text.removeprefix("qemu:///system: ")) for line in lines]


def turn(event: Event, number: int, since: float = 99.0) -> Turn:
    return Turn(event, f"u{number}", f"vm{number}", since, WHY)


def test_a_hypervisor_that_cannot_be_asked_is_told_once_and_its_return_once():
    heard = Heard()
    heard.notices.answers()
    assert heard.take() == []
    for _ in range(3):
        heard.notices.not_answered("no socket")
    assert heard.take() == [("error", "no socket")]
    assert heard.notices.trouble == "no socket"
    heard.notices.answers()
    heard.notices.answers()
    assert heard.take() == [("info", "the hypervisor answers again")]
    assert heard.notices.trouble == ""


def test_the_trouble_of_the_moment_is_kept_though_only_the_first_was_told():
    heard = Heard()
    heard.notices.not_answered("no socket")
    heard.notices.not_answered("no permission")
    assert heard.notices.trouble == "no permission"


def test_a_list_that_does_not_come_names_the_deadline():
    text = Heard().notices.no_list(4.5)
    assert text.startswith("qemu:///system: the hypervisor did not answer within 4.5 s:")


def test_a_domain_that_hangs_is_told_with_the_reason_and_its_return_with_the_time():
    heard = Heard()
    heard.notices.turned([turn(Event.HUNG, 1)], BEGUN, 100.5)
    [(level, text)] = heard.take()
    assert level == "warning"
    assert text == (
        f"domain vm1 does not answer: {WHY}; until it does, it is sampled without its monitor"
    )
    heard.notices.turned([turn(Event.BACK, 1)], Moment(160.0, 65_000_000_000), 160.0)
    assert heard.take() == [("info", "domain vm1 answers again: after 61 s")]


def test_many_are_one_line_that_names_the_first():
    heard = Heard()
    heard.notices.turned([turn(Event.HUNG, n) for n in range(90)], BEGUN, 101.0)
    [(level, text)] = heard.take()
    assert level == "warning"
    assert text.startswith("90 domains do not answer: vm0, vm1, vm2")
    assert "vm9" not in text


def test_a_change_carries_the_time_of_the_hang_and_is_handed_out_once():
    heard = Heard()
    heard.notices.turned([turn(Event.HUNG, 1)], BEGUN, 101.0)
    heard.notices.turned([turn(Event.ENDED, 1)], Moment(160.0, 65_000_000_000), 160.0)
    hung, ended = heard.notices.take_changes()
    assert (hung.uuid, hung.responsive, hung.reason) == ("u1", False, WHY)
    assert (ended.uuid, ended.responsive, ended.reason) == ("u1", True, "it has ended")
    assert hung.since_ns == ended.since_ns == 4_000_000_000
    assert heard.notices.take_changes() == ()


def test_when_a_hang_began_is_the_same_whatever_the_clock_does_meanwhile():
    notices = Heard().notices
    assert notices.since_ns("u1", 99.0, BEGUN) == 4_000_000_000
    stepped = Moment(110.0, 3_600_000_000_000)
    assert notices.since_ns("u1", 99.0, stepped) == 4_000_000_000
    assert notices.since_ns("u1", 109.0, stepped) == 3_599_000_000_000  # another hang


def test_of_endless_changes_that_nobody_takes_the_newest_are_kept():
    notices = Heard().notices
    for number in range(MOST_CHANGES + 5):
        notices.turned([turn(Event.HUNG, number)], BEGUN, 101.0)
    changes = notices.take_changes()
    assert len(changes) == MOST_CHANGES
    assert changes[-1].uuid == f"u{MOST_CHANGES + 4}"


def test_names_of_the_settings_that_match_no_domain_are_told():
    heard = Heard("web", "db")
    heard.listed("web")
    [(_, text)] = heard.take()
    assert "db" in text
    assert "web" not in text


def test_who_takes_over_repeats_nothing_that_was_told():
    heard, other = Heard("db"), Heard("db")
    heard.listed()
    heard.notices.not_answered("no socket")
    assert heard.notices.is_news("QEMU 7")
    heard.notices.introduce([Member("u1", "vm1", True)], lambda running: None, True)
    assert len(heard.take()) == 3
    other.notices.take_over(heard.notices)
    other.listed()
    other.notices.not_answered("no socket")
    assert not other.notices.is_news("QEMU 7")
    assert other.take() == []
    other.notices.answers()
    assert other.take() == [("info", "the hypervisor answers again")]
