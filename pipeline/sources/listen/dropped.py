"""Datagrams that are known to be lost, on their way to the record."""

from __future__ import annotations

import threading
from typing import Final

_EVERY_SECONDS: Final = 1.0


class Dropped:
    """Counts what a receiver's thread drops, for the reader's to tell now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold = 0
        self._due = 0.0
        self.total = 0

    def add(self, count: int, now: float) -> None:
        """So many more. They are told a moment later, so that many are told together."""
        with self._lock:
            self._due = self._due if self._untold else now + _EVERY_SECONDS
            self._untold += count
            self.total += count

    def untold(self, now: float) -> bool:
        """Whether it is time to tell of some."""
        return self._untold > 0 and now >= self._due

    def tell(self) -> int:
        """How many they are; from here on they are told."""
        with self._lock:
            count, self._untold = self._untold, 0
        return count
