"""A long way of event time is gone in steps; what comes out in all is the same."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.clock import ALWAYS
from pipeline.integrity.order import Sequencer
from tests.streams import entry, frame


def filled() -> Sequencer:
    """Two devices with ninety entries each, three of them at every second."""
    sequencer = Sequencer()
    for name in ("a", "b"):
        sequencer.push(name, frame([entry(name, f"{name}{i}", "request", i // 3) for i in range(90)]))
    return sequencer


@pytest.mark.parametrize("rows", [1, 7, 50, 89, 90, 91, 1_000])
def test_steps_release_what_one_does(rows: int) -> None:
    """Steps of some rows give the same events in the same order, and no step is more than twice as long."""
    sequencer, out = filled(), []
    for mark in [*sequencer.marks(ALWAYS, rows), ALWAYS]:
        out.append(sequencer.release(mark))
    assert pl.concat(out)["uid"].to_list() == filled().release(ALWAYS)["uid"].to_list()
    assert max(map(len, out)) <= max(2 * rows, rows + 6)  # what shares a moment stays together
    assert all(map(len, out[1:]))


def test_nothing_is_beyond_the_watermark() -> None:
    """Steps end where the way does."""
    sequencer = filled()
    assert all(mark < 10_000_000 for mark in sequencer.marks(10_000_000, 7))
    assert Sequencer().marks(ALWAYS, 7) == []
