"""A principal's window as a vector: logarithms of counts, so that twice as much is as far from 1 as from 1,000."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys
from detectors._people import People
from detectors._usual import Floats
from detectors._window import hours

if TYPE_CHECKING:
    from pipeline.core.model import Window

_KINDS: Final = {
    "read": ("read",),
    "list": ("list",),
    "write": ("write",),
    "remove": ("delete", "revoke", "rotate"),
    "auth": ("auth",),
    "admin": ("policy", "audit_control", "seal"),
}
WORDS: Final = {
    "read": "reads",
    "list": "listings",
    "write": "writes",
    "remove": "deletions, revocations and rotations",
    "auth": "token operations",
    "admin": "administration",
    "denied": "refusals",
    "failed": "failures",
    "secrets": "different secrets",
    "zones": "networks",
    "sessions": "sessions",
    "hour": "operations above what that hour has",
}
FEATURES: Final = tuple(WORDS)
_USUAL: Final = ("expected_per_hour",)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Row i of `values` (n x len(FEATURES)) is row i of `frame`."""

    frame: pl.DataFrame  # principal, in the order of names
    keys: Keys
    values: Floats

    @classmethod
    def of(cls, window: Window) -> Vectors | None:
        """None when nobody did anything."""
        people = People.of(window)
        if people.rows.is_empty():
            return None
        each = people.each(people.rows, *_features())
        counts = each.frame
        usual = window.profiles.lookup("principal", counts.select("principal"), window.start_us, _USUAL)
        expected = usual["expected_per_hour"].to_numpy() * hours(window)
        values = np.log1p(counts.select(FEATURES).to_numpy().astype(np.float64))
        values[:, FEATURES.index("hour")] = np.maximum(values[:, FEATURES.index("hour")] - np.log1p(expected), 0.0)
        return cls(counts.select("principal"), each.keys, values)


@cache
def _features() -> tuple[pl.Expr, ...]:
    """One column per feature; `hour` is the plain count until what the hour has is taken off."""
    n, kind, outcome = pl.col("n"), pl.col("operation"), pl.col("outcome")
    return (
        *(n.filter(kind.is_in(words)).sum().alias(name) for name, words in _KINDS.items()),
        n.filter(outcome == "denied").sum().alias("denied"),
        n.filter(outcome.is_in(("not_found", "failure"))).sum().alias("failed"),
        pl.col("secret").filter(pl.col("secret") != "").n_unique().alias("secrets"),
        pl.col("zone").n_unique().alias("zones"),
        pl.col("session").n_unique().alias("sessions"),
        n.sum().alias("hour"),
    )
