"""At which operations a correlation's condition holds, and what of them can still matter: one class for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    from detectors.sigma.model import Correlation, Wanted

Ints = npt.NDArray[np.int64]
Truth = npt.NDArray[np.bool_]

# One operation that a member of a correlation matched. `rank` keeps the order of those complete at the same moment.
ROW: Final = pl.Schema(
    {
        "group": pl.String(),
        "at": pl.Int64(),  # µs
        "uid": pl.String(),
        "entry": pl.String(),  # uid of its entry: evidence
        "member": pl.Int64(),
        "value": pl.String(),
        "number": pl.Int64(),  # of an amount: the value in thousandths
        "begun": pl.Int64(),  # of an order: when its first operation came
        "length": pl.Int64(),  # of an order: how many of its rules this operation completes; 0 for one not judged yet
        "trail": pl.List(pl.String()),  # of an order: entries so far
        "met": pl.Boolean(),  # whether the condition held right after it
        "fresh": pl.Boolean(),
    }
)
EVIDENCE: Final = 20


class Judged:
    """Rows in order, and at which of them the condition holds. `first` is where each row's group begins."""

    met: Truth

    def __init__(self, correlation: Correlation, rows: pl.DataFrame) -> None:
        self.correlation, self.rows = correlation, rows
        self.group = rows["group"].rle_id().to_numpy().astype(np.int64)
        self.times = rows["at"].to_numpy().astype(np.int64)
        self.first = np.searchsorted(self.group, self.group)
        self.last = np.searchsorted(self.group, self.group, "right")  # where the next group begins
        since = self.times - self.times.min()
        self._scale = int(since.max()) + correlation.span_us + 1
        self._joined = self.group * self._scale + since

    def begins(self) -> Ints:
        """For each row the first one of its window: complete less than the timespan before it."""
        low = np.searchsorted(self._joined, self._joined - self.correlation.span_us, "right")
        return np.asarray(np.maximum(low, self.first))

    def ends(self) -> Ints:
        """For each row the first one after it whose window it is no longer in."""
        high = np.searchsorted(self._joined, self._joined + self.correlation.span_us, "left")
        return np.asarray(np.minimum(high, self.last))

    def evidence(self, place: int) -> list[str]:
        """Entries of the window that ends with a row, the newest of them."""
        low = int(self.begins()[place])
        return self.rows["entry"][low : place + 1].unique(maintain_order=True).to_list()[-EVIDENCE:]

    def observed(self, place: int) -> str:  # noqa: ARG002
        """What was measured over the window that ends with a row; "" where what was asked for says it."""
        return ""

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of `rows` those that can matter later; always the last one of each group."""
        raise NotImplementedError

    def _enough(self, counts: Ints) -> Truth:
        need = self.correlation.need
        return counts == need if self.correlation.exactly else counts >= need


class Counted(Judged):
    """How many operations there were."""

    def __init__(self, correlation: Correlation, rows: pl.DataFrame) -> None:
        super().__init__(correlation, rows)
        self.met = self._enough(np.arange(len(rows)) - self.begins() + 1)

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """As many as are asked for; one more, where more would be too many."""
        most = self.correlation.need + int(self.correlation.exactly)
        return rows.group_by("group", maintain_order=True).tail(most).select(ROW.names())


class Distinct(Judged):
    """How many different values there were, or which of the rules matched."""

    def __init__(self, correlation: Correlation, rows: pl.DataFrame) -> None:
        super().__init__(correlation, rows)
        self._key = "member" if correlation.kind == "temporal" else "value"
        code = rows[self._key].rank("dense").to_numpy().astype(np.int64)
        order = np.lexsort((code, self.group))  # stable: within a group and value as they came
        same = (code[order[1:]] == code[order[:-1]]) & (self.group[order[1:]] == self.group[order[:-1]])
        again = self.last.copy()
        again[order[:-1]] = np.where(same, order[1:], again[order[:-1]])
        self._gone = np.minimum(self.ends(), again)  # from here on another operation stands for the value, or none
        wanted = correlation.wanted
        self.met = self._holds(wanted) if wanted is not None else self._enough(self._standing(None))

    def _standing(self, member: int | None) -> Ints:
        """For each row how many values stand in its window."""
        some = np.ones(len(self.rows), dtype=np.bool_) if member is None else self.rows["member"].to_numpy() == member
        places = np.flatnonzero(some)
        steps = np.zeros(len(self.rows) + 1, dtype=np.int64)
        np.add.at(steps, places, 1)
        np.add.at(steps, self._gone[places], -1)
        return np.cumsum(steps)[:-1]

    def _holds(self, wanted: Wanted) -> Truth:
        if wanted.kind == "member":
            return self._standing(wanted.member) > 0
        parts = [self._holds(part) for part in wanted.parts]
        joined: Truth = (np.logical_and if wanted.kind == "and" else np.logical_or).reduce(parts)
        return joined

    def evidence(self, place: int) -> list[str]:
        """The newest operation of each value."""
        low = int(self.begins()[place])
        standing = low + np.flatnonzero(self._gone[low : place + 1] > place)
        return self.rows["entry"][standing].unique(maintain_order=True).to_list()[-EVIDENCE:]

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The newest operation of each value, of as many values as are asked for."""
        newest = rows.unique(["group", self._key], keep="last", maintain_order=True)
        if self._key == "member":
            return newest
        most = self.correlation.need + int(self.correlation.exactly)
        return newest.group_by("group", maintain_order=True).tail(most).select(ROW.names())


