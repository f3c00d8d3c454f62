"""What the router gives back, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from pipeline.core.model import Message


@dataclass(frozen=True, slots=True)
class RoutingResult:
    """What one push changed: `alerts` are the rows of schema.ALERT to replace by uid, `messages` what to deliver."""

    alerts: pl.DataFrame
    messages: list[Message]


@dataclass(slots=True)
class Counts:
    """What was done since the process started. `held` findings were not worth one of the day's alerts.

    `alerts` counts creations by (detector, severity).
    """

    folded: int = 0
    held: int = 0
    repeated: int = 0
    suppressed: int = 0
    evicted: int = 0
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
