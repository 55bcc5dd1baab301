"""The table that a person reads, as the screen shows it."""

from __future__ import annotations

import io
from typing import Any

from domstats.cli.figures import Meter
from domstats.cli.table import NAME_LIMIT, lines, print_pictures, print_rows
from domstats.model import DomainSample, Round, Sample, Stats, Status
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.rows import each_row

SECOND = 1_000_000_000
GIB = 1024**3

LONG = "prod-eu-west-1-customer-frontend-with-a-very-long-name-00017"


def a_domain(name: str, **changes: Any) -> DomainSample:
    stats: Stats = {
        "state.state": 1,
        "vcpu.current": 2,
        "cpu.time": 90 * SECOND,
        "balloon.current": 1024 * 1024,
        "balloon.maximum": 2 * 1024 * 1024,
        "block.0.rd.bytes": GIB,
        "block.0.wr.bytes": GIB,
        "net.0.rx.bytes": GIB,
        "net.0.tx.bytes": GIB,
        **changes.pop("stats", {}),
    }
    return DomainSample(
        **{"uuid": name, "name": name, "status": Status.FRESH, "stats": stats, **changes}
    )


def later(name: str, seconds: float, read: int = 0, received: int = 0) -> DomainSample:
    """The same two seconds later."""
    return a_domain(
        name,
        stats={
            "cpu.time": int((90 + seconds) * SECOND),
            "block.0.rd.bytes": GIB + read,
            "net.0.rx.bytes": GIB + received,
        },
    )


HUNG = a_domain(
    LONG, status=Status.UNRESPONSIVE, since_ns=82 * SECOND, reason="process stopped",
    stats={"cpu.time": 90 * SECOND},
)  # fmt: skip
PARTIAL = a_domain(
    "db", status=Status.PARTIAL, missing=frozenset({"block"}),
    reason="storage /var/lib/libvirt/images/nfs-filer-03 does not answer",
)  # fmt: skip
OFF = DomainSample("off", "off", Status.FRESH, {"state.state": 5}, active=False)

BEFORE = (a_domain("web-2"), a_domain("web-1"), OFF, a_domain("db"), a_domain(LONG))
WELL = (later("web-2", 1.5, 3_000_000), later("web-1", 0.001, received=400))
NOW = (*WELL, OFF, HUNG, PARTIAL)


def a_sample(*domains: DomainSample, seconds: int = 100, **changes: Any) -> Sample:
    round_ = Round(duration_s=0.25, **changes)
    return Sample("qemu:///system", seconds * SECOND, domains, round_, node_cpus=4)


def screen(*rounds: Sample, width: int = 80, height: int = 0, note: str = "") -> str:
    """The screen after the rounds of a hypervisor."""
    meter = Meter()
    for sample in rounds:
        picture = meter.read(sample)
    shown = [line.plain for line in lines([picture], note, width, height or None)]
    assert max(map(cell_len, shown)) <= width
    return "\n".join(shown)


def printed(*samples: Sample) -> str:
    file = io.StringIO()
    print_pictures([Meter().read(sample) for sample in samples], "", file)
    return file.getvalue()


def test_a_screen_of_80_columns_when_all_is_well() -> None:
    rounds = a_sample(*BEFORE[:2]), a_sample(*WELL, seconds=102)
    assert screen(*rounds) == """\
qemu:///system
Domain  State       CPU  vCPUs  Memory    of    Read  Written  Received  Sent
web-1   running   0.1 %      2    1.0G  2.0G    0B/s     0B/s    200B/s  0B/s
web-2   running  75.0 %      2    1.0G  2.0G  1.4M/s     0B/s      0B/s  0B/s
2 domains: 2 running; 2 fresh; round of 0.25 s
all of them now: CPU 75.0 % of 400 %, memory 2.0 GiB of 4.0 GiB, read 1.4 MiB/s,
  written 0 B/s, received 200 B/s, sent 0 B/s
"""


def test_a_screen_of_80_columns_whatever_happens() -> None:
    assert screen(a_sample(*BEFORE), a_sample(*NOW, seconds=102)) == """\
qemu:///system
Domain                 State        CPU  Memory    Read  Written  Received  Sent
db                     running    0.0 %    1.0G    0B/s     0B/s      0B/s  0B/s
    partial, no block: storage /var/lib/libvirt/images/nfs-filer-03 does not
    answer
off                    shut off       -       -       -        -         -     -
prod-eu-we…name-00017  running    0.0 %    1.0G    0B/s     0B/s      0B/s  0B/s
    unresponsive for 20 s: process stopped
web-1                  running    0.1 %    1.0G    0B/s     0B/s    200B/s  0B/s
web-2                  running   75.0 %    1.0G  1.4M/s     0B/s      0B/s  0B/s
5 domains: 4 running, 1 shut off; 3 fresh, 1 partial, 1 unresponsive;
  round of 0.25 s
all of them now: CPU 75.0 % of 400 %, memory 4.0 GiB of 8.0 GiB, read 1.4 MiB/s,
  written 0 B/s, received 200 B/s, sent 0 B/s
"""


