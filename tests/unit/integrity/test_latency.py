"""How long an operation took, and where nobody can know it."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.schema import TIME
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame

SECOND = 1_000_000
LONG = 10_000 * SECOND  # nobody waits so long for the other half


def halves(*rows: tuple[str, float]) -> pl.DataFrame:
    """Entries of one request (phase, the second it is dated), a second after each other in the log."""
    told = frame([entry("a", "r1", phase, at) for phase, at in rows])
    placed = pl.Series("order_time", [(10 + row) * SECOND for row in range(len(rows))]).cast(TIME)
    return told.with_columns(placed)


@pytest.mark.parametrize(("asked", "answered", "latency"), [(1.0, 1.25, 250.0), (1.0, 1.0, 0.0), (9.0, 1.0, None)])
def test_an_answer_dated_before_its_request_has_no_latency(
    asked: float, answered: float, latency: float | None
) -> None:
    """Whether both halves come together or the answer much later: the same, and never a negative one."""
    whole = halves(("request", asked), ("response", answered))
    together = Pairing().push(whole, LONG).operations
    assert together.select("paired", "latency_ms").rows() == [(True, latency)]
    known = whole.clear()
    pairing = Pairing(lambda ids, low, high: known)
    known = pairing.push(whole[:1], LONG).operations
    assert known.select("paired", "latency_ms").rows() == [(False, None)]
    corrected = pairing.push(whole[1:].with_columns(order_time=pl.lit(LONG + SECOND).cast(TIME)), 2 * LONG).changed
    assert corrected.select("paired", "latency_ms").rows() == [(True, latency)]


@pytest.mark.parametrize("told", [None, 12.5])
def test_one_entry_that_tells_of_both_halves_has_the_latency_it_tells(told: float | None) -> None:
    """A store that writes once for a request: what it took is what that entry says, if it says anything."""
    single = halves(("single", 1.0)).with_columns(store=pl.lit("azure"), latency_ms=pl.lit(told, pl.Float64))
    made = Pairing().push(single, LONG).operations
    assert made.select("paired", "latency_ms", pl.col("devices").list.len()).rows() == [(True, told, 1)]
