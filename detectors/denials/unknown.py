"""Refusals of callers that no token names: a dead token asked with again and again, a log-in that no longer fits."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Table, keys_of
from detectors._people import somebody
from detectors._text import figure, several, show
from detectors._window import Found, seen_in, ways
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from detectors._usual import Floats
    from pipeline.core.model import Frames, Window

_ABOVE: Final = 1.5  # times the most that the address ever had in one window
_FELT: Final = 100  # times `least`: about eight a second, which a store feels
_REFUSED: Final = pl.col("outcome") == "denied"
_FRAME: Final = "unknown"


class Unknown:
    """Remembers the most refusals each address had in one window: 24 bytes each, at most `keys`, halved in 30 days."""

    def __init__(self, least: int, keys: int) -> None:
        self._least = least
        self._most = Table(1, keys, 30.0 * DAY_US)

    def inspect(self, window: Window) -> list[Found]:
        """One finding, however many addresses: what kills one token often kills those of many clients."""
        rows = window.operations.filter(_REFUSED)  # mostly there are none, or few
        if len(rows):
            rows = rows.filter(~somebody() & (pl.col("client_ip") != ""))
        if rows.is_empty():
            return []
        counts = rows.group_by("client_ip").agg(pl.col("n").sum()).sort("n", "client_ip", descending=[True, False])
        keys, count = keys_of(counts["client_ip"]), counts["n"].to_numpy().astype(np.float64)
        most = self._most.get(keys, window.start_us)[:, 0]
        odd = np.flatnonzero((count >= self._least) & (count > _ABOVE * most))
        if window.closed:
            self._most.put(keys, np.maximum(most, count)[:, None], window.start_us)
        if not len(odd):
            return []
        addresses = counts["client_ip"].gather(odd).to_list()
        return [self._found(rows, addresses, count[odd], float(most[odd[0]]))]

    def _found(self, rows: pl.DataFrame, addresses: list[str], counts: Floats, most: float) -> Found:
        rows, first = rows.filter(pl.col("client_ip").is_in(addresses)), addresses[0]
        where = show(first) if len(addresses) == 1 else f"{len(addresses)} addresses ({several(addresses)})"
        return Found(
            key=_FRAME,
            cause="refused_flood",
            title="Flood of refusals without a valid token",
            severity="high" if counts.sum() >= _FELT * self._least else "medium",
            confidence=0.85,
            score=_tails.score(6.0 + log2(counts[0] / self._least)),
            message=f"{figure(counts.sum())} requests without a valid token were refused from {where}:"
            f" {ways(rows, 'path')}.",
            observed=f"{figure(counts[0])} refusals from {show(first)}",
            expected=f"fewer than {self._least}, and at most {figure(round(most))} in a window before",
            next_step="Find the client at that address: its token or log-in has ended and it asks on without a pause."
            " Stop it and give it a new log-in; if nobody owns it, block the address. Each of these requests costs the"
            " store as much as a good one.",
            techniques=["T1499"],
            **seen_in(rows.filter(pl.col("client_ip") == first)),
        )

    def snapshot(self) -> Frames:
        """Frame unknown."""
        return {_FRAME: self._most.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; one of an earlier version tells nothing of them."""
        if _FRAME in frames:
            self._most.restore(frames[_FRAME])
