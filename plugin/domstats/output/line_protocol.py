"""A Sample as InfluxDB line protocol, under the names of Telegraf's inputs.libvirt.

A pure function of samples, but for one thing: what was worked out for a domain is kept, and
used again while the domain's keys and texts are as in its last sample, so that then only numbers
are filled in. The output is the same bytes either way. This module must not know agents, files
or settings.

What line protocol cannot carry in a text is written as the escape sequence that C has for it:
a newline, carriage return, tab (the tab in tags only), vertical tab, form feed or NUL becomes the
two characters ``\\n``, ``\\r``, ``\\t``, ``\\v``, ``\\f`` or ``\\0``, half a surrogate pair
``\\udc80``, and a backslash that would end a tag or precede a double quote in it ``\\x5c``. For
newlines and tabs in tags that is what Telegraf's own serializer does. So each line of output is
one line, whatever a tenant calls a guest.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    NamedTuple,
    Optional,
    Union,
)

from .. import __version__
from ..errors import ConfigError
from ..model import (
    GROUPS,
    RUNNING_JOB,
    Devices,
    DomainEvent,
    DomainSample,
    Sample,
    Status,
    Value,
    picker,
)
from . import schema
from .derived import Derived
from .device_tables import TAGGED, device_tags, figures_of, interface_tags
from .guest_agents import lines_of
from .job_tables import JOB_MEASUREMENT, KNOWN, Jobs
from .line_filter import EVERYTHING, LineFilter
from .rate_tables import RateGroup, most_of
from .remembered import Remembered
from .series_count import Amount, Made, MadeByDomain, Maker, Recount, SeriesLimit

if TYPE_CHECKING:
    from .host_tables import HostGroup, HostRow
    from .line_totals import LineTotals

SERIES = ("full", "telegraf")

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
UINT64_MAX = 2**64 - 1

#: Bytes of one tag's value; a longer one is cut. InfluxDB refuses a line whose measurement and
#: tags are longer than 65,535 together.
TAG_BYTES = 4096

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\v": "\\v", "\f": "\\f", "\0": "\\0"}
_TAG_ESCAPES = str.maketrans({**_ESCAPES, "\t": "\\t", ",": "\\,", " ": "\\ ", "=": "\\="})
_TEXT_ESCAPES = str.maketrans(_ESCAPES)
_QUOTES = str.maketrans({"\\": "\\\\", '"': '\\"'})
#: Most texts need nothing done to them.
_PLAIN_TAG = re.compile(r"[A-Za-z0-9_.:/@+-]*")
_LOST_BACKSLASH = re.compile(r'\\(?="|\Z)')

Render = Callable[[Value], Optional[str]]


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def tag_value(text: str) -> str:
    """A text as it is written for a tag's key or value; empty for an empty one, which has no form.

    :param text: any text; more than ``TAG_BYTES`` of it is cut off at a character's boundary.
    """
    if _PLAIN_TAG.fullmatch(text) and len(text) <= TAG_BYTES:
        return text
    encoded = text.encode("utf-8", "backslashreplace")[:TAG_BYTES]
    whole = encoded.decode("utf-8", "ignore")
    # A backslash is literal before anything but the characters that it escapes, so only where
    # it could not be told from an escape is it replaced.
    return _LOST_BACKSLASH.sub(r"\\x5c", whole).translate(_TAG_ESCAPES)


def string_field(text: str) -> str:
    """A text as it is written for a string field, with its quotes."""
    return '"' + _encodable(text).translate(_TEXT_ESCAPES).translate(_QUOTES) + '"'


def _unsigned(value: Value) -> Optional[str]:
    number = _integer(value)
    return None if number is None or number < 0 else f"{min(number, UINT64_MAX)}u"


def _signed(value: Value) -> Optional[str]:
    number = _integer(value)
    return None if number is None else f"{max(INT64_MIN, min(number, INT64_MAX))}i"


def _natural(value: Value) -> Optional[str]:
    number = _integer(value)
    return None if number is None or number < 0 else f"{min(number, INT64_MAX)}i"


def _flag(value: Value) -> Optional[str]:
    if isinstance(value, str):
        return "1i" if value == "yes" else "0i"
    return "1i" if value else "0i"


def _double(value: Value) -> Optional[str]:
    if isinstance(value, str) or not math.isfinite(value):
        return None
    return repr(float(value))


def _text(value: Value) -> Optional[str]:
    return string_field(value) if isinstance(value, str) else None


def _any(value: Value) -> Optional[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _unsigned(value)
    return _double(value) if isinstance(value, float) else _text(value)


def _integer(value: Value) -> Optional[int]:
    """The value as an integer; None for a text or a fraction."""
    if isinstance(value, int):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


#: How a value is written, by what libvirt sends; None leaves the field out. Integers beyond what
#: the field's type holds are clamped.
RENDER: dict[schema.Wire, Render] = {
    schema.Wire.UNSIGNED: _unsigned,
    schema.Wire.SIGNED: _signed,
    schema.Wire.NATURAL: _natural,
    schema.Wire.FLAG: _flag,
    schema.Wire.DOUBLE: _double,
    schema.Wire.TEXT: _text,
    schema.Wire.ANY: _any,
}

#: The wire types that write an integer as its digits: the suffix, and how ``struct`` calls the
#: integers that have this form. (It takes True and False too, as 1 and 0: so do the first two.)
_AS_DIGITS: dict[schema.Wire, tuple[str, str]] = {
    schema.Wire.UNSIGNED: ("u", "Q"),
    schema.Wire.SIGNED: ("i", "q"),
    schema.Wire.ANY: ("u", "Q"),
}

_Values = tuple[Any, ...]
_Pick = Callable[[_Values], _Values]


class _Field(NamedTuple):
    """A field of a line: its name, the position of its key in the stats, its row in the table."""

    name: str
    position: int
    row: schema.Key

    @property
    def wire(self) -> schema.Wire:
        return self.row.wire


class _Line(NamedTuple):
    """A line without its values: measurement and tags as written, and its fields by name."""

    head: str
    fields: list[_Field]


class _Shape(NamedTuple):
    """What all domains with the same keys have in common.

    :param keys: the stats' keys, in order.
    :param texts: picks the values that are texts: they belong to the domain's written texts.
    :param numbers: picks the integers, which are filled in as they are.
    :param check: raises struct.error for numbers that are written in another way.
    :param untyped: picks those of them that are written in another way if they are booleans.
    :param live: position and wire type of the values that are written anew each time.
    :param template: all lines, with a ``%s`` for each text and a ``%d`` for each integer.
    :param slots: picks what the template takes from (time, written texts, live texts, values).
    :param places: the positions of all values that are written.
    :param made: the series of such a domain, where they are counted.
    """

    keys: tuple[str, ...]
    texts: _Pick
    numbers: _Pick
    check: Callable[..., bytes]
    untyped: _Pick
    live: tuple[tuple[int, schema.Wire], ...]
    template: str
    slots: _Pick
    places: tuple[int, ...]
    made: Made


class _Compiled(NamedTuple):
    """A domain's own part: the texts that its lines were made of, and as they are written."""

    shape: _Shape
    name: str
    labels: dict[str, str]
    devices: Devices
    texts: _Values
    written: tuple[str, ...]


