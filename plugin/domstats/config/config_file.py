"""The hypervisors of a configuration file, whichever agent it is for.

Telegraf's is TOML; collectd's is read with all that it includes. It must not know what becomes of
the settings, and starts nothing.
"""

from __future__ import annotations

import re

from ..errors import ConfigError, Mistakes
from ..shown import one_line, shown
from . import collectd_conf
from .collectd import MODULE, from_nothing, parse_collectd
from .settings import Parsed, Settings, share_budget
from .telegraf import content_of, parse_telegraf

#: The first line with something in it, of a TOML file: a table, or a key with its value.
_TOML = re.compile(r"""\s*(?:\[|[\w."'-]+\s*=)""")


def read(path: str, reserved: frozenset[str] = frozenset()) -> Parsed:
    """The hypervisors that an agent samples with this configuration, and warnings.

    :param path: of a TOML file for domstats under Telegraf, or of collectd's configuration.
    :param reserved: names that labels cannot have.
    :raises ConfigError: it cannot be read, or with all mistakes that are in it.
    """
    content = content_of(path)
    if is_toml(content):
        return parse_telegraf(content, path, reserved)
    return _of_collectd(collectd_conf.read(path), path)


def is_for_collectd(path: str) -> bool:
    """Whether a configuration is collectd's, not that of Telegraf's child.

    :raises ConfigError: it cannot be read.
    """
    return not is_toml(content_of(path))


def is_toml(content: bytes) -> bool:
    """Whether a configuration is TOML, not collectd's. One with nothing in it counts as TOML."""
    text = content.decode("utf-8-sig", "replace")
    lines = (line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")
    first = next(lines, "[")
    return _TOML.match(first) is not None


def _of_collectd(conf: collectd_conf.CollectdConf, path: str) -> Parsed:
    if MODULE not in conf.imported:
        raise ConfigError(
            f"{one_line(path)}: has no Import {MODULE!r} in a <Plugin python> block after"
            " LoadPlugin python, so that collectd does not start domstats with it;"
            " `domstats config collectd` prints what does"
        )
    hypervisors: list[Settings] = []
    notes: list[str] = []
    mistakes = Mistakes()
    for node, ignored in conf.modules:
        if ignored and "domstats" in node.text.lower():
            notes.append(f"{node.place}: collectd ignores <Module {shown(node.text)}>: {ignored}")
    blocks = conf.blocks(MODULE)
    for block in blocks:
        with mistakes.at():
            parsed = parse_collectd(block, f"{block.place}, Module {MODULE}")
            hypervisors += parsed.settings
            notes += parsed.warnings
    mistakes.end()
    if not blocks:  # as with LoadPlugin virt alone
        hypervisors += from_nothing().settings
    hypervisors, shared = share_budget(hypervisors)
    return Parsed(hypervisors, [*notes, *shared])
