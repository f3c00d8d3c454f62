"""What is told of tokens: one in two networks at a time, one that came to a second address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._text import several, show
from detectors._window import Found, seen_in
from detectors.source_novelty.moved import Held, Moved
from detectors.source_novelty.overlap import Overlap, Sessions

if TYPE_CHECKING:
    from collections.abc import Collection

    from detectors._usual import Bools
    from pipeline.core.model import Frames, Window

_SECOND: Final = 1.0  # on the surprise of a token at a second address
_NEXT: Final = (
    "Ask the owner whether one client has both addresses. If not: revoke the token by its accessor and the credential"
    " it was made with, then see what was read (view operations, by session)."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The tokens of a window."""

    window: Window
    sessions: Sessions
    held: Held
    now: Bools  # which of those held are at a second address for the first time


class Tokens:
    """Nothing is told of principals with fewer than `least` windows, or tokens; nor where tokens of `movers` move."""

    def __init__(self, limit: int, least: int, movers: int) -> None:
        self._overlap, self._moved = Overlap(limit), Moved(limit)
        self._least, self._movers = least, movers

    def seen(self, window: Window) -> Seen | None:
        """None when no token can be told."""
        sessions, held = Sessions.of(window), Held.of(window)
        return None if sessions is None or held is None else Seen(window, sessions, held, self._moved.now(held))

    def inspect(
        self, seen: Seen, known: Collection[str | None], hidden: list[str], threshold: float
    ) -> tuple[list[Found], list[float]]:
        """What is told, of principals not `known` already, and every surprise. Networks `hidden` mean nothing."""
        apart = self._overlap.surprise(seen.sessions, self._least)
        split = np.flatnonzero(apart).tolist() if hidden else []
        apart[[i for i in split if _within(seen.sessions.frame.row(i, named=True), hidden, seen.window)]] = 0
        loud = np.flatnonzero(apart >= threshold).tolist()
        both = [_both(seen.sessions.frame.row(i, named=True), float(apart[i]), seen.window) for i in loud]
        both = [one for one in both if one.principal not in known]
        if not seen.now.any():
            return both, apart.tolist()
        second, more = self._second(seen, {*known, *(one.principal for one in both)}, threshold)
        return both + second, apart.tolist() + more

    def _second(self, seen: Seen, known: Collection[str | None], threshold: float) -> tuple[list[Found], list[float]]:
        rows = np.flatnonzero(seen.now)
        surprise = self._moved.surprise(seen.held, rows, self._least) + _SECOND
        each = seen.held.named(rows).with_columns(surprise=pl.Series(surprise), both=pl.Series(seen.held.both[rows]))
        each = each.filter(~pl.col("principal").is_in(known)).sort("surprise", descending=True, maintain_order=True)
        each = each.unique("principal", keep="first", maintain_order=True)
        loud = each.filter(pl.col("surprise") >= threshold)
        told = loud.rows(named=True) if len(loud) < self._movers else []
        return [_moved(one, seen.window) for one in told], each["surprise"].to_list()

    def learn(self, seen: Seen) -> None:
        """Add a closed window."""
        self._overlap.learn(seen.sessions, seen.window.start_us)
        self._moved.learn(seen.held, seen.now, seen.window.start_us)

    def snapshot(self) -> Frames:
        """The two memories."""
        return {**self._overlap.snapshot(), **self._moved.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._overlap.restore(frames)
        self._moved.restore(frames)


def _both(one: dict[str, Any], surprise: float, window: Window) -> Found:
    principal, rows = one["principal"], _rows_of(one, window)
    zones = several(rows["zone"].unique().sort().to_list())
    how = ", going back and forth" if one["interleaved"] else ""
    return Found(
        key=principal,
        cause="session_overlap",
        title="One token in two networks",
        severity="high" if one["interleaved"] else "medium",
        confidence=0.7,
        score=_tails.score(surprise),
        message=f"One token of {show(principal)} was used from {zones} within an hour{how}.",
        observed=f"{one['zones']} zones for one token",
        expected="one zone for one token, as with its tokens before",
        next_step=_NEXT,
        principal=principal,
        **seen_in(rows),
    )


def _moved(one: dict[str, Any], window: Window) -> Found:
    principal, rows = one["principal"], _rows_of(one, window)
    there = rows.filter(pl.col("client_ip") == rows.sort("last_time", "client_ip")["client_ip"][-1])
    values = int(there.filter("discloses_value")["n"].sum())
    how = ", while it is in use at the first one, too" if one["both"] else ""
    return Found(
        key=principal,
        cause="token_moved",
        title="Token used from a second address",
        severity="medium" if values else "low",
        confidence=0.6,
        score=_tails.score(one["surprise"]),
        message=f"A token of {show(principal)} came from another address than before, reading {values} values{how}.",
        observed="a second address for one token",
        expected="one address for one token, as with its tokens before",
        next_step=_NEXT,
        principal=principal,
        **seen_in(there),
    )


def _rows_of(one: dict[str, Any], window: Window) -> pl.DataFrame:
    """The WINDOW rows of a principal's session."""
    mine = (pl.col("principal") == one["principal"]) & (pl.col("session") == one["session"])
    return window.operations.filter(mine)


def _within(one: dict[str, Any], zones: list[str], window: Window) -> bool:
    """Whether a session was in no network but these."""
    return bool(_rows_of(one, window)["zone"].is_in(zones).all())
