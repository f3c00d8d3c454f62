"""The bounded memory that detectors share."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import _memory
from detectors._budget import Budget
from detectors._memory import Table, distinct_of, joined, keys_of, keys_of_few, unique
from pipeline.core.clock import DAY_US
from pipeline.core.hashing import mix


def test_keys_never_change() -> None:
    """A name has the same key in every version: memory outlives an upgrade."""
    keys = keys_of(pl.Series(["kv/app/db", "", None, "approle/wéb"]))
    assert keys.tolist() == [4232645952689941706, 0, 0, 15708123988070981339]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=60))
def test_key_depends_on_the_name_alone(names: list[str | None]) -> None:
    """Neighbours, slices and coding do not change a name's key."""
    series = pl.Series(names, dtype=pl.String)
    whole = keys_of(series)
    assert keys_of_few(series).tolist() == whole.tolist()
    for at in range(len(names)):
        assert keys_of(series[at : at + 1]).tolist() == whole[at : at + 1].tolist()


def test_names_do_not_collide() -> None:
    """A hundred thousand similar names have as many keys."""
    names = pl.Series([f"kv/team{i % 50}/app/secret-{i}" for i in range(100_000)])
    assert len(np.unique(keys_of(names))) == 100_000


def test_joined_keys_tell_order_and_tag() -> None:
    """(a, b) is not (b, a), and neither is the same under another tag."""
    a, b = keys_of(pl.Series(["a"])), keys_of(pl.Series(["b"]))
    assert len({int(joined(tag, *pair)[0]) for tag in (1, 2) for pair in ((a, b), (b, a))}) == 4


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=300),
    st.sampled_from((0, 1, 40, 56)),
    st.integers(1, 2_000),
)
def test_many_keys_are_found_as_few_are(known: list[int], shift: int, count: int) -> None:
    """Whether keys are asked for one by one or all at once, spread evenly or all close together."""
    table = Table(1, limit=10_000)
    mine = np.unique(np.array(known, dtype=np.uint64) >> np.uint64(shift))
    table.add(mine, np.arange(1.0, len(mine) + 1)[:, None], 0)
    near = np.concatenate([mine, mine + np.uint64(1), mine - np.uint64(1), np.array([0, 2**64 - 1], dtype=np.uint64)])
    asked = np.resize(near, count)
    single = [table.get(asked[i : i + 1], 0)[0, 0] for i in range(count)]
    assert table.get(asked, 0)[:, 0].tolist() == single
    table.add(asked, np.ones((count, 1)), 1)
    distinct, times = np.unique(asked, return_counts=True)
    before = dict(zip(asked.tolist(), single, strict=True))
    assert table.get(distinct, 1)[:, 0].tolist() == [
        before[key] + n for key, n in zip(distinct.tolist(), times.tolist(), strict=True)
    ]


def test_table_adds_up_and_halves() -> None:
    """Values of a repeated key add up, and are half after the half-life."""
    table = Table(2, limit=10, half_life_us=1_000)
    keys = np.array([7, 3, 7], dtype=np.uint64)
    table.add(keys, np.array([[1.0, 0.0], [5.0, 1.0], [2.0, 4.0]]), 0)
    asked = np.array([3, 7, 9], dtype=np.uint64)
    assert table.get(asked, 0).tolist() == [[5.0, 1.0], [3.0, 4.0], [0.0, 0.0]]
    assert table.get(asked, 1_000).tolist() == [[2.5, 0.5], [1.5, 2.0], [0.0, 0.0]]
    assert table.knows(asked).tolist() == [True, True, False]


def test_table_forgets_the_oldest() -> None:
    """A full table drops what was not touched for longest, and stays within its limit."""
    table = Table(1, limit=100)
    for at in range(30):
        table.add(np.arange(at * 10, at * 10 + 10, dtype=np.uint64), np.ones((10, 1)), at)
        assert len(table) <= 100
    assert table.knows(np.array([295, 5], dtype=np.uint64)).tolist() == [True, False]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 5)), min_size=1, max_size=80, unique_by=lambda x: x[0]))
