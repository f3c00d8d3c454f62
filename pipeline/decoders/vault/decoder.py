"""Batches through the decoder: quick parser first, exact parser for what it cannot vouch for, one set of columns.

Each call of a parser or of columns has its price, however little it is given: batches of several partitions share it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.core.model import Decoded, Pieces
from pipeline.core.schema import DECODED, empty
from pipeline.decoders.vault.columns import MOMENT, Columns
from pipeline.decoders.vault.cutter import Cutter
from pipeline.decoders.vault.fields import RAW
from pipeline.decoders.vault.framing import Framed, frame
from pipeline.decoders.vault.guard import Headers, in_text, suspicious
from pipeline.decoders.vault.redact import clean_row, line, redacted, remains
from pipeline.decoders.vault.table import Table
from pipeline.decoders.vault.tokens import mask_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pipeline.core.model import Ints, RawBatch

FORMAT: Final = "vault"
REJECTED: Final = pl.Schema({"piece": pl.UInt32(), "reason": pl.String()})


@dataclass(frozen=True, slots=True)
class _Cut:
    """A batch in pieces, in order of place. `quick` are those of the quickly read records, `odd` the cutter's."""

    batch: RawBatch
    cutter: Cutter
    consumed: int
    records: Ints  # of each piece
    starts: Ints
    ends: Ints
    quick: Ints
    odd: list[int]


@dataclass(frozen=True, slots=True)
class _Exact:
    """The odd pieces of a batch: RAW rows of the entries among them, and the texts to store instead of theirs."""

    rows: pl.DataFrame
    pieces: list[int]
    shown: list[bool]  # whether an entry showed values
    replaced: dict[int, bytes]


class VaultDecoder:
    """Audit entries of HashiCorp Vault and OpenBao, all versions. One instance serves one thread."""

    def __init__(self, *, canary_header: str, headers: Sequence[str], threads: int) -> None:
        canary = canary_header.lower()
        self._plain = frozenset(name.lower() for name in (*headers, "user-agent", canary))
        self._headers = Headers(sorted(self._plain), ("user-agent", canary))
        self._table = Table(threads)
        self._aside = ThreadPoolExecutor(1, "keytrail-guard")  # the text is looked through while it is parsed
        self._columns = Columns(canary_header)

    def decode(self, batch: RawBatch) -> Decoded:
        """See ports.Decoder."""
        return self.decode_all([batch])[0]

    def decode_all(self, batches: Sequence[RawBatch]) -> list[Decoded]:
        """See ports.Decoder."""
        full = [batch for batch in batches if len(batch)]
        if not full:
            return [_nothing() for _ in batches]
        framed = [frame(batch) for batch in full]
        raw, believed = self._quick(framed)
        cuts, kept = zip(*map(_cut, full, framed, believed), strict=True)
        if not all(good.all() for good in kept):
            raw = raw.filter(pl.Series(np.concatenate(kept)))
        decoded = self._assembled(raw, cuts)
        return [next(decoded) if len(batch) else _nothing() for batch in batches]

    def _quick(self, framed: Sequence[Framed]) -> tuple[pl.DataFrame, list[Ints]]:
        """RAW rows of the plain records that can be believed as they stand, and which records of each those are."""
        nothing = _NO_ROWS, [np.zeros(0, np.int64) for _ in framed]
        if not any(one.plain.any() for one in framed):
            return nothing
        rows = [np.flatnonzero(one.ends > one.starts) for one in framed]
        text = self._aside.submit(in_text, _lines(framed, rows))
        try:
            raw = self._table.read([one.data for one in framed])
        except duckdb.Error:
            raw = _NO_ROWS
        if len(raw) != sum(map(len, rows)):
            # it failed, or there are line ends within records: the exact parser decides, to the same result
            return nothing if len(framed) == 1 else self._each(framed)
        raw = _timed(raw)
        odd = suspicious(text.result(), raw, self._headers)
        good = ~odd & raw.select(_plainly_entry()).to_series()
        good &= pl.Series(np.concatenate([one.plain[which] for one, which in zip(framed, rows, strict=True)]))
        if good.all():
            return raw, rows
        marks = np.split(good.to_numpy(), np.cumsum([len(which) for which in rows])[:-1])
        return raw.filter(good), [which[mark] for which, mark in zip(rows, marks, strict=True)]

    def _each(self, framed: Sequence[Framed]) -> tuple[pl.DataFrame, list[Ints]]:
        """The same one by one: what stands in one batch costs the others nothing."""
        apart = [self._quick([one]) for one in framed]
        return pl.concat([raw for raw, _ in apart]), [believed[0] for _, believed in apart]

    def _assembled(self, raw: pl.DataFrame, cuts: Sequence[_Cut]) -> Iterator[Decoded]:
        """The batches' own parts of `raw`, in order, with what was read exactly."""
        exact = [self._exact(cut) for cut in cuts]
        if any(one.pieces for one in exact):
            raw = pl.concat(list(_interleaved(raw, cuts, exact)))
        shown = [
            flag for cut, one in zip(cuts, exact, strict=True) for flag in (np.zeros(len(cut.quick), bool), one.shown)
        ]
        events = self._columns.of(raw, pl.Series(np.concatenate(shown), dtype=pl.Boolean))
        first = 0
        for cut, one in zip(cuts, exact, strict=True):
            pieces = np.concatenate([cut.quick, np.array(one.pieces, np.int64)])
            rows = events.slice(first, len(pieces)).with_columns(piece=pl.Series(pieces).cast(pl.UInt32))
            first += len(pieces)
            yield _decoded(cut, one, rows.sort("piece") if one.pieces else rows)

    def _exact(self, cut: _Cut) -> _Exact:
        rows: list[dict[str, Any]] = []
        pieces: list[int] = []
        shown: list[bool] = []
        replaced: dict[int, bytes] = {}
        for place, (piece, _) in zip(cut.odd, cut.cutter.placed, strict=True):
            text = cut.batch.data[piece.start : piece.end].tobytes()
            if piece.entry is None:
                kept = remains(text, piece.reason)
            else:
                body, before = redacted(piece.entry.body, self._plain), text[: piece.body - piece.start]
                masked = mask_prefix(before)
                clear = body != piece.entry.body or masked != before
                kept = masked + line(body) if clear else text
                rows.append(clean_row(piece.entry.row) if clear else piece.entry.row)
                pieces.append(place)
                shown.append(clear)
            if kept != text:
                replaced[place] = kept
        return _Exact(_timed(pl.DataFrame(rows, schema=RAW)) if rows else _NO_ROWS, pieces, shown, replaced)


