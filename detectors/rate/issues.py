"""Credentials issued to one token: far more of them than any token of its principal ever took in an hour.

Each is a log-in of its own that outlives the token. Counted by token, and against all that the principal does: a
deployment is many tokens that take one each, or everything ten times as often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, seen_in, ways

if TYPE_CHECKING:
    from detectors._acts import Act
    from pipeline.core.model import Window

# The API's words of engines that make credentials; below `data/` stands what users call their secrets.
_ISSUES: Final = r"/(?:creds?|sts|issue|sign|sign-verbatim)/"
_ASKED: Final = pl.col("path").str.contains(_ISSUES)
_ISSUED: Final = (
    (pl.col("operation") == "read")
    & (pl.col("outcome") == "success")
    & ~pl.col("path").str.contains("/data/", literal=True)
)
TOKEN: Final = pl.coalesce("session", "zone")  # batch tokens have no accessor
PRIOR: Final = (1.0, 20.0)  # credentials and operations held of somebody who never took any
_MANY: Final = 200
NEXT: Final = (
    "Ask the owner what they are for. If nobody knows: revoke the token, which revokes its leases with it; certificates"
    " and keys that have no lease are revoked one by one. Then look for log-ins with them where they are good."
)


def issued(rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that took a credential."""
    return rows.filter(_ASKED & _ISSUED)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """The most that one token of each principal took: who, type, n; out_of, all operations of the principal."""
    if (asked := rows.filter(_ASKED)).is_empty():
        return asked
    each = asked.filter(_ISSUED).group_by("who", TOKEN.alias("token"), maintain_order=True)
    tokens = each.agg(pl.col("type").max(), pl.col("n").sum())
    most = tokens.group_by("who", maintain_order=True).agg(pl.col("type").max(), pl.col("n").max())
    if most.is_empty():
        return most
    all_of_it = rows.group_by("who").agg(out_of=pl.col("n").sum())
    return most.join(all_of_it, on="who", how="left", maintain_order="left")


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = issued(window.operations.filter(pl.col("principal") == act.principal))
    most = mine.group_by(TOKEN.alias("token")).agg(pl.col("n").sum()).sort("n", "token", descending=True)["token"][0]
    rows = mine.filter(TOKEN.eq_missing(pl.lit(most, pl.String)))
    return Found(
        key=f"issued:{act.principal}",
        cause="rate_issued",
        title="Many credentials issued to one token",
        severity="high" if act.n >= _MANY else "medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"One token of {show(act.principal)} took {act.n} credentials in an hour: {ways(rows, 'secret')}.",
        observed=f"{act.n} credentials by one token",
        expected=f"{figure(act.mean)} by one token for all that it did in this hour",
        next_step=NEXT,
        techniques=("T1555.006", "T1078"),
        principal=act.principal,
        **seen_in(rows),
    )
