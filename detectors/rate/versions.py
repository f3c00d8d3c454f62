"""Secrets read by version by one principal: a few are a rollback, many are somebody collecting a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import OLD_VERSION, Found, seen_in, ways

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

_READ: Final = OLD_VERSION & (pl.col("outcome") == "success")
_MANY: Final = 100
NEXT: Final = (
    "Ask whoever did it what was looked for. If nobody knows: revoke the tokens, and take the values that were replaced"
    " as known to others; where one of them is still accepted somewhere, rotate it there."
)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """How many reads by version each principal made: who, type, n, out_of."""
    if (old := rows.filter(_READ)).is_empty():
        return old
    return old.group_by("who", maintain_order=True).agg(pl.col("type").max(), pl.col("n").sum(), out_of=pl.lit(1))


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = window.operations.filter((pl.col("principal") == act.principal) & _READ)
    secrets = mine.select(pl.struct("namespace", "secret").n_unique()).item()
    of = f"{figure(secrets)} secret{'s' if secrets > 1 else ''}"
    return Found(
        key=f"versions:{act.principal}",
        cause="rate_versions",
        title="Versions of secrets read one after another",
        severity="high" if act.n >= _MANY else "medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"{show(act.principal)} asked for versions of {of}, {figure(act.n)} times in an hour:"
        f" {ways(mine, 'secret')}.",
        observed=f"{figure(act.n)} reads by version of {of}",
        expected=f"{figure(act.mean)} in an hour in which it reads any",
        next_step=NEXT,
        techniques=("T1555.006",),
        principal=act.principal,
        **seen_in(mine),
    )
