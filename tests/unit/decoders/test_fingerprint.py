"""Uids of pieces: the same for the same, different for what differs, on any machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.fingerprint import piece_uids


def uids(texts: list[bytes], *, stream: str = "audit.log", life: str = "", first: int = 0, gap: int = 0) -> list[str]:
    """The uids of texts that lie one behind the other, `gap` bytes before the first."""
    data = np.frombuffer(b"\xaa" * gap + b"".join(texts), np.uint8)
    ends = gap + np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = ends - np.array([len(text) for text in texts], np.int64)
    return piece_uids(stream, life, data, starts, ends, starts - gap + first).to_list()


def test_they_never_change() -> None:
    """These uids are stored in lakes: no version and no machine may make others."""
    assert uids([b"x" * 200, b"short", b""]) == [
        "fe28815a182db64da5058a64b9e6ecbb",
        "a2dc464f11da98eedc91bbbb02a2468d",
        "8c34a74ab3f82d1a2309f017df80fe9d",
    ]


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=20), st.integers(0, 99))
def test_surroundings_do_not_matter(texts: list[bytes], gap: int) -> None:
    """A piece has one uid whether it is read alone, with others, or from the middle of a buffer."""
    together = uids(texts, gap=gap)
    places = np.cumsum([0, *map(len, texts)])
    assert together == [uids([text], first=int(at))[0] for text, at in zip(texts, places, strict=False)]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 64, 79, 80, 81, 144, 300, 5000])
def test_what_differs_has_another_uid(size: int) -> None:
    """Stream, life, position, length, first and last bytes all count."""
    text = bytes(range(256)) * 20
    text = text[:size]
    usual = uids([text])
    others = [
        uids([text], stream="other.log"), uids([text], life="2"), uids([text], first=1), uids([text + b"\0"]),
        uids([b"\1" + text]),
    ]  # fmt: skip
    if size:
        others += [uids([bytes([text[0] ^ 1]) + text[1:]]), uids([text[:-1] + bytes([text[-1] ^ 128])])]
    made = [usual[0], *(other[0] for other in others)]
    assert len(set(made)) == len(made)


def test_they_are_spread() -> None:
    """Pieces that differ in one counter only have uids that differ everywhere."""
    made = uids([b'{"time":"2026-03-01T08:00:%09d"}' % number for number in range(20_000)])
    assert len(set(made)) == len(made)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex("".join(made)), np.uint8).reshape(-1, 16), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02


def test_none() -> None:
    """No pieces, no uids."""
    none = np.zeros(0, np.int64)
    assert piece_uids("s", "", np.zeros(0, np.uint8), none, none, none).to_list() == []
