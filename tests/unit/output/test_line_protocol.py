"""Line protocol: any text and any number, read back by a parser that others wrote."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from typing import Any, Optional

import domstats
import pytest
from domstats.errors import ConfigError
from domstats.model import Change, DomainSample, Round, Sample, Stats, Status
from domstats.output.line_protocol import TAG_BYTES, LineProtocol, string_field, tag_value
from hypothesis import given
from hypothesis import strategies as st

from tests.line_parsers import parse_line
from tests.unit.output.key_by_key import KeyByKey
from tests.unit.rows import each_row

UUID = "11111111-2222-4333-8444-555555555555"
TIME = 1_795_374_959_000_000_000

#: Any text, and more often what the two protocols are made of.
texts = st.text(
    alphabet=st.one_of(
        st.characters(), st.sampled_from(" ,=\"'\\\n\r\t\v\f\0/#%{}:~.-"), st.just("\ud800")
    ),
    max_size=300,
)
numbers = st.one_of(
    st.integers(min_value=0, max_value=2**64 - 1),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
    st.integers(min_value=2**64, max_value=2**200),
)
values = st.one_of(numbers, st.booleans(), st.floats(), texts)


def domain(stats: Stats, name: str = "web-1", **fields: Any) -> DomainSample:
    return DomainSample(fields.pop("uuid", UUID), name, Status.FRESH, stats, **fields)


def sample(*domains: DomainSample, **fields: Any) -> Sample:
    fields = {"uri": "qemu:///system", "time_ns": TIME, "round": Round(), **fields}
    return Sample(domains=domains, **fields)


def lines(encoded: bytes) -> list[dict[str, Any]]:
    """Every line as the parser reads it."""
    assert encoded.endswith(b"\n") or not encoded
    return [parse_line(line) for line in encoded.decode().split("\n")[:-1]]


def one_line(stats: Stats, series: str = "telegraf", **fields: Any) -> dict[str, Any]:
    (line,) = lines(LineProtocol(series).encode(sample(domain(stats, **fields))))
    return line


def fields_of(stats: Stats, **options: Any) -> dict[str, Any]:
    """All fields of the domain's lines in the full series."""
    writer = LineProtocol(**options)
    found: dict[str, Any] = {}
    for line in lines(writer.encode(sample(domain(stats)))):
        if line["measurement"].startswith("libvirt_"):
            found.update(line["fields"])
    return found


def replaced(text: str) -> str:
    """The documented replacement of what no text of line protocol can carry."""
    for character, escape in ("\n", "\\n"), ("\r", "\\r"), ("\v", "\\v"), ("\f", "\\f"):
        text = text.replace(character, escape)
    text = text.replace("\0", "\\0")
    return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in text)


def replaced_in_tag(text: str) -> str:
    """The documented replacement of what a tag cannot carry; None is a tag that is left out."""
    text = text.replace('\\"', '\\x5c"')
    if text.endswith("\\"):
        text = text[:-1] + "\\x5c"
    return replaced(text).replace("\t", "\\t")


# -- texts


@given(name=texts, project=texts, device=texts, path=texts)
def test_any_text_is_read_back(name: str, project: str, device: str, path: str) -> None:
    stats: Stats = {
        "block.0.name": device,
        "block.0.path": path,
        "block.0.rd.bytes": 1,
    }
    writer = LineProtocol()
    encoded = writer.encode(sample(domain(stats, name, labels={"project": project})))
    line, _ = lines(encoded)
    expected = {
        "block_id": "0",
        "device": replaced_in_tag(device),
        "domain_name": replaced_in_tag(name),
        "project": replaced_in_tag(project),
        "uuid": UUID,
    }
    assert line["tags"] == {tag: value for tag, value in expected.items() if value}
    assert line["fields"] == {"name": replaced(device), "path": replaced(path), "rd_bytes": 1}
    assert line["time"] == TIME


@given(name=texts)
def test_a_text_never_makes_a_second_line(name: str) -> None:
    encoded = LineProtocol("telegraf").encode(sample(domain({"net.0.name": name}, name)))
    assert encoded.count(b"\n") == 1
    assert b"\r" not in encoded


def test_a_name_cannot_smuggle_in_a_line_of_another_domain() -> None:
    name = "x state=1i 1\nlibvirt_state,domain_name=victim state=5i"
    line = one_line({"state.state": 1}, name=name)
    assert line["tags"] == {"domain_name": name.replace("\n", "\\n")}


