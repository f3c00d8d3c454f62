"""From what a decoder framed to rows of the lake: uids, places, leaves, samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline import rawframe
from pipeline.core.findings import build
from pipeline.core.fingerprint import piece_uids
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import EVENT, FINDING, RAW, REJECTED, TIME, conform, empty
from pipeline.ledger import leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.committing import Committer
    from pipeline.core.model import Decoded, RawBatch, Window
    from pipeline.parts import Taken

SAMPLE_BYTES = 200


@dataclass(frozen=True, slots=True)
class Sealed:
    """What follows from a batch alone and costs the most to work out, done ahead of the line."""

    uids: pl.Series
    redacted: np.ndarray[Any, np.dtype[np.bool_]]
    leaves: leaf.Leaves | None  # None without a ledger


@dataclass(frozen=True, slots=True)
class Placed:
    """What every piece of a batch has, whatever it turned out to be; all aligned with the pieces."""

    uids: pl.Series
    leaf_index: pl.Series  # null without a ledger
    salts: pl.Series
    leaves: pl.Series
    redacted: np.ndarray[Any, np.dtype[np.bool_]]


def seal(raw: RawBatch, decoded: Decoded, *, leaves: bool) -> Sealed:
    """Uids of all pieces and, with `leaves`, what the ledger is to hold of them. Pure but for the leaves' salts."""
    pieces = decoded.pieces
    count = len(pieces.starts)
    generation = str(raw.state.get("generation", raw.partition))
    uids = piece_uids(raw.stream, generation, raw.data, pieces.starts, pieces.ends, pieces.positions)
    redacted = np.zeros(count, dtype=bool)
    redacted[list(decoded.replaced)] = True
    if not leaves:
        return Sealed(uids, redacted, None)
    rejected = np.zeros(count, dtype=bool)
    rejected[decoded.rejected["piece"].to_numpy()] = True
    built = leaf.build(
        raw.stream,
        pieces.positions,
        raw.ingest_ns,
        data=raw.data,
        starts=pieces.starts,
        ends=pieces.ends,
        rejected=rejected,
        redacted=redacted,
    )
    return Sealed(uids, redacted, built)


def place(sealed: Sealed, ledger: Committer | None) -> Placed:
    """Give each piece its uid and, with a ledger, its leaf."""
    count = len(sealed.uids)
    if ledger is None or sealed.leaves is None:
        none = pl.Series([None], dtype=pl.Int64).new_from_index(0, count)
        blank = pl.Series([None], dtype=pl.Binary).new_from_index(0, count)
        return Placed(sealed.uids, none, blank, blank, sealed.redacted)
    leaves = ledger.add(sealed.leaves)
    index = pl.int_range(leaves.first_index, leaves.first_index + count, eager=True)
    return Placed(sealed.uids, index, rawframe.fixed(leaves.salts), rawframe.fixed(leaves.leaves), sealed.redacted)


def events(resolved: pl.DataFrame, taken: Sequence[Taken], placed: Sequence[Placed]) -> pl.DataFrame:
    """EVENT rows: the resolved entries of these batches, one behind the other, with their places."""
    before = np.cumsum([0, *(len(one.uids) for one in placed[:-1])])
    counts = [len(one.decoded.events) for one in taken]
    piece = pl.Series(resolved["piece"].to_numpy() + np.repeat(before, counts), dtype=pl.UInt32)
    position = pl.Series(np.concatenate([one.decoded.pieces.positions for one in taken]), dtype=pl.Int64)
    placed_rows = resolved.with_columns(
        pl.concat([one.uids for one in placed]).gather(piece).alias("uid"),
        position.gather(piece).alias("position"),
        pl.concat([one.leaf_index for one in placed]).gather(piece).alias("leaf_index"),
        repeated("source", [one.raw.stream for one in taken], counts),
        repeated("file", [one.raw.file for one in taken], counts),
        order_time=pl.col("time"),
    )
    return conform(placed_rows, EVENT)


def repeated(name: str, values: Sequence[str], counts: Sequence[int]) -> pl.Series:
    """A column with each value so many times."""
    if len(set(values)) == 1:
        return pl.Series(name, values[:1]).new_from_index(0, sum(counts))
    return pl.Series(name, values)[np.repeat(np.arange(len(values)), counts)]


