"""How complete an hour can be said to be, by what vouches for it."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.integrity.coverage import Coverage
from pipeline.integrity.spans import SPAN
from tests.streams import START

EPOCH = int(START.timestamp() * 1e6)
Rows = list[tuple[object, ...]]


def operations(*seconds: float, devices: tuple[str, ...] = ("a",)) -> pl.DataFrame:
    rows = [{"time": START + dt.timedelta(seconds=s), "store": "vault", "devices": list(devices)} for s in seconds]
    return conform(pl.DataFrame(rows), OPERATION)


def verdict(  # noqa: PLR0917
    kind: str, cause: str, seconds: float, to: float, count: int, uid: str = "u", source: str = "a"
) -> pl.DataFrame:
    times = {"from_time": START + dt.timedelta(seconds=seconds), "to_time": START + dt.timedelta(seconds=to)}
    row = {"source": source, "verdict": kind, "cause": cause, "count": count, "uid": uid, **times}
    return conform(pl.DataFrame([row]), INTEGRITY)


def span(kind: str, start: float, end: float) -> pl.DataFrame:
    row = ("a", kind, EPOCH + int(start * 1e6), EPOCH + int(end * 1e6), "said so")
    return pl.DataFrame([row], schema=SPAN, orient="row")


def graded(
    told: pl.DataFrame, verdicts: pl.DataFrame | None = None, spans: pl.DataFrame | None = None, reload: bool = False
) -> Rows:
    """(source, hour, completeness, evidence, missing) when these come one after the other."""
    coverage, frames = Coverage(), []
    for operations_, verdicts_, spans_ in (
        (told, empty(INTEGRITY), empty(SPAN)),
        (empty(OPERATION), empty(INTEGRITY), empty(SPAN) if spans is None else spans),
        (empty(OPERATION), empty(INTEGRITY) if verdicts is None else verdicts, empty(SPAN)),
    ):
        frames.append(coverage.push(operations_, verdicts_, spans_))
        if reload:
            saved, coverage = coverage.snapshot(), Coverage()
            coverage.restore(saved)
    last = pl.concat(frames).unique(["source", "store", "hour"], keep="last", maintain_order=True)
    return last.select(
        "source", pl.col("hour").dt.hour(), "completeness", "evidence_kind", "missing_operations"
    ).sort("source", "hour").rows()  # fmt: skip


def test_one_device_alone_is_unknown() -> None:
    """Nothing vouches for a single device without canaries and counters."""
    assert graded(operations(1, 2, 3700)) == [
        ("a", 0, "unknown", "one device", 0),
        ("a", 1, "unknown", "one device", 0),
    ]


def test_two_devices_bound_each_other() -> None:
    """Operations that two devices tell are bounded, on each of them."""
    assert graded(operations(1, 2, devices=("a", "b"))) == [
        ("a", 0, "bounded", "devices compared", 0), ("b", 0, "bounded", "devices compared", 0),
    ]  # fmt: skip


def test_contiguous_canaries_bound_an_hour() -> None:
    """From five minutes after its first operation to five minutes before its last; a silent end is unknown."""
    assert graded(operations(1, 3000), spans=span("canaries", 200, 2800)) == [("a", 0, "bounded", "canaries", 0)]
    assert graded(operations(1, 3000), spans=span("canaries", 200, 2600)) == [("a", 0, "unknown", "one device", 0)]
    coverage = Coverage()
    coverage.push(operations(1, 3000), empty(INTEGRITY), empty(SPAN))
    note = coverage.push(empty(OPERATION), empty(INTEGRITY), span("canaries", 200, 2600))["note"][0]
    assert note == "2 of 2 operations are told by this device alone; the last canary is 400 s older"


def test_counters_that_match_prove_an_hour() -> None:
    """From its first operation to its last; an hour that goes on after the last scrape is not proven."""
    assert graded(operations(1, 3000), spans=span("counters", 0, 3000)) == [("a", 0, "proven", "counters", 0)]
    assert graded(operations(1, 3000), spans=span("counters", 0, 2999))[0][2] == "unknown"
    assert graded(operations(1, 3000), spans=span("counters", 2, 3000))[0][2] == "unknown"


@pytest.mark.parametrize("reload", [False, True])
def test_a_loss_violates_the_hours_it_reaches_over(reload: bool) -> None:
    """Each hour from its first to its last moment, counted in the first, also where nothing else is told."""
    lost = verdict("gap", "device_loss", 3000, 7300, 9)
    assert graded(operations(1), lost, span("counters", 0, 10), reload) == [
        ("a", 0, "violated", "entries", 9), ("a", 1, "violated", "entries", 0), ("a", 2, "violated", "entries", 0),
    ]  # fmt: skip


def test_a_loss_that_grows_or_is_taken_back_counts_once() -> None:
    """The same place told again replaces its count; told as late, it is no loss any more."""
    grown = pl.concat([verdict("gap", "device_loss", 1, 2, 3), verdict("gap", "device_loss", 1, 2, 5)])
    assert graded(operations(1), grown) == [("a", 0, "violated", "entries", 5)]
    back = pl.concat([grown, verdict("late", "device_loss", 1, 2, 5)])
    assert graded(operations(1), back) == [("a", 0, "unknown", "one device", 0)]


def test_the_same_loss_shown_twice_is_one() -> None:
    """What devices and counters both show is not added up."""
    both = pl.concat([verdict("gap", "device_loss", 1, 2, 3), verdict("gap", "counter_mismatch", 0, 9, 3, "v")])
    assert graded(operations(1), both) == [("a", 0, "violated", "entries", 3)]


def test_a_canary_that_was_never_sent_is_no_loss() -> None:
    """Where the counters match, a missing canary number was not lost by the trail."""
    hole = verdict("gap", "canary_gap", 1, 2, 2)
    assert graded(operations(1, 9), hole) == [("a", 0, "violated", "canaries", 2)]
    assert graded(operations(1, 9), hole, span("counters", 0, 9)) == [("a", 0, "proven", "counters", 0)]


def test_what_is_no_loss_violates_nothing() -> None:
    """A changed device, a late entry or a stepped clock leaves completeness as it is."""
    for kind in ("device_change", "late", "clock_step", "duplicate", "in_clear"):
        assert graded(operations(1), verdict(kind, "x", 1, 2, 3))[0][2] == "unknown"
