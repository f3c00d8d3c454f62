"""Every detector over one stretch of operations: the part of the line that says what is odd."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import rows
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.core.ports import Detector


def chunk(operations: pl.DataFrame, verdicts: pl.DataFrame, profiles: Any) -> Window:
    """OPERATION rows as they were handed on, for detectors of the cadence "operation"."""
    times = operations["complete_time"].to_physical().to_numpy()
    start, end = (int(times[0]), int(times[-1]) + 1) if len(times) else (0, 0)
    return Window(start, end, operations, verdicts, profiles, closed=True)


def slis(detectors: Iterable[Detector], frame: pl.DataFrame, profiles: Any) -> pl.DataFrame:
    """What the detectors find in SLI rows of windows that closed."""
    if frame.is_empty():
        return rows.no_findings()
    start, end = (int(at) for at in frame["window_start"].to_physical().to_numpy()[[0, -1]])
    window = Window(start, end, empty(OPERATION), empty(INTEGRITY), None, closed=True, slis=frame)
    return inspect(detectors, window, "sli", profiles)


def asked(detectors: Iterable[Detector], window: Window, cadence: str) -> Iterator[Detector]:
    """Those that a window is for: of its cadence, and for a look at an open one those that a rise concerns."""
    for detector in detectors:
        of_it = window.looked_us is None or not window.rises.isdisjoint(detector.info.early)
        if detector.info.cadence == cadence and of_it:
            yield detector


def inspect(detectors: Iterable[Detector], window: Window, cadence: str, profiles: Any) -> pl.DataFrame:
    """FINDING rows of every detector of a cadence. One that fails is itself a finding; the rest go on."""
    window = replace(window, profiles=profiles)
    found = []
    for detector in asked(detectors, window, cadence):
        try:
            found.append(detector.inspect(window))
        except Exception as error:  # noqa: BLE001  isolation is the point; it is told as a finding
            found.append(rows.failed_detector(detector.info, window, error))
    return rows.ready(pl.concat([rows.no_findings(), *(f for f in found if len(f))]), window, cadence)
