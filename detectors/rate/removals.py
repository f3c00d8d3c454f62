"""Secrets removed by one principal: far more of them than it ever removed, few as they are beside all it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, seen_in, ways

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

_DELETE: Final = pl.col("operation") == "delete"
_REMOVED: Final = _DELETE & (pl.col("outcome") == "success") & (pl.col("secret") != "")
_MANY: Final = 30
_NEXT: Final = (
    "Ask whoever did it for the clean-up behind it. If there is none: revoke the tokens, bring back deleted versions"
    " while they are kept (undelete), and the rest from a snapshot."
)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """How many different secrets each principal removed: who, type, n, out_of."""
    removed = pl.struct("namespace", "secret").n_unique().alias("n")
    if (gone := rows.filter(_DELETE)).is_empty():
        return gone
    each = gone.filter(_REMOVED).group_by("who", maintain_order=True)
    return each.agg(pl.col("type").max(), removed, out_of=pl.lit(1))


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = window.operations.filter((pl.col("principal") == act.principal) & _REMOVED)
    return Found(
        key=f"removed:{act.principal}",
        cause="rate_removed",
        title="Many secrets removed",
        severity="high" if act.n >= _MANY else "medium",
        confidence=0.75,
        score=_tails.score(act.surprise),
        message=f"{show(act.principal)} deleted or destroyed {act.n} secrets in an hour: {ways(mine, 'secret')}.",
        observed=f"{act.n} secrets",
        expected=f"{figure(act.mean)} in an hour in which it removes any",
        next_step=_NEXT,
        techniques=("T1485",),
        principal=act.principal,
        **seen_in(mine),
    )
