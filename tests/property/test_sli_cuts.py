from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.core import effects
from pipeline.core.schema import OPERATION, TIME, conform
from pipeline.sli import Config, Slis
from pipeline.sli.bins import BINS, LEAST, MOST, bin_of, quantiles, value_of

SECOND = 1_000_000
START = 1_700_000_100_000_000
KEY = ["window_start", "store", "scope", "sli"]
ROW = st.fixed_dictionaries(
    {
        "namespace": st.sampled_from(["", "a", "b", "c"]),
        "mount": st.sampled_from(["kv/", "pki/", "m1/", "m2/", ""]),
        "store": st.sampled_from(["vault", "aws"]),
        "operation": st.sampled_from(["read", "read", "write", "rotate"]),
        "outcome": st.sampled_from(["success", "failure", "denied", "not_found"]),
        "session": st.sampled_from(["s1", "s2", None]),
        "secret": st.sampled_from(["kv/a", "kv/b", ""]),
        "secret_version": st.sampled_from([None, 1, 2]),
        "api_operation": st.sampled_from(["read", "update", "Decrypt"]),
        "discloses_value": st.booleans(),
        "latency_ms": st.none() | st.floats(0, 1e6),
        "step": st.integers(0, 400),  # seconds after the operation before it
        "age": st.integers(-100, 2500),  # seconds since it happened; negative is a clock ahead
    }
)
LIFETIMES = {"kv/": 0.005, "kv/b": 0.02}  # 432 s and half an hour
CONFIG = Config(
    late_windows=3,
    max_mounts=3,
    max_namespaces=2,
    cache_seconds=700,
    max_cached=3,
    lifetime_days=LIFETIMES,
    max_declared=3,
)


def stream(rows: list[dict[str, Any]]) -> pl.DataFrame:
    complete = START + np.cumsum([row["step"] for row in rows]) * SECOND
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        complete_time=pl.Series(complete).cast(TIME),
        time=pl.Series(complete - np.array([row["age"] for row in rows]) * SECOND).cast(TIME),
    )
    return conform(frame, OPERATION)


