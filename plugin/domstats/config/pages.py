"""The ready configurations and docs/options.md, made from the option table.

``python -m domstats.config.pages`` in the project's root writes the files anew, and a test holds
them and this module together. It must not know what any option does.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .options import OPTIONS, Kind, Option
from .settings import Settings

#: Where Telegraf's part expects the settings.
TOML_PATH = "/etc/telegraf/domstats.toml"
#: Characters in a line of a ready configuration.
WIDTH = 96


def default(option: Option) -> str:
    """What counts without the option, for people."""
    if option.default is not None:
        return option.default
    return _words(_default_value(option))


def _default_value(option: Option) -> Any:
    value = getattr(Settings(), option.key)
    if isinstance(value, frozenset):
        return tuple(word for word in option.allowed if word in value)
    return value


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown_value(option: Option) -> Any:
    """What the commented line of a ready configuration sets."""
    if option.example is not None:
        return option.example
    if option.default is None:
        return _default_value(option)
    return {"true": True, "false": False}.get(option.default, option.default)


# --- Telegraf -----------------------------------------------------------------------------------


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, str):  # what JSON escapes, and how, is TOML too
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def telegraf_toml() -> str:
    """The settings file of the execd child."""
    lines = [
        *_comment(
            "Settings of domstats for Telegraf, which starts domstats by inputs.execd; its part is"
            " what `domstats config telegraf --execd` prints. This file says what is sampled. It"
            " takes the [[inputs.libvirt]] table of Telegraf's own plugin, with all its options."
            " Each table is one hypervisor; write several for several. What Telegraf itself does"
            " with metrics (tags, namepass, ...) is set on [[inputs.execd]].",
            "## ",
        ),
        "",
        "[[inputs.libvirt]]",
    ]
    for option in OPTIONS:
        if option.telegraf:
            lines += _explained(option, "  ## ")
            lines += _assignment(f"  # {option.telegraf} = ", _shown_value(option))
            lines.append("")
    return "\n".join(lines)


def _assignment(head: str, value: Any) -> list[str]:
    line = head + _toml(value)
    if len(line) <= WIDTH:
        return [line]
    indent = "  #   "
    inside = textwrap.wrap(
        _toml(value)[1:-1], WIDTH, initial_indent=indent, subsequent_indent=indent
    )
    return [head + "[", *inside, "  # ]"]


def telegraf_execd(
    command: Sequence[str] = ("domstats",), python_path: Sequence[str] = ()
) -> str:
    """What goes into Telegraf's own configuration.

    :param command: the words that start domstats.
    :param python_path: folders that its interpreter has to be told of.
    """
    words = _toml((*command, "telegraf", "--config", TOML_PATH))
    path = _toml(("PYTHONPATH=" + ":".join(python_path),))
    return f"""\
## Telegraf's part of domstats: put it into /etc/telegraf/telegraf.d/.
[[inputs.execd]]
  ## What is sampled is set in this file; `domstats config telegraf` prints one to start from.
  command = {words}
{_PYTHON_PATH.format(path) if python_path else ""}
  ## A round at each of Telegraf's intervals. (With "none" and "--interval", "10s" at the end of
  ## the command, domstats paces itself.)
  signal = "STDIN"

  ## How long Telegraf waits before it starts domstats again, should it ever end.
  restart_delay = "10s"

  ## Telegraf rounds the times of its own plugins to the second, and those of a child not. With this
  ## line both are alike, up to half a second early or late. What comes more than once in a second
  ## has one time then, and a database keeps the last of it only: rounds of a fast_interval below
  ## one second, and events of a kind and domain.
  # precision = "1s"

  data_format = "influx"
"""


_PYTHON_PATH = """
  ## Where domstats and what it needs lie: its interpreter does not look there by itself.
  environment = {}
"""


# --- collectd -----------------------------------------------------------------------------------


def _collectd(option: Option, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if option.kind is Kind.PERIODS:  # a line for each
        ((group, seconds),) = value.items()
        return f'"{group}" {seconds:g}'
    if option.key == "extra_stats":
        value = " ".join(value)
    texts = (value,) if isinstance(value, str) else value
    return " ".join(f'"{text}"' for text in texts)


def collectd_conf(module_paths: Sequence[str] = ()) -> str:
    """The file for collectd.conf.d.

    :param module_paths: folders that collectd's Python has to be told of, the most important last.
    """
    lines = [
        *_comment(
            "domstats in collectd, in place of <Plugin virt>, whose options it takes as they are:"
            " put it into /etc/collectd/collectd.conf.d/, and remove or comment out LoadPlugin"
            " virt.",
            "## ",
        ),
        "LoadPlugin python",
        "",
        "<Plugin python>",
        *_comment(
            "Where domstats is installed, if not where the system's Python looks by itself.",
            "  ## ",
        ),
        *(f"  ModulePath {_quoted(path)}" for path in module_paths),
        *([] if module_paths else [_MODULE_PATH]),
        '  Import "domstats.collectd_plugin"',
        "",
        *_comment("Each Module block is one hypervisor; write several for several.", "  ## "),
        '  <Module "domstats.collectd_plugin">',
    ]
    for option in OPTIONS:
        if option.collectd:
            lines += _explained(option, "    ## ")
            head = "    " if option.key == "uri" else "    #"
            lines += [f"{head}{option.collectd} {_collectd(option, _shown_value(option))}", ""]
    lines[-1:] = ["  </Module>", "</Plugin>", ""]
    return "\n".join(lines)


_MODULE_PATH = '  #ModulePath "/opt/domstats/lib/python3/site-packages"'


def _quoted(text: str) -> str:
    """A text as collectd's scanner takes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- Both ---------------------------------------------------------------------------------------


