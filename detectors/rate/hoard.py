"""Credentials beyond one of a role for each token, a few an hour: who needs one takes one and lets it go.

A deployment, or a pod that crashes again and again, is many tokens that take one each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._leaky import Leaky
from detectors._people import People, number_of
from detectors._text import figure, show
from detectors._window import Found, seen_in, ways
from detectors.rate.issues import NEXT, TOKEN, issued

if TYPE_CHECKING:
    from detectors._leaky import Enough
    from pipeline.core.model import Frames, Window

_MOST: Final = 8.0  # that count of one hour: a loud one is told by issues, and is over
_MANY: Final = 60.0


class Hoard:
    """Per principal the credentials that its tokens took beyond the first of each role."""

    def __init__(self, enough: Enough, keys: int) -> None:
        self._beyond = Leaky("hoard", enough, keys)

    def inspect(self, window: Window) -> list[Found]:
        """Judge a window."""
        people = People.of(window)
        self._beyond.begin(window)
        # A token that takes one of each engine it uses has one of each.
        each_role = ("who", TOKEN.alias("token"), number_of("secret"))
        tokens = issued(people.rows).group_by(each_role).agg(pl.col("type").max(), pl.col("n").sum())
        counted = (
            tokens.group_by("who").agg(pl.col("type").max(), n=pl.col("n").sum() - pl.len()).filter(pl.col("n") > 0)
        )
        if counted.is_empty():
            return []
        each = people.named(counted.sort("who"))
        late = self._beyond.judge(each.keys, np.minimum(each.frame["n"].to_numpy(), _MOST), window)
        names: list[str] = each.frame["principal"].to_list()
        return [
            _told(names[i], (float(late.sum[i]), float(late.mean[i]), float(late.surprise[i])), window)
            for i in np.flatnonzero(late.odd).tolist()
        ]

    def snapshot(self) -> Frames:
        """See Leaky; all under `hoard`."""
        return self._beyond.snapshot()

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._beyond.restore(frames)


def _told(principal: str, judged: tuple[float, float, float], window: Window) -> Found:
    late, mean, surprise = judged
    rows = issued(window.operations.filter(pl.col("principal") == principal))
    return Found(
        key=f"hoarded:{principal}",
        cause="rate_hoarded",
        title="One credential after the other, all kept",
        severity="high" if late >= _MANY else "medium",
        confidence=0.7,
        score=_tails.score(surprise),
        message=f"{show(principal)} goes on taking credentials with tokens that have some, about {figure(late)} of"
        f" late; in this hour: {ways(rows, 'secret')}.",
        observed=f"{figure(late)} credentials beyond one of a role for each token, those of twelve hours ago counted"
        " half",
        expected=f"{figure(mean)} by its own past",
        next_step=NEXT,
        techniques=("T1555.006", "T1078"),
        principal=principal,
        **seen_in(rows),
    )