class LineProtocol:
    """Writes the samples of one hypervisor.

    :param series: ``full``, or ``telegraf`` for exactly what inputs.libvirt 1.39 sends: without
        the tags uuid and device, labels, keys it does not know, and measurements of our own.
    :param kvm_statistics: also the hypervisor's own statistics of vCPUs and VM (full series).
    :param groups: the stats groups to write, of ``model.GROUPS``; what a sample has beyond them
        stays out. Keys of no known group always pass.
    :param vcpu_mapping: also each vCPU's physical CPU and affinity, where a sample has them.
    :param reports: False leaves out what the full series tells of the round itself.
    :param rates: also what follows of counters by the second (full series); ``rate_tables``.
    :param figures: also what is known of devices and control groups beside the statistics (full
        series), of ``device_tables``.
    :param tagged: devices that have tags of their XML (full series): ``disk``, ``interface``.
    :param jobs: also the jobs of domains (full series); ``job_tables``.
    :param host: also what the host beside its guests does (full series); ``host_tables``.
    :param wanted: which fields and devices, and of which there is a total instead (full series).
    :param limit: is given what domains make when that changes; None: nobody counts.
    :param counts: count for ``made`` all the same.
    :param version: of this package, told with each round.
    :raises ConfigError: for a series that does not exist.
    """

    def __init__(
        self,
        series: str = "full",
        *,
        kvm_statistics: bool = False,
        groups: Iterable[str] = GROUPS,
        vcpu_mapping: bool = True,
        reports: bool = True,
        rates: bool = False,
        host: bool = False,
        figures: Collection[str] = (),
        tagged: Collection[str] = (),
        jobs: bool = False,
        wanted: LineFilter = EVERYTHING,
        limit: Optional[SeriesLimit] = None,
        counts: bool = False,
        version: str = __version__,
    ) -> None:
        if series not in SERIES:
            raise ConfigError(f"series is {series!r}; allowed are {' and '.join(SERIES)}")
        self._full = series == "full"
        self._kvm_statistics = kvm_statistics
        self._groups: frozenset[str] = frozenset(groups)
        self._vcpu_mapping = vcpu_mapping
        self._reports = reports and self._full
        self._derived: Optional[Derived] = None
        if (rates or host) and self._full:
            self._derived = Derived(rates=rates, host=host)
        self._figures = frozenset(figures) if self._full else frozenset()
        #: The stats groups of these devices.
        self._tagged = frozenset(
            group for group, word in TAGGED.items() if word in tagged and self._full
        )
        self._jobs = Jobs() if jobs and self._full else None
        self._wanted = wanted
        self._totals: Optional[LineTotals] = None
        if wanted.totals and self._full:
            from .line_totals import LineTotals

            self._totals = LineTotals(wanted.totals, self._wants, wanted.devices)
        self._recount = Recount(limit, "rounds") if limit is not None else None
        self._counts = counts or limit is not None
        self._version = version
        self._compiled: Remembered[_Compiled] = Remembered()
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._has_new_shapes = False

    def take(self, part: Sample) -> bytes:
        """The lines of domains that are complete while their round goes on.

        The round's sample, which has nothing more of them to tell, must be encoded after its parts.
        """
        return "".join(self._domains(part)).encode()

    def encode(self, sample: Sample) -> bytes:
        """All lines of a sample, each with its newline."""
        written = self._domains(sample)
        is_other = self._compiled.end(sample.groups)
        is_other = is_other or self._has_new_shapes
        if is_other:
            self._has_new_shapes = False
            self._shapes = {known.shape.keys: known.shape for known in self._compiled}
        if self._recount is not None:
            self._recount.end(sample, is_other, self.made)
        if self._derived is not None:
            written += [_host_line(sample.uri, group) for group in self._derived.end(sample)]
        if self._totals is not None:
            self._totals.end(sample.domains)
        if self._figures:
            written += self._figure_lines(sample, str(sample.time_ns))
        if self._jobs is not None:
            self._jobs.end(sample)
        if self._reports:
            written.append(self._own_lines(sample, str(sample.time_ns)))
        return "".join(written).encode()

    def made(self) -> MadeByDomain:
        """The series of each domain of the last sample, by uuid, if they are counted."""
        for uuid, several in self._compiled.by_uuid():
            yield uuid, tuple(compiled.shape.made for compiled in several)

    def _domains(self, sample: Sample) -> list[str]:
        """Each domain's lines."""
        time, written = str(sample.time_ns), []
        compiled = self._compiled.of(sample.groups)
        for domain in sample.domains:
            if not domain.stats:
                continue
            values, lines = tuple(domain.stats.values()), None
            known = self._recall(compiled.get(domain.uuid), domain, values)
            if known is not None:
                self._compiled.use(domain.uuid, known)
                lines = _fill_in(known, values, time)
            written.append(self._plain(domain, values, time) if lines is None else lines)
            if self._totals is not None:
                written += self._total_lines(self._totals, domain, time)
            if self._derived is not None:
                written += self._rate_lines(domain, self._derived.of(domain, sample), time)
            if self._jobs is not None:
                written += self._job_lines(domain, self._jobs, time)
        return written

    # -- key by key

    def _plain(self, domain: DomainSample, values: _Values, time: str) -> str:
        """A domain's lines, worked out from nothing."""
        written: list[str] = []
        for line in self._lines(domain):
            fields = []
            for field in line.fields:
                text = RENDER[field.wire](values[field.position])
                if text is not None:
                    fields.append(f"{field.name}={text}")
            if fields:
                written.append(f"{line.head} {','.join(fields)} {time}\n")
        return "".join(written)

    def _lines(self, domain: DomainSample) -> list[_Line]:
        """A domain's lines in the order of its keys, with every field that they may have."""
        places = [
            (at, schema.place(key))
            for at, key in enumerate(domain.stats)
            if not key.startswith(RUNNING_JOB)  # what ``_job_lines`` are made of
        ]
        found: dict[_Values, tuple[schema.Key, dict[str, _Field]]] = {}
        # Known keys first: where a foreign one would get the name of a known field, that stays.
        for at, (row, indexes) in sorted(places, key=lambda at_place: not at_place[1].row.known):
            if not self._wants(row) or (indexes and self._leaves_out(domain, row, indexes)):
                continue
            fields = found.setdefault((row.measurement, row.tags, indexes), (row, {}))[1]
            for name in self._field_names(row):
                fields.setdefault(name, _Field(name, at, row))
        return [
            _Line(self._head(domain, row, indexes), [fields[name] for name in sorted(fields)])
            for (_, _, indexes), (row, fields) in found.items()
            if fields
        ]

    def _field_names(self, row: schema.Key) -> list[str]:
        """The fields that have a key's value, those that are wanted."""
        names = [row.field, *row.twins, *(row.own_twins if self._full else ())]
        wants = self._wanted.field
        return names if wants is None else [n for n in names if wants(row.measurement, n)]

    def _leaves_out(self, domain: DomainSample, row: schema.Key, indexes: _Values) -> bool:
        """Whether a key is that of a device which is not wanted, or is in a total."""
        if self._totals is not None and self._totals.replaces(row):
            return True
        wants = self._wanted.devices.get(row.group)
        return wants is not None and not wants(domain.name, _device(domain, row, indexes))

    def _wants(self, row: schema.Key) -> bool:
        return (
            (self._full or row.telegraf)
            and (self._kvm_statistics or not row.kvm)
            and (self._vcpu_mapping or not row.mapping)
            and (not row.group or row.group in self._groups)
        )

    def _head(self, domain: DomainSample, row: schema.Key, indexes: _Values) -> str:
        """A line's measurement and tags as written."""
        tags = self._domain_tags(domain)
        tags.update(zip(row.tags, indexes))
        if self._full and indexes and row.group in schema.DEVICE_NAMES:
            tags[schema.DEVICE_TAG] = name = _device(domain, row, indexes)
            if row.group in self._tagged:
                tags.update(device_tags(domain.devices, row.group, name))
        return row.measurement + _written_tags(tags)

    def _domain_tags(self, domain: DomainSample) -> dict[str, str]:
        if not self._full:
            return {"domain_name": domain.name}
        return {**domain.labels, "domain_name": domain.name, "uuid": domain.uuid}

    # -- with only the numbers filled in

    def _recall(
        self, known: Optional[_Compiled], domain: DomainSample, values: _Values
    ) -> Optional[_Compiled]:
        """A domain's compiled form, worked out anew if it is not the same domain in all texts.

        None if it has a text where the table wants a number, or the like.
        """
        if (
            known is not None
            and known.name == domain.name
            and known.labels == domain.labels
            and (not self._tagged or known.devices is domain.devices)
            and known.shape.keys == tuple(domain.stats)
            and known.shape.texts(values) == known.texts
        ):
            return known
        return self._compile(domain, values)

    def _compile(self, domain: DomainSample, values: _Values) -> Optional[_Compiled]:
        lines = self._lines(domain)
        written: list[str] = []
        for line in lines:
            written.append(line.head)
            for field in line.fields:
                value = values[field.position]
                text = RENDER[field.wire](value) if isinstance(value, str) else ""
                if text is None:
                    return None
                if text:
                    written.append(text)
        self._has_new_shapes = True
        keys = tuple(domain.stats)
        shape = _shape(
            keys,
            lines,
            values,
            len(written),
            names=_name_places(keys) if self._wanted.depends_on_names else (),
            made=self._made(keys, lines) if self._counts else {},
        )
        shared = self._shapes.setdefault(shape.keys, shape)
        if _is_alike(shared, shape):
            shape = shared  # So thousands of domains alike have one template among them.
        return _Compiled(
            shape,
            domain.name,
            dict(domain.labels),
            domain.devices,
            shape.texts(values),
            tuple(written),
        )

    def _made(self, keys: tuple[str, ...], lines: list[_Line]) -> Made:
        """The series of a domain with these keys and lines; of rates, as many as there can be."""
        found: dict[Maker, Amount] = {}

        def add(name: str, by: str, lists: int, series: int) -> None:
            before = found.get(Maker(name, by), Amount(0, 0))
            found[Maker(name, by)] = Amount(before.lists + lists, before.series + series)

        for line in lines:
            # KVM's statistics stand in others' lines.
            owner = next((field for field in line.fields if not field.row.kvm), line.fields[0])
            for field in line.fields:
                add(field.row.measurement, _asked_by(field.row), int(field is owner), 1)
        if self._totals is not None:
            for measurement, group, name in self._totals.names(keys):
                if self._wanted.wants_field(measurement, name):
                    maker = Maker(measurement, f"totals {group}")
                    add(*maker, int(maker not in found), 1)
        if self._derived is not None and self._derived.sends_rates:
            for measurement, lists, series in most_of(keys):
                add(measurement, "rates", lists, series)
        return found

    # -- all devices together

    def _total_lines(self, totals: LineTotals, domain: DomainSample, time: str) -> Iterator[str]:
        tags, wants = "", self._wanted.field
        for measurement, fields in totals.of(domain):
            if wants is not None:
                fields = [field for field in fields if wants(measurement, field[0])]
            if fields:
                tags = tags or _written_tags(self._domain_tags(domain))
                written = [f"{name}={min(value, UINT64_MAX)}u" for name, value in fields]
                yield _sorted_line(measurement + tags, written, time)

    # -- what follows of counters

    def _rate_lines(
        self, domain: DomainSample, groups: Iterable[RateGroup], time: str
    ) -> Iterator[str]:
        for group in groups:
            if not self._wants_rates(domain, group):
                continue
            tags = self._domain_tags(domain)
            if group.table.tag:
                tags[group.table.tag] = group.device
            if group.table.group in self._tagged:
                tags.update(device_tags(domain.devices, group.table.group, group.device))
            head = group.table.measurement + _written_tags(tags)
            fields = [
                f"{row.field}={float(value)!r}"
                for row, value in group.values
                if self._wanted.wants_field(group.table.measurement, row.field)
            ]
            if fields:
                yield _sorted_line(head, fields, time)

    def _wants_rates(self, domain: DomainSample, group: RateGroup) -> bool:
        wants = self._wanted.devices.get(group.table.group)
        return wants is None or wants(domain.name, group.device)

    # -- what is known beside the statistics

    def _figure_lines(self, sample: Sample, time: str) -> Iterator[str]:
        for domain in sample.domains:
            for table, device, nic, values in figures_of(domain, self._figures):
                tags = {**self._domain_tags(domain), table.tag: device}
                if nic is not None:
                    tags.update(interface_tags(nic))
                elif table.tag == schema.DEVICE_TAG and "block" in self._tagged:
                    tags.update(device_tags(domain.devices, "block", device))
                fields = [
                    f"{row.field}={int(values[row.field])}i"
                    if row.whole
                    else f"{row.field}={float(values[row.field])!r}"
                    for row in table.rows
                    if row.field in values
                ]
                if fields:
                    yield _sorted_line(table.measurement + _written_tags(tags), fields, time)

    # -- jobs

    def _job_lines(self, domain: DomainSample, jobs: Jobs, time: str) -> Iterator[str]:
        for job in jobs.of(domain):
            fields = []
            for name, value in job.values.items():
                wire = schema.Wire[KNOWN[name].wire] if name in KNOWN else schema.Wire.ANY
                text = RENDER[wire](value)
                if text is not None:
                    fields.append(f"{schema.valid_name(name)}={text}")
            if fields and not job.is_old:
                tags = _written_tags({**self._domain_tags(domain), **job.tags})
                yield _sorted_line(JOB_MEASUREMENT + tags, fields, time)

    # -- what we tell of our own work

    def _own_lines(self, sample: Sample, time: str) -> str:
        values = {row.field: getattr(sample.round, row.field) for row in schema.ROUND_FIELDS}
        tags = _written_tags({schema.ROUND_TAG: sample.uri, schema.VERSION_TAG: self._version})
        lines = [_own_line(schema.ROUND_MEASUREMENT + tags, schema.ROUND_FIELDS, values, time)]
        back = {change.uuid for change in sample.changes if change.responsive}
        for domain in sample.domains:
            if domain.status is not Status.FRESH or domain.uuid in back:
                head = schema.DOMAIN_MEASUREMENT + _written_tags(self._domain_tags(domain))
                values = _domain_values(domain, sample.time_ns)
                lines.append(_own_line(head, schema.DOMAIN_FIELDS, values, time))
        lines += self._event_lines(sample)
        lines += self._agent_lines(sample)
        return "".join(lines)

    def _agent_lines(self, sample: Sample) -> Iterator[str]:
        """What guest agents answered, each at the time of its own answer."""
        if not sample.agents:
            return
        domains = {domain.uuid: domain for domain in sample.domains}
        for agent in sample.agents:
            domain = domains.get(agent.uuid)
            if domain is not None:
                for measurement, tags, fields, values in lines_of(agent):
                    head = measurement + _written_tags({**self._domain_tags(domain), **tags})
                    yield _own_line(head, fields, values, str(agent.time_ns))

    def _event_lines(self, sample: Sample) -> Iterator[str]:
        """Each event at its own time; no two of one series at the same, or one would be lost."""
        if not sample.events:
            return
        tags_of = {domain.uuid: self._domain_tags(domain) for domain in sample.domains}
        used: set[tuple[str, int]] = set()
        for event in sample.events:
            tags = dict(tags_of.get(event.uuid, ())) if event.uuid else {}
            tags.update(zip(schema.EVENT_TAGS, (event.kind, event.event)))
            if event.uuid:
                tags.update(domain_name=event.name, uuid=event.uuid)
            else:
                tags[schema.ROUND_TAG] = sample.uri
            head, time_ns = schema.EVENT_MEASUREMENT + _written_tags(tags), event.time_ns
            while (head, time_ns) in used:
                time_ns += 1
            used.add((head, time_ns))
            values = _event_values(event)
            rows = [row for row in schema.EVENT_FIELDS if row.field in values]
            yield _own_line(head, rows, values, str(time_ns))