def raw(taken: Sequence[Taken], placed: Sequence[Placed]) -> pl.DataFrame:
    """RAW rows: every piece of these batches, with the bytes that may be kept."""
    pieces = [one.decoded.pieces for one in taken]
    texts = [
        rawframe.binary(one.raw.data, mine.starts, mine.ends, one.decoded.replaced)
        for one, mine in zip(taken, pieces, strict=True)
    ]
    counts = [len(one.uids) for one in placed]
    return pl.DataFrame(
        [
            pl.concat([one.uids for one in placed], rechunk=True).alias("uid"),
            repeated("source", [one.raw.stream for one in taken], counts),
            repeated("file", [one.raw.file for one in taken], counts),
            pl.Series("position", np.concatenate([one.positions for one in pieces]), dtype=pl.Int64),
            pl.concat([one.leaf_index for one in placed], rechunk=True).alias("leaf_index"),
            pl.concat(texts, rechunk=True),
            pl.Series("redacted", np.concatenate([one.redacted for one in placed])),
            pl.concat([one.salts for one in placed], rechunk=True).alias("salt"),
            pl.concat([one.leaves for one in placed], rechunk=True).alias("leaf"),
        ]
    ).select(RAW.names())


def rejected(batch: RawBatch, decoded: Decoded, accepted: pl.DataFrame, before_us: int | None) -> pl.DataFrame:
    """REJECTED rows: each with its reason, its size and a sample without values.

    `time` is that of the entry before it in the file; `before_us` is the last one of the batches before.
    """
    if decoded.rejected.is_empty():
        return empty(REJECTED)
    pieces = decoded.pieces
    numbers = decoded.rejected["piece"].to_numpy()
    sizes = pieces.ends[numbers] - pieces.starts[numbers]
    whole = {int(o.record): o.size for o in batch.oversize}
    by_start = {int(batch.starts[record]): size for record, size in whole.items()}
    frame = pl.DataFrame(
        {
            "position": pieces.positions[numbers],
            "reason": decoded.rejected["reason"],
            "size": [by_start.get(int(pieces.starts[n]), int(s)) for n, s in zip(numbers, sizes, strict=True)],
            "sample": [_sample(batch, decoded, int(n)) for n in numbers],
        }
    )
    known = accepted.select("position", "time").sort("position")
    timed = frame.sort("position").join_asof(known, on="position", strategy="backward")
    placed_rows = timed.with_columns(
        pl.col("time").fill_null(pl.lit(before_us, pl.Int64).cast(TIME)),
        source=pl.lit(batch.stream),
        file=pl.lit(batch.file),
        stage=pl.lit("decode"),
    )
    return conform(placed_rows, REJECTED)


def _sample(batch: RawBatch, decoded: Decoded, piece: int) -> str:
    """The first bytes of a rejected piece, after redaction, with nothing a terminal or a page would act on."""
    start = int(decoded.pieces.starts[piece])
    end = min(int(decoded.pieces.ends[piece]), start + SAMPLE_BYTES)
    text = decoded.replaced.get(piece, batch.data[start:end].tobytes())[:SAMPLE_BYTES].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "·" for c in text)[:SAMPLE_BYTES]


def no_findings() -> pl.DataFrame:
    """A FINDING frame without rows."""
    return empty(FINDING)


def ready(findings: pl.DataFrame, window: Window, cadence: str) -> pl.DataFrame:
    """Findings with the place in the canonical order where they became known.

    That is the end of their window, or when it was looked at before that; of a single operation, when it was complete.
    """
    if findings.is_empty():
        return findings
    if cadence == "window":
        return findings.with_columns(pl.col("ready").fill_null(pl.lit(window.looked_us or window.end_us).cast(TIME)))
    first = findings.select(uid=pl.col("evidence").list.first())
    told = [window.operations.select("complete_time", uid=name) for name in ("uid", "request_uid", "response_uid")]
    by_uid = pl.concat(told).drop_nulls("uid").unique("uid")
    complete = first.join(by_uid, on="uid", how="left", maintain_order="left")
    return findings.with_columns(pl.coalesce("ready", complete["complete_time"], "time"))


def failed_detector(info: DetectorInfo, window: Window, error: Exception) -> pl.DataFrame:
    """The finding that a detector could not judge a window: a blind spot that somebody must know of."""
    watch = DetectorInfo("keytrail", "1", "A detector failed", "invariant", "keytrail watches itself")
    row = {
        "time": [window.start_us],
        "severity": ["medium"],
        "confidence": [1.0],
        "score": [1.0],
        "principal": [""],
        "secret": [""],
        "cause": [f"detector_failed:{info.name}"],
        "message": [
            f"Detector {info.name} stopped with {type(error).__name__}; this stretch of time was not judged by it."
        ],
        "observed": [type(error).__name__],
        "expected": ["a judgement"],
        "next_step": [
            f"Run `keytrail detectors test {info.name}`. A new lake over the same logs judges this time again."
        ],
        "evidence": [[]],
    }
    frame = pl.DataFrame(row, schema_overrides={"evidence": pl.List(pl.String)})
    frame = frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    return build(watch, frame, identity=("cause", "time"))
