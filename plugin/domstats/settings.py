"""What a user has set: a configuration of either agent in, ``Settings`` of each hypervisor out.

Which options there are, and what they may hold, says the table in ``options``; here are the two
parsers that read it. They must know neither libvirt nor threads, and never start anything.
"""

from __future__ import annotations

import codecs
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple, Union
from urllib.parse import urlsplit

import msgspec

from .environment import replaced
from .errors import ConfigError, Mistakes
from .labels import (
    LABELS,
    METADATA_NAMESPACE,
    METADATA_XPATH,
    Label,
    check_namespaces,
    known,
    of_metadata,
    of_operator,
)
from .model import FAST_GROUPS, MONITOR_FREE_GROUPS
from .options import (
    EXTRA_STATS_LATER,
    OPTIONS,
    SAFE_BUDGET,
    TELEGRAF_GENERIC,
    TELEGRAF_GROUPS,
    Kind,
    Option,
)
from .selection import ALL, Entries, Selection, entries
from .shown import one_line, shown


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that is set for one hypervisor. The defaults are those of Telegraf's vocabulary.

    :param uri: libvirt's connection URI.
    :param groups: the stats groups that have to be asked, and no others.
    :param direct: groups of which a few facts (of ``model.FACTS``) are all that is needed: they are
        asked for by calls of each domain's own that need no monitor, not in bulk.
    :param every: by group that not every round is to ask for: the seconds between two that do.
    :param idle_refresh: seconds after which a group that had nothing to tell of a domain is asked
        for again.
    :param vcpu_mapping: whether to ask which physical CPUs each vCPU may run on.
    :param kvm_statistics: whether the KVM statistics of the groups vcpu and vm are passed on.
    :param inactive: whether domains that are defined and not started are listed too.
    :param wants_devices: whether facts of the domains' XML are needed (MAC addresses).
    :param interval: seconds between rounds, as far as the agent does not say otherwise.
    :param fast_interval: seconds between rounds of the fast lane; None if there is none.
    :param interval_fixed: the user said that interval; else it is only a first guess.
    :param deadline: seconds after which a round ends with what it has; None: 0.9 of the interval.
    :param soft_deadline: seconds after which a call is taken for stuck; None: learned.
    :param stuck_budget: stuck calls at most before safe mode.
    :param quarantine_groups: what domains that do not answer are asked for.
    :param events: the kinds of events that are told.
    :param labels: what to take from the domains' metadata.
    :param label_refresh: seconds after which it is read again where no events tell of changes.
    """

    uri: str = "qemu:///system"
    groups: frozenset[str] = frozenset(TELEGRAF_GROUPS)
    direct: Mapping[str, frozenset[str]] = {}
    every: Mapping[str, float] = {}
    idle_refresh: float = 60.0
    vcpu_mapping: bool = False
    kvm_statistics: bool = False
    inactive: bool = True
    selection: Selection = ALL
    wants_devices: bool = False

    lanes: int = 4
    chunk_size: int = 64
    interval: float = 10.0
    fast_interval: float | None = None
    interval_fixed: bool = False
    deadline: float | None = None
    soft_deadline: float | None = None
    stuck_budget: int = 6
    quarantine_groups: frozenset[str] = MONITOR_FREE_GROUPS
    process_watch: bool = True
    storage_watch: bool = True
    occupancy_watch: bool = True
    labels: tuple[Label, ...] = ()
    label_refresh: float = 300.0

    # Telegraf's output
    series: str = "full"
    events: tuple[str, ...] = ()

    # collectd's output
    hostname_format: tuple[str, ...] = ("name",)
    plugin_instance_format: tuple[str, ...] = ()
    interface_format: str = "name"
    block_device_format: str = "target"
    block_device_format_basename: bool = False
    report_block_devices: bool = True
    report_network_interfaces: bool = True
    extra_stats: frozenset[str] = frozenset()
    report_round: bool = True
    hostname: str = ""


def is_remote(uri: str) -> bool:
    """Whether a hypervisor is asked over a network, as far as its URI tells."""
    parts = urlsplit(uri)
    return bool(parts.hostname) or parts.scheme.partition("+")[2] not in ("", "unix")


def is_local(uri: str) -> bool:
    """Whether a hypervisor's guests are processes of this host, as far as its URI tells."""
    return not is_remote(uri) and urlsplit(uri).scheme.partition("+")[0] != "test"


