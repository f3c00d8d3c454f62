"""Batches through the parsers: the quick one first, the exact one for what it cannot vouch for, one set of columns.

Each call of a parser or of columns has its price, however little it is given: batches of several partitions share it.
Formats are asked in a fixed order, whichever is tried quickly first: what becomes of a line depends on the line alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core.model import Decoded, Pieces
from pipeline.core.schema import DECODED, conform, empty
from pipeline.decoders._cutter import Cutter
from pipeline.decoders._documents import spread
from pipeline.decoders._exact import dumps
from pipeline.decoders._fields import raw_schema
from pipeline.decoders._format import Formats
from pipeline.decoders._framing import Framed, frame, positions
from pipeline.decoders._pieces import BRACKETS
from pipeline.decoders._quick import NONE, Quick, Reader, together
from pipeline.decoders._remains import held, remains
from pipeline.decoders._tokens import mask_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pipeline.core.model import Ints, RawBatch
    from pipeline.decoders._format import Format

    Mask = npt.NDArray[np.bool_]

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


@dataclass(slots=True)
class _Rows:
    """Entries of one format: RAW rows, and for each the batch, the piece, and whether it showed values."""

    raw: list[pl.DataFrame] = field(default_factory=list)
    batches: list[Ints] = field(default_factory=list)
    pieces: list[Ints] = field(default_factory=list)
    shown: list[Mask] = field(default_factory=list)

    def place(self, batch: int, pieces: Ints, shown: Mask) -> None:
        """Of which batch the next rows are, and of which pieces of it."""
        self.batches.append(np.full(len(pieces), batch, np.int64))
        self.pieces.append(pieces)
        self.shown.append(shown)


@dataclass(slots=True)
class _Exact:
    """What came of the odd pieces of a batch: entries by format, and the texts to store instead of theirs.

    An entry is its RAW row, its piece, and whether it showed values.
    """

    entries: dict[str, list[tuple[dict[str, Any], int, bool]]] = field(default_factory=dict)
    refused: list[tuple[int, str]] = field(default_factory=list)
    brackets: list[int] = field(default_factory=list)
    replaced: dict[int, bytes] = field(default_factory=dict)


class PieceDecoder:
    """Entries of the given formats, in any mixture. One instance serves one thread."""

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = formats
        self._readers = [Reader(one, formats[:place]) for place, one in enumerate(formats)]
        self._known = Formats(formats)

    def decode(self, batch: RawBatch) -> Decoded:
        """See ports.Decoder."""
        return self.decode_all([batch])[0]

    def decode_all(self, batches: Sequence[RawBatch]) -> list[Decoded]:
        """See ports.Decoder."""
        full = [batch for batch in batches if len(batch)]
        if not full:
            return [_nothing() for _ in batches]
        spreads = [spread(batch, self._known) if self._known.documents else None for batch in full]
        full = [batch if one is None else one.batch for batch, one in zip(full, spreads, strict=True)]
        framed = [frame(batch) for batch in full]
        quick = self._quick(framed)
        cuts = [self._cut(*one) for one in zip(full, framed, together(quick, len(full)), strict=True)]
        decoded = iter(
            one if out is None else replace(one, consumed=out.consumed(one.consumed))
            for one, out in zip(self._assembled(cuts, quick), spreads, strict=True)
        )
        return [next(decoded) if len(batch) else _nothing() for batch in batches]

    def _quick(self, framed: Sequence[Framed]) -> list[Quick]:
        """For each format what it vouches for. A format is not asked where its hint stands in no line that is left."""
        left = [np.flatnonzero(one.plain) for one in framed]
        found = [reader.nothing(len(framed)) for reader in self._readers]
        for place in self._order(framed, left):
            if not any(map(len, left)):
                break
            reader = self._readers[place]
            asked = reader.hinted_in(framed, left)
            if not any(map(len, asked)):
                continue
            found[place] = reader.read(framed, asked)
            left = [np.setdiff1d(a, b, assume_unique=True) for a, b in zip(left, found[place].records, strict=True)]
        return found

    def _order(self, framed: Sequence[Framed], left: Sequence[Ints]) -> list[int]:
        """The formats, those first whose hint stands in the first plain line: a log is mostly of one format."""
        places = range(len(self._readers))
        if len(self._readers) == 1:
            return [0]
        full = [(one, which[0]) for one, which in zip(framed, left, strict=True) if len(which)]
        first = b"".join(one.data[one.starts[at] : one.ends[at]].tobytes() for one, at in full[:1])
        return sorted(places, key=lambda place: not self._readers[place].hinted(first))

    def _cut(self, batch: RawBatch, framed: Framed, believed: Ints) -> tuple[_Cut, Ints]:
        """Cut the records that are not believed; none of the others stays that is behind an open object."""
        cutter = Cutter(batch, framed.blank, self._known)
        odd = ~framed.blank
        odd[believed] = False
        for record in np.flatnonzero(odd).tolist():
            cutter.take(record)
        consumed = cutter.finish()
        believed = believed[believed < consumed]
        odds = np.array([(one.record, one.piece.start, one.piece.end) for one in cutter.placed], np.int64).reshape(
            -1, 3
        )
        records = np.concatenate([believed, odds[:, 0]])
        starts = np.concatenate([framed.firsts[believed], odds[:, 1]])
        ends = np.concatenate([framed.lasts[believed], odds[:, 2]])
        order = np.lexsort((starts, records)) if cutter.placed else np.arange(len(records))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        places = rank[: len(believed)], rank[len(believed) :].tolist()
        return _Cut(batch, cutter, consumed, records[order], starts[order], ends[order], *places), believed

    def _assembled(self, cuts: Sequence[tuple[_Cut, Ints]], quick: Sequence[Quick]) -> Iterator[Decoded]:
        """DECODED rows of all formats, batch by batch in the order of pieces."""
        exact = [_exact(cut, self._known.spoken) for cut, _ in cuts]
        frames, batches, pieces = [empty(DECODED)], [NONE], [NONE]
        for one, believed in zip(self._formats, quick, strict=True):
            rows = _rows_of(one, cuts, believed, exact)
            if not rows.raw:
                continue
            raw, shown = pl.concat(rows.raw), pl.Series("shown", np.concatenate(rows.shown), dtype=pl.Boolean)
            frames.append(conform(one.columns(raw, shown).with_columns(format=pl.lit(one.name)), DECODED))
            batches += rows.batches
            pieces += rows.pieces
        batch, piece = np.concatenate(batches), np.concatenate(pieces)
        events = pl.concat(frames) if len(frames) > 2 else frames[-1]
        events = events.with_columns(pl.Series("piece", piece, dtype=pl.UInt32))
        order = np.lexsort((piece, batch))
        if (np.diff(order) < 0).any():
            events = events[order]
        ends = np.cumsum(np.bincount(batch, minlength=len(cuts)))
        for (cut, _), odd, end, count in zip(cuts, exact, ends, np.diff(ends, prepend=0), strict=True):
            yield _decoded(cut, odd, events.slice(int(end - count), int(count)))


def _rows_of(
    format_: Format, cuts: Sequence[tuple[_Cut, Ints]], quick: Quick, exact: Sequence[_Exact]
) -> _Rows:  # fmt: skip
    """All entries of one format: those it vouched for, as far as they stay, then those that were read exactly."""
    rows = _Rows()
    kept = [which < cut.consumed for (cut, _), which in zip(cuts, quick.records, strict=True)]
    good = np.concatenate(kept)
    if good.any():
        rows.raw.append(quick.raw if good.all() else quick.raw.filter(pl.Series(good)))
        for place, ((cut, believed), which, mine) in enumerate(zip(cuts, quick.records, kept, strict=True)):
            pieces = cut.quick[np.searchsorted(believed, which[mine])]
            rows.place(place, pieces, np.zeros(len(pieces), np.bool_))
    schema = raw_schema(format_.fields)
    for place, one in enumerate(exact):
        if format_.name in one.entries:
            read, pieces, shown = zip(*one.entries[format_.name], strict=True)
            rows.raw.append(format_.timed(pl.DataFrame(read, schema=schema)))
            rows.place(place, np.array(pieces, np.int64), np.array(shown))
    return rows


def _exact(cut: _Cut, spoken: re.Pattern[bytes]) -> _Exact:
    made = _Exact()
    for place, (piece, _) in zip(cut.odd, cut.cutter.placed, strict=True):
        text = cut.batch.data[piece.start : piece.end].tobytes()
        kept = text
        if piece.reason == BRACKETS:
            made.brackets.append(place)
            kept = held(text)
        elif piece.entry is None:
            kept = remains(text, piece.reason, spoken)
            made.refused.append((place, piece.reason))
        else:
            entry, before = piece.entry, text[: piece.body - piece.start]
            clean, masked = entry.format.clean(entry.body, entry.row), mask_prefix(before)
            if clean.body is not None or masked != before:
                kept = masked + dumps(entry.body if clean.body is None else clean.body).encode("utf-8", "replace")
            read = made.entries.setdefault(entry.format.name, [])
            read.append((clean.row, place, clean.shown or masked != before))
        if kept != text:
            made.replaced[place] = kept
    return made


def _decoded(cut: _Cut, exact: _Exact, events: pl.DataFrame) -> Decoded:
    return Decoded(
        consumed=cut.consumed,
        pieces=Pieces(cut.starts, cut.ends, positions(cut.batch, cut.starts, cut.records)),
        events=events,
        rejected=pl.DataFrame(exact.refused, schema=REJECTED, orient="row").sort("piece"),
        replaced=exact.replaced,
        brackets=tuple(sorted(exact.brackets)),
    )


def _nothing() -> Decoded:
    return Decoded(0, Pieces(NONE, NONE, NONE), empty(DECODED), pl.DataFrame(schema=REJECTED))
