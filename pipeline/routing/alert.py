"""One incident as it is being lived through: what its findings add up to, bounded whatever comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import polars as pl

from pipeline.core.schema import ALERT, SEVERITIES, TEXTS
from pipeline.routing.match import moment

FINDING_UIDS_MAX: Final = 1_000
EVIDENCE_MAX: Final = 100
NAMES_MAX: Final = 64
RANKS: Final = {name: rank for rank, name in enumerate(SEVERITIES)}


class Live(msgspec.Struct, kw_only=True):
    """An alert that may still change. Times are µs of event time, `rank` is an index into SEVERITIES.

    `heard` counts the findings that were not kept quiet: they alone make it speak. `heard_us` is when the last of them
    came, on the router's clock (the last of all, while none was heard). `anchor_us` is the finding that began it, to
    which the group window is tied. The fields from `principal` to `cause` are those of the finding told
    first: the most severe, the earliest of these.
    """

    uid: str
    kind: str  # what it groups by: principal, secret, store
    key: str
    group: str  # the cause it groups by; empty where all causes of one family or several are one incident
    anchor_us: int
    first_us: int
    last_us: int
    heard_us: int
    count: int = 0
    heard: int = 0
    covered: int = 0  # how many a suppression matched, heard or not
    usual: int = 0  # how many its principal, or its kind, does as a habit
    revision: int = 0
    state: str = ""
    done: bool = False  # quiet for long enough; kept so that the same incident finds it again
    invariant: bool = False
    admitted: bool = False  # a finding that the day's allowance let through: somebody is to look at it
    corroborated: bool = False
    agreed: bool = False  # two families agree at `agree_severity`
    integrity: bool = False
    rank: int = -1
    confidence: float = 0.0  # of the findings of the highest severity, the surest
    score: float = 0.0
    expires_us: int = 0  # while suppressed: when its suppression ends
    suppression: str = ""
    principal: str = ""
    secret: str = ""
    store: str = ""
    client_ip: str = ""
    title: str = ""
    message: str = ""
    observed: str = ""
    expected: str = ""
    next_step: str = ""
    detector_version: str = ""
    cause: str = ""
    detectors: list[str] = []
    families: list[str] = []
    titles: list[str] = []  # of an alert of rules: what they are called
    principals: list[str] = []
    secrets: list[str] = []
    techniques: list[str] = []
    evidence: list[str] = []
    finding_uids: list[str] = []

    @property
    def severity(self) -> int:
        """Its rank, one higher (but never above the top) when another family agrees."""
        return min(self.rank + self.corroborated, len(SEVERITIES) - 1)

    def add(self, finding: Mapping[str, Any], time_us: int) -> None:
        """Fold one row of schema.FINDING in. Which findings are in decides the outcome, for what is not a headline."""
        self.count += 1
        self.first_us, self.last_us = min(self.first_us, time_us), max(self.last_us, time_us)
        self._headline(finding)
        self.score = max(self.score, finding["score"] or 0.0)
        self.invariant |= finding["family"] == "invariant"
        _gather(self.detectors, finding["detector"], NAMES_MAX)
        _gather(self.families, finding["family"], NAMES_MAX)
        _gather(self.principals, finding["principal"], NAMES_MAX)
        _gather(self.secrets, finding["secret"], NAMES_MAX)
        if self.group:
            _gather(self.titles, finding["title"], NAMES_MAX)
        for technique in finding["techniques"] or ():
            _gather(self.techniques, technique, NAMES_MAX)
        for uid in finding["evidence"] or ():
            _gather(self.evidence, uid, EVIDENCE_MAX)
        if len(self.finding_uids) < FINDING_UIDS_MAX:
            self.finding_uids.append(finding["uid"])

    def _headline(self, finding: Mapping[str, Any]) -> None:
        rank, confidence = RANKS.get(finding["severity"], 0), finding["confidence"] or 0.0
        if rank == self.rank:
            self.confidence = max(self.confidence, confidence)
        if rank <= self.rank:
            return
        self.rank, self.confidence = rank, confidence
        for name in _HEADLINE:
            setattr(self, name, finding[name] or "")

    def text(self) -> str:
        """What happened, with what the first finding alone does not tell."""
        parts = [self.message]
        others = [title for title in self.titles if title != self.title]
        if others:
            parts.append(f"Also: {'; '.join(others)}.")
        if (more := self.count - 1 - len(others)) > 0:
            parts.append(f"And {more} more like it{_spread(self.secrets, 'secrets')}"
                         f"{_spread(self.principals, 'principals')}.")  # fmt: skip
        if self.corroborated:
            parts.append(f"Seen for this principal by {len(self.families)} families: {', '.join(self.families)}.")
        return " ".join(part for part in parts if part)

    def row(self, route: str) -> dict[str, Any]:
        """One row of schema.ALERT."""
        made = {
            "first_time": moment(self.first_us),
            "last_time": moment(self.last_us),
            "severity": SEVERITIES[self.severity],
            "route": route,
            "message": self.text(),
            "suppression": self.suppression if self.covered == self.count else "",
        }
        return {
            name: made[name] if name in made else list(getattr(self, name)) if kind == TEXTS else getattr(self, name)
            for name, kind in ALERT.items()
        }


_HEADLINE: Final = (
    "principal", "secret", "store", "client_ip", "title", "message", "observed", "expected", "next_step",
    "detector_version", "cause",
)  # fmt: skip

_KINDS: Final = {str: pl.String(), int: pl.Int64(), bool: pl.Boolean(), float: pl.Float64()}
LIVE: Final = pl.Schema(
    {
        field.name: _KINDS.get(type(field.default), TEXTS if field.default_factory is not msgspec.NODEFAULT else None)
        or (pl.Int64() if field.name.endswith("_us") else pl.String())
        for field in msgspec.structs.fields(Live)
    }
)


def _gather(into: list[str], value: str | None, most: int) -> None:
    if value and len(into) < most and value not in into:
        into.append(value)


def _spread(names: list[str], word: str) -> str:
    if len(names) < 2:
        return ""
    return f", {len(names)}{' or more' if len(names) >= NAMES_MAX else ''} {word}"


def pack(alerts: list[Live]) -> pl.DataFrame:
    """The alerts as a frame of schema LIVE."""
    return pl.DataFrame({name: [getattr(alert, name) for alert in alerts] for name in LIVE}, schema=LIVE)


def unpack(frame: pl.DataFrame) -> list[Live]:
    """The inverse of `pack`."""
    return [Live(**row) for row in frame.iter_rows(named=True)]
