"""Going on from states whose entries lack a column that came later."""

from __future__ import annotations

import polars as pl

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import EVENT, OPERATION
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame

YEAR_S = 365 * 86_400.0


def test_half_an_operation_is_completed_by_a_newer_version() -> None:
    """Its request was remembered without the names it asked for; the response has them."""
    request = frame([entry("a", "r1", "request", 1.0)]).with_columns(order_time="time")
    response = frame([entry("a", "r1", "response", 1.2)]).with_columns(
        order_time="time", asked_for=pl.lit(["role:0a"], dtype=EVENT["asked_for"])
    )
    older, newer = Pairing(), Pairing()
    older.push(request, 1)
    states = older.snapshot()
    newer.restore({**states, "pool": states["pool"].drop("asked_for")})
    told = newer.push(response, ALWAYS).operations
    assert told.schema == OPERATION
    assert told.select("paired", "asked_for").rows() == [(True, ["role:0a"])]


def test_entries_that_wait_for_their_order_come_out_whole() -> None:
    """Those that wait, and those that leapt ahead and wait for confirmation."""
    told = [entry("a", f"r{i}", "request", 1.0 + i / 100) for i in range(70)]
    older, newer = Sequencer(), Sequencer()
    older.push("a", frame(told))
    older.push("a", frame([entry("a", "leapt", "request", 1.0 + YEAR_S)]))
    states = older.snapshot()
    assert all(len(states[name]) for name in ("waiting", "held"))
    newer.restore({**states, **{name: states[name].drop("asked_for") for name in ("waiting", "held")}})
    newer.push("a", frame([entry("a", "later", "request", 2.0)]))
    newer.confirm()
    out = newer.release(ALWAYS)
    assert out.schema == EVENT
    assert sorted(out["correlation_uid"]) == sorted(["later", "leapt", *(one["correlation_uid"] for one in told)])