def told(slis: Slis, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The valid row of each key: what a table that revises by key holds at the end."""
    return pl.concat([*frames, slis.flush()]).unique(KEY, keep="last").sort(KEY)


def pushed(slis: Slis, operations: pl.DataFrame) -> list[pl.DataFrame]:
    return [slis.push(operations, operations["complete_time"].dt.timestamp("us").max())]


@given(st.lists(ROW, min_size=1, max_size=40), st.lists(st.integers(1, 40), max_size=12), st.integers(0, 12))
@settings(deadline=None)
def test_cuts_and_restarts_do_not_matter(rows: list[dict[str, Any]], sizes: list[int], restart: int) -> None:
    """Whatever the batches, and with a restart between two of them, the same rows and counters come out."""
    operations = stream(rows)
    whole, parts = Slis(CONFIG), Slis(CONFIG)
    wanted = told(whole, pushed(whole, operations))
    frames, at = [], 0
    for index, size in enumerate([*sizes, len(rows)]):
        if at < len(rows):
            frames += pushed(parts, operations[at : at + size])
            at += size
        if index == restart:
            again = Slis(CONFIG)
            again.restore(parts.snapshot())
            parts = again
    got = told(parts, frames)
    assert (parts.late, parts.capped) == (whole.late, whole.capped)
    assert_frame_equal(got, wanted)


@given(st.lists(ROW, min_size=1, max_size=40))
@settings(deadline=None)
def test_totals_are_those_of_the_operations(rows: list[dict[str, Any]]) -> None:
    """Per store and window, attempts, denials and reads are those a plain group-by of the operations gives."""
    operations = stream(rows)
    slis = Slis(Config(late_windows=100))
    got = told(slis, pushed(slis, operations)).filter(scope="store")
    wanted = (
        operations.with_columns(window_start=pl.min_horizontal("time", "complete_time").dt.truncate("5m"))
        .group_by("window_start", "store")
        .agg(
            M4=(pl.col("outcome") == "denied").sum().cast(pl.Float64),
            M9=pl.len().cast(pl.Float64),
            M1=(pl.col("operation").eq("read") & pl.col("outcome").is_in(["success", "failure"]))
            .sum()
            .cast(pl.Float64),
        )
        .sort("window_start", "store")
    )
    for sli, column in (("M4", "value"), ("M9", "total"), ("M1", "total")):
        rows_of = got.filter(sli=sli).select("window_start", "store", pl.col(column).alias(sli))
        assert_frame_equal(rows_of, wanted.filter(pl.col(sli) > 0 if sli == "M1" else True).select(rows_of.columns))


@given(st.lists(st.floats(LEAST, MOST), min_size=1, max_size=300), st.floats(0, 1))
@settings(deadline=None)
def test_quantiles_are_within_one_percent(values: list[float], share: float) -> None:
    """Any quantile from the bins is within 1 % of the value of that rank."""
    frame = pl.DataFrame({"key": 0, "ms": values}).with_columns(bin=bin_of(pl.col("ms")))
    counts = frame.group_by("key", "bin").agg(n=pl.len().cast(pl.Int64))
    got = quantiles(counts, {"q": share})["q"][0]
    exact = sorted(values)[int(np.floor(1 + share * (len(values) - 1))) - 1]
    assert abs(got - exact) <= 0.01 * exact * (1 + 1e-9)


@given(st.floats(allow_nan=False))
def test_every_latency_has_a_bin(value: float) -> None:
    """Whatever a log claims, there is a bin for it, and what lies beyond the ends counts as the nearest end."""
    place = pl.select(bin_of(pl.lit(value)))["literal"][0]
    assert 0 <= place < BINS
    stands_for = pl.select(value_of(pl.lit(place, pl.Int32)))["literal"][0]
    if value <= LEAST:
        assert stands_for <= LEAST
    if value >= MOST:
        assert stands_for >= 0.99 * MOST


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["s1", "s2"]), st.integers(1, 2)), min_size=1))
@settings(deadline=None)
def test_needed_reads_are_what_a_cache_would_fetch(reads: list[tuple[int, str, int]]) -> None:
    """What counts as needed is at least what a cache of each session would have fetched, and at most twice that."""
    fetched: dict[tuple[str, int], int] = {}
    fetches, at, rows = 0, 0, []
    for step, session, version in reads:
        at += step
        rows.append({"at": at, "session": session, "secret_version": version})
        if at - fetched.get((session, version), -300) >= 300:
            fetched[session, version] = at
            fetches += 1
    frame = pl.DataFrame(rows).with_columns(
        pl.lit("read").alias("operation"), pl.lit("read").alias("api_operation"), pl.lit("vault").alias("store"),
        (START + pl.col("at") * SECOND).cast(TIME).alias("time"), pl.lit("success").alias("outcome"),
        pl.lit("kv/a").alias("secret"), pl.lit(value=True).alias("discloses_value"),
    )  # fmt: skip
    slis = Slis(Config(late_windows=100_000))
    slis.push(conform(frame.with_columns(complete_time="time"), OPERATION), START)
    m10 = slis.flush().filter(sli="M10", scope="store")
    assert m10["total"].sum() == len(reads)
    assert fetches <= m10["good"].sum() <= 2 * fetches


def naively(operations: pl.DataFrame) -> dict[str, int]:
    """What the lifetimes come to, one operation after the other."""
    counts = dict.fromkeys(("rotated", "unrotated", "alive", "outlived"), 0)
    known: dict[tuple[str, ...], list[Any]] = {}
    for row in operations.iter_rows(named=True):
        at, done = int(row["complete_time"].timestamp()), row["outcome"] == "success"
        if row["operation"] == "rotate":
            counts["rotated" if done else "unrotated"] += 1
        if not done or not row["secret"]:
            continue
        key = (row["store"], row["namespace"], row["secret"])
        lifetime = 1728 if row["secret"].startswith("kv/b") else 432
        changed = effects.effect(row) == effects.REPLACED
        if key not in known:
            known[key] = [at, at, changed]
            changed = False
        last, due_from, seen = known[key]
        while at > due_from + lifetime:
            counts["unrotated"] += due_from + 2 * lifetime >= at
            due_from += lifetime
        if row["operation"] == "read" and row["discloses_value"]:
            counts["alive"] += 1
            counts["outlived"] += at > last + lifetime
        if changed:
            new = due_from == last and not (seen and at - last < 3600)
            counts["rotated"] += new and row["operation"] == "write"
            known[key] = [at, at, True]
        else:
            known[key] = [last, due_from, seen]
    return counts


def history(rng: random.Random) -> pl.DataFrame:
    """A few secrets, used and changed for hours: dense enough that lifetimes end in every way."""
    return stream(
        [
            {
                "namespace": rng.choice(["", "a"]), "mount": "kv/", "store": "vault", "session": "s",
                "secret": rng.choice(["kv/a", "kv/b", ""]), "secret_version": None, "api_operation": "read",
                "discloses_value": rng.random() < 0.7, "operation": rng.choice(["read", "read", "write", "rotate"]),
                "outcome": rng.choice(["success"] * 4 + ["failure"]), "latency_ms": None,
                "step": rng.choice([0, 0, 10, 100, 400, 3000]), "age": rng.randint(-100, 300),
            }
            for _ in range(60)
        ]
    )  # fmt: skip


@given(st.integers(0, 1 << 32))
@settings(deadline=None)
def test_lifetimes_are_what_each_operation_in_turn_gives(seed: int) -> None:
    """Rotations done and missed, reads past a lifetime: in any cuts the same as one operation after the other gives."""
    rng = random.Random(seed)
    operations = history(rng)
    config = Config(late_windows=100_000, lifetime_days=LIFETIMES)
    slis, whole, frames, at = Slis(config), Slis(config), [], 0
    while at < len(operations):
        size = rng.choice([1, 5, 30, 60])
        frames += pushed(slis, operations[at : at + size])
        at += size
    got = told(slis, frames)
    assert_frame_equal(got, told(whole, pushed(whole, operations)))
    got = got.filter(scope="store")
    wanted = naively(operations)
    m3, m5 = got.filter(sli="M3"), got.filter(sli="M5")
    assert (m3["good"].sum(), m3["total"].sum()) == (wanted["rotated"], wanted["rotated"] + wanted["unrotated"])
    assert (m5["value"].sum(), m5["total"].sum()) == (wanted["outlived"], wanted["alive"])
