"""Values decrypted or signed in batches: far more than a principal ever had, in however few requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, seen_in, ways

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

# The API's words for what gives something away; to encrypt, or to encrypt anew, gives nothing.
_GIVES: Final = pl.col("path").str.contains(r"/(?:decrypt|decode|sign|hmac)/")
_BATCHED: Final = (pl.col("items") > 0) & (pl.col("outcome") == "success") & _GIVES
_MANY: Final = 2_000
_NEXT: Final = (
    "Ask the owner which job needs them. If nobody knows: revoke the token, and take whatever was encrypted with this"
    " key, or signed by it, as known to others; the ciphertext came from somewhere, so look at who read that."
)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """How many values each principal asked for in batches: who, type, n, out_of."""
    if (batched := rows.filter(pl.col("items") > 0)).is_empty():
        return batched
    each = batched.filter(_BATCHED).group_by("who", maintain_order=True)
    return each.agg(pl.col("type").max(), n=pl.col("items").sum(), out_of=pl.lit(1))


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = window.operations.filter((pl.col("principal") == act.principal) & _BATCHED)
    requests = int(mine["n"].sum())
    return Found(
        key=f"batched:{act.principal}",
        cause="rate_batched",
        title="Many values decrypted or signed in batches",
        severity="high" if act.n >= _MANY else "medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"{show(act.principal)} had {figure(act.n)} values decrypted or signed in an hour by"
        f" {figure(requests)} requests: {ways(mine, 'secret')}.",
        observed=f"{figure(act.n)} values in {figure(requests)} requests",
        expected=f"{figure(act.mean)} in an hour with batches",
        next_step=_NEXT,
        techniques=("T1555.006", "T1030"),
        principal=act.principal,
        **seen_in(mine),
    )
