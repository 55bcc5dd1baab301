"""What a storage pool's XML says of its type and place."""

from __future__ import annotations

from domstats.domain_xml.pool import PoolPlace, pool_place


def test_type_and_place_of_a_pool() -> None:
    of_folder = "<pool type='dir'><name>x</name><target><path>/srv/a b</path></target></pool>"
    assert pool_place(of_folder) == PoolPlace("dir", "/srv/a b")
    assert pool_place("<pool type='rbd'><source><name>p</name></source></pool>") == ("rbd", "")


def test_nothing_of_what_cannot_be_read() -> None:
    entities = "<!DOCTYPE pool [<!ENTITY a 'b'>]><pool type='dir'/>"
    for text in ("", "<pool", "\ud800", entities, "<pool type='dir'>" + " " * 2**20 + "</pool>"):
        assert pool_place(text) == PoolPlace()
