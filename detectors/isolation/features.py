"""A principal's window as a vector: logarithms of counts, so that twice as much is as far from 1 as from 1,000."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._memory import Keys
from detectors._people import People, numbered
from detectors._usual import Floats
from detectors._window import hours

if TYPE_CHECKING:
    from pipeline.core.model import Window

_COUNTED: Final = {
    "read": ("operation", ("read",)),
    "list": ("operation", ("list",)),
    "write": ("operation", ("write",)),
    "remove": ("operation", ("delete", "revoke", "rotate")),
    "auth": ("operation", ("auth",)),
    "admin": ("operation", ("policy", "audit_control", "seal")),
    "denied": ("outcome", ("denied",)),
    "failed": ("outcome", ("not_found", "failure")),
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
        each = people.each(people.rows, *_DISTINCT)
        names = each.frame.select("principal")
        counts = _sums(people.rows) | {name: each.frame[name].to_numpy() for name in ("secrets", "zones", "sessions")}
        usual = window.profiles.lookup("principal", names, window.start_us, _USUAL)
        expected = usual["expected_per_hour"].to_numpy() * hours(window)
        values = np.log1p(np.stack([counts[name] for name in FEATURES], axis=1).astype(np.float64))
        values[:, FEATURES.index("hour")] = np.maximum(values[:, FEATURES.index("hour")] - np.log1p(expected), 0.0)
        return cls(names, each.keys, values)


_DISTINCT: Final = (
    pl.col("secret").filter(pl.col("secret") != "").n_unique().alias("secrets"),
    pl.col("zone").n_unique().alias("zones"),
    pl.col("session").n_unique().alias("sessions"),
)


def _sums(rows: pl.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Of each principal; `rows` are in its order. `hour` is the plain count until what the hour has is taken off."""
    n, who = rows["n"].to_numpy(), rows["who"].to_numpy()
    begins = np.flatnonzero(np.diff(who, prepend=who[0] + 1))
    coded = {name: numbered(rows[name]) for name in ("operation", "outcome")}
    sums = {"hour": np.add.reduceat(n, begins)}
    for name, (column, words) in _COUNTED.items():
        texts, at = coded[column]
        asked = np.array([text in words for text in texts.to_list()])
        sums[name] = np.add.reduceat(np.where(asked[at.to_numpy()], n, 0), begins)
    return sums
