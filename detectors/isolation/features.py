"""A principal's window as a vector: logarithms of counts, so that twice as much is as far from 1 as from 1,000."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys
from detectors._people import Array, Groups, People
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
_ASKED: Final = tuple(
    reduce(or_, (pl.col(column) == word for word in words)).fill_null(value=False).alias(name)
    for name, (column, words) in _COUNTED.items()
)


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
        groups = people.groups
        counts = _sums(groups) | _different(groups)
        names = people.names.to_frame()
        asked = pl.DataFrame({"principal": window.profiles.numbers("principal", window)[people.places]})
        usual = window.profiles.lookup("principal", asked, window.start_us, _USUAL)
        expected = usual["expected_per_hour"].to_numpy() * hours(window)
        values = np.log1p(np.stack([counts[name] for name in FEATURES], axis=1).astype(np.float64))
        values[:, FEATURES.index("hour")] = np.maximum(values[:, FEATURES.index("hour")] - np.log1p(expected), 0.0)
        return cls(names, people.keys, values)


def _different(groups: Groups) -> dict[str, Array]:
    """How many different secrets, zones and sessions each principal has; no secret is none."""
    counts = {f"{name}s": groups.distinct(name) for name in ("zone", "session")}
    named = Groups.of(groups.rows.filter(pl.col("secret") != ""))
    counts["secrets"] = np.zeros(len(groups.who), np.int64)
    counts["secrets"][named.who] = named.distinct("secret")
    return counts


def _sums(groups: Groups) -> dict[str, Array]:
    """Of each principal. `hour` is the plain count until what the hour has is taken off."""
    n = groups.rows["n"].to_numpy()
    asked = groups.rows.select(_ASKED)
    sums = {"hour": groups.sum(n)}
    for name in _COUNTED:
        told = asked[name].to_numpy()
        sums[name] = groups.sum(np.where(told, n, 0)) if told.any() else np.zeros_like(sums["hour"])
    return sums
