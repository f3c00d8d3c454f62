"""What a verification found, place by place, until it becomes INTEGRITY rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.core.findings import uid_of
from pipeline.core.schema import INTEGRITY, conform, empty
from pipeline.integrity.cloudtrail.causes import CAUSES

LIMIT: Final = 10_000  # places told apart; more are counted by cause
EVERYWHERE: Final = "all regions"

Span = tuple[int | None, int | None]


@dataclass(slots=True)
class Found:
    """One place: a closed interval of time (µs), how many digests or logs, and where: an object's key or a region.

    `cause` is a key of CAUSES, or "" for a stretch that holds.
    """

    cause: str
    source: str
    start: int | None
    end: int | None
    count: int = 1
    evidence: str = ""
    file: str = ""
    offset: int | None = None
    unlisted: int = 0  # logs in this place that no sound digest lists

    @property
    def verdict(self) -> str:
        """The verdict this cause is."""
        return CAUSES[self.cause][0] if self.cause else "ok"

    def told(self) -> dict[str, object]:
        """The place as an INTEGRITY row, times as integers."""
        parts = [CAUSES[self.cause][1] if self.cause else "", self.evidence]
        if self.unlisted:
            parts.append(f"{self.unlisted} logs of that time are listed by no sound digest")
        source, file = _clean(self.source), _clean(self.file or self.source)
        return {
            "source": source, "verdict": self.verdict, "from_position": self.offset, "to_position": self.offset,
            "from_time": self.start, "to_time": self.end, "count": self.count,
            "evidence": _clean("; ".join(filter(None, parts))), "file": file, "cause": self.cause,
            "uid": uid_of("cloudtrail", self.verdict, self.cause, source, file, str(self.start), str(self.offset)),
            "known": self.end,
        }  # fmt: skip


class Report:
    """Collects places in the order they are found."""

    def __init__(self) -> None:
        self._found: list[Found] = []
        self._broken = 0
        self._untold: Counter[str] = Counter()

    def add(
        self, cause: str, source: str, span: Span, *, count: int = 1, evidence: str = "", file: str = "",
        offset: int | None = None,
    ) -> Found:  # fmt: skip
        """A new place; what is returned may still grow until `frame`."""
        found = Found(cause, source, span[0], span[1], count, evidence, file, offset)
        if cause and self._broken >= LIMIT:
            self._untold[cause] += count
            return found
        self._broken += bool(cause)
        self._found.append(found)
        return found

    def frame(self) -> pl.DataFrame:
        """INTEGRITY rows."""
        rest = [Found(cause, EVERYWHERE, None, None, n, "more places") for cause, n in sorted(self._untold.items())]
        rows = [found.told() for found in self._found + rest]
        if not rows:
            return empty(INTEGRITY)
        kinds = {name: pl.Int64() if kind.is_temporal() else kind for name, kind in INTEGRITY.items()}
        return conform(pl.DataFrame(rows, schema=kinds), INTEGRITY)


def _clean(text: str) -> str:
    """File names may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()