class Parsed(NamedTuple):
    """The hypervisors of a configuration, and what its writer should hear of."""

    settings: list[Settings]
    warnings: list[str]


# --- From raw values to checked ones ------------------------------------------------------------

_URI = re.compile(
    r"[a-z][a-z0-9.\-]*"  # driver
    r"(?:\+([a-z0-9]+))?"  # transport
    r"://(?:([^/?#@]*)@)?"  # user
    r"[^/?#@\s]*"  # host and port
    r"(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_TRANSPORTS = ("unix", "ssh", "libssh", "libssh2", "tcp", "tls", "ext")
_DURATION = re.compile(r"(?:[0-9.]+(?:ns|us|µs|ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0
}  # fmt: skip


def _wrong(option: Option, value: object, why: str = "") -> ConfigError:
    return ConfigError(
        f"found {shown(value)}, allowed is {option.permitted()}" + (f" ({why})" if why else "")
    )


def _nearest(word: str, words: Sequence[str]) -> str:
    import difflib  # only a mistake needs it

    lower = {each.lower(): each for each in words}
    found = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=0.5)
    return lower[found[0]] if found else ""


def _did_you_mean(word: str, words: Sequence[str]) -> str:
    nearest = _nearest(word, words)
    return f"did you mean {nearest}?" if nearest else ""


