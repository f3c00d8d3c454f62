"""When the lake is asked whether it knows an entry already, and when no longer."""

from __future__ import annotations

import polars as pl

from pipeline.core.clock import ALWAYS, NEVER
from pipeline.core.schema import OPERATION, empty
from pipeline.integrity.pairing import STRANGERS_MAX, Pairing
from tests.streams import entry, frame

YEAR = 365 * 86_400


class Lake:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.operations = empty(OPERATION)

    def recall(self, ids: pl.Series, low: int, high: int) -> pl.DataFrame:
        self.asked += 1
        times = pl.col("time").to_physical()
        return self.operations.filter(pl.col("correlation_uid").is_in(ids.implode()) & times.is_between(low, high))


def singles(first: int, count: int, start: float) -> pl.DataFrame:
    """So many operations of one entry each, a second apart."""
    rows = [entry("a", f"r{first + i}", "single", start + i) for i in range(count)]
    return frame([{**row, "uid": f"a-{first + i}"} for i, row in enumerate(rows)]).with_columns(order_time="time")


def test_what_is_new_is_not_asked_for() -> None:
    """Entries in the order of time are nobody's copies: the lake is left alone."""
    lake = Lake()
    pairing = Pairing(lake.recall)
    for at in range(0, 3000, 500):
        pairing.push(singles(at, 500, at), ALWAYS)
    assert lake.asked == 0


def test_an_old_entry_is_looked_up() -> None:
    """A line of an hour ago is asked for, found, and told as a copy, not as an operation."""
    lake = Lake()
    pairing = Pairing(lake.recall)
    first = pairing.push(singles(0, 10, 0), ALWAYS)
    lake.operations = first.operations
    pairing.push(singles(10, 10, 4000), ALWAYS)
    again = pairing.push(singles(3, 1, 3), ALWAYS)
    assert lake.asked == 1
    assert (len(again.operations), len(again.corrections), len(again.changed)) == (0, 1, 0)


def test_a_clock_that_was_ahead_is_given_up() -> None:
    """After thousands of entries before a year ahead, none of them known, they count as the present again."""
    lake = Lake()
    pairing = Pairing(lake.recall)
    pairing.push(singles(0, 10, YEAR), ALWAYS)
    handed = 0
    for turn in range(STRANGERS_MAX // 2000 + 1):
        handed += len(pairing.push(singles(100 + 2000 * turn, 2000, 2000 * turn), ALWAYS).operations)
    assert 1 <= lake.asked <= STRANGERS_MAX // 2000 + 1
    before, again = lake.asked, Pairing(lake.recall)
    again.restore(pairing.snapshot())
    for part in (pairing, again):
        handed += len(part.push(singles(50_000, 2000, 50_000), ALWAYS).operations)
    assert lake.asked == before
    assert handed == 2000 * (STRANGERS_MAX // 2000 + 3)


def test_no_lake_no_question() -> None:
    """Without a lake nothing is a copy."""
    assert len(Pairing(lake_until_us=NEVER).push(singles(0, 5, 0), ALWAYS).operations) == 5
