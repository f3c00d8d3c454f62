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
EVIDENCE: Final = frozenset({"canaries", "counters"})
PER_COMMIT: Final = 100  # of each kind; more are counted
REMEMBERED: Final = 4_096  # hours whose grade is not told again
_RECONCILED: Final = ("canary_", "counter_")
_VERDICT: Final = {
    "source": "source", "verdict": "verdict", "cause": "cause", "uid": "uid", "count": "count",
    "from_position": "from_position", "to_position": "to_position", "from_us": "from_time", "to_us": "to_time",
}  # fmt: skip
_HOUR: Final = {
    "source": "source", "store": "store", "completeness": "completeness", "evidence": "evidence_kind",
    "count": "missing_operations", "from_us": "hour",
}  # fmt: skip


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
        newest = {(row["source"], row["store"], row["from_us"]): row for row in _rows(coverage, _HOUR)}
        moved = []
        for hour, row in newest.items():
            before = self._graded.pop(hour, row)
            self._graded[hour] = row
            if before is row or before != row:
                moved += [_whole(row)] if {row["evidence"], before["evidence"]} & EVIDENCE else []
        for hour in [*self._graded][: max(0, len(self._graded) - REMEMBERED)]:
            del self._graded[hour]
        return moved


def _told(integrity: pl.DataFrame) -> tuple[list[Body], list[Body]]:
    """What is missing, and what else canaries and counters speak against."""
    newest = {row["uid"]: row for row in _rows(integrity, _VERDICT)}
    missing = [row for row in newest.values() if row["verdict"] in MISSING and row["cause"] != "clock"]
    others = (row for row in newest.values() if row["verdict"] not in MISSING)
    results = [row for row in others if str(row["cause"]).startswith(_RECONCILED)]
    return [_whole(row) for row in missing], [_whole(row) for row in results]


def _rows(frame: pl.DataFrame, columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Some columns under other names, times in µs."""
    if frame.is_empty():
        return iter(())
    shown = (frame[name].to_physical() for name in columns.values())
    return pl.DataFrame([column.alias(name) for name, column in zip(columns, shown, strict=True)]).iter_rows(named=True)


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
    told = (head or {}).get(TOLD)
    said = told.get("configuration") if isinstance(told, Mapping) else None
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