def _fill_in(compiled: _Compiled, values: _Values, time: str) -> Optional[str]:
    """A domain's lines with the values of this sample; None if a value has an unusual form."""
    shape = compiled.shape
    try:
        shape.check(*shape.numbers(values))
    except struct.error:
        return None
    if bool in map(type, shape.untyped(values)):
        return None
    live = [RENDER[wire](values[at]) for at, wire in shape.live]
    if None in live:
        return None
    return shape.template % shape.slots((time, *compiled.written, *live, *values))


def _shape(
    keys: tuple[str, ...],
    lines: list[_Line],
    values: _Values,
    written: int,
    names: Iterable[int],
    made: Made,
) -> _Shape:
    """The shape of stats with these keys and types of values.

    :param written: how many written texts a domain of the shape has.
    :param names: positions of texts on which the lines depend though none may have them.
    """
    texts: list[int] = list(names)
    numbers: list[int] = []
    checks: list[str] = []
    untyped: list[int] = []
    live: list[tuple[int, schema.Wire]] = []
    parts: list[str] = []
    # A slot is a pair: 0 the time, 1 a written text, 2 a live text, 3 a value; and which.
    slots: list[tuple[int, int]] = []
    heads_and_texts = 0
    for line in lines:
        slots.append((1, heads_and_texts))
        heads_and_texts += 1
        fields = []
        for name, at, row in line.fields:
            wire = row.wire
            if isinstance(values[at], str):
                texts.append(at)
                slots.append((1, heads_and_texts))
                heads_and_texts += 1
                fields.append(f"{name}=%s")
            elif type(values[at]) is int and wire in _AS_DIGITS:
                suffix, check = _AS_DIGITS[wire]
                numbers.append(at)
                checks.append(check)
                untyped += [at] if wire is schema.Wire.ANY else []
                slots.append((3, at))
                fields.append(f"{name}=%d{suffix}")
            else:
                slots.append((2, len(live)))
                live.append((at, wire))
                fields.append(f"{name}=%s")
        slots.append((0, 0))
        parts.append(f"%s {','.join(fields)} %s\n")
    begins = (0, 1, 1 + written, 1 + written + len(live))
    return _Shape(
        keys=keys,
        texts=picker(texts),
        numbers=picker(numbers),
        check=struct.Struct("=" + "".join(checks)).pack,
        untyped=picker(untyped),
        live=tuple(live),
        template="".join(parts),
        slots=picker([begins[source] + at for source, at in slots]),
        places=tuple([field.position for line in lines for field in line.fields]),
        made=made,
    )


