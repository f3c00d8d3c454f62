"""Every hour of every region: covered by digests that hold, or why not. The COVERAGE rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.schema import COVERAGE, conform, empty
from pipeline.integrity.cloudtrail.names import HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.integrity.cloudtrail.chain import Segment
    from pipeline.integrity.cloudtrail.report import Found
    from pipeline.integrity.cloudtrail.scope import Scope

_PROVEN, _PARTLY, _UNKNOWN, _VIOLATED = range(4)
_GRADES: Final = ("proven", "unknown", "unknown", "violated")
_MISSING: Final = frozenset({"digest_missing", "no_digests", "chain_vanished", "log_missing", "stale", "rolled_back"})
_ROWS: Final = pl.Schema({"source": pl.String(), "hour": pl.Int64(), "rank": pl.Int8(), "note": pl.String()})


class Coverage:
    """Adds up the hours of each region over its chains: the worst one counts."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._parts: list[pl.DataFrame] = [empty(_ROWS)]

    def add(self, region: str, chain: str, segments: Sequence[Segment]) -> None:
        """The time of one chain, in stretches."""
        if not segments:
            return
        first = min(segment.start for segment in segments) // HOUR
        count = -(-max(segment.end for segment in segments) // HOUR) - first
        rank, notes = _clean(segments, first, count)
        for segment in segments:
            if segment.found is not None:
                _spoil(rank, notes, segment, first, f"{_word(segment.found)}; {chain}")
        hour = (np.arange(count) + first) * HOUR
        rows = {"source": [region] * count, "hour": hour, "rank": rank, "note": notes}
        self._parts.append(pl.DataFrame(rows, schema=_ROWS))

    def frame(self) -> pl.DataFrame:
        """COVERAGE rows, one a region and hour."""
        scope, hour = self._scope, pl.col("hour")
        asked = pl.lit(True) if scope.start is None else hour + HOUR > scope.start
        asked &= pl.lit(True) if scope.end is None else hour < scope.end
        hours = pl.concat(self._parts).filter(asked).sort("source", "hour", "rank", descending=[False, False, True])
        worst = hours.group_by("source", "hour", maintain_order=True).first()
        proven = pl.col("rank") == _PROVEN
        rows = worst.with_columns(
            store=pl.lit("aws"),
            completeness=pl.col("rank").replace_strict(range(4), _GRADES, return_dtype=pl.String),
            evidence_kind=pl.lit("digest chain"),
            missing_operations=pl.when(proven).then(0),  # how many events a missing digest stood for is not known
        )
        return conform(rows, COVERAGE)


def merged(coverage: pl.DataFrame) -> pl.DataFrame:
    """COVERAGE rows as people read them: hours that follow one another and are alike are one row.

    Columns: source, from, to (end of the last hour), hours, completeness, note.
    """
    alike = pl.struct("source", "completeness", "note").rle_id()
    broken = (pl.col("hour").diff() != pl.duration(hours=1)).fill_null(value=False).cum_sum()
    runs = coverage.group_by(alike.alias("run"), broken.alias("break"), maintain_order=True)
    return runs.agg(
        pl.first("source"),
        pl.min("hour").alias("from"),
        (pl.max("hour") + pl.duration(hours=1)).alias("to"),
        pl.len().alias("hours"),
        pl.first("completeness"),
        pl.first("note"),
    ).drop("run", "break")


def _clean(segments: Sequence[Segment], first: int, count: int) -> tuple[npt.NDArray[np.int8], list[str]]:
    """Hours by how much of them the sound digests cover."""
    sound = sorted((segment.start, segment.end) for segment in segments if segment.found is None)
    starts = np.array([start for start, _ in sound], np.int64)
    ends = np.maximum.accumulate(np.array([end for _, end in sound], np.int64))
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    lengths = np.maximum(ends - starts, 0)
    edges = (np.arange(count + 1) + first) * HOUR
    index = np.searchsorted(starts, edges, side="right")
    before = np.concatenate([[0], np.cumsum(lengths)])
    last = np.maximum(index - 1, 0)
    open_part = np.maximum(ends[last] - edges, 0) * (index > 0) if len(starts) else np.zeros(count + 1, np.int64)
    covered = np.diff(before[index] - np.minimum(open_part, lengths[last] if len(starts) else 0))
    rank = np.where(covered == HOUR, _PROVEN, _PARTLY).astype(np.int8)
    notes = ["covered" if c == HOUR else f"covered for {c / HOUR * 60:.0f} of 60 minutes" for c in covered.tolist()]
    return rank, notes


def _spoil(rank: npt.NDArray[np.int8], notes: list[str], segment: Segment, first: int, note: str) -> None:
    """Marks the hours that a broken stretch touches."""
    assert segment.found is not None  # noqa: S101  asked only of broken ones
    grade = _UNKNOWN if segment.found.verdict in ("unverifiable", "unsigned") else _VIOLATED
    for hour in range(segment.start // HOUR - first, -(-segment.end // HOUR) - first):
        if rank[hour] < grade:
            rank[hour], notes[hour] = grade, note


def _word(found: Found) -> str:
    """What the hour is, in one word, and the cause."""
    word = "missing" if found.cause in _MISSING else found.verdict
    return f"{word}: {found.cause}"
