"""What the stream proves of its own wholeness, told as findings: one for each place that is not ok. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors._text import shown
from detectors.integrity.verdicts import VERDICTS, Words
from pipeline.core.findings import build
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, SEVERITIES, empty

if TYPE_CHECKING:
    from pipeline.core.model import Window

INFO: Final = DetectorInfo(
    name="integrity",
    version="1",
    title="Audit trail not whole",
    family="silence",
    summary="gaps, altered, cut, doubled and unpaired entries, values in clear",
    techniques=("T1562.008", "T1070"),
    measures=("M7", "M6", "F4"),
    cadence="operation",
)
_SCORES: Final = dict(zip(SEVERITIES, (0.2, 0.4, 0.7, 0.9, 0.99), strict=True))
_TOLD: Final = ("title", "severity", "confidence", "says", "expected", "next_step")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`off` names verdicts that are to be stored and not told."""

    off: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.off) - {words.verdict for words in VERDICTS}
        if unknown:
            raise ValueError(f"off names no such verdict: {', '.join(sorted(unknown))}")


class Integrity:
    """Translates INTEGRITY rows; holds nothing. A place that grows keeps its uid, and so does its finding."""

    info = INFO

    def __init__(self, config: Config) -> None:
        kept = [words for words in VERDICTS if words.verdict not in config.off]
        self._words = _table(kept)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of INTEGRITY rows: each place with a verdict once, as it was first told."""
        if window.integrity.is_empty():
            return empty(FINDING)
        places = window.integrity.unique(["uid", "verdict"], keep="first", maintain_order=True)
        told = places.join(self._words, on="verdict", how="inner", maintain_order="left")
        return build(self.info, told.select(_columns(window.start_us)), identity=("cause", "place"))


def _table(words: list[Words]) -> pl.DataFrame:
    rows = [{"verdict": w.verdict, **{name: getattr(w, name) for name in _TOLD}} for w in words]
    schema = {"verdict": pl.String, **{name: pl.Float64 if name == "confidence" else pl.String for name in _TOLD}}
    return pl.DataFrame(rows, schema=schema)


def _columns(start_us: int) -> list[pl.Expr]:
    source, cause = shown(pl.col("source").fill_null("")), pl.col("cause").fill_null("")
    start = pl.lit(start_us).cast(pl.Datetime("us", "UTC"))
    positions = pl.format(
        "positions {} to {}", pl.col("from_position").fill_null(-1), pl.col("to_position").fill_null(-1)
    )
    detail = pl.when(cause.is_in(("", "in_clear"))).then(pl.lit("")).otherwise(pl.format(" ({})", shown(cause)))
    return [
        pl.coalesce("from_time", "to_time", start).alias("time"),
        pl.col("severity"),
        pl.col("confidence"),
        pl.col("severity").replace_strict(_SCORES, return_dtype=pl.Float64).alias("score"),
        pl.col("title"),
        pl.format("{}: {}{}.", source, pl.col("says"), detail).alias("message"),
        pl.when(pl.col("count") > 1)
        .then(pl.format("{} x {}, {}", "count", "verdict", positions))
        .otherwise(pl.format("{} from position {}", "verdict", pl.col("from_position").fill_null(-1)))
        .alias("observed"),
        pl.col("expected"),
        pl.col("next_step"),
        pl.lit([], dtype=pl.List(pl.String)).alias("evidence"),  # an interval of the stream, no single event
        pl.col("verdict").alias("cause"),
        pl.col("uid").alias("place"),
        pl.col("known").alias("ready"),
    ]


def create(config: Config) -> Integrity:
    """The detector."""
    return Integrity(config)
