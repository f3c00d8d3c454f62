"""Requests as one array of numbers: everything that is written or measured later follows from these columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.simulate.actions import MEDIAN_NS, Outcome

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

ROW = np.dtype(
    [
        ("t", "i8"),  # when the store logged the request, ns since 1970
        ("action", "u1"),
        ("outcome", "u1"),
        ("principal", "i4"),
        ("session", "i8"),  # the asking token, -1 for none
        ("issued", "i8"),  # the token made by this request, or the one it names, or shows in vain; -1 for none
        ("object", "i4"),
        ("version", "i4"),  # or the form of the error, see `spills`
        ("ip", "u4"),
        ("agent", "u2"),
        ("incident", "i4"),  # -1: ordinary
        # what `finish` fills
        ("latency", "i8"),
        ("port", "u2"),
        ("hi", "u8"),
        ("lo", "u8"),
    ]
)


def rows(count: int, **columns: object) -> Rows:
    """`count` rows with these columns; the others mean none."""
    made = np.zeros(count, ROW)
    for name in ("session", "issued", "object", "incident"):
        made[name] = -1
    for name, value in columns.items():
        made[name] = value
    return made


def none() -> Rows:
    """No rows."""
    return np.zeros(0, ROW)


def by_time(parts: list[Rows]) -> Rows:
    """All of `parts`, in order of time; equal times keep the order of the parts."""
    joined = np.concatenate(parts) if parts else none()
    return joined[np.argsort(joined["t"], kind="stable")]


def finish(made: Rows, rng: np.random.Generator, slow: float = 1.0) -> None:
    """Fill in place what no behaviour decides: latency (lognormal body, 3 % Pareto(1.5) tail), port, request id.

    The same law for every row, whoever made it.
    """
    count = len(made)
    latency = MEDIAN_NS[made["action"]] * slow * rng.lognormal(0.0, 0.45, count)
    tail = rng.random(count) < 0.03
    latency *= np.where(tail, 2.0 + 4.0 * rng.pareto(1.5, count), 1.0)
    refused = np.isin(made["outcome"], (Outcome.DENIED, Outcome.BAD_TOKEN))
    latency = np.where(refused, np.minimum(latency, 2e6) * 0.1, latency)
    made["latency"] = np.clip(latency, 40_000, 25e9).astype(np.int64)
    made["port"] = rng.integers(32768, 61000, count)
    # what is below a millisecond no plan decides
    made["t"] += rng.integers(0, 1_000_000, count) - made["t"] % 1_000_000
    made["hi"] = rng.integers(0, 2**64, count, dtype=np.uint64)
    made["lo"] = rng.integers(0, 2**64, count, dtype=np.uint64)