def _cut(batch: RawBatch, framed: Framed, believed: Ints) -> tuple[_Cut, npt.NDArray[np.bool_]]:
    """Cut the records that are not believed; which of the others stay, as none behind an open object does."""
    cutter = Cutter(batch, framed.blank)
    odd = ~framed.blank
    odd[believed] = False
    for record in np.flatnonzero(odd).tolist():
        cutter.take(record)
    consumed = cutter.finish()
    kept = believed < consumed
    believed = believed[kept]
    odds = np.array([(one.record, one.piece.start, one.piece.end) for one in cutter.placed], np.int64).reshape(-1, 3)
    records = np.concatenate([believed, odds[:, 0]])
    starts = np.concatenate([framed.firsts[believed], odds[:, 1]])
    ends = np.concatenate([framed.lasts[believed], odds[:, 2]])
    order = np.lexsort((starts, records)) if cutter.placed else np.arange(len(records))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    places = rank[: len(believed)], rank[len(believed) :].tolist()
    return _Cut(batch, cutter, consumed, records[order], starts[order], ends[order], *places), kept


def _interleaved(raw: pl.DataFrame, cuts: Sequence[_Cut], exact: Sequence[_Exact]) -> Iterator[pl.DataFrame]:
    """RAW rows batch by batch: the quickly read ones, then the others."""
    first = 0
    for cut, one in zip(cuts, exact, strict=True):
        yield raw.slice(first, len(cut.quick))
        yield one.rows
        first += len(cut.quick)


def _decoded(cut: _Cut, exact: _Exact, events: pl.DataFrame) -> Decoded:
    odd = zip(cut.odd, cut.cutter.placed, strict=True)
    refused = [(place, one.piece.reason) for place, one in odd if not one.piece.entry]
    return Decoded(
        format=FORMAT,
        consumed=cut.consumed,
        pieces=Pieces(cut.starts, cut.ends, _positions(cut.batch, cut.starts, cut.records)),
        events=events,
        rejected=pl.DataFrame(refused, schema=REJECTED, orient="row").sort("piece"),
        replaced=exact.replaced,
    )


def _plainly_entry() -> pl.Expr:
    """An entry of the usual shape, with a time that could be read."""
    return pl.col("request") & pl.col("type").is_not_null() & pl.col("moment").is_not_null()


def _timed(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(moment=MOMENT)


_NO_ROWS: Final = _timed(pl.DataFrame(schema=RAW))


def _lines(framed: Sequence[Framed], rows: Sequence[Ints]) -> pl.Series:
    """These records as text, without copying; what is not plain is blanked, so all of it is UTF-8."""
    texts = []
    for one, which in zip(framed, rows, strict=True):
        offsets = np.append(one.starts, len(one.data)).astype(np.int64)
        array = pa.LargeStringArray.from_buffers(len(one.starts), pa.py_buffer(offsets), pa.py_buffer(one.data))
        series = pl.from_arrow(array)
        assert isinstance(series, pl.Series)  # noqa: S101  an array gives a series
        texts.append(series if len(which) == len(series) else series[which])
    return pl.concat(texts, rechunk=False)


def _positions(batch: RawBatch, starts: Ints, records: Ints) -> Ints:
    """The place of each piece: its first byte where records are counted in bytes, else that of its record."""
    positions = batch.positions[records]
    in_bytes = batch.after[records] - positions >= batch.ends[records] - batch.starts[records]
    return np.where(in_bytes, positions + starts - batch.starts[records], positions)


def _nothing() -> Decoded:
    none = np.zeros(0, np.int64)
    return Decoded(FORMAT, 0, Pieces(none, none, none), empty(DECODED), pl.DataFrame(schema=REJECTED))
