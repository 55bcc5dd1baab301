"""The programs of docs/library.md, run against the simulated host."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from tests.examples import load, programs
from tests.simhost import SimHost

from .conftest import wait_until


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("callback.py", ("its CPU: guest-00001: ", "no such domain: nobody")),
        ("finish.py", ("how many: 5 of 5 domains",)),
        ("loop.py", ("guest-00001: ", ": 5 of 5 domains")),
        ("rates.py", ("guest-00004: ",)),
    ],
)
def test_the_documented_programs_do_what_they_say(program, printed, capsys):
    with SimHost(domains=5) as host:
        load(program).main(host.uri)
    out = capsys.readouterr().out
    assert [text for text in printed if text not in out] == []


def test_all_documented_programs_are_run_here():
    assert set(programs()) == {
        "callback.py",
        "daemon.py",
        "finish.py",
        "loop.py",
        "rates.py",
        "threads.py",
    }


def test_hundreds_of_domains_give_a_daemon_what_hundreds_of_threads_gave_it():
    class EnoughError(Exception):
        """Every domain's metadata is known."""

    def values(program, host, rounds):
        found, most = {}, []

        def put(name, values):
            most.append(threading.active_count())
            found[name] = values

        def done():
            if rounds > 1 and all(values["name"] for values in found.values()):
                raise EnoughError

        with suppress(EnoughError):
            load(program).run(host.uri, put, rounds, done)
        return found, max(most)

    with SimHost(domains=120, disks=1, interfaces=1) as host:
        before = threading.active_count()
        old, old_threads = values("threads.py", host, 1)
        wait_until(lambda: threading.active_count() <= before)
        new, new_threads = values("daemon.py", host, 1000)
    assert new_threads - before <= 20 < 120 <= old_threads - before
    assert old.keys() == new.keys()
    for name, earlier in old.items():
        later = new[name]
        assert earlier.keys() == later.keys()
        assert earlier["name"] == later["name"]
        assert earlier["state"] == later["state"]
        assert earlier["vcpus"] == later["vcpus"]
        assert earlier["memory"] == later["memory"]
        for key in earlier.keys() - {"name", "state", "vcpus", "memory"}:
            pairs = list(zip(earlier[key], later[key]))
            if key.startswith("disk "):
                del pairs[1]  # allocation: of another kind, as the document says
            assert len(earlier[key]) == len(later[key])
            assert all(0.99 * first <= second for first, second in pairs), (name, key, pairs)
