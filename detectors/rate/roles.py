"""Credentials of one role after another, taken with one token: who needs a role's takes that one's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, several, show
from detectors._window import Found, seen_in
from detectors.rate.issues import NEXT, TOKEN, issued

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

PRIOR: Final = (1.0, 20.0)  # further roles and hours with any credential, held of somebody who never took any


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """The roles beyond the first that one token of each principal had credentials of: who, type, n, out_of."""
    by = issued(rows).group_by("who", TOKEN.alias("token"), maintain_order=True)
    tokens = by.agg(pl.col("type").max(), n=pl.struct("namespace", "secret").n_unique() - 1)
    most = tokens.group_by("who", maintain_order=True).agg(pl.col("type").max(), pl.col("n").max())
    return most.with_columns(out_of=pl.lit(1))


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = issued(window.operations.filter(pl.col("principal") == act.principal))
    roles = mine.group_by(TOKEN.alias("token")).agg(n=pl.struct("namespace", "secret").n_unique())
    token = roles.sort("n", "token", descending=True)["token"][0]
    rows = mine.filter(TOKEN.eq_missing(pl.lit(token, pl.String)))
    return Found(
        key=f"roles:{act.principal}",
        cause="rate_roles",
        title="Credentials of one role after another",
        severity="medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"One token of {show(act.principal)} took credentials of {act.n + 1} roles in an hour:"
        f" {several(rows['secret'].unique().sort().to_list())}.",
        observed=f"{act.n + 1} roles by one token",
        expected=f"{figure(act.mean + 1)} in an hour in which it takes any",
        next_step=NEXT,
        techniques=("T1555.006", "T1078"),
        principal=act.principal,
        **seen_in(rows),
    )
