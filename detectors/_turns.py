"""Who comes where, and in which order: of several who come new to one place, the first comes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from detectors._usual import Floats

if TYPE_CHECKING:
    from pipeline.core.model import Window


def first_seen(pairs: pl.DataFrame, window: Window) -> pl.Series:
    """When each of `pairs`, two columns of WINDOW, all different, was first seen in the window."""
    by = pairs.columns
    rows = window.operations.join(pairs, on=by, how="semi").group_by(by).agg(pl.col("time").min())
    return pairs.join(rows, on=by, how="left", maintain_order="left")["time"]


def in_turn(each: pl.DataFrame, place: str) -> tuple[Floats, Floats]:
    """For each row how many other principals come to its `place`, and how many of them came before its principal.

    `each` has principal, `place`, and `at`, when the row was first seen.
    """
    came = each.group_by(place, "principal").agg(pl.col("at").min()).sort("at", "principal")
    turns = came.select(
        place, "principal", others=pl.len().over(place) - 1, before=pl.int_range(pl.len()).over(place)
    )  # fmt: skip
    told = each.join(turns, on=[place, "principal"], how="left", maintain_order="left")
    return told["others"].cast(pl.Float64).to_numpy(), told["before"].cast(pl.Float64).to_numpy()
