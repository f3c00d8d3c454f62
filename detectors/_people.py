"""Who acts in a window: every principal once, by number in the order of names, worked out for all detectors at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._groups import cohorts
from detectors._memory import Keys, keys_of, keys_of_few

if TYPE_CHECKING:
    from pipeline.core.model import Window

Numbers = npt.NDArray[np.uint32]

_KIND: Final = pl.col("type").max()  # of a principal's rows
_UNTYPED: Final = "unknown"  # the kind of those whose log tells none; the key of an empty name, 0, stands for no kind
_ASKED: Final = (  # columns that somebody asks for: the others need not be put in order
    "principal", "namespace", "secret", "path", "operation", "outcome", "discloses_value", "zone", "session", "n",
    "time", "last_time",
)  # fmt: skip
_WORD, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_FEW: Final = 1_024  # rows: up to here a dictionary is quicker than columns


@cache
def somebody() -> pl.Expr:
    """Rows of a principal that is one: what nobody did has no habit."""
    shared = pl.col("principal").is_in(("", "anonymous", "token", "wrapping", "unknown"))
    return pl.col("principal").is_not_null() & ~shared & (pl.col("principal_type") != "anonymous").fill_null(value=True)


@dataclass(frozen=True, slots=True)
class Each:
    """Principals of a window: row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, kind, cohort and what was asked for, in the order of names
    keys: Keys
    kinds: Keys
    cohorts: Keys


@dataclass(frozen=True, slots=True)
class People:
    """The principals of a window: item i of names, keys and cohorts is principal number i.

    `rows` are what is asked for of their WINDOW rows, with number and type as `who` and `type` (UInt32), by `who`.
    """

    rows: pl.DataFrame
    names: pl.Series
    keys: Keys
    cohorts: pl.Series
    cohort_keys: Keys
    kinds: pl.Series
    kind_keys: Keys

    @classmethod
    def of(cls, window: Window) -> People:
        """Worked out once a window."""
        if "people" not in window.memo:
            window.memo["people"] = cls._of(window.operations.filter(somebody()))
        found: People = window.memo["people"]
        return found

    @classmethod
    def _of(cls, rows: pl.DataFrame) -> People:
        names, who = numbered(rows["principal"])
        kinds, kind = numbered(rows["principal_type"])
        rows = rows.select(_ASKED).with_columns(who.alias("who"), kind.alias("type")).sort("who", maintain_order=True)
        kinds = kinds.replace("", _UNTYPED)
        group = cohorts(names)
        return cls(rows, names, keys_of(names), group, keys_of_few(group), kinds, keys_of(kinds))

    def pairs(self, rows: pl.DataFrame, column: str) -> tuple[Each, pl.Series, Numbers]:
        """Each principal of `rows` with each text of `column` it has there, in the order of both.

        Then the distinct texts, and for each pair the place of its text among them.
        """
        texts, number = numbered(rows[column])
        both = (rows["who"].to_numpy().astype(np.uint64) << _WORD) | number.to_numpy()  # sorted sooner than two columns
        frame = pl.DataFrame([pl.Series("both", both), rows["type"]]).group_by("both").agg(_KIND).sort("both")
        both = frame["both"].to_numpy()
        who, at = (both >> _WORD).astype(np.uint32), (both & _LOW).astype(np.uint32)
        return self._named(who, frame["type"], [texts[at].alias(column)], all_of_them=False), texts, at

    def each(self, rows: pl.DataFrame, *numbers: pl.Expr) -> Each:
        """Whose `rows` (some of its own) they are, with aggregates of each one's."""
        return self.named(rows.group_by("who").agg(_KIND, *numbers).sort("who"))

    def named(self, frame: pl.DataFrame) -> Each:
        """With the names of `who` and `type`."""
        others = [column for column in frame if column.name not in {"who", "type"}]
        return self._named(frame["who"].to_numpy(), frame["type"], others, all_of_them=len(frame) == len(self.names))

    def _named(self, who: Numbers, kind: pl.Series, others: list[pl.Series], *, all_of_them: bool) -> Each:
        # Arrays of UInt32 as places: gathering by anything else costs a multiple where rows are few.
        its = kind.to_numpy()
        names, groups = (self.names, self.cohorts) if all_of_them else (self.names[who], self.cohorts[who])
        kinds = self.kinds.new_from_index(0, len(its)) if len(self.kinds) == 1 else self.kinds[its]
        frame = pl.DataFrame([names.alias("principal"), kinds.alias("kind"), groups.alias("cohort"), *others])
        if all_of_them:
            return Each(frame, self.keys, self.kind_keys[its], self.cohort_keys)
        return Each(frame, self.keys[who], self.kind_keys[its], self.cohort_keys[who])


def numbered(names: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct ones of a column in order, and for each of the column its place there (UInt32). Null is empty."""
    if len(names) <= _FEW:
        texts = [name or "" for name in names.to_list()]
        place = {name: i for i, name in enumerate(sorted(set(texts)))}
        numbers = pl.Series([place[name] for name in texts], dtype=pl.UInt32)
        return pl.Series(names.name, list(place), dtype=pl.String), numbers
    coded = (names.fill_null("") if names.has_nulls() else names).to_arrow().dictionary_encode()
    distinct = pl.Series(names.name, coded.dictionary, dtype=pl.String)
    order = distinct.arg_sort()
    places = np.empty(len(distinct), dtype=np.uint32)
    places[order.to_numpy()] = np.arange(len(distinct), dtype=np.uint32)
    return distinct.gather(order), pl.Series(places[coded.indices.to_numpy()])
