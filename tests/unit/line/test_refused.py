"""Records that a source holds back stand among the rejected pieces, where they were, and move nothing else."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Decoded, Pieces, RawBatch
from pipeline.refused import with_refused


def case(kinds: list[str], consumed: int) -> tuple[RawBatch, Decoded]:
    """A batch of one-byte records, 'e' an event, 'r' rejected, 'n' refused by the source, and what a decoder gives."""
    sizes = np.array([0 if kind == "n" else 1 for kind in kinds], np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1
    offsets = np.arange(100, 100 + len(kinds), dtype=np.int64)
    refused = {row: "null_value" for row, kind in enumerate(kinds) if kind == "n"}
    data = np.full(int(sizes.sum()) + len(kinds), 120, np.uint8)
    raw = RawBatch("s", "s", "p", data, starts, starts + sizes, offsets, offsets + 1, 7, refused=refused)
    seen = [row for row, kind in enumerate(kinds[:consumed]) if kind != "n"]
    pieces = Pieces(starts[seen], (starts + sizes)[seen], offsets[seen])
    numbers = {row: number for number, row in enumerate(seen)}
    events = [numbers[row] for row in seen if kinds[row] == "e"]
    rejected = [numbers[row] for row in seen if kinds[row] == "r"]
    return raw, Decoded(
        consumed, pieces, pl.DataFrame({"piece": events}, schema={"piece": pl.UInt32}),
        pl.DataFrame({"piece": rejected, "reason": ["bad"] * len(rejected)},
                     schema={"piece": pl.UInt32, "reason": pl.String}),
        dict.fromkeys(rejected, b"clean"),
    )  # fmt: skip


@given(st.lists(st.sampled_from("ern"), min_size=1, max_size=12), st.data())
def test_every_record_is_in_one_place(kinds: list[str], data: st.DataObject) -> None:
    """Every consumed record is an event or rejected with its reason, at its own offset, in order."""
    consumed = data.draw(st.integers(0, len(kinds)))
    made = with_refused(*case(kinds, consumed))
    assert made.pieces.positions.tolist() == list(range(100, 100 + consumed))
    reasons = dict(made.rejected.rows())
    assert [reasons.get(piece, "event") for piece in range(consumed)] == [
        {"e": "event", "r": "bad", "n": "null_value"}[kind] for kind in kinds[:consumed]
    ]
    assert made.events["piece"].to_list() == [row for row, kind in enumerate(kinds[:consumed]) if kind == "e"]
    assert set(made.replaced) == {row for row, kind in enumerate(kinds[:consumed]) if kind == "r"}


def test_nothing_refused_is_nothing_changed() -> None:
    """A batch without refused records passes as it is."""
    raw, decoded = case(["e", "r"], 2)
    assert with_refused(raw, decoded) is decoded
