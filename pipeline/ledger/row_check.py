"""The rows of the lake against the entries of the log, frame by frame.

A frame has the columns source, position, raw, redacted, salt, leaf, leaf_index and may have lake_file, the Parquet
file the row was read from (relative to the lake). Rows in order of leaf_index are cheapest; any order works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.model import Bytes
from pipeline.ledger import leaf
from pipeline.ledger.merkle import HASH_SIZE
from pipeline.ledger.places import Places
from pipeline.ledger.redaction import Spans
from pipeline.ledger.tiles import WIDTH, TileReader

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
RowRule = Callable[[pl.DataFrame], pl.Series]  # true where a row's other columns are what its raw gives

LAKE_FILE = "lake_file"
COLUMNS = ("source", "position", "raw", "redacted", "salt", "leaf", "leaf_index")
INLINE = 12  # bytes that a view holds itself (Arrow columnar format, variable-size binary view)
_RAW = "raw"
_FRAME = leaf.ENTRY_SIZE + 2


@dataclass(frozen=True, slots=True)
class _Where:
    """Which leaf and which file each row of a frame stands for."""

    indexes: Ints
    files: pl.Series
    places: Places

    def tell(self, wrong: Mask, evidence: str, *, cause: str = "row", verdict: str = "altered") -> None:
        for row in np.flatnonzero(wrong).tolist():
            index = int(self.indexes[row])
            span = (index, index + 1) if index >= 0 else (0, 0)
            self.places.add(str(self.files[row]), verdict, cause, evidence, span)


class RowCheck:
    """Takes frames, then says in `finish` what is missing."""

    def __init__(
        self,
        reader: TileReader,
        places: Places,
        *,
        suspect: Mapping[int, bytes | None],
        erased: Spans,
        expired: Spans,
        rule: RowRule | None,
    ) -> None:
        self._reader = reader
        self._places = places
        self._erased = erased
        self._expired = expired
        self._rule = rule
        self._seen = Spans()
        self._suspect = suspect
        self.rows = 0

    def take(self, frame: pl.DataFrame) -> None:
        """Report every row of a frame that is not what its leaf says."""
        if frame.is_empty():
            return
        if not frame["leaf_index"].is_sorted():
            frame = frame.sort("leaf_index", nulls_last=True)
        self.rows += len(frame)
        files = frame[LAKE_FILE] if LAKE_FILE in frame.columns else pl.Series([_RAW]).new_from_index(0, len(frame))
        where = _Where(frame["leaf_index"].fill_null(-1).to_numpy(), files, self._places)
        placed = self._place(where)
        entries, whole = _entries(frame["leaf"])
        where.tell(placed & ~whole, "the row's leaf is not a ledger entry", cause="leaf")
        usable = placed & whole
        genuine = self._in_tree(entries, where.indexes, usable)
        where.tell(usable & ~genuine, "the row's leaf is not the log's entry at this index", cause="leaf")
        usable &= genuine
        where.tell(usable & _misplaced(frame, entries), "source or position is not what the leaf commits to")
        told = self._redactions(frame, entries, usable, where)
        rows = np.flatnonzero(usable & ~told)
        if len(rows):
            part = frame if len(rows) == len(frame) else frame[rows.tolist()]
            self._content(part, entries[rows], rows, where)

    def finish(self, control: Spans) -> None:
        """Report what no row was there for. `control` are the leaves that are no events."""
        for start, end in control:
            self._seen.add(start, end)
        for start, end in self._seen.holes(0, self._reader.size):
            self._hole(start, end)

    def _place(self, where: _Where) -> Mask:
        """Which rows have an index of the log that no row had before."""
        indexes, size = where.indexes, self._reader.size
        inside = np.asarray((indexes >= 0) & (indexes < size))
        where.tell(~inside, f"a row beyond the {size} entries of the log", verdict="unsigned")
        first = np.ones(len(indexes), bool)
        first[1:] = indexes[1:] != indexes[:-1]
        where.tell(inside & ~first, "a second row for this leaf", verdict="duplicate")
        placed = inside & first
        for start, end in _runs(indexes[placed]):
            for low, high in self._seen.add(start, end):
                again = placed & (indexes >= low) & (indexes < high)
                where.tell(again, "a second row for this leaf", verdict="duplicate")
        return placed

    def _hole(self, start: int, end: int) -> None:
        at = start
        for low, high in self._expired.holes(start, end):
            if low > at:
                self._places.add(_RAW, "redacted", "expired", "rows that expired, as declared", (at, low))
            self._places.add(_RAW, "gap", "row", "leaves without a row, and no record declares it", (low, high))
            at = high
        if at < end:
            self._places.add(_RAW, "redacted", "expired", "rows that expired, as declared", (at, end))

    def _in_tree(self, entries: Bytes, indexes: Ints, usable: Mask) -> Mask:
        """Which leaves are byte for byte the entry at their index; true where the log's own entry cannot be read."""
        same = np.ones(len(indexes), bool)
        rows = np.flatnonzero(usable)
        cuts = np.flatnonzero(np.diff(indexes[rows] // WIDTH)) + 1
        framed = leaf.framed(entries).tobytes()
        for part in np.split(rows, cuts) if len(rows) else []:
            number, first = int(indexes[part[0]]) // WIDTH, int(part[0])
            if number in self._suspect:
                same[part] = _as_hashed(entries[part], indexes[part], self._suspect[number])
            elif len(part) < WIDTH or framed[first * _FRAME : (first + WIDTH) * _FRAME] != self._reader.framed(number):
                same[part] = (entries[part] == self._reader.bundle(number)[indexes[part] % WIDTH]).all(axis=1)
        return same

    def _redactions(self, frame: pl.DataFrame, entries: Bytes, usable: Mask, where: _Where) -> Mask:
        """Rows whose bytes are not to be compared; what is said of redaction must be declared."""
        in_clear = (entries[:, 5] & leaf.REDACTED) != 0
        marked = frame["redacted"].fill_null(value=False).to_numpy()
        blank = frame["raw"].is_null().to_numpy() & frame["salt"].is_null().to_numpy()
        erased = self._erased.contains(where.indexes)
        told: Mask = in_clear | (erased & blank)
        ingest = usable & in_clear & ~erased
        where.tell(ingest, "values that stood in clear were taken out", cause="ingest", verdict="redacted")
        where.tell(usable & erased, "erased, as declared", cause="erased", verdict="redacted")
        where.tell(usable & blank & ~erased, "raw is gone and no record declares it")
        where.tell(usable & marked & ~told & ~blank, "marked as redacted, which nothing declares")
        where.tell(usable & ~marked & in_clear, "redacted at ingest, but not marked so")
        return np.asarray(told | blank)

    def _content(self, part: pl.DataFrame, entries: Bytes, rows: Ints, where: _Where) -> None:
        bad = _at(rows[_wrong_commitments(part, entries)], len(where.indexes))
        where.tell(bad, "the row's bytes are not what the leaf commits to")
        if self._rule is not None:
            odd = ~self._rule(part).fill_null(value=False).to_numpy()
            where.tell(_at(rows[odd], len(where.indexes)), "columns that do not follow from the row's bytes")


def _as_hashed(entries: Bytes, indexes: Ints, hashes: bytes | None) -> Mask:
    """Which leaves the tree commits to, for a bundle that is not to be believed; all where that is not known either."""
    if hashes is None:
        return np.ones(len(indexes), bool)
    genuine = np.frombuffer(hashes, np.uint8).reshape(-1, HASH_SIZE)[indexes % WIDTH]
    found = np.frombuffer(leaf.leaf_hashes(entries), np.uint8).reshape(-1, HASH_SIZE)
    return np.asarray((found == genuine).all(axis=1))


def _misplaced(frame: pl.DataFrame, entries: Bytes) -> Mask:
    """Rows whose source or position is not the leaf's, or whose leaf is not an event's."""
    table = np.ascontiguousarray(entries).view(leaf.ENTRY).ravel()
    position = frame["position"].fill_null(-1).to_numpy()
    return np.asarray(
        (np.ascontiguousarray(entries[:, 6:14]).view("<u8").ravel() != _streams(frame["source"]))
        | frame["source"].is_null().to_numpy()
        | (table["position"].astype(np.int64) != position)
        | (table["kind"] != leaf.EVENT)
    )


def _streams(sources: pl.Series) -> npt.NDArray[np.uint64] | np.uint64:
    """The stream ids of a column, anything for null; one for all where they are all the same, as they mostly are."""
    if sources[0] is not None and (sources == sources[0]).all(ignore_nulls=False):
        return _stream(sources[0])
    ids = {name: int(_stream(name)) for name in sources.unique().drop_nulls().to_list()}
    return sources.replace_strict(ids, default=0, return_dtype=pl.UInt64).fill_null(0).to_numpy()


def _stream(source: str) -> np.uint64:
    return np.uint64(int.from_bytes(leaf.stream_id(source), "little"))


def _at(rows: npt.NDArray[np.int64], count: int) -> Mask:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def _runs(indexes: Ints) -> list[tuple[int, int]]:
    """Sorted, distinct indexes as spans."""
    if not len(indexes):
        return []
    cuts = np.flatnonzero(np.diff(indexes) != 1)
    starts, ends = indexes[np.r_[0, cuts + 1]], indexes[np.r_[cuts, len(indexes) - 1]] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _entries(column: pl.Series) -> tuple[Bytes, Mask]:
    """n×62 of a Binary column, zeroes where it is no entry, and where it is one."""
    sizes = column.bin.size().fill_null(0).to_numpy()
    whole = np.asarray(sizes == leaf.ENTRY_SIZE)
    if whole.all():
        data, offsets = _buffer(column)
        entries = data[offsets[0] : offsets[-1]].reshape(len(column), leaf.ENTRY_SIZE)
    else:
        entries = np.zeros((len(column), leaf.ENTRY_SIZE), np.uint8)
        if whole.any():
            data, offsets = _buffer(column.filter(pl.Series(whole)))
            entries[whole] = data[offsets[0] : offsets[-1]].reshape(-1, leaf.ENTRY_SIZE)
    genuine = (np.ascontiguousarray(entries[:, :4]) == np.frombuffer(leaf.MAGIC, np.uint8)).all(axis=1)
    return entries, whole & genuine


def _wrong_commitments(frame: pl.DataFrame, entries: Bytes) -> Mask:
    """Rows whose SHA-256(salt ‖ raw) is not the leaf's commitment; a salt of another length is wrong at once."""
    salts, raw = frame["salt"], frame["raw"]
    odd = (salts.bin.size().fill_null(0) != leaf.SALT_SIZE).to_numpy()
    blank = bytes(leaf.SALT_SIZE)
    if odd.any():
        salts = pl.Series([blank if bad else salt for bad, salt in zip(odd, salts, strict=True)], dtype=pl.Binary)
    salt_data, salt_at = _buffer(salts)
    buffers, which, starts, ends = _pieces(raw.fill_null(b"") if raw.null_count() else raw)
    found = leaf.commitments(salt_data[salt_at[0] : salt_at[-1]].tobytes(), buffers, which, starts, ends)
    stated = np.ascontiguousarray(entries[:, 30:62])
    return np.asarray(odd | (np.frombuffer(found, np.uint8).reshape(-1, 32) != stated).any(axis=1))


def _pieces(column: pl.Series) -> tuple[list[memoryview], Ints, Ints, Ints]:
    """The bytes of a Binary column without nulls where they lie: buffers, and of each row which one, begin and end."""
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    _, views, *data = array.buffers()
    table = np.frombuffer(views, "<i4").reshape(-1, 4)[array.offset : array.offset + len(array)].astype(np.int64)
    if (table[:, 0] > INLINE).all():  # shorter ones lie in their views
        return [memoryview(buffer) for buffer in data], table[:, 2], table[:, 3], table[:, 3] + table[:, 0]
    whole, at = _buffer(column)
    return [whole.data], np.zeros(len(array), np.int64), at[:-1], at[1:]


def _buffer(column: pl.Series) -> tuple[Bytes, Ints]:
    """The bytes of a Binary column without nulls, and the n+1 offsets into them."""
    array = column.rechunk().to_arrow()
    _, offsets, data = array.buffers()
    at = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8), at
