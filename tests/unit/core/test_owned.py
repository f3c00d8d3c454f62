"""Rows that are kept let go of the batch they came with; what is kept of them is the same."""

from __future__ import annotations

import datetime as dt
import gc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.core.clock import NEVER
from pipeline.core.owned import OWN_ROWS, added, owned
from pipeline.core.schema import EVENT, OPERATION, TIME, WINDOW, conform
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import REMEMBER_ROWS, Pairing
from pipeline.seen import DONE, REFUSED, Seen
from pipeline.windows import FOLD_ROWS, Windows
from tests.streams import START, entry, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = pl.Schema(  # kinds of columns that detectors and devices keep
    {
        "key": pl.UInt64(), "kind": pl.Int8(), "at": pl.Duration("us"),
        "where": pl.List(pl.Struct({"bit": pl.Int64(), "file": pl.String()})),
    }
)  # fmt: skip
LONG = 1_000  # bytes of text in every row
ROWS = 2_000


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def over_arrow(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows as a reader hands them on: their memory is Arrow's, and is counted there."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    came = pl.from_arrow(table.take(pa.array(np.arange(len(rows)))))
    assert isinstance(came, pl.DataFrame)
    return came


def texts(count: int) -> pl.Series:
    return pl.Series([f"kv/{i}/".ljust(LONG, "x") for i in range(count)])


def test_one_row_does_not_keep_its_batch() -> None:
    """A row taken as it is keeps all the text that came with it; one that is owned does not."""
    before = pa.total_allocated_bytes()
    taken = over_arrow(texts(ROWS).to_frame("path")).filter(pl.col("path").str.starts_with("kv/7/"))
    assert pa.total_allocated_bytes() - before > ROWS * LONG
    kept, taken = owned(taken), taken.clear()
    assert pa.total_allocated_bytes() - before < ROWS * LONG / 10
    assert kept["path"].to_list() == ["kv/7/".ljust(LONG, "x")]


def test_rows_that_are_added_keep_no_batch_and_lie_in_few_pieces() -> None:
    """One row of each of many batches, of which the oldest go."""
    kept, before = texts(0).to_frame("path").cast(pl.String), pa.total_allocated_bytes()
    for turn in range(100):
        came = over_arrow(texts(ROWS).to_frame("path"))
        kept = added(kept, came.filter(pl.col("path").str.starts_with(f"kv/{turn}/"))).tail(50)
        assert kept.n_chunks() <= 17
        del came
    assert pa.total_allocated_bytes() - before < ROWS * LONG / 10
    assert kept["path"].to_list() == [f"kv/{turn}/".ljust(LONG, "x") for turn in range(50, 100)]


@pytest.mark.parametrize("schema", [EVENT, OPERATION, WINDOW], ids=["event", "operation", "window"])
def test_owned_rows_are_the_same(schema: pl.Schema) -> None:
    """Every kind of column, with values and without, and a frame without rows."""
    some = {pl.String: "ä", pl.Boolean: True, pl.List: ["a", ""], TIME: dt.datetime(2026, 3, 1, tzinfo=dt.UTC)}
    values = {
        name: [None, some.get(kind, some.get(type(kind), some.get(kind.base_type(), 1)))]
        for name, kind in schema.items()
    }
    rows = pl.DataFrame(values, schema=schema, strict=False)
    for each in (rows, rows.clear(), pl.concat([rows, rows])):
        again = owned(each)
        assert again.schema == schema
        assert again.equals(each)


def test_other_columns_are_the_same_too() -> None:
    """Those that only detectors and devices keep."""
    where = [{"bit": 1, "file": "a"}, {"bit": None, "file": None}]
    rows = pl.DataFrame(
        {"key": [2**64 - 1, None], "kind": [-1, None], "at": [dt.timedelta(1), None], "where": [where, []]},
        schema=OTHERS,
    )
    assert owned(rows).schema == OTHERS
    assert owned(rows).equals(rows)


def operations(first: int) -> pl.DataFrame:
    """Reads of two hundred secrets in turn, a millisecond apart, each by a path of its own."""
    at = first + pl.int_range(ROWS, eager=True)
    times = (at * 1_000).cast(TIME)
    rows = pl.DataFrame({"uid": at.cast(pl.String), "time": times, "complete_time": times, "path": texts(ROWS)})
    rows = rows.with_columns(secret=pl.format("kv/{}", pl.int_range(pl.len()) % 200), outcome=pl.lit("success"))
    return over_arrow(conform(rows, OPERATION))


def test_an_open_window_does_not_keep_what_it_counted() -> None:
    """One row in ten is kept, and no more text than of the operations that came since it was last put together."""
    windows, before = Windows(3600, 300), pa.total_allocated_bytes()
    for turn in range(40):
        assert not list(windows.push(operations(turn * ROWS), NEVER))
    held = pa.total_allocated_bytes() - before
    assert 40 * ROWS > 4 * OWN_ROWS
    assert held < (OWN_ROWS + ROWS) * LONG
    current = windows.current()
    assert current is not None
    assert current.operations["n"].sum() == 40 * ROWS
    assert current.operations["path"].str.len_bytes().unique().to_list() == [LONG]


def test_what_waits_to_be_looked_at_is_bounded() -> None:
    """Between two looks any number of operations may come; what the next look needs of them is little."""
    windows = Windows(3600, 3000)
    plain = Seen.of(operations(0))
    for turn in range(3 * FOLD_ROWS // ROWS):
        list(windows.push(operations(turn * ROWS), NEVER))
    current = windows._open
    assert current is not None
    assert current.fresh
    assert sum(map(len, (*current.unseen, *current.fresh))) <= 2 * FOLD_ROWS
    assert plain.telling().how.tolist() == [DONE]
    refused = replace(plain, how=np.where(np.arange(ROWS) == 7, REFUSED, plain.how))
    assert refused.telling().how.tolist() == [REFUSED]


def test_a_look_finds_nothing_uncounted_of_what_filled_up_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log's first days a look does without counting; rows that come with its end may then be too many to keep."""
    monkeypatch.setattr("pipeline.windows.FOLD_ROWS", ROWS + 1)
    windows = Windows(3600, 300)
    assert not list(windows.push(operations(0), NEVER))
    assert not list(windows.push(operations(ROWS), 301_000_000))
    assert not list(windows.push(operations(302_000), NEVER))
    current = windows.current()
    assert current is not None
    assert current.operations["n"].sum() == 3 * ROWS


def test_a_refusal_is_not_forgotten_over_a_restart() -> None:
    """It was counted before the restart; the next look is due because of it all the same."""
    windows, again = Windows(3600, 300), Windows(3600, 300)
    refused = operations(0).with_columns(outcome=pl.lit("denied"), principal=pl.lit("app"))
    list(windows.push(refused, NEVER))
    current = windows._open
    assert current is not None
    windows._hand_on(current)
    again.restore(windows.snapshot())
    shown = [[window.rises for window in each.push(refused.clear(), 301_000_000)] for each in (windows, again)]
    assert shown[0]
    assert shown[0] == shown[1]


def test_a_request_that_waits_does_not_keep_its_batch() -> None:
    """One request in each batch is not answered for long: what it keeps alive does not grow from batch to batch."""
    rows = frame([entry("a", "r", "single" if i else "request", 0) for i in range(ROWS)]).with_columns(path=texts(ROWS))
    pairing, soon = Pairing(), int(START.timestamp() + 30) * 1_000_000
    turns = 3 * -(-OWN_ROWS // ROWS)
    held = []
    for turn in range(2 * turns):
        uid = pl.format("{}-{}", pl.lit(turn), pl.int_range(pl.len()))
        batch = rows.with_columns(
            uid=uid, correlation_uid=uid, order_time=pl.col("time") + pl.duration(seconds=turn / 10)
        )
        assert len(pairing.push(over_arrow(conform(batch, EVENT)), soon).operations) == ROWS - 1
        held.append(pa.total_allocated_bytes())
    assert pairing.snapshot()["pool"].n_chunks() <= 20
    assert turns * ROWS > REMEMBER_ROWS  # what else is kept had come to its bound by half of it
    assert held[-1] - held[turns - 1] < 2 * turns * LONG


def test_requests_that_wait_lie_in_few_pieces() -> None:
    """Few entries at a time, of which one is never answered."""
    pairing, soon = Pairing(), int(START.timestamp() + 30) * 1_000_000
    for turn in range(100):
        rows = [entry("a", f"{turn}-{i}", "single" if turn or i else "request", turn / 10) for i in range(3)]
        pairing.push(frame(rows).with_columns(order_time="time"), soon)
    pool = pairing.snapshot()["pool"]
    assert pool["correlation_uid"].to_list() == ["0-0"]
    assert pool.n_chunks() <= 20


def test_what_waits_for_its_order_lies_in_few_pieces() -> None:
    """A stream of which something always waits: its pieces do not add up from batch to batch."""
    sequencer = Sequencer(disorder_us=1_000_000)
    for turn in range(200):
        rows = frame([entry("a", f"r{turn}", "request", turn + i / 10) for i in range(10)])
        assert sequencer.push("a", rows).is_empty()
        released = sequencer.release(sequencer.watermark({"a": True}))
        assert 9 <= len(released) <= 10 or not turn
        assert released.n_chunks() <= 20
    waiting = sequencer.snapshot()["waiting"]
    assert 10 <= len(waiting) <= 11
    assert waiting.n_chunks() <= 20
