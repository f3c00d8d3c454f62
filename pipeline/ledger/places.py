"""Where something does not hold, gathered into INTEGRITY rows: one per connected place."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.core.findings import uid_of
from pipeline.core.schema import INTEGRITY, conform, empty

HARMLESS = frozenset({"ok", "redacted"})
LIMIT = 10_000  # places told apart; more are counted


@dataclass(slots=True)
class Place:
    """Leaves [start, end) of one file of the lake."""

    source: str
    verdict: str
    cause: str
    evidence: str
    start: int
    end: int
    count: int


class Places:
    """Collects verdicts in order of leaf; neighbouring ones of one kind join."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._last: dict[tuple[str, str, str], Place] = {}
        self.untold = 0
        self.broken = False

    def add(self, source: str, verdict: str, cause: str, evidence: str, span: tuple[int, int] = (0, 0)) -> None:
        """Leaves [start, end) of a file; an empty span for a statement about the file itself."""
        start, end = span
        self.broken = self.broken or verdict not in HARMLESS
        key = (source, verdict, cause)
        last = self._last.get(key)
        if last is not None and last.end == start < end:
            last.end, last.count = end, last.count + end - start
            return
        if len(self._places) >= LIMIT:
            self.untold += 1
            return
        place = Place(source, verdict, cause, evidence, start, end, max(1, end - start))
        self._last[key] = place
        self._places.append(place)

    def frame(self) -> pl.DataFrame:
        """INTEGRITY rows; positions are leaf indexes, closed intervals."""
        if not self._places:
            return empty(INTEGRITY)
        told = [
            {
                "source": place.source,
                "verdict": place.verdict,
                "from_position": place.start if place.end > place.start else None,
                "to_position": place.end - 1 if place.end > place.start else None,
                "count": place.count,
                "evidence": place.evidence,
                "file": place.source,
                "cause": place.cause,
                "uid": uid_of("ledger", place.source, place.verdict, place.cause, str(place.start)),
            }
            for place in self._places
        ]
        return conform(pl.DataFrame(told, infer_schema_length=None), INTEGRITY)
