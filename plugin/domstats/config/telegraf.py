"""Telegraf's vocabulary: a TOML file with ``[[inputs.libvirt]]`` tables in, ``Settings`` out.

Which options there are says the table in ``options``. It must know neither libvirt nor threads.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..domain_xml.labels import LABELS, Label, check_namespaces, known, of_operator
from ..errors import ConfigError, Mistakes
from ..selection import Entries, Selection, domain_entries, entries_with_globs
from ..shown import one_line, shown
from .environment import replaced
from .options import OPTIONS, TELEGRAF_GENERIC, TELEGRAF_GROUPS, TELEGRAF_OPTIONS, Kind, Option
from .settings import Given, Parsed, Settings, advice_on, as_fields, check_times, share_budget
from .values import CONVERT, NUMBER, did_you_mean, to_seconds, to_uri

#: A variable that is a value, and not in quotes.
_BARE = re.compile(rb"=\s*\$")
_TABLE = "[[inputs.libvirt]]"
#: What the series telegraf does not have, and the value that switches it off.
_FULL_SERIES_ONLY: Mapping[str, object] = {
    "labels": (),
    "events": (),
    "rates": False,
    "jobs": False,
    "host": False,
    "totals": frozenset(),
}


def _telegraf_name(key: str) -> str:
    return next((option.telegraf for option in OPTIONS if option.key == key), key)


def read_telegraf(
    path: str,
    reserved: frozenset[str] = frozenset(),
    environment: Mapping[str, str] = os.environ,
) -> Parsed:
    """The hypervisors of a TOML file with ``[[inputs.libvirt]]`` tables.

    :param reserved: names that labels cannot have.
    :param environment: what variables in its texts stand for.
    :raises ConfigError: it cannot be read, or something in it is wrong.
    """
    return parse_telegraf(content_of(path), path, reserved, environment)


def content_of(path: str) -> bytes:
    """A configuration file's content.

    :raises ConfigError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as exc:
        raise ConfigError(
            f"{one_line(path)}: cannot be read: {exc.strerror}; is the path right, and may this"
            f" user read it?"
        ) from None
    except ValueError:  # a NUL in the path
        raise ConfigError(f"{one_line(path)}: cannot be read: no such path") from None


def parse_telegraf(
    content: bytes,
    source: str,
    reserved: frozenset[str] = frozenset(),
    environment: Mapping[str, str] = os.environ,
) -> Parsed:
    """The same from the file's content.

    :param source: what messages call the file.
    :param reserved: names that labels cannot have.
    :param environment: what variables in its texts stand for.
    :raises ConfigError: something in it is wrong.
    """
    source = one_line(source)
    mistakes = Mistakes()
    tables = _tables(document_of(content, source), source, mistakes)
    hypervisors: list[Settings] = []
    notes: list[str] = []
    for number, table in enumerate(tables, 1):
        where = f"{source}: {_TABLE} table {number}"
        settings = Settings()
        with mistakes.at(f"{where}, "):
            settings = from_table(table, reserved, environment)
        for option, nothing in _FULL_SERIES_ONLY.items():
            if settings.series == "telegraf" and _is_sent(settings, option):
                notes.append(
                    f"{where}, option {option}: it has no effect with series telegraf"
                )
                if option == "labels":  # some may be needed to choose domains
                    nothing = tuple(_of(settings.labels, settings.selection.labels))
                    names = frozenset(label.name for label in nothing)
                    settings = msgspec.structs.replace(settings, unsent_labels=names)
                settings = msgspec.structs.replace(settings, **{option: nothing})
        notes.extend(f"{where}, {text}" for text in advice_on(settings, _telegraf_name))
        hypervisors.append(settings)
    mistakes.end()
    hypervisors, shared = share_budget(hypervisors)
    return Parsed(hypervisors, notes + [f"{source}: {text}" for text in shared])


def for_uri(uri: str) -> Settings:
    """Telegraf's defaults for a hypervisor.

    :raises ConfigError: this is no connection URI.
    """
    return Settings(uri=to_uri(TELEGRAF_OPTIONS["libvirt_uri"], uri))


def seconds(text: str) -> float:
    """A time as ``10``, ``0.5``, ``500ms`` or ``1m30s``, as an interval may be.

    :raises ConfigError: it is none.
    """
    return to_seconds(TELEGRAF_OPTIONS["interval"], text)


