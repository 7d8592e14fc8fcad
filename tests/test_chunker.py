"""Content-defined cuts: the content and nothing else decides, and a change stays where it is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anylearn_jupyter.submit.chunker import LARGEST_BYTES, SMALLEST_BYTES, cut

SMALL, LARGE = SMALLEST_BYTES >> 7, LARGEST_BYTES >> 7
"""Bytes of a chunk in most tests: the same proportions, at a size of which many fit."""


def pieces(content: bytes, smallest: int = SMALL, largest: int = LARGE) -> list[bytes]:
    """Cut all of some content."""
    view, found = memoryview(content), []
    while view:
        size = cut(view[: largest + 1], smallest, largest)
        found.append(bytes(view[:size]))
        view = view[size:]
    return found


def rows(chance: random.Random, size: int) -> bytes:
    lines = (f"{chance.random():.5f},{chance.randint(0, 99)}\n" for _ in range(size // 9 + 1))
    return "".join(lines).encode()[:size]


def of_kind(kind: str, chance: random.Random, size: int) -> bytes:
    """Make content that is cut in each of the ways."""
    if kind == "random":
        return chance.randbytes(size)
    if kind == "text":
        return rows(chance, size)
    if kind == "short lines":
        return bytes(chance.choices(b"0123456789", k=size // 2 + 1)).replace(b"", b"\n")[:size]
    if kind == "records":  # no line ends: zero bytes part them
        return chance.randbytes(size).replace(b"\n", b"\0")
    return bytes(size)  # holes


KINDS = ["random", "text", "short lines", "records", "holes"]
CHANGING = KINDS[:-1]
SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=SEEDS, size=st.integers(0, 8 * LARGE))
def test_the_chunks_are_the_content_and_only_depend_on_it(kind: str, seed: int, size: int) -> None:
    content = of_kind(kind, random.Random(seed), size)
    found = pieces(content)
    assert b"".join(found) == content
    assert pieces(bytes(bytearray(content))) == found
    assert all(SMALL <= len(one) <= LARGE for one in found[:-1])
    assert not found or 0 < len(found[-1]) <= LARGE


# How soon the cuts agree again is chance: a bound holds for the same cases each time, not for all.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(CHANGING),
    seed=SEEDS,
    at=st.floats(0, 1),
    inserted=st.binary(min_size=1, max_size=50),
)
def test_an_insertion_changes_few_chunks(kind: str, seed: int, at: float, inserted: bytes) -> None:
    content = of_kind(kind, random.Random(seed), 60 * SMALL)
    place = int(at * len(content))
    before = pieces(content)
    after = pieces(content[:place] + inserted + content[place:])
    assert len(set(after) - set(before)) <= 30


@pytest.mark.parametrize("kind", CHANGING)
def test_insertions_are_overcome_soon(kind: str) -> None:
    """Small ones nearly at once, one of most of a chunk within some chunks; on average."""
    chance = random.Random(5)
    content = of_kind(kind, chance, 200 * SMALL)
    before = set(pieces(content))
    for size, most in ((10, 3), (SMALL * 2 // 3, 20)):
        new = 0
        for number in range(20):
            place = (number * 5 + 2) * SMALL + chance.randrange(SMALL)
            changed = content[:place] + chance.randbytes(size) + content[place:]
            new += len(set(pieces(changed)) - before)
        assert new / 20 <= most


@pytest.mark.parametrize("kind", CHANGING)
def test_a_changed_byte_changes_a_few_chunks(kind: str) -> None:
    content = bytearray(of_kind(kind, random.Random(7), 16 * SMALLEST_BYTES))
    before = set(pieces(bytes(content), SMALLEST_BYTES, LARGEST_BYTES))
    for place in range(1 << 20, len(content), 5 << 20):
        content[place] ^= 0x55
        assert len(set(pieces(bytes(content), SMALLEST_BYTES, LARGEST_BYTES)) - before) <= 6
        content[place] ^= 0x55


def test_what_fits_is_one_chunk() -> None:
    assert cut(memoryview(b"")) == 0
    assert cut(memoryview(bytes(LARGEST_BYTES))) == LARGEST_BYTES
