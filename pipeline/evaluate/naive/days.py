"""What each principal did today so far, what of it was new, and what its own days before were like.

One of these feeds every naive method: a window is counted once. Only what is over is history, so nothing is judged by
itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.evaluate.naive.past import DAY, FEATURES, KINDS, STANDARD, Past

if TYPE_CHECKING:
    from pipeline.core.model import Window

Floats = npt.NDArray[np.float64]

KEPT_DAYS: Final = 28
LEARN_DAYS: Final = 7  # nothing is told before: then everything is new
NAMELESS: Final = "anonymous"

_SYSTEM: Final = pl.col("mount").is_in(["sys/", "auth/token/"])
_INSIDE: Final = pl.col("path").fill_null("").str.strip_prefix(pl.col("mount")).str.extract(r"^([^/]*)", 1)
AREA: Final = pl.col("mount").fill_null("") + pl.when(_SYSTEM).then(_INSIDE.fill_null("")).otherwise(pl.lit(""))


class Seen:
    """When something was seen last, by a 64-bit hash; what nobody saw for KEPT_DAYS is forgotten."""

    def __init__(self) -> None:
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._last: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def ages(self, keys: npt.NDArray[np.uint64], at_us: int) -> Floats:
        """How long ago each was seen (µs), infinite where never; now they all are. `keys` are different ones."""
        at = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        known = self._keys[at] == keys if len(self._keys) else np.zeros(len(keys), bool)
        ages = np.full(len(keys), np.inf)
        ages[known] = at_us - self._last[at[known]]
        self._last[at[known]] = at_us
        fresh = np.sort(keys[~known])
        place = np.searchsorted(self._keys, fresh)
        self._keys = np.insert(self._keys, place, fresh)
        self._last = np.insert(self._last, place, at_us)
        return ages

    def forget(self, before_us: int) -> None:
        """What was not seen since."""
        kept = self._last >= before_us
        self._keys, self._last = self._keys[kept], self._last[kept]


@dataclass(frozen=True)
class Today:
    """`each` has a row a principal of the window: principal, kind, FEATURES of its day so far, and their STANDARD.

    `fresh` are the pairs that are new in this window: principal, what (of KINDS), key, folder. `day` counts from the
    epoch, `settled` is whether LEARN_DAYS are over, `rows` are those of the window.
    """

    rows: pl.DataFrame
    each: pl.DataFrame
    fresh: pl.DataFrame
    at_us: int
    settled: bool

    @property
    def day(self) -> int:
        """Since the epoch."""
        return self.at_us // DAY_US


class Days:
    """Adds up windows. Memory follows the principals, the days kept and the different pairs."""

    def __init__(self) -> None:
        self._since_us: int | None = None
        self._day = -1
        self._sums = pl.DataFrame(schema=_SUMS)
        self._seen = {kind: Seen() for kind in KINDS}
        self._past = Past(pl.DataFrame(schema=DAY), 0)
        self.done = pl.DataFrame(schema={**DAY, **dict.fromkeys(STANDARD, pl.Float64)})  # days that are over
        self.turned = 0  # how many days were

    def take(self, window: Window) -> Today:
        """The day so far, this window included; asked again about the same window, the same."""
        if "naive.today" not in window.memo:
            window.memo["naive.today"] = self._take(window.operations, window.start_us)
        today: Today = window.memo["naive.today"]
        return today

    def _take(self, operations: pl.DataFrame, at_us: int) -> Today:
        self._since_us = at_us if self._since_us is None else self._since_us
        if at_us // DAY_US != self._day:
            self._turn(at_us // DAY_US)
        rows = operations.filter(pl.col("principal").fill_null("") != "").with_columns(area=AREA)
        fresh, counted = [], [rows.group_by("principal").agg(pl.col("principal_type").first().alias("kind"), *_COUNTED)]
        for what in KINDS:
            pairs = self._pairs(rows, what, at_us)
            fresh.append(pairs.filter("new").select("principal", "what", "key", "folder"))
            counted.append(
                pairs.group_by("principal").agg(
                    pl.col("first").sum().cast(pl.Float64).alias(f"{what}s"),
                    pl.col("new").sum().cast(pl.Float64).alias(f"new_{what}s"),
                )
            )
        hour = counted[0]
        for more in counted[1:]:
            hour = hour.join(more, on="principal", how="left")
        hour = hour.with_columns(pl.col(FEATURES).fill_null(0.0)).select(list(_SUMS))
        self._sums = _added([self._sums, hour]) if len(self._sums) else hour.sort("principal")
        each = self._sums.join(hour.select("principal"), on="principal", how="semi", maintain_order="left")
        return Today(
            rows, self._past.standard(each), pl.concat(fresh), at_us, at_us - self._since_us >= LEARN_DAYS * DAY_US
        )

    def _pairs(self, rows: pl.DataFrame, what: str, at_us: int) -> pl.DataFrame:
        """Different (principal, key) of the window: whether the first of the day, whether new."""
        key, folder = _KEYS[what]
        if what == "hour":
            key = pl.lit(str(at_us % DAY_US // HOUR_US))
        named = rows.filter((pl.col("principal") != NAMELESS) & (key.fill_null("") != ""))
        pairs = named.group_by("principal", key=key).agg(folder.first().alias("folder")).sort("principal", "key")
        ages = self._seen[what].ages(pairs.select(pl.struct("principal", "key").hash(7)).to_series().to_numpy(), at_us)
        return pairs.with_columns(
            what=pl.lit(what), new=pl.Series(np.isinf(ages)), first=pl.Series(ages > at_us % DAY_US)
        )

    def _turn(self, day: int) -> None:
        """A day is over: it is history."""
        if len(self._sums):
            over = self._past.standard(self._sums).with_columns(day=pl.lit(self._day, pl.Int64))
            self.done = pl.concat([self.done, over.select(self.done.columns)]).filter(pl.col("day") >= day - KEPT_DAYS)
            self.turned += 1
        self._past = Past(self.done.select(list(DAY)), day)
        self._sums, self._day = self._sums.clear(), day
        for seen in self._seen.values():
            seen.forget((day - KEPT_DAYS) * DAY_US)


_SUMS: Final = {name: type_ for name, type_ in DAY.items() if name != "day"}
_COUNTED: Final = tuple(
    pl.col("n").filter(which).sum().cast(pl.Float64).alias(name)
    for name, which in {
        "reads": pl.col("operation") == "read",
        "writes": ~pl.col("operation").is_in(["read", "list", "auth"]),
        "denied": pl.col("outcome") == "denied",
        "lists": pl.col("operation") == "list",
        "logins": pl.col("operation") == "auth",
    }.items()
)
_FOLDER: Final = pl.col("secret").str.replace(r"/[^/]*$", "")
_KEYS: Final[dict[str, tuple[pl.Expr, pl.Expr]]] = {  # what makes a pair, and what it belongs to
    "secret": (pl.col("secret"), _FOLDER),
    "zone": (pl.col("zone"), pl.col("zone")),
    "act": (pl.col("operation") + " " + pl.col("area"), pl.col("operation") + " " + pl.col("area")),
    "hour": (pl.lit(""), pl.lit("hour")),
}


def _added(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts).group_by("principal").agg(pl.col("kind").first(), pl.col(FEATURES).sum()).sort("principal")
