"""The collectd that has loaded us, and what its configuration says beside our own blocks.

collectd hands a plugin neither its own command line, nor the file and line of a block, nor what
else is loaded. All of it is read here, once, and only to tell the user something or to know a
default of collectd's: where it cannot be read, nothing is said. It must not know collectd's module.
"""

from __future__ import annotations

import difflib
import getopt
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigError
from ..shown import one_line

if TYPE_CHECKING:
    from ..config.collectd_conf import CollectdConf, Node
    from ..config.settings import Settings

#: collectd's options, for getopt(3).
_OPTIONS = "BhtTfC:P:"
#: The path of the configuration file that is compiled into collectd.
_COMPILED_IN = re.compile(rb"\0(/[!-~]+\.conf)\0")


class Daemon(NamedTuple):
    """How collectd was started.

    :param configuration: the path of its configuration file; empty if it is not known.
    :param folder: where it was started, from which its relative paths begin.
    :param tests: it tests the configuration (``-t`` or ``-T``) and then ends.
    """

    configuration: str = ""
    folder: str = ""
    tests: bool = False


def this_daemon(proc: str = "/proc/self") -> Daemon:
    """How this process was started, to be called before collectd goes to its BaseDir."""
    try:
        with open(f"{proc}/cmdline", "rb") as file:
            words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
        folder = os.getcwd()
    except OSError:
        return Daemon()
    try:
        given = getopt.gnu_getopt(words[1:], _OPTIONS)[0]
    except getopt.GetoptError:  # this is no collectd
        return Daemon()
    named = [value for option, value in given if option == "-C"]
    return Daemon(
        configuration=named[-1] if named else _compiled_in(f"{proc}/exe"),
        folder=folder,
        tests=any(option in ("-t", "-T") for option, _ in given),
    )


def _compiled_in(program: str) -> str:
    try:
        with open(program, "rb") as file:
            found = _COMPILED_IN.search(file.read())
    except OSError:
        return ""
    return os.fsdecode(found.group(1)) if found else ""


def has_loaded(plugin: str, proc: str = "/proc/self") -> bool:
    """Whether this process has loaded one of collectd's plugins written in C."""
    try:
        with open(f"{proc}/maps", "rb") as file:
            return any(line.endswith(f"/{plugin}.so\n".encode()) for line in file)
    except OSError:
        return False


class Configuration:
    """The whole configuration of a collectd, read when something of it is first asked for."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._conf: CollectdConf | None = None
        self._is_read = False

    @property
    def conf(self) -> CollectdConf | None:
        """None if it cannot be read."""
        if not self._is_read:
            self._is_read = True
            if self._daemon.configuration:
                from ..config.collectd_conf import read

                try:
                    self._conf = read(self._daemon.configuration, self._daemon.folder)
                except (ConfigError, OSError, ValueError, RecursionError):
                    self._conf = None  # collectd, which has taken it, sees another file than we
        return self._conf

    @property
    def read_threads(self) -> int:
        """In how many threads collectd reads; its default where that is not known."""
        from ..config.collectd_conf import READ_THREADS

        return self.conf.read_threads if self.conf else READ_THREADS

    def place(self, module: str, number: int, block: Any) -> str:
        """File and line of a ``<Module>`` block; empty if that cannot be found out.

        :param number: which one it is of the blocks that collectd hands to the module, from 1.
        :param block: collectd's Config object. Its content decides: the file may have changed.
        """
        blocks = self.conf.blocks(module) if self.conf else []
        equal = [node for node in blocks if _same(node, block)]
        if blocks[number - 1 : number] and blocks[number - 1] in equal:
            return blocks[number - 1].place
        return equal[0].place if len(equal) == 1 else ""

    def misnamed(self, module: str) -> list[str]:
        """Messages about ``<Module>`` blocks that are meant for a module and do not reach it."""
        if self.conf is None:
            return []
        imported = {name.lower() for name in self.conf.imported}
        told: list[str] = []
        for node, ignored in self.conf.modules:
            names = [value for value in node.values if isinstance(value, str)]
            name = ".".join(names)
            if ignored and _resembles(name, module) and name.lower() not in imported - {module}:
                told.append(
                    f'{node.place}: collectd ignores the block <Module "{one_line(name, 80)}">,'
                    f" since {ignored}: what it configures is not sampled. Write <Module"
                    f' "{module}">, below Import "{module}"'
                )
        return told

    def beside(self, ours: Iterable[Settings]) -> str:
        """A message about collectd's plugin virt, if it sends the same as one of ours does.

        :param ours: those that are sampled.
        """
        where = ""
        theirs: Settings | None = None
        if self.conf is not None:
            loaded = self.conf.loaded.get("virt")
            where = f" ({loaded.place})" if loaded else ""
            theirs = _settings_of_virt(self.conf)
        uris = [each.uri for each in ours if theirs is None or _identifiers_meet(each, theirs)]
        if not uris:
            return ""
        return (
            f"collectd's plugin virt is loaded too{where}. Both send the domains of"
            f" {one_line(uris[0], 200)} under the same identifiers: rates are wrong, and collectd"
            ' drops values and logs "Value too old" for each. Remove LoadPlugin virt, or the Import'
            " of this plugin. To compare the two, set PluginInstanceFormat in the Module block to"
            " another than that of virt"
        )


def _same(node: Node, block: Any) -> bool:
    """Whether a node and a Config object of collectd's hold the same."""
    return (
        node.key == block.key
        and node.values == tuple(block.values)
        and len(node.children) == len(block.children)
        and all(_same(*pair) for pair in zip(node.children, block.children))
    )


def _resembles(name: str, module: str) -> bool:
    """Whether somebody who wrote a name may have meant a module."""
    letters = re.sub("[^a-z]", "", name.lower())
    meant = re.sub("[^a-z]", "", module.lower())
    package = module.partition(".")[0]
    return (
        package in letters
        or (len(letters) > len(package) and letters in meant)
        or difflib.SequenceMatcher(None, letters, meant).ratio() > 0.8
    )


def _settings_of_virt(conf: CollectdConf) -> Settings | None:
    """What virt is set to: its vocabulary is ours. None where that cannot be said."""
    from ..config.collectd import parse_collectd
    from ..config.collectd_conf import Node

    blocks: list[Node] = [
        node
        for node in conf.nodes
        if node.key.lower() == "plugin" and node.values[:1] in (("virt",), ("libvirt",))
    ]
    options = tuple(child for node in blocks for child in node.children)
    try:
        return parse_collectd(Node("Plugin", ("virt",), options, "", 0), "virt").settings[0]
    except ConfigError:
        return None


def _identifiers_meet(one: Settings, other: Settings) -> bool:
    """Whether two that sample the same domain would send the same identifiers."""
    return (one.uri, one.hostname_format, one.plugin_instance_format) == (
        other.uri,
        other.hostname_format,
        other.plugin_instance_format,
    )
