"""One investigation: who or what, in which time, and since when it is thought to be in wrong hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.inquiry.parts import Part

if TYPE_CHECKING:
    import datetime as dt

    from pipeline.inquiry.names import Subject
    from pipeline.inquiry.period import Period


@dataclass(frozen=True, slots=True)
class Case:
    """`since` is None where nobody says that anything leaked; `since_from` is who does: an operator, an alert."""

    subject: Subject
    period: Period
    since: dt.datetime | None
    since_from: str

    def no_clock(self) -> Part:
        """The clock of a case without a compromise."""
        return Part(
            "clock", "Time to revoke", [], empty="no --since and no high alert about it: the clock is not running"
        )
