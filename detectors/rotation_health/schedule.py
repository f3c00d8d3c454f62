"""When secrets are written: the last time, how regularly, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, Table, keys_of
from detectors._usual import Bools, Floats
from pipeline.core.clock import DAY_US
from pipeline.core.owned import owned
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_N, _LAST, _FIRST, _MEAN, _SQUARE = range(5)
_GAPS: Final = 4.0  # before a secret has a period
_REGULAR: Final = 0.1  # standard deviation of its gaps, as a share of their mean
_SHORTEST_US: Final = DAY_US / 2  # writes closer than this are one rotation
_LATELY: Final = pl.Schema({"secret": pl.String(), "writer": pl.String(), "time": TIME})
_LATELY_MOST: Final = 50_000


_WROTE: Final = (
    pl.col("operation").is_in(["write", "rotate"]) & (pl.col("outcome") == "success") & (pl.col("secret") != "")
)
_NOTHING: Final = pl.DataFrame(schema={**_LATELY, "uid": pl.String(), "store": pl.String()})


@dataclass(frozen=True, slots=True)
class Written:
    """Secrets written in a window, once each; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # secret, writer, time, uid, store: in the order of names
    keys: Keys

    @classmethod
    def of(cls, window: Window) -> Written:
        """The first write of each secret."""
        rows = window.operations.filter(_WROTE)
        if rows.is_empty():
            return cls(_NOTHING, np.zeros(0, dtype=np.uint64))
        rows = rows.sort("time", "uid")
        first = rows.unique("secret", keep="first").sort("secret")
        frame = first.select("secret", pl.col("principal").fill_null("").alias("writer"), "time", "uid", "store")
        return cls(frame, keys_of(frame["secret"]))


class Schedule:
    """Per secret five numbers and 16 bytes: 56 bytes. Past `limit` those not written for longest go."""

    def __init__(self, limit: int, lately_us: float) -> None:
        self._secrets = Table(5, limit)
        self._lately_us = int(lately_us)
        self._lately = pl.DataFrame(schema=_LATELY)

    def lately(self, written: Written, at_us: int) -> pl.DataFrame:
        """Columns secret, writer, time of the last write within the span, this window's writes with them."""
        if written.frame.is_empty() and self._lately.is_empty():
            return self._lately
        late = self._lately.filter(pl.col("time") > pl.lit(at_us - self._lately_us).cast(TIME))
        if written.frame.is_empty():
            return late  # as it was left, each secret once and in order
        both = pl.concat([late, written.frame.select("secret", "writer", "time")])
        return both.unique("secret", keep="last").sort("secret")

    def __len__(self) -> int:
        return len(self._secrets)

    def ages(self, secrets: Keys, at_us: int) -> tuple[Floats, Floats]:
        """How long ago each secret was written, and its period; both in µs, nan where unknown."""
        own = self._secrets.get(secrets, at_us)
        known = own[:, _N] > 0
        age = np.where(known, at_us - own[:, _LAST], np.nan)
        spread = np.sqrt(np.maximum(own[:, _SQUARE] - own[:, _MEAN] ** 2, 0.0))
        regular: Bools = (own[:, _N] > _GAPS) & (spread <= _REGULAR * own[:, _MEAN])
        return age, np.where(regular, own[:, _MEAN], np.nan)

    def writes(self, secrets: Keys, at_us: int) -> tuple[Floats, Floats]:
        """How often each secret was rotated, and how long ago first (µs)."""
        own = self._secrets.get(secrets, at_us)
        return own[:, _N], np.where(own[:, _N] > 0, at_us - own[:, _FIRST], 0.0)

    def learn(self, written: Written, lately: pl.DataFrame, at_us: int) -> None:
        """Add a closed window, and what `lately` gave for it."""
        self._lately = owned(lately[-_LATELY_MOST:])
        if not len(written.keys):
            return
        own = self._secrets.get(written.keys, at_us)
        times = written.frame["time"].to_physical().to_numpy().astype(np.float64)
        known = own[:, _N] > 0
        gap = np.where(known, times - own[:, _LAST], 0.0)
        apart = known & (gap >= _SHORTEST_US)
        gaps = np.maximum(own[:, _N], 1.0)  # with this one
        new = own.copy()
        new[:, _N] += apart | ~known
        new[:, _FIRST] = np.where(known, own[:, _FIRST], times)
        new[:, _LAST] = np.where(apart | ~known, times, own[:, _LAST])
        new[:, _MEAN] = np.where(apart, own[:, _MEAN] + (gap - own[:, _MEAN]) / gaps, own[:, _MEAN])
        new[:, _SQUARE] = np.where(apart, own[:, _SQUARE] + (gap**2 - own[:, _SQUARE]) / gaps, own[:, _SQUARE])
        self._secrets.put(written.keys, new, at_us)

    def snapshot(self) -> Frames:
        """Frames secrets and lately."""
        return {"secrets": self._secrets.snapshot(), "lately": self._lately}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._secrets.restore(frames["secrets"])
        self._lately = frames["lately"]
