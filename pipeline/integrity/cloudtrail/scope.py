"""The time a verification is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.integrity.cloudtrail.names import HOUR

DUE_WITHIN: Final = 2 * HOUR  # a digest is delivered within the hour that follows its own
CLOUDTRAIL_BEGAN: Final = 1_383_264_000_000_000  # 2013-11-01; nothing is older


@dataclass(frozen=True, slots=True)
class Scope:
    """From `start` (None: as far as the chains go) to `end` (None: up to `now`). All µs since 1970."""

    start: int | None
    end: int | None
    now: int

    def __post_init__(self) -> None:
        if self.start is not None and self.start < CLOUDTRAIL_BEGAN:
            object.__setattr__(self, "start", CLOUDTRAIL_BEGAN)

    @property
    def due(self) -> int:
        """How far every chain must reach by now."""
        newest = self.now - DUE_WITHIN
        return newest if self.end is None else min(self.end, newest)

    def holds(self, start: int, end: int) -> bool:
        """Whether a span of time touches this one."""
        return (self.start is None or end > self.start) and (self.end is None or start < self.end)

    def near(self, start: int, end: int) -> bool:
        """Whether a digest of that time may list logs that were made in this one."""
        return self.holds(start - 2 * HOUR, end + HOUR)