def test_a_screen_of_60_columns_has_name_state_cpu_and_what_is_wrong() -> None:
    assert screen(a_sample(*BEFORE), a_sample(*NOW, seconds=102), width=60) == """\
qemu:///system
Domain                              State        CPU  Memory
db                                  running    0.0 %    1.0G
    partial, no block: storage
    /var/lib/libvirt/images/nfs-filer-03 does not answer
off                                 shut off       -       -
prod-eu-west-1-cu…-long-name-00017  running    0.0 %    1.0G
    unresponsive for 20 s: process stopped
web-1                               running    0.1 %    1.0G
web-2                               running   75.0 %    1.0G
5 domains: 4 running, 1 shut off; 3 fresh, 1 partial,
  1 unresponsive; round of 0.25 s
all of them now: CPU 75.0 % of 400 %,
  memory 4.0 GiB of 8.0 GiB, read 1.4 MiB/s, written 0 B/s,
  received 200 B/s, sent 0 B/s
"""


def test_a_wide_screen_has_units_in_full_and_what_is_wrong_beside() -> None:
    assert screen(a_sample(*BEFORE[:2], HUNG), width=200) == """\
qemu:///system
Domain                                                        State       CPU  vCPUs   Memory       of     Read  Written  Received     Sent  Answer
prod-eu-west-1-customer-frontend-with-a-very-long-name-00017  running  90.0 s      2  1.0 GiB  2.0 GiB  1.0 GiB  1.0 GiB   1.0 GiB  1.0 GiB  unresponsive for 18 s: process stopped
web-1                                                         running  90.0 s      2  1.0 GiB  2.0 GiB  1.0 GiB  1.0 GiB   1.0 GiB  1.0 GiB  fresh
web-2                                                         running  90.0 s      2  1.0 GiB  2.0 GiB  1.0 GiB  1.0 GiB   1.0 GiB  1.0 GiB  fresh
3 domains: 3 running; 2 fresh, 1 unresponsive; round of 0.25 s
all of them since they were started: CPU 270.0 s, memory 3.0 GiB of 6.0 GiB, read 3.0 GiB, written 3.0 GiB, received 3.0 GiB, sent 3.0 GiB
"""  # noqa: E501 - the picture is as wide as what it shows


def test_the_least_screen_still_has_name_state_cpu_and_what_is_wrong() -> None:
    assert screen(a_sample(*BEFORE), a_sample(*NOW, seconds=102), width=36) == """\
qemu:///system
Domain              State        CPU
db                  running    0.0 %
    partial, no block: storage
    /var/lib/libvirt/images/nfs-file
    r-03 does not answer
off                 shut off       -
prod-eu-w…me-00017  running    0.0 %
    unresponsive for 20 s: process
    stopped
web-1               running    0.1 %
web-2               running   75.0 %
5 domains: 4 running, 1 shut off;
  3 fresh, 1 partial,
  1 unresponsive; round of 0.25 s
all of them now:
  CPU 75.0 % of 400 %,
  memory 4.0 GiB of 8.0 GiB,
  read 1.4 MiB/s, written 0 B/s,
  received 200 B/s, sent 0 B/s
"""


def test_a_screen_that_is_not_high_enough_shows_trouble_first_and_counts_the_rest() -> None:
    assert screen(a_sample(*BEFORE), a_sample(*NOW, seconds=102), height=13) == """\
qemu:///system
Domain                 State        CPU  Memory    Read  Written  Received  Sent
db                     running    0.0 %    1.0G    0B/s     0B/s      0B/s  0B/s
    partial, no block: storage /var/lib/libvirt/images/nfs-filer-03 does not
    answer
prod-eu-we…name-00017  running    0.0 %    1.0G    0B/s     0B/s      0B/s  0B/s
    unresponsive for 20 s: process stopped
and 3 fresh not shown here
5 domains: 4 running, 1 shut off; 3 fresh, 1 partial, 1 unresponsive;
  round of 0.25 s
all of them now: CPU 75.0 % of 400 %, memory 4.0 GiB of 8.0 GiB, read 1.4 MiB/s,
  written 0 B/s, received 200 B/s, sent 0 B/s
"""


def test_domains_that_do_not_fit_share_the_height_among_hypervisors() -> None:
    small, large = (
        Meter().read(a_sample(*(a_domain(f"{letter}-{i:02}") for i in range(count))))
        for letter, count in (("small", 2), ("large", 40))
    )
    shown = [line.plain for line in lines([small, large], "", 120, 24)]
    assert len(shown) <= 24
    assert sum(line.startswith("small-") for line in shown) == 2
    assert sum(line.startswith("large-") for line in shown) > 5
    assert any(line.endswith("fresh not shown here") for line in shown)


