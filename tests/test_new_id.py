"""Ids: their form, and that no two are equal however quickly they are made."""

from __future__ import annotations

import uuid

from anylearn_jupyter.entities import is_id, new_id

MANY = 200_000


def test_no_two_ids_are_equal_however_many_are_made() -> None:
    """Four digits of a UUID's time fall away: what is left comes again every 6.6 ms."""
    assert len({new_id("TRAI") for _ in range(MANY)}) == MANY


def test_an_id_is_a_version_1_uuid_under_its_prefix() -> None:
    made = new_id("DSET")
    assert is_id(made, "DSET")
    behind = uuid.UUID("0000" + made[4:])
    assert (behind.version, behind.variant) == (1, uuid.RFC_4122)


def test_an_id_does_not_tell_the_address_of_a_network_card() -> None:
    nodes = {uuid.UUID("0000" + new_id("FILE")[4:]).node for _ in range(100)}
    assert len(nodes) == 100
    assert all(node >> 40 & 1 for node in nodes)
