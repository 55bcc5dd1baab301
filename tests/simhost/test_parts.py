"""The parts that need neither a socket nor libvirt."""

from __future__ import annotations

import asyncio

import pytest

from tests.simhost import keys, procedures, wire, xdr
from tests.simhost.model import Hypervisor, Shape
from tests.simhost.records import Records
from tests.simhost.workers import Job, Pool

GROUPS = [*keys.GROUPS.values(), keys.ALL_GROUPS]


def test_what_xdr_writes_it_reads():
    content = (
        xdr.uint(7)
        + xdr.int32(-7)
        + xdr.uhyper(2**64 - 1)
        + xdr.hyper(-(2**63))
        + xdr.double(0.5)
        + xdr.string("naïve")
        + xdr.optional(None)
        + xdr.optional(xdr.string(b"\xff"))
        + xdr.array([xdr.uint(1), xdr.uint(2)])
    )
    reader = xdr.Reader(content)
    assert len(content) % 4 == 0
    assert (reader.uint(), reader.int32()) == (7, -7)
    assert (reader.uhyper(), reader.hyper(), reader.double()) == (2**64 - 1, -(2**63), 0.5)
    assert reader.string() == "naïve"
    assert reader.optional(reader.string) is None
    assert reader.optional(reader.string) == "\udcff"
    assert reader.array(reader.uint, most=2) == [1, 2]
    assert reader.rest == 0


@pytest.mark.parametrize("content", [b"", b"\0\0", xdr.uint(5) + b"1234", xdr.uint(2**32 - 1)])
def test_xdr_that_ends_too_early_is_malformed(content):
    with pytest.raises(xdr.Malformed):
        xdr.Reader(content).string()


def test_xdr_arrays_beyond_their_limit_are_malformed():
    reader = xdr.Reader(xdr.array([xdr.uint(1)] * 3))
    with pytest.raises(xdr.Malformed):
        reader.array(reader.uint, most=2)


def test_messages_are_cut_out_of_a_stream_however_it_is_chopped():
    sent = [
        wire.Message(wire.REMOTE_PROGRAM, 1, n, wire.CALL, n, wire.OK, b"body" * n)
        for n in range(5)
    ]
    stream = b"".join(map(wire.frame, sent))
    for step in (1, 3, 28, 1000):
        splitter, taken = wire.Splitter(), []
        for start in range(0, len(stream), step):
            splitter.feed(stream[start : start + step])
            while (message := splitter.take()) is not None:
                taken.append(message)
        assert taken == sent


@pytest.mark.parametrize("length", [0, 3, 27, wire.MESSAGE_MAX + 5])
def test_a_length_no_message_has_is_a_bad_frame(length):
    splitter = wire.Splitter()
    splitter.feed(xdr.uint(length) + b"\0" * 24)
    with pytest.raises(wire.BadFrame):
        splitter.take()


@pytest.mark.parametrize("level", keys.TOLD)
@pytest.mark.parametrize("backing", [False, True])
def test_a_record_is_the_same_whole_and_in_pieces(level, backing):
    shape = Shape(iothreads=2, kvm=True, backing=1, cdrom="sda", perf_events=("cmt",))
    hypervisor = Hypervisor(seed=3)
    domain, records = hypervisor.add(shape=shape), Records(3)
    for groups in GROUPS:
        whole = records.record(domain, groups, level, 50, backing)
        count, pieces = 0, b""
        for group in keys.GROUPS.values():
            if groups & group:
                number, piece = records.piece(domain, group, level, 50, 50, backing)
                count, pieces = count + number, pieces + piece
        assert whole == wire.identity(domain.identity) + xdr.uint(count) + pieces
        identity, parameters = wire.read_record(xdr.Reader(whole))
        assert identity == domain.identity
        assert len(parameters) == count


def test_a_changed_domain_is_encoded_anew():
    hypervisor, records = Hypervisor(), Records(0)
    domain = hypervisor.add()

    def state():
        record = records.record(domain, keys.STATE, keys.FULL, 1)
        return wire.read_record(xdr.Reader(record))

    assert state()[1][0].value == 1
    hypervisor.suspend(domain)
    assert state()[1][0].value == 3
    hypervisor.rename(domain, "other")
    assert state()[0].name == "other"


def test_the_job_goes_to_who_waits_longest():
    domain, told = Hypervisor().add(), []
    assert domain.take_job("first")
    assert not domain.take_job("second")
    domain.job_waiters.extend([lambda: told.append(2), lambda: told.append(3)])
    domain.end_job()
    assert told == [2]
    assert domain.take_job("second")


def test_priority_workers_take_only_priority_calls():
    async def scene():
        pool, gate, begun = Pool(workers=2, priority_workers=1), asyncio.Event(), []

        def job(name, priority):
            async def run():
                begun.append(name)
                await gate.wait()

            return Job(run, priority, client=1)

        for name in ("a", "b", "c", "d"):
            pool.submit(job(name, priority=False))
        pool.submit(job("list", priority=True))
        pool.submit(job("open", priority=True))
        await asyncio.sleep(0)
        assert begun == ["a", "b", "list"]
        assert (pool.busy.ordinary, pool.busy.priority, pool.queued) == (2, 1, 3)
        assert pool.held_by_client() == {1: 3}
        gate.set()
        while pool.busy != (0, 0):
            await asyncio.sleep(0)
        assert set(begun) == {"a", "b", "c", "d", "list", "open"}
        assert pool.most == (2, 1)

    asyncio.run(scene())


def test_procedures_that_ask_a_monitor_have_no_priority():
    asking = {
        *("ConnectGetAllDomainStats", "DomainMemoryStats", "DomainBlockStats"),
        *("DomainGetBlockInfo", "DomainGetDiskErrors", "DomainGetIOThreadInfo"),
    }
    assert not {procedures.NUMBERS[name] for name in asking} & procedures.PRIORITY
    prompt = {"ConnectListAllDomains", "DomainGetControlInfo", "ConnectOpen", "DomainGetState"}
    assert {procedures.NUMBERS[name] for name in prompt} <= procedures.PRIORITY
