"""What is told of an address whose log-ins are refused far more often than usual."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from detectors._text import figure, show
from detectors._window import Found, first_of, seen_in

if TYPE_CHECKING:
    from pipeline.core.model import Window

_NAMELESS = pl.col("principal") == "anonymous"


@cache
def login() -> pl.Expr:
    """Log-ins from a known address."""
    return (pl.col("operation") == "auth") & (pl.col("client_ip") != "")


@dataclass(frozen=True, slots=True)
class Tried:
    """An address, how many of its log-ins were refused, out of how many, how many are usual, and what that is worth."""

    address: str
    denied: float
    total: float
    mean: float
    score: float

    def many(self, accounts: int, window: Window) -> Found:
        """Of so many different accounts."""
        tried, let_in = self._rows(window)
        hit = sorted(set(let_in["principal"].drop_nulls()) & set(tried["principal"].drop_nulls()) - {"anonymous"})
        told = f" {', '.join(show(name) for name in hit[:3])} was let in from there." if hit else ""
        return Found(
            key=f"address:{self.address}",
            cause="login_pressure",
            title="Log-ins to many accounts refused",
            severity="high" if hit else "medium",
            confidence=0.85,
            score=self.score,
            message=f"{figure(self.denied)} log-ins to {accounts} accounts were refused from"
            f" {show(self.address)}.{told}",
            observed=f"{figure(self.denied)} of {figure(self.total)} log-ins refused, {accounts} accounts,"
            f" first {first_of(tried)}",
            expected=f"{figure(self.mean)} of {figure(self.total)}",
            next_step="Block the address unless it is a shared gateway of your own. Reset the account that was let in;"
            " warn the owners of the others.",
            principal=hit[0] if len(hit) == 1 else None,
            **seen_in(tried),
        )

    def guessed(self, window: Window) -> Found | None:
        """Of log-ins that name nobody, as AppRole's do: somebody who is let in after them. None where nobody is."""
        tried, let_in = self._rows(window)
        tried = tried.filter(_NAMELESS)
        if tried.is_empty():
            return None
        there = pl.col("mount").is_in(tried["mount"].unique().implode(), nulls_equal=True)
        after = let_in.filter(there & (pl.col("last_time") > tried["time"].min()))
        names = sorted(set(after["principal"].drop_nulls()) - {"anonymous"})
        if not names:
            return None
        return Found(
            key=f"guessed:{self.address}",
            cause="login_guessed",
            title="Log-in succeeds after many guesses",
            severity="medium",
            confidence=0.75,
            score=self.score,
            message=f"{figure(self.denied)} log-ins that name no account were refused from {show(self.address)}; then"
            f" {', '.join(show(name) for name in names[:3])} was let in from there.",
            observed=f"{figure(self.denied)} of {figure(self.total)} log-ins refused, first {first_of(tried)}",
            expected=f"{figure(self.mean)} of {figure(self.total)}",
            next_step="Ask the owner whether a job had an old secret-id and got a new one. If not, the secret-id was"
            " guessed or tried out: revoke its tokens, make a new one, and see what was read (view operations).",
            principal=names[0] if len(names) == 1 else None,
            **seen_in(pl.concat([tried, after])),
        )

    def _rows(self, window: Window) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Its log-ins that were refused, and those that were not."""
        rows = window.operations.filter(login() & (pl.col("client_ip") == self.address))
        return rows.filter(pl.col("outcome") == "denied"), rows.filter(pl.col("outcome") == "success")
