"""Columns of names as numbers, the order of names, and where sorted keys begin."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.coded import Coded, coded
from pipeline.core.model import Window
from pipeline.core.ranks import ranked
from pipeline.core.schema import INTEGRITY, empty
from pipeline.core.starts import Starts


@pytest.mark.parametrize("times", [1, 400])
def test_a_column_is_its_codes_and_texts(times: int) -> None:
    """Short or long, a column can be put together again from its codes; null is no text and has a number of its own."""
    names = ["kv/b", None, "", "kv/a", "kv/b"] * times
    column = Coded.of(pl.Series("secret", names))
    texts = column.texts.to_pylist()
    assert [None if code < 0 else texts[code] for code in column.codes.tolist()] == names
    assert len(set(texts)) == len(texts) == 3
    assert len(set(column.numbers.tolist())) == 4
    assert column.names.gather(column.order).to_list() == ["", "kv/a", "kv/b"]
    assert [texts[place] for place in column.order[column.ranks].tolist()] == texts


def test_a_window_s_column_is_coded_once() -> None:
    """Whoever asks next gets what was made before."""
    window = Window(0, 1, pl.DataFrame({"secret": ["a", "b", "a"]}), empty(INTEGRITY), None, closed=True)
    assert coded(window, "secret") is coded(window, "secret")


@settings(deadline=None, max_examples=40)
@given(
    st.text(alphabet="kv/é", max_size=12),
    st.lists(st.text(alphabet="ab\0é/9", max_size=20), min_size=1, max_size=30),
    st.integers(0, 60),
)
def test_names_are_ranked_as_bytes_are(begin: str, ends: list[str], longest: int) -> None:
    """By words or one by one: names that share a beginning, that end in zero bytes, and a much longer one."""
    names = {begin + a + b for a in ends for b in [*ends, *(str(i) for i in range(600))]} | {begin + "z" * longest}
    texts = pa.array(sorted(names, key=hash), pa.large_string())
    order = [texts[i].as_py() for i in ranked(texts).tolist()]
    assert order == sorted(names, key=str.encode)


@pytest.mark.parametrize("top", [64, 1 << 20, 1 << 63])
@pytest.mark.parametrize("count", [0, 1, 33, 5_000])
def test_starts_find_what_a_search_finds(count: int, top: int) -> None:
    """Whatever the keys reach up to, and beyond the last of them."""
    rng = np.random.default_rng(count)
    keys = np.unique(rng.integers(0, top, count).astype(np.uint64))
    asked = np.concatenate([keys, rng.integers(0, top, 9_000).astype(np.uint64), np.array([0, 2**64 - 1], np.uint64)])
    assert (Starts(keys).search(asked) == np.searchsorted(keys, asked)).all()
