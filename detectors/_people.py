"""Who acts in a window: every principal once, by number in the order of names, worked out for all detectors at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._groups import cohorts, methods
from detectors._memory import Keys, keys_of, keys_of_few, keys_of_texts, unique
from detectors._runs import begins, packed, unpacked
from pipeline.core.coded import Coded, Numbers, coded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.core.model import Ints, Window

Array = npt.NDArray[Any]
_UNTYPED: Final = "unknown"  # the kind of those whose log tells none; the key of an empty name, 0, stands for no kind
_ASKED: Final = (  # columns that somebody asks for: the others need not be put in order
    "principal", "store", "namespace", "secret", "path", "operation", "act", "outcome", "discloses_value", "zone",
    "client_ip", "session", "n", "items", "time", "last_time",
)  # fmt: skip
_CODED: Final = ("secret", "zone", "session", "client_ip")  # columns whose numbers are asked for
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
    who: Numbers  # of People
    keys: Keys
    kinds: Keys
    cohorts: Keys


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of People by principal: those of number `who[i]` begin at `begins[i]`."""

    rows: pl.DataFrame
    who: Numbers
    begins: Ints

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Groups:
        """Of some of the rows, in their order."""
        who = rows["who"].to_numpy()
        first = begins(who)
        return cls(rows, who[first], first)

    def sum(self, values: Array) -> Array:
        """Of each principal's values, whole numbers, one for each row."""
        until = np.cumsum(values)[np.append(self.begins[1:], len(values)) - 1] if len(values) else values
        return np.diff(until, prepend=until.dtype.type(0))

    def most(self, values: Array) -> Array:
        """The largest of each principal's."""
        return np.maximum.reduceat(values, self.begins) if len(self.begins) else values[:0]

    def distinct(self, column: str) -> Array:
        """How many different texts each principal has in one of the columns _CODED, null one of them."""
        both = packed(self.rows["who"].to_numpy(), self.rows[number_of(column)].to_numpy())
        return np.bincount(unpacked(unique(both))[0].astype(np.int64))[self.who]


