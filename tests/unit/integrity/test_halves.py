"""The halves of a request: told by one device or by several, the way they are found makes no difference."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.integrity import halves

PHASES = st.sampled_from(["request", "response", "single"])
PLACES = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), PHASES), min_size=1, max_size=14)


@given(PLACES)
def test_one_device_or_several(told: list[tuple[str, str, str]]) -> None:
    """What one device told of alone is found as it is among what several told of."""
    places = pl.DataFrame(told, schema=["key", "source", "phase"], orient="row").with_row_index("i")
    phase, i = pl.col("phase"), pl.col("i")
    found = places.group_by("key", "source", maintain_order=True).agg(
        asked=pl.when(phase != "response").then(i).min(), answered=pl.when(phase != "request").then(i).min()
    )
    quick = halves._halves(places).sort("key")
    assert_frame_equal(quick, halves._of_several(found).select(quick.columns).sort("key"))
    assert set(quick["key"]) == {key for key, _, _ in told}