def document_of(content: bytes, source: str) -> dict[str, Any]:
    """A TOML file's content.

    :param source: what messages call the file.
    :raises ConfigError: it is not TOML.
    """
    from msgspec import toml  # collectd does without

    if content.startswith(codecs.BOM_UTF8):
        content = content[len(codecs.BOM_UTF8) :]
    try:
        decoded = toml.decode(content)
    except msgspec.DecodeError as exc:
        hint = "; variables stand in quotes, as \"${NAME}\"" if _BARE.search(content) else ""
        raise ConfigError(f"{source}: is not TOML: {one_line(str(exc), 200)}{hint}") from None
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{source}: is not TOML: line {line} is not UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{source}: is not TOML: nested too deeply") from None
    except ImportError:
        raise ConfigError(
            f"{source}: cannot be read: Python before 3.11 needs tomli (pip install tomli)"
        ) from None
    assert isinstance(decoded, dict)
    return decoded


def _tables(document: dict[str, Any], source: str, mistakes: Mistakes) -> list[dict[str, Any]]:
    """The tables, whatever else the file holds, which is a mistake.

    :raises ConfigError: there is none.
    """
    for key in document:
        with mistakes.at():
            if key != "inputs":
                raise ConfigError(
                    f"{source}: found {shown(key)}, allowed are {_TABLE} tables only: this file is"
                    " domstats's own, Telegraf's settings stay in telegraf.conf"
                )
    inputs = document.get("inputs", {})
    for key in inputs if isinstance(inputs, dict) else ():
        with mistakes.at():
            if key != "libvirt":
                raise ConfigError(
                    f"{source}: found inputs.{shown(key)}, allowed are {_TABLE} tables"
                )
    tables = inputs.get("libvirt", []) if isinstance(inputs, dict) else inputs
    if isinstance(tables, dict):  # [inputs.libvirt], which Telegraf takes too
        tables = [tables]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{source}: found {shown(tables)}, allowed are {_TABLE} tables")
    if not tables:
        mistakes.end()
        raise ConfigError(
            f"{source}: has no {_TABLE} table; write one, it may be empty"
            " (domstats config telegraf prints an example)"
        )
    return tables


