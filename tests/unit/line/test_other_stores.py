"""What is not held against stores without audit devices, and what still is."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.clock import ALWAYS
from pipeline.integrity.clocks import Clocks
from pipeline.integrity.continuity import Continuity
from pipeline.integrity.pairing import Pairing, of_store
from tests.streams import entry, frame


def told(store: str, *rows: tuple[str, str, float]) -> pl.DataFrame:
    """Entries (request, phase, seconds) of one stream, in the order they stand in it, an hour held as disorder."""
    events = frame([entry("a", request, phase, at, store=store) for request, phase, at in rows])
    return events.with_columns(order_time=pl.col("time").cum_max())


DELIVERED_LATE = [("r1", "single", 5_000.0), *((f"r{n}", "single", 100.0 + n) for n in range(2, 9))]
TWICE = [("r1", "request", 1.0), ("r1", "response", 1.1), ("r1", "request", 1.2), ("r1", "response", 1.3)]


@pytest.mark.parametrize(("store", "verdicts"), [("aws", set()), ("vault", {"clock_step"})])
def test_only_a_device_is_held_to_its_order(store: str, verdicts: set[str]) -> None:
    """Clouds deliver late and in no order; a device that does so had its clock set."""
    released = told(store, *DELIVERED_LATE)
    paired = Pairing().push(released, ALWAYS)
    seen = Clocks().push(of_store(released, "vault"), paired.of("vault"), ALWAYS)
    assert set(seen["verdict"]) == verdicts


@pytest.mark.parametrize(("store", "verdicts"), [("gcp", set()), ("vault", {"duplicate"})])
def test_only_a_device_is_held_to_telling_once(store: str, verdicts: set[str]) -> None:
    """What a cloud delivers twice is one operation, and nobody's fault."""
    paired = Pairing().push(told(store, *TWICE), ALWAYS)
    assert len(paired.operations) == 1
    assert set(Continuity().operations(paired.of("vault"))["verdict"]) == verdicts


def test_a_store_apart_keeps_what_is_known_of_time() -> None:
    """Narrowed to one store, the same marks hold; of one store alone it is the same object."""
    paired = Pairing().push(told("aws", *TWICE), ALWAYS)
    mine = paired.of("vault")
    assert mine.settled_us == paired.settled_us
    assert mine.operations.is_empty()
    assert mine.entries.is_empty()
    assert paired.of("aws").operations is paired.operations
