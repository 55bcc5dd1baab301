"""What a check says, for people and for programs."""

from __future__ import annotations

import json

from domstats.cli.findings import Finding, Report, Section

from tests.unit.rows import each_row

CLOSED = Finding("a.conf", "it is closed", "no samples", "open it", breaks=True)
SLOW = Finding("qemu:///system", "it is slow", "values come late", "ask for less")
LONG = "a hypervisor of which there is very much to say, so that one line cannot hold it all"


@each_row(
    ("findings", "status", "verdict"),
    [
        ([], 0, "Fine: nothing was found that is not as it should be."),
        ([SLOW], 1, "It works, with 1 finding."),
        ([SLOW, CLOSED], 2, "It does not work: 2 findings."),
    ],
)
def test_the_status_is_that_of_the_worst_finding(
    findings: list[Finding], status: int, verdict: str
) -> None:
    report = Report(findings=findings)
    assert (report.status, report.verdict) == (status, verdict)
    assert [*report.lines(80)][-1] == verdict


def test_a_page_has_what_was_looked_at_then_the_findings_the_worst_first() -> None:
    report = Report()
    report.add(Section("", [("domstats", "0.1.0")]))
    report.add(Section("qemu:///system", [("hypervisor", LONG)]), [SLOW])
    report.add(Section("a.conf", [("agent", "collectd")]), [CLOSED, SLOW])
    assert [*report.lines(60)] == [
        "  domstats     0.1.0",
        "",
        "qemu:///system",
        "  hypervisor   a hypervisor of which there is very much to",
        "               say, so that one line cannot hold it all",
        "",
        "a.conf",
        "  agent        collectd",
        "",
        "1. a.conf: it is closed",
        "   This means: no samples",
        "   To do: open it",
        "",
        "2. qemu:///system: it is slow",
        "   This means: values come late",
        "   To do: ask for less",
        "",
        "It does not work: 2 findings.",
    ]


def test_what_tenants_wrote_stays_on_its_line() -> None:
    hostile = Finding("a\x1b[31m", "web\n1. fine", "b\x07", "c\u202e")
    lines = [*Report(findings=[hostile]).lines(80)]
    assert lines[1:4] == [
        "1. a\\x1b[31m: web\\n1. fine",
        "   This means: b\\x07",
        "   To do: c\\u202e",
    ]


def test_json_has_the_same() -> None:
    report = Report()
    report.add(Section("qemu:///system", [("rights", "read-only")]), [SLOW])
    assert json.loads(report.json()) == {
        "status": 1,
        "verdict": "It works, with 1 finding.",
        "sections": [{"title": "qemu:///system", "rows": {"rights": "read-only"}}],
        "findings": [
            {
                "about": "qemu:///system",
                "what": "it is slow",
                "means": "values come late",
                "remedy": "ask for less",
                "breaks": False,
            }
        ],
    }
