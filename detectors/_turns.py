"""Who comes where, and in which order: of several who come new to one place, the first comes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from detectors._usual import Bools
    from pipeline.core.model import Window


def behind(pairs: pl.DataFrame, places: pl.Series, window: Window) -> Bools:
    """For each of `pairs` (principal and another column of WINDOW, all different) whether another principal of them
    came to its place before its own did, in this window. `places` has the place of each.
    """
    by = pairs.columns
    seen = window.operations.join(pairs, on=by, how="semi").group_by(by).agg(at=pl.col("time").min())
    each = pairs.with_columns(place=places).join(seen, on=by, how="left", maintain_order="left")
    came = each.group_by("place", "principal").agg(pl.col("at").min()).sort("at", "principal")
    first = came.unique("place", keep="first", maintain_order=True).select("place", first="principal")
    told = each.join(first, on="place", how="left", maintain_order="left")
    later: Bools = (told["principal"] != told["first"]).to_numpy()
    return later
