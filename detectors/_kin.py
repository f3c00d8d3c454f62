"""Who belongs together by what they work on: a team's folder has the same name in every mount and environment.

An auth mount or a namespace holds a part of a team; its deployment moves all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._people import People
from detectors._usual import Bools, Floats
from detectors._window import hours

if TYPE_CHECKING:
    from pipeline.core.model import Window

LEAST: Final = 4  # members of a group, so that one of them alone cannot excuse itself


def of_principals(window: Window) -> pl.DataFrame:
    """Distinct (key, name): whose requests went to folders of which name, worked out once a window."""
    if "kin" not in window.memo:
        pairs = People.of(window).rows.filter(pl.col("secret") != "").select("principal", "secret").unique()
        window.memo["kin"] = _distinct(pairs, "principal")
    found: pl.DataFrame = window.memo["kin"]
    return found


def of_users(window: Window, secrets: pl.Series, asked: Bools) -> Floats:
    """For each of the secrets `asked` the median jump of those who used it, at least 1: a team that deploys."""
    out = np.ones(len(secrets))
    rows = pl.DataFrame({"secret": secrets, "row": np.arange(len(secrets))}).filter(pl.Series(asked))
    pairs = People.of(window).rows.select("principal", "secret").unique().join(rows, on="secret")
    if pairs.is_empty():
        return out
    users = pairs.select("principal").unique().sort("principal")
    counts = (
        users.join(People.of(window).rows, on="principal")
        .group_by("principal")
        .agg(pl.col("n").sum())
        .sort("principal")
    )
    usual = window.profiles.lookup("principal", counts.select("principal"), window.start_us, ("expected_per_hour",))
    jump = (counts["n"] + 1) / (usual["expected_per_hour"] * hours(window) + 1)
    moved = pairs.join(counts.select("principal", jump=jump), on="principal").group_by("row")
    medians = moved.agg(pl.col("jump").median(), pl.len()).filter(pl.col("len") >= LEAST)
    out[medians["row"].to_numpy()] = np.maximum(medians["jump"].to_numpy(), 1.0)
    return out


def _distinct(pairs: pl.DataFrame, key: str) -> pl.DataFrame:
    inner = pl.col("secret").str.split("/").list.slice(1)
    named = pairs.select(pl.col(key).alias("key"), name=inner.list.head(inner.list.len().cast(pl.Int64) - 1))
    return named.filter(pl.col("name").list.len() > 0).explode("name").unique()


def shared_jump(names: pl.DataFrame, keys: pl.Series, jump: Floats, counted: Bools, asked: Bools) -> Floats:
    """The jump that each of the rows `asked` shares with those of a folder's name: their median, at least 1.

    `keys` are distinct; only rows `counted` are in the medians. Of several names, the one that moved most.
    """
    out = np.ones(len(keys))
    rows = pl.DataFrame({"key": keys, "jump": jump, "counted": counted, "asked": asked, "row": np.arange(len(keys))})
    members = names.join(rows, on="key")
    mine = members.filter("asked").select("name", "row")
    groups = members.filter("counted").join(mine.select("name").unique(), on="name", how="semi")
    medians = groups.group_by("name").agg(pl.col("jump").median(), pl.len()).filter(pl.col("len") >= LEAST)
    best = mine.join(medians, on="name").group_by("row").agg(pl.col("jump").max())
    out[best["row"].to_numpy()] = np.maximum(best["jump"].to_numpy(), 1.0)
    return out
