"""Correlations over amounts: the sum, the average or a percentile of a field over the window of each operation.

Everything is counted in whole thousandths, so that nothing is rounded and how the stream was cut decides nothing. A
percentile lies between the two values nearest to it (Hyndman and Fan 1996, definition 7), so the 50th is the median.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl

from detectors.sigma.judged import EVIDENCE, Judged
from detectors.sigma.model import MOST_AMOUNT, THOUSANDTHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.sigma.judged import Ints, Truth
    from detectors.sigma.model import Asked, Correlation

_HOLDS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "gt": np.greater, "gte": np.greater_equal, "lt": np.less, "lte": np.less_equal, "eq": np.equal,
    "neq": np.not_equal,
}  # fmt: skip


def thousandths(amount: pl.Expr) -> pl.Expr:
    """An amount as it is counted: MOST_AMOUNT at most, null for one below zero (a clock that was set back)."""
    held = (amount.cast(pl.Float64).fill_nan(None).clip(upper_bound=MOST_AMOUNT) * THOUSANDTHS).round()
    return pl.when(held >= 0).then(held).cast(pl.Int64)


def shown(amount: Fraction | int) -> str:
    """Thousandths as a person reads them: 1,204.5."""
    whole, part = divmod(abs(round(amount)), THOUSANDTHS)
    return ("-" if amount < 0 else "") + f"{whole:,}" + (f".{part:03}".rstrip("0") if part else "")


class Amounts(Judged):
    """Of a group's window, at most the newest `limit` operations of all groups: no more are remembered either."""

    keeps_all: ClassVar = True

    def __init__(self, correlation: Correlation, asked: Asked, rows: pl.DataFrame, limit: int) -> None:
        super().__init__(correlation, rows)
        self.asked = asked
        self.number: Ints = rows["number"].to_numpy().astype(np.int64)
        self.low = self.begins()
        if self.keeps_all and len(rows) > limit:
            self.low = np.maximum(self.low, self._newest(limit))
        self.many = np.arange(len(rows)) - self.low + 1
        self.met = self.holds()

    def _newest(self, limit: int) -> Ints:
        """For each row the first of its group among the newest `limit` of all that came up to it."""
        order = self.rows.select(pl.arg_sort_by("at", "uid", "member")).to_series().to_numpy()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        joined = self.group * len(order) + rank
        return np.searchsorted(joined, self.group * len(order) + np.maximum(rank - limit + 1, 0))

    def holds(self) -> Truth:
        """For each row whether the condition holds over its window."""
        raise NotImplementedError

    def amount(self, place: int) -> Fraction | int:
        """What it comes to in the window that ends with a row, in thousandths."""
        raise NotImplementedError

    def _sums(self, number: Ints | Truth) -> Ints:
        running = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(number, dtype=np.int64)))
        return running[1:] - running[self.low]

    def evidence(self, place: int) -> list[str]:
        """Entries of the window, the newest of them."""
        inside = self.rows["entry"][int(self.low[place]) : place + 1]
        return inside.unique(maintain_order=True).to_list()[-EVIDENCE:]

    def observed(self, place: int) -> str:
        """The amount, and over how many operations."""
        many = int(self.many[place])
        return f"{shown(self.amount(place))} over {many:,} operation{'s' if many > 1 else ''}"

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """All of them: each takes its own amount along when it leaves the window."""
        return rows


class Summed(Amounts):
    """The sum. No amount is below zero, so of each group the newest operations that reach the limit are enough."""

    keeps_all: ClassVar = False

    def holds(self) -> Truth:
        """For each row whether the condition holds over its window."""
        self._sum = self._sums(self.number)
        return np.asarray(_HOLDS[self.asked.op](self._sum, self.asked.limit))

    def amount(self, place: int) -> int:
        """The sum."""
        return int(self._sum[place])

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of each group the newest that reach the limit (for gt and eq: go beyond it); nothing before them matters."""
        running = np.cumsum(self.number)
        later = running[self.last - 1] - running
        return rows.filter(later < self.asked.limit + int(self.asked.op != "gte"))


class Averaged(Amounts):
    """The average."""

    def holds(self) -> Truth:
        """For each row whether the condition holds over its window."""
        return np.asarray(_HOLDS[self.asked.op](self._sums(self.number - self.asked.limit), 0))

    def amount(self, place: int) -> Fraction:
        """The average."""
        inside = self.number[int(self.low[place]) : place + 1]
        return Fraction(int(inside.sum()), len(inside))


class Ranked(Amounts):
    """A percentile. Which side of the limit it lies on follows from how many values lie there."""

    def holds(self) -> Truth:
        """For each row whether the condition holds over its window."""
        limit = self.asked.limit
        below, within = self._sums(self.number < limit), self._sums(self.number <= limit)
        lower, part = np.divmod((self.many - 1) * self.asked.percentile, 100)
        upper = lower + (part > 0)
        side = _side(lower, below, within)
        beyond = _side(upper, below, within)
        apart = np.flatnonzero((side < 0) & (beyond > 0))
        side = np.sign(side + beyond)
        side[apart] = self._between(apart, part[apart])
        return np.asarray(_HOLDS[self.asked.op](side, 0))

    def _between(self, places: Ints, part: Ints) -> Ints:
        """The side of the limit, where the nearest value below the percentile and the one above it lie apart."""
        if not len(places):
            return places
        limit, low = self.asked.limit, self.low[places]
        short = _extreme(np.where(self.number < limit, self.number - limit, -_FAR), low, places, np.maximum)
        over = _extreme(np.where(self.number > limit, self.number - limit, _FAR), low, places, np.minimum)
        return np.sign(short * (100 - part) + over * part)

    def amount(self, place: int) -> Fraction:
        """The percentile."""
        inside = np.sort(self.number[int(self.low[place]) : place + 1])
        lower, part = divmod((len(inside) - 1) * self.asked.percentile, 100)
        upper = inside[min(lower + 1, len(inside) - 1)]
        return Fraction(int(inside[lower]) * (100 - part) + int(upper) * part, 100)


_FAR: Final = MOST_AMOUNT * THOUSANDTHS


def _side(rank: Ints, below: Ints, within: Ints) -> Ints:
    """Whether the value of that rank (0 is the smallest) is less than the limit (-1), the limit itself or more (1)."""
    return np.where(rank < below, -1, np.where(rank < within, 0, 1))


def _extreme(values: Ints, low: Ints, high: Ints, pick: np.ufunc) -> Ints:
    """The largest (or least) of `values[low..high]` for each pair, from two overlapping powers of two."""
    power = np.frexp((high - low + 1).astype(np.float64))[1] - 1
    found = np.empty(len(low), dtype=np.int64)
    for step in range(int(power.max()) + 1):
        here = power == step
        found[here] = pick(values[low[here]], values[high[here] - (1 << step) + 1])
        values = pick(values[: -(1 << step)], values[1 << step :]) if len(values) > 1 << step else values
    return found


KINDS: Final[dict[str, type[Amounts]]] = {
    "value_sum": Summed, "value_avg": Averaged, "value_percentile": Ranked, "value_median": Ranked,
}  # fmt: skip
