"""What comparing devices says does not depend on how their streams were cut, nor on restarts in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NEVER
from pipeline.integrity.devices import Devices
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import random_devices

if TYPE_CHECKING:
    from collections.abc import Sequence


def compared(streams: dict[str, pl.DataFrame], cut: int | None, *, reload: bool = False) -> pl.DataFrame:
    """The last row of each place, and the first that was told of it with each verdict."""
    parts: Sequence[Sequencer | Pairing | Devices] = (Sequencer(), Pairing(), Devices())
    at, live = dict.fromkeys(streams, 0), dict.fromkeys(streams, True)
    told = []
    while any(live.values()):
        order, pairing, devices = parts
        assert isinstance(order, Sequencer)
        assert isinstance(pairing, Pairing)
        assert isinstance(devices, Devices)
        stream = min((order.progress().get(s, NEVER), s) for s in streams if live[s])[1]
        size = cut or len(streams[stream])
        order.push(stream, streams[stream][at[stream] : at[stream] + size])
        at[stream] += size
        live[stream] = at[stream] < len(streams[stream])
        if not any(live.values()):
            order.confirm()
        mark = order.watermark(live)
        events = order.release(mark)
        told.append(devices.push(pairing.push(events, mark), events.filter("probe")))
        if not any(live.values()):
            told.append(devices.finish())
        elif reload:
            saved = [part.snapshot() for part in parts]
            parts = (Sequencer(), Pairing(), Devices())
            for part, frames in zip(parts, saved, strict=True):
                part.restore(frames)
    rows = pl.concat(told)
    first = rows.unique(["uid", "verdict"], keep="first", maintain_order=True)
    return pl.concat([first, rows.unique("uid", keep="last", maintain_order=True)]).sort("uid", "verdict", "count")


@given(seed=st.integers(0, 100_000), devices=st.integers(2, 3), cut=st.integers(1, 60), reload=st.booleans())
def test_holes_are_the_same_whatever_the_cuts(seed: int, devices: int, cut: int, reload: bool) -> None:
    """Losses among slow, lone and interleaved requests give the same holes in pieces as in one."""
    streams = random_devices(seed, 40, devices)
    assert compared(streams, cut, reload=reload).equals(compared(streams, None))


def test_there_are_holes_to_find() -> None:
    """The made-up devices do lose entries: the property is not about nothing."""
    assert len(compared(random_devices(3, 80, 3), None)) > 5