def _is_alike(one: _Shape, other: _Shape) -> bool:
    """Whether shapes of the same keys have the same lines, of the same values."""
    return (one.template, one.live, one.places) == (other.template, other.live, other.places)


def _device(domain: DomainSample, row: schema.Key, indexes: _Values) -> str:
    """The name of the device that a key with an index is of; empty if it has none."""
    name = domain.stats.get(schema.DEVICE_NAMES[row.group][1].format(indexes[0]))
    return name if isinstance(name, str) else ""


def _name_places(keys: tuple[str, ...]) -> list[int]:
    """Where the names of devices stand among a domain's values."""
    return [at for at, key in enumerate(keys) if schema.place(key).row.pattern in _NAMES]


_NAMES = frozenset(key.format(schema.INDEX) for _, key in schema.DEVICE_NAMES.values())


def _asked_by(row: schema.Key) -> str:
    """What asks for a key, as a user knows it."""
    if row.kvm:
        return "kvm_statistics"
    if row.mapping:
        return "vcpu_mapping"
    return f"group {row.group}" if row.group else "any group"


def _written_tags(tags: Mapping[str, str]) -> str:
    """Tags as written, each with its comma, by name; empty ones have no form and are left out."""
    written = ((tag_value(tag), tag_value(tags[tag])) for tag in sorted(tags))
    return "".join(f",{tag}={value}" for tag, value in written if tag and value)


