"""collectd's vocabulary: a ``<Module>`` block in, ``Settings`` out.

Which options there are says the table in ``options``. It must know neither libvirt nor threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import msgspec

from ..domain_xml.labels import (
    LABELS,
    METADATA_LABEL,
    METADATA_NAMESPACE,
    METADATA_XPATH,
    Label,
    known,
    of_metadata,
)
from ..errors import ConfigError, Mistakes
from ..selection import Entries, Selection, domain_entries, entries
from ..shown import shown
from .options import (
    COLLECTD_OPTIONS,
    NOT_BOTH,
    OPTIONS,
    SAFE_BUDGET,
    Kind,
    Option,
)
from .settings import Given, Parsed, Settings, advice_on, as_fields, check_times, is_local
from .values import CONVERT, NUMBER, did_you_mean, to_texts, wrong_value

#: What ``Import`` and ``<Module>`` call us.
MODULE = "domstats.collectd_plugin"

_BY_LOWER_NAME = {name.lower(): option for name, option in COLLECTD_OPTIONS.items()}
#: Options whose lines add up; of the others the last line counts, as in virt.
_ADDS_UP = frozenset({Kind.ENTRIES})
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})

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
    for child in config.children:
        with mistakes.at(f"{source}, "):
            option, value = _collectd_line(child)
            if option.kind is Kind.PERIODS:
                value = {**given.get(option.key, {}), **value}
            elif option.kind in _ADDS_UP or option.key == "extra_stats":
                value = given.get(option.key, ()) + value
            given[option.key] = value
    settings = Settings()
    with mistakes.at(f"{source}, "):
        settings = _from_block(given)
    mistakes.end()
    advice = list(advice_on(settings, _collectd_name))
    if _wants_notices(given) and not settings.guest_agent:
        advice.append(
            "option ExtraStats: fs_info is ignored: it asks the guest agents, which needs a"
            " connection that is not read-only; add GuestAgent true to allow that (nothing but"
            " queries is made over it)"
        )
    return Parsed([settings], [f"{source}, {text}" for text in advice])


def _wants_notices(given: Given) -> bool:
    return "fs_info" in given.get("extra_stats", ())


def from_nothing() -> Parsed:
    """What collectd samples without any ``<Module>`` block."""
    return Parsed([_from_block({})], [])


def _unknown_in_collectd(key: str) -> ConfigError:
    near = did_you_mean(key, list(COLLECTD_OPTIONS))
    return ConfigError(
        f"option {shown(key)}: there is no such option"
        + (f", {near}" if near else f", allowed are {', '.join(COLLECTD_OPTIONS)}")
    )


def _collectd_line(line: Any) -> tuple[Option, Any]:
    """The option of one line, and its checked value."""
    key = str(line.key)
    option = _BY_LOWER_NAME.get(key.lower())
    if option is None:
        raise _unknown_in_collectd(key)
    mistakes = Mistakes()
    value: Any = None
    with mistakes.at(f"option {option.collectd}: "):
        if line.children:
            raise ConfigError("found a block, allowed are values")
        value = _collectd_value(option, tuple(line.values))
    mistakes.end()
    return option, value


def _collectd_value(option: Option, values: tuple[ConfigValue, ...]) -> Any:
    """The checked value of one line."""
    if any(isinstance(value, bytes) for value in values):
        raise ConfigError(f"found {shown(values)}, allowed is UTF-8 only")
    raw: object
    if option.kind is Kind.WORDS:
        raw = _collectd_words(option, values)
    elif option.kind is Kind.PERIODS:
        raw = _collectd_period(option, values)
    elif len(values) != 1:
        raise wrong_value(option, values, "exactly one value")
    elif option.kind is Kind.ENTRIES:
        # The message about a wrong entry belongs here.
        read = _matching if option.key == "domain_match" else entries
        read(to_texts(option, values))
        raw = values
    else:
        raw = _collectd_scalar(option, values[0])
    return CONVERT[option.kind](option, raw)


def _collectd_scalar(option: Option, value: ConfigValue) -> object:
    """collectd has one type of number, and everything may stand in quotes."""
    if option.kind is Kind.WORD and isinstance(value, str):
        return value.lower()
    if option.kind is Kind.FLAG and isinstance(value, str):
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if option.kind in (Kind.COUNT, Kind.SECONDS, Kind.PERIODS):
        if isinstance(value, str) and NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, float) and option.kind is Kind.COUNT and value.is_integer():
            return int(value)
    return value


def _collectd_period(option: Option, values: tuple[ConfigValue, ...]) -> dict[str, object]:
    """A group and its seconds, in one line."""
    if len(values) != 2 or not isinstance(values[0], str):
        raise wrong_value(option, values[0] if len(values) == 1 else values, "a group and seconds")
    return {values[0].lower(): _collectd_scalar(option, values[1])}


def _collectd_words(option: Option, values: tuple[ConfigValue, ...]) -> tuple[str, ...]:
    words = [word.lower() for value in to_texts(option, values) for word in value.split()]
    if not words:
        raise wrong_value(option, values[0] if len(values) == 1 else values, "at least one")
    if option.key == "extra_stats":  # virt takes them twice
        words = list(dict.fromkeys(words))
    return tuple(words)


def _from_block(given: Given) -> Settings:
    ignored = given.get("ignore_selected", False)
    extra = frozenset(given.get("extra_stats", ()))
    fields = dict(given)
    if _wants_notices(given) and not given.get("guest_agent", False):
        fields["extra_stats"] = extra - {"fs_info"}
    if "lanes" not in fields and "instances" in fields:
        fields["lanes"] = min(SAFE_BUDGET, fields["instances"])
    instance = tuple(fields.get("plugin_instance_format", ()))
    if "none" in instance:  # it ends the combination, as in virt
        instance = instance[: instance.index("none")]
    fields["plugin_instance_format"] = instance
    mistakes = Mistakes()
    with mistakes.at("option ExtraStats: "):
        if extra.issuperset(NOT_BOTH):
            raise ConfigError(
                f"found {' and '.join(NOT_BOTH)}, allowed is one of the two, as in virt: what they"
                " send has the same identifiers"
            )
    takes_metadata = "metadata" in (*instance, *given.get("hostname_format", ()))
    # Rates need what only the bulk call tells: steal, halt polling, the age of memory's figures.
    in_bulk = given.get("rates", False) or not is_local(fields.get("uri", Settings().uri))
    domains = _domains(given, ignored)
    for_choice = frozenset(entry.label for entry in domains.labels)
    labels: tuple[Label, ...] = ()
    with mistakes.at("option HostnameMetadataXPath: "):
        if takes_metadata or METADATA_LABEL in for_choice or not _METADATA.isdisjoint(given):
            labels = _metadata(given)
    sent = labels if takes_metadata else ()
    settings = Settings(
        **as_fields(fields),
        labels=(*sent, *(_label(name, labels) for name in sorted(for_choice - _names(sent)))),
        unsent_labels=for_choice - _names(sent),
        groups=_groups_of_output(given, extra, in_bulk),
        by_classic_calls={} if in_bulk else _by_classic_calls(extra),
        vcpu_mapping="vcpupin" in extra and in_bulk,
        inactive="domain_state" in extra
        or given.get("persistent_notification", False)
        or given.get("host", False),
        wants_devices=given.get("interface_format") == "address",
        selection=Selection(
            domains=domains,
            block_devices=entries(given.get("block_device", ()), ignored),
            interface_devices=entries(given.get("interface_device", ()), ignored),
        ),
    )
    with mistakes.at():
        check_times(settings, _collectd_name)
    mistakes.end()
    return settings


def _matching(texts: Sequence[str], ignored: bool = False) -> Entries:
    """The entries of DomainMatch."""
    return domain_entries(texts, (*LABELS, METADATA_LABEL), ignored)


def _domains(given: Given, ignored: bool) -> Entries:
    """One list of what Domain means, as in virt, and of what DomainMatch does."""
    named = entries(given.get("domain", ()), ignored)
    matching = _matching(given.get("domain_match", ()), ignored)
    return msgspec.structs.replace(
        matching,
        exact=named.exact | matching.exact,
        patterns=named.patterns + matching.patterns,
        expressions=named.expressions + matching.expressions,
    )


def _label(name: str, metadata: tuple[Label, ...]) -> Label:
    return next((label for label in metadata if label.name == name), None) or known(name)


def _names(labels: Sequence[Label]) -> frozenset[str]:
    return frozenset(label.name for label in labels)


#: The options about it. Without them, and where nothing has it, lxml is not loaded.
_METADATA = frozenset({"metadata_namespace", "metadata_xpath"})


def _metadata(given: Given) -> tuple[Label]:
    label = of_metadata(
        given.get("metadata_namespace", METADATA_NAMESPACE),
        given.get("metadata_xpath", METADATA_XPATH),
    )
    return (label,)


#: Which selectors of ExtraStats need a group that is not asked for anyway.
_GROUP_OF_SELECTOR: Mapping[str, str] = {"vcpu": "vcpu", "vcpupin": "vcpu", "perf": "perf"}
#: Which of them need what the group balloon tells in bulk alone.
_NEED_BALLOON = frozenset({"memory", "memory_age"})


def _groups_of_output(given: Given, extra: frozenset[str], in_bulk: bool) -> frozenset[str]:
    """Only what is put out is asked for: each monitor group costs a round trip per domain."""
    groups = {"state", "cpu_total", "balloon"}
    groups.update(group for word, group in _GROUP_OF_SELECTOR.items() if word in extra)
    if given.get("rates", False) or (in_bulk and given.get("host", False)):
        groups.add("vcpu")
    if given.get("report_block_devices", True):
        groups.add("block")
    if given.get("report_network_interfaces", True):
        groups.add("interface")
    return frozenset(groups)


def _by_classic_calls(extra: frozenset[str]) -> dict[str, frozenset[str]]:
    """The groups of which the output needs only what libvirt tells without the monitor.

    A call for each domain is far cheaper then than the group is, whose question goes to every
    QEMU; but not over a network, where each call takes the way there and back.
    """
    found = {"cpu_total": {"info", "modes"} if "pcpu" in extra else {"info"}}
    if extra.isdisjoint(_NEED_BALLOON):
        found["balloon"] = {"info"}
    vcpu = {value for word, value in (("vcpu", "vcpus"), ("vcpupin", "affinity")) if word in extra}
    if vcpu:
        found["vcpu"] = vcpu
    return {group: frozenset(values) for group, values in found.items()}
