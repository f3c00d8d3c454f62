"""Questions for what a token may do: whoever finds one asks. Far more of them than the principal ever put.

Consoles ask for every page they show, so those that go with a look at a secret do not count, and people whose console
asks more than that have a habit of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, seen_in
from pipeline.core.schema import PROBES

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

_PROBED: Final = pl.col("path").str.starts_with(PROBES)
_USED: Final = pl.col("secret") != ""
_NEXT: Final = (
    "Ask the owner for the tool behind it. If there is none: revoke the token, and see what it read or was refused next"
    " (view operations, by principal)."
)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """How many such questions each principal put beyond its operations on secrets: who, type, n, out_of."""
    if (probed := rows.filter(_PROBED)).is_empty():
        return probed
    each = probed.group_by("who", maintain_order=True).agg(pl.col("type").max(), pl.col("n").sum())
    used = rows.filter(_USED).group_by("who").agg(used=pl.col("n").sum())
    beyond = (pl.col("n") - pl.col("used").fill_null(0)).clip(lower_bound=0)
    told = each.join(used, on="who", how="left", maintain_order="left").with_columns(n=beyond, out_of=pl.lit(1))
    return told.drop("used")


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = window.operations.filter((pl.col("principal") == act.principal) & _PROBED)
    n = figure(int(mine["n"].sum()))
    return Found(
        key=f"probes:{act.principal}",
        cause="rights_probed",
        title="Asks what a token may do",
        severity="medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"{show(act.principal)} asked {n} times in an hour what a token may do, {act.n} times"
        " beyond what it did with secrets.",
        observed=f"{n} questions for rights, {act.n} beyond operations on secrets",
        expected=f"{figure(act.mean)} beyond in an hour in which it asks at all",
        next_step=_NEXT,
        techniques=("T1069",),
        principal=act.principal,
        **seen_in(mine),
    )