def _own_line(
    head: str, rows: Iterable[Union[schema.OwnField, HostRow]], values: Mapping[str, Any], time: str
) -> str:
    fields = []
    for row in rows:
        text = RENDER[row.wire](values[row.field])
        if text is not None:
            fields.append(f"{row.field}={text}")
    return _sorted_line(head, fields, time)


def _sorted_line(head: str, fields: Iterable[str], time: str) -> str:
    """A line with its fields, each as written, by name."""
    return f"{head} {','.join(sorted(fields))} {time}\n"


def _host_line(uri: str, group: HostGroup) -> str:
    """A line at the time at which its values were found."""
    head = group.table.measurement + _written_tags({schema.ROUND_TAG: uri, **group.tags})
    values = {row.field: value for row, value in group.values}
    return _own_line(head, [row for row, _ in group.values], values, str(group.time_ns))


def _event_values(event: DomainEvent) -> dict[str, Any]:
    values: dict[str, Any] = {
        "severity": event.severity,
        "detail": event.detail,
        "inferred": event.inferred,
        **event.numbers,
    }
    values.update((name, text) for name, text in (
        ("device", event.device), ("path", event.path)
    ) if text)  # fmt: skip
    return values


def _domain_values(domain: DomainSample, time_ns: int) -> dict[str, Any]:
    hangs = domain.status is Status.UNRESPONSIVE
    since = domain.since_ns if hangs and domain.since_ns is not None else time_ns
    return {
        "status": domain.status.value,
        "responsive": not hangs,
        "unresponsive_s": max(0, time_ns - since) / 1e9,
        "missing": ",".join(sorted(domain.missing)),
        "reason": domain.reason,
    }
