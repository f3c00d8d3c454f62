"""What is told of tokens: one in two networks at a time, one that came to a second address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._text import several, show
from detectors._window import Found, seen_in, values_in
from detectors.source_novelty.crowd import crowded
from detectors.source_novelty.moved import Held, Moved, address_numbers
from detectors.source_novelty.overlap import Overlap, Sessions

if TYPE_CHECKING:
    from collections.abc import Collection

    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames, Ints, Window

_SECOND: Final = 1.0  # on the surprise of a token at a second address
_NEXT: Final = (
    "Ask the owner whether one client has both addresses. If not: revoke the token by its accessor and the credential"
    " it was made with, then see what was read (view operations, by session)."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The tokens of a window; networks `hidden` mean nothing."""

    window: Window
    hidden: list[str]
    sessions: Sessions
    held: (
        Held | None
    )  # None where all of them are in hidden networks, and in a look: who goes together is not known yet
    now: Bools  # which of those held come from another address than before


class Tokens:
    """Nothing is told of principals with fewer than `least` windows, or tokens.

    Nor where tokens of `movers` principals go to one network: their gateway did. That is known when the hour is over.
    """

    def __init__(self, limit: int, least: int, movers: int) -> None:
        self._overlap, self._moved = Overlap(limit), Moved(limit)
        self._least, self._movers = least, movers

    def seen(self, window: Window, hidden: list[str]) -> Seen | None:
        """None when no token can be told."""
        sessions = Sessions.of(window)
        if sessions is None:
            return None
        held = None if window.looked_us is not None else Held.of(window, hidden)
        now = np.zeros(0, dtype=np.bool_) if held is None else self._moved.now(held)
        return Seen(window, hidden, sessions, held, now)

    def inspect(self, seen: Seen, known: Collection[str | None], threshold: float) -> tuple[list[Found], list[float]]:
        """What is told, of principals not `known` already, and every surprise."""
        apart = self._overlap.surprise(seen.sessions, self._least)
        split = np.flatnonzero(apart).tolist() if seen.hidden else []
        apart[[i for i in split if _within(seen.sessions.frame.row(i, named=True), seen.hidden, seen.window)]] = 0
        loud = np.flatnonzero(apart >= threshold).tolist()
        both = [_both(seen.sessions.frame.row(i, named=True), float(apart[i]), seen.window) for i in loud]
        both = [one for one in both if one.principal not in known]
        if seen.held is None or not seen.now.any():
            return both, apart.tolist()
        second, more = self._second(seen, seen.held, {*known, *(one.principal for one in both)}, threshold)
        return both + second, apart.tolist() + more

    def _second(
        self, seen: Seen, held: Held, known: Collection[str | None], threshold: float
    ) -> tuple[list[Found], list[float]]:
        rows = np.flatnonzero(seen.now)
        surprise, crowd = self._judged(held, rows)
        each = held.named(rows).with_columns(
            surprise=pl.Series(surprise + _SECOND), both=pl.Series(self._moved.both(held)[rows]),
            origin=pl.Series(self._moved.origin(held)[rows]),
        )  # fmt: skip
        each = each.filter(~pl.Series(crowd) & ~pl.col("principal").is_in(known))
        each = each.sort("surprise", "session", descending=[True, False])
        each = each.unique("principal", keep="first", maintain_order=True)
        loud = each.filter(pl.col("surprise") >= threshold)
        return [_moved(one, seen) for one in loud.iter_rows(named=True)], each["surprise"].to_list()

    def _judged(self, held: Held, rows: Ints) -> tuple[Floats, Bools]:
        """The surprise of these tokens, and which of them go with others."""
        surprise = self._moved.surprise(held, rows, self._least)
        return surprise, crowded(held.who[rows], held.zone[rows], surprise, self._movers)

    def learn(self, seen: Seen) -> None:
        """Add a closed window."""
        self._overlap.learn(seen.sessions, seen.window.start_us)
        if seen.held is not None:
            rows, by_itself = np.flatnonzero(seen.now), seen.now.copy()
            by_itself[rows[self._judged(seen.held, rows)[1]]] = False
            self._moved.learn(seen.held, by_itself, seen.window.start_us)

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


def _there(one: dict[str, Any], seen: Seen) -> pl.DataFrame:
    """The rows of the session from other addresses than where it was before."""
    told = (pl.col("client_ip") != "") & (pl.col("zone") != "") & ~pl.col("zone").is_in(seen.hidden)
    rows = _rows_of(one, seen.window).filter(told)
    return rows.filter(pl.Series(address_numbers(rows["client_ip"]) != one["origin"]))


def _moved(one: dict[str, Any], seen: Seen) -> Found:
    principal, there = one["principal"], _there(one, seen)
    values = values_in(there)
    how = ", while it is in use at the other one, too" if one["both"] else ""
    places = several(there["client_ip"].unique().sort().to_list())
    return Found(
        key=principal,
        cause="token_moved",
        title="Token used from a second address",
        severity="medium" if values else "low",
        confidence=0.6,
        score=_tails.score(one["surprise"]),
        message=f"A token of {show(principal)} came from {places}, another address than before, reading {values} values"
        f"{how}.",
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
