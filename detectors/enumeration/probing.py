"""Questions for what a token may do: whoever finds one asks. Far more of them than the principal ever put.

Consoles ask for every page they show, so people who use one have a habit of it.
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
_NEXT: Final = (
    "Ask the owner for the tool behind it. If there is none: revoke the token, and see what it read or was refused next"
    " (view operations, by principal)."
)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """How many such questions each principal put: who, type, n, out_of."""
    each = rows.filter(_PROBED).group_by("who", maintain_order=True)
    return each.agg(pl.col("type").max(), pl.col("n").sum(), out_of=pl.lit(1))


def told(act: Act, window: Window) -> Found:
    """The finding about one of them."""
    mine = window.operations.filter((pl.col("principal") == act.principal) & _PROBED)
    return Found(
        key=f"probes:{act.principal}",
        cause="rights_probed",
        title="Asks what a token may do",
        severity="medium",
        confidence=0.7,
        score=_tails.score(act.surprise),
        message=f"{show(act.principal)} asked {act.n} times in an hour what a token may do.",
        observed=f"{act.n} questions for rights",
        expected=f"{figure(act.mean)} in an hour in which it asks at all",
        next_step=_NEXT,
        techniques=("T1069",),
        principal=act.principal,
        **seen_in(mine),
    )
