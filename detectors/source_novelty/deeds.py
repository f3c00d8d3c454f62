"""What principals did in the networks they came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from detectors._usual import Bools
    from detectors.source_novelty.zones import Visits
    from pipeline.core.model import Window


def taking(visits: Visits, asked: Bools, window: Window) -> Bools:
    """Which of the pairs `asked` read a value."""
    found = np.zeros(len(asked), dtype=np.bool_)
    some = np.flatnonzero(asked)
    if len(some):
        pairs = visits.frame[some].select("principal", "zone")
        mine = pl.col("discloses_value") & pl.col("principal").is_in(pairs["principal"].unique().implode())
        took = window.operations.filter(mine).select("principal", "zone").unique().with_columns(took=True)
        told = pairs.join(took, on=["principal", "zone"], how="left", maintain_order="left")["took"]
        found[some] = told.fill_null(value=False).to_numpy()
    return found


def changers(window: Window) -> pl.Series:
    """Principals that did more in the window than ask and log in."""
    asked = pl.col("operation").is_in(("read", "list", "auth", "other"))
    return window.operations.filter(~asked)["principal"].unique().drop_nulls()


def carriers(new: pl.DataFrame, window: Window) -> pl.Series:
    """Of rows of principal, zone those principals with a session there and in another network as well."""
    placed = (pl.col("session") != "") & (pl.col("zone") != "")
    mine = window.operations.filter(pl.col("principal").is_in(new["principal"].implode()) & placed)
    told = mine.join(new.select("principal", "zone", there=True), on=["principal", "zone"], how="left")
    there = pl.col("there").fill_null(value=False)
    both = told.group_by("principal", "session").agg(both=there.any() & ~there.all())
    return both.filter("both")["principal"].unique()