def _uri(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(option, value)
    userinfo = re.match(r"[^/?#]*://([^/?#]*)@", value)
    if userinfo and ":" in userinfo.group(1):
        # The value is not shown: logs are read by more people than configurations.
        raise ConfigError(
            "found a URI with a password, allowed is one without: libvirt takes passwords from"
            " auth.conf (https://libvirt.org/auth.html)"
        )
    match = _URI.fullmatch(value)
    if match is None:
        raise _wrong(option, value)
    transport = match.group(1)
    if transport and transport.lower() not in _TRANSPORTS:
        raise _wrong(option, value, f"transports are {', '.join(_TRANSPORTS)}")
    return value


def _flag(option: Option, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(option, value)
    return value


def _within(option: Option, value: float, given: object) -> None:
    if not option.least <= value <= option.most:
        raise _wrong(option, given, option.reason)


def _count(option: Option, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(option, value)
    _within(option, value, value)
    return value


def _seconds(option: Option, value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        try:
            seconds = sum(float(n) * _UNITS[u] for n, u in _DURATION_PART.findall(value))
        except ValueError:  # two points in a number
            raise _wrong(option, value) from None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            raise _wrong(option, value) from None
    else:
        raise _wrong(option, value)
    if math.isnan(seconds):
        raise _wrong(option, value)
    _within(option, seconds, value)
    return seconds


def _word(option: Option, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(option, value)
    if value not in option.allowed:
        raise _wrong(option, value, _did_you_mean(value, option.allowed))
    return value


def _text(option: Option, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(option, value)
    return value


def _texts(option: Option, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(option, value, "as a list")
    mistakes = Mistakes()
    for each in value:
        with mistakes.at():
            if not isinstance(each, str):
                raise _wrong(option, each)
    mistakes.end()
    return tuple(value)


def _words(option: Option, value: object) -> tuple[str, ...]:
    words = _texts(option, value)
    mistakes = Mistakes()
    for index, word in enumerate(words):
        with mistakes.at():
            _word(option, word)
            if word in words[:index]:
                raise _wrong(option, word, "each at most once")
    mistakes.end()
    return words


def _table_of_texts(option: Option, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong(option, value)
    mistakes = Mistakes()
    for key, text in value.items():
        with mistakes.at():
            if not isinstance(text, str):
                raise _wrong(option, {key: text})
    mistakes.end()
    return value


def _periods(option: Option, value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise _wrong(option, value)
    mistakes = Mistakes()
    periods: dict[str, float] = {}
    for group, seconds in value.items():
        with mistakes.at():
            periods[_word(option, group)] = _seconds(option, seconds)
    mistakes.end()
    return periods


_CONVERT: Mapping[Kind, Callable[[Option, object], object]] = {
    Kind.URI: _uri,
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.SECONDS: _seconds,
    Kind.WORD: _word,
    Kind.WORDS: _words,
    Kind.ENTRIES: _texts,
    Kind.TEXT: _text,
    Kind.TABLE: _table_of_texts,
    Kind.PERIODS: _periods,
}

#: Checked values by ``Option.key``, those that were given only.
Given = dict[str, Any]


def _fields(given: Given) -> dict[str, Any]:
    """The given values that are fields of ``Settings`` as they are."""
    fields = {key: value for key, value in given.items() if key in _FIELDS}
    for key in ("quarantine_groups", "extra_stats"):
        if key in fields:
            fields[key] = frozenset(fields[key])
    fields["interval_fixed"] = "interval" in given
    if "stuck_budget" not in given and "lanes" in fields:
        fields["stuck_budget"] = max(6, min(SAFE_BUDGET, fields["lanes"] + 2))
    return fields


_FIELDS = frozenset(Settings.__struct_fields__)


def _times_agree(settings: Settings, name: Callable[[str], str]) -> None:
    """:raises ConfigError: times that contradict each other."""
    found: list[str] = []
    deadline = settings.deadline
    if deadline is not None and settings.interval_fixed and deadline > settings.interval:
        found.append(
            f"option {name('deadline')}: found {deadline:g} seconds, allowed is at most the"
            f" interval, which is {settings.interval:g} seconds"
        )
    fast = settings.fast_interval
    if fast is not None and settings.interval_fixed and fast >= settings.interval:
        found.append(
            f"option {name('fast_interval')}: found {fast:g} seconds, allowed is less than"
            f" {name('interval')}, which is {settings.interval:g} seconds"
        )
    soft = settings.soft_deadline
    if soft is not None and deadline is not None and soft >= deadline:
        found.append(
            f"option {name('soft_deadline')}: found {soft:g} seconds, allowed is less than"
            f" {name('deadline')}, which is {deadline:g} seconds"
        )
    if found:
        raise ConfigError(*found)


#: Parameters of a URI that libvirt takes and never hands to the program ssh (only to libssh and
#: libssh2), and ssh's own option for each. Source: doRemoteOpen in src/remote/remote_driver.c.
_NOT_FOR_SSH: Mapping[str, str] = {
    "known_hosts": "UserKnownHostsFile",
    "known_hosts_verify": "StrictHostKeyChecking",
    "sshauth": "PreferredAuthentications",
}


def _lost_parameters(uri: str) -> str:
    """What to tell of parameters of a URI that have no effect; empty if there are none."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    given = [pair.partition("=")[0].lower() for pair in re.split("[&;]", parts.query)]
    lost = [word for word in _NOT_FOR_SSH if word in given]
    if transport != "ssh" or not lost:
        return ""
    options = " and ".join(_NOT_FOR_SSH[word] for word in lost)
    return (
        f"with {driver}+ssh, {' and '.join(lost)} {'has' if len(lost) == 1 else 'have'} no effect,"
        f" for libvirt passes no such thing on to ssh: set {options} for this host in ~/.ssh/config"
        f" of the user that samples, or write {driver}+libssh2:// or {driver}+libssh:// instead,"
        " where libvirt has them"
    )


def _advice(settings: Settings, name: Callable[[str], str]) -> Iterator[str]:
    lost = _lost_parameters(settings.uri)
    if lost:
        yield f"option {name('uri')}: {lost}"
    unasked = sorted(set(settings.every) - settings.groups)
    if unasked:
        yield f"option {name('every')}: {', '.join(unasked)} is not asked for at all"
    if settings.fast_interval is not None and not settings.groups & (FAST_GROUPS - {"state"}):
        yield f"option {name('fast_interval')}: nothing that the fast lane knows is asked for"
    if settings.stuck_budget <= settings.lanes and settings.stuck_budget < SAFE_BUDGET:
        yield (
            f"option {name('stuck_budget')}: {settings.stuck_budget} is not more than"
            f" {name('lanes')}, which is {settings.lanes}; one mass outage spends it in one go"
        )


def share_budget(hypervisors: list[Settings]) -> tuple[list[Settings], list[str]]:
    """Several settings for one URI share the stuck budget which its server can bear.

    :return: the settings, with smaller budgets where needed, and warnings that tell of them, and
        of what is sampled more than once.
    """
    by_uri: dict[str, list[int]] = {}
    for index, settings in enumerate(hypervisors):
        by_uri.setdefault(settings.uri, []).append(index)
    shared = list(hypervisors)
    told: list[str] = []
    for uri, indexes in by_uri.items():
        if len(indexes) < 2:
            continue
        repeated = _repeated([hypervisors[i] for i in indexes])
        texts = [repeated] if repeated else []
        if sum(shared[i].stuck_budget for i in indexes) > SAFE_BUDGET:
            each = max(1, SAFE_BUDGET // len(indexes))
            for i in indexes:
                budget = min(shared[i].stuck_budget, each)
                shared[i] = msgspec.structs.replace(shared[i], stuck_budget=budget)
            texts.append(
                "so that half of its server's workers stay free, each has a stuck budget of at"
                f" most {each}"
            )
        if texts:
            name = one_line(uri, 200)
            told.append(f"{name} is configured {len(indexes)} times: {'; '.join(texts)}")
    return shared, told


def _repeated(same_uri: Sequence[Settings]) -> str:
    """What is sampled more than once, and what to do; empty if nothing can be."""
    first, *others = same_uri
    if all(each == first for each in others):
        return (
            f"all of them are the same, so each domain is sampled and sent {len(same_uri)} times;"
            " delete all but one"
        )
    if not any(_overlap(one, other) for one, other in combinations(same_uri, 2)):
        return ""
    return (
        "a domain that several of them select is sampled by each, and what they ask for alike is"
        " sent by each; if that is not meant, have them select other domains or groups"
    )


def _overlap(one: Settings, other: Settings) -> bool:
    """Whether a domain may be asked for the same by both."""
    if one.groups.isdisjoint(other.groups):
        return False
    lists = one.selection.domains, other.selection.domains
    are_names = all(each.exact and not each.patterns and not each.ignored for each in lists)
    return not are_names or not lists[0].exact.isdisjoint(lists[1].exact)


# --- Telegraf's vocabulary ----------------------------------------------------------------------

#: A variable that is a value, and not in quotes.
_BARE = re.compile(rb"=\s*\$")
TELEGRAF_OPTIONS: Mapping[str, Option] = {o.telegraf: o for o in OPTIONS if o.telegraf}
_TABLE = "[[inputs.libvirt]]"


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
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as exc:
        raise ConfigError(
            f"{one_line(path)}: cannot be read: {exc.strerror}; is the path right, and may this"
            f" user read it?"
        ) from None
    except ValueError:  # a NUL in the path
        raise ConfigError(f"{one_line(path)}: cannot be read: no such path") from None
    return parse_telegraf(content, path, reserved, environment)


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
    tables = _tables(_toml(content, source), source, mistakes)
    hypervisors: list[Settings] = []
    told: list[str] = []
    for number, table in enumerate(tables, 1):
        where = f"{source}: {_TABLE} table {number}"
        settings = Settings()
        with mistakes.at(f"{where}, "):
            settings = from_table(table, reserved, environment)
        if settings.labels and settings.series == "telegraf":
            told.append(f"{where}, option labels: no labels are sent with series telegraf")
            settings = msgspec.structs.replace(settings, labels=())
        if settings.events and settings.series == "telegraf":
            told.append(f"{where}, option events: no events are sent with series telegraf")
            settings = msgspec.structs.replace(settings, events=())
        told.extend(f"{where}, {text}" for text in _advice(settings, _telegraf_name))
        hypervisors.append(settings)
    mistakes.end()
    hypervisors, shared = share_budget(hypervisors)
    return Parsed(hypervisors, told + [f"{source}: {text}" for text in shared])


def for_uri(uri: str) -> Settings:
    """Telegraf's defaults for a hypervisor.

    :raises ConfigError: this is no connection URI.
    """
    return Settings(uri=_uri(TELEGRAF_OPTIONS["libvirt_uri"], uri))


def seconds(text: str) -> float:
    """A time as ``10``, ``0.5``, ``500ms`` or ``1m30s``, as an interval may be.

    :raises ConfigError: it is none.
    """
    return _seconds(TELEGRAF_OPTIONS["interval"], text)


def _toml(content: bytes, source: str) -> dict[str, Any]:
    import msgspec.toml  # collectd does without

    if content.startswith(codecs.BOM_UTF8):
        content = content[len(codecs.BOM_UTF8) :]
    try:
        decoded = msgspec.toml.decode(content)
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
                given[option.key] = _CONVERT[option.kind](option, value)
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
        if option.kind is Kind.COUNT and _NUMBER.fullmatch(found):
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
    names: tuple[str, ...] = given.get("domain_names", ())
    labels: tuple[Label, ...] = ()
    with mistakes.at():
        labels = _labels(given, reserved)
    settings = Settings(
        **_fields(given),
        groups=frozenset(groups),
        vcpu_mapping="vcpu_mapping" in additional,
        selection=Selection(domains=Entries(exact=frozenset(names))),
        labels=labels,
    )
    with mistakes.at():
        _times_agree(settings, _telegraf_name)
    mistakes.end()
    return settings


def _labels(given: Given, reserved: frozenset[str]) -> tuple[Label, ...]:
    mistakes = Mistakes()
    labels = [known(name) for name in given.get("label_names", ())]
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
    near = _did_you_mean(key, list(TELEGRAF_OPTIONS))
    return ConfigError(
        f"option {shown(key)}: there is no such option"
        + (f", {near}" if near else f", allowed are {', '.join(TELEGRAF_OPTIONS)}")
    )


# --- collectd's vocabulary ----------------------------------------------------------------------

COLLECTD_OPTIONS: Mapping[str, Option] = {o.collectd: o for o in OPTIONS if o.collectd}
_BY_LOWER_NAME = {name.lower(): option for name, option in COLLECTD_OPTIONS.items()}
#: Options whose lines add up; of the others the last line counts, as in virt.
_ADDS_UP = frozenset({Kind.ENTRIES})
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")

#: A value of collectd's configuration: quoted text, number, boolean; bytes if it is not UTF-8.
ConfigValue = Union[str, bytes, float, bool]


def _collectd_name(key: str) -> str:
    return next((option.collectd for option in OPTIONS if option.key == key), key)


def parse_collectd(config: Any, source: str) -> Parsed:
    """The hypervisor of one ``<Module>`` block.

    :param config: collectd's Config object: ``children``, each with ``key``, ``values`` and
        ``children``.
    :param source: what messages call the block.
    :raises ConfigError: something in it is wrong.
    """
    mistakes = Mistakes()
    given: Given = {}
    told: list[str] = []
    for child in config.children:
        with mistakes.at(f"{source}, "):
            option, value, warnings = _collectd_line(child)
            told.extend(f"{source}, {text}" for text in warnings)
            if option.kind is Kind.PERIODS:
                value = {**given.get(option.key, {}), **value}
            elif option.kind in _ADDS_UP or option.key == "extra_stats":
                value = given.get(option.key, ()) + value
            given[option.key] = value
    settings = Settings()
    with mistakes.at(f"{source}, "):
        settings = _from_block(given)
    mistakes.end()
    advice = list(_advice(settings, _collectd_name))
    if given.get("persistent_notification"):
        advice.append(
            "option PersistentNotification: has no effect in this version, which sends"
            " notifications when a domain hangs and when it is back, and others with Events"
        )
    return Parsed([settings], told + [f"{source}, {text}" for text in advice])


def from_nothing() -> Parsed:
    """What collectd samples without any ``<Module>`` block."""
    return Parsed([_from_block({})], [])


def _unknown_in_collectd(key: str) -> ConfigError:
    near = _did_you_mean(key, list(COLLECTD_OPTIONS))
    return ConfigError(
        f"option {shown(key)}: there is no such option"
        + (f", {near}" if near else f", allowed are {', '.join(COLLECTD_OPTIONS)}")
    )


def _collectd_line(line: Any) -> tuple[Option, Any, list[str]]:
    """The option of one line, its checked value, and warnings."""
    key = str(line.key)
    option = _BY_LOWER_NAME.get(key.lower())
    if option is None:
        raise _unknown_in_collectd(key)
    mistakes = Mistakes()
    value: Any = None
    told: list[str] = []
    with mistakes.at(f"option {option.collectd}: "):
        if line.children:
            raise ConfigError("found a block, allowed are values")
        value, told = _collectd_value(option, tuple(line.values))
    mistakes.end()
    return option, value, told


def _collectd_value(option: Option, values: tuple[ConfigValue, ...]) -> tuple[Any, list[str]]:
    """The checked value of one line, and warnings."""
    told: list[str] = []
    if any(isinstance(value, bytes) for value in values):
        raise ConfigError(f"found {shown(values)}, allowed is UTF-8 only")
    raw: object
    if option.kind is Kind.WORDS:
        raw, told = _collectd_words(option, values)
    elif option.kind is Kind.PERIODS:
        raw = _collectd_period(option, values)
    elif len(values) != 1:
        raise _wrong(option, values, "exactly one value")
    elif option.kind is Kind.ENTRIES:
        entries(_texts(option, values))  # the message about a wrong expression belongs here
        raw = values
    else:
        raw = _collectd_scalar(option, values[0])
    return _CONVERT[option.kind](option, raw), told


def _collectd_scalar(option: Option, value: ConfigValue) -> object:
    """collectd has one type of number, and everything may stand in quotes."""
    if option.kind is Kind.WORD and isinstance(value, str):
        return value.lower()
    if option.kind is Kind.FLAG and isinstance(value, str):
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if option.kind in (Kind.COUNT, Kind.SECONDS, Kind.PERIODS):
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, float) and option.kind is Kind.COUNT and value.is_integer():
            return int(value)
    return value


def _collectd_period(option: Option, values: tuple[ConfigValue, ...]) -> dict[str, object]:
    """A group and its seconds, in one line."""
    if len(values) != 2 or not isinstance(values[0], str):
        raise _wrong(option, values[0] if len(values) == 1 else values, "a group and seconds")
    return {values[0].lower(): _collectd_scalar(option, values[1])}


def _collectd_words(
    option: Option, values: tuple[ConfigValue, ...]
) -> tuple[tuple[str, ...], list[str]]:
    words = [word.lower() for value in _texts(option, values) for word in value.split()]
    if not words:
        raise _wrong(option, values[0] if len(values) == 1 else values, "at least one")
    told: list[str] = []
    if option.key == "extra_stats":
        for word in EXTRA_STATS_LATER:
            if word in words:
                told.append(f"option ExtraStats: {word} is not reported by this version, ignored")
        words = [word for word in dict.fromkeys(words) if word not in EXTRA_STATS_LATER]
    return tuple(words), told


def _from_block(given: Given) -> Settings:
    ignored = given.get("ignore_selected", False)
    extra = frozenset(given.get("extra_stats", ()))
    fields = dict(given)
    if "lanes" not in fields and "instances" in fields:
        fields["lanes"] = min(SAFE_BUDGET, fields["instances"])
    instance = tuple(fields.get("plugin_instance_format", ()))
    if "none" in instance:  # it ends the combination, as in virt
        instance = instance[: instance.index("none")]
    fields["plugin_instance_format"] = instance
    mistakes = Mistakes()
    labels: tuple[Label, ...] = ()
    with mistakes.at("option HostnameMetadataXPath: "):
        labels = _metadata(given)
    takes_metadata = "metadata" in (*instance, *given.get("hostname_format", ()))
    local = is_local(fields.get("uri", Settings().uri))
    settings = Settings(
        **_fields(fields),
        labels=labels if takes_metadata else (),
        groups=_groups_of_output(given, extra),
        direct=_direct(extra) if local else {},
        vcpu_mapping="vcpupin" in extra and not local,
        inactive="domain_state" in extra,
        wants_devices=given.get("interface_format") == "address",
        selection=Selection(
            domains=entries(given.get("domain", ()), ignored),
            block_devices=entries(given.get("block_device", ()), ignored),
            interface_devices=entries(given.get("interface_device", ()), ignored),
        ),
    )
    with mistakes.at():
        _times_agree(settings, _collectd_name)
    mistakes.end()
    return settings


def _metadata(given: Given) -> tuple[Label]:
    label = of_metadata(
        given.get("metadata_namespace", METADATA_NAMESPACE),
        given.get("metadata_xpath", METADATA_XPATH),
    )
    return (label,)


#: Which selectors of ExtraStats need a group that is not asked for anyway.
_GROUP_OF_SELECTOR: Mapping[str, str] = {"vcpu": "vcpu", "vcpupin": "vcpu", "perf": "perf"}


def _groups_of_output(given: Given, extra: frozenset[str]) -> frozenset[str]:
    """Only what is put out is asked for: each monitor group costs a round trip per domain."""
    groups = {"state", "cpu_total", "balloon"}
    groups.update(group for word, group in _GROUP_OF_SELECTOR.items() if word in extra)
    if given.get("report_block_devices", True):
        groups.add("block")
    if given.get("report_network_interfaces", True):
        groups.add("interface")
    return frozenset(groups)


def _direct(extra: frozenset[str]) -> dict[str, frozenset[str]]:
    """The groups of which the output needs only what libvirt tells without the monitor.

    A call for each domain is far cheaper then than the group is, whose question goes to every
    QEMU; but not over a network, where each call takes the way there and back.
    """
    direct = {"cpu_total": {"info", "modes"} if "pcpu" in extra else {"info"}}
    if "memory" not in extra:
        direct["balloon"] = {"info"}
    vcpu = {fact for word, fact in (("vcpu", "vcpus"), ("vcpupin", "affinity")) if word in extra}
    if vcpu:
        direct["vcpu"] = vcpu
    return {group: frozenset(facts) for group, facts in direct.items()}
