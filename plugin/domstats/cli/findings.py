"""What ``domstats check`` has found out, and how it is shown: as a page for people, or as JSON.

Pure. It must not know how anything is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ..shown import one_line

#: Exit statuses, for monitoring and rollouts.
FINE, WORKS_WITH_FINDINGS, DOES_NOT_WORK = 0, 1, 2

#: Cells of the column with what is looked at.
_LABEL = 13


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    :param about: the hypervisor or the file.
    :param what: what was found.
    :param means: what that means for the user's data.
    :param remedy: what to do; may be several sentences.
    :param breaks: whether there are no samples at all because of it.
    """

    about: str
    what: str
    means: str
    remedy: str
    breaks: bool = False


class Section(msgspec.Struct, frozen=True):
    """What was looked at in one place.

    :param title: the hypervisor or the file; empty for domstats itself.
    :param rows: what was looked at, and what it is like.
    """

    title: str
    rows: Sequence[tuple[str, str]]


class Report(msgspec.Struct):
    """All of one check."""

    sections: list[Section] = []
    findings: list[Finding] = []

    def add(self, section: Section, findings: Iterable[Finding] = ()) -> None:
        self.sections.append(section)
        self.findings += [each for each in findings if each not in self.findings]

    @property
    def status(self) -> int:
        """The exit status."""
        if any(each.breaks for each in self.findings):
            return DOES_NOT_WORK
        return WORKS_WITH_FINDINGS if self.findings else FINE

    @property
    def verdict(self) -> str:
        """One sentence for all of it."""
        count = len(self.findings)
        counted = "1 finding" if count == 1 else f"{count} findings"
        return {
            FINE: "Fine: nothing was found that is not as it should be.",
            WORKS_WITH_FINDINGS: f"It works, with {counted}.",
            DOES_NOT_WORK: f"It does not work: {counted}.",
        }[self.status]

    def lines(self, width: int) -> Iterator[str]:
        """The page: what was looked at, what was found, the verdict last."""
        for section in self.sections:
            if section.title:
                yield ""
                yield one_line(section.title, 300)
            for label, text in section.rows:
                yield from _row(label, text, width)
        for number, each in enumerate(_by_weight(self.findings), 1):
            yield ""
            yield from _wrapped(f"{number}. ", f"{each.about}: {each.what}", width)
            yield from _wrapped("   This means: ", each.means, width, 3)
            yield from _wrapped("   To do: ", each.remedy, width, 3)
        yield ""
        yield self.verdict

    def json(self) -> bytes:
        """An object with the keys ``status``, ``verdict``, ``sections`` and ``findings``."""
        content = {
            "status": self.status,
            "verdict": self.verdict,
            "sections": [
                {"title": section.title, "rows": dict(section.rows)} for section in self.sections
            ],
            "findings": _by_weight(self.findings),
        }
        return msgspec.json.encode(content) + b"\n"


def _by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """Those that keep everything from working first."""
    return sorted(findings, key=lambda each: not each.breaks)


def _row(label: str, text: str, width: int) -> Iterator[str]:
    yield from _wrapped(f"  {label:<{_LABEL}}", text, width)


def _wrapped(head: str, text: str, width: int, indent: int = 0) -> Iterator[str]:
    """The text behind a head, the lines after the first as far to the right as that."""
    from .cells import wrapped  # rich takes its time

    indent = indent or len(head)
    first, *others = wrapped(one_line(text), width, indent, len(head)) or [""]
    yield head + first[len(head) :]
    yield from others
