"""Each option of collectd's plugin virt: the same block, given to virt and to domstats, gives the
same identifiers, values and notifications. `virt_blocks` has the blocks.

Each of the two has a collectd of its own, side by side, asking about the same guests.
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn

import pytest
from domstats.config.options import COLLECTD_OPTIONS

from tests.system.agents import Collectd
from tests.system.agents.notifications import Notice, Notifications
from tests.system.agreement import differences
from tests.system.bed import Shape
from tests.system.configurations import python_plugin, virt_plugin
from tests.system.virt_blocks import (
    BLOCKS,
    FIRST,
    HOSTILE,
    NOT_HERE,
    NOVA_10,
    NOVA_11,
    OTHER,
    PAUSED,
    SELECTORS,
    Block,
)
from tests.system.virt_values import by_data_source, slack_of
from tests.system.waiting import wait_for

MANUAL = Path("/usr/share/man/man5/collectd.conf.5.gz")
PLUGIN = Path("/usr/lib/collectd/virt.so")
INTERVAL = 0.5

INSTANCE = """\
<instance><name>{name}</name><flavor name="m1.small"/>
<owner><project uuid="of {name}">web shop</project></owner></instance>"""

#: Identifiers that only one of the two has, by the difference that explains it.
EXPLAINED: Mapping[str, Callable[[str], bool]] = {
    # virt has those of the last line alone.
    "extra-stats-lines": lambda name: bool(re.search("/(ps_cputime|disk_time|total_)", name)),
    # virt has all domains without metadata as one, this host; ours by their names.
    "no-metadata": lambda name: not name.startswith(("shop/", "other shop/")),
}


def given_options(options: str) -> set[str]:
    return {line.split()[0].lower() for line in options.splitlines() if line}


@pytest.fixture(scope="module")
def manual(missing: Callable[[str, str], NoReturn]) -> str:
    """What collectd.conf(5) says of plugin virt, as roff."""
    if not MANUAL.exists():
        missing(str(MANUAL), "the package collectd-core, installed with its manual pages")
    text = gzip.decompress(MANUAL.read_bytes()).decode()
    found = re.search(r'\.SS "Plugin ""virt"""(.*?)\.SS "Plugin ""', text, re.DOTALL)
    assert found
    return found[1]


def test_each_option_and_selector_of_virt_is_in_the_table(manual: str) -> None:
    named = re.findall(r'^\.IP "\\fB(\w+)\\fR', manual, re.MULTILINE)
    options = {name for name in named if name[0].isupper()}
    selectors = {name for name in named if name[0].islower()}
    compiled = PLUGIN.read_bytes()
    assert {"Connection", "Instances"} <= options
    assert all(name.encode() + b"\0" in compiled for name in options | selectors)
    others = re.findall(rb"\0((?:[A-Z][a-z]+){2,}(?:NS|XPath)?)(?=\0)", compiled)
    assert {name.decode() for name in others} <= options, "virt.c knows no other"

    given = {"connection"}.union(*(given_options(block.options) for block in BLOCKS.values()))
    assert given >= {name.lower() for name in options} - {"extrastats"}
    assert set(SELECTORS.split()) | set(NOT_HERE) == selectors
    of_both = {name for name, option in COLLECTD_OPTIONS.items() if not option.ours}
    assert of_both == options


@pytest.fixture(scope="module")
def guests(_bed_of_all: Any) -> Iterator[None]:
    """Guests with hostile names, one that does not run, and two with OpenStack's metadata."""
    bed = _bed_of_all
    bed.ensure(8)
    first, other = (guest for guest in bed.guests if guest.name in (FIRST, OTHER))
    first.set_metadata(NOVA_11, INSTANCE.format(name="shop"), "nova")
    first.set_metadata(NOVA_10, INSTANCE.format(name="shop of old"), "old")
    other.set_metadata(NOVA_11, INSTANCE.format(name="other shop"), "nova")
    added = bed.add(*(Shape(name) for name in (*HOSTILE, "off")))
    added[-1].destroy()
    yield
    for guest in added:
        guest.remove()
    for guest in (first, other):
        for namespace in (NOVA_10, NOVA_11):
            guest.set_metadata(namespace, None)


class Side(NamedTuple):
    """One of the two plugins, at work."""

    collectd: Collectd
    notifications: Notifications

    def notices(self) -> set[Notice]:
        return set(self.notifications.received())

    def paused(self) -> set[Notice]:
        return {notice for notice in self.notices() if "is paused" in notice.message}

    def has_more_paused(self, others: set[Notice]) -> bool:
        return self.paused() > others


