"""One batch through the decoder: quick parser first, exact parser for what it cannot vouch for, one set of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.core.model import Decoded, Pieces
from pipeline.core.schema import DECODED, empty
from pipeline.decoders.vault.columns import MOMENT, Columns
from pipeline.decoders.vault.cutter import Cutter, Placed
from pipeline.decoders.vault.fields import RAW
from pipeline.decoders.vault.framing import Framed, frame
from pipeline.decoders.vault.guard import Headers, suspicious
from pipeline.decoders.vault.redact import clean_row, line, redacted, remains
from pipeline.decoders.vault.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Ints, RawBatch

FORMAT: Final = "vault"
REJECTED: Final = pl.Schema({"piece": pl.UInt32(), "reason": pl.String()})


class VaultDecoder:
    """Audit entries of HashiCorp Vault and OpenBao, all versions. One instance serves one thread."""

    def __init__(self, *, canary_header: str, headers: Sequence[str], threads: int) -> None:
        canary = canary_header.lower()
        self._plain = frozenset(name.lower() for name in (*headers, "user-agent", canary))
        self._headers = Headers(sorted(self._plain), ("user-agent", canary))
        self._table = Table(threads)
        self._columns = Columns(canary_header)

    def decode(self, batch: RawBatch) -> Decoded:
        """See ports.Decoder."""
        if not len(batch):
            return _nothing()
        framed = frame(batch)
        raw, believed = self._quick(framed)
        cutter = Cutter(batch, framed.blank)
        odd = ~framed.blank
        odd[believed] = False
        for record in np.flatnonzero(odd).tolist():
            cutter.take(record)
        kept = believed < cutter.finish()
        if not kept.all():
            raw, believed = raw.filter(pl.Series(kept)), believed[kept]
        return self._assembled(batch, framed, raw, believed, cutter)

    def _quick(self, framed: Framed) -> tuple[pl.DataFrame, Ints]:
        """RAW rows of the plain records that can be believed as they stand, and which records those are."""
        nothing = _NO_ROWS, np.zeros(0, np.int64)
        if not framed.plain.any():
            return nothing
        try:
            raw = self._table.read(framed.data)
        except duckdb.Error:
            return nothing  # the exact parser then decides on every record, with the same result
        rows = np.flatnonzero(framed.ends > framed.starts)
        if len(raw) != len(rows):
            return nothing  # records with line ends in them
        lines = _lines(framed)
        raw = _timed(raw)
        odd = suspicious(lines if len(rows) == len(lines) else lines[rows], raw, self._headers)
        good = ~odd & raw.select(_plainly_entry()).to_series()
        good &= pl.Series(framed.plain[rows])
        return (raw, rows) if good.all() else (raw.filter(good), rows[good.to_numpy()])

    def _assembled(self, batch: RawBatch, framed: Framed, raw: pl.DataFrame, believed: Ints, cutter: Cutter) -> Decoded:
        placed = cutter.placed
        records, starts, ends, order = _merged(framed, believed, placed)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        places = rank[len(believed) :].tolist()
        entries, clear, replaced = self._exact(batch, placed, places)
        read = [place for place, odd in zip(places, placed, strict=True) if odd.piece.entry]
        refused = [(place, odd.piece.reason) for place, odd in zip(places, placed, strict=True) if not odd.piece.entry]
        shown = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(raw)).append(clear)
        pieces = np.concatenate([rank[: len(believed)], np.array(read, np.int64)])
        events = self._columns.of(pl.concat([raw, entries]) if read else raw, shown)
        events = events.with_columns(piece=pl.Series(pieces).cast(pl.UInt32))
        return Decoded(
            format=FORMAT,
            consumed=cutter.finish(),
            pieces=Pieces(starts, ends, _positions(batch, starts, records)),
            events=events.sort("piece") if read else events,
            rejected=pl.DataFrame(refused, schema=REJECTED, orient="row").sort("piece"),
            replaced=replaced,
        )

    def _exact(
        self, batch: RawBatch, placed: list[Placed], places: list[int]
    ) -> tuple[pl.DataFrame, pl.Series, dict[int, bytes]]:
        """RAW rows of the entries among `placed`, whether each showed values, and the texts to store instead."""
        rows: list[dict[str, Any]] = []
        shown: list[bool] = []
        replaced: dict[int, bytes] = {}
        for place, (piece, _) in zip(places, placed, strict=True):
            text = batch.data[piece.start : piece.end].tobytes()
            if piece.entry is None:
                kept = remains(text, piece.reason)
            else:
                body = redacted(piece.entry.body, self._plain)
                clear = body != piece.entry.body
                kept = line(body, text[: piece.body - piece.start]) if clear else text
                rows.append(clean_row(piece.entry.row) if clear else piece.entry.row)
                shown.append(clear)
            if kept != text:
                replaced[place] = kept
        return (
            _timed(pl.DataFrame(rows, schema=RAW)) if rows else _NO_ROWS,
            pl.Series(shown, dtype=pl.Boolean),
            replaced,
        )


def _plainly_entry() -> pl.Expr:
    """An entry of the usual shape, with a time that could be read."""
    return pl.col("request") & pl.col("type").is_not_null() & pl.col("moment").is_not_null()


def _timed(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(moment=MOMENT)


_NO_ROWS: Final = _timed(pl.DataFrame(schema=RAW))


def _lines(framed: Framed) -> pl.Series:
    """The laid-out records as text, without copying; what is not plain is blanked, so all of it is UTF-8."""
    offsets = np.append(framed.starts, len(framed.data)).astype(np.int64)
    array = pa.LargeStringArray.from_buffers(len(framed.starts), pa.py_buffer(offsets), pa.py_buffer(framed.data))
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)  # noqa: S101  an array gives a series
    return series


def _merged(framed: Framed, believed: Ints, placed: list[Placed]) -> tuple[Ints, Ints, Ints, Ints]:
    """records, starts and ends of all pieces in order of place, and that order of believed records, then `placed`."""
    odd = np.array([(one.record, one.piece.start, one.piece.end) for one in placed], np.int64).reshape(-1, 3)
    records = np.concatenate([believed, odd[:, 0]])
    starts = np.concatenate([framed.firsts[believed], odd[:, 1]])
    ends = np.concatenate([framed.lasts[believed], odd[:, 2]])
    order = np.lexsort((starts, records)) if placed else np.arange(len(records))
    return records[order], starts[order], ends[order], order


def _positions(batch: RawBatch, starts: Ints, records: Ints) -> Ints:
    """The place of each piece: its first byte where records are counted in bytes, else that of its record."""
    positions = batch.positions[records]
    in_bytes = batch.after[records] - positions >= batch.ends[records] - batch.starts[records]
    return np.where(in_bytes, positions + starts - batch.starts[records], positions)


def _nothing() -> Decoded:
    none = np.zeros(0, np.int64)
    return Decoded(FORMAT, 0, Pieces(none, none, none), empty(DECODED), pl.DataFrame(schema=REJECTED))
