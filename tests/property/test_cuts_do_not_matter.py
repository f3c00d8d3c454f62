"""The canonical order and the operations made of it do not depend on how the streams were cut."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams import drive, random_devices


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("cut", [1, 7, 50])
def test_batches_of_any_size_give_the_same_sequence(cut: int, devices: int) -> None:
    """Batches of 1, 7, 50 and everything at once give the same events in the same order, and the same operations."""
    streams = random_devices(3, 150, devices)
    whole, whole_paired = drive(streams, None)
    events, paired = drive(streams, cut)
    assert events.equals(whole)
    assert pl.concat([p.operations for p in paired]).equals(pl.concat([p.operations for p in whole_paired]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 40))
def test_a_restart_between_any_two_batches_changes_nothing(seed: int, cut: int) -> None:
    """Order and pairing restored from their snapshots after every batch go on as if nothing had happened."""
    streams = random_devices(seed, 40)
    whole, whole_paired = drive(streams, None)
    events, paired = drive(streams, cut, reload=True)
    assert events.equals(whole)
    assert pl.concat([p.operations for p in paired]).equals(pl.concat([p.operations for p in whole_paired]))


def test_every_entry_belongs_to_exactly_one_operation() -> None:
    """Nothing is lost in pairing and nothing told twice."""
    streams = random_devices(11, 200)
    _, paired = drive(streams, 7)
    told = pl.concat([p.entries for p in paired])
    assert sorted(told["uid"]) == sorted(uid for s in streams.values() for uid in s["uid"])
    operations = pl.concat([p.operations for p in paired])
    assert operations["uid"].is_unique().all()