def _comment(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=head,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _explained(option: Option, head: str) -> Iterator[str]:
    yield from _comment(option.text, head)
    yield from _comment(f"Allowed: {option.permitted()}. Default: {default(option)}.", head)


_PAGE = """\
# Options

<!-- Generated by `python -m domstats.config.pages`; change config/options.py instead. -->

Every option, in both agents' vocabularies. The ready files with the same explanations:
`domstats config collectd` and `domstats config telegraf` print them. Options marked with + are
our own; the others are those of collectd's `<Plugin virt>` and of Telegraf's `[[inputs.libvirt]]`.

A wrong value, an unknown option, an unreadable file are told in one line that names the file, the
table or block, the option, the value seen and what is allowed; all mistakes of a file or block are
told at once, each in a line of its own. `domstats` then ends with status 2; in collectd, the block
with the mistakes is not sampled, and the others are. `collectd -T` ends with status 1 for a
mistake, for a `<Module>` block that does not reach domstats, and if a hypervisor cannot be sampled.
(`collectd -t` of 5.12 reads no configuration at all, and is always content.)

## Telegraf

The file given with `domstats telegraf --config FILE` is TOML with one `[[inputs.libvirt]]` table
for each hypervisor. Times are seconds, or texts as `500ms`, `10s` and `1m30s`. Options that
Telegraf itself acts on for every plugin (`alias`, `tags`, `namepass`, …) belong on
`[[inputs.execd]]` in Telegraf's configuration, and are refused here; only `interval` has a
meaning of its own.

Variables of the environment are replaced in texts as Telegraf 1.38 and later replace them in its
own tables: `"${NAME}"`, `"$NAME"`, `"${NAME:-default}"`, `"${NAME:?message}"` and so on, within
quotes; numbers and true or false may be such texts. `$$` is a plain `$`; a `$` that begins no name,
as at the end of a regular expression, stays. A variable that is not set is told, and nothing is
sampled; Telegraf itself would take its name literally. The environment is Telegraf's own
(`/etc/default/telegraf`), with what `environment` on `[[inputs.execd]]` adds.

"""

_COLLECTD_PART = """
## collectd

One `<Module "domstats.collectd_plugin">` block for each hypervisor. Names of options and words
are not case-sensitive. `HostnameFormat` and its like take several words as several values or in
one text. Of an option that is given twice the last counts, but for `Domain`, `BlockDevice`,
`InterfaceDevice`, `ExtraStats` and `Every`, whose lines add up.

"""

_LAST_PART = """
### Regular expressions

An entry between slashes is a regular expression of Python's, and matches anywhere in the name
(or in `domain:device`), of which it sees the first 4,096 characters. collectd's own are POSIX
extended ones. `[[:digit:]]` and its like and the word borders `\\<` and `\\>` are translated.
What stays different: a backslash inside brackets escapes (POSIX: it stands for itself), and `\\d`,
`(?…)` and lazy repeats as `.*?` have a meaning (POSIX: none).
"""


def options_page() -> str:
    """docs/options.md."""
    return "".join(
        (
            _PAGE,
            _table((o for o in OPTIONS if o.telegraf), lambda option: option.telegraf),
            _COLLECTD_PART,
            _table((o for o in OPTIONS if o.collectd), lambda option: option.collectd),
            _LAST_PART,
        )
    )


def _table(options: Iterable[Option], name: Callable[[Option], str]) -> str:
    rows = ["| Option | Allowed | Default | What it does |", "| --- | --- | --- | --- |"]
    for option in options:
        cells = (
            f"`{name(option)}`" + ("+" if option.ours else ""),
            option.permitted() + (f": {option.reason}" if option.reason else ""),
            default(option),
            option.text,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


#: The generated files by their path in the project.
FILES: Mapping[str, Callable[[], str]] = {
    "telegraf/domstats.toml": telegraf_toml,
    "telegraf/domstats.conf": telegraf_execd,
    "collectd.conf.d/domstats.conf": collectd_conf,
    "docs/options.md": options_page,
}


def write_files(root: Path) -> None:
    """Write the generated files below ``root``, the project's own folder."""
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write_files(Path.cwd())
