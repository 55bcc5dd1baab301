"""The screen of ``domstats top`` as Textual draws it: what it shows, and what keys do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Callable

import pytest
from domstats.cli.top_app import Arrived, Top
from domstats.model import Devices

from tests.unit.cli.top_rounds import TWO_ROUNDS, URI, domain, hung, sample


def shown(top: Top) -> list[str]:
    """The lines of the screen."""
    return [strip.text.rstrip() for strip in top.screen._compositor.render_strips()]


def with_screen(act: Callable[[Top, Any], Awaitable[None]], uris: tuple[str, ...] = (URI,)) -> Top:
    """An 80x24 screen after the two rounds, and what is done then."""

    async def show() -> Top:
        top = Top(uris, lambda: None)  # here, since before Python 3.10 its locks want the loop
        async with top.run_test(size=(80, 24)) as pilot:
            for each in TWO_ROUNDS:
                top.post_message(Arrived(0, each))
            await pilot.pause()
            await act(top, pilot)
        return top

    return asyncio.run(show())


def test_a_screen_has_the_hypervisor_the_domains_and_the_keys() -> None:
    async def look(top: Top, pilot: Any) -> None:
        lines = shown(top)
        assert lines[0].startswith("qemu:///system, 2 HUNG, 4 run, CPU 150.0 of 400 %")
        assert lines[1].startswith("Domain        State      CPU %")
        assert [line.split()[0] for line in lines[2:6]] == ["db", "mq", "busy", "idle"]
        assert lines[6] == ""
        assert lines[23].startswith("h help")

    with_screen(look)


def test_keys_sort_and_reverse_and_show_what_is_off() -> None:
    async def look(top: Top, pilot: Any) -> None:
        def names() -> list[str]:
            return [line.split()[0] for line in shown(top)[2:8] if line]

        for keys, expected in (
            ("A", ["db", "mq", "busy", "idle"]),
            ("R", ["db", "mq", "idle", "busy"]),
            ("o", ["db", "mq", "off", "idle", "busy"]),
        ):
            await pilot.press(keys)
            await pilot.pause()
            assert names() == expected

    with_screen(look)


def test_a_filter_is_typed_after_a_slash_and_escape_ends_it() -> None:
    async def look(top: Top, pilot: Any) -> None:
        await pilot.press("slash", "b", "u", "enter")
        await pilot.pause()
        assert [line.split()[0] for line in shown(top)[2:4] if line] == ["busy"]
        assert "only names with bu" in shown(top)[23]
        await pilot.press("escape")
        await pilot.pause()
        assert shown(top)[3].split()[0] == "mq"

    with_screen(look)


def test_the_cursor_stays_with_its_domain_and_says_why_it_hangs() -> None:
    async def look(top: Top, pilot: Any) -> None:
        await pilot.press("down", "up", "down")
        assert shown(top)[23] == "mq: its process is stopped"
        top.post_message(Arrived(0, sample(6, hung("mq", 990), domain("busy", 6, 1))))
        await pilot.pause()
        assert shown(top)[23] == "mq: its process is stopped"
        assert [line.split()[0] for line in shown(top)[2:4]] == ["mq", "busy"]

    with_screen(look)


def test_enter_shows_a_domains_page_until_escape() -> None:
    path = "/var/lib/libvirt/images/" + "x" * 100 + ".qcow2"
    devices = Devices(addresses={"vnet0": "52:54:00:00:00:01"}, sources={"vda": path})

    async def look(top: Top, pilot: Any) -> None:
        top.post_message(Arrived(0, sample(6, domain("busy", 6, 1.5, devices=devices))))
        await pilot.press("home", "enter")
        await pilot.pause()
        lines = shown(top)
        assert lines[0] == "busy   running"
        text = "".join(line.strip() for line in lines)
        assert "1.0 GiB in use, has 2.0 GiB of 4.0 GiB" in " ".join(lines)
        assert path in text
        assert "52:54:00:00:00:01" in text
        await pilot.press("escape")
        await pilot.pause()
        assert shown(top)[1].startswith("Domain")

    with_screen(look)


def test_several_hypervisors_have_a_line_each_and_a_column() -> None:
    async def look(top: Top, pilot: Any) -> None:
        lines = shown(top)
        assert lines[1] == "test:///default: not asked yet"
        assert lines[2].split()[:2] == ["Domain", "Host"]
        assert lines[3].split()[:2] == ["db", URI]

    with_screen(look, (URI, "test:///default"))


def test_a_thousand_domains_cost_the_lines_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    from domstats.cli import top_app

    drawn: list[str] = []

    def left(text: str, width: int) -> str:
        drawn.append(text)
        return text

    monkeypatch.setattr(top_app, "left", left)
    many = [
        sample(s, *(domain(f"guest-{number}", s, 0.001 * number) for number in range(1000)))
        for s in (2, 4)
    ]

    async def look(top: Top, pilot: Any) -> None:
        for each in many:
            top.post_message(Arrived(0, each))
        await pilot.pause()
        drawn.clear()
        await pilot.press("end")
        await pilot.pause()
        assert shown(top)[22].split()[0] == "guest-0"
        assert len(drawn) < 100

    with_screen(look)