@dataclass(frozen=True, slots=True)
class People:
    """The principals of a window: item i of names, keys and cohorts is principal number i.

    `rows` are what is asked for of their WINDOW rows, by `who`; with number and type as `who` and `type` (UInt32), and
    the number of each text in the columns _CODED (`number_of`), as `coded` has them.
    """

    rows: pl.DataFrame
    groups: Groups  # of all the rows
    types: Numbers | None  # of each principal, where none is of several
    names: pl.Series
    keys: Keys
    cohorts: pl.Series
    cohort_keys: Keys
    kinds: pl.Series
    kind_keys: Keys
    coded: Mapping[str, Coded]  # the columns _CODED of the whole window
    places: Ints  # of the names among the texts of the window's column

    @classmethod
    def of(cls, window: Window) -> People:
        """Worked out once a window."""
        if "people" not in window.memo:
            window.memo["people"] = cls._of(window)
        found: People = window.memo["people"]
        return found

    @classmethod
    def _of(cls, window: Window) -> People:
        mine = np.flatnonzero(window.operations.select(somebody()).to_series().to_numpy())
        column = coded(window, "principal")
        codes = column.codes[mine]
        there = np.zeros(len(column.texts), np.bool_)
        there[codes] = True
        places = column.order[there[column.order]]
        number = np.zeros(len(column.texts), np.uint32)
        number[places] = np.arange(len(places), dtype=np.uint32)
        who, at = (part.astype(np.uint32) for part in unpacked(np.sort(packed(number[codes], mine))))
        kinds, kind = numbered(window.operations["principal_type"][at])
        others = {name: coded(window, name) for name in _CODED}
        numbers = [pl.Series(number_of(name), other.numbers[at]) for name, other in others.items()]
        rows = window.operations.select(_ASKED)[at].with_columns(pl.Series("who", who), kind.alias("type"), *numbers)
        names = column.names[places.astype(np.uint32)]
        keys, kinds, group = keys_of_texts(column.texts)[places], kinds.replace("", _UNTYPED), cohorts(names)
        groups, each_type = Groups.of(rows), kind.to_numpy()
        types = each_type[groups.begins]
        alike = bool((types[who] == each_type).all())
        return cls(
            rows, groups, types if alike else None, names, keys, group, keys_of_few(group), kinds, keys_of(kinds),
            others, places,
        )  # fmt: skip

    def pairs(self, rows: pl.DataFrame, column: str) -> tuple[Each, pl.Series, Numbers]:
        """Each principal of `rows` with each text of `column` (of _CODED, no nulls) it has there, in the order of both.

        Then the texts of the window, in order, and for each pair the place of its text among them.
        """
        coded = self.coded[column]
        number = coded.ranks[rows[number_of(column)].to_numpy()]
        texts, kinds = (np.uint64(max(len(names), 1)) for names in (coded.names, self.kinds))
        each = (rows["who"].to_numpy() * texts + number) * kinds + rows["type"].to_numpy()
        each = np.sort(each)  # of a pair's rows the last one has the greatest type
        both = each // kinds
        last = np.append(both[1:] != both[:-1], np.ones(min(len(both), 1), np.bool_))
        who, at = (part.astype(np.uint32) for part in np.divmod(both[last], texts))
        names = coded.names[coded.order.astype(np.uint32)]
        return self._named(who, (each[last] % kinds).astype(np.uint32), [names[at].alias(column)]), names, at

    def each(self, rows: pl.DataFrame, **made: Callable[[Groups], Array]) -> Each:
        """Whose `rows` (some of its own) they are, with what is `made` of each one's."""
        groups = self.groups if rows is self.rows else Groups.of(rows)
        others = [pl.Series(name, make(groups)) for name, make in made.items()]
        types = groups.most(rows["type"].to_numpy()) if self.types is None else self.types[groups.who]
        return self._named(groups.who, types, others)

    def named(self, frame: pl.DataFrame) -> Each:
        """With the names of `who` and `type`."""
        others = [column for column in frame if column.name not in {"who", "type"}]
        return self._named(frame["who"].to_numpy(), frame["type"].to_numpy(), others)

    def _named(self, who: Numbers, its: Numbers, others: list[pl.Series]) -> Each:
        # Arrays of UInt32 as places: gathering by anything else costs a multiple where rows are few.
        all_of_them = len(who) == len(self.names) and bool((who == np.arange(len(who))).all())
        names, groups = (self.names, self.cohorts) if all_of_them else (self.names[who], self.cohorts[who])
        kinds = self.kinds.new_from_index(0, len(its)) if len(self.kinds) == 1 else self.kinds[its]
        frame = pl.DataFrame([names.alias("principal"), kinds.alias("kind"), groups.alias("cohort"), *others])
        if all_of_them:
            return Each(frame, who, self.keys, self.kind_keys[its], self.cohort_keys)
        return Each(frame, who, self.keys[who], self.kind_keys[its], self.cohort_keys[who])


def placed(window: Window) -> pl.DataFrame:
    """The rows of People that tell with which token somebody came, and from where; found once a window."""
    if "placed" not in window.memo:
        named = (pl.col("session") != "") & (pl.col("zone") != "") & (pl.col("client_ip") != "")
        window.memo["placed"] = People.of(window).rows.filter(named)
    found: pl.DataFrame = window.memo["placed"]
    return found


def methods_of(window: Window) -> Keys:
    """Of each of People, the auth mount it is named after; found once a window."""
    if "methods" not in window.memo:
        window.memo["methods"] = keys_of_few(methods(People.of(window).names))
    found: Keys = window.memo["methods"]
    return found


def number_of(column: str) -> str:
    """The column of People.rows with the number of each text of `column`."""
    return f"{column}#"


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
