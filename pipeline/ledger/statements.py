"""What a run says in the log over files besides seals and positions: what its rows show to be missing (kind 4) and how
the trail compares with canaries and counters (kind 9), under which configuration (kind 7), and what a verification
found (kind 10).

A record holds verdicts, causes, places, times and counts, and no text of a log line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

from pipeline.core.model import Frames
from pipeline.core.schema import COVERAGE, INTEGRITY, empty
from pipeline.ledger import control, leaf
from pipeline.ledger.control import Body, Record
from pipeline.ledger.places import HARMLESS, Places

TOLD: Final = "told"  # in a head of the log over files: what its next writer need not say again
MISSING: Final = ("gap", "truncated", "torn", "unpaired", "late")  # late takes back what was missing
EVIDENCE: Final = ("canaries", "counters")
PER_COMMIT: Final = 100  # of each kind; more are counted
REMEMBERED: Final = 4_096  # hours whose grade is not told again
_RECONCILED: Final = ("canary_", "counter_")


class Completeness:
    """What INTEGRITY and COVERAGE rows of commits say, each as it stands then; an hour when its grade has moved."""

    def __init__(self) -> None:
        self._graded: dict[tuple[Any, ...], Body] = {}

    def records(self, shown: Frames) -> Iterator[tuple[int, Body]]:
        """Those of one commit: at most one of a kind."""
        gaps, results = _told(shown.get("integrity", empty(INTEGRITY)))
        results += self._moved(shown.get("coverage", empty(COVERAGE)))
        for kind, name, items in ((leaf.GAP, "gaps", gaps), (leaf.RECONCILIATION, "results", results)):
            if items:
                yield kind, {name: items[:PER_COMMIT], "more": max(0, len(items) - PER_COMMIT)}

    def _moved(self, coverage: pl.DataFrame) -> list[Body]:
        newest = coverage.unique(["source", "store", "hour"], keep="last", maintain_order=True)
        moved = []
        for row in _hours(newest.filter(pl.col("evidence_kind").is_in(EVIDENCE))):
            hour = row["source"], row["store"], row["from_us"]
            if self._graded.pop(hour, None) != row:
                moved.append(row)
            self._graded[hour] = row
        for hour in [*self._graded][: max(0, len(self._graded) - REMEMBERED)]:
            del self._graded[hour]
        return moved


def _told(integrity: pl.DataFrame) -> tuple[list[Body], list[Body]]:
    """What is missing, and what else canaries and counters speak against."""
    if integrity.is_empty():
        return [], []
    told = integrity.unique("uid", keep="last", maintain_order=True)
    missing = pl.col("verdict").is_in(MISSING) & (pl.col("cause") != "clock")
    reconciled = pl.any_horizontal(pl.col("cause").str.starts_with(begin) for begin in _RECONCILED)
    return _verdicts(told.filter(missing)), _verdicts(told.filter(reconciled & ~missing))


def _verdicts(rows: pl.DataFrame) -> list[Body]:
    """INTEGRITY rows: their place, and `uid`, under which the view has the evidence."""
    columns = rows.select(
        "source", "verdict", "cause", "uid", "count", "from_position", "to_position",
        from_us=pl.col("from_time").dt.epoch("us"), to_us=pl.col("to_time").dt.epoch("us"),
    )  # fmt: skip
    return [_whole(row) for row in columns.iter_rows(named=True)]


def _hours(rows: pl.DataFrame) -> list[Body]:
    """COVERAGE rows that rest on canaries or counters."""
    columns = rows.select(
        "source", "store", "completeness", pl.col("evidence_kind").alias("evidence"),
        count=pl.col("missing_operations"), from_us=pl.col("hour").dt.epoch("us"),
    )  # fmt: skip
    return [_whole(row) for row in columns.iter_rows(named=True)]


def _whole(row: Mapping[str, Any]) -> Body:
    return {key: control.number(item) if isinstance(item, int) else item for key, item in row.items()}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a run goes by: the body of its record, and the SHA-256 of that."""

    body: Body

    @classmethod
    def of(cls, tables: object, detectors: Sequence[object], version: str) -> Configuration:
        """`tables` and `detectors` (names, versions, settings) are whatever msgspec can write as JSON."""
        return cls({"configuration": _sha256(tables), "detectors": _sha256(detectors), "version": version})

    @property
    def sha256(self) -> str:
        """Of the canonical body, hexadecimal."""
        return hashlib.sha256(control.canonical(self.body)).hexdigest()


def is_configuration(record: Record) -> bool:
    """Whether a record of kind 7 is one of these; the others are legal holds."""
    return record.kind == leaf.CONFIG and "configuration" in record.body


def check_configuration(newest: Record | None, head: Mapping[str, Any] | None, places: Places, source: str) -> None:
    """Report a head that says another configuration was told of than the newest record's."""
    said = (head or {}).get(TOLD, {}).get("configuration")
    known = None if newest is None else Configuration(newest.body).sha256
    if said is not None and said != known:
        evidence = "the lake's commit names another configuration than the newest record of one"
        places.add(source, "altered", "configuration", evidence)


def verification(frame: pl.DataFrame, **said: Any) -> Body:
    """The body of a verification's record: what is said, places by verdict, and the first broken ones."""
    counts = frame.group_by("verdict").len().sort("verdict")
    broken = frame.filter(~pl.col("verdict").is_in(HARMLESS)).select("source", "verdict", "cause", "count")
    return {
        **said,
        "verdicts": dict(counts.iter_rows()),
        "broken": [_whole(row) for row in broken.head(PER_COMMIT).iter_rows(named=True)],
        "more": max(0, len(broken) - PER_COMMIT),
    }


def _sha256(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
