"""A store that should be talking says nothing. See README.md."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import polars as pl

from detectors import _tails
from detectors._text import figure, hour_of, show
from detectors._window import Found, tell
from detectors.silence.rhythm import Run, Store, packed, unpacked
from pipeline.core.clock import HOUR_US
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="silence",
    version="1",
    title="Store has gone silent",
    family="silence",
    summary="no operations where a store's own rhythm says there should be many",
    techniques=("T1562.008", "T1489"),
    measures=("F4", "M7"),
)
_NOTHING: Final = 0.02  # of what is expected: next to nothing


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the probability of a silence below which it is told.

    Windows with fewer than `least` expected operations prove nothing. A store is judged after `windows` windows and
    forgotten after `forget_hours` of silence. Of more than `stores` those silent for longest are forgotten.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    least: float = 5.0
    windows: int = 48
    forget_hours: int = 336
    stores: int = 256


class Silence:
    """Remembers each store's rhythm over the day, working days and weekends apart. Judges closed windows only."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stores: dict[str, Store] = {}
        self._end_us = 0

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows. Windows that nobody had an operation in are judged when the next one comes."""
        stores = self._stores if window.closed else {name: store.copy() for name, store in self._stores.items()}
        width = window.end_us - window.start_us
        found: list[Found] = []
        empty_until = min(window.start_us, self._end_us + self._config.forget_hours * HOUR_US)
        for start in range(self._end_us or window.start_us, empty_until, width):
            found += self._pass(stores, start, start + width, {})
        if window.closed:
            counts = window.operations.group_by("store").agg(pl.col("n").sum())
            found += self._pass(stores, window.start_us, window.end_us, dict(counts.iter_rows()))
            self._end_us = max(self._end_us, window.end_us)
            self._forget()
        return tell(self.info, window, found)

    def _pass(self, stores: dict[str, Store], start: int, end: int, counts: dict[str, int]) -> list[Found]:
        """Move every store on by one window."""
        found = []
        for name in sorted({*counts, *stores}):
            store, count = stores.setdefault(name, Store()), counts.get(name, 0)
            store.last_us = start if count else store.last_us
            expected = store.expected(start, self._config.windows)
            if expected is None or expected < self._config.least:
                if not store.run.start_us or count:
                    store.learn(start, count)
            elif count > _NOTHING * expected:
                store.learn(start, count)
            else:
                run = store.hush(start, count, expected)
                if not run.told and run.surprise >= -math.log10(self._config.p):
                    store.tell()
                    found.append(_found(name, run, end))
        return found

    def _forget(self) -> None:
        """Drop stores that are gone for good, and those above the limit."""
        oldest = self._end_us - self._config.forget_hours * HOUR_US
        newest = sorted(self._stores, key=lambda name: (-self._stores[name].last_us, name))[: self._config.stores]
        self._stores = {name: self._stores[name] for name in newest if self._stores[name].last_us >= oldest}

    def snapshot(self) -> Frames:
        """One row per store, and up to when windows were judged."""
        return {
            "stores": packed(self._stores),
            "end": pl.DataFrame({"end_us": [self._end_us]}, schema={"end_us": pl.Int64}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._stores = unpacked(frames["stores"])
        self._end_us = frames["end"]["end_us"][0]


def _found(name: str, run: Run, end_us: int) -> Found:
    since = datetime.fromtimestamp(run.start_us / 1e6, UTC)
    hours = (end_us - run.start_us) / HOUR_US
    return Found(
        key=f"{name}:{run.start_us}",
        severity="high" if run.expected >= 100 else "medium",
        confidence=0.8,
        score=_tails.score(run.surprise),
        message=f"Next to nothing came from {show(name)} for {figure(hours)} h since {hour_of(run.start_us)}"
        f" ({since:%Y-%m-%d %H:%M} UTC): {run.count} operations.",
        observed=f"{run.count} operations in {figure(hours)} h",
        expected=f"{figure(run.expected)} operations",
        next_step="Check that the store is up, its audit device on and its log still shipped here. If the store worked"
        " meanwhile, its trail was cut off: treat the hours as unobserved and find out who did it.",
        evidence=[],
        time=since,
        store=name,
    )


def create(config: Config) -> Silence:
    """The detector, with nothing remembered."""
    return Silence(config)
