"""When the evidence for a finding was complete: the first moment at which its detector, asked, would have said it.

A window is judged when it is over, or when it is looked at. How long the suite let a finding wait is found by asking
the same detector, with what it knew before the window, about the window as it was at earlier moments. Asking changes
nothing: a detector does not learn from a window that is still open.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline import suite
from pipeline.core.schema import INTEGRITY, OPERATION, empty
from pipeline.windows import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.core.model import Window
    from pipeline.core.ports import Detector
    from pipeline.evaluate.twins import Staged

MARKS: Final = 12  # moments of a window that are asked about first; then the operations between two of them
_ABOUT: Final = ("principal", "secret", "client_ip")


class Evidence:
    """Asks about what was said of windows with a request of an incident. `since` is the answer by FINDING uid, in µs.

    The first moment is one at which an operation about the same principal (or else secret, or address) was complete;
    where it took those of others, too, one at which any was. For a detector that says nothing before the
    window is over, and of all other windows, it is the window's start. What is told of single operations is no
    question: its evidence is complete when they are.
    """

    def __init__(self, detectors: Sequence[Detector], incidents: Sequence[Staged]) -> None:
        self._detectors = {detector.info.name: detector for detector in detectors}
        self._incidents = incidents
        self._rows = empty(OPERATION)
        self._asked: dict[tuple[Any, ...], int] = {}
        self.since: dict[str, int] = {}

    def take(self, operations: pl.DataFrame) -> None:
        """What the windows are going to be made of, before they are."""
        rows = pl.concat([self._rows, operations]) if len(self._rows) else operations
        self._rows = rows.sort("complete_time", maintain_order=True)

    def judged(self, window: Window, profiles: Any) -> None:
        """A window, before it is judged for good: what will be said of it, and since when it could have been."""
        mine = [each for each in self._incidents if _at_work(each, window)]
        if mine:
            known = replace(window, profiles=profiles, closed=False, memo={})
            found = suite.inspect(self._detectors.values(), known, "window", profiles)
            for row in found.filter(_touches(mine)).iter_rows(named=True):
                self.since[row["uid"]] = self._since(row, known)

    def over(self, window: Window, found: pl.DataFrame) -> None:
        """What was said of the window, `judged` or not: of what it said only now that it is over, from its start."""
        for uid in found["uid"]:
            self.since.setdefault(uid, window.start_us)
        if window.closed:
            self._rows = self._rows.filter(pl.col("complete_time").dt.epoch("us") >= window.end_us)
            self._asked = {}

    def _since(self, row: dict[str, Any], window: Window) -> int:
        about = next((name for name in _ABOUT if row[name]), "")
        key = (row["detector"], row["cause"], about, row[about] if about else "")
        if key not in self._asked:
            self._asked[key] = self._ask(row, about, window)
        return self._asked[key]

    def _ask(self, row: dict[str, Any], about: str, window: Window) -> int:
        """The first moment at which it is said, of those of its own operations, or else of all that there were."""
        rows = self._rows.filter(pl.col("complete_time").dt.epoch("us") < (window.looked_us or window.end_us))
        for theirs in (rows.filter(pl.col(about) == row[about]), rows) if about else (rows,):
            moments = np.unique(theirs["complete_time"].to_physical().to_numpy())
            if (first := self._first(row, about, window, rows, moments)) is not None:
                return first
        return int(window.start_us)

    def _first(
        self, row: dict[str, Any], about: str, window: Window, rows: pl.DataFrame, moments: npt.NDArray[np.int64]
    ) -> int | None:
        """Of the marks the first at which it is said, then of the moments before it; None if at none of them."""
        low, high = -1, None
        for mark in _last_before(moments, window) if len(moments) else ():
            if self._said(row, about, window, rows, int(moments[mark])):
                high = mark
                break
            low = mark
        if high is None:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self._said(row, about, window, rows, int(moments[middle])):
                high = middle
            else:
                low = middle
        return int(moments[high])

    def _said(self, row: dict[str, Any], about: str, window: Window, rows: pl.DataFrame, at_us: int) -> bool:
        until = int(np.searchsorted(rows["complete_time"].to_physical().to_numpy(), at_us, "right"))
        part = replace(window, operations=count(rows[:until]), integrity=empty(INTEGRITY), looked_us=None, memo={})
        found = suite.inspect([self._detectors[row["detector"]]], part, "window", window.profiles)
        same = found.filter(detector=row["detector"], cause=row["cause"])
        return bool(len(same.filter(pl.col(about) == row[about]) if about else same))


def _at_work(each: Staged, window: Window) -> bool:
    """Whether any of its requests is in the window."""
    place = bisect_left(each.times_us, window.start_us)
    return place < len(each.times_us) and each.times_us[place] < window.end_us


def _last_before(moments: npt.NDArray[np.int64], window: Window) -> list[int]:
    """The places of the last moment before each mark of the window, ascending; the last of all is among them."""
    ends = window.start_us + np.arange(1, MARKS + 1) * ((window.end_us - window.start_us) // MARKS)
    places = np.unique(np.searchsorted(moments, ends, "left") - 1)
    return sorted({*places[places >= 0].tolist(), len(moments) - 1})


def _touches(incidents: Sequence[Staged]) -> pl.Expr:
    """Findings about a principal or a secret of one of them, or that name one of its requests."""
    labels = [each.label for each in incidents]
    uids = [uid.replace("-", "") for label in labels for uid in label.correlation_uids]
    who = pl.col("principal").is_in([label.principal for label in labels])
    what = pl.col("secret").is_in([secret for label in labels for secret in label.secrets])
    named = pl.col("evidence").list.eval(pl.element().is_in(uids)).list.any()
    return who.fill_null(value=False) | what.fill_null(value=False) | named.fill_null(value=False)