def test_tags_are_written_as_telegraf_writes_them() -> None:
    assert tag_value("a b,c=d") == r"a\ b\,c\=d"
    assert tag_value('"quoted"') == '"quoted"'
    assert tag_value("C:\\dir\\file") == "C:\\dir\\file"
    assert tag_value("two\nlines\tand a tab") == r"two\nlines\tand\ a\ tab"


def test_a_backslash_that_a_tag_cannot_carry_is_spelled_out() -> None:
    assert tag_value("end\\\\") == "end\\\\x5c"
    assert tag_value('say \\"hi"') == r'say\ \x5c"hi"'


def test_strings_are_written_as_telegraf_writes_them() -> None:
    assert string_field('C:\\dir "x", y=z') == r'"C:\\dir \"x\", y=z"'


def test_an_empty_tag_is_left_out() -> None:
    assert one_line({"state.state": 1}, "telegraf", name="")["tags"] == {}


def test_a_monstrous_label_is_cut_at_a_characters_boundary() -> None:
    value = one_tag({"note": "ü" * 40_000})["note"]
    assert value == "ü" * (TAG_BYTES // 2)
    assert one_tag({"note": "x" + "ü" * 40_000})["note"] == "x" + "ü" * (TAG_BYTES // 2 - 1)


def one_tag(labels: dict[str, str]) -> dict[str, str]:
    encoded = LineProtocol().encode(sample(domain({"state.state": 1}, labels=labels)))
    tags: dict[str, str] = lines(encoded)[0]["tags"]
    return tags


def test_a_label_cannot_pass_for_another_domain() -> None:
    tags = one_tag({"domain_name": "victim", "uuid": "0", "project": "p"})
    assert tags == {"domain_name": "web-1", "uuid": UUID, "project": "p"}


def test_tags_are_sorted_wherever_a_label_falls() -> None:
    stats: Stats = {"vcpu.3.time": 1}
    encoded = LineProtocol().encode(sample(domain(stats, labels={"zone": "z", "a": "b"})))
    head = encoded.split(b" ")[0].decode()
    assert head == f"libvirt_vcpu,a=b,domain_name=web-1,uuid={UUID},vcpu_id=3,zone=z"


# -- numbers


def clamped(number: int, least: int, most: int) -> int:
    return max(least, min(number, most))


@given(number=numbers)
def test_an_unsigned_field_holds_all_that_is_not_negative(number: int) -> None:
    expected = {} if number < 0 else {"current": clamped(number, 0, 2**64 - 1)}
    assert fields_of({"balloon.current": number}) == expected


@given(number=numbers)
def test_a_signed_field_holds_what_64_bits_hold(number: int) -> None:
    assert fields_of({"state.reason": number}) == {"reason": clamped(number, -(2**63), 2**63 - 1)}


@given(number=numbers)
def test_an_integer_that_nobody_knows_is_unsigned_for_good(number: int) -> None:
    encoded = LineProtocol().encode(sample(domain({"new.thing": number})))
    if number < 0:
        assert b"libvirt_new" not in encoded
    else:
        assert f" thing={clamped(number, 0, 2**64 - 1)}u {TIME}\n".encode() in encoded


@given(number=st.floats(allow_subnormal=False))
def test_a_float_is_read_back_unless_there_is_no_such_number(number: float) -> None:
    expected = {"thing": number} if math.isfinite(number) else {}
    assert fields_of({"new.thing": number}) == expected


def test_booleans_stay_booleans_where_nobody_knows_the_key() -> None:
    assert fields_of({"new.thing": True, "new.other": False}) == {"thing": True, "other": False}


@each_row(("value", "written"), [(True, b"1i"), (False, b"0i"), ("yes", b"1i")])
def test_a_halted_vcpu_is_an_integer_as_in_inputs_libvirt(value: Any, written: bytes) -> None:
    encoded = LineProtocol("telegraf").encode(sample(domain({"vcpu.0.halted": value})))
    assert b" halted=%s,halted_i=%s " % (written, written) in encoded


def test_a_text_where_a_number_belongs_is_left_out() -> None:
    assert fields_of({"balloon.current": "1u,x=2", "balloon.maximum": 5}) == {"maximum": 5}


def test_a_number_where_a_text_belongs_is_left_out() -> None:
    assert fields_of({"net.0.name": 5, "net.0.rx.bytes": 1}) == {"rx_bytes": 1}


def test_a_float_where_an_integer_belongs_must_be_whole() -> None:
    assert fields_of({"balloon.current": 4.0, "balloon.maximum": 4.5}) == {"current": 4}


def test_a_line_without_fields_is_no_line() -> None:
    assert LineProtocol("telegraf").encode(sample(domain({"balloon.current": -1}))) == b""
    assert LineProtocol("telegraf").encode(sample(domain({}))) == b""
    assert LineProtocol("telegraf").encode(sample()) == b""


# -- what is sent


def test_each_round_tells_the_version_of_the_package() -> None:
    (round_,) = lines(LineProtocol().encode(sample()))
    assert round_["measurement"] == "domstats_round"
    assert round_["tags"]["version"] == domstats.__version__


def test_a_vcpu_on_no_cpu_has_no_cpu_id() -> None:
    assert fields_of({"vcpu.0.cpu": -1, "vcpu.0.state": 0}) == {"state": 0}


def test_statistics_of_the_hypervisor_come_on_demand() -> None:
    stats: Stats = {"vcpu.0.exits.sum": 5, "vm.pages.cur": 6}
    assert fields_of(stats) == {}
    assert fields_of(stats, kvm_statistics=True) == {"exits_sum": 5, "pages_cur": 6}
    assert LineProtocol("telegraf", kvm_statistics=True).encode(sample(domain(stats))) == b""


def test_the_mapping_of_vcpus_comes_on_demand() -> None:
    stats: Stats = {"vcpu.0.cpu": 5, "vcpu.0.affinity": "0,5"}
    assert fields_of(stats, vcpu_mapping=False) == {}
    measured = {
        line["measurement"]: line["fields"]
        for line in lines(LineProtocol("telegraf").encode(sample(domain(stats))))
    }
    assert measured == {
        "libvirt_vcpu": {"cpu_id": 5},
        "libvirt_cpu_affinity": {"cpu_id": "0,5"},
    }


def test_the_affinity_needs_no_group_and_the_cpu_needs_vcpu() -> None:
    stats: Stats = {"vcpu.0.cpu": 5, "vcpu.0.affinity": "0,5"}
    assert fields_of(stats, groups=("state",)) == {"cpu_id": "0,5"}


def test_groups_that_nobody_asked_for_stay_out() -> None:
    stats: Stats = {"state.state": 1, "balloon.current": 2, "net.0.new": 3, "new.thing": 4}
    assert fields_of(stats, groups=("balloon",)) == {"current": 2, "thing": 4}


def test_a_foreign_key_cannot_take_a_known_field() -> None:
    stats: Stats = {"balloon.last_update": 99, "balloon.last-update": 5}
    assert fields_of(stats) == {"last_update": 5}


def test_an_unknown_series_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"'ful'.*full and telegraf"):
        LineProtocol("ful")


def test_a_domain_that_hangs_is_told_of_until_it_is_back() -> None:
    writer = LineProtocol()
    hung = domain({}, since_ns=TIME - 5_000_000_000, missing=frozenset({"cpu_total", "block"}))
    hung.status = Status.UNRESPONSIVE
    told = told_of(writer, sample(hung))
    assert told is not None
    assert (told["status"], told["responsive"], told["unresponsive_s"], told["missing"]) == (
        "unresponsive", 0, 5.0, "block,cpu_total",
    )  # fmt: skip
    back = sample(domain({}), changes=(Change(UUID, "web-1", True, TIME),))
    told = told_of(writer, back)
    assert told is not None
    assert (told["status"], told["responsive"], told["unresponsive_s"]) == ("fresh", 1, 0.0)
    assert told_of(writer, sample(domain({}))) is None


def told_of(writer: LineProtocol, of: Sample) -> Optional[dict[str, Any]]:
    found = [p["fields"] for p in lines(writer.encode(of)) if p["measurement"] == "domstats_domain"]
    return found[0] if found else None


# -- with only the numbers filled in


def both(*samples: Sample, **options: Any) -> tuple[list[bytes], list[bytes]]:
    """Samples one after the other, key by key, and filled in."""
    plain, compiled = KeyByKey(**options), LineProtocol(**options)
    return [plain.encode(s) for s in samples], [compiled.encode(s) for s in samples]


keys = st.sampled_from(
    ["state.state", "cpu.time", "net.0.name", "net.0.rx.bytes", "block.1.name", "block.1.path",
     "block.1.rd.bytes", "block.1.timed_group.0.rd_queue_depth_avg", "vcpu.0.halted",
     "vcpu.0.cpu", "vcpu.0.exits.sum", "vm.busy.cur", "new.thing", "new-thing.3.x", "%d.%s"]
)  # fmt: skip
some_domains = st.dictionaries(
    st.sampled_from(["u1", "u2", "u3"]),
    st.tuples(
        st.sampled_from(["web-1", "ünï \\", "🖥"]),
        st.dictionaries(keys, values, max_size=8),
        st.dictionaries(st.sampled_from(["project", "zone"]), texts, max_size=2),
    ),
    max_size=3,
)


@given(rounds=st.lists(some_domains, min_size=2, max_size=4), kvm=st.booleans())
def test_filled_in_or_key_by_key_is_the_same(
    rounds: list[Mapping[str, tuple[str, Stats, dict[str, str]]]], kvm: bool
) -> None:
    samples = [
        sample(
            *(domain(s, n, uuid=uuid, labels=labels) for uuid, (n, s, labels) in seen.items()),
            time_ns=TIME + number,
        )
        for number, seen in enumerate(rounds)
    ]
    plain, compiled = both(*samples, kvm_statistics=kvm)
    assert plain == compiled


@given(first=st.lists(values, min_size=15, max_size=15), others=st.data())
def test_the_same_keys_with_other_values_are_the_same_either_way(
    first: list[Any], others: st.DataObject
) -> None:
    names = [*string.ascii_lowercase[:13], "balloon.current", "vcpu.0.halted"]
    second = [others.draw(st.sampled_from([value, others.draw(values)])) for value in first]
    samples = [
        sample(*(domain(dict(zip(names, seen)), uuid=uuid) for uuid in ("u1", "u2")))
        for seen in (first, second, first)
    ]
    samples[1].domains[0].stats.update(zip(names, first))
    plain, compiled = both(*samples)
    assert plain == compiled


def test_an_empty_domain_and_a_round_without_domains_are_the_same_either_way() -> None:
    plain, compiled = both(sample(domain({})), sample(), sample(domain({"state.state": 1})))
    assert plain == compiled


def test_domains_alike_share_what_was_worked_out() -> None:
    writer = LineProtocol()
    stats: Stats = {"state.state": 1, "net.0.name": "a"}
    alike = [domain({**stats, "net.0.name": f"tap{n}"}, f"d{n}", uuid=f"u{n}") for n in range(50)]
    writer.encode(sample(*alike))
    assert len(writer._shapes) == 1
    assert len({id(known.shape) for known in writer._compiled}) == 1


def test_rounds_that_ask_for_fewer_groups_do_not_make_it_work_out_the_others_again() -> None:
    writer, few = LineProtocol(), frozenset({"state"})
    for _ in range(3):
        writer.encode(sample(domain({"state.state": 1, "iothread.count": 1})))
        writer.encode(sample(domain({"state.state": 1}), groups=few))
        kept = {id(known) for known in writer._compiled}
    assert len(kept) == 2
    writer.encode(sample(domain({"state.state": 2, "iothread.count": 2})))
    assert {id(known) for known in writer._compiled} == kept


def test_what_was_worked_out_goes_with_the_domain() -> None:
    writer = LineProtocol()
    for number in range(20):
        writer.encode(sample(domain({f"new.k{number}": 1}, uuid=f"u{number}")))
        assert (len(list(writer._compiled)), len(writer._shapes)) == (1, 1)
    writer.encode(sample())
    assert (len(list(writer._compiled)), len(writer._shapes)) == (0, 0)


def test_a_device_is_named_although_a_key_of_others_looks_like_one() -> None:
    stats: Stats = {"block.0.name": "vda", "block.0.job.1.speed": 1, "odd.block.0.x": 2}
    tags = {
        line["measurement"]: line["tags"].get("device")
        for line in lines(LineProtocol().encode(sample(domain(stats))))
    }
    assert tags == {
        "libvirt_block": "vda",
        "libvirt_block_job": "vda",
        "libvirt_odd_block": None,
        "domstats_round": None,
    }
