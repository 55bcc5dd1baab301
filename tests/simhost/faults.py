"""What a test may make go wrong with answers: delays, errors, answers that are distorted. Pure:
the server asks here what to do with each answer, and tests set it through the control channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from . import wire, xdr

Answer = list[tuple[wire.Identity, list[wire.Parameter]]]

EVERY = "*"  # stands for all procedures
ENDLESS = -1  # times

_MANY = 10_000
_HOSTILE_TEXTS = (
    b"new\nline",
    b'comma,space equals=quote"backslash\\',
    b"",
    b"\x1b[31mred\x07",
    "\u202egnp.exe \U0001f525".encode(),
    b"x" * 70_000,
    b"../../etc/passwd",
    b"${PATH} $(reboot) `id`",
    b"nul\0inside",
)
_BROKEN_TEXT = b"not utf-8 \xff\xfe\x80"
_UNKNOWN = (
    wire.Parameter("quantum.entanglement", wire.ULLONG, 42),
    wire.Parameter("vcpu.0.teleports.sum", wire.ULLONG, 7),
    wire.Parameter("block.0.zone.append.reqs", wire.ULLONG, 3),
    wire.Parameter("net.0.rx.jumbo", wire.DOUBLE, 0.5),
    wire.Parameter("cpu.mood", wire.STRING, "sunny"),
    wire.Parameter("flux", wire.BOOLEAN, True),
    wire.Parameter("block.7.rd.bytes", wire.ULLONG, 1),
)


def _each(change: Callable[[list[wire.Parameter]], list[wire.Parameter]]):
    return lambda answer: [(identity, change(parameters)) for identity, parameters in answer]


def _wrong_types(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    """Numbers as texts, texts as numbers, wide as narrow and signed."""
    turned = []
    for n, (name, type, value) in enumerate(parameters):
        if type == wire.STRING:
            turned.append(wire.Parameter(name, wire.ULLONG, n))
        elif n % 3 == 0:
            turned.append(wire.Parameter(name, wire.STRING, str(value)))
        elif n % 3 == 1:
            turned.append(wire.Parameter(name, wire.DOUBLE, float("nan") if n % 2 else -1.5))
        else:
            turned.append(wire.Parameter(name, wire.LLONG, -n))
    return turned


def _many_keys(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    return parameters + [
        wire.Parameter(f"block.{n}.rd.bytes", wire.ULLONG, n) for n in range(_MANY)
    ]


def _hostile_texts(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    texts = (_HOSTILE_TEXTS[n % len(_HOSTILE_TEXTS)] for n in range(len(parameters)))
    turned = [p._replace(value=next(texts)) if p.type == wire.STRING else p for p in parameters]
    return turned + [wire.Parameter(f"text.{n}", wire.STRING, t) for n, t in enumerate(texts)]


def _broken_texts(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    """Not UTF-8: libvirt-python cannot even hand the answer over (UnicodeDecodeError)."""
    return [*parameters, wire.Parameter("cpu.mood", wire.STRING, _BROKEN_TEXT)]


_HOSTILE_KEYS = (
    "", ".", "..", "cpu", "cpu.", "block.-1.rd.bytes", "block.99999999999.rd.bytes",
    "vcpu.x.time", "net.0", "a b,c=d", "new\nline", "cpu.time\0.x",
)  # fmt: skip


def _hostile_keys(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    """libvirt's client cuts names at 79 bytes or refuses them, so these are short."""
    return parameters + [wire.Parameter(name, wire.ULLONG, 1) for name in _HOSTILE_KEYS]


