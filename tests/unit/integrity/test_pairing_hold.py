"""How long an operation waits for what other devices tell of it."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline import config as conf
from pipeline.core.errors import ConfigError
from pipeline.integrity.pairing import HOLD_US, Pairing
from tests.streams import entry, frame

SECOND = 1_000_000


def heard(*rows: tuple[str, str, float]) -> pl.DataFrame:
    """Entries of one request (device, phase, second), in order."""
    told = frame([entry(device, "r1", phase, at) for device, phase, at in rows])
    return told.with_columns(order_time="time").sort("order_time")


def moment(events: pl.DataFrame) -> int:
    """When the last of them was, µs."""
    return int(events["order_time"].to_physical().to_numpy().max())


@pytest.mark.parametrize("hold", [0, 100_000, HOLD_US])
def test_an_operation_is_handed_on_as_long_after_it_is_complete(hold: int) -> None:
    """Not a microsecond earlier, and then at once."""
    whole = heard(("a", "request", 1.0), ("a", "response", 1.2))
    pairing = Pairing(hold_us=hold)
    assert pairing.push(whole, moment(whole) + hold).operations.is_empty()
    handed = pairing.push(whole.clear(), moment(whole) + hold + 1).operations
    assert handed["paired"].to_list() == [True]


def test_a_copy_that_comes_in_time_is_in_it_and_a_later_one_corrects() -> None:
    """The same copy, 0.3 s after the first device's: within half a second part of the operation, else a correction."""
    first, copy = (
        heard(("a", "request", 1.0), ("a", "response", 1.1)),
        heard(("b", "request", 1.4), ("b", "response", 1.4)),
    )
    patient, quick = Pairing(), Pairing(lambda ids, low, high: known, hold_us=100_000)
    known = quick.push(first, moment(copy)).operations
    assert len(known) == 1
    late = quick.push(copy, moment(copy) + SECOND)
    assert (len(late.operations), late.changed["uid"].to_list()) == (0, known["uid"].to_list())
    assert patient.push(first, moment(copy)).operations.is_empty()
    together = patient.push(copy, moment(copy) + SECOND).operations
    assert together["uid"].to_list() == known["uid"].to_list()
    assert together["devices"].to_list() == late.changed["devices"].to_list()


def test_more_than_half_a_second_is_refused() -> None:
    """What judges clocks counts on the operations of a run being known by then."""
    with pytest.raises(ConfigError, match="copies_seconds"):
        conf.Settings(None, {"line": {"copies_seconds": 0.6}}).table(conf.Line, "line")