def test_what_no_domain_has_takes_no_room() -> None:
    stats: Stats = {"state.state": 1, "cpu.time": 5 * SECOND}
    shown = screen(a_sample(DomainSample("a", "a", Status.FRESH, stats)))
    assert shown.splitlines()[1].split() == ["Domain", "State", "CPU", "Answer"]


def test_a_hypervisor_without_domains_says_so() -> None:
    assert screen(a_sample()) == "qemu:///system\n0 domains; round of 0.25 s\n"


def test_a_hypervisor_that_cannot_be_asked_says_why() -> None:
    shown = screen(a_sample(connected=False, error="no socket:\nis libvirtd running?"))
    assert shown == "qemu:///system\nno socket:\\nis libvirtd running?\n"


def test_wide_letters_are_counted_as_what_they_take() -> None:
    hung = a_domain("網" * 40, status=Status.PARTIAL, reason="儲" * 120)
    shown = screen(a_sample(hung))
    assert shown.count("儲") == 120


def test_stuck_calls_are_told() -> None:
    assert "1 call is stuck in the hypervisor" in screen(a_sample(stuck_calls=1))


def test_a_note_stands_below_the_uri() -> None:
    assert screen(a_sample(), note="not real").startswith("qemu:///system\nnot real\n")


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    hostile = a_domain(
        "\x1b[31m[bold]:smile:\n\u202e\x00", status=Status.UNRESPONSIVE, reason="\x1b]0;owned\x07"
    )
    text = printed(a_sample(hostile))
    assert "\\x1b[31m[bold]:smile:\\n\\u202e\\x00" in text
    assert "\\x1b]0;owned\\x07" in text
    assert "\x1b" not in text


def test_a_pipe_gets_whole_rows_and_names_but_for_endless_ones() -> None:
    text = printed(a_sample(a_domain("x" * 300), a_domain("y" * NAME_LIMIT), HUNG))
    assert "x" * (NAME_LIMIT // 2) + "…" + "x" * (NAME_LIMIT // 2 - 1) in text
    assert "y" * NAME_LIMIT in text
    (row,) = (line for line in text.splitlines() if line.startswith(LONG))
    assert row.endswith("unresponsive for 18 s: process stopped")


def test_each_hypervisor_has_a_block() -> None:
    other = Sample("test:///default", 1, (), Round(duration_s=0.0))
    text = printed(a_sample(a_domain("web")), other)
    assert "\n\ntest:///default\n0 domains; round of 0.00 s\n" in text


@each_row(
    ("value", "shown"),
    [(0, "0B"), (999, "999B"), (1000, "1.0K"), (102_246, "99.8K"), (102_400, "100K"),
     (2**70, "1048576P"), (-5, "?")],
)  # fmt: skip
def test_short_numbers_have_a_unit(value: int, shown: str) -> None:
    stats = {"balloon.current": value // 1024, "net.0.tx.bytes": value}
    many = [a_domain(f"{'x' * 30}{i}", stats=stats) for i in range(2)]
    assert screen(a_sample(*many), width=90).splitlines()[2].split()[-1] == shown


@settings(deadline=None)
@given(
    st.text(max_size=300),
    st.dictionaries(
        st.one_of(
            st.sampled_from(["state.state", "cpu.time", "net.0.rx.bytes", "balloon.unused"]),
            st.text(max_size=9),
        ),
        st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=5)),
        max_size=5,
    ),
    st.sampled_from(Status),
    st.text(max_size=300),
    st.integers(40, 200),
    st.integers(0, 30),
)
def test_any_domain_keeps_within_the_screen(
    name: str, stats: Stats, status: Status, reason: str, width: int, height: int
) -> None:
    domain = DomainSample("u", name, status, stats, reason=reason)
    meter = Meter()
    for seconds in (1, 2):
        picture = meter.read(a_sample(domain, seconds=seconds))
        shown = lines([picture], "", width, height or None)
        assert all(cell_len(line.plain) <= width for line in shown)


def test_rows_of_text_are_a_table() -> None:
    file = io.StringIO()
    print_rows(("A", "B"), [("[red]x", "y" * 200)], file)
    assert "[red]x" in file.getvalue()
    assert "y" * 200 in file.getvalue(), "a pipe gets whole rows"


def test_rows_that_are_too_long_for_any_line_are_folded() -> None:
    file = io.StringIO()
    print_rows(("A", "B"), [("x", "y" * 500)], file)
    assert max(map(len, file.getvalue().splitlines())) <= 400
    assert file.getvalue().count("y") == 500
