"""How long the tokens of a role usually live, and one that is made to live much longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of, keys_of_few
from detectors._operation import said_of
from detectors._text import figure, show
from detectors._window import Found
from detectors.token_lifecycle.issued import ROWS
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames

_BINS: Final = 32  # powers of two of seconds
_KINDS: Final = 4_096
_KNOWN: Final = 3  # tokens of a role before its own longest says anything
_SHORTEST: Final = 3_600  # a life below an hour is never long


_ALIKE: Final = ("mount", "kind", "principal", "login_principal", "token_ttl")
_NONE: Final = pl.DataFrame(schema={**{name: ROWS[name] for name in _ALIKE}, "n": pl.Int64})


class Life:
    """Per role the number of its tokens and the longest life: 32 bytes. Per kind of role a histogram of lives."""

    def __init__(self, factor: float, surprise: float, together: int, limit: int) -> None:
        self._factor, self._surprise, self._together = factor, surprise, together
        self._roles = Table(2, limit)
        self._kinds = Table(_BINS, _KINDS)
        self._hour = 0
        self._open = _NONE  # what the current hour had so far

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge ROWS of one hour by what was known before it."""
        made = rows.filter(
            pl.col("kind").is_in(["login", "create"]) & (pl.col("token_ttl") > 0) & (pl.col("outcome") == "success")
        )
        if hour > self._hour:
            self._learn()
            self._hour = hour
        if made.is_empty():
            return []
        one = made.select(*_ALIKE, n=pl.lit(1, pl.Int64))
        self._open = pl.concat([self._open, one]).group_by(_ALIKE, maintain_order=True).agg(pl.col("n").sum())
        longest, surprise = self._judged(made)
        ttl = made["token_ttl"].to_numpy()
        long = (ttl >= self._factor * longest) & (ttl > _SHORTEST) & (surprise >= self._surprise)
        if not long.any():
            return []
        told = np.flatnonzero(long & self._alone(made)).tolist()
        return [self._found(made.row(i, named=True), float(longest[i]), float(surprise[i])) for i in told]

    def _judged(self, made: pl.DataFrame) -> tuple[Floats, Floats]:
        """The longest life each role had (0: unknown), and -log10 of how rare this one is, with how much longer."""
        roles, kinds = _keys(made)
        at_us = self._hour * HOUR_US
        known, longest = self._roles.get(roles, at_us).T
        longest = np.where(known >= _KNOWN, longest, 0.0)
        lives = self._kinds.get(kinds, at_us)
        ttl = made["token_ttl"].to_numpy().astype(np.float64)
        longer = np.where(np.arange(_BINS) >= _bin(ttl)[:, None], lives, 0.0).sum(axis=1)
        rare = -np.log10((longer + 0.5) / (lives.sum(axis=1) + 1.0))
        times = np.where(longest > 0, np.log2(np.maximum(ttl / np.maximum(longest, 1.0), 1.0)) / 2, 0.0)
        return longest, rare + times

    def _alone(self, made: pl.DataFrame) -> Bools:
        """Rows whose mount had fewer than `together` roles with longer lives this hour, up to theirs."""
        longest, _ = self._judged(self._open)
        long = self._open["token_ttl"].to_numpy() >= self._factor * longest
        roles = pl.DataFrame({"mount": self._open["mount"], "role": _role(self._open)}).filter(pl.Series(long))
        ranked = roles.unique(maintain_order=True).with_columns(rank=pl.int_range(1, pl.len() + 1).over("mount"))
        asked = pl.DataFrame({"mount": made["mount"], "role": _role(made)})
        rank = asked.join(ranked, on=["mount", "role"], how="left", maintain_order="left")["rank"]
        alone: Bools = (rank.fill_null(1) < self._together).to_numpy()
        return alone

    def _learn(self) -> None:
        if self._open.is_empty():
            return
        at_us = self._hour * HOUR_US
        roles, kinds = _keys(self._open)
        ttl = self._open["token_ttl"].to_numpy().astype(np.float64)
        n = self._open["n"].to_numpy().astype(np.float64)
        distinct, place = np.unique(roles, return_inverse=True)
        most = np.zeros(len(distinct))
        np.maximum.at(most, place, ttl)
        old = self._roles.get(distinct, at_us)
        self._roles.put(
            distinct,
            np.stack(
                [old[:, 0] + np.bincount(place, weights=n, minlength=len(distinct)), np.maximum(old[:, 1], most)],
                axis=1,
            ),
            at_us,
        )
        lives = np.zeros((len(ttl), _BINS))
        lives[np.arange(len(ttl)), _bin(ttl)] = n
        self._kinds.add(kinds, lives, at_us)
        self._open = _NONE

    def _found(self, row: dict[str, Any], longest: float, surprise: float) -> Found:
        who, ttl = row["principal"], row["token_ttl"]
        what = "made a token" if row["kind"] == "create" else "was given a token"
        usual = f"at most {_span(longest)} before" if longest else "shorter lives, as with its kind"
        return Found(
            key=row["uid"],
            cause="token_life",
            severity="medium",
            confidence=0.75,
            score=_tails.score(surprise),
            message=f"{show(who)} {what} that lives {_span(ttl)}; its tokens lived {usual}.",
            observed=f"time to live {_span(ttl)}",
            expected=usual,
            next_step="Ask for the reason. If there is none: revoke the token by its accessor, and cap the role"
            " (token_max_ttl, token_explicit_max_ttl).",
            principal=who,
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frames life.roles, life.kinds, life.open and life.hour."""
        return {
            "life.roles": self._roles.snapshot(),
            "life.kinds": self._kinds.snapshot(),
            "life.open": self._open,
            "life.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._roles.restore(frames["life.roles"])
        self._kinds.restore(frames["life.kinds"])
        self._open = frames["life.open"]
        self._hour = frames["life.hour"]["hour"][0]


def _role(rows: pl.DataFrame) -> pl.Series:
    """Whose tokens these are: of a log-in who was let in, of a creation who asked."""
    whom = pl.when(pl.col("kind") == "create").then("principal").otherwise(pl.coalesce("login_principal", "principal"))
    return rows.select(pl.concat_str("kind", pl.lit(":"), whom.fill_null(""))).to_series()


def _keys(rows: pl.DataFrame) -> tuple[Keys, Keys]:
    kind = rows.select(pl.concat_str(pl.col("mount").fill_null(""), pl.lit(":"), "kind")).to_series()
    return keys_of(_role(rows)), joined(1, keys_of_few(kind))


def _bin(ttl: Floats) -> np.ndarray:
    return np.clip(np.log2(np.maximum(ttl, 1)).astype(np.int64), 0, _BINS - 1)


def _span(seconds: float) -> str:
    """A time to live in words."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{figure(seconds / size)} {name}"
    return f"{figure(seconds)} seconds"
