"""Running polars operations in the thread that calls them.

Outside of a query every operation on a frame is handed to polars' pool and waited for: three to seven switches between
threads, 100 to 200 µs of CPU, for microseconds of work on a frame of a few rows. What a query calls from within
(`LazyFrame.map_batches`) stays where it is, at a third of that. Large frames are then not divided among cores: those
have the reader and the writer of the lake beside them.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

_NOTHING: Final = pl.LazyFrame({"": [0]})
_inside = threading.local()


def inline(work: Callable[P, T]) -> Callable[P, T]:
    """`work`, called from within a query: the same result, the same exceptions, the same thread."""

    @functools.wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        if getattr(_inside, "now", False):
            return work(*args, **kwargs)
        results: list[T] = []

        def step(frame: pl.DataFrame) -> pl.DataFrame:
            results.append(work(*args, **kwargs))
            return frame

        _inside.now = True
        try:
            _NOTHING.map_batches(step).collect()
        finally:
            _inside.now = False
        return results[0]

    return called
