"""The quick way: lines through the fast parser, and which of them each format vouches for."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.decoders._fields import Field, raw_schema
from pipeline.decoders._table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.model import Bytes, Ints
    from pipeline.decoders._format import Format
    from pipeline.decoders._framing import Framed

_OTHER: Final = "other:"  # before a name at the top of an object that another format goes by
NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Quick:
    """What a format vouches for: RAW rows, and the records that each batch has of them, in the same order."""

    raw: pl.DataFrame
    records: list[Ints]


class Reader:
    """The quick way of one format. `before` are the formats that are asked before it."""

    def __init__(self, format_: Format, before: Sequence[Format]) -> None:
        self._format = format_
        self._others = {_OTHER + mark: Field((mark,), "json") for one in before for mark in one.marks}
        self._hint = re.compile(format_.hint.encode())
        self._none = format_.timed(pl.DataFrame(schema=raw_schema(format_.fields)))
        self._made: tuple[Table, ThreadPoolExecutor] | None = None

    def nothing(self, batches: int) -> Quick:
        """No entry."""
        return Quick(self._none, [NONE] * batches)

    def hinted(self, line: bytes) -> bool:
        """Whether a line may be of this format."""
        return self._hint.search(line) is not None

    def hinted_in(self, framed: Sequence[Framed], left: Sequence[Ints]) -> list[Ints]:
        """Of the records that are left those that may be of this format; all of a batch that nobody was asked of."""
        if _untouched(framed, left):
            return list(left)
        return [
            which[np.fromiter(map(self.hinted, _each_line(one, which)), np.bool_, len(which))]
            for one, which in zip(framed, left, strict=True)
        ]

    def read(self, framed: Sequence[Framed], left: Sequence[Ints]) -> Quick:
        """The plain records `left` of each batch that can be believed as they stand."""
        table, aside = self._parts()
        texts, lines, rows = _laid(framed, left)
        if not any(map(len, rows)):
            return self.nothing(len(framed))
        scanned = aside.submit(self._format.scanned, lines)  # the text is looked through while it is parsed
        try:
            raw = table.read(texts)
        except duckdb.Error:
            raw = self._none
        found = scanned.result()
        if len(raw) != sum(map(len, rows)):
            # it failed, or there are line ends within records: the exact parser decides, to the same result
            return self.nothing(1) if len(framed) == 1 else self._each(framed, left)
        raw = self._format.timed(raw)
        good = self._format.believed(raw, found)
        if self._others:
            good &= raw.select(pl.all_horizontal(pl.col(name).is_null() for name in self._others)).to_series()
            raw = raw.drop(self._others)
        good &= pl.Series(np.concatenate([one.plain[which] for one, which in zip(framed, rows, strict=True)]))
        if good.all():
            return Quick(raw, rows)
        marks = np.split(good.to_numpy(), np.cumsum([len(which) for which in rows])[:-1])
        return Quick(raw.filter(good), [which[mark] for which, mark in zip(rows, marks, strict=True)])

    def _parts(self) -> tuple[Table, ThreadPoolExecutor]:
        """Made when they are needed first: most logs are of one format."""
        if self._made is None:
            fields = {**self._format.fields, **self._others}
            self._made = Table(fields, self._format.threads), ThreadPoolExecutor(1, "keytrail-guard")
        return self._made

    def _each(self, framed: Sequence[Framed], left: Sequence[Ints]) -> Quick:
        """The same one by one: what stands in one batch costs the others nothing."""
        apart = [self.read([one], [which]) for one, which in zip(framed, left, strict=True)]
        return Quick(pl.concat([one.raw for one in apart]), [one.records[0] for one in apart])


def _laid(framed: Sequence[Framed], left: Sequence[Ints]) -> tuple[list[Bytes], pl.Series, list[Ints]]:
    """Lines for the reader, as bytes and as text, and the record of each: of all, or of what is left."""
    if _untouched(framed, left):
        rows = [np.flatnonzero(one.ends > one.starts) for one in framed]
        return [one.data for one in framed], lines_of(framed, rows), rows
    parts = [list(_each_line(one, which)) for one, which in zip(framed, left, strict=True)]
    texts = [np.frombuffer(b"".join(line + b"\n" for line in lines), np.uint8) for lines in parts]
    lines = [line.decode() for lines in parts for line in lines]
    return texts, pl.Series("text", lines, dtype=pl.String), list(left)


def _untouched(framed: Sequence[Framed], left: Sequence[Ints]) -> bool:
    """Whether every plain record is left."""
    return all(len(which) == one.plain.sum() for one, which in zip(framed, left, strict=True))


def _each_line(framed: Framed, which: Ints) -> Iterator[bytes]:
    return (framed.data[framed.starts[i] : framed.ends[i]].tobytes() for i in which)


def together(quick: Sequence[Quick], batches: int) -> list[Ints]:
    """The records of each batch that some format vouches for, rising."""
    if len(quick) == 1:
        return quick[0].records
    return [np.sort(np.concatenate([one.records[batch] for one in quick])) for batch in range(batches)]


def lines_of(framed: Sequence[Framed], rows: Sequence[Ints]) -> pl.Series:
    """These records as text, without copying; what is not plain is blanked, so all of it is UTF-8."""
    texts = []
    for one, which in zip(framed, rows, strict=True):
        offsets = np.append(one.starts, len(one.data)).astype(np.int64)
        array = pa.LargeStringArray.from_buffers(len(one.starts), pa.py_buffer(offsets), pa.py_buffer(one.data))
        series = pl.from_arrow(array)
        assert isinstance(series, pl.Series)  # noqa: S101  an array gives a series
        texts.append(series if len(which) == len(series) else series[which])
    return pl.concat(texts, rechunk=False)
