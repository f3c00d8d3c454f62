"""What parts remember, packed for a commit that is made durable in another thread."""

from __future__ import annotations

import polars as pl

from pipeline.store import states


def test_what_is_packed_is_nobody_elses() -> None:
    """Frames of no rows, too: a frame that is being encoded is locked, and its part goes on working with its own."""
    given = {"rows": pl.DataFrame({"a": [1, 2]}), "none": pl.DataFrame(schema={"a": pl.Int64})}
    packed = states.pack({"part": given})
    assert {name: frame.equals(given[name]) for (_, name), frame in packed.items()} == {"rows": True, "none": True}
    assert all(packed["part", name] is not frame for name, frame in given.items())
    assert packed["part", "none"].schema == given["none"].schema
