"""Formats whose entries are one JSON object each, written by a cloud or a cluster: everything they share.

A folder describes its format (`Described`): which fields it reads, how an object is known, what has to be taken out,
and how RAW rows become DECODED ones. The rest is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.decoders._exact import RefusedError, row_of, utc
from pipeline.decoders._expressions import moment
from pipeline.decoders._fields import Field, guarded
from pipeline.decoders._format import Clean, Signs
from pipeline.decoders._guard import ESCAPES, LAX, MAX_OPEN, accounted, keys_of
from pipeline.decoders._tokens import SUSPECT, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Body = dict[str, Any]
_IN: Final = "in:"  # before the name of a container
_NULL: Final = "null:"  # before the name of a field, for how often it is null


@dataclass(frozen=True, slots=True)
class Described:
    """One format.

    `name` is told as `format`. `marks` are names at the top of an object without one of which it is no entry. `hint` is
    a pattern that stands in the text of every entry of the usual shape. `times` are the columns of which the first
    that is given tells the entry's time. `found` gives the entry in an object, unwrapped, or None. `plain` says of a
    RAW row that its line is an entry of the usual shape, not wrapped; it may be narrower than `found`, never wider.
    `clean` gives an object without what must not be kept, the same object where there is nothing, and whether that
    was a value that nobody should have logged; `suspects` is a pattern in the text of every line that it would change.
    `columns` makes DECODED columns (all but `piece` and `time`) of RAW rows with `moment` and `shown` beside them.
    `signs` tell a torn entry. `nullable` are fields that entries of the usual shape may hold as null.
    """

    name: str
    fields: Mapping[str, Field]
    marks: tuple[str, ...]
    hint: str
    times: tuple[str, ...]
    found: Callable[[Body], Body | None]
    plain: pl.Expr
    clean: Callable[[Body], tuple[Body, bool]]
    suspects: str
    columns: Callable[[pl.DataFrame], pl.DataFrame]
    signs: Signs
    nullable: tuple[str, ...] = ()


@dataclass
class ObjectFormat:
    """A format made of its description: see `_format.Format`."""

    told: Described
    name: str = field(init=False)
    hint: str = field(init=False)
    signs: Signs = field(init=False)
    fields: Mapping[str, Field] = field(init=False)
    marks: tuple[str, ...] = field(init=False)
    documents: bool = field(init=False, default=True)
    threads: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        self.name, self.hint, self.marks = self.told.name, self.told.hint, self.told.marks
        self.signs = self.told.signs
        self.fields = _with_containers(self.told.fields)
        self._keys = keys_of(guarded(self.fields))
        self._written = "|".join(part for part in (ESCAPES, LAX, SUSPECT, self.told.suspects) if part)
        self._accounted = accounted(self.fields, self._keys)

    def timed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """See Format."""
        return raw.with_columns(moment=moment(pl.coalesce(self.told.times)))

    def scanned(self, lines: pl.Series) -> pl.DataFrame:
        """See Format."""
        text = pl.col(lines.name)
        deep = text.str.count_matches(r"[\[{]") > MAX_OPEN
        nulls = {
            _NULL + name: text.str.count_matches(keys_of([self.fields[name].path[-1]]) + r"[ \t\r]*null")
            for name in self.told.nullable
        }
        return lines.to_frame().select(
            names=text.str.count_matches(self._keys), written=text.str.contains(self._written) | deep, **nulls
        )

    def believed(self, raw: pl.DataFrame, scanned: pl.DataFrame) -> pl.Series:
        """See Format."""
        nulls = {name: pl.lit(scanned[_NULL + name]) for name in self.told.nullable}
        accounted = pl.sum_horizontal(self._accounted, *nulls.values())
        as_read = (pl.lit(scanned["names"]) == accounted) & ~pl.lit(scanned["written"])
        once = [(null == 0) | ((null == 1) & self._missing(name)) for name, null in nulls.items()]
        whole = self.told.plain & pl.col("moment").is_not_null()
        return raw.select(pl.all_horizontal(as_read, whole, *once).fill_null(value=False).alias("good")).to_series()

    def _missing(self, name: str) -> pl.Expr:
        return ~pl.col(name) if self.fields[name].kind == "object" else pl.col(name).is_null()

    def found(self, body: Body) -> Body | None:
        """See Format."""
        return self.told.found(body)

    def row(self, body: Body) -> Body:
        """See Format."""
        made = row_of(body, self.fields)
        first = next((name for name in self.told.times if made[name] is not None), None)
        if first is None or (time := utc(made[first])) is None:
            raise RefusedError("bad_time")
        return {**made, first: time}

    def clean(self, body: Body, row: Body) -> Clean:
        """See Format."""
        cleaned, shown = self.told.clean(body)
        masked = _masked(cleaned)
        if masked == body:
            return Clean(row, None, shown=False)
        inner = self.told.found(masked)
        return Clean(row if inner is None else {**self.row(inner)}, masked, shown)

    def columns(self, raw: pl.DataFrame, shown: pl.Series) -> pl.DataFrame:
        """See Format."""
        made = self.told.columns(raw.with_columns(shown=shown))
        return made.with_columns(pl.lit(None, pl.UInt32).alias("piece"), raw["moment"].alias("time"))


def _with_containers(fields: Mapping[str, Field]) -> dict[str, Field]:
    """The fields, and for each object that some of them stand in whether it is there: a second one is told so."""
    paths = {one.path[:depth] for one in fields.values() for depth in range(1, len(one.path))}
    known = {one.path for one in fields.values()}
    return {**fields, **{_IN + ".".join(path): Field(path, "object") for path in sorted(paths - known)}}


def _masked(value: Any) -> Any:
    """Without anything that has the form of a store's token, wherever it stands."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, dict):
        return {mask(key): _masked(item) for key, item in value.items()}
    return value
