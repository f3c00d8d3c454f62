"""Good and failed per SLI and scope over the last three days: fine windows for six hours, wide ones for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from detectors._usual import Floats
    from pipeline.core.model import Frames

FINE: Final = 72  # windows
WIDE: Final = 72  # of twelve windows each
_EACH: Final = 12
_SLOTS: Final = FINE + WIDE
Key = tuple[str, str, str]  # sli, store, scope


class Ring:
    """Two numbers a window, 2,304 bytes for each of at most `limit` keys; past it the longest idle key goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.keys: list[Key] = []  # sli, store, scope
        self._place: dict[Key, int] = {}
        self._sums = np.zeros((0, _SLOTS, 2), dtype=np.float64)  # failed, total
        self._last = np.zeros(0, dtype=np.int64)  # newest window of each key that had anything
        self._now = self._first = -1

    def advance(self, window: int) -> None:
        """Let `window` (its number since 1970) be the newest; what falls out of the span is forgotten."""
        if self._now < 0:
            self._first = window
        else:
            for at in range(max(self._now + 1, window - FINE + 1), window + 1):
                self._sums[:, at % FINE] = 0
            for at in range(max(self._now // _EACH + 1, window // _EACH - WIDE + 1), window // _EACH + 1):
                self._sums[:, FINE + at % WIDE] = 0
        self._now = max(window, self._now)

    def add(self, key: Key, failed: float, total: float) -> None:
        """Add to the newest window."""
        at = self._place.get(key)
        if at is None:
            at = self._admit(key)
        self._last[at] = self._now
        for slot in (self._now % FINE, FINE + self._now // _EACH % WIDE):
            self._sums[at, slot] += (failed, total)

    def _admit(self, key: Key) -> int:
        if len(self.keys) >= self._limit:
            at = int(np.argmin(self._last))
            del self._place[self.keys[at]]
            self.keys[at], self._sums[at] = key, 0
        else:
            at = len(self.keys)
            self.keys.append(key)
            self._sums = np.concatenate([self._sums, np.zeros((1, _SLOTS, 2), dtype=np.float64)])
            self._last = np.append(self._last, self._now)
        self._place[key] = at
        return at

    @property
    def age(self) -> int:
        """How many windows this memory spans, the newest with them."""
        return self._now - self._first + 1

    def over(self, windows: int) -> Floats:
        """Failed and total of each key over the last so many windows, shape (keys, 2); past six hours in wide ones."""
        if windows <= FINE:
            slots = (self._now - np.arange(windows)) % FINE
        else:
            slots = FINE + (self._now // _EACH - np.arange(windows // _EACH)) % WIDE
        sums: Floats = self._sums[:, slots].sum(axis=1)
        return sums

    def snapshot(self) -> Frames:
        """Frames ring.keys and ring.sums (key, slot, failed, total: those that are not zero), ring.now."""
        place, slot = np.nonzero(self._sums[:, :, 1])
        sums = self._sums[place, slot]
        sli, store, scope = ([key[i] for key in self.keys] for i in range(3))
        texts = {"sli": pl.String, "store": pl.String, "scope": pl.String, "last": pl.Int64}
        return {
            "ring.keys": pl.DataFrame(
                {"sli": sli, "store": store, "scope": scope, "last": self._last.copy()}, schema=texts
            ),
            "ring.sums": pl.DataFrame({"key": place, "slot": slot, "failed": sums[:, 0], "total": sums[:, 1]}),
            "ring.now": pl.DataFrame({"now": [self._now], "first": [self._first]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self.keys = frames["ring.keys"].select("sli", "store", "scope").rows()
        self._place = {key: at for at, key in enumerate(self.keys)}
        self._last = frames["ring.keys"]["last"].to_numpy().astype(np.int64)
        self._sums = np.zeros((len(self.keys), _SLOTS, 2), dtype=np.float64)
        told = frames["ring.sums"]
        at = (told["key"].to_numpy(), told["slot"].to_numpy())
        self._sums[at] = told.select("failed", "total").to_numpy()
        self._now, self._first = frames["ring.now"].row(0)