def _extreme(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    largest = {wire.ULLONG: 2**64 - 1, wire.LLONG: -(2**63), wire.UINT: 2**32 - 1}
    return [p._replace(value=largest.get(p.type, p.value)) for p in parameters]


def _backwards(parameters: list[wire.Parameter]) -> list[wire.Parameter]:
    """Counters as if the guest had been restarted."""
    return [
        p._replace(value=int(p.value) // 7) if p.type == wire.ULLONG else p for p in parameters
    ]


def _duplicate_names(answer: Answer) -> Answer:
    if not answer:
        return answer
    first = answer[0][0].name
    return [(identity._replace(name=first), parameters) for identity, parameters in answer]


def _strangers(answer: Answer) -> Answer:
    """Domains nobody asked for, with uuids nobody knows."""
    return answer + [
        (wire.Identity(f"stranger-{n}", bytes([n]) * 16, 100_000 + n), parameters)
        for n, (_, parameters) in enumerate(answer[:20])
    ]


# What may become of the records of a bulk answer.
OF_RECORDS: dict[str, Callable[[Answer], Answer]] = {
    "unknown_keys": _each(lambda parameters: parameters + list(_UNKNOWN)),
    "missing_keys": _each(lambda parameters: parameters[::2]),
    "no_keys": _each(lambda parameters: []),
    "many_keys": lambda answer: [(i, _many_keys(p)) for i, p in answer[:1]] + answer[1:],
    "duplicate_keys": _each(lambda parameters: parameters + parameters),
    "wrong_types": _each(_wrong_types),
    "unknown_types": _each(lambda p: [*p, wire.Parameter("cpu.odd", 99, "?")]),
    "hostile_texts": _each(_hostile_texts),
    "hostile_keys": _each(_hostile_keys),
    "broken_texts": _each(_broken_texts),
    "extreme": _each(_extreme),
    "backwards": _each(_backwards),
    "empty": lambda answer: [],
    "half": lambda answer: answer[::2],
    "duplicate_names": _duplicate_names,
    "duplicate_records": lambda answer: answer + answer,
    "strangers": _strangers,
    "shuffled": lambda answer: answer[1::2] + answer[::2],
}


def _reframed(message: wire.Message, **changes) -> bytes:
    return wire.frame(message._replace(**changes))


def _garbage(message: wire.Message) -> bytes:
    body = bytes((37 * n + 11) % 256 for n in range(max(len(message.body), 64)))
    return _reframed(message, body=body)


def _huge_count(message: wire.Message) -> bytes:
    return _reframed(message, body=xdr.uint(2**32 - 1) + message.body[4:])


# What may become of any reply as bytes. Where the client cannot know where the next message
# begins, the connection is closed after it (second value).
OF_REPLIES: dict[str, tuple[Callable[[wire.Message], bytes], bool]] = {
    "truncated": (lambda m: _reframed(m, body=m.body[: len(m.body) // 2 & ~3]), False),
    "trailing": (lambda m: _reframed(m, body=m.body + b"\0\0\0\7" * 8), False),
    "garbage": (_garbage, False),
    "huge_count": (_huge_count, False),
    "no_body": (lambda m: _reframed(m, body=b""), False),
    "cut_off": (lambda m: wire.frame(m)[: 28 + len(m.body) // 2], True),
    "half_header": (lambda m: wire.frame(m)[:14], True),
    "oversize": (lambda m: xdr.uint(wire.MESSAGE_MAX + 5) + wire.frame(m)[4:], True),
    "undersize": (lambda m: xdr.uint(3) + wire.frame(m)[4:], True),
    "wrong_serial": (lambda m: _reframed(m, serial=m.serial + 77_777), False),
    "wrong_program": (lambda m: _reframed(m, program=0x1234), False),
    "wrong_procedure": (lambda m: _reframed(m, procedure=m.procedure + 1), False),
    "wrong_type": (lambda m: _reframed(m, type=7), False),
    "wrong_status": (lambda m: _reframed(m, status=9), False),
    "silence": (lambda m: b"", False),
    "close": (lambda m: b"", True),
}

MODES = sorted({**OF_RECORDS, **OF_REPLIES})


@dataclass
class _Limited:
    """Something that happens so many times, or ENDLESS."""

    what: object
    times: int

    def use(self):
        if self.times == 0:
            return None
        if self.times > 0:
            self.times -= 1
        return self.what


@dataclass
class Faults:
    """What is wrong now. Procedures are numbers, or EVERY."""

    delays: dict = field(default_factory=dict)
    bulk_refused: bool = False
    writers_refused: bool = False
    answer_pings: bool = True
    _errors: dict = field(default_factory=dict)
    _distortions: dict = field(default_factory=dict)

    def set_error(self, procedure, refusal: wire.Refusal, times: int) -> None:
        self._errors[procedure] = _Limited(refusal, times)

    def set_distortion(self, procedure, mode: str, times: int) -> None:
        if mode not in OF_RECORDS and mode not in OF_REPLIES:
            raise ValueError(f"no such mode: {mode}; there are {', '.join(MODES)}")
        self._distortions[procedure] = _Limited(mode, times)

    def clear(self) -> None:
        """Everything is well again."""
        self.delays.clear()
        self._errors.clear()
        self._distortions.clear()
        self.bulk_refused = self.writers_refused = False
        self.answer_pings = True

    def delay(self, procedure: int) -> float:
        """Seconds a call of this procedure lasts longer; its worker is held meanwhile."""
        return self.delays.get(procedure, 0.0) + self.delays.get(EVERY, 0.0)

    def error(self, procedure: int) -> wire.Refusal | None:
        """The error to answer with, if any; used up by this question."""
        return self._use(self._errors, procedure)

    def distortion(self, procedure: int) -> str | None:
        """The mode to distort the answer with, if any; used up by this question."""
        return self._use(self._distortions, procedure)

    @staticmethod
    def _use(table: dict, procedure: int):
        for wanted in (procedure, EVERY):
            if wanted in table:
                found = table[wanted].use()
                if found is not None:
                    return found
        return None
