"""A stream's share of the line's memory: cut out, kept, put into another's, and then all is as if it had not moved."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline import handover
from pipeline.core.model import Position
from pipeline.core.ports import Stateful
from pipeline.integrity.canaries import Canaries
from pipeline.integrity.clocks import Clocks
from pipeline.integrity.continuity import Continuity
from pipeline.integrity.counters import Counters
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame


class _Nothing:
    """A part without memory."""

    def snapshot(self) -> dict[str, pl.DataFrame]:
        return {}

    def restore(self, frames: dict[str, pl.DataFrame]) -> None: ...


def parts() -> dict[str, object]:
    """The parts that remember streams."""
    named: dict[str, object] = {name: _Nothing() for name in handover.OF_A_STREAM}
    return named | {"order": Sequencer(), "pairing": Pairing(), "continuity": Continuity()}


def filled() -> dict[str, object]:
    """Two streams with a request each that waits for its answer, and events that wait for their order."""
    made = parts()
    order, pairing, continuity = made["order"], made["pairing"], made["continuity"]
    assert isinstance(order, Sequencer)
    assert isinstance(pairing, Pairing)
    assert isinstance(continuity, Continuity)
    for name in ("a", "b"):
        events = frame([entry(name, f"r{number}-{name}", "request", number) for number in range(12)])
        rejected = pl.DataFrame(schema={"position": pl.Int64, "time": pl.Int64, "reason": pl.String,
                                        "size": pl.Int64, "file": pl.String})  # fmt: skip
        continuity.stream(name, events, rejected, "", name, name)
        order.push(name, events)
    order.confirm()
    released = order.release(int(frame([entry("a", "x", "request", 6.5)])["time"].to_physical()[0]))
    assert 0 < len(released) < 24
    pairing.push(released, int(released["time"].to_physical()[-1]))
    return made


def memory(made: dict[str, object]) -> dict[str, pl.DataFrame]:
    """All of it, in an order of its own."""
    return {
        f"{name}.{key}": rows.sort(pl.exclude(pl.List, pl.Struct)) if len(rows) else rows
        for name in ("order", "pairing", "continuity")
        for key, rows in made[name].snapshot().items()  # type: ignore[attr-defined]
    }


def test_a_stream_is_cut_out_and_put_back() -> None:
    """What is cut out is all there is of that stream, and putting it back restores the memory exactly."""
    made = filled()
    before = memory(made)
    moved = handover.take_out(made, "a", 7, {"a": 5})  # type: ignore[arg-type]
    for name, rows in memory(made).items():
        column = "source" if "source" in rows.columns else "stream" if "stream" in rows.columns else ""
        assert not column or "a" not in rows[column].to_list(), name
    assert handover.put_back(made, moved) == {"a": 5}  # type: ignore[arg-type]
    after = memory(made)
    assert {name: rows for name, rows in after.items() if not rows.equals(before[name])} == {}


def test_it_goes_through_a_commit() -> None:
    """Packed into a commit's state and unpacked, a stream's share is the same, however many there are."""
    made = filled()
    aside = {
        ("a", "p/1"): handover.take_out(made, "a", 7, {"a": 5}),  # type: ignore[arg-type]
        ("b", "p/2"): handover.take_out(made, "b", 9, {}),  # type: ignore[arg-type]
    }
    found = handover.unpacked(handover.packed(aside))
    assert found.keys() == aside.keys()
    other = parts()
    assert handover.put_back(other, found["a", "p/1"]) == {"a": 5}  # type: ignore[arg-type]
    assert handover.put_back(other, found["b", "p/2"]) == {}  # type: ignore[arg-type]
    assert memory(other).keys() == memory(filled()).keys()
    whole = memory(filled())
    assert {name for name, rows in memory(other).items() if not rows.equals(whole[name])} == set()
    assert handover.unpacked({}) == {}


@pytest.mark.parametrize("aside", [True, False])
def test_what_another_workers_commit_holds(aside: bool) -> None:
    """A stream is found in another's state, set aside in order or in place after a death, with where it stood."""
    made = filled()
    place = ("a", "p/1")
    line = {
        "newest": pl.DataFrame({"stream": ["a", "b"], "time_us": [5, 6]}),
        "last": pl.DataFrame({"time_us": [4]}),
        "places": handover.places([] if aside else [Position("a", "p/1", 7)]),
    }
    kept = {place: handover.take_out(made, "a", 7, {"a": 5})} if aside else {}  # type: ignore[arg-type]
    states = {name: part.snapshot() for name, part in made.items()}  # type: ignore[attr-defined]
    states |= {"line": line, "set_aside": handover.packed(kept)}
    found = handover.find(states, place)
    assert found is not None
    assert found.offset == 7
    other = parts()
    assert handover.put_back(other, found) == {"a": 5}  # type: ignore[arg-type]
    waiting = other["order"].snapshot()["waiting"]  # type: ignore[attr-defined]
    assert set(waiting["source"]) == {"a"}
    assert handover.find(states, ("c", "p/9")) is None
    assert handover.known_until(states) == 4


def test_every_part_is_known() -> None:
    """The frames that hold streams exist in the parts they are taken from, under the columns named."""
    made: dict[str, Stateful] = {
        "order": Sequencer(), "pairing": Pairing(), "continuity": Continuity(), "clocks": Clocks(),
        "canaries": Canaries(), "counters": Counters(),
    }  # fmt: skip
    assert made.keys() == handover.OF_A_STREAM.keys()
    for name, columns in handover.OF_A_STREAM.items():
        frames = made[name].snapshot()
        assert columns.keys() <= frames.keys()
        assert all(column.lstrip("~") in frames[frame].columns for frame, column in columns.items())