def test_of_those_touched_at_one_time_the_smaller_keys_stay(touched: list[tuple[int, int]]) -> None:
    """What a full table keeps follows from times and keys, not from the order in which they came."""
    table, limit = Table(1, limit=len(touched)), len(touched)
    for key, at in touched:
        table.put(np.array([key], dtype=np.uint64), np.ones((1, 1)), at)
    table.put(np.array([1_000], dtype=np.uint64), np.ones((1, 1)), 9)
    order = sorted([*touched, (1_000, 9)], key=lambda one: (-one[1], one[0]))
    assert table.snapshot()["key"].to_list() == sorted(key for key, _ in order[: max(int(limit * 0.9), 1)])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), max_size=120), st.integers(0, 119))
def test_table_restored_goes_on_the_same(steps: list[tuple[int, int]], cut: int) -> None:
    """Snapshot and restore at any point change nothing."""
    straight, first = Table(1, 20, 500.0), Table(1, 20, 500.0)
    for at, (key, value) in enumerate(steps):
        for table in (straight, first):
            table.add(np.array([key], dtype=np.uint64), np.array([[float(value)]]), at)
        if at == cut:
            second = Table(1, 20, 500.0)
            second.restore(first.snapshot())
            first = second
    assert first.snapshot().equals(straight.snapshot())


@pytest.mark.parametrize("limit", [40, 1_000])
def test_late_keys_are_kept_like_the_others(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that keeps what came of late apart says and saves the same as one that does not, also when it is full."""
    rng = np.random.default_rng(limit)
    one, apart = Table(2, limit, DAY_US), Table(2, limit, DAY_US)
    for at in range(60):
        keys = np.unique(rng.integers(0, 200 + 10 * at, 30).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        others, strangers = rng.choice(keys, 50), keys + np.uint64(at % 3 + 1)
        told = []
        for table, large in ((one, 1 << 60), (apart, 16)):
            monkeypatch.setattr(_memory, "_LARGE", large)
            table.add(others, np.ones((50, 2)), at * DAY_US)
            before, strange = table.get(keys, at * DAY_US + 7), table.knows(strangers)
            table.put(keys, before + 2, at * DAY_US + 7)
            table.put(strangers[::3].copy(), np.ones((len(strangers[::3]), 2)), at * DAY_US + 7)
            table.bump(keys[::2], at * DAY_US + 8)
            asked = [table.get(keys, (at + 1) * DAY_US), table.seen(others), table.get(strangers, 0), strange, before]
            told.append([len(table), *(answer.tolist() for answer in asked)])
        assert told[0] == told[1]
        if at % 20 == 19:
            assert one.snapshot().equals(apart.snapshot())


def test_a_name_s_key_is_a_sum_over_its_bytes() -> None:
    """Byte i and one, times the i-th power of an odd number, and the length, mixed; whatever the names beside it."""
    names = ["", "a", "kv/é/db", "x" * 8, "y" * 255, "y" * 256, "y" * 257, "z" * 5_000] + [f"n{i}" for i in range(300)]
    odd, word = 0x9E3779B97F4A7C15, 1 << 64
    sums = [
        (sum((byte + 1) * pow(odd, i + 1, word) for i, byte in enumerate(name.encode())) + len(name.encode())) % word
        for name in names
    ]
    expected = mix(np.array(sums, dtype=np.uint64)).tolist()
    assert keys_of(pl.Series(names)).tolist() == expected
    assert [int(keys_of(pl.Series([name]))[0]) for name in names] == expected


@pytest.mark.parametrize("kinds", [1, 5, 300, 40_000])
def test_distinct_keys_and_whose_they_are(kinds: int) -> None:
    """However many of many keys are different, they come in order, with the place of each."""
    keys = mix(np.random.default_rng(1).integers(0, kinds, 30_000).astype(np.uint64))
    distinct, place = distinct_of(keys)
    assert distinct.tolist() == sorted(set(keys.tolist())) == unique(keys).tolist()
    assert (distinct[place] == keys).all()


def test_budget_follows_the_last_week() -> None:
    """While few come the floor decides; when many come, about the promised number a day passes."""
    budget = Budget(5.0, per_day=2.0)
    assert budget.threshold(0) == 5.0
    rng, told = np.random.default_rng(3), 0
    for hour in range(24 * 21):
        at = hour * 3_600_000_000
        surprises = (5 + rng.exponential(1.0, 4)).tolist()
        told += sum(s >= budget.threshold(at) for s in surprises) if hour >= 24 * 7 else 0
        budget.note(at, surprises)
    assert 14 <= told <= 56
    later = budget.threshold(24 * 21 * 3_600_000_000 + 8 * DAY_US)
    assert later == 5.0