def from_table(
    table: Mapping[str, Any],
    reserved: frozenset[str] = frozenset(),
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of one hypervisor in Telegraf's vocabulary.

    :param reserved: names that labels cannot have.
    :param environment: what variables in texts stand for; None: texts are taken as they are.
    :raises ConfigError: an option is unknown or its value wrong.
    """
    mistakes = Mistakes()
    given: Given = {}
    for key, value in table.items():
        option = TELEGRAF_OPTIONS.get(key)
        with mistakes.at():
            if option is None:
                raise _unknown_in_telegraf(key)
        if option is None:
            continue
        with mistakes.at(f"option {key}: "):
            if environment is not None:
                value = _of_environment(option, value, environment)
            if option.key == "label_names" and isinstance(value, dict):
                raise ConfigError(_LABELS_TABLE)
            if option.key != "uri" or value != "":  # which is how Telegraf says: the default
                given[option.key] = CONVERT[option.kind](option, value)
    if "label_namespaces" in table and "label_namespaces" not in given:
        given.pop("label_xpath", None)  # its prefixes are not known
    settings = Settings()
    with mistakes.at():
        settings = _of_given(given, reserved)
    mistakes.end()
    return settings


#: What Telegraf 1.37 and later have under the name of an option of ours.
_LABELS_TABLE = (
    "found a table, by which Telegraf's --select chooses plugins, allowed is that on"
    " [[inputs.execd]], as [inputs.execd.labels] in Telegraf's own configuration; labels here are a"
    f" list of texts from the domains' metadata, any of {', '.join(LABELS)}"
)


def _of_environment(option: Option, value: Any, environment: Mapping[str, str]) -> Any:
    """A value with the values of its variables, as Telegraf replaces them: in texts only.

    Telegraf's own table has neither numbers nor flags. A text that is a variable's counts as one.

    :raises ConfigError: a variable is not set.
    """
    mistakes = Mistakes()
    found = _replaced(value, environment, mistakes)
    mistakes.end()
    if isinstance(value, str) and found != value:
        if option.kind is Kind.COUNT and NUMBER.fullmatch(found):
            return int(found) if "." not in found else found
        if option.kind is Kind.FLAG:
            return {"true": True, "false": False}.get(found, found)
    return found


def _replaced(value: Any, environment: Mapping[str, str], mistakes: Mistakes) -> Any:
    if isinstance(value, list):
        return [_replaced(each, environment, mistakes) for each in value]
    if isinstance(value, dict):
        return {key: _replaced(each, environment, mistakes) for key, each in value.items()}
    if isinstance(value, str) and "$" in value:
        with mistakes.at():
            return replaced(value, environment)
    return value


def _of_given(given: Given, reserved: frozenset[str]) -> Settings:
    """:raises ConfigError: options that are right each for itself do not go together."""
    mistakes = Mistakes()
    groups = set(given.get("statistics_groups", TELEGRAF_GROUPS))
    if given.get("kvm_statistics"):
        groups.add("vm")
    additional = given.get("additional_statistics", ())
    with mistakes.at():
        if not groups and not additional:
            raise ConfigError(
                "option statistics_groups: found [], allowed is an empty list only with"
                " additional_statistics, for else there is nothing to gather"
            )
    labels: tuple[Label, ...] = ()
    with mistakes.at():
        labels = _labels(given, reserved)
    selection = Selection()
    with mistakes.at():
        selection = _selection(given, {*LABELS, *given.get("label_xpath", ())})
    sent = frozenset(label.name for label in labels)
    with mistakes.at("option domains: "):
        labels += tuple(known(name) for name in sorted(selection.labels - sent) if name in LABELS)
    settings = Settings(
        **as_fields(given),
        groups=frozenset(groups),
        vcpu_mapping="vcpu_mapping" in additional,
        selection=selection,
        labels=labels,
        unsent_labels=selection.labels - sent,
    )
    with mistakes.at():
        check_times(settings, _telegraf_name)
    mistakes.end()
    return settings


#: The lists, by option: the list of ``Selection`` that it is, and whether it leaves out.
_LISTS: Mapping[str, tuple[str, bool]] = {
    "domain_names": ("domains", False),
    "domains_exclude": ("other_domains", True),
    "block_devices": ("block_devices", False),
    "block_devices_exclude": ("other_block_devices", True),
    "interface_devices": ("interface_devices", False),
    "interface_devices_exclude": ("other_interface_devices", True),
    "fields_include": ("fields", False),
    "fields_exclude": ("other_fields", True),
}


def _selection(given: Given, labels: Collection[str]) -> Selection:
    """:raises ConfigError: an entry of a list is wrong."""
    mistakes = Mistakes()
    lists: dict[str, Entries] = {}
    for key, (name, ignored) in _LISTS.items():
        texts = given.get(key, ())
        if not texts:
            continue
        with mistakes.at(f"option {_telegraf_name(key)}: "):
            if "domain" in name:
                lists[name] = domain_entries(texts, sorted(labels), ignored)
            elif "fields" in name:
                lists[name] = entries_with_globs(map(_field_entry, texts), ignored)
            else:
                lists[name] = entries_with_globs(texts, ignored)
    mistakes.end()
    return Selection(**lists)


def _field_entry(text: str) -> str:
    """An entry for a field, with its measurement."""
    is_expression = text.startswith("/") and text.endswith("/")
    return text if is_expression or ":" in text or not text else f"*:{text}"


def _is_sent(settings: Settings, option: str) -> bool:
    """Whether something that an option asks for would be sent."""
    if option == "labels":
        return any(label.name not in settings.unsent_labels for label in settings.labels)
    return bool(getattr(settings, option))


def _of(labels: Iterable[Label], names: Collection[str]) -> Iterator[Label]:
    return (label for label in labels if label.name in names)


def _labels(given: Given, reserved: frozenset[str]) -> tuple[Label, ...]:
    mistakes = Mistakes()
    labels: list[Label] = []
    with mistakes.at("option labels: "):
        labels += [known(name) for name in given.get("label_names", ())]
    namespaces = given.get("label_namespaces", {})
    for prefix, uri in namespaces.items():
        with mistakes.at("option label_namespaces: "):
            check_namespaces({prefix: uri})
    mistakes.end()  # a prefix may be missing for that reason only
    for name, xpath in given.get("label_xpath", {}).items():
        with mistakes.at("option label_xpath: "):
            labels.append(_label(name, xpath, namespaces, reserved))
    mistakes.end()
    return tuple(labels)


def _label(
    name: str, xpath: str, namespaces: Mapping[str, str], reserved: frozenset[str]
) -> Label:
    try:
        if name in reserved:
            raise ConfigError(
                f"found a label {shown(name)}, allowed is a name that no other tag or field has"
            )
        return of_operator(name, xpath, namespaces)
    except ConfigError as exc:
        raise ConfigError(f"{exc} (label {shown(name)})") from None


def _unknown_in_telegraf(key: str) -> ConfigError:
    if key in TELEGRAF_GENERIC:
        return ConfigError(f"option {key}: found here, allowed is {TELEGRAF_GENERIC[key]}")
    near = did_you_mean(key, list(TELEGRAF_OPTIONS))
    return ConfigError(
        f"option {shown(key)}: there is no such option"
        + (f", {near}" if near else f", allowed are {', '.join(TELEGRAF_OPTIONS)}")
    )
