"""The baselines view: every profile as a row a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.baselines import answer
from pipeline.baselines.exposure import exposure
from pipeline.baselines.update import shape_at
from pipeline.core.schema import BASELINE, TIME, conform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.baselines.config import Config
    from pipeline.baselines.sketch import Rows
    from pipeline.baselines.table import Table


def view(
    config: Config, tables: Mapping[str, Table], texts: Mapping[str, Sequence[pl.Series]], at_us: int
) -> pl.DataFrame:
    """`core.schema.BASELINE` as of `at_us`.

    `hours_of_week` is null past the `view_hours` busiest keys: at a million keys it would be a gigabyte.
    """
    shown = _busiest(config, tables)
    frames = [
        _scope(config, scope, tables[scope], texts[scope], at_us).with_columns(
            _hours(config, tables[scope], shown[scope], at_us)
        )
        for scope in sorted(tables)
    ]
    return pl.concat([conform(frame, BASELINE) for frame in frames])


def _scope(config: Config, scope: str, table: Table, texts: Sequence[pl.Series], at_us: int) -> pl.DataFrame:
    slots = np.arange(len(table))
    half_life = answer.half_life_us(config)
    hours = np.maximum(exposure(table["first"], at_us, half_life), 1.0)
    peers = table["peers"].copy() if scope == "principal" else np.ones(len(table), np.int64)
    return pl.DataFrame(
        {
            "first_seen": pl.Series(table["first"].copy()).cast(TIME),
            "last_seen": pl.Series(table["last"].copy()).cast(TIME),
            "operations": table["operations"].copy(),
            "days_active": answer.days_active(table, slots),
            "rate_per_hour": shape_at(table, slots, at_us, half_life) / hours,
            "distinct_secrets": peers,
            "distinct_ips": answer.distinct_ips(table, slots),
        }
    ).with_columns(
        scope=pl.lit(scope),
        key=pl.concat_str([pl.lit(text) for text in texts], separator=" -> ") if len(table) else pl.lit(""),
    )


def _busiest(config: Config, tables: Mapping[str, Table]) -> dict[str, Rows]:
    """Per scope the slots, ascending, whose hours are shown."""
    scopes = sorted(tables)
    counts = np.concatenate([tables[scope]["operations"] for scope in scopes])
    order = np.argsort(-counts, kind="stable")[: config.view_hours]
    begins = np.cumsum([0, *(len(tables[scope]) for scope in scopes)])
    return {
        scope: np.sort(order[(order >= begin) & (order < begin + len(tables[scope]))]) - begin
        for scope, begin in zip(scopes, begins[:-1], strict=True)
    }


def _hours(config: Config, table: Table, slots: Rows, at_us: int) -> pl.Series:
    """Null but for `slots`, ascending; the lists lie where they were computed: together they are the largest column."""
    shares = answer.hours_of_week(config, table, slots, at_us)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    hidden = np.ones(len(table), np.bool_)
    hidden[slots] = False
    ends = np.cumsum(np.where(hidden, 0, 168))
    lists = pa.LargeListArray.from_arrays(
        pa.array(np.concatenate([[0], ends])), pa.array(shares.reshape(-1)), mask=pa.array(hidden)
    )
    return pl.Series("hours_of_week", lists)