@pytest.mark.parametrize("name", BLOCKS)
def test_the_same_block_gives_the_same(
    bed: Any, guests: None, start: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    block = BLOCKS[name]
    options = f'{block.options}\nConnection "{bed.uri}"\n'
    if block.everything:
        options += f'ExtraStats "{SELECTORS}"\n'

    def side(name: str, plugins: str) -> Side:
        notifications = Notifications(tmp_path / f"of {name}")
        configuration = notifications.configuration(plugins)
        return Side(start(Collectd, configuration, INTERVAL, name=name), notifications)

    theirs = side("theirs", virt_plugin(options))
    ours = side("ours", python_plugin(f"{options}{block.ours}\nReportRound false"))
    for each in (theirs, ours):
        wait_for("three rounds", partial(each.collectd.has_rounds, 3))
    for guest in (each for each in bed.guests if each.name in (FIRST, OTHER)):
        notifies = [theirs, ours] if guest.name in block.guests else [theirs]
        before = [each.paused() for each in notifies]
        guest.pause()
        for each, others in zip(notifies, before):
            wait_for(f"a notice of {guest.name}", partial(each.has_more_paused, others))
        guest.resume()
    for each in (theirs, ours):
        so_far = max(map(len, each.collectd.series().values()))
        wait_for("four more rounds", partial(each.collectd.has_rounds, so_far + 4))
    for each in (theirs, ours):
        each.collectd.process.terminate()  # both at once, as each takes a while
    assert compared(theirs, ours, block) == []
    assert "Traceback" not in ours.collectd.log


def compared(theirs: Side, ours: Side, block: Block) -> list[str]:
    """What is not the same and has no explanation, in words."""
    their_series = by_data_source(theirs.collectd.series())
    our_series = by_data_source(ours.collectd.series())
    found = []
    for difference in block.differs:
        if difference in EXPLAINED:
            explained = {
                name
                for name in their_series.keys() ^ our_series.keys()
                if EXPLAINED[difference](name)
            }
            if not explained:
                found.append(f"{difference} does not show")
            for name in explained:
                their_series.pop(name, None)
                our_series.pop(name, None)
    slack = slack_of(our_series)
    # The guests were paused for a moment, which lies between two samples of the other.
    slack.update({name: math.inf for name in slack if "/domain_state" in name})
    found += differences(our_series, their_series, slack)
    found += [f"notified by ours alone: {each}" for each in ours.notices() - theirs.notices()]
    only_theirs = theirs.notices() - ours.notices()
    if "notices-of-others" not in block.differs:
        found += [f"notified by virt alone: {each}" for each in only_theirs]
    elif not only_theirs:
        found.append("virt notifies of selected domains alone")
    return found


def test_each_selector_alone_gives_the_same(bed: Any, start: Callable[..., Any]) -> None:
    """Each in a collectd of its own for virt, and all in one for ours, a block for each.

    They ask about different guests, so that none keeps another's guest busy in each round.
    """
    first = bed.ensure(8)
    running = [guest.name for guest in first if guest.nics and guest.name != PAUSED]
    asked = dict(zip(SELECTORS.split(), itertools.cycle(running)))
    options = {
        selector: f'Connection "{bed.uri}"\nDomain "{guest}"\nExtraStats "{selector}"\n'
        for selector, guest in asked.items()
    }
    apart = 'PluginInstanceFormat "hostname"\nReportRound false\n'
    blocks = [f'{options[each]}{apart}Hostname "of-{each}"' for each in asked]
    ours = start(Collectd, python_plugin(*blocks), name="ours")
    theirs = {each: start(Collectd, virt_plugin(options[each]), name=each) for each in asked}
    for each in (ours, *theirs.values()):
        wait_for("five rounds", partial(each.has_rounds, 5))
    for each in (ours, *theirs.values()):
        each.process.terminate()  # all at once, as each takes a second
    all_of_ours = ours.series()
    for selector in asked:
        instance = f"/virt-of-{selector}/"
        found = by_data_source(
            {
                name.replace(instance, "/virt/"): rows
                for name, rows in all_of_ours.items()
                if instance in name
            }
        )
        virts = by_data_source(theirs[selector].series())
        assert differences(found, virts, slack_of(found)) == [], selector
