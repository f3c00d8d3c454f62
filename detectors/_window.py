"""What the detectors of a window share: who counts, who belongs together, what a finding is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors._text import show
from pipeline.core.clock import HOUR_US
from pipeline.core.findings import build
from pipeline.core.schema import FINDING, TEXTS, TIME, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors._runs import Bools
    from pipeline.core.model import DetectorInfo, Window

EVIDENCE: Final = 5  # operations named as evidence
READ: Final = (pl.col("operation") == "read") & (pl.col("secret") != "")
APART: Final = pl.col("act").is_not_null() & (pl.col("items") == 0)  # but no batch: that is apart, too
OLD_VERSION: Final = READ & APART


def hours(window: Window) -> float:
    """The window's length."""
    return (window.end_us - window.start_us) / HOUR_US


@dataclass(frozen=True, slots=True)
class Found:
    """One finding as a detector states it. `key` tells it from others of the same cause in the same window."""

    key: str
    severity: str
    confidence: float
    score: float
    message: str
    observed: str
    expected: str
    next_step: str
    evidence: Sequence[str]
    time: datetime
    principal: str | None = None
    secret: str | None = None
    store: str | None = None
    client_ip: str | None = None
    cause: str | None = None
    title: str | None = None
    techniques: Sequence[str] | None = None
    family: str | None = None
    ready: datetime | None = None  # when it became known, where that is not the end of the window


_SCHEMA: Final = {
    f.name: pl.Float64()
    if f.name in ("confidence", "score")
    else TEXTS
    if f.name in ("evidence", "techniques")
    else pl.String()
    for f in fields(Found)
} | {"time": TIME, "ready": TIME}


def tell(info: DetectorInfo, window: Window, found: Sequence[Found]) -> pl.DataFrame:
    """FINDING rows. The same window, cause and key is the same finding, whenever the window is judged.

    A look at a window that goes on has findings of its own: when it is over, more is known.

    Where the detector sees chunks that depend on the cut of the stream, cause and key alone are its identity.
    """
    if not found:
        return empty(FINDING)
    rows = pl.DataFrame([asdict(one) for one in found], schema=_SCHEMA).with_columns(
        pl.col("cause").fill_null(info.name),
        pl.col("title").fill_null(info.title),
        pl.col("family").fill_null(info.family),
        pl.col("techniques").fill_null(pl.lit(list(info.techniques), dtype=TEXTS)),
        window=pl.lit(_name(window) if info.cadence == "window" else ""),
    )
    return build(info, rows.sort("time", "cause", "key"), identity=("window", "cause", "key"))


def _name(window: Window) -> str:
    return str(window.start_us) if window.looked_us is None else f"{window.start_us} until {window.looked_us}"


def seen_in(rows: pl.DataFrame) -> dict[str, Any]:
    """What a finding says of its rows: evidence, time, store and address. `rows` are WINDOW rows, at least one."""
    first = rows.sort("time", "uid").head(EVIDENCE)
    return {
        "evidence": first["uid"].unique(maintain_order=True).to_list(),
        "time": first["time"][0],
        "store": first["store"][0],
        "client_ip": first["client_ip"][0],
    }


def values_in(rows: pl.DataFrame) -> int:
    """How many values WINDOW rows disclosed."""
    return int(rows.filter("discloses_value")["n"].sum())


def known_since(window: Window, principals: pl.DataFrame, since_us: int) -> Bools:
    """Whether each row of `principals` (its one column) was met at `since_us` or before, by the profiles."""
    first = window.profiles.lookup("principal", principals, window.start_us, ("first_us",))["first_us"]
    return np.asarray((first <= since_us).fill_null(value=False).to_numpy())


def first_of(rows: pl.DataFrame) -> str:
    """The first of WINDOW rows, at least one, in words: `read of kv/app/db at 14:03:07 UTC`."""
    first = rows.sort("time", "uid").row(0, named=True)
    return f"{first['operation']} of {show(first['secret'] or first['path'])} at {first['time']:%H:%M:%S} UTC"


def ways(rows: pl.DataFrame, column: str, most: int = 3) -> str:
    """The most frequent values of a column of WINDOW rows, in words."""
    counts = rows.group_by(column).agg(pl.col("n").sum()).sort(["n", column], descending=[True, False])
    names = [name for name in counts[column].to_list() if name]
    head = ", ".join(show(name) for name in names[:most])
    return f"{head} and {len(names) - most} more" if len(names) > most else head
