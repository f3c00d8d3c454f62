from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.baselines import Baselines, Config
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, TIME, conform, empty
from pipeline.windows import count

DEFAULT = Config()
HOUR = 3_600_000_000
START = 1_700_438_400_000_000
ROW = st.fixed_dictionaries(
    {
        "principal": st.sampled_from(["approle/a", "approle/b", "oidc/ünal", "anonymous", "", None]),
        "secret": st.sampled_from(["kv/1", "kv/2", "kv/3", "transit/k", "", "kv/" + "long" * 150]),
        "client_ip": st.sampled_from(["10.0.0.1", "10.0.0.2", "10.7.0.1", "", None]),
        "outcome": st.sampled_from(["success", "denied"]),
        "offset": st.integers(-30 * 24 * HOUR, HOUR - 1),
    }
)
WINDOWS = st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=8)
PEERS = ["scope", "key", "first_seen", "last_seen", "operations", "days_active", "distinct_secrets", "distinct_ips"]


def window(index: int, rows: list[dict[str, Any]]) -> Window:
    start = START + index * 37 * HOUR
    frame = pl.DataFrame(
        [{**row, "time": start + row["offset"], "complete_time": start} for row in rows],
        schema={
            **{n: OPERATION[n] for n in ("principal", "secret", "client_ip", "outcome")},
            "offset": pl.Int64,
            "time": TIME,
            "complete_time": TIME,
        },
    )
    return Window(start, start + HOUR, conform(frame, OPERATION), empty(INTEGRITY), None, closed=True)


def learned(windows: list[tuple[int, list[dict[str, Any]]]], config: Config = DEFAULT) -> Baselines:
    baselines = Baselines(config)
    for index, rows in windows:
        baselines.learn(window(index, rows))
    return baselines


def close(left: Baselines, right: Baselines) -> None:
    """Same keys, times and counts; rates and hours to within what rounding allows."""
    a, b = (x.view().sort("scope", "key") for x in (left, right))
    assert_frame_equal(a.select(PEERS), b.select(PEERS))
    for rates in zip(a["rate_per_hour"], b["rate_per_hour"], strict=True):
        assert math.isclose(*rates, rel_tol=1e-3, abs_tol=1e-6)
    for hours in zip(a["hours_of_week"], b["hours_of_week"], strict=True):
        assert np.allclose(*hours, rtol=0.25)


@given(WINDOWS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(windows: list[list[dict[str, Any]]], random: Any) -> None:
    """The same windows with their rows shuffled give the same state, byte for byte."""
    shuffled = [random.sample(rows, len(rows)) for rows in windows]
    one, other = learned(list(enumerate(windows))).snapshot(), learned(list(enumerate(shuffled))).snapshot()
    for name in one:
        assert_frame_equal(one[name], other[name])


@given(WINDOWS)
@settings(deadline=None)
def test_counted_rows_teach_the_same(windows: list[list[dict[str, Any]]]) -> None:
    """A window of counted rows leads to the state that its operations one by one lead to."""
    one, other = learned(list(enumerate(windows))), Baselines(DEFAULT)
    for index, rows in enumerate(windows):
        single = window(index, rows)
        other.learn(replace(single, operations=count(single.operations)))
    wanted = one.snapshot()
    for name, frame in other.snapshot().items():
        days = [] if name == "meta" else ["days", "older"]  # days between an entry's first and last are not known
        assert_frame_equal(frame.drop(days), wanted[name].drop(days))


@given(WINDOWS, st.integers(0, 8))
@settings(deadline=None)
def test_a_restart_anywhere_changes_nothing(windows: list[list[dict[str, Any]]], cut: int) -> None:
    """A snapshot taken and restored between any two windows leads to the same state, byte for byte."""
    numbered = list(enumerate(windows))
    whole = learned(numbered, Config(max_keys=4))
    again = Baselines(Config(max_keys=4))
    again.restore(learned(numbered[:cut], Config(max_keys=4)).snapshot())
    for index, rows in numbered[cut:]:
        again.learn(window(index, rows))
    for name, frame in whole.snapshot().items():
        assert_frame_equal(frame, again.snapshot()[name])


@given(WINDOWS, WINDOWS, WINDOWS)
@settings(deadline=None)
def test_merge_is_associative_and_commutative(
    a: list[list[dict[str, Any]]], b: list[list[dict[str, Any]]], c: list[list[dict[str, Any]]]
) -> None:
    """Three histories joined in any grouping and order tell the same."""
    parts = (a, b, c)

    def make(which: int) -> Baselines:
        return learned([(3 * i + which, rows) for i, rows in enumerate(parts[which])])

    left, right, back = make(0), make(1), make(2)
    left.merge(make(1))
    left.merge(make(2))
    right.merge(make(2))
    first = make(0)
    first.merge(right)
    back.merge(make(1))
    back.merge(make(0))
    close(left, first)
    close(left, back)


@given(WINDOWS, st.integers(0, 8))
@settings(deadline=None)
def test_merging_halves_is_learning_the_whole(windows: list[list[dict[str, Any]]], cut: int) -> None:
    """Two halves of a history, learned apart and merged, tell what learning it in one go tells."""
    numbered = list(enumerate(windows))
    early = learned(numbered[:cut])
    early.merge(learned(numbered[cut:]))
    close(early, learned(numbered))


@given(WINDOWS)
@settings(deadline=None)
def test_counts_are_those_of_the_operations(windows: list[list[dict[str, Any]]]) -> None:
    """Operations, times and breadth per key are those a plain group-by of the operations gives."""
    view = learned(list(enumerate(windows))).view()
    operations = pl.concat([window(i, rows).operations for i, rows in enumerate(windows)])
    who = operations.filter(pl.col("principal").is_in(["approle/a", "approle/b", "oidc/ünal"]))
    what = operations.filter(pl.col("secret") != "")
    wanted = pl.concat(
        frame.group_by(pl.lit(scope).alias("scope"), key.alias("key")).agg(
            pl.col("time").min().alias("first_seen"),
            pl.col("time").max().alias("last_seen"),
            pl.len().cast(pl.Int64).alias("operations"),
        )
        for scope, frame, key in (
            ("principal", who, pl.col("principal")),
            ("secret", what, pl.col("secret")),
            ("edge", who.filter(pl.col("secret") != ""), pl.concat_str("principal", pl.lit(" -> "), "secret")),
        )
    )
    assert_frame_equal(view.select(wanted.columns), wanted, check_row_order=False)
