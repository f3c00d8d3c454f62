"""A clock set back for good begins a new order; what only looks so does not."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.clock import ALWAYS
from pipeline.integrity import order
from pipeline.integrity.order import Sequencer
from tests.streams import entry, frame

YEAR = 365 * 86_400


def stream(*parts: tuple[float, int]) -> pl.DataFrame:
    """Entries of one device: (start in seconds, how many a second apart) each."""
    times = [start + i for start, count in parts for i in range(count)]
    return frame([entry("a", f"r{i}", "request", at) for i, at in enumerate(times)])


def released(events: pl.DataFrame, cut: int | None = None) -> tuple[pl.DataFrame, int]:
    """Everything in the order in which it comes out, and how often the order began anew."""
    sequencer, out, turns = Sequencer(), [], 0
    size = cut or len(events)
    for at in range(0, len(events), size):
        rest = sequencer.push("a", events[at : at + size])
        while len(rest):
            turns += 1
            out.append(sequencer.release(sequencer.progress()["a"] + 1_000_000))
            rest = sequencer.push("a", rest)
        out.append(sequencer.release(sequencer.watermark({"a": True})))
    sequencer.confirm()
    out.append(sequencer.release(ALWAYS))
    return pl.concat(out), turns


@pytest.mark.parametrize("cut", [None, 1, 7, 64, 65])
def test_a_clock_set_back_is_one_turn_whatever_the_cuts(cut: int | None) -> None:
    """A year back for good: one turn, everything once; from when it is sure, entries go by their own time."""
    events = stream((0, 100), (-YEAR, 200))
    out, turns = released(events, cut)
    assert turns == 1
    assert out["uid"].to_list() == released(events)[0]["uid"].to_list()
    assert sorted(out["uid"]) == sorted(events["uid"])
    behind = (out["order_time"] - out["time"]).dt.total_seconds()
    assert (behind > 3600).sum() == 63
    assert out["uid"][-1] == events["uid"][-1]


@pytest.mark.parametrize("cut", [None, 1, 7])
def test_a_few_entries_of_the_past_turn_nothing(cut: int | None) -> None:
    """Sixty old lines among new ones are placed where they stand, half a second behind the newest."""
    events = stream((0, 100), (-YEAR, 60), (100, 100))
    out, turns = released(events, cut)
    assert turns == 0
    assert out["uid"].to_list() == released(events)[0]["uid"].to_list()
    assert sorted(out["uid"]) == sorted(events["uid"])
    assert (out["order_time"].diff().drop_nulls().dt.total_microseconds() >= 0).all()


@pytest.mark.parametrize("cut", [None, 1, 7])
def test_ahead_and_back_again(cut: int | None) -> None:
    """A year ahead, confirmed, and back: the order follows both times and loses nothing."""
    events = stream((0, 50), (YEAR, 50), (60, 300))
    out, turns = released(events, cut)
    assert turns == 1
    assert out["uid"].to_list() == released(events)[0]["uid"].to_list()
    assert sorted(out["uid"]) == sorted(events["uid"])
    assert (out["order_time"] - out["time"]).dt.total_seconds()[-200:].max() == 0


def test_an_ended_stream_with_hours_between_its_entries_is_not_late() -> None:
    """What waits for confirmation when its stream ends goes to its place among what other streams bring later."""
    sparse = [entry("a", f"a{n}", "request", 7200 * n) for n in range(3)]
    busy = [entry("b", f"b{n}", "request", 60 * n) for n in range(300)]
    sequencer = Sequencer()
    sequencer.push("a", frame(sparse))
    sequencer.push("b", frame(busy[:10]))
    sequencer.push("b", frame(busy[10:]))
    released = sequencer.release(sequencer.watermark({"a": False, "b": True}))
    assert released["order_time"].is_sorted()
    sequencer.confirm()
    times = pl.concat([released, sequencer.release(ALWAYS)])["order_time"]
    assert len(times) == 303
    assert times.is_sorted()


@pytest.mark.parametrize("cut", [None, 7, 100, 101])
def test_an_hour_written_again_does_not_pile_up(cut: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of the same hour again, no leap back: they turn the order and are let go as they come."""
    monkeypatch.setattr(order, "LATE_MAX", 100)
    events = stream((0, 1000), (0, 1000))
    out, turns = released(events, cut)
    assert turns == 1
    assert out["uid"].to_list() == released(events)[0]["uid"].to_list()
    assert sorted(out["uid"]) == sorted(events["uid"])
    again = Sequencer()
    rest = again.push("a", events[:1500])
    while len(rest):
        again.release(ALWAYS)
        rest = again.push("a", rest)
    again.release(again.watermark({"a": True}))
    assert len(again.snapshot()["waiting"]) <= 2


@pytest.mark.parametrize("cut", [None, 7, 100])
def test_a_late_half_of_a_stream_turns_nothing(cut: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other line a minute late, however many: two writers, one clock."""
    monkeypatch.setattr(order, "LATE_MAX", 100)
    events = frame([entry("a", f"r{i}", "request", i - 60 * (i % 2)) for i in range(1000)])
    out, turns = released(events, cut)
    assert turns == 0
    assert sorted(out["uid"]) == sorted(events["uid"])