class InOrder(Judged):
    """Whether the rules matched one after the other, each another operation.

    The newest operation that completes the first k rules has also the newest beginning, so one of each length is
    enough. Rows of one operation stand with its later rules first: none follows itself.
    """

    def __init__(self, correlation: Correlation, rows: pl.DataFrame) -> None:
        super().__init__(correlation, rows)
        many, places = len(rows), np.arange(len(rows))
        member, fresh = rows["member"].to_numpy(), rows["fresh"].to_numpy()
        length = rows["length"].to_numpy().copy()
        begun = rows["begun"].fill_null(0).to_numpy().copy()
        self._after = np.full(many, -1, dtype=np.int64)  # the row this one follows
        newest = np.full(many, -1, dtype=np.int64)
        for step in range(len(correlation.members)):
            good = fresh & (member == step)
            if step:
                previous = np.concatenate(([-1], newest[:-1]))
                good &= previous >= self.first
                self._after[good] = previous[good]
                begun[good] = begun[previous[good]]
            else:
                begun[good] = self.times[good]
            length[good] = step + 1
            good |= ~fresh & (length == step + 1)
            newest = np.maximum.accumulate(np.where(good, places, -1))
        whole = newest >= self.first
        self.met = whole & (self.times - begun[newest] < correlation.span_us)
        self._newest, self._length, self._begun = newest, length, begun

    def evidence(self, place: int) -> list[str]:
        """The operations in their order."""
        return self._trail(int(self._newest[place]))

    def _trail(self, place: int) -> list[str]:
        if not self.rows["fresh"][place]:
            return list(self.rows["trail"][place])
        before = int(self._after[place])
        return [*(self._trail(before) if before >= 0 else ()), str(self.rows["entry"][place])]

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The newest of each length, with what led to it, and the last row of each group."""
        told = rows.with_columns(length=pl.Series(self._length), begun=pl.Series(self._begun)).with_row_index("place")
        newest = told.filter(pl.col("length") > 0).unique(["group", "length"], keep="last", maintain_order=True)
        ends = told.unique("group", keep="last", maintain_order=True)
        kept = pl.concat([newest, ends]).unique("place", maintain_order=True)
        trails = [self._trail(p) if n else [] for p, n in kept.select("place", "length").iter_rows()]
        return kept.with_columns(trail=pl.Series(trails, dtype=pl.List(pl.String))).select(ROW.names())
